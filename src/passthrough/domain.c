/* SPDX-License-Identifier: MIT */
/* A VM's pirqs, all of them: its end, its reset, and what is due when. */
#include <errno.h>
#include <stdlib.h>

#include "base/vm.h"
#include "passthrough/pirq.h"

static void expire(struct pirq_domain *domain);

static uint64_t now_of(const struct pirq_domain *domain)
{
	return domain->vm->clock.now(domain->vm->clock.opaque);
}

uint64_t vmirq_pirq_now(const struct vmirq_pirq *pirq)
{
	return pirq->vm->clock.now(pirq->vm->clock.opaque);
}

int vmirq_pirq_domain_create(struct vmirq_vm *vm, struct pirq_domain **out)
{
	struct pirq_domain *domain = calloc(1, sizeof(*domain));

	if (!domain)
		return -ENOMEM;
	domain->vm = vm;
	domain->armed = UINT64_MAX;
	domain->tail = &domain->list;
	pthread_mutex_init(&domain->mutex, NULL);
	pthread_mutex_init(&domain->list_mutex, NULL);
	*out = domain;
	return 0;
}

/* Others may unbind it meanwhile, and free it then: while it is on the list it is there. */
static bool unbind_one(struct pirq_domain *domain)
{
	struct vmirq_pirq *pirq;
	bool locked;

	pthread_mutex_lock(&domain->list_mutex);
	pirq = domain->list;
	/* Who has it locked may be waiting for the list. */
	locked = pirq && !pthread_mutex_trylock(&pirq->mutex);
	pthread_mutex_unlock(&domain->list_mutex);
	if (locked) {
		vmirq_pirq_unbind_locked(pirq);
		pthread_mutex_unlock(&pirq->mutex);
	}
	return locked;
}

void vmirq_pirq_domain_destroy(struct pirq_domain *domain)
{
	unsigned int turn = 0;

	if (!domain)
		return;
	/* Acquire: pairs with the release in vmirq_pirq_unbind_locked(). */
	while (atomic_load_explicit(&domain->bound, memory_order_acquire))
		if (!unbind_one(domain))
			vmirq_back_off(turn++);
	vmirq_timer_destroy(&domain->timer);
	pthread_mutex_destroy(&domain->list_mutex);
	pthread_mutex_destroy(&domain->mutex);
	free(domain);
}

/* The list_mutex is held. */
static void link_at(struct pirq_domain *domain, struct vmirq_pirq *pirq, struct vmirq_pirq **at)
{
	pirq->at = at;
	pirq->next = *at;
	*at = pirq;
	if (pirq->next)
		pirq->next->at = &pirq->next;
	else
		domain->tail = &pirq->next;
}

static void unlink_here(struct pirq_domain *domain, struct vmirq_pirq *pirq)
{
	*pirq->at = pirq->next;
	if (pirq->next)
		pirq->next->at = pirq->at;
	else
		domain->tail = pirq->at;
}

static void to_front(struct pirq_domain *domain, struct vmirq_pirq *pirq)
{
	unlink_here(domain, pirq);
	link_at(domain, pirq, &domain->list);
}

void vmirq_pirq_to_end(struct pirq_domain *domain, struct vmirq_pirq *pirq)
{
	unlink_here(domain, pirq);
	link_at(domain, pirq, domain->tail);
}

void vmirq_pirq_list(struct pirq_domain *domain, struct vmirq_pirq *pirq)
{
	pthread_mutex_lock(&domain->list_mutex);
	atomic_fetch_add_explicit(&domain->bound, 1, memory_order_relaxed);
	pirq->reset_due = false;
	link_at(domain, pirq, domain->tail);
	pthread_mutex_unlock(&domain->list_mutex);
}

void vmirq_pirq_unlist(struct pirq_domain *domain, struct vmirq_pirq *pirq)
{
	pthread_mutex_lock(&domain->list_mutex);
	unlink_here(domain, pirq);
	pthread_mutex_unlock(&domain->list_mutex);
}

/* The list_mutex is held: the pirq stays until its `calls` are done. */
static struct vmirq_pirq *next_reset(struct pirq_domain *domain)
{
	for (struct vmirq_pirq *pirq = domain->list; pirq; pirq = pirq->next) {
		if (!pirq->reset_due)
			continue;
		pirq->reset_due = false;
		vmirq_pirq_to_end(domain, pirq);
		atomic_fetch_add_explicit(&pirq->calls, 1, memory_order_relaxed);
		return pirq;
	}
	return NULL;
}

