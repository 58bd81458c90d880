// SPDX-License-Identifier: MIT
/*
 * The x-remote client against peers that behave and that do not, and then the e1000 of a real QEMU;
 * that part is skipped where there is none.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "e1000.h"
#include "x_remote.h"
#include "x_remote_process.h"

/* Where it must come to a time-out. */
#define TIMEOUT_MS 200
/* No call may take longer than its time-out, and a busy machine's whims. */
#define LATE_MS (TIMEOUT_MS + 8000)
/* Calls that say at once what they have said before: that many time-outs would be late. */
#define AGAIN	    100
#define CYCLES	    1000
#define PATIENCE_MS 20000

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* A peer that answers every question with the same bytes, `pause_ms` apart, and then hangs up or
 * listens on. */
struct peer {
	char answer[64];
	size_t size;
	int pause_ms;
	bool hangs_up;
	bool attaches_fd;
	int fd;
	pthread_t thread;
};

static struct x_remote remote;

static void send_with_fd(int fd, const void *data, size_t size)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = { 0 };
	struct iovec iov = { .iov_base = (void *)(uintptr_t)data, .iov_len = size };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control.bytes,
			      .msg_controllen = sizeof(control.bytes) };
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);

	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(cmsg), &fd, sizeof(fd));
	sendmsg(fd, &msg, MSG_NOSIGNAL);
}

static void *serve(void *opaque)
{
	struct peer *peer = opaque;
	char question[4096];

	while (recv(peer->fd, question, sizeof(question), 0) > 0) {
		size_t step = peer->pause_ms ? 1 : peer->size;

		for (size_t at = 0; at < peer->size; at += step) {
			poll(NULL, 0, peer->pause_ms);
			if (peer->attaches_fd)
				send_with_fd(peer->fd, peer->answer + at, step);
			else
				send(peer->fd, peer->answer + at, step, MSG_NOSIGNAL);
		}
		if (peer->hangs_up)
			break;
	}
	close(peer->fd);
	return NULL;
}

static int connect_to(struct peer *peer)
{
	int fd[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd), 0);
	peer->fd = fd[1];
	assert_int_equal(pthread_create(&peer->thread, NULL, serve, peer), 0);
	return fd[0];
}

static void meet_for(struct peer *peer, int timeout_ms)
{
	assert_int_equal(x_remote_attach(&remote, connect_to(peer), -1, timeout_ms), 0);
}

static void meet(struct peer *peer)
{
	meet_for(peer, PATIENCE_MS);
}

static void part(struct peer *peer)
{
	x_remote_close(&remote);
	pthread_join(peer->thread, NULL);
}

static struct peer says(int32_t command, uint64_t size, uint64_t value)
{
	struct peer peer = { .size = 24 };

	memcpy(peer.answer, &command, sizeof(command));
	memcpy(peer.answer + 8, &size, sizeof(size));
	memcpy(peer.answer + 16, &value, sizeof(value));
	return peer;
}

static void a_good_answer_is_taken(void **state)
{
	struct peer peer = says(1, 8, 0x12345678);
	uint32_t value = 0;
	uint64_t wide = 0;

	(void)state;
	meet(&peer);
	assert_int_equal(x_remote_config_read(&remote, 0, 4, &value), 0);
	assert_int_equal(value, 0x12345678);
	assert_int_equal(x_remote_bar_read(&remote, 0x1000, 8, true, &wide), 0);
	assert_int_equal(wide, 0x12345678);
	assert_int_equal(x_remote_alive(&remote), 0);
	part(&peer);
}

