/* SPDX-License-Identifier: MIT */
#include "bypass/table.h"

#include <stdlib.h>

/* Of the old table, by an insertion. One would do: when the new table is full in its turn, as many have
 * been inserted as the old one had buckets. */
#define MOVED_AT_ONCE 2

void vmirq_bypass_shard_init(struct bypass_shard *shard)
{
	shard->buckets = shard->first;
	shard->mask = FIRST_BUCKETS - 1;
}

static void free_buckets(struct bypass_shard *shard, struct bypass_end **buckets)
{
	if (buckets != shard->first)
		free(buckets);
}

void vmirq_bypass_shard_fini(struct bypass_shard *shard)
{
	free_buckets(shard, shard->old);
	free_buckets(shard, shard->buckets);
	vmirq_bypass_free_memory(shard);
}

static struct bypass_end **bucket_of(struct bypass_shard *shard, uint64_t token)
{
	uint64_t hash = bypass_hash(token);
	size_t in_old = hash & (shard->mask >> 1);

	if (shard->old && in_old >= shard->moved)
		return &shard->old[in_old];
	return &shard->buckets[hash & shard->mask];
}

struct bypass_end **vmirq_bypass_find(struct bypass_shard *shard, uint64_t token,
				      struct bypass_end *ends[BYPASS_KINDS])
{
	struct bypass_end **place = bucket_of(shard, token);
	struct bypass_end *end;

	vmirq_bypass_expect(*place);
	ends[BYPASS_PRODUCER] = NULL;
	ends[BYPASS_CONSUMER] = NULL;
	while (*place && (*place)->token != token)
		place = &(*place)->next;
	end = *place;
	if (!end)
		return place;
	ends[end->kind] = end;
	if (end->next && end->next->token == token)
		ends[end->next->kind] = end->next;
	return place;
}

static void link_end(struct bypass_end **place, struct bypass_end *end)
{
	end->next = *place;
	end->place = place;
	if (end->next)
		end->next->place = &end->next;
	*place = end;
}

static void move_bucket(struct bypass_shard *shard)
{
	struct bypass_end *end = shard->old[shard->moved];

	shard->old[shard->moved++] = NULL;
	while (end) {
		struct bypass_end *next = end->next;

		link_end(bucket_of(shard, end->token), end);
		end = next;
	}
	if (shard->moved > shard->mask >> 1) {
		free_buckets(shard, shard->old);
		shard->old = NULL;
	}
}

static void grow(struct bypass_shard *shard)
{
	struct bypass_end **buckets = calloc(2 * (shard->mask + 1), sizeof(struct bypass_end *));

	if (!buckets)
		return;
	shard->old = shard->buckets;
	shard->moved = 0;
	shard->buckets = buckets;
	shard->mask = 2 * shard->mask + 1;
}

void vmirq_bypass_insert(struct bypass_shard *shard, struct bypass_end **place,
			 struct bypass_end *end)
{
	link_end(place, end);
	for (int i = 0; i < MOVED_AT_ONCE && shard->old; i++)
		move_bucket(shard);
	if (++shard->ends > shard->mask + 1 && !shard->old)
		grow(shard);
}

void vmirq_bypass_remove(struct bypass_shard *shard, struct bypass_end *end)
{
	*end->place = end->next;
	if (end->next)
		end->next->place = end->place;
	shard->ends--;
}
