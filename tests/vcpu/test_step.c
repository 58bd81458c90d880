// SPDX-License-Identifier: MIT
/* What a step asks for, and in which order (vcpu.h, THE ENTER/EXIT CONTRACT). */
#include "../support.h"

#define INTERRUPTIBLE VMIRQ_CPU_INTERRUPTIBLE
#define HALTED	      VMIRQ_CPU_HALTED
#define NMI_BLOCKED   VMIRQ_CPU_NMI_BLOCKED

#define NO_VECTOR     0xabcd

static int step(struct vmirq_vcpu *vcpu, unsigned int flags, uint32_t *vector)
{
	*vector = NO_VECTOR;
	return vmirq_vcpu_step(vcpu, flags, vector);
}

static void assert_step(struct vmirq_vcpu *vcpu, unsigned int flags, int expected)
{
	uint32_t vector;

	assert_int_equal(step(vcpu, flags, &vector), expected);
	assert_int_equal(vector, NO_VECTOR);
}

static void assert_inject(struct vmirq_vcpu *vcpu, unsigned int flags, uint32_t expected)
{
	uint32_t vector;

	assert_int_equal(step(vcpu, flags, &vector), VMIRQ_STEP_INJECT);
	assert_int_equal(vector, expected);
}

static void nothing_to_do(void **state)
{
	struct soft *s = soft_new(1);

	(void)state;
	assert_step(s->vcpu[0], INTERRUPTIBLE, VMIRQ_STEP_ENTER);
	assert_step(s->vcpu[0], 0, VMIRQ_STEP_ENTER);
	assert_step(s->vcpu[0], INTERRUPTIBLE | HALTED, VMIRQ_STEP_PARK);
	assert_step(s->vcpu[0], HALTED, VMIRQ_STEP_PARK);
	soft_free(s);
}

static void inject_ack_enter(void **state)
{
	struct soft *s = soft_new(1);
	struct vmirq_vcpu *vcpu = s->vcpu[0];

	(void)state;
	send(s, msi_to(0, 0x41), VMIRQ_DELIVERED);
	assert_inject(vcpu, INTERRUPTIBLE, 0x41);
	/* Not taken until it is acknowledged. */
	assert_inject(vcpu, INTERRUPTIBLE, 0x41);
	assert_int_equal(vmirq_vcpu_ack(vcpu, 0x41), 0);
	assert_step(vcpu, INTERRUPTIBLE, VMIRQ_STEP_ENTER);
	vmirq_vcpu_leave(vcpu);
	apic_write(vcpu, APIC_EOI, 0);
	assert_step(vcpu, INTERRUPTIBLE | HALTED, VMIRQ_STEP_PARK);
	assert_int_equal(counts_of_vector(vcpu, 0x41).taken, 1);
	soft_free(s);
}

static void a_halted_cpu_takes_it_too(void **state)
{
	struct soft *s = soft_new(1);

	(void)state;
	send(s, msi_to(0, 0x41), VMIRQ_DELIVERED);
	assert_inject(s->vcpu[0], INTERRUPTIBLE | HALTED, 0x41);
	/* HLT with interrupts off sleeps through it. */
	assert_step(s->vcpu[0], HALTED, VMIRQ_STEP_PARK);
	take_only(s->vcpu[0], 0x41);
	soft_free(s);
}

