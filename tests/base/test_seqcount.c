// SPDX-License-Identifier: MIT
#include "../support.h"

#include "base/seqcount.h"

static void a_quiet_read_is_good(void **state)
{
	struct seqcount s = { 0 };
	uint32_t seq = seq_read_begin(&s);

	(void)state;
	assert_int_equal(seq & 1, 0);
	assert_false(seq_read_retry(&s, seq));
}

static void a_write_between_is_seen(void **state)
{
	struct seqcount s = { 0 };
	uint32_t seq = seq_read_begin(&s);

	(void)state;
	seq_write_begin(&s);
	assert_true(seq_read_retry(&s, seq));
	/* Begun in the middle of a write it is never good. */
	assert_int_equal(seq_peek(&s) & 1, 1);
	seq_write_end(&s);
	assert_true(seq_read_retry(&s, seq));
	seq = seq_read_begin(&s);
	assert_false(seq_read_retry(&s, seq));
}

static void only_one_writer_gets_in_and_only_if_nothing_was_written(void **state)
{
	struct seqcount s = { 0 };
	uint32_t first = seq_read_begin(&s);

	(void)state;
	assert_true(seq_write_try(&s, first));
	assert_false(seq_write_try(&s, first));
	assert_false(seq_write_try(&s, first + 2));
	seq_write_end(&s);
	assert_false(seq_write_try(&s, first));
	assert_true(seq_write_try(&s, first + 2));
	assert_false(seq_write_try(&s, first + 2));
	seq_write_end(&s);
	assert_int_equal(seq_peek(&s), first + 4);
}

static void the_counter_may_turn_over(void **state)
{
	struct seqcount s = { .seq = UINT32_MAX - 1 };
	uint32_t seq = seq_read_begin(&s);

	(void)state;
	seq_write_begin(&s);
	seq_write_end(&s);
	assert_true(seq_read_retry(&s, seq));
	assert_int_equal(seq_read_begin(&s), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_quiet_read_is_good),
		cmocka_unit_test(a_write_between_is_seen),
		cmocka_unit_test(only_one_writer_gets_in_and_only_if_nothing_was_written),
		cmocka_unit_test(the_counter_may_turn_over),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
