// SPDX-License-Identifier: MIT
/* Work that is put off: order, once however often raised, and that no item needs its worker served. */
#include "../support.h"

#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/reader.h"
#include "defer/defer.h"

#define ITEMS 8

struct item {
	struct defer_work work; /* first */
	_Atomic uint32_t runs;
	_Atomic uint32_t raise_again; /* so many times from inside run() */
	struct item *raises;	      /* from inside run() */
	sem_t *entered, *go;	      /* run() posts and waits */
	int from_inside;	      /* what flush and cancel said in run() */
	bool try_inside;
	_Atomic bool left;
};

static struct item *order[64];
static unsigned int ordered;
static _Atomic uint32_t wakes;

static void wake(void *opaque)
{
	(void)opaque;
	atomic_fetch_add(&wakes, 1);
}

static void run(struct defer_work *work)
{
	struct item *item = (struct item *)work;

	atomic_fetch_add(&item->runs, 1);
	if (ordered < 64)
		order[ordered++] = item;
	if (item->raise_again) {
		item->raise_again--;
		vmirq_defer_raise(work);
	}
	if (item->raises)
		vmirq_defer_raise(&item->raises->work);
	if (item->try_inside && vmirq_defer_flush(work) == -EDEADLK)
		item->from_inside = vmirq_defer_cancel(work);
	if (item->go) {
		sem_post(item->entered);
		sem_wait(item->go);
	}
	atomic_store(&item->left, true);
}

static struct defer_worker *worker;
static struct item items[ITEMS];

static int set_up(void **state)
{
	(void)state;
	ordered = 0;
	atomic_store(&wakes, 0);
	memset(items, 0, sizeof(items));
	assert_int_equal(vmirq_defer_worker_create(wake, NULL, &worker), 0);
	for (int i = 0; i < ITEMS; i++)
		vmirq_defer_init(&items[i].work, worker, run);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	for (int i = 0; i < ITEMS; i++)
		assert_int_equal(vmirq_defer_fini(&items[i].work), 0);
	assert_int_equal(vmirq_defer_worker_destroy(worker, NULL), 0);
	return 0;
}

static void serve(uint32_t expected)
{
	bool more;

	assert_int_equal(vmirq_defer_worker_run(worker, 100, &more), expected);
	assert_false(more);
}

static void idle(const struct item *item)
{
	assert_int_equal(item->work.state & DEFER_BUSY, 0);
	assert_null(item->work.at);
	assert_null(item->work.queue.prev);
}

static void raised_often_runs_once(void **state)
{
	(void)state;
	assert_true(vmirq_defer_raise(&items[0].work));
	for (int i = 0; i < 10; i++)
		assert_false(vmirq_defer_raise(&items[0].work));
	serve(1);
	assert_int_equal(items[0].runs, 1);
	idle(&items[0]);
	serve(0);
	assert_true(vmirq_defer_raise(&items[0].work));
	serve(1);
	assert_int_equal(items[0].runs, 2);
}

static void first_raised_runs_first(void **state)
{
	static const int by[] = { 5, 0, 7, 3, 1, 6, 2, 4 };
	bool more;

	(void)state;
	/* Some are gathered before the others are raised. */
	for (int i = 0; i < 3; i++)
		vmirq_defer_raise(&items[by[i]].work);
	assert_int_equal(vmirq_defer_worker_run(worker, 1, &more), 1);
	assert_true(more);
	for (int i = 3; i < ITEMS; i++)
		vmirq_defer_raise(&items[by[i]].work);
	serve(ITEMS - 1);
	assert_int_equal(ordered, ITEMS);
	for (int i = 0; i < ITEMS; i++)
		assert_ptr_equal(order[i], &items[by[i]]);
}

static void at_most_so_many_run(void **state)
{
	bool more;

	(void)state;
	for (int i = 0; i < ITEMS; i++)
		vmirq_defer_raise(&items[i].work);
	assert_int_equal(vmirq_defer_worker_run(worker, 0, &more), 0);
	assert_true(more);
	assert_int_equal(vmirq_defer_worker_run(worker, ITEMS - 1, &more), ITEMS - 1);
	assert_true(more);
	assert_int_equal(vmirq_defer_worker_run(worker, 1, &more), 1);
	assert_false(more);
}

