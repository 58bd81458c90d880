// SPDX-License-Identifier: MIT
/* Direct messages: the number is the kernel's (each seen on /dev/kvm of Linux 6.18), the verdict says
 * what happened (KVM API 4.70, KVM_SIGNAL_MSI). */
#include "../support.h"

static struct kvm_msi message(uint32_t address_lo, uint32_t data)
{
	return (struct kvm_msi){ .address_lo = address_lo, .data = data };
}

static void one_target(void **state)
{
	struct soft *s = soft_new(2);
	struct kvm_msi msi = msi_to(1, 0x31);

	(void)state;
	assert_int_equal(send(s, msi, VMIRQ_DELIVERED), 1);
	/* Pending already: counts as accepted all the same. */
	assert_int_equal(send(s, msi, VMIRQ_COALESCED), 1);
	take_nothing(s->vcpu[0]);
	take_only(s->vcpu[1], 0x31);
	assert_int_equal(vmirq_msi_send(s->vm, &msi), 1);
	take_only(s->vcpu[1], 0x31);
	soft_free(s);
}

static void nobody_there(void **state)
{
	struct soft *s = soft_new(2);

	(void)state;
	assert_int_equal(send(s, msi_to(0x63, 0x31), VMIRQ_NO_TARGET), 0);
	assert_int_equal(send(s, message(0xfee00004, 0x31), VMIRQ_NO_TARGET), 0);
	take_nothing(s->vcpu[0]);
	take_nothing(s->vcpu[1]);
	soft_free(s);
}

static void software_disabled(void **state)
{
	struct soft *s = soft_new(2);

	(void)state;
	apic_write(s->vcpu[1], APIC_SVR, 0xff);
	assert_int_equal(send(s, msi_to(1, 0x31), VMIRQ_APIC_DISABLED), 0);
	assert_int_equal(send(s, message(0xfee01000, 0x131), VMIRQ_APIC_DISABLED), 0);
	/* A broadcast goes to whoever is enabled. */
	assert_int_equal(send(s, msi_to(0xff, 0x32), VMIRQ_DELIVERED), 1);
	take_only(s->vcpu[0], 0x32);
	take_nothing(s->vcpu[1]);
	/* NMI and INIT reach it (SDM vol. 3A 11.4.7.2). */
	assert_int_equal(send(s, message(0xfee01000, NMI << 8), VMIRQ_DELIVERED), 1);
	s->posted_beyond--;
	apic_enable(s->vcpu[1]);
	assert_int_equal(send(s, msi_to(1, 0x31), VMIRQ_DELIVERED), 1);
	take_only(s->vcpu[1], 0x31);
	soft_free(s);
}

static void hardware_disabled(void **state)
{
	struct soft *s = soft_new(2);
	enum vmirq_verdict verdict = VMIRQ_DELIVERED;
	struct kvm_msi msi = msi_to(1, 0x31);

	(void)state;
	assert_int_equal(vmirq_vcpu_set_apic_base(s->vcpu[1], APIC_PAGE), 0);
	assert_int_equal(vmirq_msi_send_verdict(s->vm, &msi, &verdict), 0);
	/* observe.h: "software- or hardware-disabled". */
	assert_verdict(verdict, VMIRQ_APIC_DISABLED);
	assert_int_equal(send(s, msi_to(0xff, 0x31), VMIRQ_DELIVERED), 1);
	take_only(s->vcpu[0], 0x31);
	take_nothing(s->vcpu[1]);
	soft_free(s);
}

/* Vector 5, reserved mode, other address: the number is as if they were good. */
static void bad_by_form(void **state)
{
	static const struct {
		uint32_t address, data;
		enum vmirq_verdict verdict;
		int accepted;
	} cases[] = {
		{ 0xfee01000, 0x005, VMIRQ_BAD_VECTOR, 1 },
		{ 0xfee01000, 0x000, VMIRQ_BAD_VECTOR, 1 },
		{ 0xfee01000, 0x00f, VMIRQ_BAD_VECTOR, 1 },
		{ 0xfee01000, 0x105, VMIRQ_BAD_VECTOR, 1 },
		{ 0xfeeff000, 0x005, VMIRQ_BAD_VECTOR, 4 },
		{ 0xfeeff000, 0x105, VMIRQ_BAD_VECTOR, 4 },
		{ 0xfeeff008, 0x005, VMIRQ_BAD_VECTOR, 1 },
		{ 0xfee63000, 0x005, VMIRQ_BAD_VECTOR, 0 },
		{ 0xfee01000, 0x341, VMIRQ_BAD_MESSAGE, 1 },
		{ 0xfeeff000, 0x341, VMIRQ_BAD_MESSAGE, 4 },
		{ 0xfee63000, 0x341, VMIRQ_BAD_MESSAGE, 0 },
		{ 0xfee01000, 0x641, VMIRQ_BAD_MESSAGE, 1 }, /* SIPI */
		{ 0xfee01000, 0x741, VMIRQ_BAD_MESSAGE, 0 }, /* ExtINT */
		{ 0xfeeff000, 0x741, VMIRQ_BAD_MESSAGE, 0 },
		{ 0x12301000, 0x042, VMIRQ_BAD_MESSAGE, 1 },
		{ 0x12363000, 0x042, VMIRQ_BAD_MESSAGE, 0 },
	};
	struct soft *s = soft_new(4);

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(
			send(s, message(cases[i].address, cases[i].data), cases[i].verdict),
			cases[i].accepted);
	for (unsigned int i = 0; i < 4; i++)
		take_nothing(s->vcpu[i]);
	/* 16 is the first legal one. */
	assert_int_equal(send(s, msi_to(1, 0x10), VMIRQ_DELIVERED), 1);
	take_only(s->vcpu[1], 0x10);
	soft_free(s);
}

