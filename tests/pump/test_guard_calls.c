// SPDX-License-Identifier: MIT
/* Where a guarded eventfd may be rung, and what is called: signal handlers, threads that are cancelled, seccomp
 * filters. */
#include "guarded.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(rung_by_a_signal_handler), test(signalled_while_blocked),
		test(no_cancellation_point),	test(comes_and_goes_without_a_cancellation_point),
		test(ppoll_is_refused),		test(a_ringer_only_writes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
