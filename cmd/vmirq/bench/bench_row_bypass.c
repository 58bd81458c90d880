// SPDX-License-Identifier: MIT
/*
 * bypass_register: a pair comes and goes while many are there.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <vmirq/bypass.h>

#include "bench_rows.h"
#include "bench_soft.h"

#define BATCH 256u

/* Our own port of a manager that keeps two lists: a registration looks through both. As large as one with
 * its callbacks is. */
struct listed {
	struct listed *next;
	uint64_t token;
	void *opaque;
	void (*callback[5])(void *opaque);
};

struct pairs;

struct lists {
	struct pairs *t;
	struct listed *listed;	/* n producers, n consumers */
	struct listed *head[2]; /* likewise */
};

struct pairs {
	struct vmirq_bypass *bypass;
	struct bench_kvm kvm;
	struct bench_lines lines;
	/* As they lie where others have come and gone, and in the order of memory. */
	struct lists scattered, in_order;
	uint32_t n, failed, connected;
	uint64_t random;
	int spare; /* an eventfd */
};

static int add_producer(void *opaque, struct vmirq_producer *producer)
{
	struct pairs *t = opaque;

	(void)producer;
	t->connected++;
	return 0;
}

static void del_producer(void *opaque, struct vmirq_producer *producer)
{
	struct pairs *t = opaque;

	(void)producer;
	t->connected--;
}

static int register_producer(struct pairs *t, uint64_t token, struct vmirq_producer **producer)
{
	const struct vmirq_producer_config config = { .size = sizeof(config), .token = token };

	return vmirq_producer_register(t->bypass, &config, producer);
}

/* The consumer of the pair that comes and goes stays: tokens are 1..n. */
static void pair_ours(void *opaque, uint32_t batch)
{
	struct pairs *t = opaque;

	for (uint32_t i = 0; i < batch; i++) {
		uint64_t token = 1 + (bench_random(&t->random) >> 32) % t->n;

		if (vmirq_producer_unregister_token(t->bypass, token) || t->connected != t->n - 1 ||
		    register_producer(t, token, NULL))
			t->failed++;
	}
}

static struct listed *find(struct lists *lists, int list, uint64_t token)
{
	struct listed *at = lists->head[list];

	while (at && at->token != token)
		at = at->next;
	return at;
}

/* Both linked in one direction only: to take out is to look for. */
static void pair_listed(void *opaque, uint32_t batch)
{
	struct lists *lists = opaque;
	struct pairs *t = lists->t;

	for (uint32_t i = 0; i < batch; i++) {
		uint64_t token = 1 + (bench_random(&t->random) >> 32) % t->n;
		struct listed **link = &lists->head[0], *producer;

		while (*link && (*link)->token != token)
			link = &(*link)->next;
		producer = *link;
		if (!producer) {
			t->failed++;
			continue;
		}
		*link = producer->next;
		if (find(lists, 0, token) || !find(lists, 1, token))
			t->failed++;
		producer->next = lists->head[0];
		lists->head[0] = producer;
	}
}

static void irqfd_kvm(void *opaque, uint32_t batch)
{
	struct pairs *t = opaque;

	for (uint32_t i = 0; i < batch; i++) {
		if (bench_kvm_irqfd(&t->kvm, 0, t->spare, 0, 0) ||
		    bench_kvm_irqfd(&t->kvm, 0, t->spare, 0, KVM_IRQFD_FLAG_DEASSIGN))
			t->failed++;
	}
}

/* Node i at a place of its own among n: the whole range is gone through, since the step has no factor in
 * common with n. */
static uint32_t place_of(uint32_t i, uint32_t n, bool scattered)
{
	const uint32_t step = 7919 * 13; /* primes that no n here has */

	return scattered && n ? (uint32_t)((uint64_t)i * step % n) : i;
}

static int open_lists(struct pairs *t, struct lists *lists, bool scattered)
{
	lists->t = t;
	lists->listed = calloc(2 * (size_t)t->n, sizeof(*lists->listed));
	if (!lists->listed)
		return -ENOMEM;
	for (uint32_t i = 0; i < 2 * t->n; i++) {
		uint32_t list = i >= t->n, nth = i - list * t->n;
		struct listed *node = &lists->listed[list * t->n + place_of(nth, t->n, scattered)];

		node->next = lists->head[list];
		node->token = nth + 1;
		lists->head[list] = node;
	}
	return 0;
}

