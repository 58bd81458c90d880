// SPDX-License-Identifier: MIT
/* Rings of eventfds which others may fill and make blocking, and the guard that lets the writer out. */
#include "../support.h"

#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "pump/guard.h"

#define FULL UINT64_C(0xfffffffffffffffe)

static struct fd_guard guard;

static int set_up(void **state)
{
	(void)state;
	vmirq_guard_init(&guard);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	/* First: a thread that is left by a test that failed would be the next test's, too. */
	vmirq_guard_fini(&guard);
	assert_null(guard.list);
	return 0;
}

/* Guarded is a duplicate: the test's own stays open. */
static struct guarded_fd *guard_copy(int fd)
{
	struct guarded_fd *g;

	assert_int_equal(vmirq_guard_add(&guard, fcntl(fd, F_DUPFD_CLOEXEC, 0), &g), 0);
	return g;
}

static uint64_t read_count(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	uint64_t n = 0;

	assert_int_equal(poll(&p, 1, 0), 1);
	assert_int_equal(read(fd, &n, sizeof(n)), sizeof(n));
	return n;
}

static void put(int fd, uint64_t n)
{
	assert_int_equal(write(fd, &n, sizeof(n)), sizeof(n));
}

static void is_empty(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	assert_int_equal(poll(&p, 1, 0), 0);
}

/* What the guard had to do for whoever has returned is done, and in the books. */
static uint64_t drained(struct guarded_fd *g)
{
	pthread_mutex_lock(&guard.mutex);
	pthread_mutex_unlock(&guard.mutex);
	return atomic_load(&g->drained);
}

static void wait_until_asleep(void)
{
	/* State 0; with the futex, whose word it is, or without. */
	while (atomic_load(&guard.state))
		usleep(1000);
}

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

/* The calling thread, and those it makes, for good. */
static bool filter_ppoll(uint32_t action)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_ppoll, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, action),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { .len = 4, .filter = code };

	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
	       prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

/* The guard has looked at all at least so often. */
static void wait_for_looks(struct guarded_fd *g, int n)
{
	while (n--) {
		bool seen = false;

		vmirq_guard_ring(g);
		while (!seen) {
			usleep(100);
			pthread_mutex_lock(&guard.mutex);
			seen = g->seen == atomic_load(&g->rings);
			pthread_mutex_unlock(&guard.mutex);
		}
	}
}

static void *guard_without_ppoll(void *fd)
{
	return filter_ppoll(SECCOMP_RET_ERRNO | EPERM) ? guard_copy(*(int *)fd) : NULL;
}

/* What cannot be asked is not full: nothing is taken out of it. Somebody seems to be inside at each look. */
static void ppoll_is_refused(void **state)
{
	int fd = eventfd(0, EFD_CLOEXEC), other = eventfd(0, EFD_CLOEXEC);
	struct guarded_fd *g, *h;
	pthread_t thread;
	void *result;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, guard_without_ppoll, &fd), 0);
	pthread_join(thread, &result);
	g = result;
	if (!g) {
		close(fd);
		close(other);
		print_message("SKIP: no seccomp filters here\n");
		return;
	}
	h = guard_copy(other);
	for (int i = 0; i < 5; i++)
		vmirq_guard_ring(g);
	atomic_fetch_add(&g->rings, 1);
	wait_for_looks(h, 4);
	atomic_fetch_sub(&g->rings, 1);
	assert_int_equal(drained(g), 0);
	assert_int_equal(g->blocked, 0);
	assert_int_equal(read_count(fd), 5);
	vmirq_guard_remove(g);
	vmirq_guard_remove(h);
	close(fd);
	close(other);
}

static void *ring_without_ppoll(void *g)
{
	if (!filter_ppoll(SECCOMP_RET_KILL_PROCESS))
		return NULL;
	vmirq_guard_ring(g);
	vmirq_guard_ring(g);
	return g;
}

