// SPDX-License-Identifier: MIT
/* The 8259s' interrupts, from a line to a vCPU whose LINT0 is ExtINT (SDM vol. 3A 11.5.1). */
#include "../line/pc_world.h"

#include <pthread.h>
#include <time.h>

#define INTERRUPTIBLE VMIRQ_CPU_INTERRUPTIBLE
#define HALTED	      VMIRQ_CPU_HALTED
#define LINT0_EXTINT  0x700u
#define LINT0_MASKED  0x10000u
#define PATIENCE      INT64_C(5000000000)

static struct soft *with_pics(unsigned int n)
{
	struct soft *s = pc_new(n, 0);

	pics_start(s, 0, 0);
	return s;
}

static int step(struct vmirq_vcpu *vcpu, unsigned int flags)
{
	uint32_t vector = 0xabcd;
	int step = vmirq_vcpu_step(vcpu, flags, &vector);

	return step == VMIRQ_STEP_INJECT ? (int)(0x100 + vector) : step;
}

/* A step offers this one; it is taken. */
static void take(struct vmirq_vcpu *vcpu, uint8_t vector)
{
	assert_int_equal(step(vcpu, INTERRUPTIBLE), 0x100 + vector);
	assert_int_equal(vmirq_vcpu_ack(vcpu, vector), 0);
}

static uint8_t pic_register(struct soft *s, uint16_t port, uint8_t ocw3)
{
	out8(s, port, ocw3);
	return in8(s, port);
}

static uint8_t irr(struct soft *s)
{
	return pic_register(s, 0x20, 0x0a);
}

static uint8_t isr(struct soft *s)
{
	return pic_register(s, 0x20, 0x0b);
}

/* The bootstrap processor starts wired to the 8259s, its local APIC not even enabled. */
static void a_pc_that_knows_no_apic(void **state)
{
	struct soft *s = with_pics(1);
	struct vmirq_vcpu *vcpu = s->vcpu[0];

	(void)state;
	apic_write(vcpu, APIC_SVR, 0xff);
	apic_write(vcpu, APIC_LVT_LINT0, LINT0_EXTINT);
	/* Software-disabled, every LVT entry stays masked (11.4.7.2): so enable. */
	apic_enable(vcpu);
	apic_write(vcpu, APIC_LVT_LINT0, LINT0_EXTINT);
	assert_int_equal(pulse(s, 3), 1);
	take(vcpu, 0x23);
	assert_int_equal(isr(s), 1 << 3);
	assert_int_equal(irr(s), 0);
	assert_int_equal(step(vcpu, INTERRUPTIBLE), VMIRQ_STEP_ENTER);
	/* It is in service there and not in the local APIC. */
	assert_false(apic_bit(vcpu, APIC_ISR, 0x23));
	out8(s, 0x20, 0x20);
	assert_int_equal(isr(s), 0);
	/* A second 8259's. */
	pulse(s, 12);
	take(vcpu, 0x2c);
	out8(s, 0xa0, 0x20);
	out8(s, 0x20, 0x20);
	assert_int_equal(step(vcpu, INTERRUPTIBLE | HALTED), VMIRQ_STEP_PARK);
	pc_free(s);
}

/* The 8259's own priorities; the TPR has no say. */
static void priorities(void **state)
{
	struct soft *s = with_pics(1);
	struct vmirq_vcpu *vcpu = s->vcpu[0];

	(void)state;
	assert_int_equal(vmirq_vcpu_set_cr8(vcpu, 15), 0);
	pulse(s, 5);
	pulse(s, 3);
	take(vcpu, 0x23);
	assert_int_equal(step(vcpu, INTERRUPTIBLE), VMIRQ_STEP_ENTER);
	pulse(s, 1);
	take(vcpu, 0x21);
	out8(s, 0x20, 0x20);
	assert_int_equal(step(vcpu, INTERRUPTIBLE), VMIRQ_STEP_ENTER);
	out8(s, 0x20, 0x20);
	take(vcpu, 0x25);
	out8(s, 0x20, 0x20);
	pc_free(s);
}

