// SPDX-License-Identifier: MIT
/* The local APIC's error status (SDM vol. 3A 11.5.3), which profile spec has and profile kvm has not. */
#include "pc_world.h"

#define SEND_ILLEGAL	 (1u << 5)
#define RECEIVE_ILLEGAL	 (1u << 6)
#define ILLEGAL_REGISTER (1u << 7)
#define ERROR_VECTOR	 0xe7
#define BAD		 7

static uint32_t esr(struct vmirq_vcpu *vcpu)
{
	/* A write shows what has happened since the last. */
	apic_write(vcpu, APIC_ESR, 0);
	return apic_read(vcpu, APIC_ESR);
}

static void look(struct vmirq_vcpu *vcpu)
{
	uint32_t vector;

	vmirq_vcpu_step(vcpu, 0, &vector);
	vmirq_vcpu_leave(vcpu);
}

static struct soft *with_errors(uint32_t flags)
{
	struct soft *s = pc_new(2, flags);

	for (int i = 0; i < 2; i++)
		apic_write(s->vcpu[i], APIC_LVT_ERROR, ERROR_VECTOR);
	return s;
}

static void sent(void **state)
{
	struct soft *s = with_errors(VMIRQ_VM_PROFILE_SPEC);

	(void)state;
	apic_send_ipi(s->vcpu[0], BAD, 1);
	assert_int_equal(esr(s->vcpu[0]), SEND_ILLEGAL);
	take_only(s->vcpu[0], ERROR_VECTOR);
	/* Shown once. */
	assert_int_equal(esr(s->vcpu[0]), 0);
	look(s->vcpu[1]);
	assert_int_equal(esr(s->vcpu[1]), RECEIVE_ILLEGAL);
	take_only(s->vcpu[1], ERROR_VECTOR);
	assert_int_equal(apic_read(s->vcpu[1], APIC_IRR), 0);
	pc_free(s);
}

static void received(void **state)
{
	struct soft *s = with_errors(VMIRQ_VM_PROFILE_SPEC);
	struct vmirq_irqfd *irqfd = irqfd_call(s, 100);

	(void)state;
	send(s, msi_to(0, BAD), VMIRQ_BAD_VECTOR);
	look(s->vcpu[0]);
	take_only(s->vcpu[0], ERROR_VECTOR);
	assert_int_equal(esr(s->vcpu[0]), RECEIVE_ILLEGAL);
	/* By an irqfd too, every time. */
	route_to(s, 100, 1, BAD);
	for (int i = 0; i < 3; i++) {
		assert_signal(irqfd, VMIRQ_BAD_VECTOR);
		look(s->vcpu[1]);
		take_only(s->vcpu[1], ERROR_VECTOR);
		assert_int_equal(esr(s->vcpu[1]), RECEIVE_ILLEGAL);
	}
	/* And by a pin. */
	rte_put(s, 17, RTE_TO(0) | BAD);
	pulse(s, 17);
	look(s->vcpu[0]);
	assert_int_equal(esr(s->vcpu[0]), RECEIVE_ILLEGAL);
	take_only(s->vcpu[0], ERROR_VECTOR);
	assert_int_equal(vmirq_irqfd_deassign(irqfd), 0);
	pc_free(s);
}

/* A vCPU that sleeps is woken for it. */
static void received_while_parked(void **state)
{
	struct soft *s = with_errors(VMIRQ_VM_PROFILE_SPEC);
	uint32_t vector;

	(void)state;
	assert_int_equal(vmirq_vcpu_step(s->vcpu[0], VMIRQ_CPU_HALTED, &vector), VMIRQ_STEP_PARK);
	send(s, msi_to(0, BAD), VMIRQ_BAD_VECTOR);
	assert_int_equal(vmirq_vcpu_park(s->vcpu[0], INT64_C(5000000000)), VMIRQ_PARK_RUNNABLE);
	look(s->vcpu[0]);
	take_only(s->vcpu[0], ERROR_VECTOR);
	pc_free(s);
}

