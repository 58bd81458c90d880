/* SPDX-License-Identifier: MIT */
/* Public calls on routes: what is valid (KVM API 4.52), one route, the whole table. */
#include <vmirq/route.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/vm.h"
#include "chip/chip.h"
#include "route/table.h"

#define PIC_PINS    8u
#define IOAPIC_PINS 24u
/* A pin of each chip: two 8259s and the IOAPIC. */
#define ENTRIES_PER_GSI 3u

static int msi_from_entry(const struct kvm_irq_routing_entry *entry, struct msi_format format,
			  struct route *route)
{
	if (entry->flags & ~(uint32_t)KVM_MSI_VALID_DEVID)
		return -EINVAL;
	*route = (struct route){
		.kind = ROUTE_MSI,
		.msi = { .address_lo = entry->u.msi.address_lo,
			 .address_hi = entry->u.msi.address_hi,
			 .data = entry->u.msi.data },
		.devid_valid = entry->flags & KVM_MSI_VALID_DEVID,
		.devid = entry->flags & KVM_MSI_VALID_DEVID ? entry->u.msi.devid : 0,
	};
	return vmirq_msi_valid(&route->msi, format) ? 0 : -EINVAL;
}

/* The entries of one GSI, as a route. */
static int route_from_entries(const struct kvm_irq_routing_entry *entries, size_t n,
			      struct msi_format format, struct route *route)
{
	uint32_t chips = 0;

	*route = (struct route){ .kind = ROUTE_NONE };
	if (n == 1 && entries[0].type == KVM_IRQ_ROUTING_MSI)
		return msi_from_entry(&entries[0], format, route);
	for (size_t i = 0; i < n; i++) {
		const struct kvm_irq_routing_irqchip *pin = &entries[i].u.irqchip;

		if (entries[i].type != KVM_IRQ_ROUTING_IRQCHIP || entries[i].flags ||
		    entries[i].gsi != entries[0].gsi || pin->irqchip > KVM_IRQCHIP_IOAPIC ||
		    pin->pin >= (pin->irqchip == KVM_IRQCHIP_IOAPIC ? IOAPIC_PINS : PIC_PINS) ||
		    (chips & 1u << pin->irqchip))
			return -EINVAL;
		chips |= 1u << pin->irqchip;
	}
	/* There are no pins to go to before the VM has an IOAPIC or an 8259. */
	return n ? -EOPNOTSUPP : 0;
}

static void put_route(struct route_table *table, struct route_slot *slot, const struct route *route)
{
	vmirq_route_lock(table, slot);
	vmirq_route_write(slot, route);
	vmirq_route_unlock(table, slot);
	if (route->kind == ROUTE_NONE)
		vmirq_route_lower_hint(table, slot->gsi);
}

int vmirq_route_set(struct vmirq_vm *vm, const struct kvm_irq_routing_entry *entries, size_t n)
{
	struct route_slot *slot;
	struct route route;
	int error;

	if (!vm || !entries || !n)
		return -EINVAL;
	error = route_from_entries(entries, n, vm->chip->format, &route);
	if (!error)
		error = vmirq_route_slot(vm->routes, entries[0].gsi, &slot);
	if (!error)
		put_route(vm->routes, slot, &route);
	return error;
}

int vmirq_route_set_msi(struct vmirq_vm *vm, uint32_t gsi, uint64_t address, uint32_t data)
{
	struct kvm_irq_routing_entry entry = { .gsi = gsi, .type = KVM_IRQ_ROUTING_MSI };

	entry.u.msi.address_lo = (uint32_t)address;
	entry.u.msi.address_hi = (uint32_t)(address >> 32);
	entry.u.msi.data = data;
	return vmirq_route_set(vm, &entry, 1);
}

int vmirq_route_clear(struct vmirq_vm *vm, uint32_t gsi)
{
	struct route_slot *slot;

	if (!vm || gsi >= vm->routes->max_gsis)
		return -EINVAL;
	slot = vmirq_route_find(vm->routes, gsi);
	if (slot)
		put_route(vm->routes, slot, &(struct route){ .kind = ROUTE_NONE });
	return 0;
}

