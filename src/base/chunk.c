/* SPDX-License-Identifier: MIT */
#include "base/chunk.h"

#include <stdlib.h>
#include <sys/mman.h>

#define LARGEST ((size_t)2 << 20)

static struct chunk *add_chunk(struct chunks *chunks)
{
	size_t n = chunks->total ? chunks->total : chunks->first;
	size_t size = sizeof(struct chunk) + n * chunks->size;
	struct chunk *chunk;

	if (size > LARGEST) {
		size = LARGEST;
		n = (LARGEST - sizeof(struct chunk)) / chunks->size;
	}
	chunk = aligned_alloc(size < LARGEST ? CACHE_LINE : LARGEST, size);
	if (!chunk)
		return NULL;
	/* Whether there are such pages or not. */
	if (size == LARGEST)
		madvise(chunk, size, MADV_HUGEPAGE);
	chunk->next = chunks->last;
	chunk->taken = 0;
	chunk->n = (uint32_t)n;
	chunks->last = chunk;
	chunks->total += chunk->n;
	return chunk;
}

void *vmirq_chunks_take(struct chunks *chunks)
{
	struct chunk *chunk = chunks->last;

	if (!chunk || chunk->taken == chunk->n)
		chunk = add_chunk(chunks);
	return chunk ? chunk_thing(chunks, chunk, chunk->taken++) : NULL;
}

void vmirq_chunks_free(struct chunks *chunks)
{
	while (chunks->last) {
		struct chunk *chunk = chunks->last;

		chunks->last = chunk->next;
		free(chunk);
	}
}