/* What the step gave is the CPU's until it is acknowledged: the same again, and nothing lost. */
static void offered_until_taken(void **state)
{
	struct soft *s = with_pics(1);
	struct vmirq_vcpu *vcpu = s->vcpu[0];

	(void)state;
	pulse(s, 3);
	assert_int_equal(step(vcpu, INTERRUPTIBLE), 0x123);
	pulse(s, 1);
	assert_int_equal(step(vcpu, INTERRUPTIBLE), 0x123);
	assert_int_equal(vmirq_vcpu_ack(vcpu, 0x21), -EINVAL);
	/* Interrupts off meanwhile: it waits for the window. */
	assert_int_equal(step(vcpu, 0), VMIRQ_STEP_WINDOW);
	vmirq_vcpu_leave(vcpu);
	assert_int_equal(step(vcpu, INTERRUPTIBLE), 0x123);
	assert_int_equal(vmirq_vcpu_ack(vcpu, 0x23), 0);
	take(vcpu, 0x21);
	assert_int_equal(isr(s), 1 << 3 | 1 << 1);
	pc_free(s);
}

static void taken_back(void **state)
{
	struct soft *s = with_pics(1);
	struct vmirq_vcpu *vcpu = s->vcpu[0];

	(void)state;
	assert_int_equal(vmirq_vcpu_unack(vcpu, 0x23), -EINVAL);
	pulse(s, 3);
	take(vcpu, 0x23);
	assert_int_equal(vmirq_vcpu_unack(vcpu, 0x24), -EINVAL);
	assert_int_equal(vmirq_vcpu_unack(vcpu, 0x23), 0);
	assert_int_equal(vmirq_vcpu_unack(vcpu, 0x23), -EINVAL);
	take(vcpu, 0x23);
	/* One in service, whatever became of the entries. */
	assert_int_equal(isr(s), 1 << 3);
	out8(s, 0x20, 0x20);
	assert_int_equal(step(vcpu, INTERRUPTIBLE), VMIRQ_STEP_ENTER);
	pc_free(s);
}

/* The same vector by both ways: each is taken back to where it came from. */
static void the_same_vector_from_the_local_apic(void **state)
{
	struct soft *s = with_pics(1);
	struct vmirq_vcpu *vcpu = s->vcpu[0];

	(void)state;
	send(s, msi_to(0, 0x23), VMIRQ_DELIVERED);
	pulse(s, 3);
	take(vcpu, 0x23);
	assert_int_equal(counts_of_vector(vcpu, 0x23).taken, 0);
	take(vcpu, 0x23);
	assert_int_equal(counts_of_vector(vcpu, 0x23).taken, 1);
	assert_int_equal(vmirq_vcpu_unack(vcpu, 0x23), 0);
	assert_true(apic_bit(vcpu, APIC_IRR, 0x23));
	assert_int_equal(isr(s), 1 << 3);
	take(vcpu, 0x23);
	end_service(vcpu);
	pc_free(s);
}

/* The line is gone before the acknowledge: vector 7, and no bit in service. */
static void spurious(void **state)
{
	struct soft *s = with_pics(1);
	struct vmirq_vcpu *vcpu = s->vcpu[0];

	(void)state;
	out8(s, 0x4d0, 1 << 5);
	line(s, 5, 0, true);
	assert_int_equal(step(vcpu, 0), VMIRQ_STEP_WINDOW);
	vmirq_vcpu_leave(vcpu);
	line(s, 5, 0, false);
	/* INT has fallen with it: the CPU sees nothing. */
	assert_int_equal(step(vcpu, INTERRUPTIBLE), VMIRQ_STEP_ENTER);
	vmirq_vcpu_leave(vcpu);
	/* But in its acknowledge cycle it would see this (8259A, "in both the edge and level..."). */
	line(s, 5, 0, true);
	take(vcpu, 0x25);
	assert_int_equal(isr(s), 1 << 5);
	/* A level that stays comes again after its EOI. */
	out8(s, 0x20, 0x20);
	take(vcpu, 0x25);
	line(s, 5, 0, false);
	out8(s, 0x20, 0x20);
	assert_int_equal(step(vcpu, INTERRUPTIBLE), VMIRQ_STEP_ENTER);
	/* The slave's request fades and the master's pulse of it stays: the slave says 7. */
	out8(s, 0x4d1, 1 << 4);
	line(s, 12, 0, true);
	line(s, 12, 0, false);
	take(vcpu, 0x2f);
	assert_int_equal(pic_register(s, 0xa0, 0x0b), 0);
	assert_int_equal(isr(s), 1 << 2);
	out8(s, 0x20, 0x20);
	pc_free(s);
}

