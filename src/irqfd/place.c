/* SPDX-License-Identifier: MIT */
/* Who reads an irqfd's eventfd, a pump or the kernel. */
#include <errno.h>
#include <sys/ioctl.h>

#include "base/reader.h"
#include "base/vm.h"
#include "irqfd/eventfd.h"
#include "irqfd/mask.h"
#include "irqfd/place.h"
#include "irqfd/resample.h"
#include "pump/pump.h"

/* The pump's callback: in a read section. */
static bool eventfd_ready(void *opaque)
{
	struct vmirq_irqfd *irqfd = opaque;
	uint64_t n = vmirq_fd_drain(irqfd->source->fd);

	if (n)
		vmirq_irqfd_read(irqfd, n);
	return n > 0;
}

static int start_pump(struct vmirq_irqfd *irqfd)
{
	struct irqfd_source *source = irqfd->source;
	int error =
		vmirq_pump_add(source->pump, source->fd, eventfd_ready, irqfd, &source->pump_entry);

	if (!error)
		irqfd_set_place(irqfd, IRQFD_IN_PUMP);
	/* What epoll cannot wait for is no eventfd. */
	return error == -EPERM ? -EINVAL : error;
}

int vmirq_irqfd_use_kernel(struct vmirq_irqfd *irqfd)
{
	struct irqchip *irqchip = irqfd->table->vm->irqchip;
	const struct route route = vmirq_route_read(irqfd->slot);
	struct kernel_route kernel;

	vmirq_route_for_kernel(irqchip, &route, irqfd->slot->gsi, &kernel);
	return irqchip->ops->use(irqchip, &kernel);
}

static int start_kernel(struct vmirq_irqfd *irqfd)
{
	int error = irqfd_bind_in_kernel(irqfd);

	if (!error)
		vmirq_eventfd_moved(&irqfd->source->binding, &irqfd->table->kernel);
	return error;
}

bool vmirq_irqfd_for_kernel(const struct vmirq_irqfd *irqfd, const struct route *route)
{
	return irqfd_kind_for_kernel(irqfd, route->kind);
}

/* Who is to read it on this route. Where there is none the pump counts what is lost. */
static enum irqfd_place wanted_place(const struct vmirq_irqfd *irqfd, const struct route *route)
{
	if (!irqfd->source)
		return IRQFD_NOWHERE;
	return vmirq_irqfd_for_kernel(irqfd, route) && !irqfd_masked(irqfd) ? IRQFD_IN_KERNEL
									    : IRQFD_IN_PUMP;
}

void vmirq_irqfd_stop_source(struct vmirq_irqfd *irqfd)
{
	if (irqfd_place_now(irqfd) == IRQFD_IN_PUMP) {
		vmirq_pump_remove(irqfd->source->pump, irqfd->source->pump_entry);
	} else if (irqfd_place_now(irqfd) == IRQFD_IN_KERNEL) {
		struct vmirq_vm *vm = irqfd->table->vm;
		struct kvm_irqfd args = irqfd_kernel_args(irqfd, KVM_IRQFD_FLAG_DEASSIGN);

		/* What stood in it when the kernel got it was injected then, once, and may still be there.
		 * Nothing else is: what is written now the kernel takes at once. */
		vmirq_fd_drain(irqfd->source->fd);
		ioctl(vm->kvm_fd, KVM_IRQFD, &args);
		vm->irqchip->ops->unuse(vm->irqchip, args.gsi);
		vmirq_eventfd_moved(&irqfd->source->binding, NULL);
	}
	irqfd_set_place(irqfd, IRQFD_NOWHERE);
}

int vmirq_irqfd_start_source(struct vmirq_irqfd *irqfd, const struct route *route)
{
	enum irqfd_place wanted = wanted_place(irqfd, route);

	if (wanted == irqfd_place_now(irqfd))
		return 0;
	vmirq_irqfd_stop_source(irqfd);
	if (wanted == IRQFD_IN_KERNEL) {
		int error = start_kernel(irqfd);

		if (error != -ENOSPC)
			return error;
		return vmirq_irqfd_start_pump(irqfd);
	}
	return wanted == IRQFD_NOWHERE ? 0 : start_pump(irqfd);
}

