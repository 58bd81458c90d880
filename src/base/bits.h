/* SPDX-License-Identifier: MIT */
/* Bit numbers and ranges, so that no caller shifts by hand. */
#ifndef BASE_BITS_H
#define BASE_BITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BITS_WORDS(n) (((n) + 63u) / 64u)

static inline uint64_t bit64(unsigned int n)
{
	return UINT64_C(1) << (n & 63u);
}

static inline uint32_t bit32(unsigned int n)
{
	return UINT32_C(1) << (n & 31u);
}

/* Bits hi..lo of v, moved down to 0. */
static inline uint32_t bits32(uint32_t v, unsigned int hi, unsigned int lo)
{
	return (v >> lo) & (uint32_t)((UINT64_C(1) << (hi - lo + 1)) - 1);
}

/* How many are set. By hand: without -mpopcnt the builtin calls into libgcc, which a freestanding chip
 * has not got. */
static inline uint32_t popcount64(uint64_t v)
{
	v -= (v >> 1) & UINT64_C(0x5555555555555555);
	v = (v & UINT64_C(0x3333333333333333)) + ((v >> 2) & UINT64_C(0x3333333333333333));
	v = (v + (v >> 4)) & UINT64_C(0x0f0f0f0f0f0f0f0f);
	return (uint32_t)((v * UINT64_C(0x0101010101010101)) >> 56);
}

/* For every set bit of `word` (a copy): n = its number. */
#define for_each_bit(n, word)         \
	for (uint64_t left_ = (word); \
	     left_ != 0 && ((n) = (unsigned int)__builtin_ctzll(left_), 1); left_ &= left_ - 1)

#endif
