// SPDX-License-Identifier: MIT
/* Waiting under a lock: whoever waits is woken, also by who was quicker than its sleep, and no cancellation
 * ends it half way. Each with a lock and with a mutex. */
#include "../support.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <unistd.h>

#include "base/wait.h"

#define THREADS 4
#define TURNS	20000u

static struct lock lock;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

static void take_lock(void)
{
	lock_take(&lock);
}

static void give_lock(void)
{
	lock_give(&lock);
}

static void wait_with_lock(struct waiters *waiters)
{
	vmirq_wait(waiters, &lock);
}

static void take_mutex(void)
{
	pthread_mutex_lock(&mutex);
}

static void give_mutex(void)
{
	pthread_mutex_unlock(&mutex);
}

static void wait_with_mutex(struct waiters *waiters)
{
	vmirq_wait_mutex(waiters, &mutex);
}

struct how {
	void (*take)(void);
	void (*give)(void);
	void (*wait)(struct waiters *waiters);
};

static const struct how how_lock = { take_lock, give_lock, wait_with_lock };
static const struct how how_mutex = { take_mutex, give_mutex, wait_with_mutex };

/* Plain, but for the waiters' own word: the lock is what keeps them. */
struct door {
	const struct how *how;
	struct waiters waiters;
	bool open;
	uint32_t through;
};

static void *go_through(void *argument)
{
	struct door *door = argument;

	door->how->take();
	while (!door->open)
		door->how->wait(&door->waiters);
	door->through++;
	door->how->give();
	pthread_testcancel();
	return NULL;
}

static uint32_t waiting(struct door *door)
{
	uint32_t n;

	door->how->take();
	n = door->waiters.n;
	door->how->give();
	return n;
}

static void let_in(struct door *door, pthread_t thread[], uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, go_through, door), 0);
	while (waiting(door) != n)
		sched_yield();
	/* For long enough that they most likely sleep. */
	usleep(2000);
}

static void open_door(struct door *door)
{
	door->how->take();
	door->open = true;
	waiters_wake(&door->waiters);
	door->how->give();
}

static void all_are_woken(void **state)
{
	struct door door = { .how = *state };
	pthread_t thread[THREADS];

	alarm(20);
	let_in(&door, thread, THREADS);
	assert_int_equal(door.through, 0);
	open_door(&door);
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_join(thread[i], NULL), 0);
	assert_int_equal(door.through, THREADS);
	assert_int_equal(door.waiters.n, 0);
	/* Who comes now need not wait. */
	go_through(&door);
	assert_int_equal(door.through, THREADS + 1);
	alarm(0);
}

static void woken_for_nothing(void **state)
{
	struct door door = { .how = *state };
	pthread_t thread;

	alarm(20);
	let_in(&door, &thread, 1);
	door.how->take();
	waiters_wake(&door.waiters);
	door.how->give();
	usleep(2000);
	door.how->take();
	assert_int_equal(door.through, 0);
	door.how->give();
	open_door(&door);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(door.through, 1);
	alarm(0);
}

/* It waits on, comes through with the lock, and is cancelled where it says so itself. */
static void cancelled_while_it_waits(void **state)
{
	struct door door = { .how = *state };
	pthread_t thread;
	void *result = NULL;

	alarm(20);
	let_in(&door, &thread, 1);
	assert_int_equal(pthread_cancel(thread), 0);
	usleep(2000);
	assert_int_equal(waiting(&door), 1);
	open_door(&door);
	assert_int_equal(pthread_join(thread, &result), 0);
	assert_ptr_equal(result, PTHREAD_CANCELED);
	assert_int_equal(door.through, 1);
	assert_int_equal(waiting(&door), 0);
	alarm(0);
}

/* Each changes what the next waits for: one wake-up lost between a look and a sleep, and all sleep for ever. */
struct ring {
	const struct how *how;
	struct waiters waiters;
	uint32_t turn;
	_Atomic uint32_t next_place;
};

static void *take_turns(void *argument)
{
	struct ring *ring = argument;
	uint32_t place = atomic_fetch_add(&ring->next_place, 1);

	ring->how->take();
	for (uint32_t i = 0; i < TURNS / THREADS; i++) {
		while (ring->turn % THREADS != place)
			ring->how->wait(&ring->waiters);
		ring->turn++;
		waiters_wake(&ring->waiters);
	}
	ring->how->give();
	return NULL;
}

static void none_is_lost(void **state)
{
	struct ring ring = { .how = *state };
	pthread_t thread[THREADS];

	alarm(60);
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, take_turns, &ring), 0);
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_join(thread[i], NULL), 0);
	assert_int_equal(ring.turn, TURNS);
	assert_int_equal(ring.waiters.n, 0);
	alarm(0);
}

#define BOTH(test)                                                     \
	cmocka_unit_test_prestate(test, (void *)(uintptr_t)&how_lock), \
		cmocka_unit_test_prestate(test, (void *)(uintptr_t)&how_mutex)

int main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH(all_are_woken),
		BOTH(woken_for_nothing),
		BOTH(cancelled_while_it_waits),
		BOTH(none_is_lost),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
