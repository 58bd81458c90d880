// SPDX-License-Identifier: MIT
/* Edges, levels and what an EOI does, from line to vCPU and back (82093AA 3.2.4; SDM vol. 3A 11.8.5). */
#include "pc_world.h"

#include <sys/eventfd.h>
#include <unistd.h>

#define GSI    17u
#define VECTOR 0x51

static struct soft *with_level(unsigned int n)
{
	struct soft *s = pc_new(n, 0);

	rte_put(s, GSI, RTE_TO(0) | RTE_LEVEL | VECTOR);
	return s;
}

static void a_level(void **state)
{
	struct soft *s = with_level(1);
	struct vmirq_vcpu *vcpu = s->vcpu[0];

	(void)state;
	assert_int_equal(line(s, GSI, 0, true), 1);
	assert_true(remote_irr(s, GSI));
	assert_true(apic_bit(vcpu, APIC_TMR, VECTOR));
	/* While it is in service: held back, and not lost. */
	begin_service(vcpu, VECTOR);
	line(s, GSI, 0, false);
	assert_true(line(s, GSI, 0, true) <= 0);
	assert_int_equal(gsi_verdict(s, GSI, VMIRQ_REMOTE_IRR), 1);
	take_nothing(vcpu);
	/* Again for as long as it is high at EOI. */
	for (int i = 0; i < 5; i++) {
		end_service(vcpu);
		assert_true(remote_irr(s, GSI));
		begin_service(vcpu, VECTOR);
	}
	line(s, GSI, 0, false);
	assert_true(remote_irr(s, GSI));
	end_service(vcpu);
	assert_false(remote_irr(s, GSI));
	take_nothing(vcpu);
	/* Deliveries again at EOI are nobody's signal. */
	assert_int_equal(counts_of_gsi(s, GSI).raised, 2);
	assert_int_equal(counts_of_vector(vcpu, VECTOR).taken, 6);
	pc_free(s);
}

/* The pin's message has gone this way before; the vector has been somebody else's since. */
static void an_edge_of_the_same_vector_between(void **state)
{
	struct soft *s = with_level(1);
	struct vmirq_vcpu *vcpu = s->vcpu[0];
	struct kvm_msi msi = msi_to(0, VECTOR);

	(void)state;
	for (int i = 0; i < 3; i++) {
		assert_int_equal(vmirq_msi_send(s->vm, &msi), 1);
		assert_false(apic_bit(vcpu, APIC_TMR, VECTOR));
		take_only(vcpu, VECTOR);
		for (int again = 0; again < 2; again++) {
			assert_int_equal(line(s, GSI, 0, true), 1);
			assert_true(apic_bit(vcpu, APIC_TMR, VECTOR));
			begin_service(vcpu, VECTOR);
			line(s, GSI, 0, false);
			end_service(vcpu);
			assert_false(remote_irr(s, GSI));
		}
	}
	take_nothing(vcpu);
	pc_free(s);
}

static void an_edge(void **state)
{
	struct soft *s = pc_new(1, 0);
	struct vmirq_vcpu *vcpu = s->vcpu[0];

	(void)state;
	rte_put(s, GSI, RTE_TO(0) | VECTOR);
	assert_int_equal(line(s, GSI, 0, true), 1);
	assert_false(remote_irr(s, GSI));
	assert_false(apic_bit(vcpu, APIC_TMR, VECTOR));
	begin_service(vcpu, VECTOR);
	end_service(vcpu);
	take_nothing(vcpu);
	line(s, GSI, 0, false);
	take_nothing(vcpu);
	/* The next one waits behind the one in service. */
	assert_int_equal(pulse(s, GSI), 1);
	begin_service(vcpu, VECTOR);
	assert_int_equal(pulse(s, GSI), 1);
	/* And a third is one with it. */
	pulse(s, GSI);
	assert_int_equal(gsi_verdict(s, GSI, VMIRQ_COALESCED), 1);
	end_service(vcpu);
	take_only(vcpu, VECTOR);
	pc_free(s);
}

