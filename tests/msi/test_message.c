// SPDX-License-Identifier: MIT
/* Fields of an MSI message (SDM vol. 3A 11.11). */
#include "../support.h"

#include "msi/message.h"

static const struct msi_format plain, wide = { .ids_32bit = true }, ext = { .ext_dest_id = true };

static struct interrupt decode(uint64_t address, uint32_t data, struct msi_format format)
{
	struct msi_message msg = { .address_lo = (uint32_t)address,
				   .address_hi = (uint32_t)(address >> 32),
				   .data = data };
	struct interrupt irq;

	memset(&irq, 0xff, sizeof(irq));
	vmirq_msi_decode(&msg, format, &irq);
	return irq;
}

static void address_bits(void **state)
{
	struct interrupt irq = decode(0xfeeab000, 0, plain);

	(void)state;
	assert_true(irq.interrupt);
	assert_int_equal(irq.dest, 0xab);
	assert_false(irq.logical);
	assert_false(irq.redirect);
	assert_false(irq.ipi);
	assert_true(decode(0xfee00004, 0, plain).logical);
	assert_false(decode(0xfee00004, 0, plain).redirect);
	assert_true(decode(0xfee00008, 0, plain).redirect);
	assert_false(decode(0xfee00008, 0, plain).logical);
	assert_false(decode(0x12300000, 0, plain).interrupt);
	assert_false(decode(0xfed00000, 0, plain).interrupt);
	assert_false(decode(0xfef00000, 0, plain).interrupt);
}

static void data_bits(void **state)
{
	(void)state;
	for (uint32_t vector = 0; vector < 256; vector++)
		assert_int_equal(decode(0xfee00000, 0xffff0000 | vector, plain).vector, vector);
	for (uint32_t mode = 0; mode < 8; mode++)
		assert_int_equal(decode(0xfee00000, mode << 8 | 0x31, plain).mode, mode);
	assert_true(decode(0xfee00000, 1u << 15, plain).level);
	assert_false(decode(0xfee00000, 1u << 14, plain).level);
}

static void upper_id_bits_only_where_the_format_has_them(void **state)
{
	const uint64_t address = UINT64_C(0xabcdef00fee12fe0);

	(void)state;
	assert_int_equal(decode(address, 0, plain).dest, 0x12);
	assert_int_equal(decode(address, 0, wide).dest, 0xabcdef12);
	/* address_lo 11:5 is id 14:8. */
	assert_int_equal(decode(address, 0, ext).dest, 0x7f12);
	assert_int_equal(decode(0xfee12020, 0, ext).dest, 0x112);
	assert_int_equal(decode(0xfee12800, 0, ext).dest, 0x4012);
	assert_int_equal(decode(0xfee1201c, 0, ext).dest, 0x12);
}

static void low_byte_of_address_hi_is_reserved_with_32_bit_ids(void **state)
{
	struct msi_message msg = { .address_lo = 0xfee00000 };

	(void)state;
	for (uint32_t low = 0; low < 256; low++) {
		msg.address_hi = 0xabcdef00 | low;
		assert_int_equal(msi_message_valid(&msg, wide), low == 0);
		assert_true(msi_message_valid(&msg, plain));
		assert_true(msi_message_valid(&msg, ext));
	}
}

static void what_is_encoded_decodes_to_the_same(void **state)
{
	const struct {
		struct msi_format format;
		uint32_t dest;
	} cases[] = { { plain, 0 },    { plain, 0xff }, { wide, 0xfffffffe },
		      { wide, 0x100 }, { ext, 0x7fff }, { ext, 0x180 } };

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		for (unsigned int flags = 0; flags < 8; flags++) {
			struct interrupt in = { .dest = cases[i].dest,
						.vector = 0xa5,
						.mode = (uint8_t)(flags ^ 5),
						.logical = flags & 1,
						.redirect = flags & 2,
						.level = flags & 4,
						.interrupt = true };
			struct interrupt out;
			struct msi_message msg;

			vmirq_msi_encode(&in, cases[i].format, &msg);
			assert_true(msi_message_valid(&msg, cases[i].format));
			vmirq_msi_decode(&msg, cases[i].format, &out);
			assert_int_equal(out.dest, in.dest);
			assert_int_equal(out.vector, in.vector);
			assert_int_equal(out.mode, in.mode);
			assert_int_equal(out.logical, in.logical);
			assert_int_equal(out.redirect, in.redirect);
			assert_int_equal(out.level, in.level);
			assert_true(out.interrupt);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(address_bits),
		cmocka_unit_test(data_bits),
		cmocka_unit_test(upper_id_bits_only_where_the_format_has_them),
		cmocka_unit_test(low_byte_of_address_hi_is_reserved_with_32_bit_ids),
		cmocka_unit_test(what_is_encoded_decodes_to_the_same),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
