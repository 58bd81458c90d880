/* SPDX-License-Identifier: MIT */
/* Bind and unbind. */
#include "irqfd/irqfd.h"

#include <errno.h>
#include <fcntl.h>
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

/* Our own duplicate of the caller's eventfd, known to be one and bound by nobody else. The duplicate
 * is asked, not the caller's number, which may be closed and used again at any moment. */
static int adopt_eventfd(struct vmirq_irqfd *irqfd, const struct vmirq_irqfd_config *config)
{
	int error = 0;

	irqfd->eventfd = fcntl(config->eventfd, F_DUPFD_CLOEXEC, 0);
	if (irqfd->eventfd < 0)
		return -errno;
	irqfd->token = config->token;
	irqfd->callers_token = config->token != 0;
	if (!irqfd->token)
		error = vmirq_eventfd_token(irqfd->eventfd, &irqfd->token);
	if (!error)
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

/* The pump's callback: in a read section. */
static bool eventfd_ready(void *opaque)
{
	struct vmirq_irqfd *irqfd = opaque;
	uint64_t n = vmirq_fd_drain(irqfd->eventfd);

	if (n)
		vmirq_irqfd_read(irqfd, n);
	return n > 0;
}

/* Have the pump watch the eventfd. */
static int start_pump(struct vmirq_irqfd *irqfd, struct vmirq_pump *pump)
{
	int error = vmirq_pump_add(pump, irqfd->eventfd, eventfd_ready, irqfd, &irqfd->pump_entry);

	if (!error)
		irqfd->pump = pump;
	/* What epoll cannot wait for is no eventfd. */
	return error == -EPERM ? -EINVAL : error;
}

/* Follow the slot's route, and be fed, in one hold of the slot's lock: who finds the irqfd on the slot
 * finds all of it. Whoever signals first, or the pump, finds it resolved. */
static int attach(struct vmirq_irqfd *irqfd, struct vmirq_pump *pump)
{
	struct route_table *routes = irqfd->table->vm->routes;
	int error;

	vmirq_route_lock(routes, irqfd->slot);
	/* Where its counts go when it is gone, so that deassign cannot fail. */
	error = vmirq_route_make_more(irqfd->slot);
	if (!error) {
		vmirq_irqfd_set_unknown(irqfd);
		vmirq_irqfd_resolve(irqfd);
	}
	if (!error && irqfd->eventfd >= 0)
		error = start_pump(irqfd, pump);
	if (error)
		vmirq_irqfd_set_gone(irqfd);
	else
		vmirq_route_watch(irqfd->slot, &irqfd->watcher);
	vmirq_route_unlock(routes, irqfd->slot);
	return error;
}

/* The slot's lock is held. */
static bool claim_locked(struct vmirq_irqfd *irqfd)
{
	if (irqfd->leaving)
		return false;
	irqfd->leaving = true;
	pthread_mutex_lock(&irqfd->table->mutex);
	irqfd->table->unbinding++;
	pthread_mutex_unlock(&irqfd->table->mutex);
	return true;
}

/* Is the calling thread the one that deassigns it? It goes on following its route until it is
 * detached, so that what is delivered on the way does not go by an old one. */
static bool claim(struct vmirq_irqfd *irqfd)
{
	struct route_table *routes = irqfd->table->vm->routes;
	bool first;

	vmirq_route_lock(routes, irqfd->slot);
	first = claim_locked(irqfd);
	vmirq_route_unlock(routes, irqfd->slot);
	return first;
}

/* Somebody else deassigns it, or has: wait, so that nothing follows this caller's return either. */
static void wait_for_unbinds(struct irqfd_table *table)
{
	pthread_mutex_lock(&table->mutex);
	while (table->unbinding)
		pthread_cond_wait(&table->unbound, &table->mutex);
	pthread_mutex_unlock(&table->mutex);
}

static void detach(struct vmirq_irqfd *irqfd)
{
	struct route_table *routes = irqfd->table->vm->routes;

	vmirq_route_lock(routes, irqfd->slot);
	vmirq_route_unwatch(irqfd->slot, &irqfd->watcher);
	vmirq_irqfd_set_gone(irqfd);
	vmirq_route_unlock(routes, irqfd->slot);
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
	if (config.flags || (config.token & KERNELS_TOKEN))
		return -EINVAL;
	if (config.eventfd < -1)
		return -EBADF;
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
	irqfd->leaving = false;
	irqfd->pump = NULL;
	irqfd->eventfd = -1;
	if (config.eventfd >= 0)
		error = adopt_eventfd(irqfd, &config);
	if (!error)
		error = attach(irqfd, config.pump ? config.pump : vm->pump);
	if (error) {
		drop_eventfd(irqfd);
		vmirq_irqfd_put(irqfd);
		return error;
	}
	*out = irqfd;
	return 0;
}

/* What was written before the call. The pump is off it already, so nobody else reads. Once: of a
 * semaphore eventfd a write is one interrupt, and what it leaves belongs to no later one. */
static void deliver_unread(struct vmirq_irqfd *irqfd)
{
	struct reader *section = reader_enter();

	eventfd_ready(irqfd);
	reader_exit(section);
}

/* Its counts go to its GSI. Nobody signals any more. */
static void retire_counts(struct vmirq_irqfd *irqfd)
{
	struct counts *retired =
		&atomic_load_explicit(&irqfd->slot->more, memory_order_relaxed)->counts;

	counts_add(retired, VMIRQ_DELIVERED,
		   atomic_exchange_explicit(&irqfd->delivered, 0, memory_order_relaxed));
	counts_add(retired, VMIRQ_COALESCED,
		   atomic_exchange_explicit(&irqfd->coalesced, 0, memory_order_relaxed));
	for (int i = 0; i < VMIRQ_VERDICTS; i++)
		counts_add(
			retired, (enum vmirq_verdict)i,
			atomic_exchange_explicit(&irqfd->rest.verdict[i], 0, memory_order_relaxed));
}

/* The rest of deassign, for the one that claimed it. */
static void unbind(struct vmirq_irqfd *irqfd)
{
	struct irqfd_table *table = irqfd->table;

	if (irqfd->pump) {
		vmirq_pump_remove(irqfd->pump, irqfd->pump_entry);
		deliver_unread(irqfd);
	}
	detach(irqfd);
	/* Signals that saw it before are through; later ones see it gone. */
	vmirq_reader_wait();
	retire_counts(irqfd);
	drop_eventfd(irqfd);
	vmirq_irqfd_put(irqfd);
	pthread_mutex_lock(&table->mutex);
	if (!--table->unbinding)
		pthread_cond_broadcast(&table->unbound);
	pthread_mutex_unlock(&table->mutex);
}

int vmirq_irqfd_deassign(struct vmirq_irqfd *irqfd)
{
	struct irqfd_table *table;

	if (!irqfd)
		return 0;
	if (reader_inside())
		return -EDEADLK;
	table = irqfd->table;
	if (claim(irqfd))
		unbind(irqfd);
	else
		wait_for_unbinds(table);
	return 0;
}

/* Is it bound to the eventfd that the kernel knows by `token`? */
static bool is_bound_to(const struct vmirq_irqfd *irqfd, uint64_t token)
{
	uint64_t own = irqfd->token;

	if (irqfd->leaving || irqfd->eventfd < 0 ||
	    (irqfd->callers_token && vmirq_eventfd_token(irqfd->eventfd, &own)))
		return false;
	return own == token;
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
		if (is_bound_to(of_watcher(w), token))
			found = of_watcher(w);
	if (found)
		claim_locked(found);
	vmirq_route_unlock(vm->routes, slot);
	if (found)
		unbind(found);
	else
		wait_for_unbinds(vm->irqfds);
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
	if ((int)args->fd < 0)
		return -EBADF;
	if (args->flags & KVM_IRQFD_FLAG_RESAMPLE) {
		uint64_t token;
		int error = vmirq_eventfd_token((int)args->fd, &token);

		/* Not yet; but what is wrong with the descriptor is said first, as by the kernel. */
		return error ? error : -EINVAL;
	}
	config.gsi = args->gsi;
	config.eventfd = (int)args->fd;
	return vmirq_irqfd_assign(vm, &config, &irqfd);
}

uint32_t vmirq_irqfd_gsi(const struct vmirq_irqfd *irqfd)
{
	return irqfd->slot->gsi;
}
