/* SPDX-License-Identifier: MIT */
/* The memory of a VM's irqfds. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/vm.h"
#include "irqfd/deferred.h"

#include <vmirq/bypass.h>

#define FIRST_IRQFDS 16u

int vmirq_irqfd_table_create(struct vmirq_vm *vm, struct vmirq_bypass *bypass,
			     struct irqfd_table **out)
{
	struct irqfd_table *table = calloc(1, sizeof(*table));

	if (!table)
		return -ENOMEM;
	/* Apart: it is aligned to a cache line. */
	table->unrouted = aligned_alloc(CACHE_LINE, sizeof(*table->unrouted));
	if (!table->unrouted) {
		free(table);
		return -ENOMEM;
	}
	memset(table->unrouted, 0, sizeof(*table->unrouted));
	table->unrouted->gsi = UINT32_MAX;
	table->memory =
		(struct chunks){ .size = sizeof(struct vmirq_irqfd), .first = FIRST_IRQFDS };
	table->source_memory =
		(struct chunks){ .size = sizeof(struct irqfd_source), .first = FIRST_IRQFDS };
	table->vm = vm;
	table->bypass = bypass;
	pthread_mutex_init(&table->mutex, NULL);
	pthread_mutex_init(&table->resample_mutex, NULL);
	vm->routes->changed = vmirq_irqfd_route_changed;
	vm->routes->watched_by = sizeof(struct vmirq_irqfd);
	vm->routes->watcher_at = offsetof(struct vmirq_irqfd, watcher);
	vm->routes->coming = vmirq_irqfds_expect;
	vm->routes->replacing = vmirq_irqfds_leave_kernel;
	vm->routes->replaced = vmirq_irqfds_follow;
	vm->routes->replace_opaque = vm;
	/* Known to the VM before it can fail: it is taken apart with it. */
	*out = table;
	return vmirq_irqfd_worker_create(vm, &table->worker);
}

void vmirq_irqfd_for_each(const struct irqfd_table *table,
			  void (*fn)(struct vmirq_irqfd *irqfd, void *opaque), void *opaque)
{
	for (struct chunk *chunk = table->memory.last; chunk; chunk = chunk->next) {
		for (uint32_t i = 0; i < chunk->taken; i++) {
			struct vmirq_irqfd *irqfd = chunk_thing(&table->memory, chunk, i);

			if (irqfd->used)
				fn(irqfd, opaque);
		}
	}
}

static void deassign(struct vmirq_irqfd *irqfd, void *opaque)
{
	(void)opaque;
	vmirq_irqfd_deassign_own(irqfd);
}

void vmirq_irqfd_table_destroy(struct irqfd_table *table)
{
	if (!table)
		return;
	vmirq_irqfd_for_each(table, deassign, NULL);
	vmirq_irqfd_worker_destroy(table->worker);
	if (table->own_bypass)
		vmirq_bypass_destroy(table->bypass);
	vmirq_chunks_free(&table->source_memory);
	vmirq_chunks_free(&table->memory);
	free(atomic_load_explicit(&table->unrouted->more, memory_order_relaxed));
	free(table->unrouted);
	pthread_mutex_destroy(&table->resample_mutex);
	pthread_mutex_destroy(&table->mutex);
	free(table);
}

/* These hold the memory's lock. */

/* Never used before. */
static struct vmirq_irqfd *take_new(struct irqfd_table *table)
{
	struct vmirq_irqfd *irqfd = vmirq_chunks_take(&table->memory);

	if (irqfd) {
		memset(irqfd, 0, sizeof(*irqfd));
		irqfd->table = table;
		irqfd->chip = table->vm->chip;
		atomic_store_explicit(&irqfd->word,
				      vecset_word(&table->vm->chip->posted->vectors, 0),
				      memory_order_relaxed);
	}
	return irqfd;
}

static void put_unused(struct irqfd_table *table, struct vmirq_irqfd *irqfd)
{
	irqfd->next = table->unused;
	table->unused = irqfd;
}

