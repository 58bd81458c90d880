/* SPDX-License-Identifier: MIT */
/* The host's EOI: called with no lock held and in no read section, so that it may wait for who holds a lock of the
 * VMM's and waits for either. (Unbind's mutex is held where unbind calls it: who wants that waits for unmask anyway.)
 */
#include "base/reader.h"
#include "defer/callers_worker.h"
#include "passthrough/pirq.h"

__thread unsigned int vmirq_pirq_calls_here;

void vmirq_pirq_unmask(struct vmirq_pirq *pirq)
{
	atomic_fetch_add_explicit(&pirq->unmasks, 1, memory_order_relaxed);
	vmirq_pirq_calls_here++;
	pirq->unmask(pirq->opaque);
	vmirq_pirq_calls_here--;
}

static void unmask_due(struct vmirq_pirq *pirq)
{
	uint32_t n = atomic_exchange_explicit(&pirq->unmasks_due, 0, memory_order_relaxed);

	while (n--)
		vmirq_pirq_unmask(pirq);
}

static void run_unmasks(struct defer_work *work)
{
	struct vmirq_pirq *pirq =
		(struct vmirq_pirq *)((char *)work - offsetof(struct vmirq_pirq, unmask_work));

	unmask_due(pirq);
}

void vmirq_pirq_open_unmasks(struct vmirq_pirq *pirq)
{
	if (pirq->remasks)
		vmirq_defer_init(&pirq->unmask_work, pirq->worker->list, run_unmasks);
}

void vmirq_pirq_close_unmasks(struct vmirq_pirq *pirq)
{
	if (!pirq->remasks)
		return;
	vmirq_defer_fini(&pirq->unmask_work);
	unmask_due(pirq);
}

void vmirq_pirq_unmask_outside(struct vmirq_pirq *pirq)
{
	if (likely(!reader_inside())) {
		vmirq_pirq_unmask(pirq);
		return;
	}
	atomic_fetch_add_explicit(&pirq->unmasks_due, 1, memory_order_relaxed);
	vmirq_defer_raise(&pirq->unmask_work);
}
