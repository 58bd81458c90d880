/* SPDX-License-Identifier: MIT */
#include "chip/deliver.h"
#include "chip/lapic.h"
#include "chip/rtc_tick.h"

bool vmirq_notify(struct chip *chip, struct posted *p, uint32_t class)
{
	enum post_duty duty = posted_duty(p, class);

	if (duty == POST_WAKE || duty == POST_WAKE_ELSEWHERE)
		chip->host.wake(chip->host.opaque, p->index, duty == POST_WAKE_ELSEWHERE);
	else if (duty == POST_KICK)
		chip->host.kick(chip->host.opaque, p->index);
	return duty != POST_DEAD;
}

enum vmirq_verdict vmirq_post_event(struct chip *chip, struct posted *p, enum vcpu_event event)
{
	bool pending = posted_set_event(p, event);

	if (!vmirq_notify(chip, p, CLASS_EVENT))
		return VMIRQ_NO_TARGET;
	return pending ? VMIRQ_COALESCED : VMIRQ_DELIVERED;
}

/* There is room for two, as in /dev/kvm: a processor takes the first at its next instruction and keeps the
 * second until IRET (SDM vol. 3A 6.7.1), but a vCPU may not look that soon. */
enum vmirq_verdict vmirq_post_nmi(struct chip *chip, struct posted *p)
{
	bool pending = posted_set_event(p, EVENT_NMI) && posted_set_event(p, EVENT_NMI_AGAIN);

	if (!vmirq_notify(chip, p, CLASS_EVENT))
		return VMIRQ_NO_TARGET;
	return pending ? VMIRQ_COALESCED : VMIRQ_DELIVERED;
}

/* INIT drops a SIPI that is not taken yet; a SIPI brings its start page (SDM vol. 3A 11.4.4.1). */
static enum vmirq_verdict post_start(struct chip *chip, struct posted *p, uint32_t clear,
				     uint32_t set, enum vcpu_event event)
{
	uint32_t old = atomic_load_explicit(&p->events, memory_order_relaxed);

	while (!atomic_compare_exchange_weak(&p->events, &old, (old & ~clear) | set))
		;
	if (!vmirq_notify(chip, p, CLASS_EVENT))
		return VMIRQ_NO_TARGET;
	return old & bit32(event) ? VMIRQ_COALESCED : VMIRQ_DELIVERED;
}

/* Noted first: the EOI may come before we are through. */
static enum vmirq_verdict post_tick(struct chip *chip, struct posted *p,
				    const struct interrupt *irq)
{
	enum vmirq_verdict verdict;

	rtc_tick_note(irq->tick, p->index, irq->vector);
	verdict = post_vector(chip, p, irq->vector, irq->level);
	if (verdict == VMIRQ_NO_TARGET)
		rtc_tick_drop(irq->tick, p->index);
	return verdict;
}

static enum vmirq_verdict post_one(struct chip *chip, struct posted *p, const struct interrupt *irq)
{
	const uint32_t sipi = bit32(EVENT_SIPI) | 0xffu << EVENT_SIPI_SHIFT;

	switch (irq->mode) {
	case DELIVERY_FIXED:
	case DELIVERY_LOWEST:
		if (unlikely(irq->tick))
			return post_tick(chip, p, irq);
		return post_vector(chip, p, irq->vector, irq->level);
	case DELIVERY_NMI:
		return vmirq_post_nmi(chip, p);
	case DELIVERY_SMI:
		return vmirq_post_event(chip, p, EVENT_SMI);
	case DELIVERY_INIT:
		return post_start(chip, p, sipi, bit32(EVENT_INIT), EVENT_INIT);
	default:
		return post_start(chip, p, sipi,
				  bit32(EVENT_SIPI) | (uint32_t)irq->vector << EVENT_SIPI_SHIFT,
				  EVENT_SIPI);
	}
}

static uint32_t count_set(const struct chip *chip, const struct vcpu_set *set)
{
	uint32_t n = 0;

	for (uint32_t w = 0; w < chip->map.words; w++)
		n += popcount64(set->word[w]);
	return n;
}

static bool needs_enabled(const struct interrupt *irq)
{
	return irq->mode == DELIVERY_FIXED || irq->mode == DELIVERY_LOWEST;
}

/* Lowest priority to the physical 0xff goes to everybody, as in the kernel (seen on 6.18); with the
 * redirection hint it does not. */
static bool picks_one(const struct interrupt *irq)
{
	if (irq->redirect)
		return true;
	return irq->mode == DELIVERY_LOWEST && (irq->logical || irq->dest != 0xff);
}

/* Who of the matched may take it. One is picked of enabled ones, also for an NMI with the redirection hint
 * (as /dev/kvm), unless it is the destination's only one. */
