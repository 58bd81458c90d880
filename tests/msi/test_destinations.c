// SPDX-License-Identifier: MIT
/* Whom a message means: physical and logical ids, flat, cluster, x2APIC, broadcast, lowest priority,
 * redirection hint, wide ids (SDM vol. 3A 11.6.2, 11.12.10). */
#include "../support.h"

#define LOGICAL 4u
#define HINT	8u

/* Who took `vector` (as bits by slot); nobody has anything else. */
static uint64_t takers(struct soft *s, uint8_t vector)
{
	uint64_t who = 0;

	for (unsigned int i = 0; i < s->n; i++) {
		if (!s->vcpu[i] || vmirq_vcpu_next_vector(s->vcpu[i]) < 0)
			continue;
		take_only(s->vcpu[i], vector);
		who |= UINT64_C(1) << i;
	}
	return who;
}

/* Send to `dest`, check the number, and say who took it. */
static uint64_t sent_to(struct soft *s, uint32_t dest, uint32_t address_bits, uint32_t data,
			int accepted)
{
	struct kvm_msi msi = { .address_lo = 0xfee00000u | (dest & 0xff) << 12 | address_bits,
			       .address_hi = dest & ~0xffu,
			       .data = data };
	uint64_t who;

	assert_int_equal(send(s, msi, accepted ? VMIRQ_DELIVERED : VMIRQ_NO_TARGET), accepted);
	who = takers(s, (uint8_t)data);
	assert_int_equal(__builtin_popcountll(who), accepted);
	if (accepted)
		s->posted_beyond += accepted - 1;
	return who;
}

static void physical(void **state)
{
	struct soft *s = soft_new(4);

	(void)state;
	for (uint32_t id = 0; id < 4; id++)
		assert_int_equal(sent_to(s, id, 0, 0x40, 1), 1u << id);
	for (uint32_t id = 4; id < 255; id++)
		assert_int_equal(sent_to(s, id, 0, 0x40, 0), 0);
	assert_int_equal(sent_to(s, 0xff, 0, 0x40, 4), 0xf);
	soft_free(s);
}

static void logical_flat(void **state)
{
	struct soft *s = soft_new(8);

	(void)state;
	for (unsigned int i = 0; i < 8; i++)
		apic_write(s->vcpu[i], APIC_LDR, 1u << (24 + i));
	for (uint32_t id = 1; id < 256; id++)
		assert_int_equal(sent_to(s, id, LOGICAL, 0x40, __builtin_popcount(id)), id);
	assert_int_equal(sent_to(s, 0, LOGICAL, 0x40, 0), 0);
	soft_free(s);
}

/* One APIC may answer to several bits, and one bit be many APICs'. */
static void logical_flat_shared_bits(void **state)
{
	struct soft *s = soft_new(4);

	(void)state;
	apic_write(s->vcpu[0], APIC_LDR, 0x05000000);
	apic_write(s->vcpu[1], APIC_LDR, 0x04000000);
	apic_write(s->vcpu[2], APIC_LDR, 0x80000000);
	assert_int_equal(sent_to(s, 0x01, LOGICAL, 0x40, 1), 0x1);
	assert_int_equal(sent_to(s, 0x04, LOGICAL, 0x40, 2), 0x3);
	assert_int_equal(sent_to(s, 0x84, LOGICAL, 0x40, 3), 0x7);
	/* 0xff is everybody, also without a logical id. */
	assert_int_equal(sent_to(s, 0xff, LOGICAL, 0x40, 4), 0xf);
	soft_free(s);
}

/* CVE-2013-6376: the 15 clusters of four, and the one past them that is a broadcast. */
static void logical_cluster(void **state)
{
	struct soft *s = soft_new(60);

	(void)state;
	for (unsigned int i = 0; i < 60; i++) {
		apic_write(s->vcpu[i], APIC_DFR, 0x0fffffff);
		apic_write(s->vcpu[i], APIC_LDR, (i / 4) << 28 | 1u << (24 + i % 4));
	}
	for (uint32_t id = 0; id < 0xff; id++) {
		uint64_t who = id >> 4 < 15 ? (uint64_t)(id & 0xf) << (id >> 4) * 4 : 0;

		assert_int_equal(sent_to(s, id, LOGICAL, 0x40, __builtin_popcountll(who)), who);
	}
	assert_int_equal(sent_to(s, 0xff, LOGICAL, 0x40, 60), (UINT64_C(1) << 60) - 1);
	soft_free(s);
}

