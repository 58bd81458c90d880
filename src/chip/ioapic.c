/* SPDX-License-Identifier: MIT */
/* Lines, delivery and EOI. */
#include "chip/ioapic_pin.h"

/* See STORM_EOIS. */
#define STORM_DELAY_NS UINT64_C(10000000)

/* How often a delivery that nobody accepted is tried again because somebody changed something while
 * it was under way. Each change lets one more try happen, so this only ends a fight. What is left
 * then is a high line without Remote-IRR: the next assertion, RTE write or EOI sends it. */
#define MAX_TRIES 8u

/* /dev/kvm 6.18 has -1 here, where older ones and the API document have 0. */
#define STATUS_REMOTE_IRR (-1)

#define NO_SUCH_PIN	  ((struct line_result){ .verdict = VMIRQ_NO_ROUTE, .status = -1 })

void vmirq_ioapic_decode(const struct ioapic *a, uint64_t rte, struct interrupt *irq)
{
	*irq = (struct interrupt){
		.dest = (uint32_t)(rte >> RTE_DEST_SHIFT),
		.vector = (uint8_t)(rte & RTE_VECTOR),
		.mode = (uint8_t)(rte >> RTE_MODE_SHIFT & 7),
		.logical = rte & RTE_LOGICAL,
		.level = rte & RTE_LEVEL,
		.interrupt = true,
	};
	if (a->config.format.ext_dest_id)
		irq->dest |= (uint32_t)(rte >> RTE_EXT_DEST_SHIFT & 0x7f) << 8;
}

/* Find out who gets what the pin sends: for ioapic_raise(). Without the lock. */
static void know(struct ioapic *a, struct ioapic_pin *p, uint64_t rte, const struct interrupt *irq)
{
	struct target target = a->config.calls.resolve(a->config.calls.opaque, irq);

	ioapic_lock(a);
	p->known = (struct ioapic_known){
		.rte = rte,
		.word = target.kind == TARGET_POST
				? vecset_word(&target.posted->vectors, target.vector)
				: NULL,
		.generation = target.generation,
	};
	ioapic_unlock(a);
}

/* Let go of the lock and send what the RTE says; returns without it. */
static struct delivery send(struct ioapic *a, uint32_t n, uint64_t rte, bool tick)
{
	const struct ioapic_calls *calls = &a->config.calls;
	struct ioapic_pin *p = &a->config.pins[n];
	/* Of ticks it must be noted who gets them. */
	bool unknown =
		a->config.map && n != a->config.rtc_pin &&
		(p->known.rte != rte || p->known.generation != dest_map_generation(a->config.map));
	struct interrupt irq;
	struct delivery d;

	ioapic_count_sent(a);
	if (tick)
		rtc_tick_begin(&a->rtc);
	ioapic_unlock(a);
	vmirq_ioapic_decode(a, rte, &irq);
	irq.tick = tick ? &a->rtc : NULL;
	if (unlikely(unknown))
		know(a, p, rte, &irq);
	d = calls->deliver(calls->opaque, &irq);
	if (tick) {
		ioapic_lock(a);
		rtc_tick_sent(&a->rtc, d.accepted);
		ioapic_unlock(a);
	}
	/* cppcheck-suppress returnDanglingLifetime ; it has nothing of the interrupt's */
	return d;
}

static struct line_result unlock_with(struct ioapic *a, enum vmirq_verdict verdict, int status)
{
	ioapic_unlock(a);
	return (struct line_result){ .verdict = verdict, .status = status };
}

/* Nobody has accepted it. True: it is to be sent again, and the lock is held. */
static bool take_back(struct ioapic *a, struct ioapic_pin *p, uint64_t episode, uint32_t generation,
		      bool may_try)
{
	bool again = false;

	ioapic_lock(a);
	if (p->episode == episode && (p->rte & RTE_REMOTE_IRR)) {
		/* Nobody will make an EOI, so it is taken back, whatever the RTE says by now. */
		p->rte &= ~RTE_REMOTE_IRR;
		again = may_try && p->generation != generation && pin_wants(p);
	}
	if (!again)
		ioapic_unlock(a);
	return again;
}

struct line_result vmirq_ioapic_serve_unlock(struct ioapic *a, uint32_t n, bool tick)
{
	struct ioapic_pin *p = &a->config.pins[n];
	struct delivery d;
	uint32_t tries = 0, generation;
	uint64_t episode = 0, rte;