static int open_pairs(struct pairs *t, bool lists)
{
	struct vmirq_consumer_config config = {
		.size = sizeof(config),
		.opaque = t,
		.add_producer = add_producer,
		.del_producer = del_producer,
	};
	int ret = vmirq_bypass_create(&t->bypass);

	for (uint64_t token = 1; token <= t->n && !ret; token++) {
		config.token = token;
		ret = vmirq_consumer_register(t->bypass, &config, NULL);
		if (!ret)
			ret = register_producer(t, token, NULL);
	}
	if (!ret)
		ret = bench_lines_open(&t->lines, t->n);
	if (!ret && lists)
		ret = open_lists(t, &t->scattered, true);
	if (!ret && lists)
		ret = open_lists(t, &t->in_order, false);
	return ret;
}

static void close_pairs(struct pairs *t)
{
	for (uint64_t token = 1; token <= t->n; token++) {
		vmirq_producer_unregister_token(t->bypass, token);
		vmirq_consumer_unregister_token(t->bypass, token);
	}
	vmirq_bypass_destroy(t->bypass);
	bench_lines_close(&t->lines);
	free(t->scattered.listed);
	free(t->in_order.listed);
}

static void add_side(struct bench_case *c, enum bench_role role, const char *name, void *opaque,
		     void (*slice)(void *opaque, uint32_t batch), uint32_t batch)
{
	struct bench_side *side = bench_side(c, role, name);

	side->slice = slice;
	side->opaque = opaque;
	side->batch = batch;
}

static int pairs_case(struct bench *b, const char *name, uint32_t n, bool lists, bool kvm,
		      double *p50)
{
	struct bench_case *c = bench_case(b, name, "ns");
	struct pairs t = { .n = n, .random = 88172645463325252u, .spare = -1 };
	int ret;

	if (!c)
		return -ENOMEM;
	ret = open_pairs(&t, lists);
	if (!ret) {
		add_side(c, BENCH_OURS, "vmirq_producer_register", &t, pair_ours, BATCH);
		add_side(c, BENCH_FLOOR, "cache_miss", &t.lines, bench_floor_miss, BATCH);
		if (lists)
			add_side(c, BENCH_PEER, "port_list", &t.scattered, pair_listed,
				 n > 1000 ? 1 : BATCH);
		if (lists)
			add_side(c, BENCH_PEER, "port_list_in_order", &t.in_order, pair_listed,
				 n > 1000 ? 1 : BATCH);
	}
	kvm = kvm && !bench_kvm_open(&t.kvm, 1);
	if (!ret && kvm) {
		t.spare = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		ret = bench_kvm_add_irqfds(&t.kvm, n);
		add_side(c, BENCH_PEER, "kvm_irqfd", &t, irqfd_kvm, 8);
	}
	if (!ret) {
		bench_measure(c, b->case_ns / 2);
		bench_lost(b, t.failed + (t.connected != n),
			   "pairs that were not joined or parted");
		*p50 = samples_quantile(&c->side[0].samples, 0.5);
	}
	bench_note(
		c,
		"%u pairs; a sample is the mean of %u. Ours: a producer at random leaves, which parts "
		"its pair, and registers again, which joins it; callbacks that count are called. The "
		"floor: a load from one of as many lines.",
		n, BATCH);
	if (lists)
		bench_note(
			c,
			"port_list: our port of a manager with two lists; nothing is called, allocated "
			"or locked; its nodes lie about in memory, as where others have come and gone. "
			"port_list_in_order: they lie as they are linked, which the processor fetches "
			"ahead.");
	if (kvm)
		bench_note(c, "kvm_irqfd: KVM_IRQFD assign and deassign, with %u bound.", n);
	if (kvm)
		bench_kvm_close(&t.kvm);
	if (t.spare >= 0)
		close(t.spare);
	close_pairs(&t);
	return ret;
}

int bench_bypass_register(struct bench *b)
{
	struct bench_result *r = &b->result[b->done];
	double few = 0, many = 0, most = 0;
	int ret = pairs_case(b, "", 10, true, true, &few);

	if (!ret)
		ret = pairs_case(b, "100000", 100000, true, false, &many);
	if (!ret)
		ret = pairs_case(b, "1000000", 1000000, false, false, &most);
	if (ret)
		return ret;
	bench_target(r->cases[0], BENCH_PEER_MAX, "port_list", 3);
	bench_target(r->cases[1], BENCH_PEER_MIN, "port_list", 1000);
	bench_value(r->cases[2], "p50_at_1000000", most);
	bench_target(r->cases[2], BENCH_VALUE_MAX, "p50_at_1000000", 1000);
	bench_value(r->cases[2], "growth_from_10", most / few);
	bench_target(r->cases[2], BENCH_VALUE_MAX, "growth_from_10", 8);
	return 0;
}
