// SPDX-License-Identifier: MIT
/* An irqfd's copy of its target follows its route, the guest's ids and the vCPUs, by itself. */
#include "../support.h"

#include "base/vm.h"
#include "irqfd/irqfd.h"

#define LOGICAL UINT64_C(4)

static void route_logical(struct soft *s, uint32_t gsi, uint32_t dest, uint8_t vector)
{
	assert_int_equal(vmirq_route_set_msi(s->vm, gsi, 0xfee00000 | LOGICAL | dest << 12, vector),
			 0);
}

/* a0ca34bb: after a reroute nothing goes by the old way. */
static void reroute_from_one_vcpu_to_another(void **state)
{
	struct soft *s = soft_new(2);
	struct vmirq_irqfd *irqfd = irqfd_call(s, 3);

	(void)state;
	route_to(s, 3, 0, 0x41);
	assert_signal(irqfd, VMIRQ_DELIVERED);
	take_only(s->vcpu[0], 0x41);
	route_to(s, 3, 1, 0x41);
	assert_int_equal(vmirq_vm_quiesce(s->vm), 0);
	assert_int_equal(vmirq_vcpu_park(s->vcpu[0], 0), VMIRQ_PARK_TIMEOUT);
	vmirq_vcpu_kick(s->vcpu[0]);
	assert_signal(irqfd, VMIRQ_DELIVERED);
	take_nothing(s->vcpu[0]);
	assert_int_equal(vmirq_vcpu_park(s->vcpu[0], 0), VMIRQ_PARK_TIMEOUT);
	take_only(s->vcpu[1], 0x41);
	soft_free(s);
}

static void several_irqfds_of_one_gsi(void **state)
{
	struct soft *s = soft_new(2);
	struct vmirq_irqfd *irqfd[3];

	(void)state;
	route_to(s, 3, 0, 0x41);
	for (int i = 0; i < 3; i++)
		irqfd[i] = irqfd_call(s, 3);
	route_to(s, 3, 1, 0x42);
	for (int i = 0; i < 3; i++) {
		assert_signal(irqfd[i], VMIRQ_DELIVERED);
		take_only(s->vcpu[1], 0x42);
	}
	assert_int_equal(vmirq_irqfd_deassign(irqfd[1]), 0);
	route_to(s, 3, 0, 0x43);
	assert_signal(irqfd[0], VMIRQ_DELIVERED);
	assert_signal(irqfd[2], VMIRQ_COALESCED);
	take_only(s->vcpu[0], 0x43);
	/* The neighbours' routes are not touched. */
	assert_signal(irqfd_call(s, 2), VMIRQ_NO_ROUTE);
	assert_signal(irqfd_call(s, 4), VMIRQ_NO_ROUTE);
	soft_free(s);
}

/* CVE-2026-23198: a route that changed while its irqfd went does not bring the old one back. */
static void route_change_between_deassign_and_assign(void **state)
{
	struct soft *s = soft_new(2);
	struct vmirq_irqfd *irqfd = irqfd_call(s, 3);

	(void)state;
	route_to(s, 3, 0, 0x41);
	assert_signal(irqfd, VMIRQ_DELIVERED);
	take_only(s->vcpu[0], 0x41);
	assert_int_equal(vmirq_irqfd_deassign(irqfd), 0);
	route_to(s, 3, 1, 0x42);
	assert_int_equal(vmirq_vm_quiesce(s->vm), 0);
	irqfd = irqfd_call(s, 3);
	assert_signal(irqfd, VMIRQ_DELIVERED);
	take_nothing(s->vcpu[0]);
	take_only(s->vcpu[1], 0x42);
	soft_free(s);
}

