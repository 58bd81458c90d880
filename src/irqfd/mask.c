/* SPDX-License-Identifier: MIT */
#include "irqfd/mask.h"
#include "irqfd/place.h"

#include <errno.h>

#include "base/reader.h"
#include "base/vm.h"
#include "irqfd/bypass.h"

bool vmirq_irqfd_hold(struct vmirq_irqfd *irqfd, enum vmirq_verdict *verdict)
{
	uint8_t gate = GATE_MASKED;

	/* Locked also where it is pending already: what the device wrote before is then visible to whom
	 * that bit brings. Release: pairs with the acquire in open_gate(); acquire: with its
	 * release, for an open gate. */
	while (!atomic_compare_exchange_weak_explicit(&irqfd->gate, &gate, gate | GATE_PENDING,
						      memory_order_acq_rel, memory_order_acquire))
		if (!(gate & GATE_MASKED))
			return false;
	*verdict = gate & GATE_PENDING ? VMIRQ_COALESCED : VMIRQ_HELD;
	if (*verdict == VMIRQ_COALESCED)
		counts_add(&irqfd->counts, VMIRQ_COALESCED, 1);
	return true;
}

int vmirq_irqfd_assign_masked(struct vmirq_vm *vm, struct vmirq_irqfd **out)
{
	struct vmirq_irqfd_config config = { .eventfd = -1 };

	return vmirq_irqfd_assign_to(vm, vm->irqfds->unrouted, &config, true, out);
}

void vmirq_irqfd_move(struct vmirq_irqfd *irqfd, struct route_slot *slot)
{
	struct route_table *routes = irqfd->table->vm->routes;

	irqfd_hold_places(irqfd->table);
	vmirq_route_lock(routes, irqfd->slot);
	if (irqfd_routed(irqfd))
		vmirq_route_unwatch(irqfd->slot, &irqfd->watcher);
	vmirq_route_unlock(routes, irqfd->slot);
	/* For vmirq_irqfd_gsi(). */
	pthread_mutex_lock(&irqfd->table->mutex);
	irqfd->slot = slot;
	pthread_mutex_unlock(&irqfd->table->mutex);
	vmirq_route_lock(routes, slot);
	if (irqfd_routed(irqfd))
		vmirq_route_watch(routes, slot, &irqfd->watcher);
	vmirq_route_unlock(routes, slot);
	irqfd_release_places(irqfd->table);
}

/* The places are held; `new` may be NULL. */
static int exchange_source(struct vmirq_irqfd *irqfd, struct irqfd_source *new)
{
	struct route route = vmirq_route_read(irqfd->slot);
	bool from_pump = irqfd_place_now(irqfd) == IRQFD_IN_PUMP;
	int error;

	vmirq_irqfd_stop_source(irqfd);
	if (from_pump)
		vmirq_irqfd_deliver_unread(irqfd);
	vmirq_irqfd_drop(irqfd->source);
	vmirq_irqfd_put_source(irqfd->table, irqfd->source);
	irqfd->source = new;
	error = vmirq_irqfd_place(irqfd, &route);
	if (error) {
		irqfd->source = NULL;
		vmirq_irqfd_drop(new);
		vmirq_irqfd_put_source(irqfd->table, new);
	}
	return error;
}

/* Is it this one, by this token, that it has already? */
static bool has_eventfd(const struct irqfd_source *source, int fd, uint64_t token)
{
	uint64_t own, other;
	int error;

	/* A caller's token is there from the binding's beginning, and stays. */
	if (!source || (token ? !source->binding.callers_token || source->binding.token != token
			      : source->binding.callers_token))
		return false;
	error = vmirq_eventfd_token(fd, &other);
	if (!error)
		error = vmirq_eventfd_token(source->fd, &own);
	/* Without /proc there is the token only. */
	return error ? token && error == -ENOSYS : own == other;
}

