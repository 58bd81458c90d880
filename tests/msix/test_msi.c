// SPDX-License-Identifier: MIT
/* The MSI capability (PCI 6.8.1): registers by offset, messages by number, masks. */
#include "device.h"

#define FULL (VMIRQ_MSIX_MSI | VMIRQ_MSIX_MSI_64BIT | VMIRQ_MSIX_MSI_MASKABLE)

/* Offsets of the full capability. */
enum { CONTROL = 2, ADDRESS = 4, ADDRESS_HI = 8, DATA = 12, MASK = 16, PENDING = 20, END = 24 };

static void test_32_vectors(void **state)
{
	struct soft *s = soft_new(2);
	struct vmirq_msix *msix = device_new_msi(s->vm, 32, FULL);
	unsigned int before = free_gsis(s->vm);

	(void)state;
	assert_int_equal(msi_read(msix, CONTROL, 2), 0x018a);
	assert_int_equal(vmirq_msix_allocated(msix), 1);
	msi_write(msix, ADDRESS, 4, 0xfee01000);
	/* The low five bits are the device's. */
	msi_write(msix, DATA, 2, 0x9b);
	msi_write(msix, CONTROL, 2, 0x0051);
	assert_int_equal(msi_read(msix, CONTROL, 2), 0x01db);
	assert_int_equal(vmirq_msix_allocated(msix), 32);
	assert_int_equal(free_gsis(s->vm), before - 32);
	for (uint32_t v = 0; v < 32; v++) {
		assert_trigger(msix, v, VMIRQ_DELIVERED);
		take_only(s->vcpu[1], (uint8_t)(0x80 + v));
	}
	/* Every one masked by its bit alone. */
	for (uint32_t v = 0; v < 32; v++) {
		msi_write(msix, MASK, 4, 1u << v);
		for (uint32_t i = 0; i < 32; i++)
			assert_trigger(msix, i, i == v ? VMIRQ_HELD : VMIRQ_DELIVERED);
		assert_int_equal(msi_read(msix, PENDING, 4), 1u << v);
		assert_int_equal(take_all(s->vcpu[1], NULL), 31);
		msi_write(msix, PENDING, 4, 0);
		assert_int_equal(msi_read(msix, PENDING, 4), 1u << v);
		msi_write(msix, MASK, 4, 0);
		take_only(s->vcpu[1], (uint8_t)(0x80 + v));
		assert_int_equal(msi_read(msix, PENDING, 4), 0);
	}
	/* All at once, to another vCPU. */
	msi_write(msix, ADDRESS, 4, 0xfee00000);
	for (uint32_t v = 0; v < 32; v++)
		assert_trigger(msix, v, VMIRQ_DELIVERED);
	assert_int_equal(take_all(s->vcpu[0], NULL), 32);
	take_nothing(s->vcpu[1]);
	device_free(msix);
	assert_int_equal(free_gsis(s->vm), before);
	soft_free(s);
}

/* The guest enables fewer than there are: the others wait. */
static void test_fewer_allocated(void **state)
{
	struct soft *s = soft_new(1);
	struct vmirq_msix *msix = device_new_msi(s->vm, 8, VMIRQ_MSIX_MSI);

	(void)state;
	msi_write(msix, 4, 4, 0xfee00000);
	msi_write(msix, 8, 2, 0x47);
	msi_write(msix, CONTROL, 2, 0x0011);
	assert_int_equal(vmirq_msix_allocated(msix), 2);
	for (uint32_t v = 0; v < 8; v++)
		assert_trigger(msix, v, v < 2 ? VMIRQ_DELIVERED : VMIRQ_HELD);
	assert_int_equal(take_all(s->vcpu[0], NULL), 2);
	/* More than there are: all. */
	msi_write(msix, CONTROL, 2, 0x0071);
	assert_int_equal(msi_read(msix, CONTROL, 2), 0x0037);
	assert_int_equal(vmirq_msix_allocated(msix), 8);
	assert_int_equal(take_all(s->vcpu[0], NULL), 6);
	assert_trigger(msix, 0, VMIRQ_DELIVERED);
	take_only(s->vcpu[0], 0x40);
	assert_trigger(msix, 8, VMIRQ_NO_ROUTE);
	device_free(msix);
	soft_free(s);
}

