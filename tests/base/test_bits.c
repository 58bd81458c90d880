// SPDX-License-Identifier: MIT
#include "../support.h"

#include "base/bits.h"
#include "base/vecset.h"

static void a_field_is_cut_out(void **state)
{
	(void)state;
	assert_int_equal(bits32(0xfee45678, 31, 20), 0xfee);
	assert_int_equal(bits32(0xfee45678, 19, 12), 0x45);
	assert_int_equal(bits32(0x80000000, 31, 31), 1);
	assert_int_equal(bits32(0xffffffff, 31, 0), 0xffffffff);
	assert_int_equal(bits32(0xffffffff, 0, 0), 1);
}

static void every_set_bit_is_visited_once_in_order(void **state)
{
	const uint64_t word = UINT64_C(1) | UINT64_C(1) << 7 | UINT64_C(1) << 63;
	uint64_t seen = 0;
	unsigned int bit, last = 0, n = 0;

	(void)state;
	for_each_bit(bit, word)
	{
		assert_true(n == 0 || bit > last);
		last = bit;
		seen |= bit64(bit);
		n++;
	}
	assert_int_equal(n, 3);
	assert_int_equal(seen, word);
	for_each_bit(bit, 0) fail_msg("an empty word has no bit %u", bit);
}

static void words_hold_what_they_are_asked_to(void **state)
{
	(void)state;
	assert_int_equal(BITS_WORDS(1), 1);
	assert_int_equal(BITS_WORDS(64), 1);
	assert_int_equal(BITS_WORDS(65), 2);
	assert_int_equal(BITS_WORDS(4096), 64);
}

static void a_vector_set_holds_each_of_256(void **state)
{
	struct vecset s = { 0 };

	(void)state;
	for (unsigned int v = 0; v < 256; v++) {
		assert_false(vecset_test(&s, (uint8_t)v));
		assert_false(vecset_test_and_set(&s, (uint8_t)v));
		assert_true(vecset_test(&s, (uint8_t)v));
		assert_true(vecset_test_and_set(&s, (uint8_t)v));
		for (unsigned int other = v + 1; other < 256; other++)
			assert_false(vecset_test(&s, (uint8_t)other));
	}
	for (unsigned int v = 0; v < 256; v++) {
		vecset_clear(&s, (uint8_t)v);
		assert_false(vecset_test(&s, (uint8_t)v));
		if (v < 255)
			assert_true(vecset_test(&s, (uint8_t)(v + 1)));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_field_is_cut_out),
		cmocka_unit_test(every_set_bit_is_visited_once_in_order),
		cmocka_unit_test(words_hold_what_they_are_asked_to),
		cmocka_unit_test(a_vector_set_holds_each_of_256),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