/* Every way to be a bad peer, what it is called, and that it stays so at once. */
static void a_bad_peer_is_told_in_time_and_for_good(void **state)
{
	struct {
		struct peer peer;
		int error;
	} cases[] = {
		{ { .size = 0 }, -ETIMEDOUT },
		{ { .size = 0, .hangs_up = true }, -ECONNRESET },
		{ { .size = 7, .hangs_up = true }, -ECONNRESET },
		{ { .size = 7 }, -ETIMEDOUT },
		/* A byte at a time, too slowly; and cut off in the value. */
		{ says(1, 8, 0), -ETIMEDOUT },
		{ says(1, 8, 0), -ECONNRESET },
		{ says(0, 8, 0), -EPROTO },
		{ says(-1, 8, 0), -EPROTO },
		{ says(1, 0, 0), -EPROTO },
		{ says(1, 9, 0), -EPROTO },
		{ says(1, UINT64_MAX, 0), -EPROTO },
		{ says(1, 8, UINT64_C(1) << 32), -EPROTO },
		{ { .size = 64 }, -EPROTO },
	};

	(void)state;
	cases[4].peer.pause_ms = TIMEOUT_MS / 5;
	cases[5].peer.size = 20;
	cases[5].peer.hangs_up = true;
	memset(cases[12].peer.answer, 0xee, 64);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int64_t start = now_ms();
		uint32_t value;

		meet_for(&cases[i].peer, cases[i].error == -ETIMEDOUT ? TIMEOUT_MS : PATIENCE_MS);
		assert_int_equal(x_remote_config_read(&remote, 0, 4, &value), cases[i].error);
		assert_true(now_ms() - start < LATE_MS);
		start = now_ms();
		for (int again = 0; again < AGAIN; again++)
			assert_int_equal(x_remote_config_write(&remote, 0, 4, 1), cases[i].error);
		assert_int_equal(x_remote_alive(&remote), cases[i].error);
		assert_true(now_ms() - start < LATE_MS);
		part(&cases[i].peer);
	}
}

static void a_failed_access_does_not_end_the_connection(void **state)
{
	struct peer peer = says(1, 8, UINT64_MAX);
	uint32_t value;

	(void)state;
	meet(&peer);
	assert_int_equal(x_remote_config_read(&remote, 0, 4, &value), -EIO);
	assert_int_equal(x_remote_bar_write(&remote, 0, 4, true, 0), -EIO);
	assert_int_equal(x_remote_alive(&remote), 0);
	part(&peer);
}

static void what_comes_unasked_is_no_answer(void **state)
{
	struct peer peer = says(1, 8, 0);
	uint32_t value;

	(void)state;
	peer.size = 25;
	meet(&peer);
	assert_int_equal(x_remote_config_read(&remote, 0, 4, &value), 0);
	assert_int_equal(x_remote_config_read(&remote, 0, 4, &value), -EPROTO);
	part(&peer);
}

static void a_descriptor_in_an_answer_does_not_stay_open(void **state)
{
	struct peer peer = says(1, 8, 0);
	int before, after;
	uint32_t value;

	(void)state;
	peer.attaches_fd = true;
	meet(&peer);
	before = dup(0);
	close(before);
	assert_int_equal(x_remote_config_read(&remote, 0, 4, &value), 0);
	after = dup(0);
	close(after);
	assert_int_equal(after, before);
	part(&peer);
}

static void a_dead_process_ends_the_wait_though_its_socket_is_open(void **state)
{
	struct peer peer = { .size = 0 };
	int death = eventfd(1, EFD_CLOEXEC);
	int64_t start = now_ms();
	uint32_t value;

	(void)state;
	assert_int_equal(x_remote_attach(&remote, connect_to(&peer), death, 60000), 0);
	assert_int_equal(x_remote_config_read(&remote, 0, 4, &value), -ECONNRESET);
	assert_int_equal(x_remote_alive(&remote), -ECONNRESET);
	assert_true(now_ms() - start < LATE_MS);
	part(&peer);
	close(death);
}

static void a_peer_that_never_reads_does_not_block(void **state)
{
	int64_t start = now_ms();
	int fd[2], ret = 0;

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd), 0);
	assert_int_equal(x_remote_attach(&remote, fd[0], -1, TIMEOUT_MS), 0);
	for (int i = 0; i < 100000 && !ret; i++)
		ret = x_remote_set_memory(&remote, 0, 4096);
	/* Descriptors in flight are limited as well as bytes. */
	assert_true(ret == -ETIMEDOUT || ret == -ETOOMANYREFS);
	assert_true(now_ms() - start < LATE_MS);
	x_remote_close(&remote);
	close(fd[1]);
}

