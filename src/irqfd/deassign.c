/* SPDX-License-Identifier: MIT */
/* Unbind. */
#include <errno.h>

#include "base/reader.h"
#include "base/vm.h"
#include "bypass/manager.h"
#include "irqfd/bypass.h"
#include "irqfd/deferred.h"
#include "irqfd/eventfd.h"
#include "irqfd/mask.h"
#include "irqfd/place.h"
#include "irqfd/resample.h"

static void begin_unbind(struct vmirq_irqfd *irqfd, struct irqfd_unbind *u)
{
	struct irqfd_table *table = irqfd->table;

	pthread_mutex_lock(&table->mutex);
	*u = (struct irqfd_unbind){ .irqfd = irqfd,
				    .slot = irqfd->slot,
				    .number = table->unbinds++,
				    .next = table->unbinding,
				    .link = &table->unbinding };
	if (u->next)
		u->next->link = &u->next;
	table->unbinding = u;
	pthread_mutex_unlock(&table->mutex);
}

static void end_unbind(struct irqfd_table *table, struct irqfd_unbind *u)
{
	pthread_mutex_lock(&table->mutex);
	*u->link = u->next;
	if (u->next)
		u->next->link = u->link;
	waiters_wake(&table->settling);
	pthread_mutex_unlock(&table->mutex);
}

/* The slot's lock is held. */
static bool claim_locked(struct vmirq_irqfd *irqfd, struct irqfd_unbind *u)
{
	if (irqfd->leaving)
		return false;
	irqfd->leaving = true;
	begin_unbind(irqfd, u);
	return true;
}

/* Is the calling thread the one that deassigns it? It goes on following its route until it is
 * detached, so that what is delivered on the way does not go by an old one. */
static bool claim(struct vmirq_irqfd *irqfd, struct irqfd_unbind *u)
{
	struct route_table *routes = irqfd->table->vm->routes;
	bool first;

	vmirq_route_lock(routes, irqfd->slot);
	first = claim_locked(irqfd, u);
	vmirq_route_unlock(routes, irqfd->slot);
	return first;
}

/* One that began before `number`, of this irqfd, or with NULL of any on this slot. The mutex is held. */
static bool unbind_before(const struct irqfd_table *table, const struct vmirq_irqfd *irqfd,
			  const struct route_slot *slot, uint64_t number)
{
	for (const struct irqfd_unbind *u = table->unbinding; u; u = u->next)
		if (u->number < number && (irqfd ? u->irqfd == irqfd : u->slot == slot))
			return true;
	return false;
}

/* Somebody else deassigns it, or has: wait, so that nothing follows this caller's return either. For what has
 * begun by now only, or others that come and go would keep it waiting. Not in a producer's callback, which
 * what it would wait for may wait for, or be made by. */
static int wait_for_unbinds(struct irqfd_table *table, const struct vmirq_irqfd *irqfd,
			    const struct route_slot *slot)
{
	uint64_t number;
	int error = 0;

	pthread_mutex_lock(&table->mutex);
	number = table->unbinds;
	while (!error && unbind_before(table, irqfd, slot, number)) {
		if (vmirq_bypass_calls)
			error = -EDEADLK;
		else
			vmirq_wait_mutex(&table->settling, &table->mutex);
	}
	pthread_mutex_unlock(&table->mutex);
	return error;
}

/* False: there is no memory for its counts on its GSI. It stays there then, with them, and is not used
 * again: deassign cannot fail. */
static bool detach(struct vmirq_irqfd *irqfd)
{
	struct route_table *routes = irqfd->table->vm->routes;
	bool leaves, frees;

	vmirq_route_lock(routes, irqfd->slot);
	leaves = !vmirq_route_make_more(irqfd->slot);
	if (leaves)
		vmirq_route_unwatch(irqfd->slot, &irqfd->watcher);
	vmirq_irqfd_set_gone(irqfd);
	frees = leaves && irqfd_routed(irqfd) && route_kind_locked(irqfd->slot) == ROUTE_NONE;
	vmirq_route_unlock(routes, irqfd->slot);
	if (frees)
		vmirq_route_lower_hint(routes, irqfd->slot->gsi);
	return leaves;
}

/* Signals by call of a level irqfd of the kernel's are written to its eventfd: they end while the kernel
 * still reads it. */
static void end_calls(struct vmirq_irqfd *irqfd)
{
	struct vmirq_vm *vm = irqfd->table->vm;

	if (!irqfd->resample || irqfd->resample->resampler)
		return;
	vmirq_route_lock(vm->routes, irqfd->slot);
	vmirq_irqfd_set_gone(irqfd);
	vmirq_route_unlock(vm->routes, irqfd->slot);
	vmirq_reader_wait();
	vmirq_guard_remove(irqfd->resample->guarded);
	irqfd->resample->guarded = NULL;
}

