// SPDX-License-Identifier: MIT
/* The thread that writes to an eventfd which others may fill and make blocking. */
#include "../support.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "pump/writer.h"

#define FULL UINT64_C(0xfffffffffffffffe)

static uint64_t read_count(int fd)
{
	uint64_t n = 0;

	assert_int_equal(read(fd, &n, sizeof(n)), sizeof(n));
	return n;
}

static void put(int fd, uint64_t n)
{
	assert_int_equal(write(fd, &n, sizeof(n)), sizeof(n));
}

static void no_thread_for_no_descriptor(void **state)
{
	struct fd_writer *w;

	(void)state;
	assert_int_equal(vmirq_writer_create(-1, &w), -EBADF);
	assert_int_equal(vmirq_writer_destroy(NULL), 0);
}

/* Once per wake-up, so that the thread sleeps in between. */
static void each_ring_arrives(void **state)
{
	int fd = eventfd(0, EFD_CLOEXEC);
	struct fd_writer *w;

	(void)state;
	assert_int_equal(vmirq_writer_create(fd, &w), 0);
	for (int i = 0; i < 1000; i++) {
		vmirq_writer_ring(w);
		assert_int_equal(read_count(fd), 1);
	}
	assert_int_equal(vmirq_writer_destroy(w), 0);
	close(fd);
}

/* The first in this process: glibc has not loaded its unwinder yet, and finds none. */
static int destroy_in_a_jail(const char *dir)
{
	int fd = eventfd(0, EFD_CLOEXEC);
	struct fd_writer *w;

	if (chroot(dir) || chdir("/"))
		return 77;
	put(fd, FULL);
	if (vmirq_writer_create(fd, &w))
		return 1;
	vmirq_writer_ring(w);
	vmirq_writer_destroy(w);
	return 0;
}

static void a_full_one_in_a_jail(void **state)
{
	char dir[] = "/tmp/vmirq-jail-XXXXXX";
	pid_t child;
	int status;

	(void)state;
	assert_non_null(mkdtemp(dir));
	child = fork();
	assert_true(child >= 0);
	if (!child)
		_exit(destroy_in_a_jail(dir));
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(rmdir(dir), 0);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 77)
		skip(); /* not root */
	assert_int_equal(WEXITSTATUS(status), 0);
}

#define RINGERS 3
#define RINGS	20000

static void *ring_often(void *argument)
{
	for (int i = 0; i < RINGS; i++)
		vmirq_writer_ring(argument);
	return NULL;
}

static void the_sum_arrives(void **state)
{
	int fd = eventfd(0, EFD_CLOEXEC);
	pthread_t thread[RINGERS];
	struct fd_writer *w;
	uint64_t sum = 0;

	(void)state;
	assert_int_equal(vmirq_writer_create(fd, &w), 0);
	for (int i = 0; i < RINGERS; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, ring_often, w), 0);
	while (sum < RINGERS * RINGS)
		sum += read_count(fd);
	for (int i = 0; i < RINGERS; i++)
		pthread_join(thread[i], NULL);
	assert_int_equal(sum, RINGERS * RINGS);
	assert_int_equal(vmirq_writer_destroy(w), 0);
	close(fd);
}

/* The caller may close his copy. */
static void keeps_its_own_duplicate(void **state)
{
	int fd = eventfd(0, EFD_CLOEXEC);
	int other = dup(fd);
	struct fd_writer *w;

	(void)state;
	assert_int_equal(vmirq_writer_create(fd, &w), 0);
	close(fd);
	vmirq_writer_ring(w);
	assert_int_equal(read_count(other), 1);
	assert_int_equal(vmirq_writer_destroy(w), 0);
	close(other);
}

static bool nothing_there(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, 20) == 0;
}

/* The peer fills it and lets writers block. */
static void destroyed_while_stuck(int flags)
{
	int fd = eventfd(0, EFD_CLOEXEC | flags);
	struct fd_writer *w;

	put(fd, FULL);
	assert_int_equal(vmirq_writer_create(fd, &w), 0);
	for (int i = 0; i < 5; i++)
		vmirq_writer_ring(w);
	usleep(20000);
	for (int i = 0; i < 5; i++)
		vmirq_writer_ring(w);
	assert_int_equal(vmirq_writer_destroy(w), 10);
	assert_int_equal(read_count(fd), FULL);
	assert_true(nothing_there(fd));
	close(fd);
}

static void destroyed_while_stuck_in_write(void **state)
{
	(void)state;
	destroyed_while_stuck(0);
}

