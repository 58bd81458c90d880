/* SPDX-License-Identifier: MIT */
/*
 * Memory for ends. The two of a token have one block, so that a look-up that misses the caches for the one
 * has the other on its way, and blocks lie close together. It is kept until the manager goes: what comes
 * and goes costs no malloc().
 */
#include <stdlib.h>
#include <sys/mman.h>

#include "bypass/end.h"

#define FIRST_BLOCKS 2u
/* Of a chunk: a page of those that the processor finds with one look. */
#define LARGEST (UINT32_C(2) << 20)

struct bypass_block {
	struct vmirq_producer producer;
	struct vmirq_consumer consumer __attribute__((aligned(CACHE_LINE)));
	struct bypass_block *next_free;
	uint32_t used; /* a bit for each end */
} __attribute__((aligned(256)));

/* Blocks one after the other; in the first place there is this. */
struct bypass_chunk {
	struct bypass_chunk *next;
	uint32_t taken, n;
};

_Static_assert(sizeof(struct bypass_chunk) <= sizeof(struct bypass_block), "it is in one's place");
_Static_assert(sizeof(struct bypass_block) == 256, "a chunk holds them without a rest");

static struct bypass_block *block_of(struct bypass_end *end)
{
	return (struct bypass_block *)((char *)end -
				       (end->kind == BYPASS_PRODUCER
						? offsetof(struct bypass_block, producer)
						: offsetof(struct bypass_block, consumer)));
}

/* Twice as large as the one before, so that a few pairs cost little. */
static struct bypass_chunk *add_chunk(struct bypass_shard *shard)
{
	uint32_t n = shard->chunks ? 2 * shard->chunks->n : FIRST_BLOCKS;
	size_t size = n * sizeof(struct bypass_block);
	struct bypass_chunk *chunk;

	if (size > LARGEST)
		size = LARGEST;
	chunk = aligned_alloc(size < LARGEST ? sizeof(struct bypass_block) : LARGEST, size);
	if (!chunk)
		return NULL;
	if (size == LARGEST)
		madvise(chunk, size, MADV_HUGEPAGE);
	*chunk = (struct bypass_chunk){
		.next = shard->chunks,
		.taken = 1,
		.n = (uint32_t)(size / sizeof(struct bypass_block)),
	};
	shard->chunks = chunk;
	return chunk;
}

static struct bypass_block *take_block(struct bypass_shard *shard)
{
	struct bypass_block *block = shard->free;
	struct bypass_chunk *chunk = shard->chunks;

	if (block) {
		shard->free = block->next_free;
		return block;
	}
	if (!chunk || chunk->taken == chunk->n)
		chunk = add_chunk(shard);
	if (!chunk)
		return NULL;
	block = (struct bypass_block *)chunk + chunk->taken++;
	block->used = 0;
	return block;
}

struct bypass_end *vmirq_bypass_take(struct bypass_shard *shard, const struct bypass_end *as,
				     struct bypass_end *other)
{
	struct bypass_block *block = other ? block_of(other) : take_block(shard);

	if (!block)
		return NULL;
	block->used |= 1u << as->kind;
	if (as->kind == BYPASS_PRODUCER) {
		block->producer = *(const struct vmirq_producer *)as;
		return &block->producer.end;
	}
	block->consumer = *(const struct vmirq_consumer *)as;
	return &block->consumer.end;
}

void vmirq_bypass_give(struct bypass_shard *shard, struct bypass_end *end)
{
	struct bypass_block *block = block_of(end);

	block->used &= ~(1u << end->kind);
	if (block->used)
		return;
	block->next_free = shard->free;
	shard->free = block;
}

void vmirq_bypass_free_memory(struct bypass_shard *shard)
{
	while (shard->chunks) {
		struct bypass_chunk *chunk = shard->chunks;

		shard->chunks = chunk->next;
		free(chunk);
	}
}

void vmirq_bypass_expect(const struct bypass_end *end)
{
	uintptr_t block = (uintptr_t)end & ~(sizeof(struct bypass_block) - 1);

	for (size_t at = 0; at < sizeof(struct bypass_block); at += CACHE_LINE) {
		/* Counted as a number: there may be no block.
		 * NOLINTNEXTLINE(performance-no-int-to-ptr) */
		const void *line = (const void *)(block + at);

		__builtin_prefetch(line, 1);
	}
}
