// SPDX-License-Identifier: MIT
/* The PIT through the IOAPIC and the 8259s, by a clock that is turned by hand; and timers on the real
 * one: who parks is woken, who is in the guest is kicked (vcpu.h, vmirq_vcpu_deadline()). */
#include "pc_world.h"

#include <poll.h>
#include <stdlib.h>
#include <time.h>

#define TICK	 0x30
#define COUNT	 11932u /* pulses of 1,193,182 Hz: some 10 ms */
#define PERIOD	 UINT64_C(10000151)

#define PATIENCE INT64_C(5000000000)
#define BY_1	 0xbu

static struct soft *with_pit(uint32_t flags)
{
	struct soft *s = pc_new(1, VMIRQ_VM_PIT | flags);

	rte_put(s, 2, RTE_TO(0) | TICK);
	out8(s, 0x43, 0x34);
	out8(s, 0x40, COUNT & 0xff);
	out8(s, 0x40, COUNT >> 8);
	return s;
}

static void to_the_deadline(struct soft *s)
{
	uint64_t deadline = vmirq_vm_deadline(s->vm);

	assert_true(deadline > s->now && deadline < UINT64_MAX);
	s->now = deadline - 1;
	vmirq_vm_expire(s->vm);
	take_nothing(s->vcpu[0]);
	s->now = deadline;
	vmirq_vm_expire(s->vm);
}

static void pit_ticks(void **state)
{
	struct soft *s = with_pit(0);
	uint64_t begin;

	(void)state;
	to_the_deadline(s);
	take_only(s->vcpu[0], TICK);
	begin = s->now;
	for (int i = 0; i < 100; i++) {
		to_the_deadline(s);
		take_only(s->vcpu[0], TICK);
	}
	assert_in_range(s->now - begin, 100 * PERIOD - 1000, 100 * PERIOD + 1000);
	assert_int_equal(gsi_verdict(s, 0, VMIRQ_DELIVERED), 101);
	pc_free(s);
}

/* Ticks that the guest was too slow for come after its EOIs, one by one; or never. */
static void ticks_that_were_missed(void **state)
{
	struct soft *s = with_pit(0);

	(void)state;
	to_the_deadline(s);
	s->now += 7 * PERIOD;
	vmirq_vm_expire(s->vm);
	for (int i = 0; i < 8; i++) {
		begin_service(s->vcpu[0], TICK);
		end_service(s->vcpu[0]);
	}
	take_nothing(s->vcpu[0]);
	pc_free(s);

	s = with_pit(VMIRQ_VM_PIT_DISCARD);
	to_the_deadline(s);
	s->now += 7 * PERIOD;
	vmirq_vm_expire(s->vm);
	take_only(s->vcpu[0], TICK);
	pc_free(s);
}

/* A power cycle owes nobody a tick, and leaves none in the chips. */
static void reset_with_ticks_owed(void **state)
{
	struct soft *s = with_pit(0);
	uint32_t vector;

	(void)state;
	pics_start(s, 0xfe, 0xff);
	apic_write(s->vcpu[0], APIC_LVT_LINT0, 0x700);
	to_the_deadline(s);
	s->now += 7 * PERIOD;
	vmirq_vm_expire(s->vm);
	/* In service at the 8259. */
	assert_int_equal(vmirq_vcpu_step(s->vcpu[0], VMIRQ_CPU_INTERRUPTIBLE, &vector),
			 VMIRQ_STEP_INJECT);
	assert_int_equal(vector, 0x20);
	assert_int_equal(vmirq_vcpu_ack(s->vcpu[0], vector), 0);
	assert_int_equal(vmirq_vm_reset(s->vm), 0);
	assert_int_equal(vmirq_vcpu_step(s->vcpu[0], VMIRQ_CPU_INTERRUPTIBLE, &vector),
			 VMIRQ_STEP_ENTER);
	out8(s, 0x20, 0x0a);
	assert_int_equal(in8(s, 0x20), 0);
	s->now += 1000 * PERIOD;
	vmirq_vm_expire(s->vm);
	assert_int_equal(vmirq_vcpu_step(s->vcpu[0], VMIRQ_CPU_INTERRUPTIBLE, &vector),
			 VMIRQ_STEP_ENTER);
	assert_int_equal(vmirq_vm_deadline(s->vm), UINT64_MAX);
	pc_free(s);
}