/* Raised in its own run, an item goes behind what waits. */
static void raised_in_its_run_goes_to_the_end(void **state)
{
	(void)state;
	items[0].raise_again = 2;
	for (int i = 0; i < 3; i++)
		vmirq_defer_raise(&items[i].work);
	serve(5);
	assert_ptr_equal(order[0], &items[0]);
	assert_ptr_equal(order[1], &items[1]);
	assert_ptr_equal(order[2], &items[2]);
	assert_ptr_equal(order[3], &items[0]);
	assert_ptr_equal(order[4], &items[0]);
	idle(&items[0]);
}

static void an_item_raises_another(void **state)
{
	(void)state;
	items[0].raises = &items[1];
	vmirq_defer_raise(&items[0].work);
	serve(2);
	assert_int_equal(items[1].runs, 1);
}

/* One wake-up until the worker has found nothing more; none while it is told to go on. */
static void woken_once_until_it_looked(void **state)
{
	bool more;

	(void)state;
	for (int i = 0; i < ITEMS; i++)
		vmirq_defer_raise(&items[i].work);
	assert_int_equal(wakes, 1);
	vmirq_defer_worker_run(worker, 2, &more);
	assert_true(more);
	vmirq_defer_raise(&items[0].work);
	assert_int_equal(wakes, 1);
	items[1].raise_again = 1;
	vmirq_defer_raise(&items[1].work);
	serve(ITEMS + 1);
	assert_int_equal(wakes, 1);
	vmirq_defer_raise(&items[0].work);
	assert_int_equal(wakes, 2);
	serve(1);
	/* Served without being asked. */
	serve(0);
	vmirq_defer_raise(&items[0].work);
	assert_int_equal(wakes, 3);
	/* What a canceller has gathered is not forgotten. */
	assert_int_equal(vmirq_defer_cancel(&items[2].work), 0);
	vmirq_defer_raise(&items[2].work);
	assert_int_equal(vmirq_defer_cancel(&items[2].work), 1);
	assert_int_equal(wakes, 3);
	serve(1);
}

static void flush_runs_what_nobody_serves(void **state)
{
	(void)state;
	assert_int_equal(vmirq_defer_flush(&items[1].work), 0);
	assert_int_equal(items[1].runs, 0);
	for (int i = 0; i < 3; i++)
		vmirq_defer_raise(&items[i].work);
	assert_int_equal(vmirq_defer_flush(&items[1].work), 0);
	assert_int_equal(items[1].runs, 1);
	idle(&items[1]);
	serve(2);
	assert_ptr_equal(order[1], &items[0]);
	assert_ptr_equal(order[2], &items[2]);
}

/* Flush waits for what was raised before it, not for what the run raises. */
static void flush_comes_to_an_end(void **state)
{
	(void)state;
	items[0].raise_again = 1000;
	vmirq_defer_raise(&items[0].work);
	assert_int_equal(vmirq_defer_flush(&items[0].work), 0);
	assert_int_equal(items[0].runs, 1);
	assert_int_equal(vmirq_defer_cancel(&items[0].work), 1);
	idle(&items[0]);
	serve(0);
}

static void cancel_takes_off_the_list(void **state)
{
	(void)state;
	assert_int_equal(vmirq_defer_cancel(&items[0].work), 0);
	for (int i = 0; i < 3; i++)
		vmirq_defer_raise(&items[i].work);
	assert_int_equal(vmirq_defer_cancel(&items[1].work), 1);
	idle(&items[1]);
	/* Nothing of the list points to it: its memory may become anything. */
	assert_int_equal(vmirq_defer_fini(&items[1].work), 0);
	memset(&items[1], 0xff, sizeof(items[1]));
	serve(2);
	memset(&items[1], 0, sizeof(items[1]));
	vmirq_defer_init(&items[1].work, worker, run);
	assert_true(vmirq_defer_raise(&items[1].work));
	serve(1);
	assert_int_equal(items[1].runs, 1);
}

