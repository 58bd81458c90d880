// SPDX-License-Identifier: MIT
/* A GSI's line: its statuses, sources, routes and counts (line.h). */
#include "pc_world.h"

#define GSI 17u /* to the IOAPIC only */

static void what_a_change_says(void **state)
{
	struct soft *s = pc_new(2, 0);

	(void)state;
	pics_start(s, 0xbf, 0xff);
	/* Masked everywhere, then by one, then by none: a number for each that takes it. */
	assert_int_equal(line(s, 5, 0, true), NOBODY);
	assert_int_equal(line(s, 5, 0, false), 1);
	rte_put(s, 5, RTE_TO(0) | 0x45);
	assert_int_equal(pulse(s, 5), 1);
	rte_put(s, 6, RTE_TO(0) | 0x46);
	assert_int_equal(pulse(s, 6), 2);
	/* Both have it already. */
	assert_int_equal(pulse(s, 6), 1);
	assert_int_equal(gsi_verdict(s, 6, VMIRQ_COALESCED), 1);
	assert_int_equal(gsi_verdict(s, 5, VMIRQ_RTE_MASKED), 1);
	/* Everybody: the IOAPIC's part is how many local APICs did. */
	rte_put(s, GSI, RTE_TO(0xff) | 0x55);
	assert_int_equal(pulse(s, GSI), 2);
	s->posted_beyond++;
	/* An edge while the line is high already is none. */
	assert_int_equal(line(s, GSI, 0, true), 2);
	assert_int_equal(line(s, GSI, 0, true), 0);
	assert_int_equal(line(s, GSI, 0, false), 1);
	/* Nobody there. */
	rte_put(s, 18, RTE_TO(9) | 0x56);
	assert_true(pulse(s, 18) <= 0);
	assert_int_equal(gsi_verdict(s, 18, VMIRQ_NO_TARGET), 1);
	assert_int_equal(take_all(s->vcpu[0], NULL), 3);
	assert_int_equal(take_all(s->vcpu[1], NULL), 1);
	pc_free(s);
}

/* The number is the pins' at each call; the counts are of rises. */
static void a_high_line_is_set_high_again(void **state)
{
	struct soft *s = pc_new(1, 0);
	uint32_t vector = 0;

	(void)state;
	/* The 8259s as they start: unmasked, edges. */
	for (int i = 0; i < 1000; i++)
		assert_int_equal(line(s, 10, 0, true), 1);
	assert_int_equal(counts_of_gsi(s, 10).raised, 1);
	assert_int_equal(gsi_verdict(s, 10, VMIRQ_DELIVERED), 1);
	assert_int_equal(vmirq_vcpu_step(s->vcpu[0], VMIRQ_CPU_INTERRUPTIBLE, &vector),
			 VMIRQ_STEP_INJECT);
	assert_int_equal(vector, 2);
	assert_int_equal(vmirq_vcpu_ack(s->vcpu[0], vector), 0);
	assert_int_equal(vmirq_vcpu_step(s->vcpu[0], VMIRQ_CPU_INTERRUPTIBLE, &vector),
			 VMIRQ_STEP_ENTER);
	vmirq_vcpu_leave(s->vcpu[0]);
	line(s, 10, 0, false);

	rte_put(s, 20, RTE_TO(0) | RTE_LEVEL | 0x51);
	assert_int_equal(line(s, 20, 0, true), 1);
	for (int i = 1; i < 1000; i++)
		assert_int_equal(line(s, 20, 0, true), NOBODY);
	assert_int_equal(counts_of_gsi(s, 20).raised, 1);
	/* Another source's rise is one. */
	assert_int_equal(line(s, 20, 1, true), NOBODY);
	assert_int_equal(counts_of_gsi(s, 20).raised, 2);
	assert_int_equal(gsi_verdict(s, 20, VMIRQ_REMOTE_IRR), 1);
	line(s, 20, 0, false);
	line(s, 20, 1, false);
	take_only(s->vcpu[0], 0x51);
	pc_free(s);
}

static void the_or_of_its_sources(void **state)
{
	struct soft *s = pc_new(1, 0);

	(void)state;
	rte_put(s, GSI, RTE_TO(0) | RTE_LEVEL | 0x51);
	assert_int_equal(vmirq_line_level(s->vm, GSI), 0);
	assert_int_equal(line(s, GSI, 1, true), 1);
	begin_service(s->vcpu[0], 0x51);
	assert_true(line(s, GSI, 2, true) <= 0);
	line(s, GSI, 1, false);
	assert_int_equal(vmirq_line_level(s->vm, GSI), 1);
	/* One still holds it: again at EOI. */
	end_service(s->vcpu[0]);
	begin_service(s->vcpu[0], 0x51);
	line(s, GSI, 2, false);
	assert_int_equal(vmirq_line_level(s->vm, GSI), 0);
	/* Twice low is low; never high is low. */
	line(s, GSI, 2, false);
	line(s, GSI, 3, false);
	end_service(s->vcpu[0]);
	take_nothing(s->vcpu[0]);
	assert_int_equal(line(s, GSI, 60, true), 1);
	assert_int_equal(vmirq_line_level(s->vm, GSI), 1);
	line(s, GSI, 60, false);
	take_only(s->vcpu[0], 0x51);
	assert_int_equal(counts_of_gsi(s, GSI).raised, 3);
	pc_free(s);
}

