/* SPDX-License-Identifier: MIT */
/* How long a guest may take to end an interrupt. A link has its own time, under its GSI's lock; the pirq has
 * the first of them, or one that is over already: then a look is in vain. */
#include "base/vm.h"
#include "passthrough/pirq.h"

uint64_t vmirq_pirq_overdue(const struct vmirq_pirq *pirq)
{
	uint64_t at;

	if (!pirq->watchdog_ns)
		return 0;
	at = vmirq_pirq_now(pirq) + pirq->watchdog_ns;
	return at < pirq->watchdog_ns ? UINT64_MAX : at;
}

void vmirq_pirq_watch(struct pirq_link *link, uint64_t overdue, bool first)
{
	_Atomic uint64_t *look_at = &link->pirq->watchdog_at;
	uint64_t old = atomic_load(look_at);

	link->overdue = overdue;
	if (!overdue)
		return;
	while ((first || !old || old > overdue) &&
	       !atomic_compare_exchange_weak(look_at, &old, overdue))
		;
	vmirq_pirq_arm(link->gsi->domain, overdue);
}

bool vmirq_pirq_is_overdue(const struct vmirq_pirq *pirq, uint64_t now)
{
	uint64_t at = atomic_load(&pirq->watchdog_at);

	return at && at <= now && atomic_load_explicit(&pirq->pending, memory_order_relaxed);
}

struct vmirq_pirq *vmirq_pirq_next_overdue(struct pirq_domain *domain, uint64_t now)
{
	for (struct vmirq_pirq *pirq = domain->list; pirq; pirq = pirq->next) {
		uint64_t at = atomic_load(&pirq->watchdog_at);

		/* Set anew meanwhile: it is another interrupt. */
		if (!vmirq_pirq_is_overdue(pirq, now) || at > now ||
		    !atomic_compare_exchange_strong(&pirq->watchdog_at, &at, 0))
			continue;
		vmirq_pirq_to_end(domain, pirq);
		atomic_fetch_add_explicit(&pirq->calls, 1, memory_order_relaxed);
		return pirq;
	}
	return NULL;
}
