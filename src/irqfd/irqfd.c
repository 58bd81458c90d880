/* SPDX-License-Identifier: MIT */
/* Bind and unbind. */
#include "irqfd/irqfd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/options.h"
#include "base/reader.h"
#include "base/vm.h"
#include "irqfd/eventfd.h"
#include "pump/pump.h"

/* vmirq_irqfd_config as it was in the first release. */
#define CONFIG_LEAST sizeof(struct vmirq_irqfd_config)

static struct vmirq_irqfd *of_watcher(struct route_watcher *watcher)
{
	return (struct vmirq_irqfd *)((char *)watcher - offsetof(struct vmirq_irqfd, watcher));
}

static void route_changed(struct route_watcher *watcher)
{
	vmirq_irqfd_resolve(of_watcher(watcher));
}

/* Our own duplicate of the caller's eventfd, known to be one and bound by nobody else. */
static int adopt_eventfd(struct vmirq_irqfd *irqfd, const struct vmirq_irqfd_config *config)
{
	int error = 0;

	irqfd->token = config->token;
	if (!irqfd->token)
		error = vmirq_eventfd_token(config->eventfd, &irqfd->token);
	if (error)
		return error;
	irqfd->eventfd = fcntl(config->eventfd, F_DUPFD_CLOEXEC, 0);
	if (irqfd->eventfd < 0)
		return -errno;
	error = vmirq_eventfd_bind(irqfd->token);
	if (error) {
		close(irqfd->eventfd);
		irqfd->eventfd = -1;
	}
	return error;
}

static void drop_eventfd(struct vmirq_irqfd *irqfd)
{
	if (irqfd->eventfd < 0)
		return;
	vmirq_eventfd_unbind(irqfd->token);
	close(irqfd->eventfd);
	irqfd->eventfd = -1;
}

/* Where its counts go when it is gone, so that deassign cannot fail. */
static int make_retired(struct route_slot *slot)
{
	struct counts *retired;

	if (atomic_load_explicit(&slot->retired, memory_order_relaxed))
		return 0;
	retired = calloc(1, sizeof(*retired));
	if (!retired)
		return -ENOMEM;
	/* Release: pairs with the acquire in vmirq_gsi_counts(). */
	atomic_store_explicit(&slot->retired, retired, memory_order_release);
	return 0;
}

/* Follow the slot's route. Whoever signals first, or the pump, finds it resolved. */
static int attach(struct vmirq_irqfd *irqfd)
{
	struct route_table *routes = irqfd->table->vm->routes;
	int error;

	vmirq_route_lock(routes, irqfd->slot);
	error = make_retired(irqfd->slot);
	if (!error) {
		seq_write_lock(&irqfd->seq);
		atomic_store_explicit(&irqfd->target, TARGET_UNKNOWN, memory_order_relaxed);
		seq_write_end(&irqfd->seq);
		vmirq_route_watch(irqfd->slot, &irqfd->watcher);
		vmirq_irqfd_resolve(irqfd);
	}
	vmirq_route_unlock(routes, irqfd->slot);
	return error;
}

/* False: somebody else has detached it. */
static bool detach(struct vmirq_irqfd *irqfd)
{
	struct route_table *routes = irqfd->table->vm->routes;
	bool found;

	vmirq_route_lock(routes, irqfd->slot);
	found = vmirq_route_unwatch(irqfd->slot, &irqfd->watcher);
	vmirq_route_unlock(routes, irqfd->slot);
	return found;
}

/* The pump's callback: in a read section. */
static bool eventfd_ready(void *opaque)
{
	struct vmirq_irqfd *irqfd = opaque;
	uint64_t n = vmirq_fd_drain(irqfd->eventfd);

	if (n)
		vmirq_irqfd_read(irqfd, n);
	return n > 0;
}

int vmirq_irqfd_assign(struct vmirq_vm *vm, const struct vmirq_irqfd_config *caller,
		       struct vmirq_irqfd **out)
{
	struct vmirq_irqfd_config config;
	struct vmirq_irqfd *irqfd;
	struct route_slot *slot;
	int error;

