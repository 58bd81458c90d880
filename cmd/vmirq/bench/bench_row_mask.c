// SPDX-License-Identifier: MIT
/*
 * mask_pending: an MSI-X vector is masked, raised and unmasked.
 */
#include <errno.h>
#include <vmirq/msix.h>

#include "bench_rows.h"
#include "bench_soft.h"

#define VECTORS	      64u
#define ENTRY_CONTROL 12u /* of a table's entry of 16 bytes */

struct mask {
	struct bench_soft soft;
	struct bench_kvm kvm;
	struct vmirq_msix *msix;
	uint64_t raised, taken;
	uint32_t failed;
};

static int write_entry(struct mask *t, uint32_t vector, uint32_t at, uint32_t value)
{
	return vmirq_msix_table_access(t->msix, vector * 16u + at, &value, sizeof(value), true);
}

static void cycle_ours(void *opaque, uint32_t batch)
{
	struct mask *t = opaque;

	for (uint32_t i = 0; i < batch; i++) {
		if (write_entry(t, i, ENTRY_CONTROL, 1) ||
		    vmirq_msix_trigger(t->msix, i) != VMIRQ_HELD ||
		    write_entry(t, i, ENTRY_CONTROL, 0))
			t->failed++;
	}
	t->raised += batch;
}

static void take_all(void *opaque)
{
	struct mask *t = opaque;

	t->taken += bench_soft_drain(t->soft.vcpu[0]);
}

static void cycle_kvm(void *opaque, uint32_t batch)
{
	struct mask *t = opaque;

	for (uint32_t i = 0; i < batch; i++) {
		int fd = t->kvm.eventfd[i];

		if (bench_kvm_irqfd(&t->kvm, i, fd, 0, KVM_IRQFD_FLAG_DEASSIGN) ||
		    bench_kvm_irqfd(&t->kvm, i, fd, 0, 0))
			t->failed++;
	}
}

static int open_msix(struct mask *t)
{
	struct vmirq_msix_config config = { .size = sizeof(config), .vectors = VECTORS };
	int ret = bench_soft_open(&t->soft, 1, 0);

	if (!ret)
		ret = vmirq_msix_create(t->soft.vm, &config, &t->msix);
	for (uint32_t i = 0; i < VECTORS && !ret; i++) {
		ret = write_entry(t, i, 0, (uint32_t)bench_msi_address(0));
		if (!ret)
			ret = write_entry(t, i, 8, bench_vector(i));
		if (!ret)
			ret = write_entry(t, i, ENTRY_CONTROL, 0);
	}
	return ret ? ret : vmirq_msix_set_control(t->msix, true, false);
}

static void measure_masks(struct bench *b, struct bench_case *c, struct mask *t)
{
	_Alignas(64) static struct bench_floor floor;
	struct bench_side *side = bench_side(c, BENCH_OURS, "mask_trigger_unmask");

	side->slice = cycle_ours;
	side->prepare = take_all;
	side->opaque = t;
	side->batch = VECTORS;
	side = bench_side(c, BENCH_FLOOR, "locked_rmw_2");
	side->slice = bench_floor_rmw;
	side->opaque = &floor;
	side->batch = 2 * VECTORS;
	side->weight = 1.0 / 2;
	if (t->kvm.eventfds) {
		side = bench_side(c, BENCH_PEER, "kvm_irqfd_deassign_assign");
		side->slice = cycle_kvm;
		side->opaque = t;
		side->batch = 8;
	}
	bench_measure(c, b->case_ns);
	take_all(t);
	bench_value(c, "lost", (double)(t->raised - t->taken));
	bench_lost(b, t->failed + (t->raised - t->taken), "vectors lost, or calls that failed");
}

int bench_mask_pending(struct bench *b)
{
	struct bench_case *c = bench_case(b, "", "ns");
	struct mask t = { 0 };
	bool has_kvm;
	int ret;

	if (!c)
		return -ENOMEM;
	bench_target(c, BENCH_PEER_MIN, "kvm_irqfd_deassign_assign", 50);
	bench_target(c, BENCH_VALUE_MAX, "lost", 0);
	ret = open_msix(&t);
	has_kvm = !bench_kvm_open(&t.kvm, 1);
	if (!ret && has_kvm)
		ret = bench_kvm_add_irqfds(&t.kvm, VECTORS);
	if (!ret)
		measure_masks(b, c, &t);
	bench_note(
		c,
		"A sample is the mean of %u cycles, a vector each. Ours: the guest's write that masks, "
		"the signal, which is then pending, and the write that unmasks and posts it; each is "
		"taken later and counted. The peer: KVM_IRQFD deassign and assign of one of %u irqfds, "
		"nothing is signalled. The floor: two locked ORs.",
		VECTORS, VECTORS);
	if (has_kvm)
		bench_kvm_close(&t.kvm);
	else
		bench_no_kvm(c, &t.kvm);
	vmirq_msix_destroy(t.msix);
	bench_soft_close(&t.soft);
	return ret;
}