static void the_clock_jumps(void **state)
{
	struct soft *s = with_pit(VMIRQ_VM_PIT_DISCARD);

	(void)state;
	for (int i = 0; i < 20; i++) {
		s->now += UINT64_C(3600000000000);
		vmirq_vm_expire(s->vm);
		take_only(s->vcpu[0], TICK);
		assert_true(vmirq_vm_deadline(s->vm) > s->now);
	}
	pc_free(s);
}

static int kicks;

static void kick(void *opaque)
{
	(void)opaque;
	__atomic_fetch_add(&kicks, 1, __ATOMIC_RELAXED);
}

/* A VM on CLOCK_MONOTONIC. */
static struct soft *on_the_real_clock(uint32_t flags)
{
	struct vmirq_vm_config config = { .size = sizeof(config),
					  .max_gsis = SOFT_GSIS,
					  .flags = flags };
	struct vmirq_vcpu_config vcpu = { .size = sizeof(vcpu), .kick = { .fn = kick } };
	struct soft *s = calloc(1, sizeof(*s));

	assert_non_null(s);
	kicks = 0;
	s->max_gsis = SOFT_GSIS;
	assert_int_equal(vmirq_vm_create(&config, &s->vm), 0);
	assert_int_equal(vmirq_vcpu_create(s->vm, &vcpu, &s->vcpu[0]), 0);
	s->n = 1;
	apic_enable(s->vcpu[0]);
	apic_write(s->vcpu[0], APIC_TDCR, BY_1);
	apic_write(s->vcpu[0], APIC_LVT_TIMER, 0x41);
	return s;
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static int step(struct soft *s, unsigned int flags)
{
	uint32_t vector;

	return vmirq_vcpu_step(s->vcpu[0], flags, &vector);
}

static void the_parked_wake(void **state)
{
	struct soft *s = on_the_real_clock(0);
	uint64_t begin;

	(void)state;
	for (int i = 0; i < 3; i++) {
		begin = now_ns();
		apic_write(s->vcpu[0], APIC_TMICT, 20000000);
		assert_int_equal(step(s, VMIRQ_CPU_HALTED | VMIRQ_CPU_INTERRUPTIBLE),
				 VMIRQ_STEP_PARK);
		/* The caller's own time-out comes first where it is shorter. */
		assert_int_equal(vmirq_vcpu_park(s->vcpu[0], 1000), VMIRQ_PARK_TIMEOUT);
		assert_int_equal(vmirq_vcpu_park(s->vcpu[0], i ? PATIENCE : -1),
				 VMIRQ_PARK_RUNNABLE);
		assert_true(now_ns() - begin >= 20000000);
		assert_int_equal(step(s, VMIRQ_CPU_HALTED | VMIRQ_CPU_INTERRUPTIBLE),
				 VMIRQ_STEP_INJECT);
		take_only(s->vcpu[0], 0x41);
	}
	assert_int_equal(kicks, 0);
	pc_free(s);
}

/* Until there was a kick, or too long. */
static void dispatch_until_kicked(struct soft *s, int wanted)
{
	uint64_t begin = now_ns();

	while (kicks < wanted && now_ns() - begin < (uint64_t)PATIENCE)
		vmirq_pump_dispatch(vmirq_vm_pump(s->vm), 100);
	assert_int_equal(kicks, wanted);
}

static void in_the_guest_it_is_kicked(void **state)
{
	struct soft *s = on_the_real_clock(0);
	uint64_t begin;

	(void)state;
	for (int i = 1; i <= 3; i++) {
		begin = now_ns();
		apic_write(s->vcpu[0], APIC_TMICT, 10000000);
		assert_int_equal(step(s, 0), VMIRQ_STEP_ENTER);
		dispatch_until_kicked(s, i);
		assert_true(now_ns() - begin >= 10000000);
		vmirq_vcpu_leave(s->vcpu[0]);
		assert_int_equal(step(s, VMIRQ_CPU_INTERRUPTIBLE), VMIRQ_STEP_INJECT);
		take_only(s->vcpu[0], 0x41);
	}
	/* Cancelled, entered again: nobody is kicked. */
	apic_write(s->vcpu[0], APIC_TMICT, 10000000);
	assert_int_equal(step(s, 0), VMIRQ_STEP_ENTER);
	vmirq_vcpu_leave(s->vcpu[0]);
	apic_write(s->vcpu[0], APIC_TMICT, 0);
	assert_int_equal(step(s, 0), VMIRQ_STEP_ENTER);
	vmirq_pump_dispatch(vmirq_vm_pump(s->vm), 30);
	assert_int_equal(kicks, 3);
	vmirq_vcpu_leave(s->vcpu[0]);
	pc_free(s);
}

/* By the pump's own thread, in place of the VMM's loop. */
static void kicked_by_a_thread(void **state)
{
	const struct timespec nap = { .tv_nsec = 1000000 };
	struct soft *s = on_the_real_clock(0);

	(void)state;
	assert_int_equal(vmirq_pump_start(vmirq_vm_pump(s->vm)), 0);
	apic_write(s->vcpu[0], APIC_TMICT, 5000000);
	assert_int_equal(step(s, 0), VMIRQ_STEP_ENTER);
	for (int i = 0; i < 5000 && !__atomic_load_n(&kicks, __ATOMIC_RELAXED); i++)
		nanosleep(&nap, NULL);
	assert_int_equal(__atomic_load_n(&kicks, __ATOMIC_RELAXED), 1);
	vmirq_vcpu_leave(s->vcpu[0]);
	assert_int_equal(step(s, VMIRQ_CPU_INTERRUPTIBLE), VMIRQ_STEP_INJECT);
	take_only(s->vcpu[0], 0x41);
	pc_free(s);
}

/* The PIT's deadline is the pump's too. */
static void the_pit_by_the_pump(void **state)
{
	struct soft *s = on_the_real_clock(VMIRQ_VM_PC_CHIPS | VMIRQ_VM_PIT);

	(void)state;
	apic_write(s->vcpu[0], APIC_LVT_LINT0, 0x10000);
	rte_put(s, 2, RTE_TO(0) | TICK);
	out8(s, 0x43, 0x34);
	out8(s, 0x40, COUNT & 0xff);
	out8(s, 0x40, COUNT >> 8);
	for (int i = 1; i <= 3; i++) {
		assert_int_equal(step(s, 0), VMIRQ_STEP_ENTER);
		dispatch_until_kicked(s, i);
		vmirq_vcpu_leave(s->vcpu[0]);
		assert_int_equal(step(s, VMIRQ_CPU_INTERRUPTIBLE), VMIRQ_STEP_INJECT);
		begin_service(s->vcpu[0], TICK);
		end_service(s->vcpu[0]);
		/* A slow machine may owe some. */
		take_all(s->vcpu[0], NULL);
	}
	pc_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pit_ticks),
		cmocka_unit_test(ticks_that_were_missed),
		cmocka_unit_test(reset_with_ticks_owed),
		cmocka_unit_test(the_clock_jumps),
		cmocka_unit_test(the_parked_wake),
		cmocka_unit_test(in_the_guest_it_is_kicked),
		cmocka_unit_test(kicked_by_a_thread),
		cmocka_unit_test(the_pit_by_the_pump),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
