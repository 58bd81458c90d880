// SPDX-License-Identifier: MIT
/*
 * Rows about a post on the signaller's own core: msi_post, msi_post_pending, msi_post_batch, kvm_inject.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <vmirq/msi.h>

#include "bench_rows.h"
#include "bench_soft.h"

#define MASK_VCPUS 16u

void bench_no_kvm(struct bench_case *c, const struct bench_kvm *k)
{
	bench_note(c, "Peer not measured: %s.", k->why);
}

void bench_kvm_write_irqfds(void *opaque, uint32_t batch)
{
	struct bench_kvm *k = opaque;
	const uint64_t one = 1;

	for (uint32_t i = 0; i < batch; i++) {
		uint32_t n = k->next++ % k->eventfds;

		if (write(k->eventfd[n], &one, sizeof(one)) != sizeof(one))
			k->failed++;
	}
}

void bench_kvm_signal_msis(void *opaque, uint32_t batch)
{
	struct bench_kvm *k = opaque;
	struct kvm_msi msi = { .address_lo = (uint32_t)bench_msi_address(0) };

	for (uint32_t i = 0; i < batch; i++) {
		msi.data = bench_vector(k->next++);
		if (ioctl(k->vm, KVM_SIGNAL_MSI, &msi) <= 0)
			k->failed++;
	}
}

void bench_kvm_clean_first(void *opaque)
{
	bench_kvm_clean(opaque, 0);
}

static void signal_irqfds(void *opaque, uint32_t batch)
{
	struct bench_soft *s = opaque;

	for (uint32_t i = 0; i < batch; i++)
		vmirq_irqfd_signal(s->irqfd[i]);
	s->next += batch;
}

static void drain_first(void *opaque)
{
	struct bench_soft *s = opaque;

	bench_soft_drain(s->vcpu[0]);
}

/* A peer that delivers nothing would be a fast one. */
static void check_kvm(struct bench *b, struct bench_kvm *k)
{
	bench_kvm_clean(k, 0);
	bench_kvm_write_irqfds(k, BENCH_VECTORS);
	bench_lost(b, BENCH_VECTORS - bench_kvm_pending_count(k, 0),
		   "vectors that KVM's irqfds did not set");
	bench_lost(b, k->failed, "calls of the peer's that failed");
}

static void add_post_sides(struct bench_case *c, struct bench_soft *s, struct bench_kvm *k,
			   struct bench_floor *floor, bool pending)
{
	struct bench_side *ours = bench_side(c, BENCH_OURS, "vmirq_irqfd_signal");
	struct bench_side *base = bench_side(c, BENCH_FLOOR, "locked_rmw"), *peer;

	*ours = (struct bench_side){ ours->name, BENCH_OURS, .slice = signal_irqfds, .opaque = s };
	ours->prepare = pending ? NULL : drain_first;
	ours->batch = BENCH_VECTORS;
	base->slice = bench_floor_rmw;
	base->opaque = floor;
	base->batch = BENCH_VECTORS;
	if (!k)
		return;
	peer = bench_side(c, BENCH_PEER, "kvm_irqfd");
	peer->slice = bench_kvm_write_irqfds;
	peer->prepare = pending ? NULL : bench_kvm_clean_first;
	peer->opaque = k;
	peer->batch = BENCH_VECTORS;
	peer = bench_side(c, BENCH_PEER, "kvm_signal_msi");
	peer->slice = bench_kvm_signal_msis;
	peer->prepare = pending ? NULL : bench_kvm_clean_first;
	peer->opaque = k;
	peer->batch = BENCH_VECTORS;
}

/* The same sides, when nobody has been at the caches, and when all the others have been. */
static int add_post_cases(struct bench *b, struct bench_case *c, struct bench_soft *s,
			  struct bench_kvm *k, struct bench_floor *floor, bool pending)
{
	struct bench_case *cold = bench_case(b, "after_the_others", "ns");

	if (!cold)
		return -ENOMEM;
	add_post_sides(c, s, k, floor, pending);
	add_post_sides(cold, s, k, floor, pending);
	if (pending) {
		signal_irqfds(s, BENCH_VECTORS);
		if (k)
			bench_kvm_write_irqfds(k, BENCH_VECTORS);
	}
	c->warm = true;
	bench_measure(c, b->case_ns / 2);
	bench_measure(cold, b->case_ns / 2);
	bench_note(
		cold,
		"As above, but whoever is measured begins with what the one before has left in the "
		"caches. Ours is 208 irqfds with a line each, the floor one line.");
	return 0;
}

