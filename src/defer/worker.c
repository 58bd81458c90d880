/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/reader.h"
#include "defer/worker.h"

int vmirq_defer_worker_create(void (*wake)(void *opaque), void *opaque, struct defer_worker **out)
{
	struct defer_worker *worker = aligned_alloc(CACHE_LINE, sizeof(*worker));

	if (!worker)
		return -ENOMEM;
	memset(worker, 0, sizeof(*worker));
	link_init(&worker->ready);
	link_init(&worker->items);
	pthread_mutex_init(&worker->mutex, NULL);
	worker->wake = wake;
	worker->opaque = opaque;
	*out = worker;
	return 0;
}

void vmirq_defer_worker_gather(struct defer_worker *worker)
{
	/* D in defer.h; as an acquire it pairs with the push in append(). */
	struct defer_link *newest = atomic_exchange(&worker->pushed, NULL);
	struct defer_link *place = &worker->ready;

	/* Each goes before the one that was pushed after it. */
	while (newest) {
		struct defer_link *older = newest->next;

		link_before(newest, place);
		place = newest;
		newest = older;
	}
}

/* The oldest, off the list; the mutex is held. */
static struct defer_work *pop(struct defer_worker *worker)
{
	struct defer_work *work;

	if (worker->ready.next == &worker->ready)
		vmirq_defer_worker_gather(worker);
	if (worker->ready.next == &worker->ready)
		return NULL;
	work = work_of(worker->ready.next);
	work_unlink(work);
	return work;
}

/* Go to sleep unless there is more; the mutex is held. */
static bool has_more(struct defer_worker *worker)
{
	if (worker->ready.next == &worker->ready) {
		/* C in defer.h */
		atomic_exchange(&worker->awake, 0);
		/* D: pairs with the push in append(). */
		if (!atomic_load(&worker->pushed))
			return false;
	}
	atomic_store_explicit(&worker->awake, 1, memory_order_relaxed);
	return true;
}

uint32_t vmirq_defer_worker_run(struct defer_worker *worker, uint32_t max, bool *more)
{
	struct defer_work *work;
	uint32_t ran = 0;

	pthread_mutex_lock(&worker->mutex);
	worker->servers++;
	/* It is awake, whoever has woken it: relaxed, for has_more() turns it off before it looks. */
	atomic_store_explicit(&worker->awake, 1, memory_order_relaxed);
	for (uint32_t i = 0; i < max && (work = pop(worker)) != NULL; i++) {
		if (!vmirq_work_take(work, DEFER_ON_LIST))
			continue;
		pthread_mutex_unlock(&worker->mutex);
		vmirq_work_run(work);
		ran++;
		pthread_mutex_lock(&worker->mutex);
	}
	*more = has_more(worker);
	worker->servers--;
	pthread_mutex_unlock(&worker->mutex);
	return ran;
}

/* C in defer.h: nothing more is appended here, but by sections that have begun. */
static int unpublish(struct defer_worker *worker, struct defer_worker *heir)
{
	int error = 0;

	pthread_mutex_lock(&worker->mutex);
	if (worker->servers || (!heir && worker->items.next != &worker->items))
		error = -EBUSY;
	if (!error && heir) {
		pthread_mutex_lock(&heir->mutex);
		while (worker->items.next != &worker->items) {
			struct defer_link *link = worker->items.next;

			link_remove(link);
			link_before(link, &heir->items);
			/* Release: pairs with the acquires of `home` in work.c. */
			atomic_store_explicit(&work_of_sibling(link)->home, heir,
					      memory_order_release);
		}
		pthread_mutex_unlock(&heir->mutex);
	}
	pthread_mutex_unlock(&worker->mutex);
	return error;
}

/* What is queued goes behind what is queued at the heir. ON_LIST stays on. */
static void splice(struct defer_worker *worker, struct defer_worker *heir)
{
	bool any = false;

	pthread_mutex_lock(&worker->mutex);
	pthread_mutex_lock(&heir->mutex);
	vmirq_defer_worker_gather(worker);
	vmirq_defer_worker_gather(heir);
	while (worker->ready.next != &worker->ready) {
		struct defer_link *link = worker->ready.next;

		link_remove(link);
		link_before(link, &heir->ready);
		/* Release: pairs with the acquire in lock_unlinked(). */
		atomic_store_explicit(&work_of(link)->at, heir, memory_order_release);
		any = true;
	}
	pthread_mutex_unlock(&heir->mutex);
	pthread_mutex_unlock(&worker->mutex);
	if (any)
		worker_ring(heir);
}

bool vmirq_defer_worker_used(struct defer_worker *worker)
{
	bool used;

	pthread_mutex_lock(&worker->mutex);
	used = worker->items.next != &worker->items;
	pthread_mutex_unlock(&worker->mutex);
	return used;
}

int vmirq_defer_worker_destroy(struct defer_worker *worker, struct defer_worker *heir)
{
	int error;

	if (!worker)
		return 0;
	if (worker == heir)
		return -EINVAL;
	if (reader_inside())
		return -EDEADLK;
	error = unpublish(worker, heir);
	if (error)
		return error;
	vmirq_reader_wait();
	if (heir) {
		splice(worker, heir);
		vmirq_reader_wait();
	}
	pthread_mutex_destroy(&worker->mutex);
	free(worker);
	return 0;
}
