/* SPDX-License-Identifier: MIT */
/* The steps of an assign, of one irqfd or of many. */
#ifndef IRQFD_ASSIGN_H
#define IRQFD_ASSIGN_H

#include "base/options.h"
#include "irqfd/mask.h"
#include "irqfd/place.h"

static inline bool irqfd_takes(const struct vmirq_irqfd_config *config)
{
	return config->flags & VMIRQ_IRQFD_TAKE;
}

/* In the kernel's order: what cannot be is said before the descriptors are looked at. */
int vmirq_irqfd_check(const struct vmirq_vm *vm, const struct vmirq_irqfd_config *config);

/* Where it has our size it is read in place: to copy what was written in smaller pieces just now waits for
 * them. */
static inline int irqfd_read_config(struct vmirq_vm *vm, const struct vmirq_irqfd_config *caller,
				    struct vmirq_irqfd_config *copy,
				    const struct vmirq_irqfd_config **config,
				    struct route_slot **slot)
{
	int error = 0;

	*config = caller;
	if (unlikely(caller->size != sizeof(*copy))) {
		/* It is as it was in the first release. */
		error = options_copy(copy, sizeof(*copy), sizeof(*copy), caller, caller->size);
		*config = copy;
	}
	if (!error)
		error = vmirq_irqfd_check(vm, *config);
	return error ? error : vmirq_route_slot(vm->routes, (*config)->gsi, slot);
}

/* Taken from the table. */
static inline void irqfd_begin(struct vmirq_irqfd *irqfd, struct route_slot *slot, bool masked,
			       bool has_eventfd)
{
	/* Pairs with count_late(), of a signal by who had the memory before. */
	__atomic_store_n(&irqfd->slot, slot, __ATOMIC_RELAXED);
	irqfd->leaving = false;
	/* Without an eventfd KVM_IRQFD's terms do not find it. */
	atomic_store_explicit(&irqfd->owned, masked || has_eventfd, memory_order_relaxed);
	irqfd_set_place(irqfd, IRQFD_NOWHERE);
	irqfd->resample = NULL;
	if (has_eventfd) {
		irqfd->source->fd = -1;
		irqfd->source->bound = false;
		irqfd->source->taken = false;
	}
	atomic_store_explicit(&irqfd->gate, masked ? GATE_MASKED : 0, memory_order_relaxed);
	atomic_store_explicit(&irqfd->deferred, NULL, memory_order_relaxed);
}

/* The kernel, where that is to read it on its route as it stands. The places are held: so it stays. */
static inline struct eventfd_kernel *irqfd_wanted_kernel(const struct vmirq_irqfd *irqfd)
{
	struct irqfd_table *table = irqfd->table;
	bool wanted = table->vm->irqchip && !irqfd_masked(irqfd) &&
		      irqfd_kind_for_kernel(irqfd, route_kind_now(irqfd->slot));

	return wanted ? &table->kernel : NULL;
}

/* By the kernel, if the source was adopted for it. */
static inline __attribute__((always_inline)) int irqfd_start_source(struct vmirq_irqfd *irqfd)
{
	int error;

	if (!irqfd->source->binding.kernel) {
		struct route route = vmirq_route_read(irqfd->slot);

		return vmirq_irqfd_start_source(irqfd, &route);
	}
	error = irqfd_bind_in_kernel(irqfd);
	return unlikely(error == -ENOSPC) ? vmirq_irqfd_start_pump(irqfd) : error;
}

/* Follow the slot's route, and be fed, in one hold of the slot's lock: who finds the irqfd on the slot
 * finds all of it. Whoever signals first, or the pump, finds it resolved. The places are held. */
static inline __attribute__((always_inline)) int irqfd_attach(struct vmirq_irqfd *irqfd)
{
	struct route_table *routes = irqfd->table->vm->routes;
	int error = 0;

	vmirq_route_lock(routes, irqfd->slot);
	/* A level needs a source of the GSI's line to be there; signals do not ask. */
	if (irqfd->resample)
		error = vmirq_route_make_more(irqfd->slot);
	if (!error) {
		vmirq_irqfd_resolve_first(irqfd);
		if (irqfd->source)
			error = irqfd_start_source(irqfd);
	}
	if (unlikely(error))
		vmirq_irqfd_set_gone(irqfd);
	else if (irqfd_routed(irqfd))
		vmirq_route_watch(routes, irqfd->slot, &irqfd->watcher);
	vmirq_route_unlock(routes, irqfd->slot);
	return error;
}

/* Of one with an eventfd that is nobody's: from here on KVM_IRQFD's terms find it. */
static inline void irqfd_disown(struct vmirq_irqfd *irqfd)
{
	/* Release: all of it; pairs with the acquire in is_bound_to(). */
	atomic_store_explicit(&irqfd->owned, false, memory_order_release);
}

/* Undo what has been done of one that is not attached, or no level; put it back. */
void vmirq_irqfd_take_down(struct vmirq_irqfd *irqfd);

#endif