int vmirq_irqfd_start_pump(struct vmirq_irqfd *irqfd)
{
	struct eventfd_binding *binding = &irqfd->source->binding;
	uint64_t unused;
	int error;

	vmirq_eventfd_moved(binding, NULL);
	/* Not refused, so nobody has held it against the others yet. */
	error = vmirq_eventfd_name(binding, &unused);
	return error ? error : start_pump(irqfd);
}

int vmirq_irqfd_place(struct vmirq_irqfd *irqfd, const struct route *route)
{
	return vmirq_irqfd_start_source(irqfd, route) ? start_pump(irqfd) : 0;
}

/* What was written before the call. The pump is off it already, so nobody else reads. Once: of a
 * semaphore eventfd a write is one interrupt, and what it leaves belongs to no later one. */
void vmirq_irqfd_deliver_unread(struct vmirq_irqfd *irqfd)
{
	struct reader *section = reader_enter();

	eventfd_ready(irqfd);
	reader_exit(section);
}

/* Does the slot's next route want it elsewhere; `next` NULL: its present one? */
static bool is_misplaced(const struct vmirq_irqfd *irqfd, const struct route *next,
			 const struct route *present)
{
	enum irqfd_place wanted;

	/* It is deassigned and could not leave its GSI: its source goes. */
	if (HEAD_KIND(irqfd_head(irqfd)) == TARGET_GONE)
		return false;
	wanted = wanted_place(irqfd, next ? next : present);
	if (!next)
		return wanted != irqfd_place_now(irqfd) && !irqfd->replaced;
	/* Leaving the kernel is for before the change, all else for after it. An edge on a pin leaves it,
	 * too: the kernel raises and lowers the GSI in two steps, and a change between them would leave the
	 * old pin high. Where the kernel had no room it is not asked again until the route changes. */
	return irqfd_place_now(irqfd) == IRQFD_IN_KERNEL &&
	       (wanted != IRQFD_IN_KERNEL || (present->kind == ROUTE_PINS && !irqfd->resample));
}

/* One of the slot's. It cannot go away meanwhile: deassign takes the whole_mutex too. */
static struct vmirq_irqfd *misplaced(struct vmirq_vm *vm, struct route_slot *slot,
				     const struct route *next, struct route *present)
{
	struct vmirq_irqfd *found = NULL;

	vmirq_route_lock(vm->routes, slot);
	*present = vmirq_route_read(slot);
	for (struct route_watcher *w = slot->watchers; w && !found; w = w->next)
		if (is_misplaced(irqfd_of(w), next, present))
			found = irqfd_of(w);
	if (found)
		found->replaced = !next;
	else
		for (struct route_watcher *w = slot->watchers; w; w = w->next)
			irqfd_of(w)->replaced = false;
	vmirq_route_unlock(vm->routes, slot);
	return found;
}

void vmirq_irqfds_leave_kernel(void *opaque, struct route_slot *slot, const struct route *next)
{
	struct vmirq_vm *vm = opaque;
	struct vmirq_irqfd *irqfd;
	struct route present;

	while ((irqfd = misplaced(vm, slot, next, &present))) {
		vmirq_irqfd_stop_source(irqfd);
		/* It has been read already: adding it fails only where there is no memory, and then
		 * it is silent until the next change of its route. */
		start_pump(irqfd);
	}
}

void vmirq_irqfds_follow(void *opaque, struct route_slot *slot)
{
	struct vmirq_vm *vm = opaque;
	struct vmirq_irqfd *irqfd;
	struct route present;

	while ((irqfd = misplaced(vm, slot, NULL, &present)))
		vmirq_irqfd_place(irqfd, &present);
}
