/* SPDX-License-Identifier: MIT */
/*
 * Every offset and size at the table and the PBA of a device with 1, 3 and 2048 vectors, aligned or not,
 * inside, across the end, past it and where a sum would wrap (CVE-2020-13754, QEMU a2bdcdc7, XSA-164); and
 * that what is narrower than a register neither masks nor opens nor moves anything (XSA-128, XSA-129).
 * msix/test_table.c is about the registers; here the interrupts are looked at, too.
 */
#include "../msix/device.h"

#include <stdlib.h>

#define GUARD  16u
#define BEYOND 40u

static const uint32_t tables[] = { 1, 3, VMIRQ_MSIX_MAX_VECTORS };
static const uint32_t sizes[] = { 1, 2, 4, 8 };
/* Added to an offset; the last wraps to below 0. */
static const uint64_t bases[] = { 0, UINT64_C(1) << 31, UINT64_C(1) << 32, UINT64_C(1) << 63,
				  0 - 32ull };

typedef int access_fn(struct vmirq_msix *msix, uint64_t offset, void *data, uint32_t len,
		      bool is_write);

static bool allowed(uint64_t offset, uint32_t len, uint32_t size)
{
	return len >= 4 && offset % len == 0 && offset < size && len <= size - offset;
}

static uint8_t any_byte(uint64_t offset, uint32_t len, uint32_t i)
{
	return (uint8_t)(offset * 13 + offset / 16 * 7 + len * 5 + i * 29);
}

static uint32_t writable(uint32_t at)
{
	static const uint32_t bits[] = { 0xfffffffc, 0xffffffff, 0xffffffff, 1 };

	return bits[at % 16 / 4];
}

/* The model's word, from what has been written there. */
static void put(uint8_t *model, uint32_t at, const uint8_t *bytes)
{
	uint32_t word;

	memcpy(&word, bytes, 4);
	word &= writable(at);
	memcpy(model + at, &word, 4);
}

static void check_words(struct vmirq_msix *msix, const uint8_t *model, uint32_t from, uint32_t to)
{
	for (uint32_t at = from & ~3u; at < to; at += 4) {
		uint32_t word;

		memcpy(&word, model + at, 4);
		assert_int_equal(table_read(msix, at / 16, at % 16 / 4), word);
	}
}

/* What is read, and not a byte before or behind it. */
static void check_read(access_fn *access, struct vmirq_msix *msix, uint64_t offset, uint32_t len,
		       const uint8_t *expected)
{
	uint8_t got[GUARD + 8 + GUARD];

	memset(got, 0x5a, sizeof(got));
	assert_int_equal(access(msix, offset, got + GUARD, len, false), 0);
	for (uint32_t i = 0; i < sizeof(got); i++) {
		bool inside = i >= GUARD && i < GUARD + len;

		assert_int_equal(got[i], !inside ? 0x5a : expected ? expected[i - GUARD] : 0xff);
	}
}

static void one_table_access(struct vmirq_msix *msix, uint8_t *model, uint32_t size,
			     uint64_t offset, uint32_t len)
{
	bool good = allowed(offset, len, size);
	uint32_t near = offset < size ? (uint32_t)offset : size, from = near > 16 ? near - 16 : 0;
	uint8_t bytes[8];

	check_read(vmirq_msix_table_access, msix, offset, len, good ? model + offset : NULL);
	for (uint32_t i = 0; i < len; i++)
		bytes[i] = any_byte(offset, len, i);
	assert_int_equal(vmirq_msix_table_access(msix, offset, bytes, len, true), 0);
	for (uint32_t i = 0; good && i < len; i += 4)
		put(model, (uint32_t)offset + i, bytes + i);
	check_words(msix, model, from, near + 16 < size ? near + 16 : size);
}

/* The table of a device that is not enabled. */
static void table_of(uint32_t n)
{
	struct soft *s = soft_new(1);
	struct vmirq_msix *msix = device_new(s->vm, n);
	uint32_t size = VMIRQ_MSIX_TABLE_SIZE(n);
	uint8_t *model = calloc(1, size), masked[4] = { 1 };

	assert_non_null(model);
	for (uint32_t v = 0; v < n; v++)
		put(model, v * 16 + 12, masked);
	for (size_t b = 0; b < sizeof(bases) / sizeof(bases[0]); b++)
		for (uint64_t at = 0; at < (b ? BEYOND : size + BEYOND); at++)
			for (size_t l = 0; l < 4; l++)
				one_table_access(msix, model, size, bases[b] + at, sizes[l]);
	check_words(msix, model, 0, size);
	for (uint32_t v = 0; v < n; v++)
		assert_false(pba_bit(msix, v));
	free(model);
	device_free(msix);
	soft_free(s);
}