int vmirq_irqfd_set_eventfd(struct vmirq_irqfd *irqfd, struct vmirq_pump *pump, int fd,
			    uint64_t token, bool bypass)
{
	struct irqfd_source *new = NULL;
	int error = 0;

	if (vmirq_irqfd_in_callback(irqfd))
		return -EDEADLK;
	if (fd >= 0 && has_eventfd(irqfd->source, fd, token))
		return 0;
	if (fd >= 0) {
		new = vmirq_irqfd_take_source(irqfd->table);
		if (!new)
			return -ENOMEM;
		error = vmirq_irqfd_adopt(new, fd, false, token,
					  pump ? pump : irqfd->table->vm->pump, NULL);
		new->no_bypass = !bypass;
	}
	if (error) {
		vmirq_irqfd_drop(new);
		vmirq_irqfd_put_source(irqfd->table, new);
		return error;
	}
	vmirq_irqfd_leave_bypass(irqfd);
	irqfd_hold_places(irqfd->table);
	error = exchange_source(irqfd, new);
	irqfd_release_places(irqfd->table);
	if (!error)
		vmirq_irqfd_enter_bypass(irqfd);
	return error;
}

static void set_masked(struct vmirq_irqfd *irqfd)
{
	struct route_table *routes = irqfd->table->vm->routes;

	vmirq_route_lock(routes, irqfd->slot);
	/* Relaxed: the caller's vmirq_reader_wait() is what signals are held against. */
	atomic_fetch_or_explicit(&irqfd->gate, GATE_MASKED, memory_order_relaxed);
	vmirq_irqfd_resolve(irqfd);
	vmirq_route_unlock(routes, irqfd->slot);
}

void vmirq_irqfd_mask(struct vmirq_irqfd *irqfd)
{
	struct route route = vmirq_route_read(irqfd->slot);

	irqfd_hold_places(irqfd->table);
	set_masked(irqfd);
	/* Without memory to watch it nobody reads it, until the next drain. */
	vmirq_irqfd_place(irqfd, &route);
	irqfd_release_places(irqfd->table);
}

/* B above. Was it pending? */
static bool open_gate(struct vmirq_irqfd *irqfd)
{
	struct route_table *routes = irqfd->table->vm->routes;
	uint8_t old;

	vmirq_route_lock(routes, irqfd->slot);
	/* Acquire: pairs with the release in vmirq_irqfd_hold(). Release: with the acquires there and in
	 * irqfd_masked(). */
	old = atomic_exchange_explicit(&irqfd->gate, 0, memory_order_acq_rel);
	vmirq_irqfd_resolve(irqfd);
	vmirq_route_unlock(routes, irqfd->slot);
	return old & GATE_PENDING;
}

static void raise_pending(struct vmirq_irqfd *irqfd)
{
	struct reader *section = reader_enter();

	vmirq_irqfd_raise(irqfd);
	reader_exit(section);
}

/* All that was written so far is in the pending bit, also what the pump has in its hand. */
static void settle_eventfd(struct vmirq_irqfd *irqfd, const struct route *route)
{
	if (!irqfd->source)
		return;
	if (vmirq_irqfd_for_kernel(irqfd, route))
		vmirq_irqfd_stop_source(irqfd);
	vmirq_irqfd_deliver_unread(irqfd);
	vmirq_reader_wait();
}

int vmirq_irqfd_unmask(struct vmirq_irqfd *irqfd)
{
	struct route route;
	int error;

	irqfd_hold_places(irqfd->table);
	route = vmirq_route_read(irqfd->slot);
	settle_eventfd(irqfd, &route);
	if (open_gate(irqfd))
		raise_pending(irqfd);
	error = vmirq_irqfd_place(irqfd, &route);
	if (error) {
		set_masked(irqfd);
		/* Whoever saw it open is through. */
		vmirq_reader_wait();
	}
	irqfd_release_places(irqfd->table);
	return error;
}

void vmirq_irqfd_drain(struct vmirq_irqfd *irqfd)
{
	if (irqfd->source)
		vmirq_irqfd_deliver_unread(irqfd);
}

void vmirq_irqfd_set_pending(struct vmirq_irqfd *irqfd)
{
	/* Release: pairs with the acquire in open_gate(). */
	atomic_fetch_or_explicit(&irqfd->gate, GATE_PENDING, memory_order_release);
}

void vmirq_irqfd_clear_pending(struct vmirq_irqfd *irqfd)
{
	/* Acquire: pairs with the release in vmirq_irqfd_hold(). */
	uint8_t old = atomic_fetch_and_explicit(&irqfd->gate, (uint8_t)~GATE_PENDING,
						memory_order_acquire);

	if (old & GATE_PENDING)
		counts_add(&irqfd->counts, VMIRQ_DEASSIGNED, 1);
}