static void an_irqfd_that_nobody_reads_is_an_error(void **state)
{
	struct peer silent = { .size = 0 }, closing = { .size = 0, .hangs_up = true };
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	uint64_t n;

	(void)state;
	meet_for(&silent, TIMEOUT_MS);
	assert_int_equal(x_remote_set_irqfd(&remote, fd, fd), -ETIMEDOUT);
	part(&silent);
	meet(&closing);
	/* It still holds what nobody has read. */
	assert_int_equal(x_remote_set_irqfd(&remote, fd, fd), -EINVAL);
	assert_int_equal(read(fd, &n, sizeof(n)), sizeof(n));
	assert_int_equal(x_remote_set_irqfd(&remote, fd, fd), -ECONNRESET);
	part(&closing);
	close(fd);
}

static void arguments_are_checked(void **state)
{
	struct peer peer = says(1, 8, 0);
	uint64_t wide;
	uint32_t value;

	(void)state;
	meet(&peer);
	assert_int_equal(x_remote_config_read(&remote, 0, 3, &value), -EINVAL);
	assert_int_equal(x_remote_config_read(&remote, 0, 8, &value), -EINVAL);
	assert_int_equal(x_remote_config_read(&remote, 2, 4, &value), -EINVAL);
	assert_int_equal(x_remote_config_write(&remote, 4096, 4, 0), -EINVAL);
	assert_int_equal(x_remote_bar_read(&remote, 0, 16, true, &wide), -EINVAL);
	assert_int_equal(x_remote_bar_write(&remote, 4, 8, true, 0), -EINVAL);
	assert_int_equal(x_remote_bar_write(&remote, 0, 0, true, 0), -EINVAL);
	assert_int_equal(x_remote_alive(&remote), 0);
	part(&peer);
}

static void not_every_device_is_an_e1000(void **state)
{
	struct peer peers[] = { { .size = 0 }, { .size = 0, .hangs_up = true }, { .size = 64 } };
	static const int errors[] = { -ETIMEDOUT, -ECONNRESET, -EPROTO };

	(void)state;
	for (int i = 0; i < 3; i++) {
		struct e1000 *e1000 = NULL;
		int ret = e1000_attach(connect_to(&peers[i]),
				       errors[i] == -ETIMEDOUT ? TIMEOUT_MS : PATIENCE_MS, &e1000);

		assert_int_equal(ret, errors[i]);
		assert_null(e1000);
		pthread_join(peers[i].thread, NULL);
	}
}

/* From here on with the real program. */

static void need_qemu(void)
{
	if (!e1000_available())
		return;
	puts("SKIP: qemu-system-x86_64 is not installed (package qemu-system-x86)");
	skip();
}

static struct e1000 *start(int timeout_ms)
{
	struct e1000 *e1000 = NULL;
	char why[300];
	int ret = e1000_start(PATIENCE_MS, timeout_ms, &e1000, why, sizeof(why));

	if (ret)
		fail_msg("e1000_start: %s %s", strerror(-ret), why);
	return e1000;
}

/* Whatever `intr` holds; 0 if nothing comes in that time. */
static uint64_t signals(struct e1000 *e1000, int timeout_ms)
{
	struct pollfd pfd = { .fd = e1000_intr_fd(e1000), .events = POLLIN };
	uint64_t n = 0;

	if (poll(&pfd, 1, timeout_ms) == 1)
		assert_int_equal(read(pfd.fd, &n, sizeof(n)), sizeof(n));
	return n;
}

/* Resample, and return once whatever that leads to has happened: a full eventfd can be written
 * again when QEMU has read it, and what it does then comes before its next answer. */