static void sources_are_handed_out(void **state)
{
	struct soft *s = pc_new(1, 0);
	uint32_t source[64], n = 0, again;
	uint64_t seen = 1;

	(void)state;
	while (n < 64 && !vmirq_line_source_alloc(s->vm, &source[n])) {
		assert_in_range(source[n], 1, 60);
		assert_false(seen & UINT64_C(1) << source[n]);
		seen |= UINT64_C(1) << source[n++];
	}
	assert_int_equal(n, 60);
	assert_int_equal(vmirq_line_source_alloc(s->vm, &again), -ENOSPC);
	/* It goes low wherever it was high, there only, and nobody else's does. */
	rte_put(s, GSI, RTE_TO(0) | RTE_LEVEL | 0x51);
	line(s, GSI, source[7], true);
	line(s, GSI, source[8], true);
	line(s, 900, source[7], true);
	line(s, 3, source[7], true);
	line(s, 4, source[8], true);
	assert_int_equal(vmirq_line_source_free(s->vm, source[7]), 0);
	assert_int_equal(vmirq_line_level(s->vm, GSI), 1);
	assert_int_equal(vmirq_line_level(s->vm, 900), 0);
	assert_int_equal(vmirq_line_level(s->vm, 3), 0);
	assert_int_equal(vmirq_line_level(s->vm, 4), 1);
	assert_int_equal(vmirq_line_source_free(s->vm, source[7]), -EINVAL);
	assert_int_equal(vmirq_line_source_alloc(s->vm, &again), 0);
	assert_int_equal(again, source[7]);
	assert_int_equal(vmirq_line_source_free(s->vm, source[8]), 0);
	assert_int_equal(vmirq_line_level(s->vm, GSI), 0);
	take_only(s->vcpu[0], 0x51);
	assert_false(remote_irr(s, GSI));
	assert_int_equal(vmirq_line_source_free(s->vm, 0), -EINVAL);
	assert_int_equal(vmirq_line_source_free(s->vm, 64), -EINVAL);
	assert_int_equal(vmirq_line_source_free(s->vm, UINT32_MAX), -EINVAL);
	pc_free(s);
}

/* Two GSIs on one pin: it is high while either is. */
static void two_gsis_on_one_pin(void **state)
{
	struct soft *s = pc_new(1, 0);

	(void)state;
	route_pin(s, 40, KVM_IRQCHIP_IOAPIC, 20);
	route_pin(s, 41, KVM_IRQCHIP_IOAPIC, 20);
	rte_put(s, 20, RTE_TO(0) | RTE_LEVEL | 0x61);
	assert_int_equal(line(s, 40, 0, true), 1);
	line(s, 41, 0, true);
	begin_service(s->vcpu[0], 0x61);
	line(s, 40, 0, false);
	end_service(s->vcpu[0]);
	begin_service(s->vcpu[0], 0x61);
	line(s, 41, 0, false);
	end_service(s->vcpu[0]);
	take_nothing(s->vcpu[0]);
	assert_int_equal(counts_of_gsi(s, 40).raised, 1);
	assert_int_equal(counts_of_gsi(s, 41).raised, 1);
	assert_int_equal(gsi_verdict(s, 41, VMIRQ_REMOTE_IRR) + gsi_verdict(s, 41, VMIRQ_COALESCED),
			 1);
	pc_free(s);
}

static void messages(void **state)
{
	struct soft *s = pc_new(1, 0);

	(void)state;
	route_to(s, 100, 0, 0x71);
	assert_int_equal(line(s, 100, 0, true), 1);
	take_only(s->vcpu[0], 0x71);
	/* At each assertion; a de-assertion sends nothing. */
	assert_int_equal(line(s, 100, 0, true), 1);
	line(s, 100, 0, false);
	assert_int_equal(pulse(s, 100), 1);
	take_only(s->vcpu[0], 0x71);
	assert_int_equal(gsi_verdict(s, 100, VMIRQ_DELIVERED), 2);
	assert_int_equal(gsi_verdict(s, 100, VMIRQ_COALESCED), 1);
	route_to(s, 101, 9, 0x71);
	assert_true(pulse(s, 101) <= 0);
	assert_int_equal(gsi_verdict(s, 101, VMIRQ_NO_TARGET), 1);
	pc_free(s);
}

