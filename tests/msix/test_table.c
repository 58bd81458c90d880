// SPDX-License-Identifier: MIT
/* Every access a guest can make to the table and the PBA: what the specification allows does what it says,
 * all else does nothing (CVE-2020-13754, XSA-128, XSA-129, XSA-164). */
#include "device.h"

#include <stdlib.h>

#define VECTORS 3u
#define TABLE	VMIRQ_MSIX_TABLE_SIZE(VECTORS)
#define LONGEST 64u

static bool allowed(uint64_t offset, uint32_t len, uint32_t size)
{
	return (len == 4 || len == 8) && offset % len == 0 && offset + len <= size;
}

/* What the table holds must be, byte for byte. */
static void check_table(struct vmirq_msix *msix, const uint8_t *model)
{
	for (uint32_t at = 0; at < TABLE; at += 4) {
		uint32_t word;

		memcpy(&word, model + at, 4);
		assert_int_equal(table_read(msix, at / 16, at % 16 / 4), word);
	}
}

static void put(uint8_t *model, uint32_t at, uint32_t value)
{
	/* Reserved bits, and address bits 1:0. */
	static const uint32_t writable[] = { 0xfffffffc, 0xffffffff, 0xffffffff, 1 };

	value &= writable[at % 16 / 4];
	memcpy(model + at, &value, 4);
}

static void test_every_write(void **state)
{
	struct soft *s = soft_new(1);
	struct vmirq_msix *msix = device_new(s->vm, VECTORS);
	uint8_t model[TABLE], bytes[LONGEST];

	(void)state;
	memset(model, 0, sizeof(model));
	for (uint32_t v = 0; v < VECTORS; v++)
		put(model, v * 16 + 12, 1);
	check_table(msix, model);
	for (uint32_t offset = 0; offset < TABLE + 70; offset++)
		for (uint32_t len = 0; len <= LONGEST; len++) {
			for (uint32_t i = 0; i < LONGEST; i++)
				bytes[i] = (uint8_t)(offset * 7 + len * 3 + i * 11);
			assert_int_equal(vmirq_msix_table_access(msix, offset, bytes, len, true),
					 0);
			for (uint32_t i = 0; allowed(offset, len, TABLE) && i < len; i += 4) {
				uint32_t value;

				memcpy(&value, bytes + i, 4);
				put(model, offset + i, value);
			}
			check_table(msix, model);
		}
	device_free(msix);
	soft_free(s);
}

static void check_read(const uint8_t *got, const uint8_t *expected, uint32_t len)
{
	assert_memory_equal(got, expected, len);
	/* Not a byte more than was asked for. */
	for (uint32_t i = len; i < LONGEST + 8; i++)
		assert_int_equal(got[i], 0x5a);
}

static void test_every_read(void **state)
{
	struct soft *s = soft_new(1);
	struct vmirq_msix *msix = device_new(s->vm, VECTORS);
	uint8_t model[TABLE + LONGEST + 70], got[LONGEST + 8], ones[LONGEST];

	(void)state;
	memset(ones, 0xff, sizeof(ones));
	memset(model, 0, sizeof(model));
	for (uint32_t at = 0; at < TABLE; at += 4) {
		uint32_t value = 0x01020304u * (at + 1);

		put(model, at, value);
		table_write(msix, at / 16, at % 16 / 4, value);
	}
	for (uint32_t offset = 0; offset < TABLE + 70; offset++)
		for (uint32_t len = 0; len <= LONGEST; len++) {
			memset(got, 0x5a, sizeof(got));
			assert_int_equal(vmirq_msix_table_access(msix, offset, got, len, false), 0);
			check_read(got, allowed(offset, len, TABLE) ? model + offset : ones, len);
		}
	device_free(msix);
	soft_free(s);
}

