/* SPDX-License-Identifier: MIT */
/* Bind. */
#include <errno.h>

#include "base/options.h"
#include "base/vm.h"
#include "irqfd/assign.h"
#include "irqfd/bypass.h"
#include "irqfd/deferred.h"
#include "irqfd/eventfd.h"
#include "irqfd/mask.h"
#include "irqfd/resample.h"
#include "line/line.h"

#define ALL_FLAGS (VMIRQ_IRQFD_RESAMPLE | VMIRQ_IRQFD_NO_BYPASS | VMIRQ_IRQFD_TAKE)

void vmirq_irqfd_route_changed(struct route_watcher *watcher)
{
	vmirq_irqfd_resolve(irqfd_of(watcher));
}

static int adopt(struct vmirq_irqfd *irqfd, const struct vmirq_irqfd_config *config,
		 struct eventfd_kernel *kernel)
{
	return vmirq_irqfd_adopt(irqfd->source, config->eventfd, irqfd_takes(config), config->token,
				 config->pump ? config->pump : irqfd->table->vm->pump, kernel);
}

static inline __attribute__((always_inline)) int adopt_and_attach(
	struct vmirq_irqfd *irqfd, const struct vmirq_irqfd_config *config)
{
	int error = 0;

	irqfd_hold_places(irqfd->table);
	if (irqfd->source)
		error = adopt(irqfd, config, irqfd_wanted_kernel(irqfd));
	if (!error)
		error = irqfd_attach(irqfd);
	irqfd_release_places(irqfd->table);
	return error;
}

/* Its resampler is joined in between, under other locks. */
static int set_up_resample(struct vmirq_irqfd *irqfd, const struct vmirq_irqfd_config *config)
{
	int error = 0;

	if (irqfd->source)
		error = adopt(irqfd, config, NULL);
	if (!error)
		error = vmirq_resample_join(irqfd, config);
	if (error)
		return error;
	irqfd_hold_places(irqfd->table);
	error = irqfd_attach(irqfd);
	irqfd_release_places(irqfd->table);
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

	if (config->resample)
		return 0;
	if (config->eventfd >= 0)
		error = check_eventfd(config->eventfd);
	return error ? error : check_eventfd(config->resamplefd);
}

static int set_up_level(struct vmirq_irqfd *irqfd, const struct vmirq_irqfd_config *config)
{
	int error = check_eventfds(config);

	return error ? error : set_up_resample(irqfd, config);
}

static bool can_resample(const struct vmirq_vm *vm)
{
	return vmirq_line_in_kernel(vm) ? vm->irqchip->resamples
					: vm->lines->ioapics || vm->lines->has_pic;
}

/* In the kernel's order: what cannot be is said before the descriptors are looked at. */
int vmirq_irqfd_check(const struct vmirq_vm *vm, const struct vmirq_irqfd_config *config)
{
	bool resample = config->flags & VMIRQ_IRQFD_RESAMPLE;

	if ((config->flags & ~ALL_FLAGS) || (config->eventfd == -1 && irqfd_takes(config)) ||
	    (config->token & KERNELS_TOKEN) || config->unused || (config->resample && !resample) ||
	    (resample && !can_resample(vm)))
		return -EINVAL;
	if (config->eventfd < -1)
		return -EBADF;
	/* The kernel's resample source can be raised by the kernel's irqfds only. */
	if (resample && vmirq_line_in_kernel(vm) && (config->eventfd < 0 || config->resample))
		return -EINVAL;
	return 0;
}

/* Everything that deassign takes back. */
void vmirq_irqfd_take_down(struct vmirq_irqfd *irqfd)
{
	vmirq_irqfd_end_deferred(irqfd);
	vmirq_resample_leave(irqfd);
	vmirq_irqfd_give_back(irqfd->source);
	vmirq_irqfd_put(irqfd);
}

static inline __attribute__((always_inline)) int assign_to(struct vmirq_vm *vm,
							   struct route_slot *slot,
							   const struct vmirq_irqfd_config *config,
							   bool masked, struct vmirq_irqfd **out)
{
	bool has_eventfd = config->eventfd >= 0;
	struct vmirq_irqfd *irqfd = vmirq_irqfd_take(vm->irqfds, has_eventfd);
	int error = 0;

	if (!irqfd)
		return -ENOMEM;
	irqfd_begin(irqfd, slot, masked, has_eventfd);
	if (unlikely(config->worker))
		error = vmirq_irqfd_defer_to(irqfd, config->worker);
	if (likely(!error))
		error = unlikely(config->flags & VMIRQ_IRQFD_RESAMPLE)
				? set_up_level(irqfd, config)
				: adopt_and_attach(irqfd, config);
	if (unlikely(error)) {
		vmirq_irqfd_take_down(irqfd);
		return error;
	}
	if (has_eventfd && !(config->flags & VMIRQ_IRQFD_NO_BYPASS))
		vmirq_irqfd_enter_bypass(irqfd);
	if (!masked && has_eventfd)
		irqfd_disown(irqfd);
	*out = irqfd;
	return 0;
}

int vmirq_irqfd_assign_to(struct vmirq_vm *vm, struct route_slot *slot,
			  const struct vmirq_irqfd_config *config, bool masked,
			  struct vmirq_irqfd **out)
{
	return assign_to(vm, slot, config, masked, out);
}

int vmirq_irqfd_assign(struct vmirq_vm *vm, const struct vmirq_irqfd_config *caller,
		       struct vmirq_irqfd **out)
{
	const struct vmirq_irqfd_config *config;
	struct vmirq_irqfd_config copy;
	struct route_slot *slot;
	int error;

	if (!vm || !caller || !out)
		return -EINVAL;
	if (unlikely(route_must_not_change(vm)))
		return -EDEADLK;
	error = irqfd_read_config(vm, caller, &copy, &config, &slot);
	return error ? error : assign_to(vm, slot, config, false, out);
}
