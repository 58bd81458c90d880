/* SPDX-License-Identifier: MIT */
/* Bind. */
#include <errno.h>

#include "base/options.h"
#include "base/vm.h"
#include "irqfd/bypass.h"
#include "irqfd/deferred.h"
#include "irqfd/eventfd.h"
#include "irqfd/mask.h"
#include "irqfd/resample.h"
#include "line/line.h"

/* vmirq_irqfd_config as it was in the first release. */
#define CONFIG_LEAST sizeof(struct vmirq_irqfd_config)

#define ALL_FLAGS \
	(VMIRQ_IRQFD_RESAMPLE | VMIRQ_IRQFD_NO_BYPASS | VMIRQ_IRQFD_RESAMPLE_AIO | VMIRQ_IRQFD_TAKE)

static bool takes(const struct vmirq_irqfd_config *config)
{
	return config->flags & VMIRQ_IRQFD_TAKE;
}

void vmirq_irqfd_route_changed(struct route_watcher *watcher)
{
	vmirq_irqfd_resolve(irqfd_of(watcher));
}

/* Follow the slot's route, and be fed, in one hold of the slot's lock: who finds the irqfd on the slot
 * finds all of it. Whoever signals first, or the pump, finds it resolved. */
static int attach_locked(struct vmirq_irqfd *irqfd)
{
	struct route route;
	/* A level needs a source of the GSI's line to be there; signals do not ask. */
	int error = irqfd->resample ? vmirq_route_make_more(irqfd->slot) : 0;

	if (!error) {
		vmirq_irqfd_resolve_first(irqfd);
		if (irqfd->source) {
			route = vmirq_route_read(irqfd->slot);
			error = vmirq_irqfd_start_source(irqfd, &route);
		}
	}
	if (error)
		vmirq_irqfd_set_gone(irqfd);
	else if (irqfd_routed(irqfd))
		vmirq_route_watch(irqfd->slot, &irqfd->watcher);
	return error;
}

/* The places are held. */
static int attach(struct vmirq_irqfd *irqfd)
{
	struct route_table *routes = irqfd->table->vm->routes;
	int error;

	vmirq_route_lock(routes, irqfd->slot);
	error = attach_locked(irqfd);
	vmirq_route_unlock(routes, irqfd->slot);
	return error;
}

static int adopt(struct vmirq_irqfd *irqfd, const struct vmirq_irqfd_config *config)
{
	struct irqfd_table *table = irqfd->table;
	struct route route = vmirq_route_read(irqfd->slot);
	/* While the places are held that stays so. */
	bool for_kernel = vmirq_irqfd_for_kernel(irqfd, &route) && !irqfd_masked(irqfd);

	return vmirq_irqfd_adopt(config->eventfd, takes(config), config->token,
				 config->pump ? config->pump : table->vm->pump,
				 for_kernel ? &table->kernel : NULL, &irqfd->source);
}

static int adopt_and_attach(struct vmirq_irqfd *irqfd, const struct vmirq_irqfd_config *config)
{
	int error = 0;

	vmirq_irqfd_hold_places(irqfd->table);
	if (config->eventfd >= 0)
		error = adopt(irqfd, config);
	if (!error)
		error = attach(irqfd);
	vmirq_irqfd_release_places(irqfd->table);
	return error;
}

/* Its resampler is joined in between, under other locks. */
static int set_up_resample(struct vmirq_irqfd *irqfd, const struct vmirq_irqfd_config *config)
{
	int error = 0;

	if (config->eventfd >= 0)
		error = vmirq_irqfd_adopt(config->eventfd, takes(config), config->token,
					  config->pump ? config->pump : irqfd->table->vm->pump,
					  NULL, &irqfd->source);
	if (!error)
		error = vmirq_resample_join(irqfd, config);
	if (error)
		return error;
	vmirq_irqfd_hold_places(irqfd->table);
	error = attach(irqfd);
	vmirq_irqfd_release_places(irqfd->table);
	return error;
}

static int check_eventfd(int fd)
{
	uint64_t token;
	int error = vmirq_eventfd_token(fd, &token);

	return error == -ENOSYS ? 0 : error;
}

/* The kernel looks at both before it says that one is bound. For the order only: what counts is what
 * the duplicates turn out to be. */