/* The highest in service ends first, whichever line came first. */
static void the_order_of_eois(void **state)
{
	struct soft *s = with_level(1);
	struct vmirq_vcpu *vcpu = s->vcpu[0];

	(void)state;
	rte_put(s, 18, RTE_TO(0) | RTE_LEVEL | 0x61);
	line(s, GSI, 0, true);
	begin_service(vcpu, VECTOR);
	line(s, 18, 0, true);
	begin_service(vcpu, 0x61);
	line(s, GSI, 0, false);
	line(s, 18, 0, false);
	end_service(vcpu);
	assert_false(remote_irr(s, 18));
	assert_true(remote_irr(s, GSI));
	end_service(vcpu);
	assert_false(remote_irr(s, GSI));
	/* One EOI too many ends nothing. */
	line(s, GSI, 0, true);
	line(s, GSI, 0, false);
	end_service(vcpu);
	assert_true(remote_irr(s, GSI));
	take_only(vcpu, VECTOR);
	assert_false(remote_irr(s, GSI));
	pc_free(s);
}

/* Each vCPU's EOI is told to all pins with that vector. */
static void two_pins_with_one_vector(void **state)
{
	struct soft *s = with_level(2);

	(void)state;
	rte_put(s, 18, RTE_TO(1) | RTE_LEVEL | VECTOR);
	line(s, GSI, 0, true);
	line(s, 18, 0, true);
	begin_service(s->vcpu[0], VECTOR);
	begin_service(s->vcpu[1], VECTOR);
	end_service(s->vcpu[1]);
	/* Delivered again at once, both: their lines are high. */
	assert_true(remote_irr(s, GSI) && remote_irr(s, 18));
	line(s, GSI, 0, false);
	line(s, 18, 0, false);
	end_service(s->vcpu[0]);
	take_all(s->vcpu[0], NULL);
	take_all(s->vcpu[1], NULL);
	assert_false(remote_irr(s, GSI) || remote_irr(s, 18));
	pc_free(s);
}

static void masked_while_high(void **state)
{
	struct soft *s = with_level(1);

	(void)state;
	rte_put(s, GSI, RTE_TO(0) | RTE_LEVEL | RTE_MASKED | VECTOR);
	assert_int_equal(line(s, GSI, 0, true), NOBODY);
	assert_int_equal(gsi_verdict(s, GSI, VMIRQ_RTE_MASKED), 1);
	take_nothing(s->vcpu[0]);
	/* A level still wants service at unmask. */
	rte_put(s, GSI, RTE_TO(0) | RTE_LEVEL | VECTOR);
	begin_service(s->vcpu[0], VECTOR);
	/* Masked in service, EOI, unmasked: nothing meanwhile, then again. */
	ioapic_put(s, IOAPIC_BASE, 0x10 + 2 * GSI, RTE_LEVEL | RTE_MASKED | VECTOR);
	end_service(s->vcpu[0]);
	take_nothing(s->vcpu[0]);
	ioapic_put(s, IOAPIC_BASE, 0x10 + 2 * GSI, RTE_LEVEL | VECTOR);
	begin_service(s->vcpu[0], VECTOR);
	line(s, GSI, 0, false);
	end_service(s->vcpu[0]);
	take_nothing(s->vcpu[0]);
	pc_free(s);
}

/* The way Linux unsticks a pin: to edge and back. */
static void to_edge_clears_remote_irr(void **state)
{
	struct soft *s = with_level(1);

	(void)state;
	line(s, GSI, 0, true);
	begin_service(s->vcpu[0], VECTOR);
	ioapic_put(s, IOAPIC_BASE, 0x10 + 2 * GSI, RTE_MASKED | VECTOR);
	assert_false(remote_irr(s, GSI));
	line(s, GSI, 0, false);
	ioapic_put(s, IOAPIC_BASE, 0x10 + 2 * GSI, RTE_LEVEL | VECTOR);
	/* Both bits are read-only to the guest. */
	ioapic_put(s, IOAPIC_BASE, 0x10 + 2 * GSI, RTE_LEVEL | RTE_REMOTE_IRR | 0x1000 | VECTOR);
	assert_int_equal(rte_get(s, GSI) & (RTE_REMOTE_IRR | 0x1000), 0);
	end_service(s->vcpu[0]);
	assert_int_equal(line(s, GSI, 0, true), 1);
	line(s, GSI, 0, false);
	take_only(s->vcpu[0], VECTOR);
	pc_free(s);
}

