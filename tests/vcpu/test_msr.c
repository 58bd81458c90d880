// SPDX-License-Identifier: MIT
/* x2APIC by MSR, IA32_APIC_BASE and CR8: ranges, #GP rules and the matrix of modes
 * (SDM vol. 3A 11.12; each #GP also seen on /dev/kvm of Linux 6.18). */
#include "../support.h"

#define BASE_BSP     (1u << 8)
#define BASE_X2APIC  (1u << 10)
#define BASE_ENABLED (1u << 11)
#define MODES	     (BASE_X2APIC | BASE_ENABLED)

static bool in(uint32_t x, const uint32_t *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (list[i] == x)
			return true;
	return false;
}

#define IN(x, list) in(x, list, sizeof(list) / sizeof((list)[0]))

static bool readable(uint32_t msr)
{
	static const uint32_t others[] = { 0x802, 0x803, 0x808, 0x80a, 0x80d, 0x80f,
					   0x828, 0x830, 0x838, 0x839, 0x83e };

	return (msr >= 0x810 && msr <= 0x827) || (msr >= 0x832 && msr <= 0x837) || IN(msr, others);
}

/* XSA-108: all of 0x800-0xbff; what is no register of ours is #GP or nobody's, and leaks nothing. */
static void every_msr_of_the_range_is_read(void **state)
{
	struct soft *s = soft_new_flags(1, 0, VMIRQ_VCPU_X2APIC);

	(void)state;
	for (uint32_t msr = 0x7ff; msr <= 0xc00; msr++) {
		uint64_t value = 0xabcdef;
		int got = vmirq_vcpu_rdmsr(s->vcpu[0], msr, &value);

		if (msr < 0x800 || msr > 0x8ff)
			assert_int_equal(got, -ENOENT);
		else
			assert_int_equal(got, readable(msr) ? 0 : -EINVAL);
		if (got)
			assert_int_equal(value, 0xabcdef);
		else if (msr != 0x830)
			assert_int_equal(value >> 32, 0);
	}
	soft_free(s);
}

static bool writable(uint32_t msr)
{
	static const uint32_t list[] = { 0x808, 0x80b, 0x80f, 0x828, 0x830, 0x832, 0x833,
					 0x834, 0x835, 0x836, 0x837, 0x838, 0x83e, 0x83f };

	return IN(msr, list);
}

static void every_msr_of_the_range_is_written(void **state)
{
	struct soft *s = soft_new_flags(1, 0, VMIRQ_VCPU_X2APIC);

	(void)state;
	for (uint32_t msr = 0x7ff; msr <= 0xc00; msr++) {
		int got;

		/* A self-IPI of vector 0 and an ICR of 0 are covered elsewhere. */
		if (msr == 0x830 || msr == 0x83f)
			continue;
		got = vmirq_vcpu_wrmsr(s->vcpu[0], msr, 0);
		if (msr < 0x800 || msr > 0x8ff)
			assert_int_equal(got, -ENOENT);
		else
			assert_int_equal(got, writable(msr) ? 0 : -EINVAL);
		/* Bits 63:32 are reserved in all of them. */
		if (msr >= 0x800 && msr <= 0x8ff)
			assert_int_equal(vmirq_vcpu_wrmsr(s->vcpu[0], msr, UINT64_C(1) << 32),
					 -EINVAL);
	}
	soft_free(s);
}

/* ESR takes 0 only, EOI in profile spec; the self-IPI only a vector; the ICR's reserved bits are 13, 17:16, 31:20. */
static void reserved_bits(void **state)
{
	struct soft *s = soft_new_flags(1, 0, VMIRQ_VCPU_X2APIC);
	struct soft *spec = soft_new_flags(1, VMIRQ_VM_PROFILE_SPEC, VMIRQ_VCPU_X2APIC);
	struct vmirq_vcpu *vcpu = s->vcpu[0];

	(void)state;
	for (unsigned int bit = 0; bit < 32; bit++) {
		assert_int_equal(vmirq_vcpu_wrmsr(vcpu, 0x80b, UINT64_C(1) << bit), 0);
		assert_int_equal(vmirq_vcpu_wrmsr(spec->vcpu[0], 0x80b, UINT64_C(1) << bit),
				 -EINVAL);
		assert_int_equal(vmirq_vcpu_wrmsr(vcpu, 0x828, UINT64_C(1) << bit), -EINVAL);
		if (bit >= 8)
			assert_int_equal(vmirq_vcpu_wrmsr(vcpu, 0x83f, 0x41 | UINT64_C(1) << bit),
					 -EINVAL);
		if (bit == 13 || bit == 16 || bit == 17 || bit >= 20)
			assert_int_equal(
				vmirq_vcpu_wrmsr(vcpu, 0x830, 0x40041 | UINT64_C(1) << bit),
				-EINVAL);
	}
	take_nothing(vcpu);
	assert_int_equal(vmirq_vcpu_wrmsr(vcpu, 0x83f, 0x41), 0);
	take_only(vcpu, 0x41);
	soft_free(spec);
	soft_free(s);
}

