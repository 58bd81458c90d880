/* SPDX-License-Identifier: MIT */
/* A PC whose two GSIs are levels of its IOAPIC's, and a worker. */
#ifndef TESTS_PASSTHROUGH_EOI_BENCH_H
#define TESTS_PASSTHROUGH_EOI_BENCH_H

#include "../line/pc_world.h"
#include "host.h"

#define GSI	9
#define OTHER	10
#define VECTOR	0x61
#define VECTOR2 0x71

struct bench {
	struct soft *s;
	struct vmirq_worker *worker;
};

static inline struct bench bench_new(void)
{
	struct bench b = { .s = pc_new(1, 0), .worker = worker_new() };

	/* The GSIs go to the 8259s, too. */
	out8(b.s, 0x21, 0xff);
	out8(b.s, 0xa1, 0xff);
	rte_put(b.s, GSI, RTE_TO(0) | RTE_LEVEL | VECTOR);
	rte_put(b.s, OTHER, RTE_TO(0) | RTE_LEVEL | VECTOR2);
	return b;
}

static inline void bench_free(struct bench *b)
{
	pc_free(b->s);
	assert_int_equal(vmirq_worker_destroy(b->worker, NULL), 0);
}

static inline void intx(struct bench *b, struct host *h, uint32_t gsi)
{
	host_open(h, NULL);
	assert_int_equal(bind_gsi(h, b->s->vm, b->worker, VMIRQ_PIRQ_INTX, gsi, 0), 0);
}

static inline void serve(struct bench *b, uint8_t vector)
{
	begin_service(b->s->vcpu[0], vector);
	end_service(b->s->vcpu[0]);
}

#endif