static void test_far_offsets(void **state)
{
	static const uint64_t far[] = {
		TABLE,		UINT64_C(1) << 32, (UINT64_C(1) << 32) + 8, UINT64_MAX,
		UINT64_MAX - 3, UINT64_MAX - 7,	   UINT64_C(1) << 63
	};
	struct soft *s = soft_new(1);
	struct vmirq_msix *msix = device_new(s->vm, VECTORS);
	uint64_t value, zero = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(far) / sizeof(far[0]); i++)
		for (uint32_t len = 4; len <= 8; len += 4) {
			assert_int_equal(vmirq_msix_table_access(msix, far[i], &zero, len, true),
					 0);
			assert_int_equal(vmirq_msix_pba_access(msix, far[i], &zero, len, true), 0);
			value = 0;
			assert_int_equal(vmirq_msix_table_access(msix, far[i], &value, len, false),
					 0);
			assert_true(value == (len == 8 ? UINT64_MAX : UINT32_MAX));
			value = 0;
			assert_int_equal(vmirq_msix_pba_access(msix, far[i], &value, len, false),
					 0);
			assert_true(value == (len == 8 ? UINT64_MAX : UINT32_MAX));
		}
	for (uint32_t v = 0; v < VECTORS; v++)
		assert_int_equal(table_read(msix, v, ENTRY_CONTROL), 1);
	device_free(msix);
	soft_free(s);
}

/* 70 vectors: two quadwords, of which the second is used in part. Every third is pending. */
static void test_every_pba_access(void **state)
{
	enum { MANY = 70, PBA = 16 };
	struct soft *s = soft_new(1);
	struct vmirq_msix *msix = device_new(s->vm, MANY);
	uint8_t model[PBA] = { 0 }, got[LONGEST + 8], ones[LONGEST];

	(void)state;
	assert_int_equal(VMIRQ_MSIX_PBA_SIZE(MANY), PBA);
	memset(ones, 0xff, sizeof(ones));
	for (uint32_t v = 0; v < MANY; v += 3) {
		assert_trigger(msix, v, VMIRQ_HELD);
		model[v / 8] |= (uint8_t)(1u << v % 8);
	}
	for (uint32_t offset = 0; offset < PBA + 70; offset++)
		for (uint32_t len = 0; len <= LONGEST; len++) {
			assert_int_equal(vmirq_msix_pba_access(msix, offset, ones, len, true), 0);
			memset(got, 0x5a, sizeof(got));
			assert_int_equal(vmirq_msix_pba_access(msix, offset, got, len, false), 0);
			check_read(got, allowed(offset, len, PBA) ? model + offset : ones, len);
		}
	device_free(msix);
	soft_free(s);
}

static void test_whole_size(void **state)
{
	struct soft *s = soft_new(1);
	struct vmirq_msix *msix = device_new(s->vm, VMIRQ_MSIX_MAX_VECTORS);

	(void)state;
	table_put(msix, 2047, 0, 0x77, false);
	assert_trigger(msix, 2047, VMIRQ_HELD);
	assert_true(pba_bit(msix, 2047));
	assert_false(pba_bit(msix, 2046));
	enable(msix);
	take_only(s->vcpu[0], 0x77);
	assert_trigger(msix, 2048, VMIRQ_NO_ROUTE);
	assert_trigger(msix, UINT32_MAX, VMIRQ_NO_ROUTE);
	device_free(msix);
	soft_free(s);
}

/* A table that was enabled: whatever is written to it, the VM's books stay good. */
static void test_any_message(void **state)
{
	struct soft *s = soft_new(2);
	struct vmirq_msix *msix = device_new(s->vm, VECTORS);
	uint32_t random = 1;

	(void)state;
	enable(msix);
	for (int i = 0; i < 20000; i++) {
		uint32_t v = random >> 8 & 1, word = random >> 12 & 3, value;

		random = random * 1664525u + 1013904223u;
		value = random & 0x100 ? random : 0xfee00000u | (random >> 9 & 0xff0ff);
		table_write(msix, v, word, value);
		random = random * 1664525u + 1013904223u;
		vmirq_msix_trigger(msix, random >> 16 & 3);
	}
	for (uint32_t v = 0; v < VECTORS; v++) {
		struct vmirq_route_counts c = vector_counts(msix, v);
		uint64_t sum = c.held;

		for (int i = 0; i < VMIRQ_VERDICTS; i++)
			sum += c.verdict[i];
		assert_int_equal(c.raised, sum);
	}
	device_free(msix);
	assert_int_equal(vmirq_vm_destroy(s->vm), 0);
	free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_write), cmocka_unit_test(test_every_read),
		cmocka_unit_test(test_far_offsets), cmocka_unit_test(test_every_pba_access),
		cmocka_unit_test(test_whole_size),  cmocka_unit_test(test_any_message),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
