/* SPDX-License-Identifier: MIT */
/* Exact counters by verdict. One locked add a signal, so that the sum is right at any quiet moment. */
#ifndef BASE_COUNTS_H
#define BASE_COUNTS_H

#include <stdatomic.h>
#include <stdint.h>

#include <vmirq/observe.h>

struct counts {
	_Atomic uint64_t verdict[VMIRQ_VERDICTS];
};

static inline void counts_add(struct counts *c, enum vmirq_verdict verdict, uint64_t n)
{
	atomic_fetch_add_explicit(&c->verdict[verdict], n, memory_order_relaxed);
}

/* For counters whose writers take turns, under a lock: a plain add. */
static inline void counts_add_in_turn(struct counts *c, enum vmirq_verdict verdict, uint64_t n)
{
	_Atomic uint64_t *count = &c->verdict[verdict];

	atomic_store_explicit(count, atomic_load_explicit(count, memory_order_relaxed) + n,
			      memory_order_relaxed);
}

static inline void counts_sub(struct counts *c, enum vmirq_verdict verdict, uint64_t n)
{
	atomic_fetch_sub_explicit(&c->verdict[verdict], n, memory_order_relaxed);
}

/* Add what is in `c` to a public record. `raised` there is a sum of outcomes: every signal has
 * exactly one, and the source's own count is what it is held against. */
static inline void counts_read(const struct counts *c, struct vmirq_route_counts *out)
{
	for (int i = 0; i < VMIRQ_VERDICTS; i++) {
		uint64_t n = atomic_load_explicit(&c->verdict[i], memory_order_relaxed);

		out->verdict[i] += n;
		out->raised += n;
	}
}

#endif
