/* SPDX-License-Identifier: MIT */
#include "bypass/table.h"

static bool end_validate(struct bypass_shard *shard, struct bypass_end *end)
{
	struct bypass_end *ends[BYPASS_KINDS];
	const struct bypass_end *peer = end->peer;

	if (*end->place != end || !end->token || end->kind >= BYPASS_KINDS ||
	    bypass_shard(end->bypass, bypass_hash(end->token)) != shard)
		return false;
	/* Where it is looked for, and the only one. */
	vmirq_bypass_find(shard, end->token, ends);
	if (ends[end->kind] != end)
		return false;
	if (!peer)
		return !end->busy;
	return ends[!end->kind] == peer && peer->peer == end && peer->busy == end->busy;
}

static bool buckets_validate(struct bypass_shard *shard, struct bypass_end **buckets, size_t n,
			     size_t *ends)
{
	for (size_t i = 0; i < n; i++)
		for (struct bypass_end *end = buckets[i]; end; end = end->next, ++*ends)
			if (!end_validate(shard, end))
				return false;
	return true;
}

static bool shard_validate(struct bypass_shard *shard)
{
	size_t ends = 0;

	if (!buckets_validate(shard, shard->buckets, shard->mask + 1, &ends))
		return false;
	if (shard->old) {
		for (size_t i = 0; i < shard->moved; i++)
			if (shard->old[i])
				return false;
		if (!buckets_validate(shard, shard->old, (shard->mask >> 1) + 1, &ends))
			return false;
	}
	return ends == shard->ends;
}

bool vmirq_bypass_validate(struct vmirq_bypass *bypass)
{
	bool valid = true;

	for (unsigned int i = 0; i < BYPASS_SHARDS; i++) {
		struct bypass_shard *shard = &bypass->shard[i];

		lock_take(&shard->lock);
		valid = valid && shard_validate(shard);
		lock_give(&shard->lock);
	}
	return valid;
}
