/* SPDX-License-Identifier: MIT */
/* Bind, unbind, retarget. */
#include <errno.h>
#include <string.h>

#include "base/options.h"
#include "base/vm.h"
#include "chip/irqchip.h"
#include "defer/callers_worker.h"
#include "irqfd/eventfd.h"
#include "line/line.h"
#include "passthrough/pirq.h"
#include "pump/pump.h"

#include <vmirq/route.h>

/* vmirq_pirq_binding as it was in the first release. */
#define BINDING_LEAST sizeof(struct vmirq_pirq_binding)

/* Can it be an interrupt at all? What a guest's CPU would make an error of is the caller's here. */
static bool is_message(const struct vmirq_vm *vm, uint64_t address, uint32_t data)
{
	struct msi_message msg = { .address_lo = (uint32_t)address,
				   .address_hi = (uint32_t)(address >> 32),
				   .data = data };
	struct interrupt irq;

	if (!msi_message_valid(&msg, vm->chip->format))
		return false;
	vmirq_msi_decode(&msg, vm->chip->format, &irq);
	if (!irq.interrupt || irq.mode == DELIVERY_RESERVED || irq.mode == DELIVERY_SIPI)
		return false;
	return irq.vector >= 16 || (irq.mode != DELIVERY_FIXED && irq.mode != DELIVERY_LOWEST);
}

static bool gsis_agree(const struct vmirq_pirq_binding *b)
{
	uint32_t most = b->type == VMIRQ_PIRQ_IDENTITY ? 1 : VMIRQ_PIRQ_GSIS;

	if (!b->n_gsis || b->n_gsis > most || !b->gsis)
		return false;
	for (uint32_t i = 0; i < b->n_gsis; i++) {
		if (b->gsis[i] >= b->vm->routes->max_gsis)
			return false;
		for (uint32_t j = 0; j < i; j++)
			if (b->gsis[i] == b->gsis[j])
				return false;
	}
	return true;
}

static uint32_t flags_of(uint32_t type)
{
	return type == VMIRQ_PIRQ_MSI	     ? VMIRQ_PIRQ_NO_FAST_PATH
	       : type == VMIRQ_PIRQ_IDENTITY ? VMIRQ_PIRQ_NO_EOI
					     : 0;
}

static bool goes_fast(const struct vmirq_pirq *pirq, const struct vmirq_pirq_binding *b)
{
	const struct irqchip *irqchip = b->vm->irqchip;

	return b->type == VMIRQ_PIRQ_MSI && !(b->flags & VMIRQ_PIRQ_NO_FAST_PATH) &&
	       !pirq->unmask && !pirq->rate_limit && (!irqchip || irqchip->signals_msi);
}

static int check_binding(const struct vmirq_pirq *pirq, const struct vmirq_pirq_binding *b)
{
	if (!b->vm)
		return -EINVAL;
	if (b->type > VMIRQ_PIRQ_IDENTITY)
		return -EOPNOTSUPP;
	if (b->flags & ~flags_of(b->type))
		return -EINVAL;
	if (b->type == VMIRQ_PIRQ_MSI ? !is_message(b->vm, b->address, b->data) : !gsis_agree(b))
		return -EINVAL;
	if (b->type != VMIRQ_PIRQ_MSI && !(b->flags & VMIRQ_PIRQ_NO_EOI) &&
	    vmirq_line_in_kernel(b->vm))
		return -EOPNOTSUPP;
	return b->worker || goes_fast(pirq, b) ? 0 : -EINVAL;
}

/* At once, also where the thread has a transaction open. */
static int change_message(struct vmirq_vm *vm, struct route_slot *slot, enum route_kind kind,
			  uint64_t address, uint32_t data)
{
	struct route_change change = { .slot = slot, .route = { .kind = kind } };

	change.route.msi = (struct msi_message){ .address_lo = (uint32_t)address,
						 .address_hi = (uint32_t)(address >> 32),
						 .data = data };
	return vmirq_route_make_changes(vm, &change, 1);
}

