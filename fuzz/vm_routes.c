/* SPDX-License-Identifier: MIT */
/* Routes of every kind, good ones and others. */
#include <errno.h>
#include <string.h>

#include "check.h"
#include "vm.h"

#define MOST_ENTRIES 8

bool route_is_msi(struct world *w, uint32_t gsi)
{
	struct kvm_irq_routing_entry entry[3];

	return vmirq_route_get(w->machine.vm, gsi, entry, 3) > 0 &&
	       entry[0].type == KVM_IRQ_ROUTING_MSI;
}

static void route_msi(struct world *w, uint32_t gsi)
{
	struct kvm_msi msi = take_msi(w->machine.stream);
	struct kvm_irq_routing_entry back;
	int error = vmirq_route_set_msi(w->machine.vm, gsi,
					(uint64_t)msi.address_hi << 32 | msi.address_lo, msi.data);

	check(!error || error == -EINVAL);
	if (error)
		return;
	check(gsi < MACHINE_GSIS && vmirq_route_get(w->machine.vm, gsi, &back, 1) == 1);
	check(back.gsi == gsi && back.type == KVM_IRQ_ROUTING_MSI && back.flags == 0);
	check(back.u.msi.address_lo == msi.address_lo && back.u.msi.data == msi.data);
}

/* A pin of each chip that `chips` has a bit for. */
static void route_pins(struct world *w, uint32_t gsi)
{
	static const uint32_t pins[] = { 8, 8, 24 };
	struct kvm_irq_routing_entry entry[3];
	uint8_t chips = take8(w->machine.stream);
	size_t n = 0;
	int error;

	memset(entry, 0, sizeof(entry));
	for (uint32_t chip = 0; chip < 3; chip++) {
		if (!(chips & 1u << chip))
			continue;
		entry[n].gsi = gsi;
		entry[n].type = KVM_IRQ_ROUTING_IRQCHIP;
		entry[n].u.irqchip.irqchip = chip;
		entry[n].u.irqchip.pin = take8(w->machine.stream) % pins[chip];
		n++;
	}
	error = vmirq_route_set(w->machine.vm, entry, n);
	check(error == (n && gsi < MACHINE_GSIS ? 0 : -EINVAL));
}

static struct kvm_irq_routing_entry take_entry(struct stream *s)
{
	struct kvm_irq_routing_entry entry;
	uint8_t flags = take8(s);
	struct kvm_msi msi;

	memset(&entry, 0, sizeof(entry));
	entry.gsi = flags & 0x80 ? take32(s) : take_gsi(s);
	entry.type = flags & 7;
	if (flags & 8)
		entry.flags = take8(s);
	if (entry.type == KVM_IRQ_ROUTING_MSI) {
		msi = take_msi(s);
		entry.u.msi.address_lo = msi.address_lo;
		entry.u.msi.address_hi = msi.address_hi;
		entry.u.msi.data = msi.data;
		entry.u.msi.devid = msi.flags;
	} else {
		entry.u.irqchip.irqchip = flags & 16 ? take32(s) : take8(s) & 3;
		entry.u.irqchip.pin = flags & 32 ? take32(s) : take8(s) & 0x1f;
	}
	return entry;
}

static void route_any(struct world *w, bool whole_table)
{
	struct kvm_irq_routing_entry entries[MOST_ENTRIES];
	size_t n = take8(w->machine.stream) % (MOST_ENTRIES + 1);
	int error;

	for (size_t i = 0; i < n; i++)
		entries[i] = take_entry(w->machine.stream);
	error = whole_table ? vmirq_route_set_all(w->machine.vm, entries, n)
			    : vmirq_route_set(w->machine.vm, entries, n);
	check(!error || error == -EINVAL || error == -EOPNOTSUPP);
}

bool routes_step(struct world *w, enum vm_op op)
{
	struct vmirq_vm *vm = w->machine.vm;
	struct stream *s = w->machine.stream;
	uint32_t gsi;
	int error;

	switch (op) {
	case OP_ROUTE_MSI:
		route_msi(w, take_gsi(s));
		return true;
	case OP_ROUTE_PINS:
		route_pins(w, take_gsi(s));
		return true;
	case OP_ROUTE_ANY:
	case OP_ROUTE_ALL:
		route_any(w, op == OP_ROUTE_ALL);
		return true;
	case OP_ROUTE_CLEAR:
		gsi = take_gsi(s);
		check(vmirq_route_clear(vm, gsi) == (gsi < MACHINE_GSIS ? 0 : -EINVAL));
		return true;
	case OP_ROUTE_PC:
		check(!vmirq_route_pc_default(vm));
		return true;
	case OP_GSI_ALLOC:
		error = vmirq_gsi_alloc(vm, &gsi);
		check(error == -ENOSPC || (!error && gsi >= 24 && gsi < MACHINE_GSIS));
		return true;
	case OP_GSI_FREE:
		error = vmirq_gsi_free(vm, take_gsi(s));
		check(!error || error == -EINVAL);
		return true;
	default:
		return false;
	}
}