static void a_route_changes_while_the_line_is_high(void **state)
{
	struct soft *s = pc_new(1, 0);

	(void)state;
	rte_put(s, 20, RTE_TO(0) | RTE_LEVEL | 0x61);
	rte_put(s, 21, RTE_TO(0) | RTE_LEVEL | 0x62);
	route_pin(s, 50, KVM_IRQCHIP_IOAPIC, 20);
	assert_int_equal(line(s, 50, 0, true), 1);
	begin_service(s->vcpu[0], 0x61);
	/* The old pin falls, the new one rises. */
	route_pin(s, 50, KVM_IRQCHIP_IOAPIC, 21);
	end_service(s->vcpu[0]);
	begin_service(s->vcpu[0], 0x62);
	assert_true(remote_irr(s, 21));
	assert_false(remote_irr(s, 20));
	/* To no pin at all, and back: low, then high. */
	assert_int_equal(vmirq_route_clear(s->vm, 50), 0);
	end_service(s->vcpu[0]);
	take_nothing(s->vcpu[0]);
	assert_int_equal(vmirq_line_level(s->vm, 50), 1);
	route_pin(s, 50, KVM_IRQCHIP_IOAPIC, 20);
	begin_service(s->vcpu[0], 0x61);
	/* The same route again: the same level, and nothing more. */
	route_pin(s, 50, KVM_IRQCHIP_IOAPIC, 20);
	route_to(s, 50, 0, 0x71);
	end_service(s->vcpu[0]);
	take_nothing(s->vcpu[0]);
	line(s, 50, 0, false);
	route_pin(s, 50, KVM_IRQCHIP_IOAPIC, 20);
	take_nothing(s->vcpu[0]);
	/* Raised once; what the routes sent later was nobody's signal. */
	assert_int_equal(counts_of_gsi(s, 50).raised, 1);
	pc_free(s);
}

static void a_whole_new_table_while_lines_are_high(void **state)
{
	struct soft *s = pc_new(1, 0);

	(void)state;
	rte_put(s, GSI, RTE_TO(0) | RTE_LEVEL | 0x51);
	line(s, GSI, 0, true);
	begin_service(s->vcpu[0], 0x51);
	assert_int_equal(vmirq_route_set_all(s->vm, NULL, 0), 0);
	end_service(s->vcpu[0]);
	take_nothing(s->vcpu[0]);
	assert_int_equal(vmirq_route_pc_default(s->vm), 0);
	begin_service(s->vcpu[0], 0x51);
	line(s, GSI, 0, false);
	end_service(s->vcpu[0]);
	take_nothing(s->vcpu[0]);
	pc_free(s);
}

/* Where a pin's message went last time is known: not once its RTE or the local APICs' ids are others. */
static void who_gets_a_pins_message(void **state)
{
	struct soft *s = pc_new(3, 0);

	(void)state;
	for (uint32_t vcpu = 0; vcpu < 3; vcpu++) {
		rte_put(s, 17, RTE_TO(vcpu) | 0x51);
		for (int i = 0; i < 2; i++) {
			assert_int_equal(pulse(s, 17), 1);
			take_only(s->vcpu[vcpu], 0x51);
		}
	}
	rte_put(s, 17, RTE_TO(2) | 0x52);
	assert_int_equal(pulse(s, 17), 1);
	take_only(s->vcpu[2], 0x52);
	/* Logical, flat: one of them, another, both, nobody. */
	rte_put(s, 17, RTE_TO(0x4) | RTE_LOGICAL | 0x51);
	for (uint32_t vcpu = 0; vcpu < 2; vcpu++) {
		for (uint32_t i = 0; i < 3; i++)
			apic_write(s->vcpu[i], APIC_LDR, (i == vcpu ? 0x4u : 0x8u) << 24);
		assert_int_equal(pulse(s, 17), 1);
		take_only(s->vcpu[vcpu], 0x51);
	}
	apic_write(s->vcpu[0], APIC_LDR, 0x4u << 24);
	assert_int_equal(pulse(s, 17), 2);
	take_only(s->vcpu[0], 0x51);
	take_only(s->vcpu[1], 0x51);
	s->posted_beyond++;
	apic_write(s->vcpu[0], APIC_LDR, 0x1u << 24);
	apic_write(s->vcpu[1], APIC_LDR, 0x1u << 24);
	assert_int_equal(pulse(s, 17), 0);
	for (uint32_t i = 0; i < 3; i++)
		take_nothing(s->vcpu[i]);
	pc_free(s);
}

