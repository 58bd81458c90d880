/* SPDX-License-Identifier: MIT */
/* Replacing the whole table, as KVM_SET_GSI_ROUTING does; and the PC's. */
#include <vmirq/route.h>

#include <errno.h>
#include <stdlib.h>

#include "base/vm.h"
#include "route/table.h"

/* In the order of GSIs, entries of one GSI as they came. */
static int by_gsi(const void *a, const void *b)
{
	const struct kvm_irq_routing_entry *const *x = a, *const *y = b;

	if ((*x)->gsi != (*y)->gsi)
		return (*x)->gsi < (*y)->gsi ? -1 : 1;
	return *x < *y ? -1 : *x > *y;
}

static int append(struct route_new_table *table, struct route_slot *slot, const struct route *route)
{
	if (table->n == table->room) {
		size_t room = table->room ? 2 * table->room : 64;
		struct route_change *more = realloc(table->change, room * sizeof(*more));

		if (!more)
			return -ENOMEM;
		table->change = more;
		table->room = room;
	}
	table->change[table->n++] = (struct route_change){ .slot = slot, .route = *route };
	return 0;
}

static int check_table(struct vmirq_vm *vm, const struct kvm_irq_routing_entry **sorted, size_t n,
		       struct route_new_table *table)
{
	for (size_t i = 0, end; i < n; i = end) {
		struct kvm_irq_routing_entry same[ENTRIES_PER_GSI];
		struct route_slot *slot;
		struct route route;
		int error;

		if (sorted[i]->gsi >= vm->routes->max_gsis)
			return -EINVAL;
		for (end = i; end < n && sorted[end]->gsi == sorted[i]->gsi; end++) {
			if (end - i == ENTRIES_PER_GSI)
				return -EINVAL;
			same[end - i] = *sorted[end];
		}
		error = vmirq_route_from_entries(vm, same, end - i, &route);
		if (!error)
			error = vmirq_route_slot(vm->routes, same[0].gsi, &slot);
		if (!error && route_owned(slot))
			error = -EBUSY;
		if (!error)
			error = append(table, slot, &route);
		if (error)
			return error;
	}
	return 0;
}

/* What is not named, and nobody's, loses its route. Both are in the order of GSIs. */
static int clear_others(struct route_table *routes, struct route_new_table *table)
{
	const struct route none = { .kind = ROUTE_NONE };
	size_t named = table->n, next = 0;
	struct route_slot *slot = NULL;

	while ((slot = vmirq_route_next(routes, slot))) {
		if (next < named && table->change[next].slot == slot) {
			next++;
		} else if (!route_owned(slot) && vmirq_route_read(slot).kind != ROUTE_NONE) {
			int error = append(table, slot, &none);

			if (error)
				return error;
		}
	}
	return 0;
}

int vmirq_route_prepare_all(struct vmirq_vm *vm, const struct kvm_irq_routing_entry *entries,
			    size_t n, struct route_new_table **out)
{
	const struct kvm_irq_routing_entry **sorted;
	struct route_new_table *table;
	int error = -ENOMEM;

	/* More than every GSI can have cannot be valid. */
	if ((n && !entries) || n > (size_t)vm->routes->max_gsis * ENTRIES_PER_GSI)
		return -EINVAL;
	/* Pointers are what is sorted. NOLINTNEXTLINE(bugprone-sizeof-expression) */
	sorted = malloc((n + 1) * sizeof(*sorted));
	table = calloc(1, sizeof(*table));
	if (sorted && table) {
		for (size_t i = 0; i < n; i++)
			sorted[i] = &entries[i];
		/* NOLINTNEXTLINE(bugprone-sizeof-expression) */
		qsort(sorted, n, sizeof(*sorted), by_gsi);
		error = check_table(vm, sorted, n, table);
		if (!error)
			error = clear_others(vm->routes, table);
	}
	free(sorted);
	if (error)
		vmirq_route_free_new_table(table);
	else
		*out = table;
	return error;
}

int vmirq_route_put_all(struct vmirq_vm *vm, const struct route_new_table *table)
{
	return table->n ? vmirq_route_make_changes(vm, table->change, table->n) : 0;
}

void vmirq_route_free_new_table(struct route_new_table *table)
{
	if (table)
		free(table->change);
	free(table);
}

int vmirq_route_set_all(struct vmirq_vm *vm, const struct kvm_irq_routing_entry *entries, size_t n)
{
	struct route_new_table *table;
	int error;

	if (!vm)
		return -EINVAL;
	if (vmirq_route_in_transaction(vm->routes))
		return -EBUSY;
	if (route_must_not_change(vm))
		return -EDEADLK;
	/* Also while it is prepared, or two at once would leave both tables' routes. */
	pthread_mutex_lock(&vm->routes->whole_mutex);
	error = vmirq_route_prepare_all(vm, entries, n, &table);
	if (!error) {
		if (table->n)
			error = vmirq_route_make_changes_locked(vm, table->change, table->n);
		vmirq_route_free_new_table(table);
	}
	pthread_mutex_unlock(&vm->routes->whole_mutex);
	return error;
}

#define PIC_PINS    8u
#define IOAPIC_PINS 24u

int vmirq_route_pc_default(struct vmirq_vm *vm)
{
	struct route_change change[IOAPIC_PINS];
	int error = 0;

	if (!vm)
		return -EINVAL;
	if (vmirq_route_in_transaction(vm->routes))
		return -EBUSY;
	for (uint32_t gsi = 0; gsi < IOAPIC_PINS && !error; gsi++) {
		struct kvm_irq_routing_entry entry[2] = {
			{ .gsi = gsi, .type = KVM_IRQ_ROUTING_IRQCHIP },
			{ .gsi = gsi, .type = KVM_IRQ_ROUTING_IRQCHIP },
		};

		entry[0].u.irqchip.irqchip = KVM_IRQCHIP_IOAPIC;
		/* The PC's timer is on pin 2. */
		entry[0].u.irqchip.pin = gsi == 0 ? 2 : gsi;
		entry[1].u.irqchip.irqchip = gsi < PIC_PINS ? KVM_IRQCHIP_PIC_MASTER
							    : KVM_IRQCHIP_PIC_SLAVE;
		entry[1].u.irqchip.pin = gsi % PIC_PINS;
		error = vmirq_route_from_entries(vm, entry, gsi < 2 * PIC_PINS ? 2 : 1,
						 &change[gsi].route);
		if (!error)
			error = vmirq_route_slot(vm->routes, gsi, &change[gsi].slot);
	}
	return error ? error : vmirq_route_make_changes(vm, change, IOAPIC_PINS);
}