	do {
		rte = p->rte;
		if (rte & RTE_MASKED)
			return unlock_with(a, VMIRQ_RTE_MASKED, -1);
		if (rte & RTE_REMOTE_IRR) {
			p->generation++;
			return unlock_with(a, VMIRQ_REMOTE_IRR, STATUS_REMOTE_IRR);
		}
		generation = p->generation;
		if (rte & RTE_LEVEL) {
			/* Before the lock goes: the EOI may come before deliver returns. */
			p->rte = rte | RTE_REMOTE_IRR;
			episode = ioapic_next_episode(a);
			p->episode = episode;
		} else {
			p->delivered = true;
		}
		d = send(a, n, rte, tick);
	} while (unlikely(!d.accepted) && (rte & RTE_LEVEL) &&
		 take_back(a, p, episode, generation, ++tries < MAX_TRIES));
	return (struct line_result){ .verdict = d.verdict, .status = (int)d.accepted };
}

void vmirq_ioapic_serve(struct ioapic *a, uint32_t n, bool tick)
{
	vmirq_ioapic_serve_unlock(a, n, tick);
	ioapic_lock(a);
}

/* The line is driven high, for the first time or again. /dev/kvm 6.18: an edge on a line that is high
 * already is coalesced, masked or not, and what was high while masked stays unsent at unmask; a level
 * is only looked at. Returns without the lock. */
static struct line_result drive(struct ioapic *a, uint32_t n, bool tick)
{
	struct ioapic_pin *p = &a->config.pins[n];
	bool was = p->irr;

	/* /dev/kvm 6.18: a lost tick does not even leave its trace in the IRR. */
	if (tick && rtc_tick_outstanding(&a->rtc))
		return unlock_with(a, VMIRQ_COALESCED, 0);
	p->irr = true;
	if (!(p->rte & RTE_LEVEL)) {
		p->delivered = false;
		if (was)
			return unlock_with(a, VMIRQ_COALESCED, 0);
	}
	return vmirq_ioapic_serve_unlock(a, n, tick);
}

struct line_result vmirq_ioapic_change_unlock(struct ioapic *a, uint32_t n, int sources,
					      bool status)
{
	struct ioapic_pin *p = &a->config.pins[n];

	if (sources > 0 || p->asserters)
		p->asserters += (uint32_t)sources;
	/* One source less, and others hold it: to /dev/kvm that is an assertion like any. */
	if (p->asserters)
		return drive(a, n, status && n == a->config.rtc_pin);
	/* Also what a loaded state has left high: its source was nobody here. */
	p->irr = false;
	return unlock_with(a, VMIRQ_DELIVERED, 1);
}

static struct line_result change(struct ioapic *a, uint32_t pin, int sources, bool status)
{
	if (pin >= a->config.count)
		return NO_SUCH_PIN;
	ioapic_lock(a);
	return vmirq_ioapic_change_unlock(a, pin, sources, status);
}

struct line_result vmirq_ioapic_set_line(struct ioapic *a, uint32_t pin, bool level)
{
	return change(a, pin, level ? 1 : -1, false);
}

struct line_result vmirq_ioapic_look_at_line(struct ioapic *a, uint32_t pin, bool status)
{
	return change(a, pin, 0, status);
}

struct line_result vmirq_ioapic_set_line_status(struct ioapic *a, uint32_t pin, bool level)
{
	return change(a, pin, level ? 1 : -1, true);
}

/* The EOI has freed the pin and its line is high. Returns without the lock. */
static void serve_again(struct ioapic *a, uint32_t n)
{
	struct ioapic_pin *p = &a->config.pins[n];
	bool storm = ++p->eois >= STORM_EOIS;

	if (storm)
		p->eois = 0;
	if (!storm || !a->config.calls.throttled) {
		vmirq_ioapic_serve_unlock(a, n, false);
		return;
	}
	ioapic_unlock(a);
	a->config.calls.throttled(a->config.calls.opaque, n,
				  a->config.host.now(a->config.host.opaque) + STORM_DELAY_NS);
}

/* The first pin with this vector from `pin` on; or none, which is past the last. Without the lock. */
static off_path uint32_t pin_with(const struct ioapic *a, uint8_t vector, uint32_t pin)
{
	uint64_t each = EACH_PIN(vector), wanted = UINT64_MAX << pin % PINS_PER_WORD * 8;

	for (uint32_t first = pin & ~(PINS_PER_WORD - 1); first < a->config.count;
	     first += PINS_PER_WORD) {
		uint64_t pins = ioapic_pins_with(a, first, each) & wanted;

		if (pins)
			return first + (uint32_t)__builtin_ctzll(pins) / 8;
		wanted = UINT64_MAX;
	}
	return IOAPIC_NO_PIN;
}

