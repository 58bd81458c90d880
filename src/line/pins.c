/* SPDX-License-Identifier: MIT */
/* What is seldom so of a line's change: see pins.h; and what its pins have in service. */
#include "line/pins.h"

enum vmirq_verdict vmirq_line_finish_post(struct line_domain *lines, _Atomic uint64_t *word,
					  uint8_t vector, bool pending)
{
	struct chip *chip = lines->vm->chip;
	enum vmirq_verdict verdict = tell_vcpu(chip, posted_of_word(word), vector, pending);

	if (unlikely(verdict != VMIRQ_DELIVERED))
		counts_add(&chip->ioapic, verdict, 1);
	return verdict;
}

struct line_result vmirq_line_set_pins(struct line_domain *lines, struct line_pins pins,
				       enum pin_change change, bool status)
{
	struct line_result sum = no_line(VMIRQ_NO_ROUTE);
	/* What is sent is sent in it: taking the lock is its fence. */
	struct reader *section = reader_enter_unfenced();

	if (pins.master != NO_PIN || pins.slave != NO_PIN) {
		lock_take(&lines->chips_lock);
		if (pins.master != NO_PIN)
			sum = add(sum, change_pic(lines, pins.master, change));
		if (pins.slave != NO_PIN)
			sum = add(sum, change_pic(lines, pins.slave + 8, change));
		lock_give(&lines->chips_lock);
	}
	if (pins.ioapic != NO_PIN) {
		struct line_ioapic *io = lines->ioapic[pins.ioapic >> 16];

		lock_take(io->lock);
		sum = add(sum,
			  change_ioapic_unlock(lines, io, pins.ioapic & 0xffff, change, status));
	}
	reader_exit(section);
	return sum;
}

static bool pic_in_service(struct line_domain *lines, uint32_t pin)
{
	bool in_service;

	lock_take(&lines->chips_lock);
	in_service = i8259_in_service(&lines->pic, pin);
	lock_give(&lines->chips_lock);
	return in_service;
}

static bool ioapic_pin_in_service(struct line_domain *lines, uint32_t pin)
{
	struct line_ioapic *io = lines->ioapic[pin >> 16];
	bool in_service;

	lock_take(io->lock);
	in_service = ioapic_in_service(&io->ioapic, pin & 0xffff);
	lock_give(io->lock);
	return in_service;
}

bool vmirq_line_in_service(struct vmirq_vm *vm, uint32_t gsi)
{
	struct route_slot *slot = vmirq_route_find(vm->routes, gsi);
	struct route route;

	if (!slot)
		return false;
	route = vmirq_route_read(slot);
	if (route.kind != ROUTE_PINS)
		return route.kind == ROUTE_MSI;
	return (route.pin[PIN_MASTER] != NO_PIN &&
		pic_in_service(vm->lines, route.pin[PIN_MASTER])) ||
	       (route.pin[PIN_SLAVE] != NO_PIN &&
		pic_in_service(vm->lines, route.pin[PIN_SLAVE] + 8)) ||
	       (route.pin[PIN_IOAPIC] != NO_PIN &&
		ioapic_pin_in_service(vm->lines, route.pin[PIN_IOAPIC]));
}