static void end_message(struct vmirq_pirq *pirq)
{
	struct vmirq_route_counts now = { .size = sizeof(now) };

	vmirq_irqfd_deassign(pirq->irqfd);
	pthread_mutex_lock(&pirq->state_mutex);
	pirq->irqfd = NULL;
	/* With what deassign delivered. */
	vmirq_gsi_counts(pirq->vm, pirq->msi_slot->gsi, &now);
	for (int i = 0; i < VMIRQ_VERDICTS; i++)
		counts_add(&pirq->counts, (enum vmirq_verdict)i,
			   now.verdict[i] - pirq->msi_before.verdict[i]);
	pthread_mutex_unlock(&pirq->state_mutex);
	if (!change_message(pirq->vm, pirq->msi_slot, ROUTE_NONE, 0, 0))
		vmirq_gsi_release(pirq->vm->routes, pirq->msi_slot);
}

/* A GSI of its own, with the message for a route, and an irqfd that resolves it. */
static int make_message(struct vmirq_pirq *pirq, const struct vmirq_pirq_binding *b)
{
	struct vmirq_irqfd_config config = { .size = sizeof(config),
					     .eventfd = pirq->fast ? pirq->eventfd : -1,
					     .pump = pirq->pump,
					     .token = pirq->callers_token };
	int error = vmirq_gsi_take(b->vm, &pirq->msi_slot);

	if (error)
		return error;
	config.gsi = pirq->msi_slot->gsi;
	pirq->msi_before = (struct vmirq_route_counts){ .size = sizeof(pirq->msi_before) };
	vmirq_gsi_counts(b->vm, config.gsi, &pirq->msi_before);
	error = change_message(b->vm, pirq->msi_slot, ROUTE_MSI, b->address, b->data);
	if (!error)
		error = vmirq_irqfd_assign(b->vm, &config, &pirq->irqfd);
	if (error && !change_message(b->vm, pirq->msi_slot, ROUTE_NONE, 0, 0))
		vmirq_gsi_release(b->vm->routes, pirq->msi_slot);
	return error;
}

static int make_target(struct vmirq_pirq *pirq, const struct vmirq_pirq_binding *b)
{
	int error = 0;

	if (b->type == VMIRQ_PIRQ_MSI)
		return make_message(pirq, b);
	for (uint32_t i = 0; i < b->n_gsis && !error; i++)
		error = vmirq_pirq_join(b->vm->pirqs, pirq, b->gsis[i]);
	if (error)
		vmirq_pirq_leave(pirq);
	return error;
}

/* The pump's callback: in a read section. */
static bool eventfd_ready(void *opaque)
{
	struct vmirq_pirq *pirq = opaque;
	uint64_t n = vmirq_fd_drain(pirq->eventfd);

	if (n > 1)
		counts_add(&pirq->counts, VMIRQ_EVENTFD_MERGED, n - 1);
	if (n)
		vmirq_pirq_raise(pirq);
	return n > 0;
}

/* Have the eventfd read here; what is readable already is told at once. */
static int start_reading(struct vmirq_pirq *pirq)
{
	int error;

	if (pirq->eventfd < 0 || pirq->fast)
		return 0;
	error = vmirq_pump_add(pirq->pump, pirq->eventfd, eventfd_ready, pirq, &pirq->pump_entry);
	pirq->reads = !error;
	/* What epoll cannot wait for is no eventfd. */
	return error == -EPERM ? -EINVAL : error;
}

/* The registry is the irqfd's business where that has the eventfd. */
static int claim_eventfd(struct vmirq_pirq *pirq)
{
	int error;

	if (pirq->eventfd < 0 || pirq->fast)
		return 0;
	error = vmirq_eventfd_bind(&pirq->binding, pirq->eventfd, pirq->token, NULL);
	pirq->bound_eventfd = !error;
	return error;
}

static void release_eventfd(struct vmirq_pirq *pirq)
{
	if (pirq->bound_eventfd)
		vmirq_eventfd_unbind(&pirq->binding);
	pirq->bound_eventfd = false;
}