static void registers_that_are_not_there(void **state)
{
	struct soft *s = with_errors(VMIRQ_VM_PROFILE_SPEC);
	struct vmirq_vcpu *vcpu = s->vcpu[0];

	(void)state;
	apic_read(vcpu, 0x3a0);
	assert_int_equal(esr(vcpu), ILLEGAL_REGISTER);
	apic_write(vcpu, 0x3a0, 1);
	assert_int_equal(esr(vcpu), ILLEGAL_REGISTER);
	take_only(vcpu, ERROR_VECTOR);
	apic_read(vcpu, APIC_VERSION);
	assert_int_equal(esr(vcpu), 0);
	/* Several at once are told together. */
	apic_read(vcpu, 0x3a0);
	apic_send_ipi(vcpu, BAD, 0);
	look(vcpu);
	assert_int_equal(esr(vcpu), ILLEGAL_REGISTER | SEND_ILLEGAL | RECEIVE_ILLEGAL);
	take_only(vcpu, ERROR_VECTOR);
	pc_free(s);
}

/* XSA-462: the error's own interrupt has an illegal vector. One note, no recursion, no interrupt. */
static void an_error_entry_with_an_illegal_vector(void **state)
{
	struct soft *s = with_errors(VMIRQ_VM_PROFILE_SPEC);
	struct vmirq_vcpu *vcpu = s->vcpu[0];

	(void)state;
	for (uint32_t bad = 0; bad < 16; bad++) {
		apic_write(vcpu, APIC_LVT_ERROR, bad);
		apic_send_ipi(vcpu, BAD, 0);
		for (int i = 0; i < 3; i++)
			look(vcpu);
		take_nothing(vcpu);
		assert_int_equal(esr(vcpu) & ~RECEIVE_ILLEGAL, SEND_ILLEGAL);
		assert_int_equal(esr(vcpu), 0);
	}
	/* Masked: noted, and no interrupt. */
	apic_write(vcpu, APIC_LVT_ERROR, 0x10000 | ERROR_VECTOR);
	apic_send_ipi(vcpu, BAD, 1);
	take_nothing(vcpu);
	assert_int_equal(esr(vcpu), SEND_ILLEGAL);
	look(s->vcpu[1]);
	take_only(s->vcpu[1], ERROR_VECTOR);
	pc_free(s);
}

/* A power cycle forgets them. */
static void reset(void **state)
{
	struct soft *s = with_errors(VMIRQ_VM_PROFILE_SPEC);

	(void)state;
	apic_send_ipi(s->vcpu[0], BAD, 1);
	assert_int_equal(vmirq_vm_reset(s->vm), 0);
	assert_int_equal(esr(s->vcpu[0]), 0);
	look(s->vcpu[1]);
	assert_int_equal(esr(s->vcpu[1]), 0);
	take_nothing(s->vcpu[0]);
	pc_free(s);
}

static void none_of_it_in_profile_kvm(void **state)
{
	struct soft *s = with_errors(0);

	(void)state;
	apic_send_ipi(s->vcpu[0], BAD, 1);
	send(s, msi_to(1, BAD), VMIRQ_BAD_VECTOR);
	apic_read(s->vcpu[0], 0x3a0);
	apic_write(s->vcpu[0], 0x3a0, 1);
	for (int i = 0; i < 2; i++) {
		look(s->vcpu[i]);
		take_nothing(s->vcpu[i]);
		assert_int_equal(esr(s->vcpu[i]), 0);
	}
	pc_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sent),
		cmocka_unit_test(received),
		cmocka_unit_test(received_while_parked),
		cmocka_unit_test(registers_that_are_not_there),
		cmocka_unit_test(an_error_entry_with_an_illegal_vector),
		cmocka_unit_test(reset),
		cmocka_unit_test(none_of_it_in_profile_kvm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