static void test_disabled(void **state)
{
	struct soft *s = soft_new(1);
	struct vmirq_msix *msix = device_new_msi(s->vm, 1, VMIRQ_MSIX_MSI);

	(void)state;
	msi_write(msix, 4, 4, 0xfee00000);
	msi_write(msix, 8, 2, 0x31);
	assert_trigger(msix, 0, VMIRQ_HELD);
	msi_write(msix, CONTROL, 2, 1);
	take_only(s->vcpu[0], 0x31);
	msi_write(msix, CONTROL, 2, 0);
	assert_trigger(msix, 0, VMIRQ_HELD);
	take_nothing(s->vcpu[0]);
	assert_int_equal(vmirq_msix_reset(msix), 0);
	assert_int_equal(msi_read(msix, 4, 4), 0);
	msi_write(msix, 4, 4, 0xfee00000);
	msi_write(msix, 8, 2, 0x31);
	msi_write(msix, CONTROL, 2, 1);
	take_nothing(s->vcpu[0]);
	assert_int_equal(vmirq_msix_table_access(msix, 0, &(uint32_t){ 0 }, 4, true), -EINVAL);
	assert_int_equal(vmirq_msix_pba_access(msix, 0, &(uint32_t){ 0 }, 4, false), -EINVAL);
	assert_int_equal(vmirq_msix_set_control(msix, true, false), -EINVAL);
	device_free(msix);
	soft_free(s);
}

/* Where the four kinds of capability have their registers: what is written is read, what is not there
 * gives ones. */
static void test_layouts(void **state)
{
	static const struct {
		uint32_t flags;
		uint32_t data, mask, end;
	} kinds[] = {
		{ 0, 8, 0, 12 },
		{ VMIRQ_MSIX_MSI_64BIT, 12, 0, 16 },
		{ VMIRQ_MSIX_MSI_MASKABLE, 8, 12, 20 },
		{ VMIRQ_MSIX_MSI_64BIT | VMIRQ_MSIX_MSI_MASKABLE, 12, 16, 24 },
	};
	struct soft *s = soft_new(1);

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		struct vmirq_msix *msix = device_new_msi(s->vm, 4, kinds[i].flags | VMIRQ_MSIX_MSI);

		assert_int_equal(msi_read(msix, 0, 1), 5);
		for (uint32_t at = 4; at < kinds[i].end; at += 4)
			msi_write(msix, at, 4, 0xffffffff);
		assert_int_equal(msi_read(msix, 4, 4), 0xfffffffc);
		if (kinds[i].flags & VMIRQ_MSIX_MSI_64BIT)
			assert_int_equal(msi_read(msix, 8, 4), 0xffffffff);
		assert_int_equal(msi_read(msix, kinds[i].data, 4), 0xffff);
		if (kinds[i].mask) {
			assert_int_equal(msi_read(msix, kinds[i].mask, 4), 0xf);
			assert_int_equal(msi_read(msix, kinds[i].mask + 4, 4), 0);
		}
		assert_int_equal(msi_read(msix, kinds[i].end, 4), 0xffffffff);
		assert_int_equal(msi_read(msix, UINT32_MAX - 3, 4), 0xffffffff);
		device_free(msix);
	}
	soft_free(s);
}

/* Every access: bytes, words, doublewords in their places; all else is nothing. */
static void test_every_access(void **state)
{
	static const uint8_t writable[END] = {
		0,    0,    0x71, 0,	0xfc, 0xff, 0xff, 0xff, 0xff, 0xff,
		0xff, 0xff, 0xff, 0xff, 0,    0,    0xff, 0xff, 0,    0,
	};
	uint8_t model[END] = { 5, 0, 0x88, 1 }, bytes[64], got[64];
	struct soft *s = soft_new(1);
	struct vmirq_msix *msix = device_new_msi(s->vm, 16, FULL);

	(void)state;
	for (uint32_t offset = 0; offset < END + 40; offset++)
		for (uint32_t len = 0; len <= 64; len++) {
			bool good = (len == 1 || len == 2 || len == 4) && offset % len == 0 &&
				    offset + len <= END;

			for (uint32_t i = 0; i < 64; i++)
				bytes[i] = (uint8_t)(offset * 5 + len + i * 3) & 0xbf;
			assert_int_equal(vmirq_msix_msi_access(msix, offset, bytes, len, true), 0);
			for (uint32_t i = 0; good && i < len; i++) {
				uint8_t *at = &model[offset + i];

				*at = (uint8_t)((*at & ~writable[offset + i]) |
						(bytes[i] & writable[offset + i]));
			}
			/* Not more than 16 of them. */
			if ((model[2] >> 4 & 7) > 4)
				model[2] = (uint8_t)((model[2] & 0x8f) | 4 << 4);
			memset(got, 0x5a, sizeof(got));
			assert_int_equal(vmirq_msix_msi_access(msix, offset, got, len, false), 0);
			for (uint32_t i = 0; i < 64; i++)
				assert_int_equal(got[i], i >= len ? 0x5a
							 : good	  ? model[offset + i]
								  : 0xff);
			for (uint32_t i = 0; i < END; i++)
				assert_int_equal(msi_read(msix, i, 1), model[i]);
		}
	device_free(msix);
	soft_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_32_vectors),   cmocka_unit_test(test_fewer_allocated),
		cmocka_unit_test(test_disabled),     cmocka_unit_test(test_layouts),
		cmocka_unit_test(test_every_access),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