static void interrupts_off(void **state)
{
	struct soft *s = with_pics(1);
	struct vmirq_vcpu *vcpu = s->vcpu[0];

	(void)state;
	pulse(s, 3);
	assert_int_equal(step(vcpu, 0), VMIRQ_STEP_WINDOW);
	vmirq_vcpu_leave(vcpu);
	assert_int_equal(isr(s), 0);
	/* HLT with IF = 0 sleeps through it. */
	assert_int_equal(step(vcpu, HALTED), VMIRQ_STEP_PARK);
	assert_int_equal(vmirq_vcpu_park(vcpu, 0), VMIRQ_PARK_TIMEOUT);
	assert_int_equal(step(vcpu, HALTED | INTERRUPTIBLE), 0x123);
	assert_int_equal(vmirq_vcpu_ack(vcpu, 0x23), 0);
	pc_free(s);
}

static void *pulse_later(void *argument)
{
	const struct timespec nap = { .tv_nsec = 10000000 };
	struct soft *s = argument;

	nanosleep(&nap, NULL);
	vmirq_line_pulse(s->vm, 3, 0, NULL);
	return NULL;
}

static void halted_and_woken(void **state)
{
	struct soft *s = with_pics(2);
	struct vmirq_vcpu *vcpu = s->vcpu[0];
	pthread_t thread;

	(void)state;
	for (int i = 0; i < 3; i++) {
		assert_int_equal(step(vcpu, HALTED | INTERRUPTIBLE), VMIRQ_STEP_PARK);
		assert_int_equal(pthread_create(&thread, NULL, pulse_later, s), 0);
		assert_int_equal(vmirq_vcpu_park(vcpu, PATIENCE), VMIRQ_PARK_RUNNABLE);
		pthread_join(thread, NULL);
		take(vcpu, 0x23);
		out8(s, 0x20, 0x20);
	}
	/* The other's LINT0 is masked: it is left alone. */
	assert_int_equal(step(s->vcpu[1], INTERRUPTIBLE), VMIRQ_STEP_ENTER);
	pc_free(s);
}

/* An interrupt behind the one in service, and the EOI that lets it through, while the vCPU sleeps. */
static void woken_by_the_eoi(void **state)
{
	struct soft *s = with_pics(1);
	struct vmirq_vcpu *vcpu = s->vcpu[0];

	(void)state;
	pulse(s, 3);
	take(vcpu, 0x23);
	pulse(s, 5);
	assert_int_equal(step(vcpu, HALTED | INTERRUPTIBLE), VMIRQ_STEP_PARK);
	assert_int_equal(vmirq_vcpu_park(vcpu, 0), VMIRQ_PARK_TIMEOUT);
	out8(s, 0x20, 0x20);
	assert_int_equal(vmirq_vcpu_park(vcpu, PATIENCE), VMIRQ_PARK_RUNNABLE);
	take(vcpu, 0x25);
	pc_free(s);
}

static void lint0_masked_and_unmasked(void **state)
{
	struct soft *s = with_pics(2);
	struct vmirq_vcpu *vcpu = s->vcpu[0];

	(void)state;
	apic_write(vcpu, APIC_LVT_LINT0, LINT0_MASKED | LINT0_EXTINT);
	pulse(s, 3);
	assert_int_equal(step(vcpu, INTERRUPTIBLE), VMIRQ_STEP_ENTER);
	vmirq_vcpu_leave(vcpu);
	assert_int_equal(step(vcpu, HALTED | INTERRUPTIBLE), VMIRQ_STEP_PARK);
	assert_int_equal(vmirq_vcpu_park(vcpu, 0), VMIRQ_PARK_TIMEOUT);
	/* INT is still high when it opens. */
	apic_write(vcpu, APIC_LVT_LINT0, LINT0_EXTINT);
	assert_int_equal(vmirq_vcpu_park(vcpu, PATIENCE), VMIRQ_PARK_RUNNABLE);
	take(vcpu, 0x23);
	out8(s, 0x20, 0x20);
	/* Given to another vCPU while INT is high. */
	apic_write(vcpu, APIC_LVT_LINT0, LINT0_MASKED);
	pulse(s, 3);
	assert_int_equal(step(s->vcpu[1], HALTED | INTERRUPTIBLE), VMIRQ_STEP_PARK);
	apic_write(s->vcpu[1], APIC_LVT_LINT0, LINT0_EXTINT);
	assert_int_equal(vmirq_vcpu_park(s->vcpu[1], PATIENCE), VMIRQ_PARK_RUNNABLE);
	take(s->vcpu[1], 0x23);
	assert_int_equal(step(vcpu, INTERRUPTIBLE), VMIRQ_STEP_ENTER);
	pc_free(s);
}