static void not_in_xapic_mode_and_not_disabled(void **state)
{
	struct soft *s = soft_new(1);
	uint64_t value;

	(void)state;
	for (int turn = 0; turn < 2; turn++) {
		for (uint32_t msr = 0x800; msr < 0x900; msr++) {
			assert_int_equal(vmirq_vcpu_rdmsr(s->vcpu[0], msr, &value), -EINVAL);
			assert_int_equal(vmirq_vcpu_wrmsr(s->vcpu[0], msr, 0), -EINVAL);
		}
		assert_int_equal(vmirq_vcpu_set_apic_base(s->vcpu[0], APIC_PAGE), 0);
	}
	soft_free(s);
}

static void others_msrs_are_not_ours(void **state)
{
	static const uint32_t others[] = {
		0, 0x10, 0x1a, 0x1c, 0x7ff, 0x900, 0xc0000080, UINT32_MAX
	};
	struct soft *s = soft_new_flags(1, 0, VMIRQ_VCPU_X2APIC);
	uint64_t value = 5;

	(void)state;
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		assert_int_equal(vmirq_vcpu_rdmsr(s->vcpu[0], others[i], &value), -ENOENT);
		assert_int_equal(vmirq_vcpu_wrmsr(s->vcpu[0], others[i], 0), -ENOENT);
	}
	assert_int_equal(value, 5);
	soft_free(s);
}

static void x2apic_ids_are_derived(void **state)
{
	static const uint32_t ids[] = { 0, 1, 15, 16, 0xff, 0x100, 0x1234 };
	struct soft *s = soft_new(0);
	uint32_t data;

	(void)state;
	for (unsigned int i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
		soft_add(s, i, ids[i], VMIRQ_VCPU_X2APIC);
		assert_int_equal(apic_read(s->vcpu[i], APIC_ID), ids[i]);
		assert_int_equal(apic_read(s->vcpu[i], APIC_LDR),
				 ids[i] >> 4 << 16 | 1u << (ids[i] & 15));
		/* MMIO is not its way. */
		assert_int_equal(vmirq_vcpu_mmio(s->vcpu[i], APIC_PAGE, &data, 4, false), -ENOENT);
	}
	soft_free(s);
}

/* From each mode to each (SDM vol. 3A 11.12.5): CVE-2016-4440. */
static void the_matrix_of_modes(void **state)
{
	static const uint32_t modes[] = { 0, BASE_ENABLED, MODES };
	static const bool legal[3][3] = {
		/* to: disabled, xAPIC, x2APIC */
		{ true, true, false },
		{ true, true, true },
		{ true, false, true },
	};
	struct soft *s = soft_new(1);
	struct vmirq_vcpu *vcpu = s->vcpu[0];

	(void)state;
	for (int from = 0; from < 3; from++) {
		for (int to = 0; to < 3; to++) {
			for (int by_msr = 0; by_msr < 2; by_msr++) {
				uint64_t target = APIC_PAGE | BASE_BSP | modes[to], got;
				int error;

				assert_int_equal(vmirq_vcpu_reset(vcpu), 0);
				if (from != 1)
					assert_int_equal(vmirq_vcpu_set_apic_base(
								 vcpu, APIC_PAGE | modes[from]),
							 0);
				error = by_msr ? vmirq_vcpu_wrmsr(vcpu, MSR_IA32_APIC_BASE, target)
					       : vmirq_vcpu_set_apic_base(vcpu, target);
				assert_int_equal(error, legal[from][to] ? 0 : -EINVAL);
				assert_int_equal(vmirq_vcpu_rdmsr(vcpu, MSR_IA32_APIC_BASE, &got),
						 0);
				assert_int_equal(got, vmirq_vcpu_apic_base(vcpu));
				assert_int_equal(got & MODES,
						 legal[from][to] ? modes[to] : modes[from]);
				/* x2APIC without enable is never one. */
				assert_int_equal(
					vmirq_vcpu_set_apic_base(vcpu, APIC_PAGE | BASE_X2APIC),
					-EINVAL);
			}
		}
	}
	soft_free(s);
}

static void reserved_bits_of_the_base(void **state)
{
	struct soft *s = soft_new(1);
	uint64_t before = vmirq_vcpu_apic_base(s->vcpu[0]);

	(void)state;
	for (unsigned int bit = 0; bit < 64; bit++)
		if (bit < 8 || bit == 9 || bit >= 52) {
			assert_int_equal(
				vmirq_vcpu_set_apic_base(s->vcpu[0], before | UINT64_C(1) << bit),
				-EINVAL);
			assert_int_equal(vmirq_vcpu_apic_base(s->vcpu[0]), before);
		}
	soft_free(s);
}

