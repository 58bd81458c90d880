/* SPDX-License-Identifier: MIT */
/*
 * Raisers, servers whose workers are exchanged and removed under them, flush, cancel and items that come
 * and go. In the end the books balance: whatever was newly scheduled has been run or thrown away. An
 * item's run is never entered twice at once, and a flush returns after what was raised before it has run.
 * A lost wake-up ends this test in a time-out: the last of each raiser's rounds waits for a server.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "defer/defer.h"

#define RAISERS	  3
#define SLOTS	  2
#define SHARED	  6 /* items of all raisers; the first CANCELLED of them are also cancelled */
#define CANCELLED 3
#define ROUNDS	  300000
#define EXCHANGES 16 /* a server exchanges its worker each so many turns */

struct item {
	struct defer_work work; /* first */
	_Atomic bool inside;
	uint64_t runs; /* plain: runs exclude and see one another */
	_Atomic uint64_t sent[RAISERS];
	_Atomic uint64_t seen[RAISERS];
	struct item *raises;
	uint64_t newly; /* raised from inside run() */
};

struct slot {
	pthread_t thread;
	sem_t asked;
	struct defer_worker *worker; /* placement */
	uint64_t exchanged, merged;
};

struct raiser {
	pthread_t thread;
	unsigned int index;
	uint64_t newly, coalesced, thrown, runs;
};

static struct slot slots[SLOTS];
static struct item shared[SHARED];
static struct raiser raisers[RAISERS];
/* Held by who gives items to a worker, makes it an heir, or destroys it. */
static pthread_mutex_t placement = PTHREAD_MUTEX_INITIALIZER;
static _Atomic bool over;
static _Atomic uint32_t wrong;

static uint32_t next_random(uint32_t *seed)
{
	*seed = *seed * 1664525u + 1013904223u;
	return *seed >> 16;
}

static void wake(void *opaque)
{
	sem_post(opaque);
}

static void run(struct defer_work *work)
{
	struct item *item = (struct item *)work;

	if (atomic_exchange_explicit(&item->inside, true, memory_order_relaxed))
		atomic_fetch_add(&wrong, 1);
	for (int i = 0; i < RAISERS; i++)
		atomic_store_explicit(&item->seen[i],
				      atomic_load_explicit(&item->sent[i], memory_order_relaxed),
				      memory_order_relaxed);
	item->runs++;
	if (item->runs % 8 == 0)
		sched_yield();
	if (item->raises && item->runs % 4 == 0)
		item->newly += vmirq_defer_raise(&item->raises->work);
	atomic_store_explicit(&item->inside, false, memory_order_relaxed);
}

/* A new worker in the slot's place; the old one's items go to it, or to the other slot's. */
static void exchange(struct slot *slot, uint32_t *seed)
{
	struct defer_worker *old = slot->worker, *heir;
	struct defer_worker *fresh;

	if (vmirq_defer_worker_create(wake, &slot->asked, &fresh) != 0) {
		atomic_fetch_add(&wrong, 1);
		return;
	}
	pthread_mutex_lock(&placement);
	heir = fresh;
	if (next_random(seed) % 4 == 0) {
		heir = slots[slot == &slots[0]].worker;
		slot->merged++;
	}
	slot->worker = fresh;
	if (vmirq_defer_worker_destroy(old, heir) != 0)
		atomic_fetch_add(&wrong, 1);
	pthread_mutex_unlock(&placement);
	slot->exchanged++;
}

static void *serve(void *argument)
{
	struct slot *slot = argument;
	uint32_t seed = (uint32_t)(slot - slots) + 77;
	bool more;

	for (unsigned int turn = 1; !atomic_load(&over); turn++) {
		sem_wait(&slot->asked);
		do
			vmirq_defer_worker_run(slot->worker, next_random(&seed) % 4, &more);
		while (more);
		if (turn % EXCHANGES == 0)
			exchange(slot, &seed);
	}
	return NULL;
}

static void count(struct raiser *raiser, bool newly)
{
	if (newly)
		raiser->newly++;
	else
		raiser->coalesced++;
}

static void raise_one(struct raiser *raiser, struct item *item)
{
	atomic_fetch_add_explicit(&item->sent[raiser->index], 1, memory_order_relaxed);
	count(raiser, vmirq_defer_raise(&item->work));
}

static bool seen_all(struct raiser *raiser, struct item *item)
{
	return atomic_load_explicit(&item->seen[raiser->index], memory_order_relaxed) >=
	       atomic_load_explicit(&item->sent[raiser->index], memory_order_relaxed);
}

static void check_flush(struct raiser *raiser, struct item *item, bool cancelled)
{
	if (vmirq_defer_flush(&item->work) != 0 || (!cancelled && !seen_all(raiser, item)))
		atomic_fetch_add(&wrong, 1);
}

