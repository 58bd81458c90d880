/* SPDX-License-Identifier: MIT */
#include "bypass/manager.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "bypass/end.h"

int vmirq_bypass_create(struct vmirq_bypass **out)
{
	struct vmirq_bypass *bypass;

	if (!out)
		return -EINVAL;
	bypass = aligned_alloc(CACHE_LINE, sizeof(*bypass));
	if (!bypass)
		return -ENOMEM;
	memset(bypass, 0, sizeof(*bypass));
	for (unsigned int i = 0; i < BYPASS_SHARDS; i++)
		vmirq_bypass_shard_init(&bypass->shard[i]);
	*out = bypass;
	return 0;
}

size_t vmirq_bypass_ends(struct vmirq_bypass *bypass)
{
	size_t ends = 0;

	for (unsigned int i = 0; i < BYPASS_SHARDS; i++) {
		lock_take(&bypass->shard[i].lock);
		ends += bypass->shard[i].ends;
		lock_give(&bypass->shard[i].lock);
	}
	return ends;
}

int vmirq_bypass_destroy(struct vmirq_bypass *bypass)
{
	if (!bypass)
		return 0;
	if (vmirq_bypass_ends(bypass))
		return -EBUSY;
	for (unsigned int i = 0; i < BYPASS_SHARDS; i++)
		vmirq_bypass_shard_fini(&bypass->shard[i]);
	free(bypass);
	return 0;
}

/* The calling thread becomes the owner of an end and its peer. The lock is held in these. */
static void own(struct bypass_end *end)
{
	end->owner = pthread_self();
	end->peer->owner = end->owner;
	end->busy = true;
	end->peer->busy = true;
}

static void disown(struct bypass_shard *shard, struct bypass_end *end)
{
	end->busy = false;
	end->peer->busy = false;
	waiters_wake(&shard->ended);
}

static void part(struct bypass_end *end)
{
	end->peer->peer = NULL;
	end->peer = NULL;
}

static struct vmirq_producer *producer_of(struct bypass_end *end)
{
	return (struct vmirq_producer *)(end->kind == BYPASS_PRODUCER ? end : end->peer);
}

static struct vmirq_consumer *consumer_of(struct bypass_end *end)
{
	return (struct vmirq_consumer *)(end->kind == BYPASS_CONSUMER ? end : end->peer);
}

/* The lock is held before and after. */
static int connect_end(struct bypass_shard *shard, struct bypass_end *end, struct bypass_end *peer)
{
	int error;

	end->peer = peer;
	peer->peer = end;
	own(end);
	lock_give(&shard->lock);
	error = vmirq_bypass_connect(producer_of(end), consumer_of(end));
	lock_take(&shard->lock);
	disown(shard, end);
	if (error)
		part(end);
	return error;
}

static void disconnect_end(struct bypass_shard *shard, struct bypass_end *end)
{
	own(end);
	lock_give(&shard->lock);
	vmirq_bypass_disconnect(producer_of(end), consumer_of(end));
	lock_take(&shard->lock);
	disown(shard, end);
	part(end);
}

/* The lock is held. */
static int enter_shard(struct vmirq_bypass *bypass, struct bypass_shard *shard,
		       const struct bypass_end *as, struct bypass_end **out)
{
	struct bypass_end *ends[BYPASS_KINDS], **place, *end, *peer;
	int error = 0;

	place = vmirq_bypass_find(shard, as->token, ends);
	if (ends[as->kind])
		return -EBUSY;
	peer = ends[!as->kind];
	end = vmirq_bypass_take(shard, as, peer);
	if (!end)
		return -ENOMEM;
	end->bypass = bypass;
	vmirq_bypass_insert(shard, place, end);
	/* It is not busy: then this side would be taken (table.h). */
	if (peer && !peer->leaving)
		error = connect_end(shard, end, peer);
	if (error) {
		vmirq_bypass_remove(shard, end);
		vmirq_bypass_give(shard, end);
	}
	*out = end;
	return error;
}

int vmirq_bypass_enter(struct vmirq_bypass *bypass, const struct bypass_end *as,
		       struct bypass_end **out)
{
	struct bypass_shard *shard = bypass_shard(bypass, bypass_hash(as->token));
	int error;

	lock_take(&shard->lock);
	error = enter_shard(bypass, shard, as, out);
	lock_give(&shard->lock);
	return error;
}

static off_path int wait_for_busy(struct bypass_shard *shard, struct bypass_end *end)
{
	if (pthread_equal(end->owner, pthread_self()))
		return -EDEADLK;
	end->leaving = true;
	vmirq_wait(&shard->ended, &shard->lock);
	return -EAGAIN;
}

/* 0: no thread owns it. -EAGAIN: one did, and it is to be looked at again. The lock is held. */
static int wait_for_owner(struct bypass_shard *shard, struct bypass_end *end)
{
	return unlikely(end->busy) ? wait_for_busy(shard, end) : 0;
}

/* The lock is held and given up. */
static int finish_leaving(struct bypass_shard *shard, struct bypass_end *end, int error)
{
	if (!error && end) {
		if (end->peer)
			disconnect_end(shard, end);
		vmirq_bypass_remove(shard, end);
		vmirq_bypass_give(shard, end);
	}
	lock_give(&shard->lock);
	return error;
}

int vmirq_bypass_leave(struct bypass_end *end)
{
	struct bypass_shard *shard = bypass_shard(end->bypass, bypass_hash(end->token));
	int error;

	lock_take(&shard->lock);
	do
		error = wait_for_owner(shard, end);
	while (error == -EAGAIN);
	return finish_leaving(shard, end, error);
}

int vmirq_bypass_leave_token(struct vmirq_bypass *bypass, enum bypass_kind kind, uint64_t token)
{
	struct bypass_shard *shard = bypass_shard(bypass, bypass_hash(token));
	struct bypass_end *ends[BYPASS_KINDS];
	int error;

	lock_take(&shard->lock);
	do {
		/* Anew each time: its registration may have failed, or another thread have unregistered it. */
		vmirq_bypass_find(shard, token, ends);
		error = ends[kind] ? wait_for_owner(shard, ends[kind]) : 0;
	} while (error == -EAGAIN);
	return finish_leaving(shard, ends[kind], error);
}
