// SPDX-License-Identifier: MIT
/*
 * Rows about a local APIC: state, ipi.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <vmirq/observe.h>
#include <vmirq/state.h>

#include "bench_rows.h"
#include "bench_soft.h"

#define X2APIC_ICR   0x830u
#define ICR_LOGICAL  (1u << 11)
#define ICR_NOT_SELF (3u << 18)
#define IPIS	     16u
#define STATES	     32u

struct states {
	struct bench_soft soft;
	struct bench_kvm kvm;
	uint32_t failed;
};

static void state_ours(void *opaque, uint32_t batch)
{
	struct states *t = opaque;
	struct kvm_lapic_state state;

	for (uint32_t i = 0; i < batch; i++) {
		if (vmirq_vcpu_get_lapic(t->soft.vcpu[0], &state) ||
		    vmirq_vcpu_set_lapic(t->soft.vcpu[0], &state))
			t->failed++;
	}
}

static void state_kvm(void *opaque, uint32_t batch)
{
	struct states *t = opaque;
	struct kvm_lapic_state state;

	for (uint32_t i = 0; i < batch; i++) {
		if (ioctl(t->kvm.vcpu[0], KVM_GET_LAPIC, &state) < 0 ||
		    ioctl(t->kvm.vcpu[0], KVM_SET_LAPIC, &state) < 0)
			t->failed++;
	}
}

int bench_state(struct bench *b)
{
	struct bench_case *c = bench_case(b, "", "ns");
	_Alignas(64) static struct bench_floor floor;
	struct states t = { 0 };
	struct bench_side *side;
	bool has_kvm;
	int ret;

	if (!c)
		return -ENOMEM;
	bench_target(c, BENCH_PEER_MIN, "kvm_get_set_lapic", 50);
	ret = bench_soft_open(&t.soft, 1, 0);
	if (ret)
		return ret;
	side = bench_side(c, BENCH_OURS, "get_set_lapic");
	side->slice = state_ours;
	side->opaque = &t;
	side->batch = STATES;
	side = bench_side(c, BENCH_FLOOR, "copy_1k_twice");
	side->slice = bench_floor_copy;
	side->opaque = &floor;
	side->batch = STATES * 4;
	has_kvm = !bench_kvm_open(&t.kvm, 1);
	if (has_kvm) {
		side = bench_side(c, BENCH_PEER, "kvm_get_set_lapic");
		side->slice = state_kvm;
		side->opaque = &t;
		side->batch = 8;
	} else {
		bench_no_kvm(c, &t.kvm);
	}
	bench_measure(c, b->case_ns);
	bench_lost(b, t.failed, "saves or loads that failed");
	bench_note(
		c,
		"A sample is the mean of %u saves and loads (the peer: 8) of an enabled local APIC "
		"with no timer and nothing pending. Ours: the state is checked, and no system call. "
		"The peer: two of them, the kernel's vCPU loaded and unloaded in each.",
		STATES);
	if (has_kvm)
		bench_kvm_close(&t.kvm);
	bench_soft_close(&t.soft);
	return 0;
}

struct ipis {
	struct bench_soft soft;
	uint64_t icr; /* without its vector */
	uint32_t targets;
	uint32_t next;
	uint64_t sent;
	struct bench_lines lines;
};

static void ipi_drain(void *opaque)
{
	struct ipis *t = opaque;

	for (uint32_t i = 0; i < t->soft.vcpus; i++)
		bench_soft_drain(t->soft.vcpu[i]);
}

static void ipi_send(void *opaque, uint32_t batch)
{
	struct ipis *t = opaque;

	for (uint32_t i = 0; i < batch; i++)
		vmirq_vcpu_wrmsr(t->soft.vcpu[0], X2APIC_ICR, t->icr | bench_vector(t->next++));
	t->sent += batch;
}

/* A line for each target, as each has its descriptor. */
static void ipi_floor(void *opaque, uint32_t batch)
{
	struct ipis *t = opaque;

	for (uint32_t i = 0; i < batch; i++) {
		uint32_t bit = t->next++ & 63;

		for (uint32_t j = 0; j < t->targets; j++)
			__atomic_fetch_or(&t->lines.word[(size_t)j * 8], UINT64_C(1) << bit,
					  __ATOMIC_SEQ_CST);
	}
}

static int ipi_case(struct bench *b, const char *name, uint32_t vcpus, uint64_t icr,
		    uint32_t targets)
{
	struct bench_case *c = bench_case(b, name, "ns/target");
	struct vmirq_route_counts counts = { .size = sizeof(counts) };
	struct ipis t = { .icr = icr, .targets = targets };
	struct bench_side *side;
	int ret;

	if (!c)
		return -ENOMEM;
	bench_target(c, BENCH_FLOOR_MAX, "rmw_per_target", 3);
	ret = bench_soft_open(&t.soft, vcpus, 0);
	if (!ret)
		ret = bench_lines_open(&t.lines, targets);
	if (!ret) {
		side = bench_side(c, BENCH_OURS, "icr_write");
		side->slice = ipi_send;
		side->prepare = ipi_drain;
		side->opaque = &t;
		side = bench_side(c, BENCH_FLOOR, "rmw_per_target");
		side->slice = ipi_floor;
		side->opaque = &t;
		for (uint32_t i = 0; i < c->sides; i++) {
			c->side[i].batch = targets < 16 ? BENCH_VECTORS : IPIS;
			c->side[i].weight = targets;
		}
		bench_measure(c, b->case_ns / 4);
		vmirq_ipi_counts(t.soft.vm, &counts);
		bench_lost(b, t.sent - counts.verdict[VMIRQ_DELIVERED],
			   "IPIs that were not delivered");
	}
	bench_note(
		c,
		"%u vCPUs, %u targets, none has the vector pending; the mean of %u IPIs, divided by "
		"the targets. Ours: a write of the ICR, its decoding and the destination map, a post "
		"to each. The floor: a locked OR on a line for each target.",
		vcpus, targets, targets < 16 ? BENCH_VECTORS : IPIS);
	bench_lines_close(&t.lines);
	bench_soft_close(&t.soft);
	return ret;
}

/* Cluster 1 of x2APIC's logical ids: vCPUs 16..31 (SDM vol. 3A 11.12.10.2). */
#define CLUSTER_1 (UINT64_C(0x1ffff) << 32 | ICR_LOGICAL)

int bench_ipi(struct bench *b)
{
	int ret = ipi_case(b, "", 2, UINT64_C(1) << 32, 1);

	if (!ret)
		ret = ipi_case(b, "cluster_16", 64, CLUSTER_1, 16);
	if (!ret)
		ret = ipi_case(b, "broadcast_15", 16, ICR_NOT_SELF, 15);
	if (!ret)
		ret = ipi_case(b, "broadcast_255", 256, ICR_NOT_SELF, 255);
	if (!ret)
		ret = ipi_case(b, "broadcast_1023", 1024, ICR_NOT_SELF, 1023);
	return ret;
}
