/* SPDX-License-Identifier: MIT */
/* A GSI's line: the OR of its sources, told to the pins that it goes to. */
#include "line/line.h"

#include <errno.h>

#include "base/reader.h"
#include "base/vm.h"
#include "chip/deliver.h"

static struct line_result none(enum vmirq_verdict verdict)
{
	return (struct line_result){ .verdict = verdict, .status = VMIRQ_LINE_NOBODY };
}

/* What happens to the pins of a line: sources more. */
enum pin_change { PIN_LOW = -1, PIN_SAME, PIN_HIGH };

/* status: the caller is told whether the RTC's tick got lost. */
static in_path struct line_result set_ioapic(struct line_domain *lines, uint32_t at,
					     enum pin_change change, bool status)
{
	struct line_ioapic *io = lines->ioapic[at >> 16];
	struct line_result result;
	struct reader *section;

	if (change == PIN_LOW) {
		lock_take(&io->mutex);
		if (unlikely(!ioapic_lower(&io->ioapic, at & 0xffff)))
			return vmirq_ioapic_change_unlock(&io->ioapic, at & 0xffff, change, status);
		lock_give(&io->mutex);
		return (struct line_result){ .verdict = VMIRQ_DELIVERED, .status = 1 };
	}
	/* What is sent is sent in it: taking the lock is its fence. */
	section = reader_enter_unfenced();
	lock_take(&io->mutex);
	result = vmirq_ioapic_change_unlock(&io->ioapic, at & 0xffff, change, status);
	reader_exit(section);
	return result;
}

static in_path struct line_result set_pic(struct line_domain *lines, uint32_t pin,
					  enum pin_change change)
{
	struct line_result result;

	lock_take(&lines->pic_mutex);
	result = vmirq_i8259_change_locked(&lines->pic, pin, change);
	if (unlikely(lines->pic.look))
		vmirq_i8259_look_unlock(&lines->pic);
	else
		lock_give(&lines->pic_mutex);
	return result;
}

/* Of two targets' outcomes, the one that the interrupt is said to have come to. */
static enum vmirq_verdict better(enum vmirq_verdict a, enum vmirq_verdict b)
{
	_Static_assert(VMIRQ_DELIVERED == 0 && VMIRQ_COALESCED == 1, "the best come first");
	/* The 8259 is masked on every modern guest: the IOAPIC, which comes later, knows more. */
	return a <= VMIRQ_COALESCED && a < b ? a : b;
}

/* The pins are the kernel's, which ors its own sources of the GSI with this one. */
static off_path struct line_result set_in_kernel(struct line_domain *lines, uint32_t gsi,
						 bool level)
{
	struct irqchip *irqchip = lines->vm->irqchip;
	int status = VMIRQ_LINE_NOBODY;

	if (irqchip->ops->set_line(irqchip, gsi, level, &status))
		return none(VMIRQ_NO_ROUTE);
	return (struct line_result){ .status = status,
				     .verdict = status > 0    ? VMIRQ_DELIVERED
						: status == 0 ? VMIRQ_COALESCED
							      : VMIRQ_NO_TARGET };
}

/* The kernel's sum: what is not negative adds up (SEMANTICS: KVM_IRQ_LINE_STATUS). */
static in_path struct line_result add(struct line_result sum, struct line_result one)
{
	if (one.status >= 0)
		sum.status = one.status + (sum.status < 0 ? 0 : sum.status);
	sum.verdict = better(sum.verdict, one.verdict);
	return sum;
}

/* The pins one by one, in registers: this is where a line's change spends its time. */
static in_path struct line_result set_pins(struct line_domain *lines, uint32_t master,
					   uint32_t slave, uint32_t ioapic, enum pin_change change,
					   bool status)
{
	struct line_result sum = none(VMIRQ_NO_ROUTE);

	/* A PC's GSI goes to one of the two. */
	if (slave != NO_PIN) {
		if (unlikely(master != NO_PIN))
			sum = add(sum, set_pic(lines, master, change));
		master = slave + 8;
	}
	if (master != NO_PIN)
		sum = add(sum, set_pic(lines, master, change));
	if (ioapic != NO_PIN)
		sum = add(sum, set_ioapic(lines, ioapic, change, status));
	return sum;
}