/* Its counts go to its GSI. Nobody signals any more. */
static void retire_counts(struct vmirq_irqfd *irqfd)
{
	struct route_table *routes = irqfd->table->vm->routes;
	struct counts *retired =
		&atomic_load_explicit(&irqfd->slot->more, memory_order_relaxed)->counts;

	vmirq_route_lock(routes, irqfd->slot);
	for (int i = 0; i < VMIRQ_VERDICTS; i++)
		if (atomic_load_explicit(&irqfd->counts.verdict[i], memory_order_relaxed))
			counts_add_in_turn(retired, (enum vmirq_verdict)i,
					   atomic_exchange_explicit(&irqfd->counts.verdict[i], 0,
								    memory_order_relaxed));
	vmirq_route_unlock(routes, irqfd->slot);
}

/* The rest of deassign, for the one that claimed it; or of an assign's end that failed. */
static void unbind(struct vmirq_irqfd *irqfd, struct irqfd_unbind *u, bool gives_back)
{
	struct irqfd_table *table = irqfd->table;
	bool from_pump, leaves;

	vmirq_irqfd_leave_bypass(irqfd);
	irqfd_hold_places(table);
	end_calls(irqfd);
	from_pump = irqfd_place_now(irqfd) == IRQFD_IN_PUMP;
	vmirq_irqfd_stop_source(irqfd);
	if (from_pump)
		vmirq_irqfd_deliver_unread(irqfd);
	vmirq_irqfd_flush_deferred(irqfd);
	leaves = detach(irqfd);
	irqfd_release_places(table);
	/* Signals that saw it before are through; later ones see it gone. */
	vmirq_reader_wait();
	vmirq_irqfd_end_deferred(irqfd);
	vmirq_irqfd_clear_pending(irqfd);
	vmirq_resample_leave(irqfd);
	if (gives_back)
		vmirq_irqfd_give_back(irqfd->source);
	else
		vmirq_irqfd_drop(irqfd->source);
	if (leaves) {
		retire_counts(irqfd);
		vmirq_irqfd_put(irqfd);
	} else {
		vmirq_irqfd_put_source(table, irqfd->source);
		irqfd->source = NULL;
	}
	end_unbind(table, u);
}

static bool must_not_wait_for(const struct vmirq_irqfd *irqfd)
{
	return reader_inside() || vmirq_irqfd_in_callback(irqfd);
}

int vmirq_irqfd_deassign(struct vmirq_irqfd *irqfd)
{
	if (!irqfd)
		return 0;
	/* Relaxed: of one that its caller has been given it does not change. In its producer's callback it may be one
	 * that is still being bound. */
	if (atomic_load_explicit(&irqfd->owned, memory_order_relaxed))
		return must_not_wait_for(irqfd) ? -EDEADLK : -EBUSY;
	return vmirq_irqfd_deassign_own(irqfd);
}

int vmirq_irqfd_deassign_own(struct vmirq_irqfd *irqfd)
{
	struct irqfd_unbind u;

	if (must_not_wait_for(irqfd))
		return -EDEADLK;
	if (!claim(irqfd, &u))
		return wait_for_unbinds(irqfd->table, irqfd, NULL);
	unbind(irqfd, &u, false);
	return 0;
}

void vmirq_irqfd_unassign(struct vmirq_irqfd *irqfd)
{
	struct irqfd_unbind u;

	if (claim(irqfd, &u))
		unbind(irqfd, &u, true);
}

/* Is it bound to the eventfd that the kernel knows by `token`? */
static bool is_bound_to(const struct vmirq_irqfd *irqfd, uint64_t token)
{
	struct irqfd_source *source;
	uint64_t own;

	/* First: an owner may be exchanging the source. Acquire: pairs with the release in
	 * vmirq_irqfd_assign_to(). */
	if (irqfd->leaving || atomic_load_explicit(&irqfd->owned, memory_order_acquire))
		return false;
	source = irqfd->source;
	if (!source)
		return false;
	if (source->binding.callers_token ? vmirq_eventfd_token(source->fd, &own)
					  : vmirq_eventfd_name(&source->binding, &own))
		return false;
	return own == token;
}

int vmirq_irqfd_deassign_matching(struct vmirq_vm *vm, int fd, uint32_t gsi)
{
	struct route_slot *slot;
	struct vmirq_irqfd *found = NULL;
	struct irqfd_unbind u;
	bool claimed = false;
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
		if (is_bound_to(irqfd_of(w), token))
			found = irqfd_of(w);
	if (found && vmirq_irqfd_in_callback(found))
		error = -EDEADLK;
	else
		claimed = found && claim_locked(found, &u);
	vmirq_route_unlock(vm->routes, slot);
	if (error)
		return error;
	if (!claimed)
		return wait_for_unbinds(vm->irqfds, NULL, slot);
	unbind(found, &u, false);
	return 0;
}
