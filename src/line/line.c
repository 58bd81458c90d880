/* SPDX-License-Identifier: MIT */
/* A GSI's line: the OR of its sources, told to the pins that it goes to. */
#include "line/line.h"

#include <errno.h>

#include "base/reader.h"
#include "base/vm.h"
#include "chip/deliver.h"
#include "line/pins.h"

/* The pins are the kernel's, which ors its own sources of the GSI with this one. */
static off_path struct line_result set_in_kernel(struct line_domain *lines, uint32_t gsi,
						 bool level)
{
	struct irqchip *irqchip = lines->vm->irqchip;
	int status = VMIRQ_LINE_NOBODY;

	if (irqchip->ops->set_line(irqchip, gsi, level, &status))
		return no_line(VMIRQ_NO_ROUTE);
	return (struct line_result){ .status = status,
				     .verdict = status > 0    ? VMIRQ_DELIVERED
						: status == 0 ? VMIRQ_COALESCED
							      : VMIRQ_NO_TARGET };
}

/* Of a slot's route, under its lock. */
static in_path struct line_pins pins_in(const struct route_copy *copy)
{
	return (struct line_pins){ .master = route_copy_pin(copy, PIN_MASTER),
				   .slave = route_copy_pin(copy, PIN_SLAVE),
				   .ioapic = route_copy_pin(copy, PIN_IOAPIC) };
}

static off_path struct line_result set_slot(struct line_domain *lines,
					    const struct route_slot *slot, enum pin_change change)
{
	return vmirq_line_set_pins(lines, pins_in(route_copy_locked(slot)), change, false);
}

static off_path struct line_result send_message(struct line_domain *lines,
						const struct route_slot *slot)
{
	struct route route = route_read_locked(slot);
	struct reader *section = reader_enter();
	struct delivery d = vmirq_route_send(lines->vm, &route.msi);

	reader_exit(section);
	return (struct line_result){ .verdict = d.verdict, .status = (int)d.accepted };
}

/* One source's level; the slot's lock is held for its line. */
static in_path struct line_result change_source(struct line_domain *lines, struct route_slot *slot,
						struct route_more *more, uint32_t source,
						bool level)
{
	const struct route_copy *copy = route_copy_locked(slot);
	uint32_t kind = atomic_load_explicit(&copy->kind, memory_order_relaxed);
	uint64_t before = more->sources, bit = UINT64_C(1) << source;
	uint64_t after = level ? before | bit : before & ~bit;
	bool status = source < FIRST_OWN_SOURCE;

	more->sources = after;
	if (unlikely(kind != ROUTE_PINS)) {
		if (kind == ROUTE_NONE)
			return no_line(VMIRQ_NO_ROUTE);
		return level ? send_message(lines, slot) : no_line(VMIRQ_DELIVERED);
	}
	if (unlikely(vmirq_line_in_kernel(lines->vm)))
		return set_in_kernel(lines, slot->gsi, after != 0);
	/* Where another source holds it high, or it was low, nothing changes at the pins. */
	if (unlikely(!before == !after))
		return vmirq_line_set_pins(lines, pins_in(copy), PIN_SAME, status);
	return level ? set_pins(lines, pins_in(copy), PIN_HIGH, status)
		     : set_pins(lines, pins_in(copy), PIN_LOW, status);
}

/* The same, and an assertion is counted. */
static in_path struct line_result set_source(struct line_domain *lines, struct route_slot *slot,
					     uint32_t source, bool level)
{
	struct route_more *more = atomic_load_explicit(&slot->more, memory_order_relaxed);
	uint64_t before = more->sources;
	struct line_result result = change_source(lines, slot, more, source, level);

	if (level && (!(before >> source & 1) || route_kind_locked(slot) == ROUTE_MSI))
		counts_add_in_turn(&more->counts, result.verdict, 1);
	return result;
}

static off_path struct line_result set_source_here(struct line_domain *lines,
						   struct route_slot *slot, uint32_t source,
						   bool level)
{
	return set_source(lines, slot, source, level);
}

/* The slot, locked, with its struct route_more; or NULL. */
static off_path struct route_slot *lock_new_slot(struct route_table *routes, uint32_t gsi)
{
	struct route_slot *slot;

	if (vmirq_route_slot(routes, gsi, &slot))
		return NULL;
	vmirq_route_lock_line(routes, slot);
	if (!vmirq_route_make_more(slot))
		return slot;
	vmirq_route_unlock(routes, slot);
	return NULL;
}