/* Nor does a ringer ever ask: its filter may kill. */
static void a_ringer_only_writes(void **state)
{
	int fd = eventfd(0, EFD_CLOEXEC);
	struct guarded_fd *g = guard_copy(fd);
	pthread_t thread;
	void *result;

	(void)state;
	put(fd, FULL);
	assert_int_equal(pthread_create(&thread, NULL, ring_without_ppoll, g), 0);
	pthread_join(thread, &result);
	if (result) {
		assert_int_equal(g->blocked, 1);
		assert_int_equal(read_count(fd), 2);
	} else {
		print_message("SKIP: no seccomp filters here\n");
	}
	vmirq_guard_remove(g);
	close(fd);
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

static struct guarded_fd *rung_by_handler;

static void ring_in_handler(int number)
{
	(void)number;
	errno = 4711;
	vmirq_guard_ring(rung_by_handler);
	if (errno != 4711)
		abort();
}

static void rung_by_a_signal_handler(void **state)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	struct sigaction action = { .sa_handler = ring_in_handler }, before;

	(void)state;
	rung_by_handler = guard_copy(fd);
	sigaction(SIGUSR1, &action, &before);
	for (int i = 0; i < 100; i++) {
		raise(SIGUSR1);
		assert_int_equal(read_count(fd), 1);
	}
	/* Also where there is something to say. */
	put(fd, FULL);
	raise(SIGUSR1);
	assert_int_equal(rung_by_handler->unwritten, 1);
	sigaction(SIGUSR1, &before, NULL);
	vmirq_guard_remove(rung_by_handler);
	close(fd);
}

/* A ringer that is blocked gets signals, and goes back. */
static _Atomic int signals;

static void count_signal(int number)
{
	(void)number;
	atomic_fetch_add(&signals, 1);
}

static void *ring_once(void *argument)
{
	vmirq_guard_ring(argument);
	return NULL;
}

static void signalled_while_blocked(void **state)
{
	int fd = eventfd(0, EFD_CLOEXEC);
	struct guarded_fd *g = guard_copy(fd);
	struct sigaction action = { .sa_handler = count_signal }, before;
	pthread_t thread;

	(void)state;
	sigaction(SIGUSR1, &action, &before);
	put(fd, FULL);
	assert_int_equal(pthread_create(&thread, NULL, ring_once, g), 0);
	while (!atomic_load(&g->blocked))
		pthread_kill(thread, SIGUSR1);
	pthread_join(thread, NULL);
	sigaction(SIGUSR1, &before, NULL);
	/* It went back in, until it was let through. */
	assert_int_equal(g->unwritten, 0);
	assert_true(drained(g) == FULL);
	assert_int_equal(read_count(fd), 1);
	vmirq_guard_remove(g);
	close(fd);
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

static _Atomic bool has_rung, has_gone;

static void *ring_cancelled(void *argument)
{
	pthread_cancel(pthread_self());
	vmirq_guard_ring(argument);
	atomic_store(&has_rung, true);
	pthread_testcancel();
	return NULL;
}

static void no_cancellation_point(void **state)
{
	int fd = eventfd(0, EFD_CLOEXEC);
	struct guarded_fd *g = guard_copy(fd);
	pthread_t thread;
	void *result;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, ring_cancelled, g), 0);
	pthread_join(thread, &result);
	assert_ptr_equal(result, PTHREAD_CANCELED);
	assert_true(has_rung);
	assert_int_equal(read_count(fd), 1);
	vmirq_guard_remove(g);
	close(fd);
}

/* A frame of its own: AddressSanitizer forgets to clean that of a function that is cancelled. */
static __attribute__((noinline)) void come_and_go(int fd)
{
	vmirq_guard_remove(guard_copy(fd));
}

static void *come_and_go_cancelled(void *fd)
{
	pthread_cancel(pthread_self());
	come_and_go(*(int *)fd);
	atomic_store(&has_gone, true);
	pthread_testcancel();
	return NULL;
}

static void comes_and_goes_without_a_cancellation_point(void **state)
{
	int fd = eventfd(0, EFD_CLOEXEC), lowest;
	struct guarded_fd *first = guard_copy(fd);
	pthread_t thread;
	void *result;

	(void)state;
	lowest = first->fd;
	vmirq_guard_remove(first);
	assert_int_equal(pthread_create(&thread, NULL, come_and_go_cancelled, &fd), 0);
	pthread_join(thread, &result);
	assert_ptr_equal(result, PTHREAD_CANCELED);
	assert_true(has_gone);
	/* And closed it is. */
	assert_int_equal(fcntl(lowest, F_GETFD), -1);
	close(fd);
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

#define test(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

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
		test(ppoll_is_refused),
		test(a_ringer_only_writes),
		test(not_forgiven_for_ever),
		test(several_are_blocked),
		test(rung_by_a_signal_handler),
		test(signalled_while_blocked),
		test(filled_again_and_again),
		test(no_cancellation_point),
		test(comes_and_goes_without_a_cancellation_point),
		test(ended_at_any_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
