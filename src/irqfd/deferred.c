/* SPDX-License-Identifier: MIT */
#include "irqfd/deferred.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>

#include "base/no_cancel.h"
#include "base/reader.h"
#include "base/vm.h"
#include "defer/callers_worker.h"
#include "pump/pump.h"

#define RUN_AT_MOST 64u

/* Also in a signal handler. */
static void wake(void *opaque)
{
	const struct irqfd_worker *w = opaque;

	vmirq_fd_ring(w->fd);
}

/* The pump's callback: in a read section. */
static bool serve(void *opaque)
{
	struct irqfd_worker *w = opaque;
	bool more;

	vmirq_fd_drain(w->fd);
	vmirq_defer_worker_run(w->worker, RUN_AT_MOST, &more);
	if (more)
		wake(w);
	return true;
}

int vmirq_irqfd_worker_create(struct vmirq_vm *vm, struct irqfd_worker **out)
{
	struct irqfd_worker *w = calloc(1, sizeof(*w));
	int error;

	if (!w)
		return -ENOMEM;
	w->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	error = w->fd < 0 ? -errno : vmirq_defer_worker_create(wake, w, &w->worker);
	if (!error)
		error = vmirq_pump_add(vm->pump, w->fd, serve, w, &w->entry);
	if (!error)
		w->pump = vm->pump;
	if (error)
		vmirq_irqfd_worker_destroy(w);
	else
		*out = w;
	return error;
}

void vmirq_irqfd_worker_destroy(struct irqfd_worker *w)
{
	if (!w)
		return;
	if (w->pump)
		vmirq_pump_remove(w->pump, w->entry);
	vmirq_defer_worker_destroy(w->worker, NULL);
	if (w->fd >= 0)
		no_cancel_close(w->fd);
	free(w);
}

static void run(struct defer_work *work)
{
	struct deferred *d = (struct deferred *)((char *)work - offsetof(struct deferred, work));

	/* Deassign's flush runs it outside the pump's. */
	struct reader *section = reader_enter();

	vmirq_irqfd_raise(d->irqfd);
	reader_exit(section);
	atomic_fetch_sub_explicit(&d->held, 1, memory_order_relaxed);
}

static void list(struct irqfd_table *table, struct deferred *d)
{
	pthread_mutex_lock(&table->mutex);
	d->next = table->deferred;
	d->link = &table->deferred;
	if (d->next)
		d->next->link = &d->next;
	table->deferred = d;
	pthread_mutex_unlock(&table->mutex);
}

static void unlist(struct irqfd_table *table, struct deferred *d)
{
	pthread_mutex_lock(&table->mutex);
	while (d->flushes)
		vmirq_wait_mutex(&table->settling, &table->mutex);
	*d->link = d->next;
	if (d->next)
		d->next->link = d->link;
	pthread_mutex_unlock(&table->mutex);
}

void vmirq_irqfds_flush(struct irqfd_table *table)
{
	struct deferred *next;

	pthread_mutex_lock(&table->mutex);
	/* What joins meanwhile does so in front. */
	for (struct deferred *d = table->deferred; d; d = next) {
		d->flushes++;
		pthread_mutex_unlock(&table->mutex);
		vmirq_defer_flush(&d->work);
		pthread_mutex_lock(&table->mutex);
		next = d->next;
		d->flushes--;
		waiters_wake(&table->settling);
	}
	pthread_mutex_unlock(&table->mutex);
}

static int make(struct vmirq_irqfd *irqfd, struct defer_worker *worker)
{
	struct deferred *d = calloc(1, sizeof(*d));

	if (!d)
		return -ENOMEM;
	d->irqfd = irqfd;
	vmirq_defer_init(&d->work, worker, run);
	list(irqfd->table, d);
	/* Release: pairs with the acquire in signal.c. */
	atomic_store_explicit(&irqfd->deferred, d, memory_order_release);
	return 0;
}

void vmirq_irqfd_make_deferred(struct vmirq_irqfd *irqfd)
{
	if (!atomic_load_explicit(&irqfd->deferred, memory_order_relaxed))
		(void)make(irqfd, irqfd->table->worker->worker);
}

int vmirq_irqfd_defer_to(struct vmirq_irqfd *irqfd, struct vmirq_worker *worker)
{
	return make(irqfd, worker->list);
}

void vmirq_irqfds_expect(struct route_slot *slot, const struct route *next)
{
	struct route_watcher *first = slot->watchers;

	/* Among many routes neither its end nor its copy is in a cache: both are fetched at once. */
	if (first) {
		__builtin_prefetch(first, 1);
		__builtin_prefetch(irqfd_of(first), 1);
	}
	if (next->kind == ROUTE_PINS)
		for (struct route_watcher *w = slot->watchers; w; w = w->next)
			if (HEAD_KIND(irqfd_head(irqfd_of(w))) != TARGET_GONE)
				vmirq_irqfd_make_deferred(irqfd_of(w));
}

void vmirq_irqfd_flush_deferred(struct vmirq_irqfd *irqfd)
{
	struct deferred *d = atomic_load_explicit(&irqfd->deferred, memory_order_relaxed);

	if (d)
		vmirq_defer_flush(&d->work);
}

void vmirq_irqfd_end_deferred(struct vmirq_irqfd *irqfd)
{
	struct deferred *d = atomic_load_explicit(&irqfd->deferred, memory_order_relaxed);
	struct route_table *routes = irqfd->table->vm->routes;

	if (!d)
		return;
	unlist(irqfd->table, d);
	vmirq_defer_fini(&d->work);
	/* One that could not leave its GSI is still found there by who reads the counts. */
	vmirq_route_lock(routes, irqfd->slot);
	counts_add(&irqfd->counts, VMIRQ_DEASSIGNED,
		   atomic_load_explicit(&d->held, memory_order_relaxed));
	atomic_store_explicit(&irqfd->deferred, NULL, memory_order_relaxed);
	vmirq_route_unlock(routes, irqfd->slot);
	free(d);
}

enum vmirq_verdict vmirq_irqfd_defer(struct vmirq_irqfd *irqfd, struct deferred *d)
{
	/* First, so that at no moment more has come out than went in. */
	atomic_fetch_add_explicit(&d->held, 1, memory_order_relaxed);
	if (vmirq_defer_raise(&d->work))
		return VMIRQ_HELD;
	atomic_fetch_sub_explicit(&d->held, 1, memory_order_relaxed);
	counts_add(&irqfd->counts, VMIRQ_COALESCED, 1);
	return VMIRQ_COALESCED;
}
