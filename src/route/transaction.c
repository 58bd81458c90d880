/* SPDX-License-Identifier: MIT */
/*
 * Changes that a thread collects, and makes all at once, or gives up.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/vm.h"
#include "route/table.h"

#include <vmirq/route.h>

struct route_transaction {
	size_t n, room;
	struct route_change *change;
};

/* The calling thread's. Whether it is that only this thread changes; relaxed: it is its own store. */
static struct route_transaction *own_transaction(struct route_table *table)
{
	uintptr_t owner = atomic_load_explicit(&table->transaction_owner, memory_order_relaxed);

	return unlikely(owner) && owner == (uintptr_t)pthread_self() ? table->transaction : NULL;
}

static bool has_room(struct route_transaction *t)
{
	if (unlikely(t->n == t->room)) {
		size_t room = t->room ? 2 * t->room : 16;
		struct route_change *more = realloc(t->change, room * sizeof(*more));

		if (!more)
			return false;
		t->change = more;
		t->room = room;
	}
	return true;
}

bool vmirq_route_in_transaction(struct route_table *table)
{
	return own_transaction(table) != NULL;
}

struct route_change *vmirq_route_new_change(struct vmirq_vm *vm, struct route_change *alone)
{
	struct route_transaction *t = own_transaction(vm->routes);

	if (!t)
		return alone;
	return has_room(t) ? &t->change[t->n] : NULL;
}

void vmirq_route_join_transaction(struct vmirq_vm *vm)
{
	vm->routes->transaction->n++;
}

int vmirq_route_begin(struct vmirq_vm *vm)
{
	struct route_transaction *t;
	uintptr_t nobody = 0;

	if (!vm)
		return -EINVAL;
	t = calloc(1, sizeof(*t));
	if (!t)
		return -ENOMEM;
	/* Acquire: the last one has left `transaction`; pairs with the release in end_transaction(). */
	if (!atomic_compare_exchange_strong_explicit(&vm->routes->transaction_owner, &nobody,
						     (uintptr_t)pthread_self(),
						     memory_order_acquire, memory_order_relaxed)) {
		free(t);
		return -EBUSY;
	}
	vm->routes->transaction = t;
	return 0;
}

/* No more joins it: what is called from here on is made at once. It is for end_transaction(). */
static struct route_transaction *close_transaction(struct route_table *table)
{
	struct route_transaction *t = own_transaction(table);

	if (t)
		table->transaction = NULL;
	return t;
}

/* GSIs that were given back in it: they are free now, or stay where they are. */
static void settle_frees(struct route_table *table, const struct route_transaction *t, bool done)
{
	for (size_t i = 0; i < t->n; i++) {
		struct route_slot *slot = t->change[i].slot;
		uint8_t leaving = GSI_LEAVING;

		if (atomic_load_explicit(&slot->allocated, memory_order_relaxed) == GSI_LEAVING &&
		    atomic_compare_exchange_strong_explicit(&slot->allocated, &leaving, !done,
							    memory_order_relaxed,
							    memory_order_relaxed) &&
		    done)
			vmirq_route_lower_hint(table, slot->gsi);
	}
}

static void free_transaction(struct route_transaction *t)
{
	if (t)
		free(t->change);
	free(t);
}

/* Its frees are settled before another transaction may begin: a GSI that is leaving is this one's. */
static void end_transaction(struct route_table *table, struct route_transaction *t, bool done)
{
	settle_frees(table, t, done);
	/* Release: pairs with the acquire in vmirq_route_begin(). */
	atomic_store_explicit(&table->transaction_owner, 0, memory_order_release);
	free_transaction(t);
}

void vmirq_route_drop_transaction(struct route_table *table)
{
	free_transaction(table->transaction);
	table->transaction = NULL;
}

static int by_slot(const void *a, const void *b)
{
	const struct route_change *const *x = a, *const *y = b;
	uint32_t gsi_x = (*x)->slot->gsi, gsi_y = (*y)->slot->gsi;

	if (gsi_x != gsi_y)
		return gsi_x < gsi_y ? -1 : 1;
	return *x < *y ? -1 : *x > *y;
}

/* In one turn over the slots. -EBUSY: since it was said, one that was free then has got an owner. */
static int look_over(const struct route_transaction *t, bool *ascending)
{
	*ascending = true;
	for (size_t i = 0; i < t->n; i++) {
		if (route_owned(t->change[i].slot))
			return -EBUSY;
		if (i && t->change[i - 1].slot->gsi >= t->change[i].slot->gsi)
			*ascending = false;
	}
	return 0;
}

/* Of several changes of a slot the last one stays. */
static int make_last_changes(struct vmirq_vm *vm, const struct route_transaction *t)
{
	/* Pointers are what is sorted. NOLINTNEXTLINE(bugprone-sizeof-expression) */
	const struct route_change **sorted = malloc(t->n * sizeof(*sorted));
	struct route_change *last = malloc(t->n * sizeof(*last));
	int error = -ENOMEM;
	size_t n = 0;

	if (sorted && last) {
		for (size_t i = 0; i < t->n; i++)
			sorted[i] = &t->change[i];
		/* NOLINTNEXTLINE(bugprone-sizeof-expression) */
		qsort(sorted, t->n, sizeof(*sorted), by_slot);
		for (size_t i = 0; i < t->n; i++)
			if (i + 1 == t->n || sorted[i + 1]->slot != sorted[i]->slot)
				last[n++] = *sorted[i];
		error = vmirq_route_make_changes(vm, last, n);
	}
	free(sorted);
	free(last);
	return error;
}

int vmirq_route_commit(struct vmirq_vm *vm)
{
	struct route_transaction *t;
	bool ascending;
	int error;

	if (!vm)
		return -EINVAL;
	t = close_transaction(vm->routes);
	if (!t)
		return -EINVAL;
	error = look_over(t, &ascending);
	if (!error && t->n)
		error = ascending ? vmirq_route_make_changes(vm, t->change, t->n)
				  : make_last_changes(vm, t);
	end_transaction(vm->routes, t, !error);
	return error;
}

int vmirq_route_abort(struct vmirq_vm *vm)
{
	struct route_transaction *t;

	if (!vm)
		return -EINVAL;
	t = close_transaction(vm->routes);
	if (!t)
		return -EINVAL;
	end_transaction(vm->routes, t, false);
	return 0;
}