/* A DFR that is neither model: no logical destination means it. */
static void no_model_no_logical_destination(void **state)
{
	struct soft *s = soft_new(1);

	(void)state;
	apic_write(s->vcpu[0], APIC_LDR, 0x01000000);
	apic_write(s->vcpu[0], APIC_DFR, 0x7fffffff);
	assert_int_equal(sent_to(s, 1, LOGICAL, 0x40, 0), 0);
	assert_int_equal(sent_to(s, 0, 0, 0x40, 1), 1);
	apic_write(s->vcpu[0], APIC_DFR, 0xffffffff);
	assert_int_equal(sent_to(s, 1, LOGICAL, 0x40, 1), 1);
	soft_free(s);
}

static void x2apic_logical(void **state)
{
	struct soft *s = soft_new_flags(20, VMIRQ_VM_MSI_32BIT_IDS, VMIRQ_VCPU_X2APIC);

	(void)state;
	for (unsigned int i = 0; i < 20; i++)
		assert_int_equal(apic_read(s->vcpu[i], APIC_LDR), i / 16 << 16 | 1u << i % 16);
	assert_int_equal(sent_to(s, 0x00000001, LOGICAL, 0x40, 1), 1);
	assert_int_equal(sent_to(s, 0x00008003, LOGICAL, 0x40, 3), 0x8003);
	assert_int_equal(sent_to(s, 0x0001000f, LOGICAL, 0x40, 4), 0xf0000);
	assert_int_equal(sent_to(s, 0x0001fff0, LOGICAL, 0x40, 0), 0);
	assert_int_equal(sent_to(s, 0x00020001, LOGICAL, 0x40, 0), 0);
	assert_int_equal(sent_to(s, 0xffff0001, LOGICAL, 0x40, 0), 0);
	soft_free(s);
}

/* 0xff in a message is every APIC, in either mode; 0xffffffff every x2APIC. */
static void broadcasts(void **state)
{
	struct soft *s = soft_new_flags(4, VMIRQ_VM_MSI_32BIT_IDS, 0);

	(void)state;
	apic_set_x2apic(s->vcpu[2]);
	apic_set_x2apic(s->vcpu[3]);
	assert_int_equal(sent_to(s, 0xff, 0, 0x40, 4), 0xf);
	assert_int_equal(sent_to(s, 0xff, LOGICAL, 0x40, 4), 0xf);
	assert_int_equal(sent_to(s, UINT32_MAX, 0, 0x40, 2), 0xc);
	assert_int_equal(sent_to(s, UINT32_MAX, LOGICAL, 0x40, 2), 0xc);
	soft_free(s);
}

/* vector % candidates, over the enabled ones in the order of their slots. */
static void lowest_priority_hashes_the_vector(void **state)
{
	static const unsigned int of_0_2_3[] = { 1, 4, 8 }, of_0_1_3[] = { 1, 2, 8 };
	struct soft *s = soft_new(4);

	(void)state;
	for (unsigned int i = 0; i < 4; i++)
		apic_write(s->vcpu[i], APIC_LDR, 1u << (24 + i));
	for (uint32_t v = 0x50; v < 0x58; v++)
		assert_int_equal(sent_to(s, 0xf, LOGICAL, 0x100 | v, 1), 1u << v % 4);
	for (uint32_t v = 0x50; v < 0x56; v++)
		assert_int_equal(sent_to(s, 0xd, LOGICAL, 0x100 | v, 1), of_0_2_3[v % 3]);
	apic_write(s->vcpu[2], APIC_SVR, 0xff);
	for (uint32_t v = 0x50; v < 0x56; v++)
		assert_int_equal(sent_to(s, 0xf, LOGICAL, 0x100 | v, 1), of_0_1_3[v % 3]);
	assert_int_equal(sent_to(s, 0x1, LOGICAL, 0x151, 1), 1);
	/* One physical destination is that destination. */
	assert_int_equal(sent_to(s, 3, 0, 0x151, 1), 8);
	soft_free(s);
}