static void window(void **state)
{
	struct soft *s = soft_new(1);
	struct vmirq_vcpu *vcpu = s->vcpu[0];

	(void)state;
	send(s, msi_to(0, 0x41), VMIRQ_DELIVERED);
	assert_step(vcpu, 0, VMIRQ_STEP_WINDOW);
	vmirq_vcpu_leave(vcpu);
	assert_inject(vcpu, INTERRUPTIBLE, 0x41);
	assert_int_equal(vmirq_vcpu_ack(vcpu, 0x41), 0);
	/* One of a lower class behind the one in service: nothing to wait for. */
	send(s, msi_to(0, 0x31), VMIRQ_DELIVERED);
	assert_step(vcpu, 0, VMIRQ_STEP_ENTER);
	vmirq_vcpu_leave(vcpu);
	/* One above: a window. */
	send(s, msi_to(0, 0x51), VMIRQ_DELIVERED);
	assert_step(vcpu, 0, VMIRQ_STEP_WINDOW);
	vmirq_vcpu_leave(vcpu);
	assert_inject(vcpu, INTERRUPTIBLE, 0x51);
	assert_int_equal(vmirq_vcpu_ack(vcpu, 0x51), 0);
	apic_write(vcpu, APIC_EOI, 0);
	apic_write(vcpu, APIC_EOI, 0);
	take_only(vcpu, 0x31);
	soft_free(s);
}

static void an_aborted_entry(void **state)
{
	struct soft *s = soft_new(1);
	struct vmirq_vcpu *vcpu = s->vcpu[0];

	(void)state;
	send(s, msi_to(0, 0x41), VMIRQ_DELIVERED);
	assert_inject(vcpu, INTERRUPTIBLE, 0x41);
	assert_int_equal(vmirq_vcpu_ack(vcpu, 0x41), 0);
	assert_int_equal(vmirq_vcpu_unack(vcpu, 0x41), 0);
	assert_int_equal(counts_of_vector(vcpu, 0x41).taken, 0);
	assert_int_equal(counts_of_vector(vcpu, 0x41).pending, 1);
	/* Meanwhile something better came. */
	send(s, msi_to(0, 0x61), VMIRQ_DELIVERED);
	assert_inject(vcpu, INTERRUPTIBLE, 0x61);
	assert_int_equal(take_all(vcpu, NULL), 2);
	soft_free(s);
}

static void ack_and_unack_of_the_wrong_vector(void **state)
{
	static const uint32_t wrong[] = { 0, 0x40, 0x42, 255, 256, 0x141, UINT32_MAX };
	struct soft *s = soft_new(1);
	struct vmirq_vcpu *vcpu = s->vcpu[0];

	(void)state;
	/* -1 is "none" and no vector. */
	assert_int_equal(vmirq_vcpu_ack(vcpu, UINT32_MAX), -EINVAL);
	send(s, msi_to(0, 0x41), VMIRQ_DELIVERED);
	assert_int_equal(vmirq_vcpu_next_vector(vcpu), 0x41);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		assert_int_equal(vmirq_vcpu_ack(vcpu, wrong[i]), -EINVAL);
		assert_int_equal(vmirq_vcpu_unack(vcpu, wrong[i]), -EINVAL);
	}
	assert_int_equal(vmirq_vcpu_unack(vcpu, 0x41), -EINVAL);
	assert_int_equal(vmirq_vcpu_ack(vcpu, 0x41), 0);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_int_equal(vmirq_vcpu_unack(vcpu, wrong[i]), -EINVAL);
	assert_int_equal(vmirq_vcpu_ack(vcpu, 0x41), -EINVAL);
	apic_write(vcpu, APIC_EOI, 0);
	assert_int_equal(vmirq_vcpu_unack(vcpu, 0x41), -EINVAL);
	soft_free(s);
}

static void nmis(void **state)
{
	struct soft *s = soft_new(1);
	struct vmirq_vcpu *vcpu = s->vcpu[0];

	(void)state;
	send(s, msi_to(0, 0x41), VMIRQ_DELIVERED);
	vmirq_vcpu_nmi(vcpu);
	vmirq_vcpu_nmi(vcpu);
	vmirq_vcpu_nmi(vcpu);
	/* Before interrupts, whether they can be taken or not; three are two. */
	assert_step(vcpu, 0, VMIRQ_STEP_NMI);
	assert_step(vcpu, 0, VMIRQ_STEP_NMI);
	assert_inject(vcpu, INTERRUPTIBLE, 0x41);
	assert_int_equal(vmirq_vcpu_ack(vcpu, 0x41), 0);
	vmirq_vcpu_nmi(vcpu);
	assert_step(vcpu, NMI_BLOCKED, VMIRQ_STEP_ENTER);
	vmirq_vcpu_leave(vcpu);
	assert_step(vcpu, NMI_BLOCKED | HALTED, VMIRQ_STEP_PARK);
	assert_int_equal(vmirq_vcpu_park(vcpu, 0), VMIRQ_PARK_TIMEOUT);
	assert_step(vcpu, HALTED, VMIRQ_STEP_NMI);
	soft_free(s);
}

