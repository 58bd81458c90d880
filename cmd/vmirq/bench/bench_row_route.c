// SPDX-License-Identifier: MIT
/*
 * route_update: one route among many.
 */
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <vmirq/route.h>

#include "bench_rows.h"
#include "bench_soft.h"

#define UPDATES 256u

struct updates {
	struct bench_soft soft;
	struct bench_kvm kvm;
	struct bench_lines lines;
	uint32_t n;
	/* Untimed, before each slice: a table that a cache can hold is in it, whatever was measured before;
	 * 0 for one that no cache holds. */
	uint32_t warm;
	uint64_t random;
	uint32_t failed;
};

static void update_ours(void *opaque, uint32_t batch)
{
	struct updates *t = opaque;

	for (uint32_t i = 0; i < batch; i++) {
		uint64_t random = bench_random(&t->random);

		if (vmirq_route_set_msi(t->soft.vm,
					BENCH_FIRST_GSI + (uint32_t)(random >> 32) % t->n,
					bench_msi_address(0), bench_vector((uint32_t)random)))
			t->failed++;
	}
}

static void warm_ours(void *opaque)
{
	struct updates *t = opaque;

	update_ours(t, t->warm);
}

static void warm_lines(void *opaque)
{
	struct updates *t = opaque;

	bench_floor_miss(&t->lines, t->warm);
}

static void update_kvm(void *opaque, uint32_t batch)
{
	struct updates *t = opaque;

	for (uint32_t i = 0; i < batch; i++) {
		uint64_t random = bench_random(&t->random);

		t->kvm.table->entries[(uint32_t)(random >> 32) % t->n].u.msi.data =
			bench_vector((uint32_t)random);
		if (ioctl(t->kvm.vm, KVM_SET_GSI_ROUTING, t->kvm.table) < 0)
			t->failed++;
	}
}

static int open_ours(struct updates *t)
{
	struct vmirq_irqfd_config irqfd = { .size = sizeof(irqfd), .eventfd = -1 };
	struct vmirq_irqfd *unused;
	int ret = bench_soft_open(&t->soft, 1, 0);

	for (uint32_t i = 0; i < t->n && !ret; i++) {
		irqfd.gsi = BENCH_FIRST_GSI + i;
		ret = vmirq_route_set_msi(t->soft.vm, irqfd.gsi, bench_msi_address(0),
					  bench_vector(i));
		/* Destroy deassigns them. */
		if (!ret)
			ret = vmirq_irqfd_assign(t->soft.vm, &irqfd, &unused);
	}
	return ret ? ret : bench_lines_open(&t->lines, t->n);
}

static int add_kvm(struct bench_case *c, struct updates *t, uint32_t batch)
{
	struct bench_side *side;

	if (bench_kvm_open(&t->kvm, 1)) {
		bench_no_kvm(c, &t->kvm);
		return 0;
	}
	side = bench_side(c, BENCH_PEER, "kvm_set_gsi_routing");
	side->slice = update_kvm;
	side->opaque = t;
	side->batch = batch;
	return bench_kvm_set_routes(&t->kvm, t->n);
}

/* `peer_min` 0: KVM has no tables of that size. */
static int update_case(struct bench *b, const char *name, uint32_t n, double peer_min, double *p50)
{
	struct bench_case *c = bench_case(b, name, "ns");
	struct updates t = { .n = n, .warm = n > 100000 ? 0 : 2 * n, .random = 88172645463325252u };
	struct bench_side *side;
	int ret;

	if (!c)
		return -ENOMEM;
	ret = open_ours(&t);
	if (!ret) {
		side = bench_side(c, BENCH_OURS, "vmirq_route_set_msi");
		side->slice = update_ours;
		side->prepare = warm_ours;
		side->opaque = &t;
		side->batch = UPDATES;
		side = bench_side(c, BENCH_FLOOR, "cache_miss");
		side->slice = bench_floor_miss;
		side->prepare = warm_lines;
		side->opaque = &t.lines;
		side->prepare_opaque = &t;
		side->batch = UPDATES;
		if (peer_min > 0) {
			bench_target(c, BENCH_PEER_MIN, "kvm_set_gsi_routing", peer_min);
			ret = add_kvm(c, &t, n > 1000 ? 1 : 4);
		}
	}
	if (!ret) {
		bench_measure(c, b->case_ns / 2);
		bench_lost(b, t.failed, "updates that failed");
		*p50 = samples_quantile(&c->side[0].samples, 0.5);
	}
	bench_note(
		c,
		"%u routes; a sample is the mean of %u updates, of GSIs at random%s. Ours: each route "
		"has an irqfd bound, whose copy is resolved anew; returns at once.",
		n, UPDATES, t.warm ? ", after twice as many as routes that are not timed" : "");
	if (peer_min > 0)
		bench_note(c,
			   "The peer: the kernel copies the whole table; no irqfd is bound there.");
	bench_note(c,
		   "The floor: a load from one of as many lines at random, that waits for the one "
		   "before.");
	if (peer_min > 0 && c->sides == 3)
		bench_kvm_close(&t.kvm);
	bench_lines_close(&t.lines);
	bench_soft_close(&t.soft);
	return ret;
}

int bench_route_update(struct bench *b)
{
	struct bench_result *r = &b->result[b->done];
	double small = 0, middle = 0, large = 0;
	int ret = update_case(b, "", 256, 300, &small);

	if (!ret)
		ret = update_case(b, "4096", 4096, 5000, &middle);
	if (!ret)
		ret = update_case(b, "1000000", 1000000, 0, &large);
	if (!ret && small > 0) {
		bench_value(r->cases[2], "growth_from_256", large / small);
		bench_target(r->cases[2], BENCH_VALUE_MAX, "growth_from_256", 6);
	}
	return ret;
}
