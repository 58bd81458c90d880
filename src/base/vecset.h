/* SPDX-License-Identifier: MIT */
/* A set of the 256 vectors, in four words that anybody may set and clear bits of. */
#ifndef BASE_VECSET_H
#define BASE_VECSET_H

#include <stdatomic.h>

#include "base/bits.h"

struct vecset {
	_Atomic uint64_t word[4];
};

/* Where a vector's bit is. */
static inline _Atomic uint64_t *vecset_word(struct vecset *s, uint8_t vector)
{
	return &s->word[vector >> 6];
}

/* Returns whether it was set before. Sequentially consistent: see posted.h. */
static inline bool vecset_word_test_and_set(_Atomic uint64_t *word, uint8_t vector)
{
	return atomic_fetch_or(word, bit64(vector)) & bit64(vector);
}

/* At some moment. */
static inline bool vecset_empty(const struct vecset *s)
{
	return !(atomic_load_explicit(&s->word[0], memory_order_relaxed) |
		 atomic_load_explicit(&s->word[1], memory_order_relaxed) |
		 atomic_load_explicit(&s->word[2], memory_order_relaxed) |
		 atomic_load_explicit(&s->word[3], memory_order_relaxed));
}

static inline bool vecset_test(const struct vecset *s, uint8_t vector)
{
	return atomic_load_explicit(&s->word[vector >> 6], memory_order_relaxed) & bit64(vector);
}

static inline bool vecset_test_and_set(struct vecset *s, uint8_t vector)
{
	return vecset_word_test_and_set(vecset_word(s, vector), vector);
}

/* Returns whether it was set. */
static inline bool vecset_test_and_clear(struct vecset *s, uint8_t vector)
{
	return atomic_fetch_and(&s->word[vector >> 6], ~bit64(vector)) & bit64(vector);
}

static inline void vecset_clear(struct vecset *s, uint8_t vector)
{
	vecset_test_and_clear(s, vector);
}

#endif
