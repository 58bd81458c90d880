/* SPDX-License-Identifier: MIT */
/*
 * Changes of routes, one or many. With an irqchip in the kernel its table is changed first, in one
 * call; only when that has succeeded do the slots here follow, which cannot fail.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/vm.h"
#include "route/table.h"

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
	if (route_must_not_change(vm))
		return -EDEADLK;
	pthread_mutex_lock(&vm->routes->whole_mutex);
	error = vmirq_route_make_changes_locked(vm, changes, n);
	pthread_mutex_unlock(&vm->routes->whole_mutex);
	return error;
}
