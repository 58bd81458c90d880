// SPDX-License-Identifier: MIT
/* Things of one size, whose memory grows with them. */
#include "../support.h"

#include <stdlib.h>
#include <string.h>

#include "base/chunk.h"

#define SIZE 192u
#define MANY 40000u

static uint32_t chunks_of(const struct chunks *chunks, uint32_t *taken)
{
	uint32_t n = 0;

	*taken = 0;
	for (const struct chunk *chunk = chunks->last; chunk; chunk = chunk->next) {
		*taken += chunk->taken;
		n++;
	}
	return n;
}

static void few_cost_little(void **state)
{
	struct chunks chunks = { .size = SIZE, .first = 16 };
	uint32_t taken;

	(void)state;
	for (uint32_t i = 1; i <= 4096; i++) {
		assert_non_null(vmirq_chunks_take(&chunks));
		assert_true(chunks.total >= i && chunks.total < (i <= 16 ? 17 : 2 * i));
	}
	/* Twice as many each time: none is left over. */
	assert_int_equal(chunks.total, 4096);
	assert_int_equal(chunks_of(&chunks, &taken), 9);
	assert_int_equal(taken, 4096);
	vmirq_chunks_free(&chunks);
	assert_null(chunks.last);
}

static void none_is_on_another(void **state)
{
	struct chunks chunks = { .size = SIZE, .first = 1 };
	unsigned char **thing = calloc(MANY, sizeof(*thing));
	unsigned char whole[SIZE];
	uint32_t taken;

	(void)state;
	assert_non_null(thing);
	for (uint32_t i = 0; i < MANY; i++) {
		thing[i] = vmirq_chunks_take(&chunks);
		assert_non_null(thing[i]);
		assert_int_equal((uintptr_t)thing[i] % CACHE_LINE, 0);
		memset(thing[i], (int)(i % 251), SIZE);
	}
	for (uint32_t i = 0; i < MANY; i++) {
		memset(whole, (int)(i % 251), SIZE);
		assert_memory_equal(thing[i], whole, SIZE);
	}
	chunks_of(&chunks, &taken);
	assert_int_equal(taken, MANY);
	/* The large ones begin where a large page does, and are no larger. */
	assert_int_equal((uintptr_t)chunks.last % (2u << 20), 0);
	assert_true(sizeof(*chunks.last) + chunks.last->n * (size_t)SIZE <= 2u << 20);
	/* And each can be found again. */
	assert_ptr_equal(chunk_thing(&chunks, chunks.last, chunks.last->taken - 1),
			 thing[MANY - 1]);
	vmirq_chunks_free(&chunks);
	free(thing);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(few_cost_little),
		cmocka_unit_test(none_is_on_another),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
