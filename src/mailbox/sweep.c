// SPDX-License-Identifier: MIT
/* From the page to the irqfds. */
#include "mailbox/mailbox.h"

#include "base/bits.h"
#include "base/reader.h"

#include <vmirq/irqfd.h>

/* Which bits of word w are interrupts. */
static uint64_t valid_bits(const struct vmirq_mailbox *mailbox, uint32_t w)
{
	uint32_t rest = mailbox->count % 64;

	return w == mailbox->words - 1 && rest ? bit64(rest) - 1 : UINT64_MAX;
}

static uint64_t *page_word(const struct vmirq_mailbox *mailbox, uint32_t w)
{
	return vmirq_mailbox_word(mailbox->page, w * 64);
}

bool vmirq_mailbox_filled(const struct vmirq_mailbox *mailbox)
{
	uint64_t any = 0;

	for (uint32_t w = 0; w < mailbox->words; w++)
		any |= __atomic_load_n(page_word(mailbox, w), __ATOMIC_RELAXED);
	return any;
}

static void add(_Atomic uint64_t *count, uint64_t n)
{
	if (n)
		atomic_fetch_add_explicit(count, n, memory_order_relaxed);
}

/* Take a word from the page: with an exchange, which no device can make us repeat. */
static void gather(struct vmirq_mailbox *mailbox, uint32_t w)
{
	uint64_t got, old;

	if (!__atomic_load_n(page_word(mailbox, w), __ATOMIC_RELAXED))
		return;
	/* D and F in mailbox.h. Acquire, too: what the device wrote before it raised is seen. */
	got = __atomic_exchange_n(page_word(mailbox, w), 0, __ATOMIC_SEQ_CST);
	got &= valid_bits(mailbox, w);
	if (!got)
		return;
	/* G in mailbox.h. */
	old = atomic_fetch_or(&mailbox->kept[w], got);
	add(&mailbox->raised, popcount64(got));
	add(&mailbox->coalesced, popcount64(got & old));
}

/* The lowest n bits of a word. */
static uint64_t lowest(uint64_t word, uint32_t n)
{
	uint64_t rest = word;

	while (rest && n--)
		rest &= rest - 1;
	return word & ~rest;
}

/* So many of them as the rate allows; *over: not all. */
static uint64_t ration(struct vmirq_mailbox *mailbox, uint32_t w, uint64_t ready, bool *over)
{
	uint32_t want = popcount64(ready), n = vmirq_mailbox_allow(mailbox, want);
	uint64_t allowed;

	if (n == want)
		return ready;
	*over = true;
	allowed = lowest(ready, n);
	if (allowed)
		/* Who comes after the last goes first the next time. */
		atomic_store_explicit(&mailbox->next,
				      (w * 64 + 64 - (uint32_t)__builtin_clzll(allowed)) %
					      (mailbox->words * 64),
				      memory_order_relaxed);
	return allowed;
}

/* Pass on what is kept of a word, as far as it is in `mask`, is bound, and the rate allows. In a read section. */
static uint32_t serve(struct vmirq_mailbox *mailbox, uint32_t w, uint64_t mask, bool *over)
{
	uint64_t waiting = atomic_load(&mailbox->kept[w]) & mask, ready = 0, taken;
	struct vmirq_irqfd *to[64];
	unsigned int b;

	if (!waiting)
		return 0;
	for_each_bit(b, waiting)
	{
		/* H in mailbox.h. Acquire: pairs with the store in bind.c. */
		to[b] = atomic_load(&mailbox->bit[w * 64 + b].irqfd);
		if (to[b])
			ready |= bit64(b);
	}
	if (!ready)
		return 0;
	ready = ration(mailbox, w, ready, over);
	/* Another sweep, or a reset, may have been faster. Sequentially consistent, as J in mailbox.h. */
	taken = atomic_fetch_and(&mailbox->kept[w], ~ready) & ready;
	if (taken != ready)
		vmirq_mailbox_give_back(mailbox, popcount64(ready & ~taken));
	for_each_bit(b, taken) vmirq_irqfd_signal(to[b]);
	add(&mailbox->signalled, popcount64(taken));
	return popcount64(taken);
}

/* All words, from who is next: the first one's upper part, and at the end its lower. */
static uint32_t serve_all(struct vmirq_mailbox *mailbox, bool *over)
{
	uint32_t next = atomic_load_explicit(&mailbox->next, memory_order_relaxed);
	uint64_t upper = ~(bit64(next) - 1);
	uint32_t n = 0;

	for (uint32_t k = 0; k <= mailbox->words && !*over; k++) {
		uint64_t mask = k == 0 ? upper : k == mailbox->words ? ~upper : UINT64_MAX;

		n += serve(mailbox, (next / 64 + k) % mailbox->words, mask, over);
	}
	return n;
}

uint32_t vmirq_mailbox_look(struct vmirq_mailbox *mailbox)
{
	struct reader *section = reader_enter();
	bool over = false;
	uint32_t n;

	for (uint32_t w = 0; w < mailbox->words; w++)
		gather(mailbox, w);
	/* Between G and H in mailbox.h. */
	fence_full();
	n = serve_all(mailbox, &over);
	reader_exit(section);
	if (over)
		vmirq_mailbox_throttle(mailbox);
	return n;
}

void vmirq_mailbox_drop(struct vmirq_mailbox *mailbox, uint32_t w)
{
	gather(mailbox, w);
	add(&mailbox->dropped, popcount64(atomic_exchange(&mailbox->kept[w], 0)));
}