static void resample(struct e1000 *e1000)
{
	struct pollfd pfd = { .fd = e1000_resample_fd(e1000), .events = POLLOUT };
	uint64_t full = UINT64_MAX - 1;
	uint32_t status;

	assert_int_equal(write(pfd.fd, &full, sizeof(full)), sizeof(full));
	assert_int_equal(poll(&pfd, 1, PATIENCE_MS), 1);
	assert_int_equal(e1000_bar0_read(e1000, E1000_STATUS, 4, &status), 0);
}

static void a_level_interrupt_goes_its_whole_way(void **state)
{
	struct e1000 *e1000;
	int64_t start_ms;

	(void)state;
	need_qemu();
	e1000 = start(PATIENCE_MS);
	start_ms = now_ms();
	assert_int_equal(signals(e1000, 0), 0);
	for (int i = 0; i < CYCLES; i++) {
		uint32_t causes = 0;

		assert_int_equal(e1000_raise(e1000), 0);
		assert_int_equal(signals(e1000, PATIENCE_MS), 1);
		/* Still asserted, however often it is looked at. */
		for (int look = 0; look < 2; look++) {
			assert_int_equal(e1000_causes(e1000, &causes), 0);
			assert_int_equal(causes, E1000_CAUSE_LSC);
		}
		resample(e1000);
		assert_int_equal(signals(e1000, 0), 1);
		assert_int_equal(e1000_read_icr(e1000, &causes), 0);
		/* Bit 31 tells that the line was up, on cards that have it. */
		assert_int_equal(causes & 0x7fffffff, E1000_CAUSE_LSC);
		assert_int_equal(e1000_causes(e1000, &causes), 0);
		assert_int_equal(causes, 0);
		resample(e1000);
		assert_int_equal(signals(e1000, 0), 0);
	}
	printf("%d level cycles in %d ms\n", CYCLES, (int)(now_ms() - start_ms));
	assert_int_equal(e1000_alive(e1000), 0);
	e1000_stop(e1000);
}

static void bar0_is_as_large_as_it_is(void **state)
{
	struct e1000 *e1000;
	uint32_t value;

	(void)state;
	need_qemu();
	e1000 = start(PATIENCE_MS);
	assert_int_equal(e1000_bar0_read(e1000, E1000_BAR0_SIZE - 4, 4, &value), 0);
	assert_int_equal(e1000_bar0_read(e1000, E1000_BAR0_SIZE, 4, &value), -EINVAL);
	assert_int_equal(e1000_bar0_read(e1000, UINT32_MAX, 4, &value), -EINVAL);
	assert_int_equal(e1000_bar0_read(e1000, 0, 8, &value), -EINVAL);
	assert_int_equal(e1000_bar0_write(e1000, 2, 4, 0), -EINVAL);
	assert_int_equal(e1000_alive(e1000), 0);
	e1000_stop(e1000);
}

/* One thread raises, as a run's source does, while another is the handler. */
static void *raise_often(void *opaque)
{
	for (int i = 0; i < 300; i++)
		if (e1000_raise(opaque))
			return opaque;
	return NULL;
}

static void threads_may_share_it(void **state)
{
	struct e1000 *e1000;
	uint32_t causes, seen = 0;
	pthread_t thread;
	void *failed;

	(void)state;
	need_qemu();
	e1000 = start(PATIENCE_MS);
	pthread_create(&thread, NULL, raise_often, e1000);
	for (int i = 0; i < 300; i++) {
		assert_int_equal(e1000_read_icr(e1000, &causes), 0);
		seen |= causes;
	}
	pthread_join(thread, &failed);
	assert_null(failed);
	assert_int_equal(e1000_read_icr(e1000, &causes), 0);
	assert_int_equal((seen | causes) & 0x7fffffff, E1000_CAUSE_LSC);
	e1000_stop(e1000);
}

static void *kill_soon(void *opaque)
{
	poll(NULL, 0, 100);
	kill(*(pid_t *)opaque, SIGKILL);
	return NULL;
}

