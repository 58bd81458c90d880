// SPDX-License-Identifier: MIT
/* Read sections: what a grace period waits for, and what it does not. */
#include "../support.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

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

struct holder {
	pthread_t thread;
	sem_t holds, go;
	const void *what;
	_Atomic bool let_go;
};

static void *hold_a_thing(void *argument)
{
	struct holder *h = argument;
	struct reader *section = reader_enter(), *record = reader_record(section);

	assert_non_null(record);
	if (record)
		reader_hold(record, h->what);
	sem_post(&h->holds);
	sem_wait(&h->go);
	atomic_store(&h->let_go, true);
	if (record)
		reader_let_go(record);
	reader_exit(section);
	return NULL;
}

struct changer {
	const struct holder *h;
	_Atomic bool over;
	bool let_go_before;
};

static void *wait_held(void *argument)
{
	struct changer *c = argument;
	/* Legal inside a section, which the holder's may be waiting for. */
	struct reader *section = reader_enter();

	vmirq_reader_wait_use(READER_HOLDS, c->h->what);
	c->let_go_before = atomic_load(&c->h->let_go);
	atomic_store(&c->over, true);
	reader_exit(section);
	return NULL;
}

static void what_is_held_is_waited_for_and_nothing_else(void **state)
{
	static int thing, other;
	struct holder h = { .what = &thing };
	struct changer c = { .h = &h };
	const struct timespec nap = { .tv_nsec = 20000000 };
	pthread_t thread;

	(void)state;
	sem_init(&h.holds, 0, 0);
	sem_init(&h.go, 0, 0);
	assert_int_equal(pthread_create(&h.thread, NULL, hold_a_thing, &h), 0);
	sem_wait(&h.holds);
	vmirq_reader_wait_use(READER_HOLDS, &other);
	assert_int_equal(pthread_create(&thread, NULL, wait_held, &c), 0);
	nanosleep(&nap, NULL);
	assert_false(atomic_load(&c.over));
	sem_post(&h.go);
	pthread_join(thread, NULL);
	pthread_join(h.thread, NULL);
	assert_true(c.let_go_before);
	vmirq_reader_wait_use(READER_HOLDS, &thing);
	sem_destroy(&h.holds);
	sem_destroy(&h.go);
}

static void *end_while_holding(void *argument)
{
	struct reader *section = reader_enter();

	if (section)
		reader_hold(section, argument);
	return NULL;
}

/* As pthread_cancel() may end it. */
static void an_ended_thread_holds_nothing(void **state)
{
	static int thing;
	pthread_t thread;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, end_while_holding, &thing), 0);
	pthread_join(thread, NULL);
	vmirq_reader_wait_use(READER_HOLDS, &thing);
	assert_int_equal(vmirq_reader_wait(), 0);
}

/* In a child: its first thread has a record from before, and is inside. */
static int wait_in_a_child(void)
{
	struct waiter w = { .left = false };
	struct grace g = { .w = &w };
	const struct timespec nap = { .tv_nsec = 10000000 };
	struct reader *section = reader_enter();
	pthread_t thread;

	if (pthread_create(&thread, NULL, wait_grace, &g))
		return 2;
	/* It looks for ended threads after some 100 ms. */
	for (int i = 0; i < 100 && !atomic_load(&g.over); i++)
		nanosleep(&nap, NULL);
	atomic_store(&w.left, true);
	reader_exit(section);
	pthread_join(thread, NULL);
	return g.left_before ? 0 : 1;
}

static void a_thread_that_forked_is_waited_for_in_its_child(void **state)
{
	int status = -1;
	pid_t child;

	(void)state;
	reader_exit(reader_enter());
	child = fork();
	if (!child)
		_exit(wait_in_a_child());
	assert_true(child > 0);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
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
		cmocka_unit_test(what_is_held_is_waited_for_and_nothing_else),
		cmocka_unit_test(an_ended_thread_holds_nothing),
		cmocka_unit_test(a_thread_that_forked_is_waited_for_in_its_child),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
