/* SPDX-License-Identifier: MIT */
/* What the files of the IOAPIC share: the RTE's bits (82093AA 3.2.4), and delivery. */
#ifndef CHIP_IOAPIC_PIN_H
#define CHIP_IOAPIC_PIN_H

#include "chip/ioapic.h"

#define RTE_VECTOR	    UINT64_C(0xff)
#define RTE_MODE_SHIFT	    8
#define RTE_LOGICAL	    (UINT64_C(1) << 11)
#define RTE_DELIVERY_STATUS (UINT64_C(1) << 12)
#define RTE_REMOTE_IRR	    (UINT64_C(1) << 14)
#define RTE_LEVEL	    (UINT64_C(1) << 15)
#define RTE_MASKED	    (UINT64_C(1) << 16)
#define RTE_READ_ONLY	    (RTE_DELIVERY_STATUS | RTE_REMOTE_IRR)
#define RTE_DEST_SHIFT	    56
#define RTE_EXT_DEST_SHIFT  49

/* KVM's answer to a guest that ends a level without quieting its device: after so many EOIs in a row
 * that found the line high, it is waited, so that the guest gets on. /dev/kvm 6.18: the 10,000th EOI is
 * the one that does not deliver again at once. */
#define STORM_EOIS     10000u

#define IOAPIC_ID_MAX  0xfu
#define IOAPIC_REG_RTE 0x10u

/* Eight bits of IOREGSEL reach 120 pins; nothing says how an IOAPIC with more is addressed. A ninth
 * bit is what software needs that writes 0x10 + 2 * pin. */
static inline uint32_t ioapic_select_bits(const struct ioapic *a)
{
	return a->config.count > (0x100 - IOAPIC_REG_RTE) / 2 ? 0x1ff : 0xff;
}

static inline void ioapic_lock(const struct ioapic *a)
{
	a->config.host.lock(a->config.mutex);
}

static inline void ioapic_unlock(const struct ioapic *a)
{
	a->config.host.unlock(a->config.mutex);
}

/* A level that is high, unmasked and not in service: to be sent. */
static inline bool pin_wants(const struct ioapic_pin *p)
{
	return p->irr && (p->rte & (RTE_LEVEL | RTE_REMOTE_IRR | RTE_MASKED)) == RTE_LEVEL;
}

/* Has the guest its interrupt still to end? Of edges that is not known. The lock is held. */
static inline bool ioapic_in_service(const struct ioapic *a, uint32_t n)
{
	return a->config.pins[n].rte & RTE_REMOTE_IRR;
}

void vmirq_ioapic_decode(const struct ioapic *a, uint64_t rte, struct interrupt *irq);

/* Send what pin n has now, or say why not. Called with the lock held, returns without it. tick: count
 * the EOIs to come. */
struct line_result vmirq_ioapic_serve_unlock(struct ioapic *a, uint32_t n, bool tick);
/* The same, and takes the lock again. */
void vmirq_ioapic_serve(struct ioapic *a, uint32_t n, bool tick);

/* These two with the lock held. */
static inline void ioapic_count_sent(struct ioapic *a)
{
	atomic_store_explicit(&a->sent, atomic_load_explicit(&a->sent, memory_order_relaxed) + 1,
			      memory_order_relaxed);
}

static inline uint64_t ioapic_next_episode(struct ioapic *a)
{
	uint64_t episode = atomic_load_explicit(&a->episodes, memory_order_relaxed) + 1;

	atomic_store_explicit(&a->episodes, episode, memory_order_relaxed);
	return episode;
}

/* The line gets its only source, and its message goes to whom one of this RTE went before: *message, to be posted
 * without the lock. In a read section, which taking the lock has fenced; it is held. False, and nothing done: it is not
 * so simple. */
static inline bool ioapic_raise(struct ioapic *a, uint32_t n, struct ioapic_known *message)
{
	struct ioapic_pin *p = &a->config.pins[n];
	uint64_t rte = p->rte;

	*message = p->known;
	/* What is known was sent, so the RTE is neither masked nor in service. An edge of a line that is high
	 * is none. */
	if (p->asserters || rte != message->rte || !message->word ||
	    dest_map_generation(a->config.map) != message->generation ||
	    posted_word_level(message->word, rte & RTE_VECTOR) != !!(rte & RTE_LEVEL) ||
	    unlikely(!(rte & RTE_LEVEL) && p->irr))
		return false;
	p->asserters = 1;
	p->irr = true;
	if (likely(rte & RTE_LEVEL)) {
		p->rte = rte | RTE_REMOTE_IRR;
		p->episode = ioapic_next_episode(a);
	} else {
		p->delivered = true;
	}
	ioapic_count_sent(a);
	return true;
}

/* It loses its only source. As above. */
static inline bool ioapic_lower(struct ioapic *a, uint32_t n)
{
	struct ioapic_pin *p = &a->config.pins[n];

	if (unlikely(p->asserters != 1))
		return false;
	p->asserters = 0;
	p->irr = false;
	return true;
}

#define PINS_PER_WORD 8u

/* One byte, a vector, for each pin of a word. */
#define EACH_PIN(byte) ((byte)*UINT64_C(0x0101010101010101))

/* Of the eight pins from `first` on those with this vector: bit 7 of each one's byte. Past the last pin are zeros.
 * Without the lock. */
static inline uint64_t ioapic_pins_with(const struct ioapic *a, uint32_t first, uint64_t each)
{
	const uint64_t low = EACH_PIN(0x7fu);
	uint64_t word =
		atomic_load_explicit(&a->pin_vectors[first / PINS_PER_WORD], memory_order_relaxed);
	/* A byte is 0 where they are equal; then neither its low bits nor its top bit carry. */
	uint64_t differs = word ^ each;

	return ~(((differs & low) + low) | differs | low);
}

/* What no write can bring about: a write to edge clears Remote-IRR. */
static inline bool rte_valid(uint64_t rte)
{
	return (rte & RTE_LEVEL) || !(rte & RTE_REMOTE_IRR);
}

static inline bool ioapic_base_valid(uint64_t base)
{
	return base % IOAPIC_MMIO_SIZE == 0;
}

/* An RTE has changed: publish the vectors anew. With the lock held. */
void vmirq_ioapic_update_vectors(struct ioapic *a);

/* Say that pin n sends something else now. Without the lock. */
static inline void ioapic_tell_changed(const struct ioapic *a, uint32_t n)
{
	if (a->config.calls.changed)
		a->config.calls.changed(a->config.calls.opaque, n);
}

#endif