static void the_guest_rewrites_ldr(void **state)
{
	struct soft *s = soft_new(2);
	struct vmirq_irqfd *irqfd = irqfd_call(s, 3);

	(void)state;
	apic_write(s->vcpu[0], APIC_LDR, 0x01000000);
	apic_write(s->vcpu[1], APIC_LDR, 0x02000000);
	route_logical(s, 3, 1, 0x41);
	assert_signal(irqfd, VMIRQ_DELIVERED);
	take_only(s->vcpu[0], 0x41);
	apic_write(s->vcpu[0], APIC_LDR, 0x04000000);
	assert_signal(irqfd, VMIRQ_NO_TARGET);
	apic_write(s->vcpu[1], APIC_LDR, 0x01000000);
	assert_signal(irqfd, VMIRQ_DELIVERED);
	take_nothing(s->vcpu[0]);
	take_only(s->vcpu[1], 0x41);
	/* Now it is both. */
	apic_write(s->vcpu[0], APIC_LDR, 0x03000000);
	assert_signal(irqfd, VMIRQ_DELIVERED);
	s->posted_beyond++;
	take_only(s->vcpu[0], 0x41);
	take_only(s->vcpu[1], 0x41);
	soft_free(s);
}

static void the_guest_rewrites_dfr_and_id(void **state)
{
	struct soft *s = soft_new(2);
	struct vmirq_irqfd *logical = irqfd_call(s, 3), *physical = irqfd_call(s, 4);

	(void)state;
	apic_write(s->vcpu[0], APIC_LDR, 0x21000000);
	route_logical(s, 3, 0x01, 0x41);
	route_to(s, 4, 0, 0x42);
	assert_signal(logical, VMIRQ_DELIVERED);
	assert_signal(physical, VMIRQ_DELIVERED);
	assert_int_equal(take_all(s->vcpu[0], NULL), 2);
	/* Cluster 2, not 0. */
	apic_write(s->vcpu[0], APIC_DFR, 0x0fffffff);
	assert_signal(logical, VMIRQ_NO_TARGET);
	route_logical(s, 3, 0x21, 0x41);
	assert_signal(logical, VMIRQ_DELIVERED);
	take_only(s->vcpu[0], 0x41);
	apic_write(s->vcpu[0], APIC_ID, 9u << 24);
	assert_signal(physical, VMIRQ_NO_TARGET);
	route_to(s, 4, 9, 0x42);
	assert_signal(physical, VMIRQ_DELIVERED);
	take_only(s->vcpu[0], 0x42);
	soft_free(s);
}

static void the_guest_disables_and_enables_its_apic(void **state)
{
	struct soft *s = soft_new(1);
	struct vmirq_irqfd *irqfd = irqfd_call(s, 3);

	(void)state;
	route_to(s, 3, 0, 0x41);
	assert_signal(irqfd, VMIRQ_DELIVERED);
	apic_write(s->vcpu[0], APIC_SVR, 0xff);
	assert_signal(irqfd, VMIRQ_APIC_DISABLED);
	apic_enable(s->vcpu[0]);
	assert_signal(irqfd, VMIRQ_DELIVERED);
	take_only(s->vcpu[0], 0x41);
	soft_free(s);
}

/* CVE-2016-4440: across every change of mode, by its id. */
static void the_guest_changes_its_apics_mode(void **state)
{
	struct soft *s = soft_new(2);
	struct vmirq_irqfd *irqfd = irqfd_call(s, 3), *all = irqfd_call(s, 4);

	(void)state;
	route_to(s, 3, 1, 0x41);
	route_to(s, 4, 0xff, 0x42);
	for (int i = 0; i < 3; i++) {
		assert_signal(irqfd, VMIRQ_DELIVERED);
		take_only(s->vcpu[1], 0x41);
		apic_set_x2apic(s->vcpu[1]);
		assert_signal(irqfd, VMIRQ_DELIVERED);
		take_only(s->vcpu[1], 0x41);
		/* The id that the guest had written is not that of the x2APIC. */
		assert_int_equal(apic_read(s->vcpu[1], APIC_ID), 1);
		assert_signal(all, VMIRQ_DELIVERED);
		s->posted_beyond++;
		take_only(s->vcpu[0], 0x42);
		take_only(s->vcpu[1], 0x42);
		assert_int_equal(vmirq_vcpu_set_apic_base(s->vcpu[1], APIC_PAGE), 0);
		assert_int_not_equal(vmirq_irqfd_signal(irqfd), VMIRQ_DELIVERED);
		assert_signal(all, VMIRQ_DELIVERED);
		take_only(s->vcpu[0], 0x42);
		assert_int_equal(vmirq_vcpu_set_apic_base(s->vcpu[1], APIC_PAGE | 1u << 11), 0);
		assert_signal(irqfd, VMIRQ_APIC_DISABLED);
		apic_enable(s->vcpu[1]);
		apic_write(s->vcpu[1], APIC_ID, 7u << 24);
		assert_signal(irqfd, VMIRQ_NO_TARGET);
		apic_write(s->vcpu[1], APIC_ID, 1u << 24);
	}
	take_nothing(s->vcpu[1]);
	soft_free(s);
}