static void test_table(void **state)
{
	(void)state;
	for (size_t i = 0; i < 3; i++)
		table_of(tables[i]);
}

/* Every third vector is pending. Writes of zeros and of ones to the PBA clear and raise nothing. */
static void pba_of(uint32_t n)
{
	struct soft *s = soft_new(1);
	struct vmirq_msix *msix = device_new(s->vm, n);
	uint32_t size = VMIRQ_MSIX_PBA_SIZE(n);
	uint8_t *model = calloc(1, size);

	assert_non_null(model);
	for (uint32_t v = 0; v < n; v += 3) {
		assert_trigger(msix, v, VMIRQ_HELD);
		model[v / 8] |= (uint8_t)(1u << v % 8);
	}
	for (size_t b = 0; b < sizeof(bases) / sizeof(bases[0]); b++)
		for (uint64_t at = 0; at < (b ? BEYOND : size + BEYOND); at++)
			for (size_t l = 0; l < 4; l++) {
				uint64_t offset = bases[b] + at, zeros = 0, ones = UINT64_MAX;
				bool good = allowed(offset, sizes[l], size);

				assert_int_equal(
					vmirq_msix_pba_access(msix, offset, &zeros, sizes[l], true),
					0);
				assert_int_equal(
					vmirq_msix_pba_access(msix, offset, &ones, sizes[l], true),
					0);
				check_read(vmirq_msix_pba_access, msix, offset, sizes[l],
					   good ? model + offset : NULL);
			}
	for (uint32_t v = 0; v < n; v++)
		assert_int_equal(vector_counts(msix, v).raised, v % 3 == 0);
	free(model);
	device_free(msix);
	soft_free(s);
}

static void test_pba(void **state)
{
	(void)state;
	for (size_t i = 0; i < 3; i++)
		pba_of(tables[i]);
}

static uint8_t apic_vector(uint32_t v)
{
	return (uint8_t)(0x20 + v % 0xd0);
}

static void goes_on(struct soft *s, struct vmirq_msix *msix, uint32_t v, bool masked)
{
	assert_trigger(msix, v, masked ? VMIRQ_HELD : VMIRQ_DELIVERED);
	if (masked) {
		take_nothing(s->vcpu[0]);
		assert_true(pba_bit(msix, v));
		table_mask(msix, v, false);
	}
	take_only(s->vcpu[0], apic_vector(v));
	if (masked)
		table_mask(msix, v, true);
}

/* Any bytes to any place of a vector's entry and of its neighbours' edges that is no whole register: it stays
 * open, or masked, and goes where it went. */
static void ill_formed_at(struct soft *s, struct vmirq_msix *msix, uint32_t v, bool masked)
{
	static const uint8_t patterns[] = { 0, 0xff, 0x01, 0xfe };
	uint32_t size = VMIRQ_MSIX_TABLE_SIZE(vmirq_msix_allocated(msix));

	for (uint32_t at = v ? v * 16 - 8 : 0; at < v * 16 + 24; at++)
		for (size_t l = 0; l < 4; l++)
			for (size_t p = 0; p < sizeof(patterns) && !allowed(at, sizes[l], size);
			     p++) {
				uint8_t bytes[8];

				memset(bytes, patterns[p], sizeof(bytes));
				assert_int_equal(
					vmirq_msix_table_access(msix, at, bytes, sizes[l], true),
					0);
				assert_int_equal(vmirq_msix_pba_access(msix, v / 64 * 8, bytes,
								       sizes[l], true),
						 0);
				goes_on(s, msix, v, masked);
			}
}

static void interrupts_of(uint32_t n)
{
	struct soft *s = soft_new(1);
	struct vmirq_msix *msix = device_new(s->vm, n);
	uint32_t tried[] = { 0, n / 2, n - 1 };

	for (size_t i = 0; i < 3; i++)
		table_put(msix, tried[i], 0, apic_vector(tried[i]), false);
	enable(msix);
	for (size_t i = 0; i < 3; i++) {
		ill_formed_at(s, msix, tried[i], false);
		table_mask(msix, tried[i], true);
		ill_formed_at(s, msix, tried[i], true);
		table_mask(msix, tried[i], false);
	}
	device_free(msix);
	soft_free(s);
}

