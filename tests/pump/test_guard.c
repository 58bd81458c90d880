// SPDX-License-Identifier: MIT
/* Rings of eventfds which others may fill and make blocking, and the guard that lets the writer out. */
#include "guarded.h"

#include <fcntl.h>
#include <linux/aio_abi.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

static void no_eventfd(void **state)
{
	struct guarded_fd *g;
	int pipes[2], file = open("/dev/null", O_WRONLY | O_CLOEXEC);

	(void)state;
	assert_int_equal(pipe(pipes), 0);
	assert_int_equal(vmirq_guard_add(&guard, -1, &g), -EBADF);
	assert_int_equal(vmirq_guard_add(&guard, pipes[1], &g), -EINVAL);
	assert_int_equal(vmirq_guard_add(&guard, file, &g), -EINVAL);
	/* They are the caller's still; and nobody had a thread made. */
	assert_int_equal(close(pipes[0]) | close(pipes[1]) | close(file), 0);
	assert_false(guard.has_thread);
	vmirq_guard_remove(NULL);
}

static void each_ring_is_there(void **state)
{
	int fd = eventfd(0, EFD_CLOEXEC);
	struct guarded_fd *g = guard_copy(fd);

	(void)state;
	for (int i = 0; i < 1000; i++) {
		vmirq_guard_ring(g);
		assert_int_equal(read_count(fd), 1);
	}
	for (int i = 0; i < 1000; i++)
		vmirq_guard_ring(g);
	assert_int_equal(read_count(fd), 1000);
	assert_int_equal(g->unwritten, 0);
	vmirq_guard_remove(g);
	close(fd);
}

#define RINGERS 3
#define RINGS	20000

static void *ring_often(void *argument)
{
	for (int i = 0; i < RINGS; i++)
		vmirq_guard_ring(argument);
	return NULL;
}

static void the_sum_is_there(void **state)
{
	int fd = eventfd(0, EFD_CLOEXEC);
	struct guarded_fd *g = guard_copy(fd);
	pthread_t thread[RINGERS];

	(void)state;
	for (int i = 0; i < RINGERS; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, ring_often, g), 0);
	for (int i = 0; i < RINGERS; i++)
		pthread_join(thread[i], NULL);
	assert_int_equal(read_count(fd), RINGERS * RINGS);
	vmirq_guard_remove(g);
	close(fd);
}

/* It has a sleep of its own, and a ring ends it. */
static void sleeps_and_is_woken(void **state)
{
	int fd = eventfd(0, EFD_CLOEXEC);
	struct guarded_fd *g = guard_copy(fd);

	(void)state;
	for (int i = 0; i < 3; i++) {
		wait_until_asleep();
		vmirq_guard_ring(g);
		assert_int_equal(read_count(fd), 1);
	}
	wait_until_asleep();
	vmirq_guard_remove(g);
	close(fd);
}

/* Rung: it is readable. */
static void full_and_refuses(void **state)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	struct guarded_fd *g = guard_copy(fd);

	(void)state;
	put(fd, FULL);
	for (int i = 0; i < 5; i++)
		vmirq_guard_ring(g);
	assert_int_equal(g->unwritten, 5);
	assert_int_equal(g->blocked, 0);
	assert_int_equal(read_count(fd), FULL);
	vmirq_guard_ring(g);
	assert_int_equal(read_count(fd), 1);
	vmirq_guard_remove(g);
	close(fd);
}

/* A write blocks, and is let through. Who was let through once is rung all the same. */
static void full_and_blocks(void **state)
{
	int fd = eventfd(0, EFD_CLOEXEC);
	struct guarded_fd *g = guard_copy(fd);

	(void)state;
	for (uint32_t i = 1; i <= 3; i++) {
		wait_until_asleep();
		put(fd, FULL);
		vmirq_guard_ring(g);
		assert_int_equal(g->blocked, i);
		assert_true(drained(g) == i * FULL);
		assert_int_equal(read_count(fd), 1);
		is_empty(fd);
		for (int j = 0; j < 1000; j++)
			vmirq_guard_ring(g);
		assert_int_equal(read_count(fd), 1000);
	}
	assert_int_equal(g->unwritten, 0);
	vmirq_guard_remove(g);
	close(fd);
}

/* A read of it takes one: room enough. It is full again with what is written, and the guard may look at it once
 * more before its writer is out. */
static void a_full_semaphore_blocks(void **state)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_SEMAPHORE);
	struct guarded_fd *g = guard_copy(fd);

	(void)state;
	put(fd, FULL);
	vmirq_guard_ring(g);
	assert_true(g->blocked >= 1);
	assert_int_equal(g->unwritten, 0);
	assert_true(drained(g) >= 1);
	assert_int_equal(read_count(fd), 1);
	vmirq_guard_remove(g);
	close(fd);
}

/* Add one as the kernel's own signallers do, who go one further than a write may. */
static bool overflow(int fd)
{
	int room = eventfd(0, EFD_CLOEXEC);
	struct iocb request = { .aio_lio_opcode = IOCB_CMD_POLL,
				.aio_fildes = (uint32_t)room,
				.aio_buf = POLLOUT,
				.aio_flags = IOCB_FLAG_RESFD,
				.aio_resfd = (uint32_t)fd };
	struct iocb *requests[] = { &request };
	aio_context_t context = 0;
	bool done = syscall(SYS_io_setup, 1L, &context) == 0 &&
		    syscall(SYS_io_submit, context, 1L, requests) == 1;

	if (context)
		syscall(SYS_io_destroy, context);
	close(room);
	return done;
}

