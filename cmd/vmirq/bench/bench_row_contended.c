// SPDX-License-Identifier: MIT
/*
 * msi_post_contended: two producers, one vCPU.
 */
#include <errno.h>
#include <unistd.h>

#include "bench_rows.h"
#include "bench_two.h"

#define POSTS  4000u
#define WRITES 400u

static void produce_ours(struct two *t, uint32_t who, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		vmirq_irqfd_signal(t->soft.irqfd[who * (BENCH_VECTORS / 2) + i % 64]);
}

static void produce_kvm(struct two *t, uint32_t who, uint32_t n)
{
	const uint64_t one = 1;

	for (uint32_t i = 0; i < n; i++) {
		int fd = t->kvm.eventfd[who * (BENCH_VECTORS / 2) + i % 64];

		if (write(fd, &one, sizeof(one)) != sizeof(one))
			return;
	}
}

static void produce_floor(struct two *t, uint32_t who, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		atomic_fetch_or(&t->line.word, UINT64_C(1) << (i % 32 + 32 * who));
}

static void partner_produces(void *opaque, uint32_t n)
{
	struct two *t = opaque;

	bench_meet(&t->meeting);
	t->start = bench_now();
	t->produce(t, 1, n);
	t->end = bench_now();
}

/* One slice of both; a sample only if they ran at once for most of it. */
static void contend(struct two *t, struct bench_side *side)
{
	uint64_t start, end, both, longer;

	t->produce = side->role == BENCH_OURS	? produce_ours
		     : side->role == BENCH_PEER ? produce_kvm
						: produce_floor;
	bench_partner_ask(&t->partner, partner_produces, t, side->batch);
	bench_meet(&t->meeting);
	start = bench_now();
	t->produce(t, 0, side->batch);
	end = bench_now();
	bench_partner_wait(&t->partner);
	both = (end < t->end ? end : t->end);
	both -= both > start && both > t->start ? (start > t->start ? start : t->start) : both;
	longer = end - start > t->end - t->start ? end - start : t->end - t->start;
	t->slices++;
	if (both < longer * 8 / 10) {
		t->alone++;
		return;
	}
	samples_add(&side->samples, (double)(end - start + t->end - t->start) / 2 / side->batch);
}

int bench_msi_post_contended(struct bench *b)
{
	struct bench_case *c = bench_case(b, "", "ns");
	static struct two t;
	uint64_t start = bench_now(), signals = 0;
	int ret;

	if (!c)
		return -ENOMEM;
	bench_target(c, BENCH_FLOOR_MAX, "contended_rmw", 2);
	bench_target(c, BENCH_PEER_MIN, "kvm_irqfd", 3);
	bench_side(c, BENCH_OURS, "vmirq_irqfd_signal")->batch = POSTS;
	bench_side(c, BENCH_FLOOR, "contended_rmw")->batch = POSTS;
	t = (struct two){ 0 };
	ret = open_two(b, &t, 1, BENCH_VECTORS);
	if (t.has_kvm)
		bench_side(c, BENCH_PEER, "kvm_irqfd")->batch = WRITES;
	while (!ret && two_goes_on(b, &c->side[0].samples, start)) {
		for (uint32_t i = 0; i < c->sides; i++)
			contend(&t, &c->side[i]);
		signals += 2 * POSTS;
		bench_soft_drain(t.soft.vcpu[0]);
		if (t.has_kvm)
			bench_kvm_clean(&t.kvm, 0);
	}
	if (!ret)
		bench_lost(b, bench_soft_missing(&t.soft, signals), "signals unaccounted for");
	bench_note(
		c,
		"Two threads on CPUs %d and %d, 64 irqfds each, the vCPU not parked; a sample is the "
		"mean of what both took for each of %u posts (the peer: %u). Nobody takes meanwhile, so "
		"most find their vector pending. The floor: both do locked ORs on one line.",
		b->cpu[0], b->cpu[1], POSTS, WRITES);
	bench_note(c,
		   "%u of %u slices are left out: the threads ran at once for less than 80 %% of "
		   "them.",
		   t.alone, t.slices);
	if (!t.has_kvm)
		bench_no_kvm(c, &t.kvm);
	close_two(&t);
	return ret;
}