static const struct vcpu_set *takers_of(const struct chip *chip, const struct interrupt *irq,
					const struct vcpu_set *matched,
					const struct vcpu_set *enabled)
{
	/* /dev/kvm knows logical ids of enabled ones only. */
	if (irq->logical && !chip->profile_spec)
		return enabled;
	return needs_enabled(irq) || (picks_one(irq) && count_set(chip, matched) > 1) ? enabled
										      : matched;
}

/* What KVM_SIGNAL_MSI returns for a message that cannot be taken (seen on 6.18): whom it would have
 * reached, were it good; nobody for ExtINT. */
static uint32_t counted_anyway(const struct interrupt *irq, uint32_t matched)
{
	if (irq->mode == DELIVERY_EXTINT)
		return 0;
	return picks_one(irq) && matched ? 1 : matched;
}

/* DELIVERED: by its form it can be taken. */
static enum vmirq_verdict form(const struct interrupt *irq)
{
	if (!irq->interrupt || irq->mode == DELIVERY_RESERVED || irq->mode == DELIVERY_EXTINT ||
	    (irq->mode == DELIVERY_SIPI && !irq->ipi))
		return VMIRQ_BAD_MESSAGE;
	if (needs_enabled(irq) && irq->vector < FIRST_LEGAL_VECTOR)
		return VMIRQ_BAD_VECTOR;
	return VMIRQ_DELIVERED;
}

/* The n-th of a set; there are more than n. */
static uint32_t nth_of_set(const struct vcpu_set *set, uint32_t n)
{
	for (uint32_t w = 0;; w++) {
		uint32_t here = popcount64(set->word[w]);

		if (n < here) {
			uint64_t word = set->word[w];

			while (n--)
				word &= word - 1;
			return w * 64 + (uint32_t)__builtin_ctzll(word);
		}
		n -= here;
	}
}

/* Lowest priority is the vector hashed over those who could take it, as the kernel does. */
static uint32_t hashed_choice(const struct interrupt *irq, const struct vcpu_set *enabled,
			      uint32_t n)
{
	return nth_of_set(enabled, irq->vector % n);
}

/* The best of two outcomes: delivered, then coalesced, then what the first one said. */
static enum vmirq_verdict better(enum vmirq_verdict a, enum vmirq_verdict b)
{
	if (a == VMIRQ_DELIVERED || b == VMIRQ_DELIVERED)
		return VMIRQ_DELIVERED;
	if (a == VMIRQ_COALESCED || b == VMIRQ_COALESCED)
		return VMIRQ_COALESCED;
	return a;
}

/* Nobody took it: were they there, and off? A hardware-disabled APIC is not in the map, so it is looked
 * for where all else has failed. */
static enum vmirq_verdict nobody(const struct chip *chip, const struct interrupt *irq,
				 const struct vcpu_set *matched)
{
	if (count_set(chip, matched))
		return VMIRQ_APIC_DISABLED;
	for (uint32_t i = 0; i < chip->vcpus && !irq->logical; i++) {
		/* Acquire: pairs with the release in vmirq_lapic_init(). */
		const struct lapic *l = atomic_load_explicit(&chip->lapic[i], memory_order_acquire);

		if (l && !lapic_hw_enabled(l) && l->initial_id == irq->dest &&
		    atomic_load_explicit(&l->posted->mode, memory_order_relaxed) != MODE_DEAD)
			return VMIRQ_APIC_DISABLED;
	}
	return VMIRQ_NO_TARGET;
}

/* Its receivers note an error, and take nothing. */
static void tell_illegal(struct chip *chip, const struct vcpu_set *takers)
{
	for (uint32_t w = 0; w < chip->map.words; w++) {
		unsigned int bit;

		for_each_bit(bit, takers->word[w])
			vmirq_post_event(chip, &chip->posted[w * 64 + bit], EVENT_ILLEGAL_VECTOR);
	}
}

/* A vector to each of them. */
static enum vmirq_verdict post_vectors(struct chip *chip, const struct vcpu_set *takers,
				       uint8_t vector, bool level)
{
	uint32_t seen = 0;

	for (uint32_t w = 0; w < chip->map.words; w++) {
		struct posted *first = &chip->posted[w * 64];
		unsigned int bit;

		for_each_bit(bit, takers->word[w])
			seen |= bit32(post_vector(chip, first + bit, vector, level));
	}
	return seen & bit32(VMIRQ_DELIVERED)   ? VMIRQ_DELIVERED
	       : seen & bit32(VMIRQ_COALESCED) ? VMIRQ_COALESCED
					       : VMIRQ_NO_TARGET;
}