static int measure_posts(struct bench *b, bool pending)
{
	struct bench_case *c = bench_case(b, "", "ns");
	_Alignas(64) static struct bench_floor floor;
	struct bench_kvm k;
	struct bench_soft s;
	int ret, no_kvm;

	if (!c)
		return -ENOMEM;
	bench_target(c, BENCH_FLOOR_MAX, "locked_rmw", 2.5);
	bench_target(c, BENCH_PEER_MIN, "kvm_irqfd", 18);
	if (!pending)
		bench_target(c, BENCH_PEER_MIN, "kvm_signal_msi", 14);
	ret = bench_soft_open(&s, 1, 0);
	if (ret)
		return ret;
	ret = bench_soft_add_irqfds(&s, BENCH_VECTORS);
	no_kvm = bench_kvm_open(&k, 1);
	if (!ret && !no_kvm)
		ret = bench_kvm_add_irqfds(&k, BENCH_VECTORS);
	if (!ret)
		ret = add_post_cases(b, c, &s, no_kvm ? NULL : &k, &floor, pending);
	if (!ret) {
		bench_lost(b, bench_soft_missing(&s, s.next), "signals unaccounted for");
		if (!no_kvm)
			check_kvm(b, &k);
	}
	bench_note(
		c,
		"A sample is the mean of %u posts of as many irqfds and vectors%s. Ours: counted by "
		"verdict, and no system call: the vCPU is not parked. The peers: a system call each, "
		"which is the point; the kernel counts nothing. The floor: a locked OR and "
		"nothing else, on one line. Each slice is run once before it is measured.",
		BENCH_VECTORS, pending ? ", all pending" : ", none pending before it");
	if (no_kvm)
		bench_no_kvm(c, &k);
	else
		bench_kvm_close(&k);
	bench_soft_close(&s);
	return ret;
}

int bench_msi_post(struct bench *b)
{
	return measure_posts(b, false);
}

int bench_msi_post_pending(struct bench *b)
{
	return measure_posts(b, true);
}

static void post_masks(void *opaque, uint32_t batch)
{
	struct bench_soft *s = opaque;

	for (uint32_t i = 0; i < batch; i++)
		s->next += (uint32_t)vmirq_vcpu_post_mask(s->vcpu[i], s->mask, NULL);
}

static void drain_all(void *opaque)
{
	struct bench_soft *s = opaque;

	for (uint32_t i = 0; i < s->vcpus; i++)
		s->drained += bench_soft_drain(s->vcpu[i]);
}

int bench_msi_post_batch(struct bench *b)
{
	struct bench_case *c = bench_case(b, "", "ns");
	_Alignas(64) static struct bench_floor floor;
	struct bench_side *side;
	struct bench_kvm k;
	struct bench_soft s;
	bool has_kvm;
	int ret;

	if (!c)
		return -ENOMEM;
	ret = bench_soft_open(&s, MASK_VCPUS, 0);
	if (ret)
		return ret;
	c->warm = true;
	/* Every third one, so that they are in all four words. */
	for (uint32_t i = 0; i < 64; i++)
		s.mask[bench_vector(3 * i) / 64] |= UINT64_C(1) << bench_vector(3 * i) % 64;
	side = bench_side(c, BENCH_OURS, "vmirq_vcpu_post_mask");
	side->slice = post_masks;
	side->prepare = drain_all;
	side->opaque = &s;
	side->batch = MASK_VCPUS;
	bench_target(c, BENCH_FLOOR_MAX, "locked_rmw_4", 2.5);
	bench_target(c, BENCH_PEER_MIN, "kvm_irqfd_64", 250);
	side = bench_side(c, BENCH_FLOOR, "locked_rmw_4");
	side->slice = bench_floor_rmw;
	side->opaque = &floor;
	side->batch = 256;
	side->weight = 1.0 / 4;
	has_kvm = !bench_kvm_open(&k, 1);
	if (!has_kvm) {
		bench_no_kvm(c, &k);
	} else {
		ret = bench_kvm_add_irqfds(&k, 64);
		side = bench_side(c, BENCH_PEER, "kvm_irqfd_64");
		side->slice = bench_kvm_write_irqfds;
		side->prepare = bench_kvm_clean_first;
		side->opaque = &k;
		side->batch = 64;
		side->weight = 1.0 / 64;
	}
	if (!ret)
		bench_measure(c, b->case_ns / 2);
	drain_all(&s);
	bench_lost(b, s.next > s.drained ? s.next - s.drained : s.drained - s.next,
		   "vectors posted or taken without the other");
	bench_note(
		c,
		"Each of %u vCPUs is posted 64 vectors, none pending, in all four words of its "
		"descriptor; a sample is the mean. Ours: counted by verdict, and no system call: the "
		"vCPU is not parked. The peer: 64 writes to as many irqfds. The floor: 4 locked ORs, a "
		"word of the descriptor each. Each slice is run once before it is measured.",
		MASK_VCPUS);
	if (has_kvm)
		bench_kvm_close(&k);
	bench_soft_close(&s);
	return ret;
}

