// SPDX-License-Identifier: MIT
/*
 * Threads that register and unregister both sides of shared tokens, with callbacks that fail now and
 * then, and are in the middle of it when the others come. In the end the books balance: every connect
 * has its disconnect, every stop its start; never two at once for a token; and who has unregistered is
 * not called again, which it finds out by freeing what its callbacks use (AddressSanitizer), and by
 * writing to it as nobody else may then (ThreadSanitizer). A lost wake-up ends in a time-out.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <vmirq/bypass.h>

#include "bypass/table.h"

#define THREADS 4
#define TOKENS	5
#define ROUNDS	40000

/* Of a token. Plain: callbacks of one token exclude and see one another. */
struct book {
	uint64_t token;
	_Atomic uint32_t inside; /* stop adds one, start takes it off */
	bool connected;
	uint64_t connects, disconnects, failures, stops, starts;
};

/* Of one registration. */
struct side {
	struct book *book;
	bool fails, peer_known, stopped, gone;
	uint64_t adds, dels;
	struct vmirq_producer *met;
	struct vmirq_producer *producer;
	struct vmirq_consumer *consumer;
	void *target;
};

struct worker {
	pthread_t thread;
	uint32_t seed;
	uint64_t registered, refused, failed, by_token;
	struct side *producers[TOKENS], *consumers[TOKENS];
};

static struct vmirq_bypass *bypass;
static struct book books[TOKENS];
static struct worker workers[THREADS];
static _Atomic uint32_t wrong;

static void must(bool true_)
{
	if (!true_)
		atomic_fetch_add(&wrong, 1);
}

static uint32_t next_random(uint32_t *seed)
{
	*seed = *seed * 1664525u + 1013904223u;
	return *seed >> 16;
}

static void producer_stop(void *opaque)
{
	struct side *side = opaque;

	must(!side->gone && !side->stopped);
	side->stopped = true;
	must(atomic_fetch_add_explicit(&side->book->inside, 1, memory_order_relaxed) == 0);
	side->book->stops++;
	if (side->book->stops % 4 == 0)
		sched_yield();
}

static void producer_start(void *opaque)
{
	struct side *side = opaque;

	must(!side->gone && side->stopped);
	side->stopped = false;
	side->book->starts++;
	must(atomic_fetch_sub_explicit(&side->book->inside, 1, memory_order_relaxed) == 1);
}

static int add_consumer(void *opaque, struct vmirq_consumer *consumer)
{
	struct side *side = opaque;

	must(side->stopped && !side->peer_known &&
	     vmirq_consumer_token(consumer) == side->book->token);
	if (side->fails) {
		side->book->failures++;
		return -EIO;
	}
	side->peer_known = true;
	side->adds++;
	return 0;
}

static void del_consumer(void *opaque, struct vmirq_consumer *consumer)
{
	struct side *side = opaque;

	must(side->stopped && side->peer_known && !side->target &&
	     vmirq_consumer_token(consumer) == side->book->token);
	side->peer_known = false;
	side->dels++;
}

static int set_target(void *opaque, void *target)
{
	struct side *side = opaque;

	must(side->stopped && side->peer_known);
	side->target = target;
	return 0;
}

static void consumer_stop(void *opaque)
{
	struct side *side = opaque;

	must(!side->gone && !side->stopped);
	side->stopped = true;
}

static void consumer_start(void *opaque)
{
	struct side *side = opaque;

	must(!side->gone && side->stopped);
	side->stopped = false;
}

static int add_producer(void *opaque, struct vmirq_producer *producer)
{
	struct side *side = opaque;

	must(side->stopped && !side->met && !side->book->connected);
	if (side->fails) {
		side->book->failures++;
		return -ENODEV;
	}
	must(vmirq_producer_set_target(producer, side) == 0);
	side->met = producer;
	side->adds++;
	side->book->connected = true;
	side->book->connects++;
	return 0;
}

static void del_producer(void *opaque, struct vmirq_producer *producer)
{
	struct side *side = opaque;

	must(side->stopped && side->met == producer && side->book->connected);
	must(vmirq_producer_set_target(producer, NULL) == 0);
	side->met = NULL;
	side->dels++;
	side->book->connected = false;
	side->book->disconnects++;
}

