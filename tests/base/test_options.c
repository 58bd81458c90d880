// SPDX-License-Identifier: MIT
#include "../support.h"

#include "base/options.h"

struct mine {
	size_t size;
	uint64_t a, b;
};

/* A later release's. */
struct theirs {
	struct mine known;
	unsigned char tail[24];
};

#define LEAST offsetof(struct mine, b)

static void a_shorter_one_is_filled_with_zeroes(void **state)
{
	struct mine from = { .size = LEAST, .a = 5, .b = 7 }, to;

	(void)state;
	memset(&to, 0xff, sizeof(to));
	assert_int_equal(options_copy(&to, sizeof(to), LEAST, &from, from.size), 0);
	assert_int_equal(to.a, 5);
	assert_int_equal(to.b, 0);
}

static void a_whole_one_is_copied(void **state)
{
	struct mine from = { .size = sizeof(from), .a = 5, .b = 7 }, to;

	(void)state;
	assert_int_equal(options_copy(&to, sizeof(to), LEAST, &from, from.size), 0);
	assert_memory_equal(&to, &from, sizeof(to));
}

static void one_shorter_than_the_first_release_is_einval(void **state)
{
	struct mine from = { .a = 5 }, to;

	(void)state;
	for (size_t size = 0; size < LEAST; size++)
		assert_int_equal(options_copy(&to, sizeof(to), LEAST, &from, size), -EINVAL);
}

static void a_longer_one_is_taken_if_its_tail_is_zero(void **state)
{
	struct theirs from = { .known = { .a = 5, .b = 7 } };
	struct mine to;

	(void)state;
	assert_int_equal(options_copy(&to, sizeof(to), LEAST, &from, sizeof(from)), 0);
	assert_int_equal(to.b, 7);
	for (size_t i = 0; i < sizeof(from.tail); i++) {
		memset(from.tail, 0, sizeof(from.tail));
		from.tail[i] = 1;
		assert_int_equal(options_copy(&to, sizeof(to), LEAST, &from, sizeof(from)), -E2BIG);
		/* What lies past the size that is given does not count. */
		assert_int_equal(options_copy(&to, sizeof(to), LEAST, &from,
					      offsetof(struct theirs, tail) + i),
				 0);
	}
}

static void a_size_that_cannot_be_is_not_read(void **state)
{
	struct mine from = { .a = 5 }, to;

	(void)state;
	assert_int_equal(options_copy(&to, sizeof(to), LEAST, &from, UINT32_MAX), -E2BIG);
	assert_int_equal(options_copy(&to, sizeof(to), LEAST, &from, SIZE_MAX), -E2BIG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_shorter_one_is_filled_with_zeroes),
		cmocka_unit_test(a_whole_one_is_copied),
		cmocka_unit_test(one_shorter_than_the_first_release_is_einval),
		cmocka_unit_test(a_longer_one_is_taken_if_its_tail_is_zero),
		cmocka_unit_test(a_size_that_cannot_be_is_not_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
