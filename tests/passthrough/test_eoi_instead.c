// SPDX-License-Identifier: MIT
/* Interrupts that are ended in the guest's stead (passthrough.h): by the VMM, by the watchdog, by a reset. */
#include "eoi_bench.h"

static void ended_by_the_vmm(void **state)
{
	struct bench b = bench_new();
	struct host h;

	(void)state;
	intx(&b, &h, GSI);
	assert_raise(&h, VMIRQ_HELD);
	worker_serves(b.worker, 1);
	begin_service(b.s->vcpu[0], VECTOR);
	assert_int_equal(vmirq_pirq_eoi(h.pirq), 1);
	assert_int_equal(vmirq_line_level(b.s->vm, GSI), 0);
	assert_int_equal(h.unmasked, 1);
	/* The guest's own comes too late. */
	end_service(b.s->vcpu[0]);
	assert_int_equal(h.unmasked, 1);
	assert_int_equal(vmirq_pirq_eoi(h.pirq), 0);
	take_nothing(b.s->vcpu[0]);
	host_close(&h);
	bench_free(&b);
}

static void watchdog(void **state)
{
	const struct vmirq_pirq_config how = { .eventfd = -1, .watchdog_ns = 1000 };
	struct bench b = bench_new();
	struct host h, other;

	(void)state;
	host_open(&h, &how);
	intx(&b, &other, OTHER);
	assert_int_equal(bind_gsi(&h, b.s->vm, b.worker, VMIRQ_PIRQ_INTX, GSI, 0), 0);
	assert_int_equal(vmirq_pirq_deadline(b.s->vm), UINT64_MAX);
	assert_raise(&h, VMIRQ_HELD);
	assert_raise(&other, VMIRQ_HELD);
	b.s->now = 500;
	worker_serves(b.worker, 2);
	assert_int_equal(vmirq_pirq_deadline(b.s->vm), 1500);
	b.s->now = 1499;
	vmirq_pirq_expire(b.s->vm);
	assert_int_equal(h.unmasked, 0);
	b.s->now = 1500;
	vmirq_pirq_expire(b.s->vm);
	assert_int_equal(h.unmasked, 1);
	assert_int_equal(host_counts(&h).watchdogs, 1);
	assert_int_equal(host_counts(&h).pending, 0);
	assert_int_equal(vmirq_line_level(b.s->vm, GSI), 0);
	assert_int_equal(vmirq_line_level(b.s->vm, OTHER), 1);
	assert_int_equal(vmirq_pirq_deadline(b.s->vm), UINT64_MAX);
	assert_int_equal(take_all(b.s->vcpu[0], NULL), 2);
	/* One that the guest ends in time. */
	assert_raise(&h, VMIRQ_HELD);
	worker_serves(b.worker, 1);
	serve(&b, VECTOR);
	b.s->now = 9000;
	vmirq_pirq_expire(b.s->vm);
	assert_int_equal(host_counts(&h).watchdogs, 1);
	assert_int_equal(h.unmasked, 2);
	host_close(&h);
	host_close(&other);
	bench_free(&b);
}

/* Nobody is left who would end it. */
static void guest_reset(void **state)
{
	struct bench b = bench_new();
	struct host pending, again, queued;

	(void)state;
	intx(&b, &pending, GSI);
	intx(&b, &queued, OTHER);
	host_open(&again, NULL);
	assert_int_equal(bind_gsi(&again, b.s->vm, b.worker, VMIRQ_PIRQ_MSI_TO_INTX, GSI, 0), 0);
	assert_raise(&pending, VMIRQ_HELD);
	assert_raise(&again, VMIRQ_HELD);
	worker_serves(b.worker, 2);
	assert_raise(&again, VMIRQ_HELD);
	worker_serves(b.worker, 1);
	assert_raise(&queued, VMIRQ_HELD);
	assert_int_equal(vmirq_vm_reset(b.s->vm), 0);
	assert_int_equal(vmirq_line_level(b.s->vm, GSI), 0);
	assert_int_equal(host_counts(&pending).pending, 0);
	assert_int_equal(host_counts(&again).pending, 0);
	assert_int_equal(pending.unmasked, 1);
	assert_int_equal(again.unmasked, 2);
	assert_int_equal(queued.unmasked, 0);
	assert_int_equal(host_counts(&queued).held, 1);
	/* The guest starts anew. */
	apic_enable(b.s->vcpu[0]);
	rte_put(b.s, GSI, RTE_TO(0) | RTE_LEVEL | VECTOR);
	rte_put(b.s, OTHER, RTE_TO(0) | RTE_LEVEL | VECTOR2);
	take_nothing(b.s->vcpu[0]);
	worker_serves(b.worker, 1);
	serve(&b, VECTOR2);
	assert_int_equal(queued.unmasked, 1);
	host_close(&pending);
	host_close(&again);
	host_close(&queued);
	bench_free(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ended_by_the_vmm),
		cmocka_unit_test(watchdog),
		cmocka_unit_test(guest_reset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