/* In the order of GSIs, entries of one GSI as they came. */
static int by_gsi(const void *a, const void *b)
{
	const struct kvm_irq_routing_entry *const *x = a, *const *y = b;

	if ((*x)->gsi != (*y)->gsi)
		return (*x)->gsi < (*y)->gsi ? -1 : 1;
	return *x < *y ? -1 : *x > *y;
}

/* A new table, checked and with its slots in place: what is left to do cannot fail. */
struct new_table {
	size_t n;
	struct new_route {
		struct route_slot *slot;
		struct route route;
	} route[];
};

static int check_table(struct vmirq_vm *vm, const struct kvm_irq_routing_entry **sorted, size_t n,
		       struct new_table *table)
{
	for (size_t i = 0, end; i < n; i = end) {
		struct kvm_irq_routing_entry same[ENTRIES_PER_GSI];
		struct new_route *new = &table->route[table->n];
		int error;

		for (end = i; end < n && sorted[end]->gsi == sorted[i]->gsi; end++) {
			if (end - i == sizeof(same) / sizeof(same[0]))
				return -EINVAL;
			same[end - i] = *sorted[end];
		}
		error = route_from_entries(same, end - i, vm->chip->format, &new->route);
		if (!error)
			error = vmirq_route_slot(vm->routes, same[0].gsi, &new->slot);
		if (error)
			return error;
		table->n++;
	}
	return 0;
}

/* Both in the order of GSIs: what is not named loses its route. */
static void put_table(struct route_table *routes, const struct new_table *table)
{
	size_t next = 0;

	for (uint64_t gsi = 0; gsi < routes->max_gsis;) {
		struct route_slot *slot = vmirq_route_find(routes, (uint32_t)gsi);

		if (!slot) {
			gsi = vmirq_route_skip(routes, (uint32_t)gsi);
			continue;
		}
		gsi++;
		if (next < table->n && table->route[next].slot == slot) {
			put_route(routes, slot, &table->route[next++].route);
		} else if (vmirq_route_read(slot).kind != ROUTE_NONE) {
			put_route(routes, slot, &(struct route){ .kind = ROUTE_NONE });
		}
	}
}

int vmirq_route_set_all(struct vmirq_vm *vm, const struct kvm_irq_routing_entry *entries, size_t n)
{
	const struct kvm_irq_routing_entry **sorted;
	struct new_table *table;
	int error;

	/* More than every GSI can have cannot be valid. */
	if (!vm || (n && !entries) || n > (size_t)vm->routes->max_gsis * ENTRIES_PER_GSI)
		return -EINVAL;
	sorted = malloc((n + 1) * sizeof(struct kvm_irq_routing_entry *));
	table = malloc(sizeof(*table) + n * sizeof(table->route[0]));
	error = sorted && table ? 0 : -ENOMEM;
	if (!error) {
		for (size_t i = 0; i < n; i++)
			sorted[i] = &entries[i];
		qsort(sorted, n, sizeof(struct kvm_irq_routing_entry *), by_gsi);
		table->n = 0;
		error = check_table(vm, sorted, n, table);
	}
	if (!error)
		put_table(vm->routes, table);
	free(sorted);
	free(table);
	return error;
}

int vmirq_route_get(struct vmirq_vm *vm, uint32_t gsi, struct kvm_irq_routing_entry *entries,
		    size_t max)
{
	struct route_slot *slot;
	struct route route = { .kind = ROUTE_NONE };

	if (!vm || gsi >= vm->routes->max_gsis || (max && !entries))
		return -EINVAL;
	slot = vmirq_route_find(vm->routes, gsi);
	if (slot)
		route = vmirq_route_read(slot);
	if (route.kind == ROUTE_NONE)
		return 0;
	if (max) {
		memset(&entries[0], 0, sizeof(entries[0]));
		entries[0].gsi = gsi;
		entries[0].type = KVM_IRQ_ROUTING_MSI;
		entries[0].flags = route.devid_valid ? KVM_MSI_VALID_DEVID : 0;
		entries[0].u.msi.address_lo = route.msi.address_lo;
		entries[0].u.msi.address_hi = route.msi.address_hi;
		entries[0].u.msi.data = route.msi.data;
		entries[0].u.msi.devid = route.devid;
	}
	return 1;
}
