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
	table->vm = vm;
	table->bypass = bypass;
	pthread_mutex_init(&table->mutex, NULL);
	pthread_cond_init(&table->unbound, NULL);
	pthread_mutex_init(&table->resample_mutex, NULL);
	vm->routes->changed = vmirq_irqfd_route_changed;
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
	vmirq_irqfd_deassign(irqfd);
}

void vmirq_irqfd_table_destroy(struct irqfd_table *table)
{
	if (!table)
		return;
	vmirq_irqfd_for_each(table, deassign, NULL);
	vmirq_irqfd_worker_destroy(table->worker);
	if (table->own_bypass)
		vmirq_bypass_destroy(table->bypass);
	vmirq_chunks_free(&table->memory);
	free(atomic_load_explicit(&table->unrouted->more, memory_order_relaxed));
	free(table->unrouted);
	pthread_mutex_destroy(&table->resample_mutex);
	pthread_cond_destroy(&table->unbound);
	pthread_mutex_destroy(&table->mutex);
	free(table);
}

/* Never used before; the memory's lock is held. */
static struct vmirq_irqfd *take_new(struct irqfd_table *table)
{
	struct vmirq_irqfd *irqfd = vmirq_chunks_take(&table->memory);

	if (irqfd) {
		memset(irqfd, 0, sizeof(*irqfd));
		atomic_store_explicit(&irqfd->word,
				      vecset_word(&table->vm->chip->posted->vectors, 0),
				      memory_order_relaxed);
		irqfd->used = true;
	}
	return irqfd;
}

/* All but its copy: the number in its head goes on, so that a late reader of the old one sees that it changed. */
static void clear(struct vmirq_irqfd *irqfd)
{
	atomic_store_explicit(&irqfd->guess, VMIRQ_DELIVERED, memory_order_relaxed);
	for (int i = 0; i < VMIRQ_VERDICTS; i++)
		atomic_store_explicit(&irqfd->counts.verdict[i], 0, memory_order_relaxed);
}

struct vmirq_irqfd *vmirq_irqfd_take(struct irqfd_table *table)
{
	struct vmirq_irqfd *irqfd;

	lock_take(&table->memory_lock);
	irqfd = table->unused;
	if (irqfd) {
		table->unused = irqfd->next;
		irqfd->used = true;
	} else {
		irqfd = take_new(table);
	}
	lock_give(&table->memory_lock);
	if (irqfd)
		clear(irqfd);
	return irqfd;
}

void vmirq_irqfd_put(struct vmirq_irqfd *irqfd)
{
	struct irqfd_table *table = irqfd->table;

	lock_take(&table->memory_lock);
	irqfd->used = false;
	irqfd->next = table->unused;
	table->unused = irqfd;
	lock_give(&table->memory_lock);
}