static void init_and_sipi(void **state)
{
	struct soft *s = soft_new(2);
	struct vmirq_vcpu *ap = s->vcpu[1];
	uint32_t vector;

	(void)state;
	send(s, msi_to(1, 0x41), VMIRQ_DELIVERED);
	vmirq_vcpu_nmi(ap);
	apic_send_ipi(s->vcpu[0], ICR_MODE(INIT) | ICR_ASSERTED, 1);
	/* INIT comes first and takes the rest away (SDM vol. 3A 11.4.7.3). */
	assert_step(ap, INTERRUPTIBLE, VMIRQ_STEP_INIT);
	assert_int_equal(counts_of_vector(ap, 0x41).reset, 1);
	assert_step(ap, INTERRUPTIBLE, VMIRQ_STEP_PARK);
	/* Only a SIPI ends that. */
	vmirq_vcpu_nmi(ap);
	assert_step(ap, INTERRUPTIBLE, VMIRQ_STEP_PARK);
	assert_int_equal(vmirq_vcpu_park(ap, 0), VMIRQ_PARK_TIMEOUT);
	apic_send_ipi(s->vcpu[0], ICR_MODE(SIPI) | 0x9a, 1);
	assert_int_equal(vmirq_vcpu_park(ap, -1), VMIRQ_PARK_RUNNABLE);
	assert_int_equal(step(ap, INTERRUPTIBLE, &vector), VMIRQ_STEP_SIPI);
	assert_int_equal(vector, 0x9a);
	assert_step(ap, NMI_BLOCKED, VMIRQ_STEP_ENTER);
	/* A second one is dropped. */
	apic_send_ipi(s->vcpu[0], ICR_MODE(SIPI) | 0x9b, 1);
	assert_step(ap, NMI_BLOCKED, VMIRQ_STEP_ENTER);
	s->posted_beyond -= 3;
	soft_free(s);
}

/* INIT, SIPI, SIPI sent at once, as guests do; and INIT after SIPI takes the SIPI away. */
static void init_and_sipi_together(void **state)
{
	struct soft *s = soft_new(2);
	struct vmirq_vcpu *ap = s->vcpu[1];
	uint32_t vector;

	(void)state;
	apic_send_ipi(s->vcpu[0], ICR_MODE(INIT) | ICR_ASSERTED, 1);
	apic_send_ipi(s->vcpu[0], ICR_MODE(SIPI) | 0x10, 1);
	apic_send_ipi(s->vcpu[0], ICR_MODE(SIPI) | 0x10, 1);
	assert_step(ap, 0, VMIRQ_STEP_INIT);
	assert_int_equal(step(ap, 0, &vector), VMIRQ_STEP_SIPI);
	assert_int_equal(vector, 0x10);
	assert_step(ap, 0, VMIRQ_STEP_ENTER);
	apic_send_ipi(s->vcpu[0], ICR_MODE(SIPI) | 0x20, 1);
	apic_send_ipi(s->vcpu[0], ICR_MODE(INIT) | ICR_ASSERTED, 1);
	assert_step(ap, 0, VMIRQ_STEP_INIT);
	assert_step(ap, 0, VMIRQ_STEP_PARK);
	s->posted_beyond -= 4;
	soft_free(s);
}

