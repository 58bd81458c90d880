// SPDX-License-Identifier: MIT
/* Many pairs: each finds its own peer while the tables grow, and in the end the books are empty. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <vmirq/bypass.h>

#include "bypass/table.h"

/* Sanitizers take their time. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define PAIRS 30000u
#else
#define PAIRS 1000000u
#endif

struct pair {
	uint64_t token;
	uint32_t connects, disconnects;
	struct vmirq_producer *producer;
	struct vmirq_consumer *consumer;
};

static struct pair *pairs;
static struct vmirq_bypass *bypass;

static int add_producer(void *opaque, struct vmirq_producer *producer)
{
	struct pair *pair = opaque;

	pair->connects++;
	return vmirq_producer_token(producer) == pair->token ? 0 : -EPROTO;
}

static void del_producer(void *opaque, struct vmirq_producer *producer)
{
	struct pair *pair = opaque;

	pair->disconnects += vmirq_producer_token(producer) == pair->token;
}

static int register_producer(struct pair *pair)
{
	struct vmirq_producer_config config = { .size = sizeof(config), .token = pair->token };

	return vmirq_producer_register(bypass, &config, &pair->producer);
}

static int register_consumer(struct pair *pair)
{
	struct vmirq_consumer_config config = {
		.size = sizeof(config),
		.token = pair->token,
		.opaque = pair,
		.add_producer = add_producer,
		.del_producer = del_producer,
	};

	return vmirq_consumer_register(bypass, &config, &pair->consumer);
}

/* Tokens in a row, as the kernel's; apart in the high bits only; and all over. */
static uint64_t in_a_row(uint64_t i)
{
	return (UINT64_C(1) << 63 | 1) + i;
}

static uint64_t high_bits(uint64_t i)
{
	return (i + 1) << 43;
}

static uint64_t all_over(uint64_t i)
{
	return (i + 1) * UINT64_C(0x9e3779b97f4a7c15);
}

/* No chain is long: the tables have grown, and the tokens are spread. */
static void check_chains(uint32_t most)
{
	for (unsigned int s = 0; s < BYPASS_SHARDS; s++) {
		struct bypass_shard *shard = &bypass->shard[s];

		assert_true(shard->ends <= 2 * (shard->mask + 1));
		for (size_t i = 0; i <= shard->mask; i++) {
			uint32_t length = 0;

			for (struct bypass_end *end = shard->buckets[i]; end; end = end->next)
				length++;
			assert_true(length <= most);
		}
	}
}

static void fill(uint32_t n, uint64_t (*token)(uint64_t i))
{
	assert_int_equal(vmirq_bypass_create(&bypass), 0);
	for (uint32_t i = 0; i < n; i++) {
		pairs[i] = (struct pair){ .token = token(i) };
		assert_int_equal(register_producer(&pairs[i]), 0);
		/* Half of the consumers come at once, half when all producers are there. */
		if (i % 2)
			assert_int_equal(register_consumer(&pairs[i]), 0);
		if ((i & (i - 1)) == 0 && i < 100000)
			assert_true(vmirq_bypass_validate(bypass));
	}
	for (uint32_t i = 0; i < n; i += 2)
		assert_int_equal(register_consumer(&pairs[i]), 0);
	assert_true(vmirq_bypass_validate(bypass));
}

static void empty(uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		struct pair *pair = &pairs[i];

		assert_int_equal(pair->connects, 1);
		assert_int_equal(pair->disconnects, 0);
		/* All others are still to be found. */
		if (i % 64 == 0) {
			assert_int_equal(register_producer(pair), -EBUSY);
			assert_int_equal(register_consumer(pair), -EBUSY);
		}
		if (i % 3)
			assert_int_equal(vmirq_producer_unregister(pair->producer), 0);
		else
			assert_int_equal(vmirq_consumer_unregister(pair->consumer), 0);
		assert_int_equal(pair->disconnects, 1);
	}
	assert_true(vmirq_bypass_validate(bypass));
	assert_int_equal(vmirq_bypass_destroy(bypass), -EBUSY);
	for (uint32_t i = 0; i < n; i++) {
		if (i % 3)
			assert_int_equal(vmirq_consumer_unregister(pairs[i].consumer), 0);
		else
			assert_int_equal(vmirq_producer_unregister(pairs[i].producer), 0);
		assert_int_equal(pairs[i].connects, 1);
		assert_int_equal(pairs[i].disconnects, 1);
	}
	assert_int_equal(vmirq_bypass_destroy(bypass), 0);
}

static void a_million(void **state)
{
	(void)state;
	fill(PAIRS, in_a_row);
	check_chains(24);
	empty(PAIRS);
}

static void tokens_of_all_kinds(void **state)
{
	(void)state;
	fill(30000, high_bits);
	check_chains(24);
	empty(30000);
	fill(30000, all_over);
	check_chains(24);
	empty(30000);
}

/* Comes and goes, at every size about which a table doubles. */
static void churn_while_growing(void **state)
{
	uint32_t seed = 1, there = 0;

	(void)state;
	assert_int_equal(vmirq_bypass_create(&bypass), 0);
	for (uint32_t i = 0; i < 5000; i++)
		pairs[i] = (struct pair){ .token = in_a_row(i) };
	for (uint32_t turn = 0; turn < 60000; turn++) {
		struct pair *pair;
		uint32_t wanted = turn < 30000 ? turn / 6 : (60000 - turn) / 6;

		seed = seed * 1664525u + 1013904223u;
		pair = &pairs[(seed >> 8) % 5000];
		if (pair->producer && there > wanted) {
			assert_int_equal(vmirq_producer_unregister(pair->producer), 0);
			pair->producer = NULL;
			there--;
		} else if (!pair->producer) {
			assert_int_equal(register_producer(pair), 0);
			there++;
		}
		if (turn % 1000 == 0)
			assert_true(vmirq_bypass_validate(bypass));
	}
	assert_true(vmirq_bypass_validate(bypass));
	for (uint32_t i = 0; i < 5000; i++)
		assert_int_equal(vmirq_producer_unregister(pairs[i].producer), 0);
	assert_int_equal(vmirq_bypass_destroy(bypass), 0);
}

static int make_pairs(void **state)
{
	(void)state;
	pairs = calloc(PAIRS, sizeof(*pairs));
	return pairs ? 0 : -1;
}

static int free_pairs(void **state)
{
	(void)state;
	free(pairs);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_million),
		cmocka_unit_test(tokens_of_all_kinds),
		cmocka_unit_test(churn_while_growing),
	};

	return cmocka_run_group_tests(tests, make_pairs, free_pairs);
}
