/* SPDX-License-Identifier: MIT */
/* GSIs given out and taken back. */
#include <vmirq/route.h>

#include <errno.h>

#include "base/vm.h"
#include "route/table.h"

/* Below are the pins of the first IOAPIC. */
#define FIRST_FREE_GSI 24u

/* NULL: one that was never used. A moment's. */
static inline bool is_free(const struct route_slot *slot)
{
	return !slot || (!atomic_load_explicit(&slot->allocated, memory_order_relaxed) &&
			 route_kind_now(slot) == ROUTE_NONE);
}

/* False: it is in use, if only by who waits for its route. */
static inline bool take_slot(struct route_table *table, struct route_slot *slot, uint8_t how)
{
	bool taken;

	vmirq_route_lock(table, slot);
	taken = is_free(slot) && !slot->watchers && !slot->linked;
	if (taken)
		atomic_store_explicit(&slot->allocated, how, memory_order_relaxed);
	vmirq_route_unlock(table, slot);
	return taken;
}

/* The lowest that is free becomes `how`. */
static inline __attribute__((always_inline)) int take(struct route_table *table, uint8_t how,
						      struct route_slot **out)
{
	/* Acquire: all that became free before is seen to be, or it would be passed over for good; pairs with
	 * the release in vmirq_route_lower_hint(). */
	uint64_t seen = atomic_load_explicit(&table->lowest_free, memory_order_acquire);
	uint64_t g = (uint32_t)seen < FIRST_FREE_GSI ? FIRST_FREE_GSI : (uint32_t)seen;

	for (; g < table->max_gsis; g++) {
		struct route_slot *slot = vmirq_route_find(table, (uint32_t)g);
		int error = 0;

		if (!is_free(slot))
			continue;
		if (!slot)
			error = vmirq_route_make_slot(table, (uint32_t)g, &slot);
		if (error)
			return error;
		if (!take_slot(table, slot, how))
			continue;
		/* Unless some GSI became free meanwhile: it may be one that was passed over. */
		atomic_compare_exchange_strong_explicit(&table->lowest_free, &seen,
							(seen >> 32) << 32 | (g + 1),
							memory_order_relaxed, memory_order_relaxed);
		*out = slot;
		return 0;
	}
	return -ENOSPC;
}

int vmirq_gsi_alloc(struct vmirq_vm *vm, uint32_t *gsi)
{
	struct route_slot *slot;
	int error;

	if (!vm || !gsi)
		return -EINVAL;
	error = take(vm->routes, 1, &slot);
	if (!error)
		*gsi = slot->gsi;
	return error;
}

int vmirq_gsi_take(struct vmirq_vm *vm, struct route_slot **slot)
{
	return take(vm->routes, GSI_OWNED, slot);
}

int vmirq_gsi_free(struct vmirq_vm *vm, uint32_t gsi)
{
	struct route_slot *slot;
	uint8_t allocated = 1;
	bool later;
	int error;

	if (!vm)
		return -EINVAL;
	slot = vmirq_route_find(vm->routes, gsi);
	if (!slot || atomic_load_explicit(&slot->allocated, memory_order_relaxed) != 1)
		return -EINVAL;
	/* It would stay routed, and nobody could free it any more. */
	later = vmirq_route_in_transaction(vm->routes);
	error = vmirq_route_clear(vm, gsi);
	if (error)
		return error;
	if (!atomic_compare_exchange_strong_explicit(&slot->allocated, &allocated,
						     later ? GSI_LEAVING : 0, memory_order_relaxed,
						     memory_order_relaxed))
		return -EINVAL;
	if (!later)
		vmirq_route_lower_hint(vm->routes, gsi);
	return 0;
}

void vmirq_gsi_release(struct route_table *table, struct route_slot *slot)
{
	atomic_store_explicit(&slot->allocated, 0, memory_order_relaxed);
	vmirq_route_lower_hint(table, slot->gsi);
}
