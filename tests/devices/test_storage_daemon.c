// SPDX-License-Identifier: MIT
/* The real qemu-storage-daemon; 77 where it is not installed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "storage_daemon.h"
#include "vhost_user_blk.h"

#define SECTORS 64
#define MEMORY	(1u << 20)

static char image[] = "/tmp/vmirq-test-XXXXXX";
static int image_fd;

static int make_image(void **state)
{
	char sector[VHOST_USER_BLK_SECTOR];

	(void)state;
	image_fd = mkostemp(image, O_CLOEXEC);
	for (int i = 0; i < SECTORS; i++) {
		memset(sector, i + 1, sizeof(sector));
		if (write(image_fd, sector, sizeof(sector)) != sizeof(sector))
			return -1;
	}
	return 0;
}

static int remove_image(void **state)
{
	(void)state;
	close(image_fd);
	return unlink(image);
}

static struct storage_daemon *start(void)
{
	struct storage_daemon *daemon;

	assert_int_equal(storage_daemon_start(image, &daemon), 0);
	return daemon;
}

static struct vhost_user_blk *connect_to(struct storage_daemon *daemon, char **memory)
{
	struct vhost_user_blk_config config = {
		.timeout_ms = 5000,
		.memory_fd = memfd_create("guest", MFD_CLOEXEC),
		.memory_size = MEMORY,
		.requests = 8,
		.sectors = 1,
	};
	struct vhost_user_blk *blk;

	assert_int_equal(ftruncate(config.memory_fd, MEMORY), 0);
	*memory = mmap(NULL, MEMORY, PROT_READ | PROT_WRITE, MAP_SHARED, config.memory_fd, 0);
	config.memory = *memory;
	config.socket = storage_daemon_connect(daemon, 10000);
	assert_true(config.socket >= 0);
	assert_int_equal(vhost_user_blk_open(&config, &blk), 0);
	close(config.memory_fd);
	return blk;
}

/* Wait for the interrupt. */
static uint64_t wait_call(struct vhost_user_blk *blk)
{
	struct pollfd pfd = { .fd = vhost_user_blk_call_fd(blk), .events = POLLIN };
	uint64_t n = 0;

	if (poll(&pfd, 1, 5000) == 1)
		assert_int_equal(read(pfd.fd, &n, sizeof(n)), sizeof(n));
	return n;
}

static void every_sector_is_read_and_every_read_signals(void **state)
{
	struct storage_daemon *daemon = start();
	struct vhost_user_blk_done done;
	struct vhost_user_blk *blk;
	char *memory;

	(void)state;
	blk = connect_to(daemon, &memory);
	assert_int_equal(vhost_user_blk_capacity(blk), SECTORS);
	for (uint64_t i = 0; i < SECTORS; i++) {
		assert_int_equal(vhost_user_blk_submit(blk, i), 0);
		/* One more may come from the device's start. */
		while (vhost_user_blk_take(blk, &done) != 1)
			assert_true(wait_call(blk) > 0);
		assert_int_equal(done.sector, i);
		for (size_t b = 0; b < done.size; b++)
			assert_int_equal(((const uint8_t *)done.data)[b], i + 1);
	}
	assert_int_equal(vhost_user_blk_submit(blk, SECTORS), -ERANGE);
	assert_int_equal(vhost_user_blk_alive(blk), 0);
	assert_int_equal(vhost_user_blk_stop(blk), 0);
	vhost_user_blk_close(blk);
	storage_daemon_stop(daemon);
	munmap(memory, MEMORY);
}

static void a_killed_daemon_is_noticed_and_named(void **state)
{
	struct storage_daemon *daemon = start();
	struct vhost_user_blk *blk;
	char words[200], *memory;

	(void)state;
	blk = connect_to(daemon, &memory);
	assert_int_equal(storage_daemon_alive(daemon), 0);
	assert_string_equal(storage_daemon_last_words(daemon, words, sizeof(words)), "");
	kill(storage_daemon_pid(daemon), SIGKILL);
	for (int i = 0; i < 1000 && !storage_daemon_alive(daemon); i++)
		poll(NULL, 0, 5);
	assert_int_equal(storage_daemon_alive(daemon), -ECHILD);
	assert_int_equal(vhost_user_blk_alive(blk), -ECONNRESET);
	assert_int_equal(vhost_user_blk_stop(blk), -ECONNRESET);
	storage_daemon_last_words(daemon, words, sizeof(words));
	assert_non_null(strstr(words, "killed by signal 9"));
	vhost_user_blk_close(blk);
	storage_daemon_stop(daemon);
	munmap(memory, MEMORY);
}