/* With its lock taken. */
static in_path struct route_slot *lock_slot(struct route_table *routes, uint32_t gsi)
{
	struct route_slot *slot = vmirq_route_find(routes, gsi);

	/* Once it is there it stays. Acquire: pairs with the release in vmirq_route_make_more(). */
	if (unlikely(!slot || !atomic_load_explicit(&slot->more, memory_order_acquire)))
		return lock_new_slot(routes, gsi);
	vmirq_route_lock_line(routes, slot);
	return slot;
}

/* Why lock_slot() has none. */
static off_path int no_slot(const struct vmirq_vm *vm, uint32_t gsi)
{
	return gsi >= vm->routes->max_gsis ? -EINVAL : -ENOMEM;
}

/* Of those sources that are below `sources`. */
static in_path struct line_result set_line(struct vmirq_vm *vm, uint32_t gsi, uint32_t source,
					   uint32_t sources, bool level, int *error)
{
	struct line_result result = no_line(VMIRQ_NO_ROUTE);
	struct route_slot *slot;
	int failed = -EINVAL;

	if (likely(vm && source < sources)) {
		slot = lock_slot(vm->routes, gsi);
		failed = likely(slot) ? 0 : no_slot(vm, gsi);
		if (likely(slot)) {
			result = set_source(vm->lines, slot, source, level);
			vmirq_route_unlock(vm->routes, slot);
		}
	}
	if (error)
		*error = failed;
	return result;
}

/* The last few sources are the library's own. */
int vmirq_line_set(struct vmirq_vm *vm, uint32_t gsi, uint32_t source, bool level, int *error)
{
	return set_line(vm, gsi, source, FIRST_OWN_SOURCE, level, error).status;
}

static off_path struct line_result set_any(struct vmirq_vm *vm, uint32_t gsi, uint32_t source,
					   bool level, int *error)
{
	return set_line(vm, gsi, source, LINE_SOURCES, level, error);
}

int vmirq_line_set_any(struct vmirq_vm *vm, uint32_t gsi, uint32_t source, bool level, int *error)
{
	return set_any(vm, gsi, source, level, error).status;
}

enum vmirq_verdict vmirq_line_change(struct vmirq_vm *vm, uint32_t gsi, uint32_t source, bool level)
{
	return set_any(vm, gsi, source, level, NULL).verdict;
}

int vmirq_line_pulse(struct vmirq_vm *vm, uint32_t gsi, uint32_t source, int *error)
{
	struct line_result result = no_line(VMIRQ_NO_ROUTE);
	struct route_slot *slot;
	int failed = -EINVAL;

	if (vm && source < FIRST_OWN_SOURCE) {
		slot = lock_slot(vm->routes, gsi);
		failed = slot ? 0 : no_slot(vm, gsi);
		if (slot) {
			result = set_source_here(vm->lines, slot, source, true);
			set_source_here(vm->lines, slot, source, false);
			vmirq_route_unlock(vm->routes, slot);
		}
	}
	if (error)
		*error = failed;
	return result.status;
}

/* Not by a second look at the route, which may have come back by then. */
static enum vmirq_verdict no_pins(const struct route *route)
{
	return route->kind == ROUTE_MSI ? ROUTE_CHANGED : VMIRQ_NO_ROUTE;
}

/* The irqfd counts for itself, so this one does not. */
enum vmirq_verdict vmirq_line_pulse_slot(struct line_domain *lines, struct route_slot *slot)
{
	enum vmirq_verdict verdict = VMIRQ_COALESCED;
	struct route route;

	vmirq_route_lock_line(lines->vm->routes, slot);
	route = route_read_locked(slot);
	if (route.kind != ROUTE_PINS) {
		verdict = no_pins(&route);
	} else if (route_sources(slot)) {
		/* High already. */
	} else if (vmirq_line_in_kernel(lines->vm)) {
		verdict = set_in_kernel(lines, slot->gsi, true).verdict;
		set_in_kernel(lines, slot->gsi, false);
	} else {
		verdict = set_slot(lines, slot, PIN_HIGH).verdict;
		set_slot(lines, slot, PIN_LOW);
	}
	vmirq_route_unlock(lines->vm->routes, slot);
	return verdict;
}

