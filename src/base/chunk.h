/* SPDX-License-Identifier: MIT */
/*
 * Memory for many things of one size that stay where they are until all of them go. It comes in chunks,
 * each as large as all before it together, so that few cost little; the largest are a page of those that
 * the processor finds with one look, so that of a million things each is found with one. What has not
 * been taken yet has not been touched.
 */
#ifndef BASE_CHUNK_H
#define BASE_CHUNK_H

#include <stddef.h>
#include <stdint.h>

#include "base/arch.h"

struct chunk {
	struct chunk *next;
	uint32_t taken, n;
	unsigned char things[] __attribute__((aligned(CACHE_LINE)));
};

/* Nothing yet. The caller's lock is held in all of these. */
struct chunks {
	struct chunk *last; /* the others are full */
	size_t size;	    /* of a thing; a multiple of a cache line */
	uint32_t first;	    /* how many the first chunk has */
	uint32_t total;
};

/* Aligned to a cache line; not cleared. NULL: no memory. */
void *vmirq_chunks_take(struct chunks *chunks);
void vmirq_chunks_free(struct chunks *chunks);

static inline void *chunk_thing(const struct chunks *chunks, struct chunk *chunk, uint32_t i)
{
	return chunk->things + i * chunks->size;
}

#endif