static void a_missing_image_is_told_in_the_daemons_words(void **state)
{
	struct storage_daemon *daemon;
	char words[400];

	(void)state;
	assert_int_equal(storage_daemon_start("/nonexistent/image", &daemon), 0);
	assert_int_equal(storage_daemon_connect(daemon, 10000), -ECHILD);
	storage_daemon_last_words(daemon, words, sizeof(words));
	assert_non_null(strstr(words, "No such file"));
	storage_daemon_stop(daemon);
}

static void a_missing_program_is_enoent(void **state)
{
	struct storage_daemon *daemon;
	const char *there = getenv("PATH");
	char *path;

	(void)state;
	path = there ? strdup(there) : NULL;
	if (!path) {
		fail();
		return;
	}
	setenv("PATH", "/nonexistent", 1);
	assert_int_equal(storage_daemon_available(), -ENOENT);
	assert_int_equal(storage_daemon_start(image, &daemon), -ENOENT);
	setenv("PATH", path, 1);
	free(path);
}

/* Its own name: a comma is a separator to QEMU. */
static void an_image_with_a_comma_in_its_name_is_served(void **state)
{
	struct storage_daemon *daemon;
	char name[64], *memory;
	struct vhost_user_blk *blk;

	(void)state;
	snprintf(name, sizeof(name), "%s,read-only=off,,", image);
	assert_int_equal(link(image, name), 0);
	assert_int_equal(storage_daemon_start(name, &daemon), 0);
	blk = connect_to(daemon, &memory);
	unlink(name);
	assert_int_equal(vhost_user_blk_capacity(blk), SECTORS);
	vhost_user_blk_close(blk);
	storage_daemon_stop(daemon);
	munmap(memory, MEMORY);
}

static bool gone(pid_t pid)
{
	char path[64], stat[256] = "", *at;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	file = fopen(path, "re");
	if (!file)
		return true;
	if (!fgets(stat, sizeof(stat), file))
		stat[0] = '\0';
	fclose(file);
	at = strrchr(stat, ')');
	/* A zombie that nobody reaps is gone all the same. */
	return !at || at[2] == 'Z';
}

static void the_daemon_does_not_outlive_a_killed_parent(void **state)
{
	int report[2];
	pid_t parent, daemon = 0;

	(void)state;
	assert_int_equal(pipe(report), 0);
	parent = fork();
	if (parent == 0) {
		struct storage_daemon *d;
		pid_t pid = storage_daemon_start(image, &d) ? 0 : storage_daemon_pid(d);

		/* Once connected it has no name in the file system, which a kill would leave. */
		if (pid && storage_daemon_connect(d, 10000) < 0)
			pid = 0;
		if (write(report[1], &pid, sizeof(pid)) != sizeof(pid))
			_exit(1);
		pause();
		_exit(0);
	}
	assert_int_equal(read(report[0], &daemon, sizeof(daemon)), sizeof(daemon));
	close(report[0]);
	close(report[1]);
	assert_true(daemon > 0);
	assert_false(gone(daemon));
	kill(parent, SIGKILL);
	waitpid(parent, NULL, 0);
	for (int i = 0; i < 1000 && !gone(daemon); i++)
		poll(NULL, 0, 5);
	assert_true(gone(daemon));
}

static void a_stopped_daemon_is_reaped_and_leaves_nothing(void **state)
{
	struct storage_daemon *daemon = start();
	pid_t pid = storage_daemon_pid(daemon);

	(void)state;
	/* It is killed where it does not listen to SIGTERM. */
	kill(pid, SIGSTOP);
	storage_daemon_stop(daemon);
	assert_int_equal(kill(pid, 0), -1);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_sector_is_read_and_every_read_signals),
		cmocka_unit_test(a_killed_daemon_is_noticed_and_named),
		cmocka_unit_test(a_missing_image_is_told_in_the_daemons_words),
		cmocka_unit_test(a_missing_program_is_enoent),
		cmocka_unit_test(an_image_with_a_comma_in_its_name_is_served),
		cmocka_unit_test(the_daemon_does_not_outlive_a_killed_parent),
		cmocka_unit_test(a_stopped_daemon_is_reaped_and_leaves_nothing),
	};

	if (storage_daemon_available()) {
		puts("SKIP: qemu-storage-daemon is not installed (package qemu-system-common)");
		return 77;
	}
	return cmocka_run_group_tests(tests, make_image, remove_image);
}
