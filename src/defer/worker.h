/* SPDX-License-Identifier: MIT */
/* A worker's list, between work.c and worker.c. */
#ifndef DEFER_WORKER_H
#define DEFER_WORKER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arch.h"
#include "defer/defer.h"

/* Added by the end of a run; wraps out of the word. */
#define DEFER_ENDED (1u << 3)

struct defer_worker {
	/* What raisers use: they take no lock. */
	struct defer_link *_Atomic pushed; /* a stack by `next`, newest first */
	void (*wake)(void *opaque);
	void *opaque;
	_Atomic uint32_t awake; /* has been woken and has not yet gone to sleep again */
	uint32_t servers;	/* threads in vmirq_defer_worker_run(); mutex */
	uint64_t unused_[4];

	/* The list's lock: of what follows, and of taking what was pushed. Sleeps, because a VMM's signal
	 * handler may freeze a thread anywhere. */
	pthread_mutex_t mutex __attribute__((aligned(CACHE_LINE)));
	struct defer_link ready; /* what was gathered, oldest first */
	struct defer_link items; /* all whose home this is */
	uint64_t unused_too_[7];
};

static inline struct defer_work *work_of(struct defer_link *link)
{
	return (struct defer_work *)((char *)link - offsetof(struct defer_work, queue));
}

static inline struct defer_work *work_of_sibling(struct defer_link *link)
{
	return (struct defer_work *)((char *)link - offsetof(struct defer_work, sibling));
}

static inline void link_init(struct defer_link *head)
{
	head->next = head;
	head->prev = head;
}

static inline void link_before(struct defer_link *link, struct defer_link *place)
{
	link->prev = place->prev;
	link->next = place;
	place->prev->next = link;
	place->prev = link;
}

static inline void link_remove(struct defer_link *link)
{
	link->prev->next = link->next;
	link->next->prev = link->prev;
	link->next = NULL;
	link->prev = NULL;
}

/* Wake the worker if it may sleep: B in defer.h. */
static inline void worker_ring(struct defer_worker *worker)
{
	if (!atomic_load(&worker->awake) && !atomic_exchange(&worker->awake, 1))
		worker->wake(worker->opaque);
}

/* Put what was pushed behind what is ready; the mutex is held. */
void vmirq_defer_worker_gather(struct defer_worker *worker);

/* Take an item off the list it hangs in; the mutex is held. It is no longer the list's, but its ON_LIST
 * bit says so only after vmirq_work_take() or a reset with DEFER_ON_LIST. */
static inline void work_unlink(struct defer_work *work)
{
	link_remove(&work->queue);
	atomic_store_explicit(&work->at, NULL, memory_order_relaxed);
}

/* Turn `off` off, and take SCHED for a run unless another thread is in one; was it taken? Unless it was,
 * the item may be freed by now. */
bool vmirq_work_take(struct defer_work *work, uint32_t off);
/* Run what was taken. */
void vmirq_work_run(struct defer_work *work);

#endif