static enum vmirq_verdict post_all(struct chip *chip, const struct vcpu_set *takers,
				   const struct interrupt *irq)
{
	enum vmirq_verdict verdict = VMIRQ_NO_TARGET;

	if (likely(needs_enabled(irq) && !irq->tick))
		return post_vectors(chip, takers, irq->vector, irq->level);
	for (uint32_t w = 0; w < chip->map.words; w++) {
		unsigned int bit;

		for_each_bit(bit, takers->word[w])
			verdict = better(verdict, post_one(chip, &chip->posted[w * 64 + bit], irq));
	}
	return verdict;
}

struct delivery vmirq_deliver_set(struct chip *chip, const struct interrupt *irq,
				  const struct vcpu_set *to, const struct vcpu_set *enabled)
{
	const struct vcpu_set *takers = takers_of(chip, irq, to, enabled);
	struct delivery out = { .verdict = VMIRQ_NO_TARGET, .accepted = count_set(chip, takers) };
	enum vmirq_verdict bad = form(irq);

	if (bad != VMIRQ_DELIVERED) {
		out.verdict = bad;
		out.accepted = counted_anyway(irq, out.accepted);
		if (bad == VMIRQ_BAD_VECTOR && chip->profile_spec)
			tell_illegal(chip, takers);
		return out;
	}
	if (!out.accepted) {
		out.verdict = nobody(chip, irq, to);
		return out;
	}
	if (picks_one(irq)) {
		uint32_t i = hashed_choice(irq, takers, out.accepted);

		out.verdict = post_one(chip, &chip->posted[i], irq);
		out.accepted = 1;
		return out;
	}
	out.verdict = post_all(chip, takers, irq);
	return out;
}

/* A vector by a physical id that is one local APIC's, if it is anybody's. */
static inline bool names_one(const struct interrupt *irq)
{
	return !irq->logical && !dest_is_broadcast(irq->dest) && needs_enabled(irq) &&
	       form(irq) == VMIRQ_DELIVERED;
}

bool vmirq_deliver_to_one(struct chip *chip, const struct interrupt *irq, struct delivery *out)
{
	int32_t one;

	if (irq->tick || !names_one(irq))
		return false;
	one = dest_map_direct(&chip->map, irq->dest);
	if (unlikely(one < 0))
		one = vmirq_dest_map_one(&chip->map, irq->dest);
	if (unlikely(one < 0))
		return false;
	out->verdict = post_vector(chip, &chip->posted[one], irq->vector, irq->level);
	out->accepted = 1;
	return true;
}

struct delivery vmirq_deliver(struct chip *chip, const struct interrupt *irq)
{
	struct vcpu_set matched, enabled;
	struct delivery out;

	if (likely(vmirq_deliver_to_one(chip, irq, &out)))
		return out;
	vmirq_dest_map_match(
		&chip->map,
		(struct dest){ .id = irq->dest, .logical = irq->logical, .ipi = irq->ipi },
		&matched, &enabled);
	return vmirq_deliver_set(chip, irq, &matched, &enabled);
}

static struct target resolve_any(struct chip *chip, const struct interrupt *irq)
{
	struct vcpu_set matched, enabled;
	struct target t = { .kind = TARGET_VERDICT,
			    .verdict = form(irq),
			    .vector = irq->vector,
			    .level = irq->level };
	uint32_t n, i;

	t.generation = vmirq_dest_map_match(
		&chip->map,
		(struct dest){ .id = irq->dest, .logical = irq->logical, .ipi = irq->ipi },
		&matched, &enabled);
	if (t.verdict != VMIRQ_DELIVERED) {
		/* Each time, where receivers want to know. */
		if (t.verdict == VMIRQ_BAD_VECTOR && chip->profile_spec)
			t.kind = TARGET_DELIVER;
		return t;
	}
	if (!needs_enabled(irq)) {
		t.kind = TARGET_DELIVER;
		return t;
	}
	n = count_set(chip, &enabled);
	if (n == 0) {
		t.verdict = nobody(chip, irq, &matched);
		return t;
	}
	if (n > 1 && !picks_one(irq)) {
		t.kind = TARGET_DELIVER;
		return t;
	}
	i = hashed_choice(irq, &enabled, n);
	t.kind = TARGET_POST;
	t.posted = &chip->posted[i];
	return t;
}

struct target vmirq_resolve(struct chip *chip, const struct interrupt *irq)
{
	struct target t = { .kind = TARGET_POST, .vector = irq->vector, .level = irq->level };
	int32_t one = names_one(irq) ? vmirq_dest_map_one_in(&chip->map, irq->dest, &t.generation)
				     : -1;

	if (unlikely(one < 0))
		return resolve_any(chip, irq);
	t.posted = &chip->posted[one];
	return t;
}