static int check_eventfds(const struct vmirq_irqfd_config *config)
{
	int error = 0;

	if (!(config->flags & VMIRQ_IRQFD_RESAMPLE) || config->resample)
		return 0;
	if (config->eventfd >= 0)
		error = check_eventfd(config->eventfd);
	return error ? error : check_eventfd(config->resamplefd);
}

/* Everything that deassign takes back. */
static int set_up(struct vmirq_irqfd *irqfd, const struct vmirq_irqfd_config *config)
{
	int error = check_eventfds(config);

	if (!error)
		error = config->flags & VMIRQ_IRQFD_RESAMPLE ? set_up_resample(irqfd, config)
							     : adopt_and_attach(irqfd, config);
	if (error) {
		vmirq_irqfd_end_deferred(irqfd);
		vmirq_resample_leave(irqfd);
		if (takes(config))
			vmirq_irqfd_give_back(irqfd->source);
		else
			vmirq_irqfd_drop(irqfd->source);
	}
	return error;
}

static bool can_resample(const struct vmirq_vm *vm)
{
	return vmirq_line_in_kernel(vm) ? vm->irqchip->resamples
					: vm->lines->ioapics || vm->lines->has_pic;
}

/* In the kernel's order: what cannot be is said before the descriptors are looked at. */
static int check_config(const struct vmirq_vm *vm, const struct vmirq_irqfd_config *config)
{
	bool resample = config->flags & VMIRQ_IRQFD_RESAMPLE;

	if ((config->flags & ~ALL_FLAGS) ||
	    (!resample && (config->flags & VMIRQ_IRQFD_RESAMPLE_AIO)) ||
	    (config->eventfd == -1 && takes(config)) || (config->token & KERNELS_TOKEN) ||
	    config->unused || (config->resample && !resample) || (resample && !can_resample(vm)))
		return -EINVAL;
	if (config->eventfd < -1)
		return -EBADF;
	/* The kernel's resample source can be raised by the kernel's irqfds only. */
	if (resample && vmirq_line_in_kernel(vm) && (config->eventfd < 0 || config->resample))
		return -EINVAL;
	return 0;
}

int vmirq_irqfd_assign_to(struct vmirq_vm *vm, struct route_slot *slot,
			  const struct vmirq_irqfd_config *config, bool masked,
			  struct vmirq_irqfd **out)
{
	struct vmirq_irqfd *irqfd = vmirq_irqfd_take(vm->irqfds);
	int error;

	if (!irqfd)
		return -ENOMEM;
	irqfd->table = vm->irqfds;
	irqfd->chip = vm->chip;
	irqfd->slot = slot;
	irqfd->leaving = false;
	/* Without an eventfd KVM_IRQFD's terms do not find it. */
	atomic_store_explicit(&irqfd->owned, masked || config->eventfd >= 0, memory_order_relaxed);
	irqfd->place = IRQFD_NOWHERE;
	irqfd->resample = NULL;
	irqfd->source = NULL;
	atomic_store_explicit(&irqfd->gate, masked ? GATE_MASKED : 0, memory_order_relaxed);
	atomic_store_explicit(&irqfd->deferred, NULL, memory_order_relaxed);
	error = set_up(irqfd, config);
	if (error) {
		vmirq_irqfd_put(irqfd);
		return error;
	}
	if (!(config->flags & VMIRQ_IRQFD_NO_BYPASS))
		vmirq_irqfd_enter_bypass(irqfd);
	if (!masked && config->eventfd >= 0)
		/* From here on KVM_IRQFD's terms find it. Release: all of it; pairs with the acquire in
		 * is_bound_to(). */
		atomic_store_explicit(&irqfd->owned, false, memory_order_release);
	*out = irqfd;
	return 0;
}

int vmirq_irqfd_assign(struct vmirq_vm *vm, const struct vmirq_irqfd_config *caller,
		       struct vmirq_irqfd **out)
{
	struct vmirq_irqfd_config config;
	struct route_slot *slot;
	int error;

	if (!vm || !caller || !out)
		return -EINVAL;
	error = options_copy(&config, sizeof(config), CONFIG_LEAST, caller, caller->size);
	if (!error)
		error = check_config(vm, &config);
	if (!error)
		error = vmirq_route_slot(vm->routes, config.gsi, &slot);
	return error ? error : vmirq_irqfd_assign_to(vm, slot, &config, false, out);
}
