/* SPDX-License-Identifier: MIT */
/*
 * Changes of routes, alone or grouped. With an irqchip in the kernel its table is changed first, in one
 * call; only when that has succeeded do the slots here follow, which cannot fail.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/vm.h"
#include "route/table.h"

#include <vmirq/route.h>

struct route_transaction {
	size_t n, room;
	struct route_change *change;
};

/* `differs`: of ones that are known to. */
static inline void put_route(struct route_table *table, const struct route_change *change,
			     bool differs)
{
	vmirq_route_lock(table, change->slot);
	/* The same route again is no change: to write it would be an edge of a line that is high. */
	if (differs || vmirq_route_differs(change->slot, &change->route))
		vmirq_route_write(table, change->slot, &change->route);
	vmirq_route_unlock(table, change->slot);
	if (change->route.kind == ROUTE_NONE)
		vmirq_route_lower_hint(table, change->slot->gsi);
}

static inline struct kernel_entries message_entries(const struct route *route)
{
	struct kernel_entries has = kernel_message(&route->msi);

	if (route->devid_valid) {
		has.flags = KVM_MSI_VALID_DEVID;
		has.word[3] = route->devid;
	}
	return has;
}

static struct kernel_entries pin_entries(const struct route *route)
{
	struct kernel_entries has = { .type = KVM_IRQ_ROUTING_IRQCHIP };

	for (uint32_t chip = 0; chip < PIN_CHIPS; chip++)
		if (route->pin[chip] != NO_PIN)
			/* Of a further IOAPIC the number is in its upper half: see IOAPIC_PIN(). */
			has.word[has.n++] = route->pin[chip] + KERNEL_PIN(chip, 0);
	return has;
}

void vmirq_route_for_kernel(const struct irqchip *irqchip, const struct route *route, uint32_t gsi,
			    struct kernel_route *kernel)
{
	kernel->gsi = gsi;
	if (route->kind == ROUTE_MSI)
		kernel->has = message_entries(route);
	else if (irqchip->full && route->kind == ROUTE_PINS)
		kernel->has = pin_entries(route);
	else
		kernel->has = (struct kernel_entries){ .n = 0 };
}

/* The kernel's pins know a line by its GSI, whose route is about to change: off them before, and on the
 * new ones after (vmirq_route_write()), or on the old ones again. The whole_mutex is held. */
static void lift_line_of_pins(struct vmirq_vm *vm, struct route_slot *slot, bool lift)
{
	struct route_table *table = vm->routes;
	struct route route;

	vmirq_route_lock(table, slot);
	route = vmirq_route_read(slot);
	/* Off the pins before it is said to be; on them after. */
	if (route_sources(slot) && slot->moving != lift)
		table->moved(table->moved_opaque, slot, &route, !lift);
	vmirq_route_set_moving(table, slot, lift);
	vmirq_route_unlock(table, slot);
}

static inline void lift_line(struct vmirq_vm *vm, const struct route_change *change, bool lift)
{
	if (vm->irqchip->full &&
	    (route_kind_now(change->slot) == ROUTE_PINS || change->route.kind == ROUTE_PINS))
		lift_line_of_pins(vm, change->slot, lift);
}

/* The irqfds of slots that are to leave the kernel leave it first, or what they are signalled in
 * between is dropped there; the others follow after. The whole_mutex is held, so what a change would
 * leave as it is stays so. */
static int change_kernel(struct vmirq_vm *vm, const struct route_change *changes,
			 struct kernel_route *kernel, size_t n)
{
	struct route_table *table = vm->routes;
	size_t n_kernel = 0;
	int error;

	for (size_t i = 0; i < n; i++) {
		const struct route_change *c = &changes[i];

		if (c->slot->watchers && table->replacing)
			table->replacing(table->replace_opaque, c->slot, &c->route);
		if (!vmirq_route_differs(c->slot, &c->route))
			continue;
		vmirq_route_for_kernel(vm->irqchip, &c->route, c->slot->gsi, &kernel[n_kernel++]);
		lift_line(vm, c, true);
	}
	error = vm->irqchip->ops->commit(vm->irqchip, kernel, n_kernel);
	for (size_t i = 0, k = 0; i < n; i++) {
		bool differs = k < n_kernel && kernel[k].gsi == changes[i].slot->gsi;

		k += differs;
		if (error)
			lift_line(vm, &changes[i], false);
		else
			put_route(table, &changes[i], differs);
	}
	/* On error, too: they go back to where they were. */
	for (size_t i = 0; i < n && table->replaced; i++)
		if (changes[i].slot->watchers)
			table->replaced(table->replace_opaque, changes[i].slot);
	return error;
}

/* It is kept: large memory that comes and goes is a page fault for each of its pages. */
static bool make_room(struct route_table *table, size_t n)
{
	struct kernel_route *room;

	if (n <= table->for_kernel_room)
		return true;
	room = malloc(n * sizeof(*room));
	if (!room)
		return false;
	free(table->for_kernel);
	table->for_kernel = room;
	table->for_kernel_room = n;
	return true;
}

int vmirq_route_make_changes_locked(struct vmirq_vm *vm, const struct route_change *changes,
				    size_t n)
{
	struct kernel_route one = { .gsi = 0 };

	if (!vm->irqchip) {
		for (size_t i = 0; i < n; i++)
			put_route(vm->routes, &changes[i], false);
		return 0;
	}
	if (n > 1 && !make_room(vm->routes, n))
		return -ENOMEM;
	return change_kernel(vm, changes, n > 1 ? vm->routes->for_kernel : &one, n);
}

int vmirq_route_make_changes(struct vmirq_vm *vm, const struct route_change *changes, size_t n)
{
	int error;

	if (!vm->irqchip && n == 1) {
		put_route(vm->routes, changes, false);
		return 0;
	}
	pthread_mutex_lock(&vm->routes->whole_mutex);
	error = vmirq_route_make_changes_locked(vm, changes, n);
	pthread_mutex_unlock(&vm->routes->whole_mutex);
	return error;
}

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

int vmirq_route_change(struct vmirq_vm *vm, const struct route_change *change,
		       const struct route_change *alone)
{
	if (change == alone)
		return vmirq_route_make_changes(vm, change, 1);
	vm->routes->transaction->n++;
	return 0;
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

/* Whoever gets it has to free it. */
static struct route_transaction *end_transaction(struct route_table *table)
{
	struct route_transaction *t = own_transaction(table);

	if (t) {
		table->transaction = NULL;
		/* Release: pairs with the acquire in vmirq_route_begin(). */
		atomic_store_explicit(&table->transaction_owner, 0, memory_order_release);
	}
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

static bool is_ascending(const struct route_transaction *t)
{
	for (size_t i = 1; i < t->n; i++)
		if (t->change[i - 1].slot->gsi >= t->change[i].slot->gsi)
			return false;
	return true;
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
	int error;

	if (!vm)
		return -EINVAL;
	t = end_transaction(vm->routes);
	if (!t)
		return -EINVAL;
	if (t->n && is_ascending(t))
		error = vmirq_route_make_changes(vm, t->change, t->n);
	else
		error = t->n ? make_last_changes(vm, t) : 0;
	settle_frees(vm->routes, t, !error);
	free_transaction(t);
	return error;
}

int vmirq_route_abort(struct vmirq_vm *vm)
{
	struct route_transaction *t;

	if (!vm)
		return -EINVAL;
	t = end_transaction(vm->routes);
	if (!t)
		return -EINVAL;
	settle_frees(vm->routes, t, false);
	free_transaction(t);
	return 0;
}