void vmirq_pirq_domain_reset(struct pirq_domain *domain, bool loaded)
{
	struct vmirq_pirq *pirq;

	pthread_mutex_lock(&domain->list_mutex);
	for (pirq = domain->list; pirq; pirq = pirq->next)
		pirq->reset_due = true;
	while ((pirq = next_reset(domain))) {
		pthread_mutex_unlock(&domain->list_mutex);
		if (loaded)
			vmirq_pirq_forget(pirq);
		else
			vmirq_pirq_end(pirq, UINT64_MAX, true);
		/* Release: pairs with the acquire in wait_for_calls(). */
		atomic_fetch_sub_explicit(&pirq->calls, 1, memory_order_release);
		pthread_mutex_lock(&domain->list_mutex);
	}
	pthread_mutex_unlock(&domain->list_mutex);
}

static void timer_expired(void *opaque)
{
	expire(opaque);
}

int vmirq_pirq_make_timer(struct pirq_domain *domain)
{
	int error = 0;

	pthread_mutex_lock(&domain->list_mutex);
	if (!domain->timer.pump && !domain->vm->own_clock)
		error = vmirq_timer_create(&domain->timer, domain->vm->pump, timer_expired, domain);
	pthread_mutex_unlock(&domain->list_mutex);
	return error;
}

/* The list_mutex is held. */
static void set_timer(struct pirq_domain *domain, uint64_t deadline)
{
	domain->armed = deadline;
	if (domain->timer.pump)
		vmirq_timer_set(&domain->timer, deadline);
}

void vmirq_pirq_arm(struct pirq_domain *domain, uint64_t deadline)
{
	pthread_mutex_lock(&domain->list_mutex);
	if (deadline < domain->armed)
		set_timer(domain, deadline);
	pthread_mutex_unlock(&domain->list_mutex);
}

static uint64_t sooner(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* The list_mutex is held. A watchdog of what is not pending is nobody's: who asserts arms it afterwards. */
static uint64_t first_deadline(const struct pirq_domain *domain)
{
	uint64_t first = UINT64_MAX;

	for (const struct vmirq_pirq *pirq = domain->list; pirq; pirq = pirq->next) {
		uint64_t resume = atomic_load(&pirq->resume_at);
		uint64_t watchdog = atomic_load(&pirq->watchdog_at);

		if (resume)
			first = sooner(first, resume);
		if (watchdog && atomic_load_explicit(&pirq->pending, memory_order_relaxed))
			first = sooner(first, watchdog);
	}
	return first;
}

/* The rate allows it again. The list_mutex is held, so that it is not unbound. */
static void resume(struct vmirq_pirq *pirq, uint64_t now)
{
	uint64_t at = atomic_load(&pirq->resume_at);

	if (!at || at > now || !atomic_compare_exchange_strong(&pirq->resume_at, &at, 0))
		return;
	/* See pirq.h. */
	atomic_fetch_and(&pirq->word, ~PIRQ_THROTTLED);
	vmirq_defer_raise(&pirq->work);
}

/* On the pump it is in a read section. */
static void expire(struct pirq_domain *domain)
{
	uint64_t now = now_of(domain);
	struct vmirq_pirq *pirq, *next;

	pthread_mutex_lock(&domain->list_mutex);
	for (pirq = domain->list; pirq; pirq = next) {
		next = pirq->next;
		resume(pirq, now);
		if (vmirq_pirq_is_overdue(pirq, now))
			to_front(domain, pirq);
	}
	while ((pirq = vmirq_pirq_next_overdue(domain, now))) {
		pthread_mutex_unlock(&domain->list_mutex);
		if (vmirq_pirq_end(pirq, now, false))
			atomic_fetch_add_explicit(&pirq->watchdogs, 1, memory_order_relaxed);
		/* Release: pairs with the acquire in wait_for_calls(). */
		atomic_fetch_sub_explicit(&pirq->calls, 1, memory_order_release);
		pthread_mutex_lock(&domain->list_mutex);
	}
	set_timer(domain, first_deadline(domain));
	pthread_mutex_unlock(&domain->list_mutex);
}

uint64_t vmirq_pirq_deadline(struct vmirq_vm *vm)
{
	uint64_t deadline;

	if (!vm)
		return UINT64_MAX;
	pthread_mutex_lock(&vm->pirqs->list_mutex);
	deadline = first_deadline(vm->pirqs);
	pthread_mutex_unlock(&vm->pirqs->list_mutex);
	return deadline;
}

void vmirq_pirq_expire(struct vmirq_vm *vm)
{
	if (vm)
		expire(vm->pirqs);
}