static void destroyed_while_it_waits_for_room(void **state)
{
	(void)state;
	destroyed_while_stuck(EFD_NONBLOCK);
}

/* Destroyed at once, whether the thread has started yet or not. */
static void destroyed_at_once(void **state)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	struct fd_writer *w;
	uint64_t n;

	(void)state;
	for (int i = 0; i < 200; i++) {
		assert_int_equal(vmirq_writer_create(fd, &w), 0);
		for (int j = 0; j < i % 4; j++)
			vmirq_writer_ring(w);
		/* There is room: nothing is left. */
		assert_int_equal(vmirq_writer_destroy(w), 0);
		assert_int_equal(i % 4 ? read_count(fd) : 0, i % 4);
	}
	assert_int_equal(read(fd, &n, sizeof(n)), -1);
	close(fd);
}

static void goes_on_when_there_is_room(int flags)
{
	int fd = eventfd(0, EFD_CLOEXEC | flags);
	struct fd_writer *w;
	uint64_t sum = 0;

	put(fd, FULL);
	assert_int_equal(vmirq_writer_create(fd, &w), 0);
	for (int i = 0; i < 100; i++)
		vmirq_writer_ring(w);
	usleep(5000);
	for (int i = 0; i < 100; i++)
		vmirq_writer_ring(w);
	assert_int_equal(read_count(fd), FULL);
	while (sum < 200) {
		struct pollfd p = { .fd = fd, .events = POLLIN };

		assert_int_equal(poll(&p, 1, 5000), 1);
		sum += read_count(fd);
	}
	assert_int_equal(sum, 200);
	assert_int_equal(vmirq_writer_destroy(w), 0);
	close(fd);
}

static void a_blocked_write_goes_on(void **state)
{
	(void)state;
	goes_on_when_there_is_room(0);
}

static void a_refused_write_goes_on(void **state)
{
	(void)state;
	goes_on_when_there_is_room(EFD_NONBLOCK);
}

/* Room for one is room for one: what fits is written, and what does not is told. */
static void writes_what_there_is_room_for(void **state)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	struct fd_writer *w;

	(void)state;
	put(fd, FULL - 3);
	assert_int_equal(vmirq_writer_create(fd, &w), 0);
	for (int i = 0; i < 10; i++)
		vmirq_writer_ring(w);
	assert_int_equal(vmirq_writer_destroy(w), 7);
	assert_int_equal(read_count(fd), FULL);
	close(fd);
}

/* What is no eventfd, or can only be read, costs the rings and nothing else. */
static void a_descriptor_that_takes_nothing(void **state)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	struct fd_writer *w;

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(vmirq_writer_create(fd, &w), 0);
	vmirq_writer_ring(w);
	usleep(5000);
	vmirq_writer_ring(w);
	vmirq_writer_ring(w);
	assert_int_equal(vmirq_writer_destroy(w), 3);
	close(fd);
}

static struct fd_writer *rung_by_handler;

static void ring_in_handler(int number)
{
	(void)number;
	errno = 4711;
	vmirq_writer_ring(rung_by_handler);
	if (errno != 4711)
		abort();
}

static void rung_by_a_signal_handler(void **state)
{
	int fd = eventfd(0, EFD_CLOEXEC);
	struct sigaction action = { .sa_handler = ring_in_handler }, before;

	(void)state;
	assert_int_equal(vmirq_writer_create(fd, &rung_by_handler), 0);
	sigaction(SIGUSR1, &action, &before);
	for (int i = 0; i < 100; i++) {
		raise(SIGUSR1);
		assert_int_equal(read_count(fd), 1);
	}
	sigaction(SIGUSR1, &before, NULL);
	assert_int_equal(vmirq_writer_destroy(rung_by_handler), 0);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_full_one_in_a_jail),
		cmocka_unit_test(no_thread_for_no_descriptor),
		cmocka_unit_test(each_ring_arrives),
		cmocka_unit_test(the_sum_arrives),
		cmocka_unit_test(keeps_its_own_duplicate),
		cmocka_unit_test(destroyed_while_stuck_in_write),
		cmocka_unit_test(destroyed_while_it_waits_for_room),
		cmocka_unit_test(destroyed_at_once),
		cmocka_unit_test(a_blocked_write_goes_on),
		cmocka_unit_test(a_refused_write_goes_on),
		cmocka_unit_test(writes_what_there_is_room_for),
		cmocka_unit_test(a_descriptor_that_takes_nothing),
		cmocka_unit_test(rung_by_a_signal_handler),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