static void its_own_run_cannot_wait_for_itself(void **state)
{
	(void)state;
	items[0].try_inside = true;
	vmirq_defer_raise(&items[0].work);
	serve(1);
	assert_int_equal(items[0].from_inside, -EDEADLK);
	/* Nor where it is a flush that runs it. */
	items[0].from_inside = 0;
	vmirq_defer_raise(&items[0].work);
	assert_int_equal(vmirq_defer_flush(&items[0].work), 0);
	assert_int_equal(items[0].from_inside, -EDEADLK);
}

/* A pump's callback is in a read section and may deassign. */
static void flush_and_cancel_in_a_read_section(void **state)
{
	struct reader *section = reader_enter();

	(void)state;
	vmirq_defer_raise(&items[0].work);
	assert_int_equal(vmirq_defer_flush(&items[0].work), 0);
	vmirq_defer_raise(&items[1].work);
	assert_int_equal(vmirq_defer_cancel(&items[1].work), 1);
	assert_int_equal(vmirq_defer_worker_destroy(worker, NULL), -EDEADLK);
	reader_exit(section);
	assert_int_equal(items[0].runs, 1);
	serve(0);
}

struct other {
	pthread_t thread;
	struct item *item;
	int (*call)(struct defer_work *work);
	int said;
	uint32_t runs;
	bool left;
	_Atomic bool returned;
};

static void *call_other(void *argument)
{
	struct other *other = argument;

	other->said = other->call(&other->item->work);
	other->left = atomic_load(&other->item->left);
	other->runs = atomic_load(&other->item->runs);
	atomic_store(&other->returned, true);
	return NULL;
}

static void *serve_once(void *unused)
{
	bool more;

	(void)unused;
	vmirq_defer_worker_run(worker, 1, &more);
	return NULL;
}

static void *flush_once(void *work)
{
	vmirq_defer_flush(work);
	return NULL;
}

/* An item that is in the middle of its run on another thread, and raised again. */
static void meet_running(struct other *other, bool raise_again, bool served_too)
{
	static sem_t entered, go;
	pthread_t server;
	bool more;

	sem_init(&entered, 0, 0);
	sem_init(&go, 0, 0);
	other->item = &items[0];
	items[0].entered = &entered;
	items[0].go = &go;
	vmirq_defer_raise(&items[0].work);
	assert_int_equal(pthread_create(&server, NULL, serve_once, NULL), 0);
	sem_wait(&entered);
	assert_int_equal(vmirq_defer_worker_destroy(worker, NULL), -EBUSY);
	if (raise_again)
		assert_true(vmirq_defer_raise(&items[0].work));
	/* A second server does not enter it, and leaves the raise to the end of the run. */
	if (served_too) {
		assert_int_equal(vmirq_defer_worker_run(worker, 100, &more), 0);
		assert_false(more);
	}
	assert_int_equal(items[0].runs, 1);
	assert_int_equal(pthread_create(&other->thread, NULL, call_other, other), 0);
	for (int i = 0; i < 100; i++)
		sched_yield();
	assert_false(atomic_load(&other->returned));
	sem_post(&go);
	sem_post(&go);
	pthread_join(server, NULL);
	pthread_join(other->thread, NULL);
	assert_true(other->left);
	idle(&items[0]);
	serve(0);
	items[0].go = NULL;
	sem_destroy(&entered);
	sem_destroy(&go);
}

static void flush_waits_for_a_run(void **state)
{
	struct other other = { .call = vmirq_defer_flush };

	(void)state;
	meet_running(&other, false, false);
	assert_int_equal(other.runs, 1);
}

static void flush_waits_for_a_run_and_runs_the_next(void **state)
{
	struct other other = { .call = vmirq_defer_flush };

	(void)state;
	meet_running(&other, true, false);
	assert_int_equal(other.said, 0);
	assert_int_equal(other.runs, 2);
}