/* Fixed delivery on LINT0 is not the 8259s' way to a vector of their own. */
static void lint0_of_another_mode(void **state)
{
	struct soft *s = with_pics(1);

	(void)state;
	apic_write(s->vcpu[0], APIC_LVT_LINT0, 0x41);
	pulse(s, 3);
	assert_int_equal(step(s->vcpu[0], HALTED | INTERRUPTIBLE), VMIRQ_STEP_PARK);
	assert_int_equal(isr(s), 0);
	pc_free(s);
}

/* Then the pin is the processor's INTR (11.4.3). */
static void the_local_apic_is_off(void **state)
{
	struct soft *s = with_pics(1);
	struct vmirq_vcpu *vcpu = s->vcpu[0];

	(void)state;
	apic_write(vcpu, APIC_LVT_LINT0, LINT0_MASKED);
	pulse(s, 3);
	assert_int_equal(step(vcpu, INTERRUPTIBLE), VMIRQ_STEP_ENTER);
	vmirq_vcpu_leave(vcpu);
	assert_int_equal(vmirq_vcpu_set_apic_base(vcpu, APIC_PAGE | 0x100), 0);
	take(vcpu, 0x23);
	out8(s, 0x20, 0x20);
	assert_int_equal(step(vcpu, HALTED | INTERRUPTIBLE), VMIRQ_STEP_PARK);
	pulse(s, 4);
	assert_int_equal(vmirq_vcpu_park(vcpu, PATIENCE), VMIRQ_PARK_RUNNABLE);
	take(vcpu, 0x24);
	pc_free(s);
}

static int kicks;

static void kick(void *opaque)
{
	(void)opaque;
	kicks++;
}

static void in_the_guest_it_is_kicked(void **state)
{
	struct soft *s = with_pics(0);
	struct vmirq_vcpu_config config = { .size = sizeof(config), .kick = { .fn = kick } };

	(void)state;
	kicks = 0;
	assert_int_equal(vmirq_vcpu_create(s->vm, &config, &s->vcpu[0]), 0);
	s->n = 1;
	assert_int_equal(step(s->vcpu[0], INTERRUPTIBLE), VMIRQ_STEP_ENTER);
	pulse(s, 3);
	assert_int_equal(kicks, 1);
	vmirq_vcpu_leave(s->vcpu[0]);
	take(s->vcpu[0], 0x23);
	pc_free(s);
}

/* A power cycle forgets what was under way, in all three places. */
static void reset(void **state)
{
	struct soft *s = with_pics(1);
	struct vmirq_vcpu *vcpu = s->vcpu[0];

	(void)state;
	pulse(s, 3);
	assert_int_equal(step(vcpu, INTERRUPTIBLE), 0x123);
	pulse(s, 1);
	assert_int_equal(vmirq_vm_reset(s->vm), 0);
	assert_int_equal(step(vcpu, INTERRUPTIBLE), VMIRQ_STEP_ENTER);
	assert_int_equal(isr(s), 0);
	assert_int_equal(irr(s), 0);
	pics_start(s, 0, 0);
	pulse(s, 4);
	take(vcpu, 0x24);
	pc_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_pc_that_knows_no_apic),
		cmocka_unit_test(priorities),
		cmocka_unit_test(offered_until_taken),
		cmocka_unit_test(taken_back),
		cmocka_unit_test(the_same_vector_from_the_local_apic),
		cmocka_unit_test(spurious),
		cmocka_unit_test(interrupts_off),
		cmocka_unit_test(halted_and_woken),
		cmocka_unit_test(woken_by_the_eoi),
		cmocka_unit_test(lint0_masked_and_unmasked),
		cmocka_unit_test(lint0_of_another_mode),
		cmocka_unit_test(the_local_apic_is_off),
		cmocka_unit_test(in_the_guest_it_is_kicked),
		cmocka_unit_test(reset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