	if (!vm || !caller || !out)
		return -EINVAL;
	error = options_copy(&config, sizeof(config), CONFIG_LEAST, caller, caller->size);
	if (error)
		return error;
	if (config.flags || config.eventfd < -1)
		return config.flags ? -EINVAL : -EBADF;
	error = vmirq_route_slot(vm->routes, config.gsi, &slot);
	if (error)
		return error;
	irqfd = vmirq_irqfd_take(vm->irqfds);
	if (!irqfd)
		return -ENOMEM;
	irqfd->table = vm->irqfds;
	irqfd->chip = vm->chip;
	irqfd->slot = slot;
	irqfd->watcher.changed = route_changed;
	irqfd->pump = NULL;
	irqfd->eventfd = -1;
	if (config.eventfd >= 0)
		error = adopt_eventfd(irqfd, &config);
	if (!error)
		error = attach(irqfd);
	if (!error && config.eventfd >= 0) {
		struct vmirq_pump *pump = config.pump ? config.pump : vm->pump;

		error = vmirq_pump_add(pump, irqfd->eventfd, eventfd_ready, irqfd,
				       &irqfd->pump_entry);
		if (error)
			detach(irqfd);
		else
			irqfd->pump = pump;
	}
	if (error) {
		drop_eventfd(irqfd);
		vmirq_irqfd_put(irqfd);
		return error;
	}
	*out = irqfd;
	return 0;
}

/* What was written before the call. The pump is off it already, so nobody else reads. */
static void deliver_unread(struct vmirq_irqfd *irqfd)
{
	uint64_t n = vmirq_fd_drain(irqfd->eventfd);
	struct reader *section;

	if (!n)
		return;
	section = reader_enter();
	vmirq_irqfd_read(irqfd, n);
	reader_exit(section);
}

/* Its counts go to its GSI. Nobody signals any more. */
static void retire_counts(struct vmirq_irqfd *irqfd)
{
	struct counts *retired = atomic_load_explicit(&irqfd->slot->retired, memory_order_relaxed);

	counts_add(retired, VMIRQ_DELIVERED,
		   atomic_exchange_explicit(&irqfd->delivered, 0, memory_order_relaxed));
	counts_add(retired, VMIRQ_COALESCED,
		   atomic_exchange_explicit(&irqfd->coalesced, 0, memory_order_relaxed));
	for (int i = 0; i < VMIRQ_VERDICTS; i++)
		counts_add(
			retired, (enum vmirq_verdict)i,
			atomic_exchange_explicit(&irqfd->rest.verdict[i], 0, memory_order_relaxed));
}

/* The rest of deassign, for the one that detached it. */
static void unbind(struct vmirq_irqfd *irqfd)
{
	if (irqfd->pump) {
		vmirq_pump_remove(irqfd->pump, irqfd->pump_entry);
		deliver_unread(irqfd);
	}
	vmirq_irqfd_set_gone(irqfd);
	/* Signals that saw it before are through; later ones see it gone. */
	vmirq_reader_wait();
	retire_counts(irqfd);
	drop_eventfd(irqfd);
	vmirq_irqfd_put(irqfd);
}

int vmirq_irqfd_deassign(struct vmirq_irqfd *irqfd)
{
	if (!irqfd)
		return 0;
	if (reader_inside())
		return -EDEADLK;
	if (detach(irqfd))
		unbind(irqfd);
	return 0;
}

static int deassign_matching(struct vmirq_vm *vm, int fd, uint32_t gsi)
{
	struct route_slot *slot;
	struct vmirq_irqfd *found = NULL;
	uint64_t token;
	int error = vmirq_eventfd_token(fd, &token);

	if (error)
		return error;
	if (reader_inside())
		return -EDEADLK;
	slot = vmirq_route_find(vm->routes, gsi);
	if (!slot)
		return 0;
	vmirq_route_lock(vm->routes, slot);
	for (struct route_watcher *w = slot->watchers; w && !found; w = w->next)
		if (of_watcher(w)->eventfd >= 0 && of_watcher(w)->token == token)
			found = of_watcher(w);
	if (found)
		vmirq_route_unwatch(slot, &found->watcher);
	vmirq_route_unlock(vm->routes, slot);
	if (found)
		unbind(found);
	return 0;
}

int vmirq_irqfd(struct vmirq_vm *vm, const struct kvm_irqfd *args)
{
	struct vmirq_irqfd *irqfd;
	struct vmirq_irqfd_config config = { .size = sizeof(config) };

	if (!vm || !args ||
	    (args->flags & ~(uint32_t)(KVM_IRQFD_FLAG_DEASSIGN | KVM_IRQFD_FLAG_RESAMPLE)))
		return -EINVAL;
	if (args->flags & KVM_IRQFD_FLAG_DEASSIGN)
		return deassign_matching(vm, (int)args->fd, args->gsi);
	/* No chip of this VM can do levels. */
	if (args->flags & KVM_IRQFD_FLAG_RESAMPLE)
		return -EINVAL;
	if ((int)args->fd < 0)
		return -EBADF;
	config.gsi = args->gsi;
	config.eventfd = (int)args->fd;
	return vmirq_irqfd_assign(vm, &config, &irqfd);
}

uint32_t vmirq_irqfd_gsi(const struct vmirq_irqfd *irqfd)
{
	return irqfd->slot->gsi;
}