static void an_application_processor_waits_for_its_sipi(void **state)
{
	struct soft *s = soft_new(1);
	uint32_t vector;

	(void)state;
	soft_add(s, 1, 1, VMIRQ_VCPU_WAIT_FOR_SIPI);
	assert_step(s->vcpu[1], INTERRUPTIBLE, VMIRQ_STEP_PARK);
	/* An interrupt waits. */
	send(s, msi_to(1, 0x41), VMIRQ_DELIVERED);
	assert_step(s->vcpu[1], INTERRUPTIBLE, VMIRQ_STEP_PARK);
	assert_int_equal(vmirq_vcpu_park(s->vcpu[1], 0), VMIRQ_PARK_TIMEOUT);
	apic_send_ipi(s->vcpu[0], ICR_MODE(SIPI) | 0xff, 1);
	assert_int_equal(step(s->vcpu[1], 0, &vector), VMIRQ_STEP_SIPI);
	assert_int_equal(vector, 0xff);
	assert_inject(s->vcpu[1], INTERRUPTIBLE, 0x41);
	s->posted_beyond--;
	soft_free(s);
}

/* The bootstrap processor goes on after INIT. */
static void init_of_the_bootstrap_processor(void **state)
{
	struct soft *s = soft_new(2);

	(void)state;
	apic_send_ipi(s->vcpu[1], ICR_MODE(INIT) | ICR_ASSERTED, 0);
	assert_step(s->vcpu[0], 0, VMIRQ_STEP_INIT);
	assert_step(s->vcpu[0], 0, VMIRQ_STEP_ENTER);
	/* INIT leaves the APIC id and base, and disables by software. */
	assert_int_equal(apic_read(s->vcpu[0], APIC_SVR), 0xff);
	assert_int_equal(send(s, msi_to(0, 0x41), VMIRQ_APIC_DISABLED), 0);
	s->posted_beyond--;
	soft_free(s);
}

static void smi(void **state)
{
	struct soft *s = soft_new(2);

	(void)state;
	apic_send_ipi(s->vcpu[1], ICR_MODE(SMI) | ICR_ASSERTED, 0);
	assert_step(s->vcpu[0], 0, VMIRQ_STEP_SMI);
	assert_step(s->vcpu[0], 0, VMIRQ_STEP_ENTER);
	s->posted_beyond--;
	soft_free(s);
}

static void interrupt_is_sticky_and_comes_once(void **state)
{
	struct soft *s = soft_new(1);

	(void)state;
	vmirq_vcpu_interrupt(s->vcpu[0]);
	vmirq_vcpu_interrupt(s->vcpu[0]);
	/* Before what the guest has. */
	vmirq_vcpu_nmi(s->vcpu[0]);
	assert_step(s->vcpu[0], 0, -EINTR);
	assert_step(s->vcpu[0], 0, VMIRQ_STEP_NMI);
	assert_step(s->vcpu[0], 0, VMIRQ_STEP_ENTER);
	/* In the guest: at the next step. */
	vmirq_vcpu_interrupt(s->vcpu[0]);
	vmirq_vcpu_leave(s->vcpu[0]);
	assert_step(s->vcpu[0], 0, -EINTR);
	assert_step(s->vcpu[0], 0, VMIRQ_STEP_ENTER);
	soft_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_to_do),
		cmocka_unit_test(inject_ack_enter),
		cmocka_unit_test(a_halted_cpu_takes_it_too),
		cmocka_unit_test(window),
		cmocka_unit_test(an_aborted_entry),
		cmocka_unit_test(ack_and_unack_of_the_wrong_vector),
		cmocka_unit_test(nmis),
		cmocka_unit_test(init_and_sipi),
		cmocka_unit_test(init_and_sipi_together),
		cmocka_unit_test(an_application_processor_waits_for_its_sipi),
		cmocka_unit_test(init_of_the_bootstrap_processor),
		cmocka_unit_test(smi),
		cmocka_unit_test(interrupt_is_sticky_and_comes_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
