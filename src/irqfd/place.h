/* SPDX-License-Identifier: MIT */
/* An eventfd in the kernel's hands. Inline: each return that follows a system call is mispredicted, so whoever
 * binds many is to make it himself. */
#ifndef IRQFD_PLACE_H
#define IRQFD_PLACE_H

#include "base/call.h"
#include "base/vm.h"
#include "irqfd/irqfd.h"
#include "irqfd/resample.h"
#include "route/table.h"

/* With an irqchip in the kernel, nobody else moves irqfds between it and the pump, nor changes a route. Not
 * inside a read section, nor under a slot's lock. */
static inline void irqfd_hold_places(struct irqfd_table *table)
{
	if (table->vm->irqchip)
		pthread_mutex_lock(&table->vm->routes->whole_mutex);
}

static inline void irqfd_release_places(struct irqfd_table *table)
{
	if (table->vm->irqchip)
		pthread_mutex_unlock(&table->vm->routes->whole_mutex);
}

/* A moment's, for who does not hold the places. */
static inline enum irqfd_place irqfd_place_now(const struct vmirq_irqfd *irqfd)
{
	return (enum irqfd_place)atomic_load_explicit(&irqfd->place, memory_order_relaxed);
}

static inline void irqfd_set_place(struct vmirq_irqfd *irqfd, enum irqfd_place place)
{
	atomic_store_explicit(&irqfd->place, (uint8_t)place, memory_order_relaxed);
}

/* Would the kernel read it on a route of this kind, were it not masked? */
static inline bool irqfd_kind_for_kernel(const struct vmirq_irqfd *irqfd, enum route_kind kind)
{
	const struct irqchip *irqchip = irqfd->table->vm->irqchip;

	return irqchip && irqchip->takes_eventfds &&
	       (kind == ROUTE_MSI || (kind == ROUTE_PINS && irqchip->full));
}

/* The deassigning call, which ignores RESAMPLE, has its own flag only. */
static inline struct kvm_irqfd irqfd_kernel_args(const struct vmirq_irqfd *irqfd, uint32_t flags)
{
	struct kvm_irqfd args = { .fd = (uint32_t)irqfd->source->fd,
				  .gsi = irqfd->slot->gsi,
				  .flags = flags };

	if (!flags && irqfd->resample && irqfd->table->vm->irqchip->full) {
		args.flags = KVM_IRQFD_FLAG_RESAMPLE;
		args.resamplefd = (uint32_t)irqfd->resample->fd;
	}
	return args;
}

/* place.c: have the GSI's route in the kernel, which has it not. -ENOSPC: the kernel has no GSI for it. */
int vmirq_irqfd_use_kernel(struct vmirq_irqfd *irqfd);

/* By its GSI's route as it stands. Errors as above, or KVM_IRQFD's. The places are held. */
static inline __attribute__((always_inline)) int irqfd_bind_in_kernel(struct vmirq_irqfd *irqfd)
{
	struct vmirq_vm *vm = irqfd->table->vm;
	struct kvm_irqfd args = irqfd_kernel_args(irqfd, 0);
	int error;

	if (unlikely(!vm->irqchip->ops->use_as_is(vm->irqchip, &args, 1))) {
		error = vmirq_irqfd_use_kernel(irqfd);
		if (error)
			return error;
	}
	error = kernel_call(vm->kvm_fd, KVM_IRQFD, &args);
	if (unlikely(error < 0)) {
		vm->irqchip->ops->unuse(vm->irqchip, args.gsi);
		return error;
	}
	irqfd_set_place(irqfd, IRQFD_IN_KERNEL);
	return 0;
}

/* The kernel had no room: it is nobody's in its registry, and the pump's to read. */
int vmirq_irqfd_start_pump(struct vmirq_irqfd *irqfd);

#endif