/* CVE-2025-37885: the target goes, and what pointed to it says so; then another takes its place. */
static void the_vcpu_is_destroyed_and_made_again(void **state)
{
	struct soft *s = soft_new(2);
	struct vmirq_irqfd *irqfd = irqfd_call(s, 3);
	struct vmirq_vector_counts c;

	(void)state;
	route_to(s, 3, 1, 0x41);
	assert_signal(irqfd, VMIRQ_DELIVERED);
	assert_int_equal(vmirq_vcpu_destroy(s->vcpu[1]), 0);
	assert_null(vmirq_vm_vcpu(s->vm, 1));
	assert_signal(irqfd, VMIRQ_NO_TARGET);
	assert_int_equal(send(s, msi_to(1, 0x41), VMIRQ_NO_TARGET), 0);
	/* What it had pending is counted as reset. */
	c = counts_of_vector(s->vcpu[1], 0x41);
	assert_int_equal(c.reset, 1);
	assert_int_equal(c.pending, 0);
	soft_add(s, 1, 1, 0);
	assert_ptr_equal(vmirq_vm_vcpu(s->vm, 1), s->vcpu[1]);
	take_nothing(s->vcpu[1]);
	assert_signal(irqfd, VMIRQ_DELIVERED);
	take_only(s->vcpu[1], 0x41);
	/* And with another id. */
	assert_int_equal(vmirq_vcpu_destroy(s->vcpu[1]), 0);
	soft_add(s, 1, 5, 0);
	assert_signal(irqfd, VMIRQ_NO_TARGET);
	route_to(s, 3, 5, 0x41);
	assert_signal(irqfd, VMIRQ_DELIVERED);
	take_only(s->vcpu[1], 0x41);
	soft_free(s);
}

/* df04d1d1: an irqfd is there before its vCPU. */
static void the_vcpu_comes_later(void **state)
{
	struct soft *s = soft_new(1);
	struct vmirq_irqfd *irqfd = irqfd_call(s, 3);

	(void)state;
	route_to(s, 3, 9, 0x41);
	assert_signal(irqfd, VMIRQ_NO_TARGET);
	soft_add(s, 5, 9, 0);
	assert_signal(irqfd, VMIRQ_DELIVERED);
	take_only(s->vcpu[5], 0x41);
	soft_free(s);
}

static void events_by_an_irqfd(void **state)
{
	struct soft *s = soft_new(1);
	struct vmirq_irqfd *irqfd = irqfd_call(s, 3);
	uint32_t vector;

	(void)state;
	assert_int_equal(vmirq_route_set_msi(s->vm, 3, 0xfee00000, NMI << 8), 0);
	assert_signal(irqfd, VMIRQ_DELIVERED);
	assert_signal(irqfd, VMIRQ_DELIVERED);
	assert_signal(irqfd, VMIRQ_COALESCED);
	s->posted_beyond -= 2;
	for (unsigned int i = 0; i < 2; i++)
		assert_int_equal(vmirq_vcpu_step(s->vcpu[0], 0, &vector), VMIRQ_STEP_NMI);
	take_nothing(s->vcpu[0]);
	soft_free(s);
}