static void relocation(void **state)
{
	const uint64_t elsewhere = UINT64_C(0x123456000);
	struct soft *s = soft_new(1);
	uint32_t value = 0;

	(void)state;
	send(s, msi_to(0, 0x41), VMIRQ_DELIVERED);
	assert_int_equal(vmirq_vcpu_set_apic_base(s->vcpu[0], elsewhere | BASE_ENABLED), 0);
	assert_int_equal(vmirq_vcpu_mmio(s->vcpu[0], APIC_PAGE + APIC_SVR, &value, 4, false),
			 -ENOENT);
	assert_int_equal(vmirq_vcpu_mmio(s->vcpu[0], elsewhere + APIC_SVR, &value, 4, false), 0);
	assert_int_equal(value, 0x1ff);
	/* Messages go where they went, and nothing was lost. */
	send(s, msi_to(0, 0x42), VMIRQ_DELIVERED);
	assert_int_equal(vmirq_vcpu_set_apic_base(s->vcpu[0], APIC_PAGE | BASE_ENABLED), 0);
	assert_int_equal(take_all(s->vcpu[0], NULL), 2);
	soft_free(s);
}

/* Disabled it takes nothing and shows nothing; enabled again it is as after power-up (11.4.3). */
static void disable_and_enable(void **state)
{
	struct soft *s = soft_new(1);
	struct vmirq_vcpu *vcpu = s->vcpu[0];
	uint32_t data = 7;

	(void)state;
	apic_write(vcpu, APIC_TPR, 0x20);
	apic_write(vcpu, APIC_LDR, 0x01000000);
	/* One in IRR, one only posted. */
	send(s, msi_to(0, 0x51), VMIRQ_DELIVERED);
	assert_int_equal(vmirq_vcpu_next_vector(vcpu), 0x51);
	send(s, msi_to(0, 0x41), VMIRQ_DELIVERED);
	assert_int_equal(vmirq_vcpu_set_apic_base(vcpu, APIC_PAGE), 0);
	take_nothing(vcpu);
	assert_int_equal(vmirq_vcpu_mmio(vcpu, APIC_PAGE, &data, 4, false), -ENOENT);
	assert_int_equal(counts_of_vector(vcpu, 0x41).reset, 1);
	assert_int_equal(counts_of_vector(vcpu, 0x51).reset, 1);
	assert_int_equal(vmirq_vcpu_set_apic_base(vcpu, APIC_PAGE | BASE_ENABLED), 0);
	assert_int_equal(apic_read(vcpu, APIC_SVR), 0xff);
	assert_int_equal(apic_read(vcpu, APIC_TPR), 0);
	assert_int_equal(apic_read(vcpu, APIC_LDR), 0);
	take_nothing(vcpu);
	soft_free(s);
}

static void what_survives_the_change_to_x2apic(void **state)
{
	struct soft *s = soft_new(1);
	struct vmirq_vcpu *vcpu = s->vcpu[0];

	(void)state;
	apic_write(vcpu, APIC_TPR, 0x20);
	apic_write(vcpu, APIC_ID, 9u << 24);
	apic_write(vcpu, APIC_LDR, 0x80000000);
	send(s, msi_to(9, 0x41), VMIRQ_DELIVERED);
	apic_set_x2apic(vcpu);
	assert_int_equal(apic_read(vcpu, APIC_ID), 0);
	assert_int_equal(apic_read(vcpu, APIC_LDR), 1);
	assert_int_equal(apic_read(vcpu, APIC_SVR), 0x1ff);
	assert_int_equal(apic_read(vcpu, APIC_TPR), 0x20);
	take_only(vcpu, 0x41);
	send(s, msi_to(0, 0x41), VMIRQ_DELIVERED);
	take_only(vcpu, 0x41);
	soft_free(s);
}

static void cr8_is_the_upper_half_of_tpr(void **state)
{
	struct soft *s = soft_new(1);
	struct vmirq_vcpu *vcpu = s->vcpu[0];

	(void)state;
	for (uint64_t v = 0; v < 16; v++) {
		assert_int_equal(vmirq_vcpu_set_cr8(vcpu, v), 0);
		assert_int_equal(vmirq_vcpu_cr8(vcpu), v);
		assert_int_equal(apic_read(vcpu, APIC_TPR), v << 4);
	}
	assert_int_equal(vmirq_vcpu_set_cr8(vcpu, 16), -EINVAL);
	assert_int_equal(vmirq_vcpu_set_cr8(vcpu, UINT32_MAX), -EINVAL);
	assert_int_equal(vmirq_vcpu_set_cr8(vcpu, UINT64_C(1) << 32), -EINVAL);
	assert_int_equal(vmirq_vcpu_cr8(vcpu), 15);
	apic_write(vcpu, APIC_TPR, 0x5c);
	assert_int_equal(vmirq_vcpu_cr8(vcpu), 5);
	soft_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_msr_of_the_range_is_read),
		cmocka_unit_test(every_msr_of_the_range_is_written),
		cmocka_unit_test(reserved_bits),
		cmocka_unit_test(not_in_xapic_mode_and_not_disabled),
		cmocka_unit_test(others_msrs_are_not_ours),
		cmocka_unit_test(x2apic_ids_are_derived),
		cmocka_unit_test(the_matrix_of_modes),
		cmocka_unit_test(reserved_bits_of_the_base),
		cmocka_unit_test(relocation),
		cmocka_unit_test(disable_and_enable),
		cmocka_unit_test(what_survives_the_change_to_x2apic),
		cmocka_unit_test(cr8_is_the_upper_half_of_tpr),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
