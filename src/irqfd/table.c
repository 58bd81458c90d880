/* SPDX-License-Identifier: MIT */
/* The memory of a VM's irqfds. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/vm.h"
#include "irqfd/deferred.h"

#include <vmirq/bypass.h>

#define BLOCK_IRQFDS 16u

struct irqfd_block {
	struct vmirq_irqfd irqfd[BLOCK_IRQFDS];
	struct irqfd_block *next;
};

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
	for (struct irqfd_block *block = table->blocks; block; block = block->next)
		for (uint32_t i = 0; i < BLOCK_IRQFDS; i++)
			if (block->irqfd[i].used)
				fn(&block->irqfd[i], opaque);
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
	while (table->blocks) {
		struct irqfd_block *next = table->blocks->next;

		free(table->blocks);
		table->blocks = next;
	}
	free(atomic_load_explicit(&table->unrouted->more, memory_order_relaxed));
	free(table->unrouted);
	pthread_mutex_destroy(&table->resample_mutex);
	pthread_cond_destroy(&table->unbound);
	pthread_mutex_destroy(&table->mutex);
	free(table);
}

/* The table's mutex is held. */
static void put(struct irqfd_table *table, struct vmirq_irqfd *irqfd)
{
	irqfd->used = false;
	irqfd->next = table->unused;
	table->unused = irqfd;
}

static bool add_block(struct irqfd_table *table)
{
	struct irqfd_block *block = aligned_alloc(CACHE_LINE, sizeof(*block));

	if (!block)
		return false;
	memset(block, 0, sizeof(*block));
	block->next = table->blocks;
	table->blocks = block;
	for (uint32_t i = BLOCK_IRQFDS; i-- > 0;) {
		atomic_store_explicit(&block->irqfd[i].word,
				      vecset_word(&table->vm->chip->posted->vectors, 0),
				      memory_order_relaxed);
		put(table, &block->irqfd[i]);
	}
	return true;
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
	struct vmirq_irqfd *irqfd = NULL;

	pthread_mutex_lock(&table->mutex);
	if (table->unused || add_block(table)) {
		irqfd = table->unused;
		table->unused = irqfd->next;
		clear(irqfd);
		irqfd->used = true;
	}
	pthread_mutex_unlock(&table->mutex);
	return irqfd;
}

void vmirq_irqfd_put(struct vmirq_irqfd *irqfd)
{
	struct irqfd_table *table = irqfd->table;

	pthread_mutex_lock(&table->mutex);
	put(table, irqfd);
	pthread_mutex_unlock(&table->mutex);
}
