/* SPDX-License-Identifier: MIT */
/* GSIs given out and taken back. */
#include <vmirq/route.h>

#include <errno.h>

#include "base/vm.h"
#include "route/table.h"

/* Below are the pins of the first IOAPIC. */
#define FIRST_FREE_GSI 24u

static bool is_free(struct route_table *table, uint32_t gsi)
{
	struct route_slot *slot = vmirq_route_find(table, gsi);

	return !slot || (!atomic_load_explicit(&slot->allocated, memory_order_relaxed) &&
			 atomic_load_explicit(&slot->kind, memory_order_relaxed) == ROUTE_NONE);
}

int vmirq_gsi_alloc(struct vmirq_vm *vm, uint32_t *gsi)
{
	struct route_table *table;
	struct route_slot *slot;
	uint32_t hint, g;
	int error = 0;

	if (!vm || !gsi)
		return -EINVAL;
	table = vm->routes;
	for (;;) {
		hint = atomic_load_explicit(&table->lowest_free, memory_order_relaxed);
		g = hint < FIRST_FREE_GSI ? FIRST_FREE_GSI : hint;
		while (g < table->max_gsis && !is_free(table, g))
			g++;
		if (g >= table->max_gsis)
			return -ENOSPC;
		error = vmirq_route_slot(table, g, &slot);
		if (error)
			return error;
		uint32_t unallocated = 0;

		if (!atomic_compare_exchange_strong_explicit(&slot->allocated, &unallocated, 1,
							     memory_order_relaxed,
							     memory_order_relaxed))
			continue;
		/* Unless it was lowered meanwhile. */
		atomic_compare_exchange_strong_explicit(&table->lowest_free, &hint, g + 1,
							memory_order_relaxed, memory_order_relaxed);
		*gsi = g;
		return 0;
	}
}

int vmirq_gsi_free(struct vmirq_vm *vm, uint32_t gsi)
{
	struct route_slot *slot;
	uint32_t allocated = 1;

	if (!vm)
		return -EINVAL;
	slot = vmirq_route_find(vm->routes, gsi);
	if (!slot || !atomic_load_explicit(&slot->allocated, memory_order_relaxed))
		return -EINVAL;
	vmirq_route_clear(vm, gsi);
	if (!atomic_compare_exchange_strong_explicit(&slot->allocated, &allocated, 0,
						     memory_order_relaxed, memory_order_relaxed))
		return -EINVAL;
	vmirq_route_lower_hint(vm->routes, gsi);
	return 0;
}
