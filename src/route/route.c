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

/* One pin of the route: -EINVAL, or -EOPNOTSUPP where this VM has no such chip. */
static int add_pin(const struct route_table *table, const struct kvm_irq_routing_entry *entry,
		   struct route *route)
{
	uint32_t chip = entry->u.irqchip.irqchip, pin = entry->u.irqchip.pin;
	uint32_t ioapic = chip - KVM_IRQCHIP_IOAPIC, at = chip < PIN_CHIPS ? chip : PIN_IOAPIC;

	if (entry->type != KVM_IRQ_ROUTING_IRQCHIP || entry->flags || route->pin[at] != NO_PIN)
		return -EINVAL;
	if (chip < KVM_IRQCHIP_IOAPIC) {
		if (pin >= PIC_PINS)
			return -EINVAL;
		route->pin[at] = pin;
		return table->pic_pins ? 0 : -EOPNOTSUPP;
	}
	if (ioapic >= (table->ioapics ? table->ioapics : 1) ||
	    pin >= (table->ioapics ? table->ioapic_pins[ioapic] : IOAPIC_PINS))
		return -EINVAL;
	route->pin[at] = IOAPIC_PIN(ioapic, pin);
	return table->ioapics ? 0 : -EOPNOTSUPP;
}

/* The entries of one GSI, as a route. */
static int route_from_entries(const struct route_table *table,
			      const struct kvm_irq_routing_entry *entries, size_t n,
			      struct msi_format format, struct route *route)
{
	int missing = 0;

	if (n == 1 && entries[0].type == KVM_IRQ_ROUTING_MSI)
		return msi_from_entry(&entries[0], format, route);
	*route = (struct route){ .kind = n ? ROUTE_PINS : ROUTE_NONE,
				 .pin = { NO_PIN, NO_PIN, NO_PIN } };
	for (size_t i = 0; i < n; i++) {
		int error = entries[i].gsi != entries[0].gsi ? -EINVAL
							     : add_pin(table, &entries[i], route);

		if (error == -EINVAL)
			return error;
		if (error)
			missing = error;
	}
	return missing;
}

static void put_route(struct route_table *table, struct route_slot *slot, const struct route *route)
{
	vmirq_route_lock(table, slot);
	vmirq_route_write(table, slot, route);
	vmirq_route_unlock(table, slot);
	if (route->kind == ROUTE_NONE)
		vmirq_route_lower_hint(table, slot->gsi);
}

int vmirq_route_set(struct vmirq_vm *vm, const struct kvm_irq_routing_entry *entries, size_t n)
{
	struct route_slot *slot;
	struct route route;
	int error;

	if (!vm || !entries || !n || entries[0].gsi >= vm->routes->max_gsis)
		return -EINVAL;
	error = route_from_entries(vm->routes, entries, n, vm->chip->format, &route);
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

		if (sorted[i]->gsi >= vm->routes->max_gsis)
			return -EINVAL;
		for (end = i; end < n && sorted[end]->gsi == sorted[i]->gsi; end++) {
			if (end - i == sizeof(same) / sizeof(same[0]))
				return -EINVAL;
			same[end - i] = *sorted[end];
		}
		error = route_from_entries(vm->routes, same, end - i, vm->chip->format,
					   &new->route);
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
	struct route_slot *slot = NULL;
	size_t next = 0;

	while ((slot = vmirq_route_next(routes, slot))) {
		if (next < table->n && table->route[next].slot == slot)
			put_route(routes, slot, &table->route[next++].route);
		else if (vmirq_route_read(slot).kind != ROUTE_NONE)
			put_route(routes, slot, &(struct route){ .kind = ROUTE_NONE });
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
	if (!error) {
		pthread_mutex_lock(&vm->routes->whole_mutex);
		put_table(vm->routes, table);
		pthread_mutex_unlock(&vm->routes->whole_mutex);
	}
	free(sorted);
	free(table);
	return error;
}

/* The kernel's words for a route; returns how many there are. */
static int describe(const struct route *route, uint32_t gsi, struct kvm_irq_routing_entry *entries,
		    size_t max)
{
	struct kvm_irq_routing_entry all[PIN_CHIPS];
	int n = 0;

	memset(all, 0, sizeof(all));
	if (route->kind == ROUTE_MSI) {
		all[0].type = KVM_IRQ_ROUTING_MSI;
		all[0].flags = route->devid_valid ? KVM_MSI_VALID_DEVID : 0;
		all[0].u.msi.address_lo = route->msi.address_lo;
		all[0].u.msi.address_hi = route->msi.address_hi;
		all[0].u.msi.data = route->msi.data;
		all[0].u.msi.devid = route->devid;
		n = 1;
	}
	for (uint32_t i = 0; route->kind == ROUTE_PINS && i < PIN_CHIPS; i++) {
		if (route->pin[i] == NO_PIN)
			continue;
		all[n].type = KVM_IRQ_ROUTING_IRQCHIP;
		all[n].u.irqchip.irqchip = i + (i == PIN_IOAPIC ? route->pin[i] >> 16 : 0);
		all[n].u.irqchip.pin = route->pin[i] & 0xffff;
		n++;
	}
	for (int i = 0; i < n; i++)
		all[i].gsi = gsi;
	if (max)
		memcpy(entries, all, ((size_t)n < max ? (size_t)n : max) * sizeof(all[0]));
	return n;
}

int vmirq_route_get(struct vmirq_vm *vm, uint32_t gsi, struct kvm_irq_routing_entry *entries,
		    size_t max)
{
	struct route_slot *slot;
	struct route route = { .kind = ROUTE_NONE };

	if (!vm || gsi >= vm->routes->max_gsis || (max && !entries))
		return -EINVAL;
	slot = vmirq_route_find(vm->routes, gsi);
	if (slot) {
		vmirq_route_lock(vm->routes, slot);
		route = vmirq_route_read(slot);
		route.devid_valid = slot->devid_valid;
		route.devid = slot->devid;
		vmirq_route_unlock(vm->routes, slot);
	}
	return describe(&route, gsi, entries, max);
}

int vmirq_route_pc_default(struct vmirq_vm *vm)
{
	int error = 0;

	if (!vm)
		return -EINVAL;
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
		error = vmirq_route_set(vm, entry, gsi < 2 * PIC_PINS ? 2 : 1);
	}
	return error;
}