static void flush_after_a_second_server_met_the_run(void **state)
{
	struct other other = { .call = vmirq_defer_flush };

	(void)state;
	meet_running(&other, true, true);
	assert_int_equal(other.runs, 2);
}

static void cancel_waits_for_a_run(void **state)
{
	struct other other = { .call = vmirq_defer_cancel };

	(void)state;
	meet_running(&other, true, false);
	assert_int_equal(other.said, 1);
	assert_int_equal(other.runs, 1);
}

static void cancel_after_a_second_server_met_the_run(void **state)
{
	struct other other = { .call = vmirq_defer_cancel };

	(void)state;
	meet_running(&other, true, true);
	assert_int_equal(other.said, 1);
	assert_int_equal(other.runs, 1);
}

/* Nobody flushes it: the end of the run appends it and wakes the worker that has gone to sleep. */
static void the_end_of_a_run_appends_what_was_raised(void **state)
{
	sem_t entered, go;
	pthread_t server;
	bool more;

	(void)state;
	sem_init(&entered, 0, 0);
	sem_init(&go, 0, 0);
	items[0].entered = &entered;
	items[0].go = &go;
	vmirq_defer_raise(&items[0].work);
	assert_int_equal(pthread_create(&server, NULL, flush_once, &items[0].work), 0);
	sem_wait(&entered);
	assert_int_equal(wakes, 1);
	assert_int_equal(vmirq_defer_worker_run(worker, 100, &more), 0);
	assert_true(vmirq_defer_raise(&items[0].work));
	assert_int_equal(wakes, 2);
	assert_int_equal(vmirq_defer_worker_run(worker, 100, &more), 0);
	assert_false(more);
	assert_int_equal(wakes, 2);
	sem_post(&go);
	sem_post(&go);
	pthread_join(server, NULL);
	assert_int_equal(wakes, 3);
	assert_int_equal(items[0].runs, 1);
	serve(1);
	assert_int_equal(items[0].runs, 2);
	sem_destroy(&entered);
	sem_destroy(&go);
}

static void the_heir_gets_what_is_queued(void **state)
{
	struct defer_worker *heir;
	struct item own = { .runs = 0 };
	bool more;

	(void)state;
	assert_int_equal(vmirq_defer_worker_create(wake, NULL, &heir), 0);
	assert_int_equal(vmirq_defer_worker_destroy(NULL, heir), 0);
	assert_int_equal(vmirq_defer_worker_destroy(worker, worker), -EINVAL);
	/* Also an idle item has its home here. */
	assert_int_equal(vmirq_defer_worker_destroy(worker, NULL), -EBUSY);
	vmirq_defer_init(&own.work, heir, run);
	vmirq_defer_raise(&items[2].work);
	assert_int_equal(vmirq_defer_worker_run(worker, 0, &more), 0);
	vmirq_defer_raise(&items[0].work);
	vmirq_defer_raise(&items[1].work);
	assert_int_equal(vmirq_defer_worker_destroy(worker, NULL), -EBUSY);
	assert_int_equal(wakes, 1);
	assert_int_equal(vmirq_defer_worker_destroy(worker, heir), 0);
	/* The heir sleeps. */
	assert_int_equal(wakes, 2);
	worker = heir;
	assert_false(vmirq_defer_raise(&items[0].work));
	assert_true(vmirq_defer_raise(&items[3].work));
	assert_true(vmirq_defer_raise(&own.work));
	assert_int_equal(vmirq_defer_cancel(&items[0].work), 1);
	serve(4);
	assert_ptr_equal(order[0], &items[2]);
	assert_ptr_equal(order[1], &items[1]);
	assert_ptr_equal(order[2], &items[3]);
	assert_ptr_equal(order[3], &own);
	assert_int_equal(vmirq_defer_fini(&own.work), 0);
}

