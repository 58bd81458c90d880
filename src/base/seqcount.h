/* SPDX-License-Identifier: MIT */
/* Sequence counter: readers copy and look again, the writer never waits for them. What it guards is
 * relaxed-atomic, so that a torn copy is only thrown away, never undefined. Odd = being written. */
#ifndef BASE_SEQCOUNT_H
#define BASE_SEQCOUNT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/arch.h"

struct seqcount {
	_Atomic uint32_t seq;
};

/* Start of a read. An odd value: a writer is at it; use another way, or call seq_read_begin(). */
static inline uint32_t seq_peek(const struct seqcount *s)
{
	/* Pairs with the release in seq_write_end(). */
	return atomic_load_explicit(&s->seq, memory_order_acquire);
}

/* Start of a read, waiting a writer out. */
static inline uint32_t seq_read_begin(const struct seqcount *s)
{
	uint32_t seq;

	while (unlikely((seq = seq_peek(s)) & 1))
		cpu_relax();
	return seq;
}

/* Was what was read since `seq` torn? */
static inline bool seq_read_retry(const struct seqcount *s, uint32_t seq)
{
	/* Orders the guarded loads before the look; pairs with the fence in the write_begins. */
	atomic_thread_fence(memory_order_acquire);
	return unlikely(atomic_load_explicit(&s->seq, memory_order_relaxed) != seq);
}

/* The one writer (by a lock of the caller's) starts. */
static inline void seq_write_begin(struct seqcount *s)
{
	uint32_t seq = atomic_load_explicit(&s->seq, memory_order_relaxed);

	atomic_store_explicit(&s->seq, seq + 1, memory_order_relaxed);
	/* The odd value before the guarded stores; pairs with the fence in seq_read_retry(). */
	atomic_thread_fence(memory_order_release);
}

static inline void seq_write_end(struct seqcount *s)
{
	uint32_t seq = atomic_load_explicit(&s->seq, memory_order_relaxed);

	/* Pairs with the acquire in seq_peek(). */
	atomic_store_explicit(&s->seq, seq + 1, memory_order_release);
}

/* Several writers: become the one, if nothing was written since `seq` (even) was read. */
static inline bool seq_write_try(struct seqcount *s, uint32_t seq)
{
	/* Acquire: what the last writer stored is seen. Pairs with the release in seq_write_end(). */
	if (!atomic_compare_exchange_strong_explicit(&s->seq, &seq, seq + 1, memory_order_acquire,
						     memory_order_relaxed))
		return false;
	atomic_thread_fence(memory_order_release);
	return true;
}

#endif
