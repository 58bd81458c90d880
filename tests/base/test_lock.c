// SPDX-License-Identifier: MIT
/* The lock: one holder at a time, and nobody sleeps for ever. */
#include "../support.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <unistd.h>

#include "base/lock.h"

#define THREADS 4
#define TURNS	20000u

static struct lock lock;
static uint64_t guarded, twice; /* plain: the lock is what keeps them */

static void *count(void *argument)
{
	uint32_t *pauses = argument;

	for (uint32_t i = 0; i < TURNS; i++) {
		lock_take(&lock);
		guarded++;
		/* The holder is off its processor now and then: the others go to sleep. */
		if (i % 64 == 0) {
			sched_yield();
			++*pauses;
		}
		twice += 2;
		lock_give(&lock);
	}
	return NULL;
}

static void one_at_a_time(void **state)
{
	pthread_t thread[THREADS];
	uint32_t pauses[THREADS] = { 0 };

	(void)state;
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, count, &pauses[i]), 0);
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_join(thread[i], NULL), 0);
	assert_int_equal(guarded, THREADS * TURNS);
	assert_int_equal(twice, 2 * guarded);
	assert_int_equal(atomic_load(&lock.word), LOCK_FREE);
}

static _Atomic int holders, met;

static void *hold_once(void *argument)
{
	(void)argument;
	lock_take(&lock);
	atomic_fetch_add(&met, atomic_fetch_add(&holders, 1));
	atomic_fetch_sub(&holders, 1);
	lock_give(&lock);
	return NULL;
}

/* All sleep behind one holder, and each wakes the next. */
static void sleepers_are_woken(void **state)
{
	pthread_t thread[THREADS];

	(void)state;
	lock_take(&lock);
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, hold_once, NULL), 0);
	while (atomic_load(&lock.word) != LOCK_WAITED_FOR)
		sched_yield();
	usleep(2000);
	lock_give(&lock);
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_join(thread[i], NULL), 0);
	assert_int_equal(met, 0);
	assert_int_equal(atomic_load(&lock.word), LOCK_FREE);
}

/* A giver that is off its processor between its look and its store: who came to wait meanwhile, and went to
 * sleep, is not woken. */
static void missed_sleepers_wake_up(void **state)
{
	pthread_t thread[THREADS];

	(void)state;
	met = 0;
	lock_take(&lock);
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, hold_once, NULL), 0);
	while (atomic_load(&lock.word) != LOCK_WAITED_FOR)
		sched_yield();
	usleep(2000);
	lock_is_unwanted(&lock);
	atomic_store(&lock.word, LOCK_FREE);
	lock_is_given(&lock);
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_join(thread[i], NULL), 0);
	assert_int_equal(met, 0);
	assert_int_equal(atomic_load(&lock.word), LOCK_FREE);
}

static _Atomic uint32_t word;

static void *wait_for_change(void *argument)
{
	(void)argument;
	while (atomic_load(&word) == 0)
		vmirq_futex_wait(&word, 0);
	return NULL;
}

static void waiters_see_a_change(void **state)
{
	pthread_t thread[THREADS];

	(void)state;
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, wait_for_change, NULL), 0);
	usleep(2000);
	atomic_store(&word, 1);
	vmirq_futex_wake_all(&word);
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_join(thread[i], NULL), 0);
	/* It is another by now: returns at once. */
	vmirq_futex_wait(&word, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_at_a_time),
		cmocka_unit_test(sleepers_are_woken),
		cmocka_unit_test(missed_sleepers_wake_up),
		cmocka_unit_test(waiters_see_a_change),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
