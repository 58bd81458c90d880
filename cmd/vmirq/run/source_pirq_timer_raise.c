// SPDX-License-Identifier: MIT
/* A timer is raised, and served. */
#include "run.h"
#include "source_pirq_timer.h"

bool timers_take_ticket(struct timers *all)
{
	/* It may go far below 0, and is set anew for each storm. */
	return atomic_fetch_sub_explicit(&all->tickets, 1, memory_order_relaxed) > 0;
}

void timer_raise(struct timer *timer, uint64_t now)
{
	struct timers *all = timer->all;

	/* Where it is raised again before it was served, the first one has waited longest. */
	if (!atomic_load_explicit(&timer->raised_at, memory_order_relaxed)) {
		atomic_store_explicit(&timer->raised_after,
				      atomic_load_explicit(&all->services, memory_order_relaxed),
				      memory_order_relaxed);
		/* Release: pairs with the acquire in note_wait(). */
		atomic_store_explicit(&timer->raised_at, now, memory_order_release);
	}
	atomic_fetch_add_explicit(&timer->raised, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&all->raised, 1, memory_order_relaxed);
	vmirq_pirq_raise(timer->pirq);
}

static void at_least(_Atomic uint64_t *worst, uint64_t n)
{
	uint64_t old = atomic_load_explicit(worst, memory_order_relaxed);

	while (n > old && !atomic_compare_exchange_weak_explicit(
				  worst, &old, n, memory_order_relaxed, memory_order_relaxed))
		;
}

/* `before`: how many services there had been. */
static void note_wait(struct timer *timer, uint64_t before, uint64_t now)
{
	struct timers *all = timer->all;
	/* Acquire: pairs with the release in timer_raise(). */
	uint64_t at = atomic_exchange_explicit(&timer->raised_at, 0, memory_order_acquire);
	uint64_t after = atomic_load_explicit(&timer->raised_after, memory_order_relaxed);

	if (!at || !atomic_load_explicit(&all->storms, memory_order_relaxed))
		return;
	if (before > after)
		at_least(&all->worst_wait_runs, before - after);
	if (now > at)
		at_least(&all->worst_wait_ns, now - at);
}

void timer_served(void *opaque)
{
	struct timer *timer = opaque;
	struct timers *all = timer->all;
	uint64_t now = now_ns();

	note_wait(timer, atomic_fetch_add_explicit(&all->services, 1, memory_order_relaxed), now);
	if (atomic_load_explicit(&all->storms, memory_order_relaxed))
		atomic_fetch_add_explicit(&timer->services, 1, memory_order_relaxed);
	if (!all->fd && timers_take_ticket(all))
		timer_raise(timer, now);
}