/* One delivery to many: one unit, delivered if any newly took it, else coalesced. */
static void many_targets_are_one_unit(void **state)
{
	struct soft *s = soft_new(3);
	struct vmirq_irqfd *irqfd = irqfd_call(s, 3);

	(void)state;
	route_to(s, 3, 0xff, 0x41);
	assert_signal(irqfd, VMIRQ_DELIVERED);
	s->posted_beyond += 2;
	assert_signal(irqfd, VMIRQ_COALESCED);
	take_only(s->vcpu[1], 0x41);
	assert_signal(irqfd, VMIRQ_DELIVERED);
	for (unsigned int i = 0; i < 3; i++)
		take_only(s->vcpu[i], 0x41);
	assert_int_equal(counts_of(irqfd).raised, 3);
	/* All disabled. */
	for (unsigned int i = 0; i < 3; i++)
		apic_write(s->vcpu[i], APIC_SVR, 0xff);
	assert_signal(irqfd, VMIRQ_APIC_DISABLED);
	soft_free(s);
}

/* What a change of a route fetches while the slot is on its way is its irqfd. */
static void bound_one_after_the_other_they_lie_in_a_row(void **state)
{
	struct soft *s = soft_new(1);
	struct vmirq_irqfd *irqfd[2 * PAGE_SLOTS];
	int guessed = 0;

	(void)state;
	for (uint32_t i = 0; i < 2 * PAGE_SLOTS; i++)
		irqfd[i] = irqfd_call(s, 10 * PAGE_SLOTS + i);
	for (uint32_t i = 0; i < 2 * PAGE_SLOTS; i++) {
		const struct route_page *page = route_page_of(s->vm->routes, 10 * PAGE_SLOTS + i);

		guessed += atomic_load(&page->row) + i % PAGE_SLOTS * sizeof(struct vmirq_irqfd) ==
			   (uintptr_t)irqfd[i];
	}
	/* The first chunks are small. */
	assert_in_range(guessed, PAGE_SLOTS, 2 * PAGE_SLOTS);
	soft_free(s);
}

/* ... and whatever else it is where they were not. */
static void bound_in_no_order_they_follow_all_the_same(void **state)
{
	struct soft *s = soft_new(1);
	struct vmirq_irqfd *irqfd[2 * PAGE_SLOTS];

	(void)state;
	for (uint32_t i = 0; i < 2 * PAGE_SLOTS; i++) {
		uint32_t gsi = i * 77 % (2 * PAGE_SLOTS);

		irqfd[gsi] = irqfd_call(s, gsi);
	}
	for (uint32_t i = 0; i < 2 * PAGE_SLOTS; i += 2)
		assert_int_equal(vmirq_irqfd_deassign(irqfd[i]), 0);
	for (uint32_t i = 0; i < 2 * PAGE_SLOTS; i++)
		route_to(s, i, 0, 0x41 + i % 100);
	for (uint32_t i = 1; i < 2 * PAGE_SLOTS; i += 2) {
		assert_signal(irqfd[i], VMIRQ_DELIVERED);
		take_only(s->vcpu[0], 0x41 + i % 100);
	}
	soft_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bound_one_after_the_other_they_lie_in_a_row),
		cmocka_unit_test(bound_in_no_order_they_follow_all_the_same),
		cmocka_unit_test(reroute_from_one_vcpu_to_another),
		cmocka_unit_test(several_irqfds_of_one_gsi),
		cmocka_unit_test(route_change_between_deassign_and_assign),
		cmocka_unit_test(the_guest_rewrites_ldr),
		cmocka_unit_test(the_guest_rewrites_dfr_and_id),
		cmocka_unit_test(the_guest_disables_and_enables_its_apic),
		cmocka_unit_test(the_guest_changes_its_apics_mode),
		cmocka_unit_test(the_vcpu_is_destroyed_and_made_again),
		cmocka_unit_test(the_vcpu_comes_later),
		cmocka_unit_test(events_by_an_irqfd),
		cmocka_unit_test(many_targets_are_one_unit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