/* The RTC's pin: a tick is lost where the last has no EOI yet, also where its message has gone that way before. */
static void ticks_of_the_rtc(void **state)
{
	struct soft *s = pc_new(1, 0);
	struct vmirq_vcpu *vcpu = s->vcpu[0];
	struct vmirq_irqfd *irqfd;

	(void)state;
	route_pin(s, 40, KVM_IRQCHIP_IOAPIC, 8);
	irqfd = irqfd_call(s, 40);
	rte_put(s, 8, RTE_TO(0) | 0x51);
	for (int i = 0; i < 3; i++) {
		/* Nobody asks what became of it: no tick. */
		assert_int_equal(vmirq_irqfd_signal(irqfd), VMIRQ_HELD);
		dispatch(s);
		take_only(vcpu, 0x51);
		assert_int_equal(pulse(s, 40), 1);
		begin_service(vcpu, 0x51);
		assert_int_equal(pulse(s, 40), 0);
		take_nothing(vcpu);
		end_service(vcpu);
	}
	assert_int_equal(vmirq_irqfd_deassign(irqfd), 0);
	pc_free(s);
}

static void no_route(void **state)
{
	struct soft *s = pc_new(1, 0);

	(void)state;
	assert_int_equal(line(s, 200, 0, true), NOBODY);
	line(s, 200, 0, false);
	assert_int_equal(pulse(s, 200), NOBODY);
	assert_int_equal(gsi_verdict(s, 200, VMIRQ_NO_ROUTE), 2);
	/* In the first GSI there is and in the last. */
	assert_int_equal(pulse(s, SOFT_GSIS - 1), NOBODY);
	pc_free(s);
}

static void never(void *opaque, uint32_t gsi, uint32_t value)
{
	(void)opaque;
	fail_msg("told of GSI %u, %u", gsi, value);
}

/* CVE-2017-1000252: the last GSI, one past it, and the last number there is, at every entry. */
static void numbers_out_of_range(void **state)
{
	static const uint32_t bad[] = { SOFT_GSIS, SOFT_GSIS + 1, 1u << 20, INT32_MAX, UINT32_MAX };
	struct vmirq_notifier_config config = { .size = sizeof(config), .fn = never };
	struct soft *s = pc_new(1, 0);
	struct vmirq_notifier *notifier;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		int error = 0;

		assert_int_equal(vmirq_line_set(s->vm, bad[i], 0, true, &error), NOBODY);
		assert_int_equal(error, -EINVAL);
		error = 0;
		assert_int_equal(vmirq_line_pulse(s->vm, bad[i], 0, &error), NOBODY);
		assert_int_equal(error, -EINVAL);
		assert_int_equal(vmirq_line_set(s->vm, bad[i], 0, true, NULL), NOBODY);
		assert_int_equal(vmirq_line_level(s->vm, bad[i]), -EINVAL);
		config.gsi = bad[i];
		assert_int_equal(vmirq_notifier_add(s->vm, &config, &notifier), -EINVAL);
	}
	for (uint32_t source = 61; source; source = source < 1000 ? source * 2 : 0) {
		int error = 0;

		assert_int_equal(vmirq_line_set(s->vm, GSI, source, true, &error), NOBODY);
		assert_int_equal(error, -EINVAL);
	}
	assert_int_equal(vmirq_line_level(s->vm, SOFT_GSIS - 1), 0);
	assert_int_equal(counts_of_gsi(s, GSI).raised, 0);
	pc_free(s);
}

/* Without chips: every call, and what it says. */
static void a_vm_without_chips(void **state)
{
	struct soft *s = soft_new(1);
	uint32_t source;

	(void)state;
	assert_int_equal(line(s, 4, 0, true), NOBODY);
	assert_int_equal(vmirq_line_level(s->vm, 4), 1);
	line(s, 4, 0, false);
	assert_int_equal(vmirq_line_source_alloc(s->vm, &source), 0);
	assert_int_equal(vmirq_line_source_free(s->vm, source), 0);
	route_to(s, 4, 0, 0x44);
	assert_int_equal(line(s, 4, 0, true), 1);
	take_only(s->vcpu[0], 0x44);
	assert_int_equal(vmirq_route_pc_default(s->vm), -EOPNOTSUPP);
	soft_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_a_change_says),
		cmocka_unit_test(a_high_line_is_set_high_again),
		cmocka_unit_test(the_or_of_its_sources),
		cmocka_unit_test(sources_are_handed_out),
		cmocka_unit_test(two_gsis_on_one_pin),
		cmocka_unit_test(messages),
		cmocka_unit_test(a_route_changes_while_the_line_is_high),
		cmocka_unit_test(a_whole_new_table_while_lines_are_high),
		cmocka_unit_test(who_gets_a_pins_message),
		cmocka_unit_test(ticks_of_the_rtc),
		cmocka_unit_test(no_route),
		cmocka_unit_test(numbers_out_of_range),
		cmocka_unit_test(a_vm_without_chips),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