/* 10,000 EOIs in a row that find the line high: then a rest of 10 ms, and no more work than that. */
static void a_storm_is_throttled(void **state)
{
	struct soft *s = with_level(1);
	unsigned int n = 0;

	(void)state;
	assert_int_equal(vmirq_vm_deadline(s->vm), UINT64_MAX);
	line(s, GSI, 0, true);
	while (vmirq_vcpu_next_vector(s->vcpu[0]) == VECTOR && n < 20000) {
		begin_service(s->vcpu[0], VECTOR);
		end_service(s->vcpu[0]);
		n++;
	}
	assert_int_equal(n, 10000);
	assert_int_equal(vmirq_vm_deadline(s->vm), s->now + 10000000);
	s->now += 9999999;
	vmirq_vm_expire(s->vm);
	take_nothing(s->vcpu[0]);
	s->now++;
	vmirq_vm_expire(s->vm);
	begin_service(s->vcpu[0], VECTOR);
	assert_int_equal(vmirq_vm_deadline(s->vm), UINT64_MAX);
	line(s, GSI, 0, false);
	end_service(s->vcpu[0]);
	take_nothing(s->vcpu[0]);
	pc_free(s);
}

/* Queued, and by the pump it comes to this. */
static void call_comes_to(struct soft *s, struct vmirq_irqfd *irqfd, enum vmirq_verdict verdict)
{
	struct vmirq_route_counts before = counts_of(irqfd), queued, after;

	assert_signal(irqfd, VMIRQ_HELD);
	queued = counts_of(irqfd);
	assert_int_equal(queued.held, 1);
	assert_int_equal(queued.raised, before.raised + 1);
	/* Once in the queue, however often it is raised. */
	assert_signal(irqfd, VMIRQ_COALESCED);
	assert_int_equal(dispatch(s), 1);
	after = counts_of(irqfd);
	assert_int_equal(after.held, 0);
	assert_int_equal(after.verdict[verdict],
			 before.verdict[verdict] + 1 + (verdict == VMIRQ_COALESCED));
	assert_int_equal(after.raised, before.raised + 2);
}

/* An irqfd on a pin is an edge: assert and de-assert. */
static void irqfds_pulse(void **state)
{
	struct soft *s = pc_new(1, 0);
	struct vmirq_irqfd *by_call = irqfd_call(s, GSI);
	int fd = eventfd(0, EFD_NONBLOCK);
	struct vmirq_irqfd *by_eventfd = irqfd_on(s, GSI, fd);
	uint64_t one = 1;

	(void)state;
	call_comes_to(s, by_call, VMIRQ_RTE_MASKED);
	rte_put(s, GSI, RTE_TO(0) | VECTOR);
	take_nothing(s->vcpu[0]);
	call_comes_to(s, by_call, VMIRQ_DELIVERED);
	assert_int_equal(vmirq_line_level(s->vm, GSI), 0);
	call_comes_to(s, by_call, VMIRQ_COALESCED);
	take_only(s->vcpu[0], VECTOR);
	assert_int_equal(write(fd, &one, sizeof(one)), sizeof(one));
	assert_int_equal(dispatch(s), 1);
	take_only(s->vcpu[0], VECTOR);
	/* Held high by a source, a pulse is no edge. */
	assert_int_equal(line(s, GSI, 0, true), 1);
	take_only(s->vcpu[0], VECTOR);
	call_comes_to(s, by_call, VMIRQ_COALESCED);
	take_nothing(s->vcpu[0]);
	line(s, GSI, 0, false);
	/* A level that is gone again has been seen all the same. */
	rte_put(s, GSI, RTE_TO(0) | RTE_LEVEL | VECTOR);
	call_comes_to(s, by_call, VMIRQ_DELIVERED);
	call_comes_to(s, by_call, VMIRQ_REMOTE_IRR);
	take_only(s->vcpu[0], VECTOR);
	take_nothing(s->vcpu[0]);
	assert_int_equal(counts_of(by_call).raised, 12);
	assert_int_equal(counts_of_gsi(s, GSI).raised, 14);
	assert_int_equal(vmirq_irqfd_deassign(by_call), 0);
	assert_int_equal(vmirq_irqfd_deassign(by_eventfd), 0);
	assert_int_equal(counts_of_gsi(s, GSI).raised, 14);
	close(fd);
	pc_free(s);
}