/* It polls as an error then. */
static void more_than_full_and_blocks(void **state)
{
	int fd = eventfd(0, EFD_CLOEXEC);
	struct guarded_fd *g = guard_copy(fd);
	bool over;

	(void)state;
	put(fd, FULL);
	over = overflow(fd);
	vmirq_guard_ring(g);
	assert_int_equal(g->blocked, 1);
	assert_true(drained(g) == FULL + over);
	assert_int_equal(read_count(fd), 1);
	vmirq_guard_remove(g);
	close(fd);
	if (!over)
		print_message("SKIP: no Linux AIO here: full, not more than full\n");
}

/* Whoever finds ways to make it block is not rung any more. */
static void not_forgiven_for_ever(void **state)
{
	int fd = eventfd(0, EFD_CLOEXEC);
	struct guarded_fd *g = guard_copy(fd);

	(void)state;
	atomic_store(&g->blocked, GUARD_FORGIVES - 1);
	vmirq_guard_ring(g);
	assert_int_equal(read_count(fd), 1);
	atomic_store(&g->blocked, GUARD_FORGIVES);
	vmirq_guard_ring(g);
	is_empty(fd);
	assert_int_equal(g->unwritten, 1);
	vmirq_guard_remove(g);
	close(fd);
}

/* One that is blocked keeps nobody else, and several may be at once. */
static void several_are_blocked(void **state)
{
	int fd[4];
	struct guarded_fd *g[4];
	pthread_t thread[4];

	(void)state;
	for (int i = 0; i < 4; i++) {
		fd[i] = eventfd(0, EFD_CLOEXEC);
		g[i] = guard_copy(fd[i]);
		put(fd[i], FULL);
	}
	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, ring_often, g[i / 2]), 0);
	for (int i = 0; i < 4; i++)
		pthread_join(thread[i], NULL);
	for (int i = 0; i < 4; i++) {
		assert_int_equal(g[i]->blocked, i < 2);
		assert_true(read_count(fd[i]) == (i < 2 ? 2 * RINGS : FULL));
		vmirq_guard_remove(g[i]);
		close(fd[i]);
	}
}

static _Atomic bool fills;

static void *fill_again(void *fd)
{
	const uint64_t full = FULL;

	while (atomic_load(&fills))
		if (write(*(int *)fd, &full, sizeof(full)) < 0)
			abort();
	return NULL;
}

/* A writer that does not come first, as far as the guard can see: it is one block, and the others are looked after
 * meanwhile. */
static void filled_again_and_again(void **state)
{
	int fd = eventfd(0, EFD_CLOEXEC), other = eventfd(0, EFD_CLOEXEC);
	struct guarded_fd *g = guard_copy(fd), *h = guard_copy(other);
	pthread_t thread;
	uint32_t blocked;
	uint64_t n = 0;
	bool rung;

	(void)state;
	atomic_store(&fills, true);
	assert_int_equal(pthread_create(&thread, NULL, fill_again, &fd), 0);
	atomic_fetch_add(&g->rings, 1);
	while (!atomic_load(&g->blocked))
		wait_for_looks(h, 1);
	wait_for_looks(h, 20);
	blocked = atomic_load(&g->blocked);
	rung = read(other, &n, sizeof(n)) == sizeof(n) && n > 20;
	put(other, FULL);
	vmirq_guard_ring(h);
	/* Its last write is let through, too. */
	atomic_store(&fills, false);
	pthread_join(thread, NULL);
	atomic_fetch_sub(&g->rings, 1);
	assert_int_equal(blocked, 1);
	assert_true(rung);
	assert_int_equal(h->blocked, 1);
	assert_int_equal(read_count(other), 1);
	vmirq_guard_remove(g);
	vmirq_guard_remove(h);
	close(fd);
	close(other);
}

/* Whether the thread has begun, is awake or asleep. */
static void ended_at_any_time(void **state)
{
	int fd = eventfd(0, EFD_CLOEXEC);

	(void)state;
	for (int i = 0; i < 200; i++) {
		struct guarded_fd *g = guard_copy(fd);

		for (int j = 0; j < i % 3; j++)
			sched_yield();
		if (i % 2)
			vmirq_guard_ring(g);
		if (i % 50 == 0)
			wait_until_asleep();
		vmirq_guard_remove(g);
		vmirq_guard_fini(&guard);
		vmirq_guard_init(&guard);
	}
	assert_int_equal(read_count(fd), 100);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(no_eventfd),
		test(each_ring_is_there),
		test(the_sum_is_there),
		test(sleeps_and_is_woken),
		test(full_and_refuses),
		test(full_and_blocks),
		test(a_full_semaphore_blocks),
		test(more_than_full_and_blocks),
		test(not_forgiven_for_ever),
		test(several_are_blocked),
		test(filled_again_and_again),
		test(ended_at_any_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
