// SPDX-License-Identifier: MIT
/* Read sections: what a grace period waits for, and what it does not. */
#include "../support.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <time.h>

#include "base/reader.h"

static void nobody_inside_nothing_to_wait_for(void **state)
{
	(void)state;
	assert_false(reader_inside());
	assert_int_equal(vmirq_reader_wait(), 0);
}

static void waiting_inside_a_section_is_refused(void **state)
{
	struct reader *section = reader_enter();

	(void)state;
	assert_true(reader_inside());
	assert_int_equal(vmirq_reader_wait(), -EDEADLK);
	reader_exit(section);
	assert_false(reader_inside());
	assert_int_equal(vmirq_reader_wait(), 0);
}

static void sections_nest(void **state)
{
	struct reader *outer = reader_enter();
	struct reader *inner = reader_enter();

	(void)state;
	reader_exit(inner);
	assert_true(reader_inside());
	assert_int_equal(vmirq_reader_wait(), -EDEADLK);
	reader_exit(outer);
	assert_false(reader_inside());
}

struct waiter {
	pthread_t thread;
	sem_t entered, go;
	_Atomic bool left;
	bool stay_inside;
};

static void *hold_section(void *argument)
{
	struct waiter *w = argument;
	struct reader *section = reader_enter();

	sem_post(&w->entered);
	sem_wait(&w->go);
	atomic_store(&w->left, true);
	reader_exit(section);
	return NULL;
}

struct grace {
	_Atomic bool over;
	struct waiter *w;
	bool left_before;
};

static void *wait_grace(void *argument)
{
	struct grace *g = argument;

	vmirq_reader_wait();
	g->left_before = atomic_load(&g->w->left);
	atomic_store(&g->over, true);
	return NULL;
}

static void a_section_of_another_thread_is_waited_for(void **state)
{
	struct waiter w = { .left = false };
	struct grace g = { .w = &w };
	const struct timespec nap = { .tv_nsec = 20000000 };
	pthread_t thread;

	(void)state;
	sem_init(&w.entered, 0, 0);
	sem_init(&w.go, 0, 0);
	assert_int_equal(pthread_create(&w.thread, NULL, hold_section, &w), 0);
	sem_wait(&w.entered);
	assert_int_equal(pthread_create(&thread, NULL, wait_grace, &g), 0);
	nanosleep(&nap, NULL);
	assert_false(atomic_load(&g.over));
	sem_post(&w.go);
	pthread_join(thread, NULL);
	pthread_join(w.thread, NULL);
	assert_true(g.left_before);
	sem_destroy(&w.entered);
	sem_destroy(&w.go);
}

static void *enter_once(void *argument)
{
	(void)argument;
	reader_exit(reader_enter());
	return NULL;
}

/* Records are used again: far more threads than there are records in the first lot, one by one. */
static void ended_threads_leave_nothing_to_wait_for(void **state)
{
	pthread_t thread;

	(void)state;
	for (int i = 0; i < 300; i++) {
		assert_int_equal(pthread_create(&thread, NULL, enter_once, NULL), 0);
		pthread_join(thread, NULL);
	}
	assert_int_equal(vmirq_reader_wait(), 0);
}

#define MANY 200

static void *hold_until_told(void *argument)
{
	struct waiter *w = argument;
	struct reader *section = reader_enter();

	sem_post(&w->entered);
	sem_wait(&w->go);
	reader_exit(section);
	return NULL;
}

/* More threads inside at once than the first records hold: the last one is waited for, too. */
static void more_threads_than_first_records(void **state)
{
	static pthread_t thread[MANY];
	struct waiter w = { .left = false };
	struct waiter last = { .left = false };
	struct grace g = { .w = &last };
	const struct timespec nap = { .tv_nsec = 20000000 };
	pthread_t waiting;

	(void)state;
	sem_init(&w.entered, 0, 0);
	sem_init(&w.go, 0, 0);
	sem_init(&last.entered, 0, 0);
	sem_init(&last.go, 0, 0);
	for (int i = 0; i < MANY; i++) {
		assert_int_equal(pthread_create(&thread[i], NULL, hold_until_told, &w), 0);
		sem_wait(&w.entered);
	}
	assert_int_equal(pthread_create(&last.thread, NULL, hold_section, &last), 0);
	sem_wait(&last.entered);
	for (int i = 0; i < MANY; i++)
		sem_post(&w.go);
	for (int i = 0; i < MANY; i++)
		pthread_join(thread[i], NULL);
	assert_int_equal(pthread_create(&waiting, NULL, wait_grace, &g), 0);
	nanosleep(&nap, NULL);
	assert_false(atomic_load(&g.over));
	sem_post(&last.go);
	pthread_join(waiting, NULL);
	pthread_join(last.thread, NULL);
	assert_true(g.left_before);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nobody_inside_nothing_to_wait_for),
		cmocka_unit_test(waiting_inside_a_section_is_refused),
		cmocka_unit_test(sections_nest),
		cmocka_unit_test(a_section_of_another_thread_is_waited_for),
		cmocka_unit_test(ended_threads_leave_nothing_to_wait_for),
		cmocka_unit_test(more_threads_than_first_records),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
