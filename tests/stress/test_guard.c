// SPDX-License-Identifier: MIT
/*
 * Guarded eventfds: one of a hostile peer, two processes that fill it and block whoever writes, again the
 * moment there is room; one of an honest peer, who reads; and such as come and go. All of one guard, each
 * with several ringers. Nobody hangs (or the test ends in a time-out), and the books balance: the honest
 * one has every ring, and of the hostile one each is in it, was read, or found no room.
 */
#include "../support.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "pump/guard.h"
#include "pump/pump.h"

#define FULL	UINT64_C(0xfffffffffffffffe)
#define ROUNDS	12
#define RINGERS 3
#define RINGS	20000
#define PEERS	2

/* In memory that the peers share. */
struct books {
	_Atomic bool over;
	_Atomic uint64_t written, read; /* by the peers: sums, modulo 2^64 */
};

static struct fd_guard guard;
static struct books *books;
static _Atomic bool over;
static _Atomic uint32_t wrong;

static void check(bool good)
{
	if (!good)
		atomic_fetch_add(&wrong, 1);
}

/* Fills it to the last whenever there is room, and lets nobody keep O_NONBLOCK. */
static void fill(int fd)
{
	while (!atomic_load(&books->over)) {
		struct pollfd room = { .fd = fd, .events = POLLOUT };

		if (poll(&room, 1, 1) <= 0)
			continue;
		fcntl(fd, F_SETFL, O_NONBLOCK);
		for (uint64_t n = UINT64_C(1) << 63; n; n >>= 1)
			if (write(fd, &n, sizeof(n)) == (ssize_t)sizeof(n))
				atomic_fetch_add(&books->written, n);
		fcntl(fd, F_SETFL, 0);
	}
}

/* Empties it for the other to fill: by turns all the time, which makes room and takes it away between a
 * look and a write; only what was let through; and nothing. */
static void empty(int fd)
{
	for (uint32_t i = 0; !atomic_load(&books->over); i++) {
		struct pollfd room = { .fd = fd, .events = POLLOUT };

		if (i % 1024 < 512 || poll(&room, 1, 0) > 0)
			atomic_fetch_add(&books->read, vmirq_fd_drain(fd));
		if (i % 128 == 0)
			usleep(12000);
	}
}

static struct guarded_fd *guard_copy(int fd)
{
	struct guarded_fd *g = NULL;

	check(vmirq_guard_add(&guard, fcntl(fd, F_DUPFD_CLOEXEC, 0), &g) == 0);
	return g;
}

static void *ring_often(void *argument)
{
	for (int i = 0; i < RINGS; i++)
		vmirq_guard_ring(argument);
	return NULL;
}

static void ring_by_all(struct guarded_fd *g)
{
	pthread_t thread[RINGERS];

	for (int i = 0; i < RINGERS; i++)
		check(pthread_create(&thread[i], NULL, ring_often, g) == 0);
	for (int i = 0; i < RINGERS; i++)
		pthread_join(thread[i], NULL);
}

/* The honest one: rung and read until the others are through. */
static void *run_honest(void *unused)
{
	uint64_t rung = 0, sum = 0, n;
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	struct guarded_fd *g = guard_copy(fd);

	(void)unused;
	do {
		ring_by_all(g);
		rung += RINGERS * RINGS;
		if (read(fd, &n, sizeof(n)) == sizeof(n))
			sum += n;
	} while (!atomic_load(&over));
	check(sum == rung);
	check(!atomic_load(&g->unwritten) && !atomic_load(&g->drained) &&
	      !atomic_load(&g->blocked));
	vmirq_guard_remove(g);
	close(fd);
	return NULL;
}

static void *run_churner(void *unused)
{
	uint64_t n;

	(void)unused;
	for (uint32_t i = 0; !atomic_load(&over); i++) {
		int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		struct guarded_fd *g = guard_copy(fd);

		for (uint32_t j = 0; j <= i % 4; j++)
			vmirq_guard_ring(g);
		vmirq_guard_remove(g);
		check(read(fd, &n, sizeof(n)) == sizeof(n) && n == i % 4 + 1);
		close(fd);
		/* Sometimes the guard may fall asleep. */
		if (i % 1024 == 0)
			sched_yield();
	}
	return NULL;
}

static uint64_t take(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	uint64_t n = 0;

	/* Nobody else reads now. */
	return poll(&p, 1, 0) == 1 && read(fd, &n, sizeof(n)) == (ssize_t)sizeof(n) ? n : 0;
}

static void hostile_and_honest(void **state)
{
	static void (*const act[PEERS])(int fd) = { fill, empty };
	int fd = eventfd(0, EFD_CLOEXEC);
	uint64_t ours = 0, drained = 0, blocked = 0, unwritten = 0;
	pthread_t honest, churner;
	pid_t peer[PEERS];
	unsigned int left = PEERS;

	(void)state;
	books = mmap(NULL, sizeof(*books), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		     0);
	assert_ptr_not_equal(books, MAP_FAILED);
	for (int i = 0; i < PEERS; i++) {
		peer[i] = fork();
		assert_true(peer[i] >= 0);
		if (!peer[i]) {
			act[i](fd);
			_exit(0);
		}
	}
	vmirq_guard_init(&guard);
	assert_int_equal(pthread_create(&honest, NULL, run_honest, NULL), 0);
	assert_int_equal(pthread_create(&churner, NULL, run_churner, NULL), 0);
	for (int round = 0; round < ROUNDS; round++) {
		/* Each time it is one whose peer is not known yet. */
		struct guarded_fd *g = guard_copy(fd);

		ring_by_all(g);
		/* The guard may still be at it. */
		pthread_mutex_lock(&guard.mutex);
		ours += RINGERS * RINGS - atomic_load(&g->unwritten);
		unwritten += atomic_load(&g->unwritten);
		drained += atomic_load(&g->drained);
		blocked += atomic_load(&g->blocked);
		pthread_mutex_unlock(&guard.mutex);
		vmirq_guard_remove(g);
	}
	atomic_store(&over, true);
	pthread_join(honest, NULL);
	pthread_join(churner, NULL);
	vmirq_guard_fini(&guard);
	atomic_store(&books->over, true);
	while (left) {
		drained += take(fd);
		if (waitpid(-1, NULL, WNOHANG) > 0)
			left--;
	}
	drained += take(fd);
	assert_int_equal(wrong, 0);
	assert_true(blocked > 0);
	assert_true(atomic_load(&books->written) + ours == drained + atomic_load(&books->read));
	print_message("%llu blocked, %llu written, %llu not\n", (unsigned long long)blocked,
		      (unsigned long long)ours, (unsigned long long)unwritten);
	munmap(books, sizeof(*books));
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(hostile_and_honest) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