static void unknown_flags_are_einval_and_not_counted(void **state)
{
	struct soft *s = soft_new(1);
	enum vmirq_verdict verdict = VMIRQ_RTE_MASKED;
	struct kvm_msi msi = msi_to(0, 0x31);
	struct vmirq_route_counts c = { .size = sizeof(c) };

	(void)state;
	for (unsigned int bit = 1; bit < 32; bit++) {
		msi.flags = 1u << bit;
		assert_int_equal(vmirq_msi_send(s->vm, &msi), -EINVAL);
		assert_int_equal(vmirq_msi_send_verdict(s->vm, &msi, &verdict), -EINVAL);
		assert_verdict(verdict, VMIRQ_RTE_MASKED);
	}
	msi.flags = UINT32_MAX;
	assert_int_equal(vmirq_msi_send(s->vm, &msi), -EINVAL);
	assert_int_equal(vmirq_msi_counts(s->vm, &c), 0);
	assert_int_equal(c.raised, 0);
	msi.flags = KVM_MSI_VALID_DEVID;
	assert_int_equal(vmirq_msi_send(s->vm, &msi), 1);
	soft_free(s);
}

static void null_is_einval(void **state)
{
	struct soft *s = soft_new(1);
	struct kvm_msi msi = msi_to(0, 0x31);

	(void)state;
	assert_int_equal(vmirq_msi_send(NULL, &msi), -EINVAL);
	assert_int_equal(vmirq_msi_send(s->vm, NULL), -EINVAL);
	assert_int_equal(vmirq_msi_send_verdict(NULL, &msi, NULL), -EINVAL);
	assert_int_equal(vmirq_msi_send_batch(NULL, &msi, 1), -EINVAL);
	assert_int_equal(vmirq_msi_send_batch(s->vm, NULL, 1), -EINVAL);
	assert_int_equal(vmirq_msi_send_batch(s->vm, NULL, 0), 0);
	/* The verdict may be left out. */
	assert_int_equal(vmirq_msi_send_verdict(s->vm, &msi, NULL), 1);
	soft_free(s);
}

static void a_batch_stops_at_the_first_bad_one(void **state)
{
	struct soft *s = soft_new(1);
	struct kvm_msi msis[4] = { msi_to(0, 0x31), msi_to(0x63, 0x32), msi_to(0, 0x33),
				   msi_to(0, 0x34) };
	struct vmirq_route_counts c = { .size = sizeof(c) };

	(void)state;
	/* Nobody there is no error. */
	assert_int_equal(vmirq_msi_send_batch(s->vm, msis, 4), 4);
	assert_int_equal(take_all(s->vcpu[0], NULL), 3);
	msis[2].flags = 2;
	assert_int_equal(vmirq_msi_send_batch(s->vm, msis, 4), 2);
	take_only(s->vcpu[0], 0x31);
	msis[0].flags = 2;
	assert_int_equal(vmirq_msi_send_batch(s->vm, msis, 4), -EINVAL);
	take_nothing(s->vcpu[0]);
	assert_int_equal(vmirq_msi_counts(s->vm, &c), 0);
	assert_int_equal(c.raised, 6);
	assert_int_equal(c.verdict[VMIRQ_NO_TARGET], 2);
	soft_free(s);
}

/* 654f1f13: every call against a VM that has no vCPU. */
static void a_vm_without_vcpus(void **state)
{
	struct soft *s = soft_new(0);

	(void)state;
	assert_int_equal(send(s, msi_to(0, 0x31), VMIRQ_NO_TARGET), 0);
	assert_int_equal(send(s, msi_to(0xff, 0x31), VMIRQ_NO_TARGET), 0);
	assert_int_equal(send(s, message(0xfeeff00c, 0x131), VMIRQ_NO_TARGET), 0);
	assert_int_equal(send(s, message(0xfeeff000, 0x400), VMIRQ_NO_TARGET), 0);
	assert_int_equal(send(s, message(UINT32_MAX, UINT32_MAX), VMIRQ_BAD_MESSAGE), 0);
	soft_free(s);
}

static void nmi_and_init_are_events(void **state)
{
	struct soft *s = soft_new(2);
	uint32_t vector;

	(void)state;
	for (unsigned int i = 0; i < 2; i++)
		assert_int_equal(send(s, message(0xfee01000, NMI << 8), VMIRQ_DELIVERED), 1);
	assert_int_equal(send(s, message(0xfee01000, NMI << 8), VMIRQ_COALESCED), 1);
	for (unsigned int i = 0; i < 2; i++)
		assert_int_equal(vmirq_vcpu_step(s->vcpu[1], 0, &vector), VMIRQ_STEP_NMI);
	assert_int_equal(vmirq_vcpu_step(s->vcpu[1], 0, &vector), VMIRQ_STEP_ENTER);
	assert_int_equal(send(s, message(0xfee01000, INIT << 8), VMIRQ_DELIVERED), 1);
	assert_int_equal(vmirq_vcpu_step(s->vcpu[1], 0, &vector), VMIRQ_STEP_INIT);
	assert_int_equal(vmirq_vcpu_step(s->vcpu[0], 0, &vector), VMIRQ_STEP_ENTER);
	s->posted_beyond -= 3;
	soft_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_target),
		cmocka_unit_test(nobody_there),
		cmocka_unit_test(software_disabled),
		cmocka_unit_test(hardware_disabled),
		cmocka_unit_test(bad_by_form),
		cmocka_unit_test(unknown_flags_are_einval_and_not_counted),
		cmocka_unit_test(null_is_einval),
		cmocka_unit_test(a_batch_stops_at_the_first_bad_one),
		cmocka_unit_test(a_vm_without_vcpus),
		cmocka_unit_test(nmi_and_init_are_events),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