/* All that its way needs is there before it is opened: an interrupt at once finds it. */
static void open_it(struct vmirq_pirq *pirq, struct vmirq_vm *vm)
{
	pthread_mutex_lock(&pirq->state_mutex);
	pirq->vm = vm;
	pirq->last_word = 0;
	atomic_store_explicit(&pirq->served, 0, memory_order_relaxed);
	pthread_mutex_unlock(&pirq->state_mutex);
	rate_init(&pirq->rate, pirq->rate_limit, pirq->burst, vmirq_pirq_now(pirq));
	atomic_store_explicit(&pirq->resume_at, 0, memory_order_relaxed);
	atomic_store_explicit(&pirq->watchdog_at, 0, memory_order_relaxed);
	if (!pirq->fast)
		vmirq_defer_init(&pirq->work, pirq->worker->list, vmirq_pirq_run);
	vmirq_pirq_open_unmasks(pirq);
	vmirq_pirq_list(vm->pirqs, pirq);
	pthread_mutex_lock(&pirq->state_mutex);
	/* Release: pairs with A in pirq.h. */
	atomic_exchange(&pirq->word, PIRQ_OPEN | (pirq->fast ? PIRQ_FAST : 0));
	pirq->open = true;
	pthread_mutex_unlock(&pirq->state_mutex);
}

static int bind_locked(struct vmirq_pirq *pirq, const struct vmirq_pirq_binding *b)
{
	int error = 0;

	pirq->fast = goes_fast(pirq, b);
	pirq->worker = b->worker;
	pirq->type = b->type;
	pirq->flags = b->flags;
	pirq->waits = b->type == VMIRQ_PIRQ_INTX ||
		      (b->type == VMIRQ_PIRQ_IDENTITY && !(b->flags & VMIRQ_PIRQ_NO_EOI));
	pirq->remasks = pirq->waits && pirq->unmask;
	pirq->pump = pirq->own_pump ? pirq->own_pump : b->vm->pump;
	if (pirq->rate_limit || pirq->watchdog_ns)
		error = vmirq_pirq_make_timer(b->vm->pirqs);
	if (!error)
		error = claim_eventfd(pirq);
	if (error)
		return error;
	error = make_target(pirq, b);
	if (error) {
		release_eventfd(pirq);
		return error;
	}
	open_it(pirq, b->vm);
	error = start_reading(pirq);
	if (error)
		vmirq_pirq_unbind_locked(pirq);
	return error;
}

/* What was raised goes by the old message, and is unmasked: without the mutex, for unmask may wait for others who
 * want that. False: it has been unbound since, and perhaps bound to something else. */
static bool flush(struct vmirq_pirq *pirq)
{
	uint64_t unbinds = pirq->unbinds;

	if (pirq->fast)
		return true;
	/* Unbind, and so the next bind, wait for it. */
	atomic_fetch_add_explicit(&pirq->calls, 1, memory_order_relaxed);
	pthread_mutex_unlock(&pirq->mutex);
	vmirq_defer_flush(&pirq->work);
	/* Release: pairs with the acquire in wait_for_calls(). */
	atomic_fetch_sub_explicit(&pirq->calls, 1, memory_order_release);
	pthread_mutex_lock(&pirq->mutex);
	return pirq->unbinds == unbinds;
}

static int retarget_locked(struct vmirq_pirq *pirq, uint64_t address, uint32_t data)
{
	do {
		if (!pirq->vm)
			return -ENOENT;
		if (pirq->type != VMIRQ_PIRQ_MSI)
			return -EBUSY;
		if (!is_message(pirq->vm, address, data))
			return -EINVAL;
	} while (!flush(pirq));
	return change_message(pirq->vm, pirq->msi_slot, ROUTE_MSI, address, data);
}

static bool is_retarget(const struct vmirq_pirq *pirq, const struct vmirq_pirq_binding *b)
{
	return pirq->vm == b->vm && pirq->type == VMIRQ_PIRQ_MSI && b->type == VMIRQ_PIRQ_MSI &&
	       pirq->flags == b->flags;
}

static int rebind_locked(struct vmirq_pirq *pirq, const struct vmirq_pirq_binding *b)
{
	do {
		if (!pirq->vm)
			return bind_locked(pirq, b);
		if (!is_retarget(pirq, b))
			return -EBUSY;
	} while (!flush(pirq));
	return change_message(pirq->vm, pirq->msi_slot, ROUTE_MSI, b->address, b->data);
}