/* latest: the last episode that this EOI may end. Without the lock. */
static off_path void eoi_pin(struct ioapic *a, uint32_t n, bool level, uint64_t latest)
{
	struct ioapic_pin *p = &a->config.pins[n];

	if (a->config.calls.ack)
		a->config.calls.ack(a->config.calls.opaque, n);
	if (!level)
		return;
	ioapic_lock(a);
	if (p->rte & RTE_LEVEL && p->episode <= latest)
		p->rte &= ~RTE_REMOTE_IRR;
	/* An edge pin whose vector was taken as a level, by another pin that shares it: /dev/kvm 6.18
	 * sends it again if its line is high. That is one interrupt too many, so not here. And set again
	 * means that somebody else has delivered meanwhile: the storm goes on there. */
	if (!(p->rte & RTE_LEVEL) || (p->rte & RTE_REMOTE_IRR)) {
		ioapic_unlock(a);
	} else if (pin_wants(p)) {
		serve_again(a, n);
	} else {
		p->eois = 0;
		ioapic_unlock(a);
	}
}

/* The fence is for vmirq_ioapic_restore_tick(), which says that somebody holds a tick and then looks whether he has
 * the vector, which is ended by now. */
static inline bool may_end_tick(const struct ioapic *a, uint32_t vcpu)
{
	if (a->config.rtc_pin >= a->config.count)
		return false;
	fence_full();
	return vcpu == IOAPIC_ANY_VCPU || rtc_tick_holds(&a->rtc, vcpu);
}

static off_path void end_tick(struct ioapic *a, uint32_t vcpu, uint8_t vector)
{
	ioapic_lock(a);
	if (vcpu == IOAPIC_ANY_VCPU)
		rtc_tick_eoi_of_all(&a->rtc, vector);
	else
		rtc_tick_eoi(&a->rtc, vcpu, vector);
	ioapic_unlock(a);
}

void vmirq_ioapic_eoi(struct ioapic *a, uint32_t vcpu, uint8_t vector, bool level)
{
	/* Whoever ends an interrupt has seen it posted, and with it the episode. */
	uint64_t latest = atomic_load_explicit(&a->episodes, memory_order_relaxed);
	uint32_t pin = 0;

	if (unlikely(may_end_tick(a, vcpu)))
		end_tick(a, vcpu, vector);
	/* Each is looked for when its turn comes, for what an ack has changed. */
	while ((pin = pin_with(a, vector, pin)) < a->config.count)
		eoi_pin(a, pin++, level, latest);
}

void vmirq_ioapic_forget_tick(struct ioapic *a, uint32_t vcpu)
{
	ioapic_lock(a);
	rtc_tick_drop(&a->rtc, vcpu);
	ioapic_unlock(a);
}

/* Said to hold it first, then looked at: an EOI meanwhile either finds that, or comes before the look. */
void vmirq_ioapic_restore_tick(struct ioapic *a, uint32_t vcpu)
{
	const struct ioapic_calls *calls = &a->config.calls;
	struct interrupt irq;
	enum holding state;

	if (!calls->holds || a->config.rtc_pin >= a->config.count)
		return;
	vmirq_ioapic_route(a, a->config.rtc_pin, &irq);
	state = calls->holds(calls->opaque, vcpu, &irq);
	if (state == HOLDS) {
		ioapic_lock(a);
		if (!rtc_tick_holds(&a->rtc, vcpu))
			rtc_tick_hold(&a->rtc, vcpu, irq.vector);
		ioapic_unlock(a);
		/* Pairs with the fence in may_end_tick(). */
		fence_full();
		state = calls->holds(calls->opaque, vcpu, &irq);
	}
	if (state == HOLDS_NOT)
		vmirq_ioapic_forget_tick(a, vcpu);
}

void vmirq_ioapic_retry(struct ioapic *a, uint32_t pin)
{
	if (pin >= a->config.count)
		return;
	ioapic_lock(a);
	if (pin_wants(&a->config.pins[pin]))
		vmirq_ioapic_serve_unlock(a, pin, false);
	else
		ioapic_unlock(a);
}

bool vmirq_ioapic_route(struct ioapic *a, uint32_t pin, struct interrupt *irq)
{
	uint64_t rte;

	if (pin >= a->config.count)
		return false;
	ioapic_lock(a);
	rte = a->config.pins[pin].rte;
	ioapic_unlock(a);
	vmirq_ioapic_decode(a, rte, irq);
	return !(rte & RTE_MASKED);
}
