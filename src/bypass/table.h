/* SPDX-License-Identifier: MIT */
/*
 * Who is registered, by token: hash tables in shards, each with a lock that is held for a look-up and
 * never while a callback runs.
 *
 * What is called out for a token is guarded by `busy` instead. It is set on both ends of a pair by
 * the thread that connects or disconnects them, which so owns them until it clears it:
 *
 *	an end is busy	=> its peer is there and busy too, with the same owner
 *			=> both sides of the token are taken: a registration finds that out at once
 *
 * so only who unregisters ever waits for an owner. It says so by `leaving`, and is not connected again:
 * registrations that come and go on the other side cannot keep it waiting.
 *
 * A table that becomes too small gets a successor of twice the size, to which each insertion moves some
 * buckets. Until all are moved an end is looked up in the old one if its bucket there is still to move.
 * It does not shrink. The two ends of a token stand side by side in their bucket, so that a look-up goes
 * no further than to the first: with many pairs the cost is the cache misses, of which both ends together are one.
 */
#ifndef BYPASS_TABLE_H
#define BYPASS_TABLE_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arch.h"
#include "base/lock.h"
#include "base/wait.h"

#define BYPASS_SHARDS 64u
#define FIRST_BUCKETS 2u

enum bypass_kind { BYPASS_PRODUCER, BYPASS_CONSUMER, BYPASS_KINDS };

/* One side of a pair. What is not constant is under the shard's lock. */
struct bypass_end {
	struct bypass_end *next;     /* in its bucket */
	struct bypass_end **place;   /* what points to it there */
	uint64_t token;		     /* constant */
	struct bypass_end *peer;     /* connected to, or being connected to */
	struct vmirq_bypass *bypass; /* constant */
	pthread_t owner;	     /* while it is busy */
	enum bypass_kind kind;	     /* constant */
	bool busy;
	bool leaving;
};

struct bypass_shard {
	struct lock lock;
	struct waiters ended; /* an end has ceased to be busy */
	struct bypass_end **buckets;
	struct bypass_end **old; /* NULL: all are moved */
	size_t mask;		 /* of buckets; old has half as many */
	size_t moved;		 /* of old */
	size_t ends;
	struct bypass_end *first[FIRST_BUCKETS];
	struct bypass_block *free; /* see memory.c */
	struct bypass_chunk *chunks;
} __attribute__((aligned(CACHE_LINE)));

struct vmirq_bypass {
	struct bypass_shard shard[BYPASS_SHARDS];
};

/* Tokens are numbers in a row, or have all their difference in the high bits. (MurmurHash3's finalizer.) */
static inline uint64_t bypass_hash(uint64_t token)
{
	token ^= token >> 33;
	token *= UINT64_C(0xff51afd7ed558ccd);
	token ^= token >> 33;
	token *= UINT64_C(0xc4ceb9fe1a85ec53);
	return token ^ (token >> 33);
}

static inline struct bypass_shard *bypass_shard(struct vmirq_bypass *bypass, uint64_t hash)
{
	return &bypass->shard[hash >> 58];
}

void vmirq_bypass_shard_init(struct bypass_shard *shard);
void vmirq_bypass_shard_fini(struct bypass_shard *shard);

/* The shard's lock is held in all of these. */

/* Both ends of a token; NULL: not there. Returns where a missing one is to be inserted. */
struct bypass_end **vmirq_bypass_find(struct bypass_shard *shard, uint64_t token,
				      struct bypass_end *ends[BYPASS_KINDS]);
/* Never fails: without memory for more buckets the chains become longer. */
void vmirq_bypass_insert(struct bypass_shard *shard, struct bypass_end **place,
			 struct bypass_end *end);
void vmirq_bypass_remove(struct bypass_shard *shard, struct bypass_end *end);

/* memory.c: room for an end that is as this one, beside the other one of its token, if there is that. NULL:
 * no memory. */
struct bypass_end *vmirq_bypass_take(struct bypass_shard *shard, const struct bypass_end *as,
				     struct bypass_end *other);
/* It is in no table any more. */
void vmirq_bypass_give(struct bypass_shard *shard, struct bypass_end *end);
/* Of all that were given back. */
void vmirq_bypass_free_memory(struct bypass_shard *shard);
/* It and the other end of its token are about to be looked at. NULL is nothing. */
void vmirq_bypass_expect(const struct bypass_end *end);

/* Is all that the comments above say true? Takes the locks. For tests. */
bool vmirq_bypass_validate(struct vmirq_bypass *bypass);

#endif