/* The one that has rested longest. */
static struct vmirq_irqfd *take_resting(struct irqfd_table *table)
{
	for (uint32_t i = 0; i < IRQFDS_RESTING; i++) {
		struct vmirq_irqfd **at = &table->resting[(table->puts + i) % IRQFDS_RESTING];
		struct vmirq_irqfd *irqfd = *at;

		*at = NULL;
		if (irqfd)
			return irqfd;
	}
	return NULL;
}

/* The next one is wanted soon where there is one of a device's many: its first line and its last. */
static struct vmirq_irqfd *take_irqfd(struct irqfd_table *table)
{
	struct vmirq_irqfd *irqfd = table->unused;

	if (unlikely(!irqfd)) {
		irqfd = take_new(table);
		return irqfd ? irqfd : take_resting(table);
	}
	table->unused = irqfd->next;
	if (irqfd->next) {
		__builtin_prefetch(&irqfd->next->head, 1);
		__builtin_prefetch(&irqfd->next->next, 1);
	}
	return irqfd;
}

static struct irqfd_source *take_source(struct irqfd_table *table)
{
	struct irqfd_source *source = table->unused_sources;

	if (unlikely(!source))
		return vmirq_chunks_take(&table->source_memory);
	table->unused_sources = source->next;
	__builtin_prefetch(source->next, 1);
	return source;
}

static void put_source(struct irqfd_table *table, struct irqfd_source *source)
{
	source->next = table->unused_sources;
	table->unused_sources = source;
}

static void put_irqfd(struct irqfd_table *table, struct vmirq_irqfd *irqfd)
{
	struct vmirq_irqfd **at = &table->resting[table->puts++ % IRQFDS_RESTING];

	irqfd->used = false;
	if (*at)
		put_unused(table, *at);
	*at = irqfd;
}

struct vmirq_irqfd *vmirq_irqfd_take_locked(struct irqfd_table *table, bool with_source)
{
	struct vmirq_irqfd *irqfd = take_irqfd(table);

	if (unlikely(!irqfd))
		return NULL;
	irqfd->source = with_source ? take_source(table) : NULL;
	if (unlikely(with_source && !irqfd->source)) {
		put_irqfd(table, irqfd);
		return NULL;
	}
	irqfd->used = true;
	return irqfd;
}

struct vmirq_irqfd *vmirq_irqfd_take(struct irqfd_table *table, bool with_source)
{
	struct vmirq_irqfd *irqfd;

	lock_take(&table->memory_lock);
	irqfd = vmirq_irqfd_take_locked(table, with_source);
	lock_give(&table->memory_lock);
	return irqfd;
}

/* All but its copy: the number in its head goes on, so that a late reader of the old one sees that it changed. */
static void clear(struct vmirq_irqfd *irqfd)
{
	atomic_store_explicit(&irqfd->guess, VMIRQ_DELIVERED, memory_order_relaxed);
	for (int i = 0; i < VMIRQ_VERDICTS; i++)
		atomic_store_explicit(&irqfd->counts.verdict[i], 0, memory_order_relaxed);
}

void vmirq_irqfd_put(struct vmirq_irqfd *irqfd)
{
	struct irqfd_table *table = irqfd->table;

	clear(irqfd);
	lock_take(&table->memory_lock);
	if (irqfd->source)
		put_source(table, irqfd->source);
	irqfd->source = NULL;
	put_irqfd(table, irqfd);
	lock_give(&table->memory_lock);
}

struct irqfd_source *vmirq_irqfd_take_source(struct irqfd_table *table)
{
	struct irqfd_source *source;

	lock_take(&table->memory_lock);
	source = take_source(table);
	lock_give(&table->memory_lock);
	return source;
}

void vmirq_irqfd_put_source(struct irqfd_table *table, struct irqfd_source *source)
{
	if (!source)
		return;
	lock_take(&table->memory_lock);
	put_source(table, source);
	lock_give(&table->memory_lock);
}