static void send_msis(void *opaque, uint32_t batch)
{
	struct bench_soft *s = opaque;
	struct kvm_msi msi = { .address_lo = (uint32_t)bench_msi_address(0) };

	for (uint32_t i = 0; i < batch; i++) {
		msi.data = bench_vector(i);
		if (vmirq_msi_send(s->vm, &msi) <= 0)
			s->next++;
	}
}

/* libvmirq's VM around a KVM VM that is nobody's yet. */
static int adopt(struct bench_kvm *k, struct bench_soft *s, struct vmirq_vcpu **vcpu)
{
	struct vmirq_vm_config config = {
		.size = sizeof(config),
		.irqchip = VMIRQ_IRQCHIP_KVM,
		.max_vcpus = 1,
		.kvm_vm_fd = k->vm,
	};
	struct vmirq_vcpu_config one = { .size = sizeof(one) };
	int ret = vmirq_vm_create(&config, &s->vm);

	if (!ret)
		ret = bench_kvm_add_vcpus(k, 1);
	if (ret)
		return ret;
	one.kvm_run = k->run[0];
	one.kvm_vcpu_fd = k->vcpu[0];
	return vmirq_vcpu_create(s->vm, &one, vcpu);
}

int bench_kvm_inject(struct bench *b)
{
	struct bench_case *c = bench_case(b, "", "ns");
	struct bench_soft s = { 0 };
	struct bench_side *side;
	struct vmirq_vcpu *vcpu = NULL;
	struct bench_kvm k;
	int ret = 0;

	if (!c)
		return -ENOMEM;
	bench_target(c, BENCH_FLOOR_MAX, "ioctl", 1.05);
	bench_note(c,
		   "Both on one VM, vectors not pending, a sample is the mean of %u. Ours: "
		   "vmirq_msi_send(), which is KVM_SIGNAL_MSI and a verdict. The floor, which is "
		   "the peer, too: that ioctl.",
		   BENCH_VECTORS);
	if (bench_kvm_open_bare(&k)) {
		bench_note(c, "Not measured: %s.", k.why);
		bench_kvm_close(&k);
		return 0;
	}
	ret = adopt(&k, &s, &vcpu);
	if (!ret) {
		side = bench_side(c, BENCH_OURS, "vmirq_msi_send");
		side->slice = send_msis;
		side->opaque = &s;
		for (int i = 0; i < 2; i++) {
			side = bench_side(c, i ? BENCH_PEER : BENCH_FLOOR,
					  i ? "kvm_signal_msi" : "ioctl");
			side->slice = bench_kvm_signal_msis;
			side->opaque = &k;
		}
		for (uint32_t i = 0; i < c->sides; i++) {
			c->side[i].batch = BENCH_VECTORS;
			c->side[i].prepare = bench_kvm_clean_first;
			c->side[i].prepare_opaque = &k;
		}
		bench_measure(c, b->case_ns);
		bench_lost(b, s.next + k.failed, "messages that nobody took");
	}
	vmirq_vm_destroy(s.vm);
	bench_kvm_close(&k);
	return ret;
}
