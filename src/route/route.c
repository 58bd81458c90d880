/* SPDX-License-Identifier: MIT */
/* Public calls on routes: what is valid (KVM API 4.52), and one route. */
#include <vmirq/route.h>

#include <errno.h>
#include <string.h>

#include "base/vm.h"
#include "chip/chip.h"
#include "route/table.h"

#define PIC_PINS    8u
#define IOAPIC_PINS 24u

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
	return msi_message_valid(&route->msi, format) ? 0 : -EINVAL;
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

int vmirq_route_from_entries(const struct vmirq_vm *vm, const struct kvm_irq_routing_entry *entries,
			     size_t n, struct route *route)
{
	const struct route_table *table = vm->routes;
	int missing = 0;

	if (n == 1 && entries[0].type == KVM_IRQ_ROUTING_MSI)
		return msi_from_entry(&entries[0], vm->chip->format, route);
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

int vmirq_route_set(struct vmirq_vm *vm, const struct kvm_irq_routing_entry *entries, size_t n)
{
	struct route_change alone, *change;
	int error;

	if (!vm || !entries || !n || entries[0].gsi >= vm->routes->max_gsis)
		return -EINVAL;
	change = vmirq_route_new_change(vm, &alone);
	if (!change)
		return -ENOMEM;
	error = vmirq_route_from_entries(vm, entries, n, &change->route);
	if (!error)
		error = vmirq_route_slot(vm->routes, entries[0].gsi, &change->slot);
	if (!error && route_owned(change->slot))
		error = -EBUSY;
	return error ? error : vmirq_route_change(vm, change, &alone);
}

int vmirq_route_set_msi(struct vmirq_vm *vm, uint32_t gsi, uint64_t address, uint32_t data)
{
	const struct msi_message msg = { .address_lo = (uint32_t)address,
					 .address_hi = (uint32_t)(address >> 32),
					 .data = data };
	struct route_change alone, *change;
	const struct route_page *page;
	struct route_slot *slot;
	int error;

	if (!vm || !msi_message_valid(&msg, vm->chip->format))
		return -EINVAL;
	page = route_page_of(vm->routes, gsi);
	if (likely(page))
		route_fetch_watcher(vm->routes, page, gsi);
	error = vmirq_route_slot(vm->routes, gsi, &slot);
	if (error)
		return error;
	if (unlikely(route_owned(slot)))
		return -EBUSY;
	change = vmirq_route_new_change(vm, &alone);
	if (!change)
		return -ENOMEM;
	change->slot = slot;
	change->route = (struct route){ .kind = ROUTE_MSI, .msi = msg };
	return vmirq_route_change(vm, change, &alone);
}

int vmirq_route_clear(struct vmirq_vm *vm, uint32_t gsi)
{
	struct route_change alone, *change;
	struct route_slot *slot;

	if (!vm || gsi >= vm->routes->max_gsis)
		return -EINVAL;
	slot = vmirq_route_find(vm->routes, gsi);
	if (!slot)
		return 0;
	if (route_owned(slot))
		return -EBUSY;
	change = vmirq_route_new_change(vm, &alone);
	if (!change)
		return -ENOMEM;
	*change = (struct route_change){ .slot = slot, .route = { .kind = ROUTE_NONE } };
	return vmirq_route_change(vm, change, &alone);
}

uint32_t vmirq_route_describe(const struct route *route, uint32_t gsi,
			      struct kvm_irq_routing_entry all[ENTRIES_PER_GSI])
{
	uint32_t n = 0;

	if (route->kind == ROUTE_MSI) {
		all[0] = (struct kvm_irq_routing_entry){ .type = KVM_IRQ_ROUTING_MSI };
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
		all[n] = (struct kvm_irq_routing_entry){ .type = KVM_IRQ_ROUTING_IRQCHIP };
		all[n].u.irqchip.irqchip = i + (i == PIN_IOAPIC ? route->pin[i] >> 16 : 0);
		all[n].u.irqchip.pin = route->pin[i] & 0xffff;
		n++;
	}
	for (uint32_t i = 0; i < n; i++)
		all[i].gsi = gsi;
	return n;
}

int vmirq_route_get(struct vmirq_vm *vm, uint32_t gsi, struct kvm_irq_routing_entry *entries,
		    size_t max)
{
	struct kvm_irq_routing_entry all[ENTRIES_PER_GSI];
	struct route route = { .kind = ROUTE_NONE };
	struct route_slot *slot;
	uint32_t n;

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
	n = vmirq_route_describe(&route, gsi, all);
	if (max)
		memcpy(entries, all, (n < max ? n : max) * sizeof(all[0]));
	return (int)n;
}