/* An item of the raiser's own: raised, perhaps run, and freed. */
static void come_and_go(struct raiser *raiser, uint32_t *seed)
{
	struct item *item = calloc(1, sizeof(*item));
	int thrown;

	if (!item) {
		atomic_fetch_add(&wrong, 1);
		return;
	}
	pthread_mutex_lock(&placement);
	vmirq_defer_init(&item->work, slots[next_random(seed) % SLOTS].worker, run);
	pthread_mutex_unlock(&placement);
	for (uint32_t n = next_random(seed) % 3; n > 0; n--) {
		raise_one(raiser, item);
		if (next_random(seed) % 4 == 0)
			sched_yield();
		if (next_random(seed) % 4 == 0) {
			check_flush(raiser, item, false);
			/* Nobody is in it now, and its end is seen. */
			if (!item->runs)
				atomic_fetch_add(&wrong, 1);
		}
	}
	thrown = vmirq_defer_fini(&item->work);
	raiser->thrown += (uint64_t)thrown;
	raiser->runs += item->runs;
	free(item);
}

/* A second server, so that an item is popped while it runs. */
static void serve_beside(struct slot *slot)
{
	bool more;

	pthread_mutex_lock(&placement);
	vmirq_defer_worker_run(slot->worker, 1, &more);
	pthread_mutex_unlock(&placement);
	if (more)
		sem_post(&slot->asked);
}

static void *raise_often(void *argument)
{
	struct raiser *raiser = argument;
	uint32_t seed = raiser->index + 1;

	for (int round = 0; round < ROUNDS; round++) {
		uint32_t which = next_random(&seed) % SHARED;
		struct item *item = &shared[which];

		raise_one(raiser, item);
		switch (next_random(&seed) % 16) {
		case 0:
			check_flush(raiser, item, which < CANCELLED);
			break;
		case 1:
			item = &shared[next_random(&seed) % CANCELLED];
			raiser->thrown += (uint64_t)vmirq_defer_cancel(&item->work);
			break;
		case 2:
			come_and_go(raiser, &seed);
			break;
		case 3:
			sched_yield();
			break;
		case 4:
			serve_beside(&slots[next_random(&seed) % SLOTS]);
			break;
		case 5:
			/* Nobody flushes it here: its server must have been woken. */
			for (int turn = 0;
			     which >= CANCELLED && round % 64 == 0 && !seen_all(raiser, item);
			     turn++)
				sched_yield();
			break;
		default:
			break;
		}
	}
	for (int i = CANCELLED; i < SHARED; i++) {
		raise_one(raiser, &shared[i]);
		while (!seen_all(raiser, &shared[i]))
			sched_yield();
	}
	return NULL;
}

static void start(void)
{
	for (int i = 0; i < SLOTS; i++) {
		sem_init(&slots[i].asked, 0, 0);
		assert_int_equal(vmirq_defer_worker_create(wake, &slots[i].asked, &slots[i].worker),
				 0);
	}
	for (int i = 0; i < SHARED; i++) {
		vmirq_defer_init(&shared[i].work, slots[i % SLOTS].worker, run);
		/* Itself, another of its kind, or none. */
		if (i % 3)
			shared[i].raises = i % 3 == 1 ? &shared[i] : &shared[i - 1];
	}
	for (int i = 0; i < SLOTS; i++)
		assert_int_equal(pthread_create(&slots[i].thread, NULL, serve, &slots[i]), 0);
	for (unsigned int i = 0; i < RAISERS; i++) {
		raisers[i].index = i;
		assert_int_equal(pthread_create(&raisers[i].thread, NULL, raise_often, &raisers[i]),
				 0);
	}
}

static void the_books_balance(void **state)
{
	uint64_t newly = 0, coalesced = 0, done = 0, exchanged = 0, merged = 0;

	(void)state;
	start();
	for (int i = 0; i < RAISERS; i++)
		pthread_join(raisers[i].thread, NULL);
	atomic_store(&over, true);
	for (int i = 0; i < SLOTS; i++) {
		sem_post(&slots[i].asked);
		pthread_join(slots[i].thread, NULL);
		exchanged += slots[i].exchanged;
		merged += slots[i].merged;
	}
	/* Nobody is left who raises, but for the runs themselves. */
	for (int i = 0; i < SHARED; i++)
		while (shared[i].work.state & DEFER_BUSY)
			assert_int_equal(vmirq_defer_flush(&shared[i].work), 0);
	for (int i = 0; i < SHARED; i++)
		done += (uint64_t)vmirq_defer_fini(&shared[i].work);
	for (int i = 0; i < SHARED; i++) {
		assert_int_equal(shared[i].work.state & DEFER_BUSY, 0);
		newly += shared[i].newly;
		done += shared[i].runs;
	}
	for (int i = 0; i < RAISERS; i++) {
		newly += raisers[i].newly;
		coalesced += raisers[i].coalesced;
		done += raisers[i].thrown + raisers[i].runs;
	}
	for (int i = 0; i < SLOTS; i++) {
		bool more;

		assert_int_equal(vmirq_defer_worker_run(slots[i].worker, 1000, &more), 0);
		assert_false(more);
		assert_int_equal(vmirq_defer_worker_destroy(slots[i].worker, NULL), 0);
		sem_destroy(&slots[i].asked);
	}
	print_message(
		"%lu newly scheduled, %lu coalesced, %lu exchanges, %lu to the other worker\n",
		newly, coalesced, exchanged, merged);
	assert_int_equal(atomic_load(&wrong), 0);
	assert_int_equal(newly, done);
	assert_true(exchanged > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(the_books_balance) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