static void everything_is_back_after_reset(void **state)
{
	struct soft *s = with_level(2);
	struct kvm_irq_routing_entry entry[2];

	(void)state;
	pics_start(s, 0, 0);
	rte_put(s, 18, RTE_TO(1) | 0x61);
	line(s, GSI, 0, true);
	line(s, 3, 0, true);
	pulse(s, 18);
	begin_service(s->vcpu[0], VECTOR);
	assert_int_equal(vmirq_vm_reset(s->vm), 0);
	for (uint32_t pin = 0; pin < 24; pin++)
		assert_int_equal(rte_get(s, pin), RTE_MASKED);
	assert_int_equal(in8(s, 0x21), 0);
	assert_int_equal(apic_read(s->vcpu[0], APIC_SVR), 0xff);
	assert_false(apic_bit(s->vcpu[0], APIC_ISR, VECTOR));
	assert_int_equal(counts_of_vector(s->vcpu[1], 0x61).reset, 1);
	/* Routes and the lines' levels are not the chips'. */
	assert_int_equal(vmirq_route_get(s->vm, 3, entry, 2), 2);
	assert_int_equal(vmirq_line_level(s->vm, GSI), 1);
	take_nothing(s->vcpu[0]);
	apic_enable(s->vcpu[0]);
	rte_put(s, GSI, RTE_TO(0) | RTE_LEVEL | VECTOR);
	begin_service(s->vcpu[0], VECTOR);
	line(s, GSI, 0, false);
	end_service(s->vcpu[0]);
	take_nothing(s->vcpu[0]);
	pc_free(s);
}

/* XSA-360: nothing is left over, however often. */
static void a_thousand_resets(void **state)
{
	struct soft *s = pc_new(1, VMIRQ_VM_PIT);

	(void)state;
	for (int i = 0; i < 1000; i++) {
		apic_enable(s->vcpu[0]);
		rte_put(s, GSI, RTE_TO(0) | RTE_LEVEL | VECTOR);
		assert_int_equal(line(s, GSI, 0, true), 1);
		if (i % 2)
			begin_service(s->vcpu[0], VECTOR);
		line(s, GSI, 0, false);
		assert_int_equal(vmirq_vm_reset(s->vm), 0);
		take_nothing(s->vcpu[0]);
	}
	assert_int_equal(counts_of_vector(s->vcpu[0], VECTOR).pending, 0);
	assert_int_equal(counts_of_vector(s->vcpu[0], VECTOR).reset, 500);
	pc_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_level),
		cmocka_unit_test(an_edge_of_the_same_vector_between),
		cmocka_unit_test(an_edge),
		cmocka_unit_test(the_order_of_eois),
		cmocka_unit_test(two_pins_with_one_vector),
		cmocka_unit_test(masked_while_high),
		cmocka_unit_test(to_edge_clears_remote_irr),
		cmocka_unit_test(a_storm_is_throttled),
		cmocka_unit_test(irqfds_pulse),
		cmocka_unit_test(everything_is_back_after_reset),
		cmocka_unit_test(a_thousand_resets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