int vmirq_pirq_bind(struct vmirq_pirq *pirq, const struct vmirq_pirq_binding *caller)
{
	struct vmirq_pirq_binding binding;
	int error;

	if (!pirq || !caller)
		return -EINVAL;
	if (pirq_must_not_wait_for(pirq))
		return -EDEADLK;
	error = options_copy(&binding, sizeof(binding), BINDING_LEAST, caller, caller->size);
	if (!error)
		error = check_binding(pirq, &binding);
	if (error)
		return error;
	pthread_mutex_lock(&pirq->mutex);
	error = rebind_locked(pirq, &binding);
	pthread_mutex_unlock(&pirq->mutex);
	return error;
}

int vmirq_pirq_retarget(struct vmirq_pirq *pirq, uint64_t address, uint32_t data)
{
	int error;

	if (!pirq)
		return -EINVAL;
	if (pirq_must_not_wait_for(pirq))
		return -EDEADLK;
	pthread_mutex_lock(&pirq->mutex);
	error = retarget_locked(pirq, address, data);
	pthread_mutex_unlock(&pirq->mutex);
	return error;
}

static void wait_for_calls(struct vmirq_pirq *pirq)
{
	/* Acquire: pairs with the releases of who was counted. */
	for (unsigned int turn = 0; atomic_load_explicit(&pirq->calls, memory_order_acquire);
	     turn++)
		vmirq_back_off(turn);
}

/* C in pirq.h. What is added to the word from now on is counted where it is added. */
static void close_it(struct vmirq_pirq *pirq)
{
	pthread_mutex_lock(&pirq->state_mutex);
	pirq->open = false;
	pirq->last_word = atomic_fetch_and(&pirq->word, ~PIRQ_FLAGS);
	pthread_mutex_unlock(&pirq->state_mutex);
}

/* What was raised, and no run has served. Nobody raises it any more, nor runs. */
static void throw_away(struct vmirq_pirq *pirq)
{
	uint64_t served, n;

	pthread_mutex_lock(&pirq->state_mutex);
	served = atomic_load_explicit(&pirq->served, memory_order_relaxed);
	n = pirq->last_word / PIRQ_RAISE - served;
	atomic_store_explicit(&pirq->served, served + n, memory_order_relaxed);
	if (n) {
		counts_add(&pirq->counts, VMIRQ_DEASSIGNED, 1);
		counts_add(&pirq->counts, VMIRQ_COALESCED, n - 1);
	}
	pthread_mutex_unlock(&pirq->state_mutex);
}

void vmirq_pirq_unbind_locked(struct vmirq_pirq *pirq)
{
	struct pirq_domain *domain = pirq->vm->pirqs;

	close_it(pirq);
	vmirq_pirq_unlist(domain, pirq);
	if (pirq->reads)
		vmirq_pump_remove(pirq->pump, pirq->pump_entry);
	pirq->reads = false;
	vmirq_reader_wait(); /* D */
	if (!pirq->fast) {
		vmirq_defer_fini(&pirq->work); /* E */
		throw_away(pirq);
	}
	/* A timer's, a reset's, or an EOI's in the guest's stead, which go by the links. */
	wait_for_calls(pirq);
	vmirq_pirq_leave(pirq);
	/* An EOI's, which found it there. */
	wait_for_calls(pirq);
	vmirq_pirq_close_unmasks(pirq);
	if (pirq->irqfd)
		end_message(pirq);
	release_eventfd(pirq);
	pirq->unbinds++;
	pthread_mutex_lock(&pirq->state_mutex);
	pirq->vm = NULL;
	pthread_mutex_unlock(&pirq->state_mutex);
	/* The VM may be gone from here on. Release: pairs with the acquire in domain.c. */
	atomic_fetch_sub_explicit(&domain->bound, 1, memory_order_release);
}

int vmirq_pirq_unbind(struct vmirq_pirq *pirq)
{
	int error = 0;

	if (!pirq)
		return -EINVAL;
	if (pirq_must_not_wait_for(pirq))
		return -EDEADLK;
	pthread_mutex_lock(&pirq->mutex);
	if (pirq->vm)
		vmirq_pirq_unbind_locked(pirq);
	else
		error = -ENOENT;
	pthread_mutex_unlock(&pirq->mutex);
	return error;
}
