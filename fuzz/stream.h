/* SPDX-License-Identifier: MIT */
/*
 * An input taken apart: a stream of operations, each a byte that names it and the bytes it wants.
 *
 * Every read of an ended stream is 0, so that no cut of an input is invalid, and each operation
 * takes at least the byte that names it, so that an input's length bounds its work.
 */
#ifndef FUZZ_STREAM_H
#define FUZZ_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct stream {
	const uint8_t *at;
	size_t left;
};

static inline uint8_t take8(struct stream *s)
{
	if (!s->left)
		return 0;
	s->left--;
	return *s->at++;
}

static inline uint16_t take16(struct stream *s)
{
	uint16_t low = take8(s);

	return (uint16_t)(low | take8(s) << 8);
}

static inline uint32_t take32(struct stream *s)
{
	uint32_t low = take16(s);

	return low | (uint32_t)take16(s) << 16;
}

static inline uint64_t take64(struct stream *s)
{
	uint64_t low = take32(s);

	return low | (uint64_t)take32(s) << 32;
}

static inline bool take_bool(struct stream *s)
{
	return take8(s) & 1;
}

/* A wide number of few bytes: small ones, and those around powers of two. */
static inline uint64_t take_scaled(struct stream *s)
{
	uint8_t shift = take8(s);
	uint64_t value = (uint64_t)take16(s) << (shift & 63);

	/* Bit 6: just below it, bit 7: down from the largest. */
	if (shift & 0x40)
		value--;
	return shift & 0x80 ? ~value : value;
}

static inline void take_bytes(struct stream *s, void *to, size_t n)
{
	uint8_t *bytes = to;

	for (size_t i = 0; i < n; i++)
		bytes[i] = take8(s);
}

/* Random words over a saved state, so that one is reached that is nearly right: how many, and for
 * each its place and its value. */
static inline void take_patches(struct stream *s, void *state, size_t size)
{
	uint8_t *bytes = state;

	for (unsigned int n = take8(s) & 15; n; n--) {
		size_t at = take16(s) % size;
		uint32_t word = take32(s);

		for (size_t i = 0; i < sizeof(word) && at + i < size; i++)
			bytes[at + i] = (uint8_t)(word >> 8 * i);
	}
}

#endif
