/* SPDX-License-Identifier: MIT */
/* From the raise to the guest. */
#include "base/vm.h"
#include "passthrough/pirq.h"

static __attribute__((noinline)) enum vmirq_verdict raise_slowly(struct vmirq_pirq *pirq,
								 uint64_t old)
{
	if (!(old & PIRQ_OPEN)) {
		counts_add(&pirq->counts, VMIRQ_NO_ROUTE, 1);
		return VMIRQ_NO_ROUTE;
	}
	if (old & PIRQ_THROTTLED)
		return VMIRQ_COALESCED;
	return vmirq_defer_raise(&pirq->work) ? VMIRQ_HELD : VMIRQ_COALESCED;
}

enum vmirq_verdict vmirq_pirq_raise(struct vmirq_pirq *pirq)
{
	struct reader *section = reader_enter_unfenced();
	/* A in pirq.h: sequentially consistent, and so it fences the section. As an acquire it pairs with
	 * the exchange in bind.c; as a release, with the load in vmirq_pirq_run(). */
	uint64_t old = atomic_fetch_add(&pirq->word, PIRQ_RAISE);
	enum vmirq_verdict verdict;

	fence_after_rmw();
	if (likely(old & PIRQ_FAST))
		verdict = vmirq_irqfd_signal(pirq->irqfd);
	else
		verdict = raise_slowly(pirq, old);
	reader_exit(section);
	return verdict;
}

/* Lines; *ended: the guest ended them already, or there is nothing to wait for. */
static void raise_lines(struct vmirq_pirq *pirq, bool *ended)
{
	enum vmirq_verdict verdict;

	/* One more, so that it does not come to 0 between two lines. */
	atomic_fetch_add_explicit(&pirq->pending, 1, memory_order_relaxed);
	verdict = pirq->flags & VMIRQ_PIRQ_NO_EOI ? vmirq_pirq_pulse(pirq)
						  : vmirq_pirq_assert(pirq);
	/* Release and acquire: as in end_link(). */
	*ended = atomic_fetch_sub_explicit(&pirq->pending, 1, memory_order_acq_rel) == 1;
	counts_add(&pirq->counts, verdict, 1);
}

static void deliver(struct vmirq_pirq *pirq)
{
	bool ended = true;

	if (pirq->irqfd)
		vmirq_irqfd_signal(pirq->irqfd);
	else
		raise_lines(pirq, &ended);
	if (pirq->unmask && (ended || !pirq->waits))
		vmirq_pirq_unmask(pirq);
}

static void throttle(struct vmirq_pirq *pirq, uint64_t now)
{
	uint64_t at = rate_resume(&pirq->rate, now);

	/* First, so that the timer finds it on. Release: as in raise. */
	atomic_fetch_or(&pirq->word, PIRQ_THROTTLED);
	atomic_fetch_add_explicit(&pirq->storms, 1, memory_order_relaxed);
	/* Pairs with the look in domain.c. */
	atomic_store(&pirq->resume_at, at ? at : 1);
	vmirq_pirq_arm(pirq->vm->pirqs, at);
}

void vmirq_pirq_run(struct defer_work *work)
{
	struct vmirq_pirq *pirq =
		(struct vmirq_pirq *)((char *)work - offsetof(struct vmirq_pirq, work));
	/* Acquire: pairs with A in pirq.h. */
	uint64_t word = atomic_load_explicit(&pirq->word, memory_order_acquire);
	uint64_t served = atomic_load_explicit(&pirq->served, memory_order_relaxed);
	uint64_t n = word / PIRQ_RAISE - served;

	/* Another run has had it; it is being unbound; or the timer has it. */
	if (!n || !(word & PIRQ_OPEN) || (word & PIRQ_THROTTLED))
		return;
	if (pirq->rate_limit) {
		uint64_t now = vmirq_pirq_now(pirq);

		if (!rate_take(&pirq->rate, now, 1)) {
			throttle(pirq, now);
			return;
		}
	}
	atomic_store_explicit(&pirq->served, served + n, memory_order_relaxed);
	if (n > 1)
		counts_add(&pirq->counts, VMIRQ_COALESCED, n - 1);
	atomic_fetch_add_explicit(&pirq->runs, 1, memory_order_relaxed);
	deliver(pirq);
}
