// SPDX-License-Identifier: MIT
/* What a handler does besides counting and its EOI, where it does. */
#include "guest.h"

/* One writer. */
static void count(_Atomic uint64_t *n)
{
	atomic_store_explicit(n, atomic_load_explicit(n, memory_order_relaxed) + 1,
			      memory_order_relaxed);
}

static void read_cause(struct guest_level *level)
{
	uint32_t causes = *(volatile uint32_t *)level->cause;

	count(causes & level->mask ? &level->found : &level->idle);
}

static void pass_on(struct guest_ipi *ipi)
{
	if (atomic_load_explicit(&ipi->sent, memory_order_relaxed) >=
	    atomic_load_explicit(&ipi->limit, memory_order_relaxed))
		return;
	count(&ipi->sent);
	lapic_send_ipi(ipi->cpu, ipi->vector);
}

bool device_has_part(const struct guest_page *page, uint32_t vector)
{
	return page->level[vector].cause || page->ipi[vector].vector;
}

/* entry.S calls it. */
void device_handle(uint64_t vector)
{
	struct guest_page *page = GUEST_PAGE;

	if (page->level[vector].cause)
		read_cause(&page->level[vector]);
	if (page->ipi[vector].vector)
		pass_on(&page->ipi[vector]);
}