static int enter(struct side *side, bool is_producer)
{
	struct vmirq_producer_config producer = {
		.size = sizeof(producer),
		.token = side->book->token,
		.opaque = side,
		.stop = producer_stop,
		.start = producer_start,
		.add_consumer = add_consumer,
		.del_consumer = del_consumer,
		.set_target = set_target,
	};
	struct vmirq_consumer_config consumer = {
		.size = sizeof(consumer),
		.token = side->book->token,
		.opaque = side,
		.stop = consumer_stop,
		.start = consumer_start,
		.add_producer = add_producer,
		.del_producer = del_producer,
	};

	return is_producer ? vmirq_producer_register(bypass, &producer, &side->producer)
			   : vmirq_consumer_register(bypass, &consumer, &side->consumer);
}

/* Nobody else looks at it now. */
static void bury(struct side *side)
{
	must(!side->stopped && !side->peer_known && !side->met && !side->target &&
	     side->adds == side->dels);
	side->gone = true;
	free(side);
}

static struct side *come(struct worker *worker, struct book *book, bool is_producer)
{
	struct side *side = calloc(1, sizeof(*side));
	int error;

	if (!side) {
		must(false);
		return NULL;
	}
	side->book = book;
	/* Whoever comes to meet it while it is there then fails too. */
	side->fails = next_random(&worker->seed) % 8 == 0;
	error = enter(side, is_producer);
	if (!error) {
		worker->registered++;
		return side;
	}
	must(error == -EBUSY || error == -EIO || error == -ENODEV);
	if (error == -EBUSY)
		worker->refused++;
	else
		worker->failed++;
	bury(side);
	return NULL;
}

static void go(struct worker *worker, struct side *side, bool is_producer)
{
	int error;

	/* The side is its thread's alone, so its token tells it, too. */
	if (next_random(&worker->seed) % 4 == 0) {
		worker->by_token++;
		error = is_producer ? vmirq_producer_unregister_token(bypass, side->book->token)
				    : vmirq_consumer_unregister_token(bypass, side->book->token);
	} else {
		error = is_producer ? vmirq_producer_unregister(side->producer)
				    : vmirq_consumer_unregister(side->consumer);
	}
	must(error == 0);
	bury(side);
}

static void *come_and_go(void *argument)
{
	struct worker *worker = argument;

	for (int round = 0; round < ROUNDS; round++) {
		uint32_t which = next_random(&worker->seed) % TOKENS;
		bool is_producer = next_random(&worker->seed) % 2;
		struct side **side = is_producer ? &worker->producers[which]
						 : &worker->consumers[which];

		if (*side) {
			go(worker, *side, is_producer);
			*side = NULL;
		} else {
			*side = come(worker, &books[which], is_producer);
		}
		if (round % 4096 == 0)
			must(vmirq_bypass_validate(bypass));
	}
	for (int i = 0; i < TOKENS; i++) {
		if (worker->producers[i])
			go(worker, worker->producers[i], true);
		if (worker->consumers[i])
			go(worker, worker->consumers[i], false);
	}
	return NULL;
}

static void the_books_balance(void **state)
{
	uint64_t registered = 0, refused = 0, failed = 0, connects = 0, failures = 0;

	(void)state;
	assert_int_equal(vmirq_bypass_create(&bypass), 0);
	for (uint64_t i = 0; i < TOKENS; i++)
		books[i].token = i + 1;
	for (uint32_t i = 0; i < THREADS; i++) {
		workers[i].seed = i + 1;
		assert_int_equal(pthread_create(&workers[i].thread, NULL, come_and_go, &workers[i]),
				 0);
	}
	for (int i = 0; i < THREADS; i++) {
		pthread_join(workers[i].thread, NULL);
		registered += workers[i].registered;
		refused += workers[i].refused;
		failed += workers[i].failed;
	}
	assert_int_equal(vmirq_bypass_destroy(bypass), 0);
	for (int i = 0; i < TOKENS; i++) {
		assert_int_equal(books[i].connects, books[i].disconnects);
		assert_int_equal(books[i].stops, books[i].starts);
		assert_int_equal(books[i].stops,
				 books[i].connects + books[i].disconnects + books[i].failures);
		assert_false(books[i].connected);
		assert_int_equal(books[i].inside, 0);
		connects += books[i].connects;
		failures += books[i].failures;
	}
	print_message("%lu registered, %lu refused, %lu failed; %lu connects\n", registered,
		      refused, failed, connects);
	assert_int_equal(atomic_load(&wrong), 0);
	assert_int_equal(failed, failures);
	assert_true(connects > 0 && failed > 0 && refused > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(the_books_balance) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