static void killed_in_mid_run_it_says_so(void **state)
{
	struct e1000 *e1000;
	int64_t start_ms;
	pthread_t thread;
	uint32_t causes;
	char words[200];
	int ret = 0;
	pid_t pid;

	(void)state;
	need_qemu();
	e1000 = start(PATIENCE_MS);
	pid = e1000_pid(e1000);
	assert_string_equal(e1000_last_words(e1000, words, sizeof(words)), "");
	start_ms = now_ms();
	pthread_create(&thread, NULL, kill_soon, &pid);
	while (!ret && now_ms() - start_ms < PATIENCE_MS) {
		ret = e1000_raise(e1000);
		if (!ret)
			ret = e1000_read_icr(e1000, &causes);
	}
	assert_int_equal(ret, -ECONNRESET);
	assert_true(now_ms() - start_ms < LATE_MS);
	pthread_join(thread, NULL);
	assert_int_equal(e1000_alive(e1000), -ECONNRESET);
	e1000_kill(e1000);
	assert_non_null(strstr(e1000_last_words(e1000, words, sizeof(words)), "signal 9"));
	e1000_stop(e1000);
	/* Reaped. */
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
}

static void a_process_that_hangs_costs_the_timeout_and_is_stopped(void **state)
{
	struct e1000 *e1000;
	int64_t start_ms;
	pid_t pid;

	(void)state;
	need_qemu();
	e1000 = start(TIMEOUT_MS);
	pid = e1000_pid(e1000);
	kill(pid, SIGSTOP);
	start_ms = now_ms();
	assert_int_equal(e1000_raise(e1000), -ETIMEDOUT);
	assert_true(now_ms() - start_ms < LATE_MS);
	e1000_stop(e1000);
	assert_int_equal(kill(pid, 0), -1);
}

static void what_qemu_complains_of_is_told(void **state)
{
	struct child child;
	char words[300];
	int fd;

	(void)state;
	need_qemu();
	assert_int_equal(x_remote_process_start(&child, "no-such-device", &fd), 0);
	assert_int_equal(child_wait(&child, PATIENCE_MS), -ECHILD);
	assert_non_null(strstr(child_last_words(&child, words, sizeof(words)), "no-such-device"));
	child_stop(&child);
	close(fd);
}

static void a_missing_program_is_enoent(void **state)
{
	char path[8192];
	struct e1000 *e1000;

	(void)state;
	snprintf(path, sizeof(path), "%s", getenv("PATH") ? getenv("PATH") : "");
	setenv("PATH", "/nonexistent", 1);
	assert_int_equal(e1000_available(), -ENOENT);
	assert_int_equal(e1000_start(100, 100, &e1000, NULL, 0), -ENOENT);
	setenv("PATH", path, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_good_answer_is_taken),
		cmocka_unit_test(a_bad_peer_is_told_in_time_and_for_good),
		cmocka_unit_test(a_failed_access_does_not_end_the_connection),
		cmocka_unit_test(what_comes_unasked_is_no_answer),
		cmocka_unit_test(a_descriptor_in_an_answer_does_not_stay_open),
		cmocka_unit_test(a_dead_process_ends_the_wait_though_its_socket_is_open),
		cmocka_unit_test(a_peer_that_never_reads_does_not_block),
		cmocka_unit_test(an_irqfd_that_nobody_reads_is_an_error),
		cmocka_unit_test(arguments_are_checked),
		cmocka_unit_test(not_every_device_is_an_e1000),
		cmocka_unit_test(a_missing_program_is_enoent),
		cmocka_unit_test(a_level_interrupt_goes_its_whole_way),
		cmocka_unit_test(bar0_is_as_large_as_it_is),
		cmocka_unit_test(threads_may_share_it),
		cmocka_unit_test(killed_in_mid_run_it_says_so),
		cmocka_unit_test(a_process_that_hangs_costs_the_timeout_and_is_stopped),
		cmocka_unit_test(what_qemu_complains_of_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