/* Of the slot's route, under its lock. */
static off_path struct line_result set_slot(struct line_domain *lines,
					    const struct route_slot *slot, enum pin_change change,
					    bool status)
{
	const struct route_copy *copy = route_copy_locked(slot);

	return set_pins(lines, route_copy_pin(copy, PIN_MASTER), route_copy_pin(copy, PIN_SLAVE),
			route_copy_pin(copy, PIN_IOAPIC), change, status);
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

/* One source's level; the slot's lock is held for its line, and its route is of this kind. */
static in_path struct line_result change_source(struct line_domain *lines, struct route_slot *slot,
						enum route_kind kind, uint32_t source, bool level)
{
	struct route_more *more = atomic_load_explicit(&slot->more, memory_order_relaxed);
	uint64_t before = more->sources, bit = UINT64_C(1) << source;

	more->sources = level ? before | bit : before & ~bit;
	if (unlikely(kind != ROUTE_PINS)) {
		if (kind == ROUTE_NONE)
			return none(VMIRQ_NO_ROUTE);
		return level ? send_message(lines, slot) : none(VMIRQ_DELIVERED);
	}
	if (unlikely(vmirq_line_in_kernel(lines->vm)))
		return set_in_kernel(lines, slot->gsi, more->sources != 0);
	/* Where another source holds it high, or it was low, nothing changes at the pins. */
	return set_slot(lines, slot,
			!before == !more->sources ? PIN_SAME
			: level			  ? PIN_HIGH
						  : PIN_LOW,
			source < FIRST_OWN_SOURCE);
}

/* The same, and an assertion is counted. */
static in_path struct line_result set_source(struct line_domain *lines, struct route_slot *slot,
					     uint32_t source, bool level)
{
	enum route_kind kind = route_kind_locked(slot);
	struct route_more *more = atomic_load_explicit(&slot->more, memory_order_relaxed);
	bool asserted = more->sources >> source & 1;
	struct line_result result = change_source(lines, slot, kind, source, level);

	if (level && (!asserted || kind == ROUTE_MSI))
		counts_add_in_turn(&more->counts, result.verdict, 1);
	return result;
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

static in_path struct line_result set_line(struct vmirq_vm *vm, uint32_t gsi, uint32_t source,
					   bool level, int *error)
{
	struct line_result result = none(VMIRQ_NO_ROUTE);
	struct route_slot *slot;
	int failed = -EINVAL;

	if (likely(vm && source < LINE_SOURCES)) {
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

int vmirq_line_set_any(struct vmirq_vm *vm, uint32_t gsi, uint32_t source, bool level, int *error)
{
	return set_line(vm, gsi, source, level, error).status;
}

enum vmirq_verdict vmirq_line_change(struct vmirq_vm *vm, uint32_t gsi, uint32_t source, bool level)
{
	return set_line(vm, gsi, source, level, NULL).verdict;
}

/* The last few sources are the library's own. */
int vmirq_line_set(struct vmirq_vm *vm, uint32_t gsi, uint32_t source, bool level, int *error)
{
	return set_line(vm, gsi, source < FIRST_OWN_SOURCE ? source : LINE_SOURCES, level, error)
		.status;
}

int vmirq_line_pulse(struct vmirq_vm *vm, uint32_t gsi, uint32_t source, int *error)
{
	struct line_result result = none(VMIRQ_NO_ROUTE);
	struct route_slot *slot;
	int failed = -EINVAL;

	if (vm && source < FIRST_OWN_SOURCE) {
		slot = lock_slot(vm->routes, gsi);
		failed = slot ? 0 : no_slot(vm, gsi);
		if (slot) {
			result = set_source(vm->lines, slot, source, true);
			set_source(vm->lines, slot, source, false);
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
		verdict = set_slot(lines, slot, PIN_HIGH, false).verdict;
		set_slot(lines, slot, PIN_LOW, false);
	}
	vmirq_route_unlock(lines->vm->routes, slot);
	return verdict;
}

enum vmirq_verdict vmirq_line_assert_slot(struct line_domain *lines, struct route_slot *slot)
{
	const uint64_t bit = UINT64_C(1) << SOURCE_RESAMPLE;
	enum vmirq_verdict verdict = VMIRQ_COALESCED;
	struct line_result result;
	struct route route;

	vmirq_route_lock_line(lines->vm->routes, slot);
	route = route_read_locked(slot);
	if (route.kind != ROUTE_PINS || vmirq_line_in_kernel(lines->vm)) {
		/* Nobody would lower it. With the kernel's pins its irqfd does both; the pump reads it
		 * while the route comes or goes. */
		verdict = no_pins(&route);
	} else if (!(route_sources(slot) & bit)) {
		result = change_source(lines, slot, route.kind, SOURCE_RESAMPLE, true);
		verdict = result.verdict;
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
		set_pins(lines, route->pin[PIN_MASTER], route->pin[PIN_SLAVE],
			 route->pin[PIN_IOAPIC], on ? PIN_HIGH : PIN_LOW, false);
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
			set_source(vm->lines, slot, source, false);
		vmirq_route_unlock(vm->routes, slot);
	}
	pthread_mutex_lock(&vm->lines->source_mutex);
	vm->lines->sources &= ~(UINT64_C(1) << source);
	pthread_mutex_unlock(&vm->lines->source_mutex);
	return 0;
}