enum vmirq_verdict vmirq_line_assert_slot(struct line_domain *lines, struct route_slot *slot)
{
	const uint64_t bit = UINT64_C(1) << SOURCE_RESAMPLE;
	enum vmirq_verdict verdict = VMIRQ_COALESCED;
	struct route_more *more;
	struct route route;

	vmirq_route_lock_line(lines->vm->routes, slot);
	route = route_read_locked(slot);
	if (route.kind != ROUTE_PINS || vmirq_line_in_kernel(lines->vm)) {
		/* Nobody would lower it. With the kernel's pins its irqfd does both; the pump reads it
		 * while the route comes or goes. */
		verdict = no_pins(&route);
	} else if (!(route_sources(slot) & bit)) {
		more = atomic_load_explicit(&slot->more, memory_order_relaxed);
		verdict = change_source(lines, slot, more, SOURCE_RESAMPLE, true).verdict;
	}
	vmirq_route_unlock(lines->vm->routes, slot);
	return verdict;
}

bool vmirq_line_asserted_by(struct vmirq_vm *vm, uint32_t gsi, uint32_t source)
{
	struct route_slot *slot = vmirq_route_find(vm->routes, gsi);
	bool asserted = false;

	if (slot) {
		vmirq_route_lock(vm->routes, slot);
		asserted = route_sources(slot) >> source & 1;
		vmirq_route_unlock(vm->routes, slot);
	}
	return asserted;
}

void vmirq_line_moved(void *opaque, const struct route_slot *slot, const struct route *route,
		      bool on)
{
	struct line_domain *lines = opaque;

	if (route->kind != ROUTE_PINS)
		return;
	if (vmirq_line_in_kernel(lines->vm))
		set_in_kernel(lines, slot->gsi, on);
	else
		vmirq_line_set_pins(lines,
				    (struct line_pins){ .master = route->pin[PIN_MASTER],
							.slave = route->pin[PIN_SLAVE],
							.ioapic = route->pin[PIN_IOAPIC] },
				    on ? PIN_HIGH : PIN_LOW, false);
}

int vmirq_line_level(struct vmirq_vm *vm, uint32_t gsi)
{
	struct route_slot *slot;
	int level = 0;

	if (!vm || gsi >= vm->routes->max_gsis)
		return -EINVAL;
	slot = vmirq_route_find(vm->routes, gsi);
	if (slot) {
		vmirq_route_lock(vm->routes, slot);
		level = route_sources(slot) != 0;
		vmirq_route_unlock(vm->routes, slot);
	}
	return level;
}

int vmirq_line_source_alloc(struct vmirq_vm *vm, uint32_t *source)
{
	int error = -ENOSPC;

	if (!vm || !source)
		return -EINVAL;
	pthread_mutex_lock(&vm->lines->source_mutex);
	for (uint32_t i = 1; i < FIRST_OWN_SOURCE && error; i++) {
		if (vm->lines->sources & UINT64_C(1) << i)
			continue;
		vm->lines->sources |= UINT64_C(1) << i;
		*source = i;
		error = 0;
	}
	pthread_mutex_unlock(&vm->lines->source_mutex);
	return error;
}

int vmirq_line_source_free(struct vmirq_vm *vm, uint32_t source)
{
	struct route_slot *slot = NULL;
	bool allocated;

	if (!vm || source == 0 || source >= FIRST_OWN_SOURCE)
		return -EINVAL;
	pthread_mutex_lock(&vm->lines->source_mutex);
	allocated = vm->lines->sources & UINT64_C(1) << source;
	pthread_mutex_unlock(&vm->lines->source_mutex);
	if (!allocated)
		return -EINVAL;
	while ((slot = vmirq_route_next(vm->routes, slot))) {
		vmirq_route_lock_line(vm->routes, slot);
		if (route_sources(slot) & UINT64_C(1) << source)
			set_source_here(vm->lines, slot, source, false);
		vmirq_route_unlock(vm->routes, slot);
	}
	pthread_mutex_lock(&vm->lines->source_mutex);
	vm->lines->sources &= ~(UINT64_C(1) << source);
	pthread_mutex_unlock(&vm->lines->source_mutex);
	return 0;
}