static void what_the_heir_has_comes_first(void **state)
{
	struct defer_worker *old;

	(void)state;
	assert_int_equal(vmirq_defer_worker_create(wake, NULL, &old), 0);
	assert_int_equal(vmirq_defer_fini(&items[0].work), 0);
	vmirq_defer_init(&items[0].work, old, run);
	vmirq_defer_raise(&items[0].work);
	vmirq_defer_raise(&items[1].work);
	assert_int_equal(vmirq_defer_worker_destroy(old, worker), 0);
	serve(2);
	assert_ptr_equal(order[0], &items[1]);
	assert_ptr_equal(order[1], &items[0]);
}

/* A handler that interrupts raise and run, which raises the same item and others. */
static _Atomic uint32_t new_in_handler, old_in_handler;

static void raise_in_handler(int number)
{
	static _Atomic unsigned int turn;

	(void)number;
	if (vmirq_defer_raise(&items[atomic_fetch_add(&turn, 1) % 2].work))
		atomic_fetch_add(&new_in_handler, 1);
	else
		atomic_fetch_add(&old_in_handler, 1);
}

static void run_quietly(struct defer_work *work)
{
	struct item *item = (struct item *)work;

	atomic_fetch_add(&item->runs, 1);
}

#define WANTED 2000

static void a_handler_interrupts_raise_and_run(void **state)
{
	const struct itimerval often = { .it_interval.tv_usec = 50, .it_value.tv_usec = 50 };
	const struct itimerval never = { .it_value.tv_usec = 0 };
	struct sigaction action = { .sa_handler = raise_in_handler, .sa_flags = SA_RESTART };
	struct sigaction before;
	uint64_t raised = 0, ran = 0, thrown = 0;
	bool more = false;

	(void)state;
	for (int i = 0; i < 2; i++) {
		assert_int_equal(vmirq_defer_fini(&items[i].work), 0);
		vmirq_defer_init(&items[i].work, worker, run_quietly);
	}
	atomic_store(&new_in_handler, 0);
	atomic_store(&old_in_handler, 0);
	sigaction(SIGALRM, &action, &before);
	setitimer(ITIMER_REAL, &often, NULL);
	for (unsigned int i = 0; new_in_handler + old_in_handler < WANTED; i++) {
		raised += vmirq_defer_raise(&items[i % 2].work);
		if (i % 3 == 0)
			ran += vmirq_defer_worker_run(worker, 1, &more);
		if (i % 7 == 0)
			assert_int_equal(vmirq_defer_flush(&items[0].work), 0);
		if (i % 11 == 0)
			thrown += (uint64_t)vmirq_defer_cancel(&items[1].work);
	}
	setitimer(ITIMER_REAL, &never, NULL);
	sigaction(SIGALRM, &before, NULL);
	ran += vmirq_defer_worker_run(worker, 100, &more);
	assert_false(more);
	assert_true(ran > 0);
	raised += atomic_load(&new_in_handler);
	assert_int_equal(raised, items[0].runs + items[1].runs + thrown);
	idle(&items[0]);
	idle(&items[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		TEST(raised_often_runs_once),
		TEST(first_raised_runs_first),
		TEST(at_most_so_many_run),
		TEST(raised_in_its_run_goes_to_the_end),
		TEST(an_item_raises_another),
		TEST(woken_once_until_it_looked),
		TEST(flush_runs_what_nobody_serves),
		TEST(flush_comes_to_an_end),
		TEST(cancel_takes_off_the_list),
		TEST(its_own_run_cannot_wait_for_itself),
		TEST(flush_and_cancel_in_a_read_section),
		TEST(flush_waits_for_a_run),
		TEST(flush_waits_for_a_run_and_runs_the_next),
		TEST(flush_after_a_second_server_met_the_run),
		TEST(cancel_waits_for_a_run),
		TEST(cancel_after_a_second_server_met_the_run),
		TEST(the_end_of_a_run_appends_what_was_raised),
		TEST(the_heir_gets_what_is_queued),
		TEST(what_the_heir_has_comes_first),
		TEST(a_handler_interrupts_raise_and_run),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
