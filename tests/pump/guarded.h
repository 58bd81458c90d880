/* SPDX-License-Identifier: MIT */
/* What the tests of guarded eventfds share: a guard each, its eventfds, and what it has looked at. */
#ifndef TESTS_PUMP_GUARDED_H
#define TESTS_PUMP_GUARDED_H

#include "../support.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <unistd.h>

#include "pump/guard.h"

#define FULL UINT64_C(0xfffffffffffffffe)

static struct fd_guard guard;

static inline int set_up(void **state)
{
	(void)state;
	vmirq_guard_init(&guard);
	return 0;
}

static inline int tear_down(void **state)
{
	(void)state;
	/* First: a thread that is left by a test that failed would be the next test's, too. */
	vmirq_guard_fini(&guard);
	assert_null(guard.list);
	return 0;
}

/* Guarded is a duplicate: the test's own stays open. */
static inline struct guarded_fd *guard_copy(int fd)
{
	struct guarded_fd *g;

	assert_int_equal(vmirq_guard_add(&guard, fcntl(fd, F_DUPFD_CLOEXEC, 0), &g), 0);
	return g;
}

static inline uint64_t read_count(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	uint64_t n = 0;

	assert_int_equal(poll(&p, 1, 0), 1);
	assert_int_equal(read(fd, &n, sizeof(n)), sizeof(n));
	return n;
}

static inline void put(int fd, uint64_t n)
{
	assert_int_equal(write(fd, &n, sizeof(n)), sizeof(n));
}

static inline void is_empty(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	assert_int_equal(poll(&p, 1, 0), 0);
}

/* What the guard had to do for whoever has returned is done, and in the books. */
static inline uint64_t drained(struct guarded_fd *g)
{
	pthread_mutex_lock(&guard.mutex);
	pthread_mutex_unlock(&guard.mutex);
	return atomic_load(&g->drained);
}

static inline void wait_until_asleep(void)
{
	/* State 0; with the futex, whose word it is, or without. */
	while (atomic_load(&guard.state))
		usleep(1000);
}

/* The guard has looked at all at least so often. */
static inline void wait_for_looks(struct guarded_fd *g, int n)
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

#define test(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

#endif