static void redirection_hint(void **state)
{
	struct soft *s = soft_new(4);

	(void)state;
	for (unsigned int i = 0; i < 4; i++)
		apic_write(s->vcpu[i], APIC_LDR, 1u << (24 + i));
	/* With a physical single destination: that one. */
	assert_int_equal(sent_to(s, 2, HINT, 0x61, 1), 4);
	/* With several: one of them, as lowest priority. */
	for (uint32_t v = 0x60; v < 0x64; v++) {
		assert_int_equal(sent_to(s, 0xf, HINT | LOGICAL, v, 1), 1u << v % 4);
		assert_int_equal(sent_to(s, 0xff, HINT, v, 1), 1u << v % 4);
	}
	/* Without: all. */
	assert_int_equal(sent_to(s, 0xf, LOGICAL, 0x60, 4), 0xf);
	soft_free(s);
}

/* Seen on 6.18: lowest priority to the physical broadcast is a fixed one. */
static void lowest_priority_physical_broadcast_is_fixed(void **state)
{
	struct soft *s = soft_new(4);

	(void)state;
	assert_int_equal(sent_to(s, 0xff, 0, 0x164, 4), 0xf);
	soft_free(s);
}

static void wide_ids_reach_high_x2apics(void **state)
{
	struct soft *s = soft_new_flags(1, VMIRQ_VM_MSI_32BIT_IDS, VMIRQ_VCPU_X2APIC);
	struct kvm_msi msi = msi_to(0, 0x40);

	(void)state;
	soft_add(s, 1, 0x12345, VMIRQ_VCPU_X2APIC);
	soft_add(s, 2, 0x100, VMIRQ_VCPU_X2APIC);
	soft_add(s, 3, 0xfffffffe, VMIRQ_VCPU_X2APIC);
	assert_int_equal(sent_to(s, 0x12345, 0, 0x40, 1), 2);
	assert_int_equal(sent_to(s, 0x100, 0, 0x40, 1), 4);
	assert_int_equal(sent_to(s, 0xfffffffe, 0, 0x40, 1), 8);
	assert_int_equal(sent_to(s, 0x45, 0, 0x40, 0), 0);
	msi.address_hi = 1;
	assert_int_equal(vmirq_msi_send(s->vm, &msi), -EINVAL);
	msi.address_hi = 0xffffffff;
	assert_int_equal(vmirq_msi_send(s->vm, &msi), -EINVAL);
	soft_free(s);
}

/* Without 32-bit ids address_hi means nothing. */
static void address_hi_is_ignored_without_wide_ids(void **state)
{
	struct soft *s = soft_new(2);
	struct kvm_msi msi = msi_to(1, 0x40);

	(void)state;
	msi.address_hi = UINT32_MAX;
	assert_int_equal(send(s, msi, VMIRQ_DELIVERED), 1);
	assert_int_equal(takers(s, 0x40), 2);
	soft_free(s);
}

static void extended_destination_ids(void **state)
{
	struct soft *s = soft_new_flags(1, VMIRQ_VM_MSI_EXT_DEST_ID, VMIRQ_VCPU_X2APIC);
	struct kvm_msi msi = { .address_lo = 0xfee00000u | 0x45u << 12 | 0x23u << 5, .data = 0x40 };

	(void)state;
	soft_add(s, 1, 0x2345, VMIRQ_VCPU_X2APIC);
	soft_add(s, 2, 0x45, VMIRQ_VCPU_X2APIC);
	assert_int_equal(send(s, msi, VMIRQ_DELIVERED), 1);
	assert_int_equal(takers(s, 0x40), 2);
	msi.address_lo = 0xfee00000u | 0x45u << 12;
	assert_int_equal(send(s, msi, VMIRQ_DELIVERED), 1);
	assert_int_equal(takers(s, 0x40), 4);
	soft_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(physical),
		cmocka_unit_test(logical_flat),
		cmocka_unit_test(logical_flat_shared_bits),
		cmocka_unit_test(logical_cluster),
		cmocka_unit_test(no_model_no_logical_destination),
		cmocka_unit_test(x2apic_logical),
		cmocka_unit_test(broadcasts),
		cmocka_unit_test(lowest_priority_hashes_the_vector),
		cmocka_unit_test(redirection_hint),
		cmocka_unit_test(lowest_priority_physical_broadcast_is_fixed),
		cmocka_unit_test(wide_ids_reach_high_x2apics),
		cmocka_unit_test(address_hi_is_ignored_without_wide_ids),
		cmocka_unit_test(extended_destination_ids),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