static void test_interrupts(void **state)
{
	(void)state;
	for (size_t i = 0; i < 3; i++)
		interrupts_of(tables[i]);
}

/* Of the doublewords that hold a mask bit only that bit counts; a quadword changes message and mask in one. */
static void test_mask_bits(void **state)
{
	struct soft *s = soft_new(1);
	struct vmirq_msix *msix = device_new(s->vm, 3);
	uint32_t word = 0xfffffffe;
	uint64_t both;

	(void)state;
	table_put(msix, 1, 0, 0x41, false);
	enable(msix);
	assert_int_equal(vmirq_msix_table_access(msix, 1 * 16 + 12, &word, 4, true), 0);
	assert_trigger(msix, 1, VMIRQ_DELIVERED);
	take_only(s->vcpu[0], 0x41);
	both = UINT64_C(0xffffffff) << 32 | 0x52;
	assert_int_equal(vmirq_msix_table_access(msix, 1 * 16 + 8, &both, 8, true), 0);
	assert_trigger(msix, 1, VMIRQ_HELD);
	take_nothing(s->vcpu[0]);
	/* It comes with the message of the access that opens it. */
	both = UINT64_C(0xfffffffe) << 32 | 0x63;
	assert_int_equal(vmirq_msix_table_access(msix, 1 * 16 + 8, &both, 8, true), 0);
	take_only(s->vcpu[0], 0x63);
	assert_int_equal(table_read(msix, 0, ENTRY_CONTROL), 1);
	assert_int_equal(table_read(msix, 2, ENTRY_CONTROL), 1);
	device_free(msix);
	soft_free(s);
}

/* Mask bits of an MSI capability by bytes, words and the doubleword: those of the bytes written, no others. */
static void test_msi_mask_bytes(void **state)
{
	enum { CONTROL = 2, ADDRESS = 4, DATA = 12, MASK = 16, PENDING = 20 };
	struct soft *s = soft_new(1);
	struct vmirq_msix *msix = device_new_msi(
		s->vm, 32, VMIRQ_MSIX_MSI | VMIRQ_MSIX_MSI_64BIT | VMIRQ_MSIX_MSI_MASKABLE);
	uint32_t mask = 0, pending, value = 0x9e3779b9;

	(void)state;
	msi_write(msix, ADDRESS, 4, 0xfee00000);
	msi_write(msix, DATA, 2, 0x80);
	msi_write(msix, CONTROL, 2, 0x0051);
	for (uint32_t round = 0; round < 200; round++) {
		uint32_t len = 1u << round % 3, at = round / 3 % 4 / len * len;
		uint32_t bits = (len == 4 ? UINT32_MAX : (1u << len * 8) - 1) << at * 8;

		value = value * 1664525u + 1013904223u;
		msi_write(msix, MASK + at, len, value >> at * 8);
		/* The pending bits are nobody's to write, however narrow. */
		pending = msi_read(msix, PENDING, 4);
		msi_write(msix, PENDING + at, len, value);
		assert_int_equal(msi_read(msix, PENDING, 4), pending);
		mask = (mask & ~bits) | (value & bits);
		assert_int_equal(msi_read(msix, MASK, 4), mask);
		take_all(s->vcpu[0], NULL);
		assert_int_equal(msi_read(msix, PENDING, 4) & ~mask, 0);
		for (uint32_t v = 0; v < 32; v++) {
			enum vmirq_verdict verdict = vmirq_msix_trigger(msix, v);

			if (mask >> v & 1)
				assert_true(verdict == VMIRQ_HELD || verdict == VMIRQ_COALESCED);
			else
				assert_verdict(verdict, VMIRQ_DELIVERED);
		}
		assert_int_equal(msi_read(msix, PENDING, 4), mask);
		assert_int_equal(take_all(s->vcpu[0], NULL),
				 32u - (unsigned int)__builtin_popcount(mask));
	}
	device_free(msix);
	soft_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),	       cmocka_unit_test(test_pba),
		cmocka_unit_test(test_interrupts),     cmocka_unit_test(test_mask_bits),
		cmocka_unit_test(test_msi_mask_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
