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

/* Let go of the lock and send. */
static struct delivery send(struct ioapic *a, struct interrupt *irq, bool tick)
{
	struct delivery d;

	if (tick) {
		rtc_tick_begin(&a->rtc);
		irq->tick = &a->rtc;
	}
	ioapic_unlock(a);
	d = a->config.calls.deliver(a->config.calls.opaque, irq);
	ioapic_lock(a);
	if (tick)
		rtc_tick_sent(&a->rtc, d.accepted);
	return d;
}

struct line_result vmirq_ioapic_serve(struct ioapic *a, uint32_t n, bool tick)
{
	struct ioapic_pin *p = &a->config.pins[n];
	struct delivery d = { .verdict = VMIRQ_NO_TARGET };
	struct interrupt irq;

	for (uint32_t tries = 1;; tries++) {
		uint64_t episode;
		uint32_t generation;

		if (p->rte & RTE_MASKED)
			return (struct line_result){ .verdict = VMIRQ_RTE_MASKED, .status = -1 };
		vmirq_ioapic_decode(a, p->rte, &irq);
		if (!irq.level) {
			p->delivered = true;
			d = send(a, &irq, tick);
			break;
		}
		if (p->rte & RTE_REMOTE_IRR) {
			p->generation++;
			return (struct line_result){ .verdict = VMIRQ_REMOTE_IRR,
						     .status = STATUS_REMOTE_IRR };
		}
		/* Before the lock goes: the EOI may come before deliver returns. */
		p->rte |= RTE_REMOTE_IRR;
		episode = p->episode = ++a->episodes;
		generation = p->generation;
		d = send(a, &irq, tick);
		if (d.accepted || p->episode != episode || !(p->rte & RTE_REMOTE_IRR))
			break;
		/* Nobody will make an EOI, so it is taken back, whatever the RTE says by now. */
		p->rte &= ~RTE_REMOTE_IRR;
		if (p->generation == generation || !pin_wants(p) || tries == MAX_TRIES)
			break;
	}
	return (struct line_result){ .verdict = d.verdict, .status = (int)d.accepted };
}

/* The line is driven high, for the first time or again. /dev/kvm 6.18: an edge on a line that is high
 * already is coalesced, masked or not, and what was high while masked stays unsent at unmask; a level
 * is only looked at. */
static struct line_result drive(struct ioapic *a, uint32_t n, bool tick)
{
	struct ioapic_pin *p = &a->config.pins[n];
	const struct line_result coalesced = { .verdict = VMIRQ_COALESCED, .status = 0 };
	bool was = p->irr;

	/* /dev/kvm 6.18: a lost tick does not even leave its trace in the IRR. */
	if (tick && rtc_tick_outstanding(&a->rtc))
		return coalesced;
	p->irr = true;
	if (!(p->rte & RTE_LEVEL)) {
		p->delivered = false;
		if (was)
			return coalesced;
	}
	return vmirq_ioapic_serve(a, n, tick);
}

static struct line_result set_line(struct ioapic *a, uint32_t n, bool level, bool status)
{
	struct line_result result = { .verdict = VMIRQ_DELIVERED, .status = 1 };
	struct ioapic_pin *p;

	if (n >= a->config.count)
		return NO_SUCH_PIN;
	p = &a->config.pins[n];
	ioapic_lock(a);
	if (level)
		p->asserters++;
	else if (p->asserters)
		p->asserters--;
	/* One source less, and others hold it: to /dev/kvm that is an assertion like any. */
	if (p->asserters)
		result = drive(a, n, status && n == a->config.rtc_pin);
	else
		p->irr = false;
	ioapic_unlock(a);
	return result;
}

struct line_result vmirq_ioapic_set_line(struct ioapic *a, uint32_t pin, bool level)
{
	return set_line(a, pin, level, false);
}

struct line_result vmirq_ioapic_look_at_line(struct ioapic *a, uint32_t pin, bool status)
{
	struct line_result result = { .verdict = VMIRQ_DELIVERED, .status = 1 };

	if (pin >= a->config.count)
		return NO_SUCH_PIN;
	ioapic_lock(a);
	if (a->config.pins[pin].asserters)
		result = drive(a, pin, status && pin == a->config.rtc_pin);
	else
		/* Also what a loaded state has left high: its source was nobody here. */
		a->config.pins[pin].irr = false;
	ioapic_unlock(a);
	return result;
}

struct line_result vmirq_ioapic_set_line_status(struct ioapic *a, uint32_t pin, bool level)
{
	return set_line(a, pin, level, true);
}

/* The EOI has freed the pin and its line is high. */
static void serve_again(struct ioapic *a, uint32_t n)
{
	struct ioapic_pin *p = &a->config.pins[n];

	if (++p->eois < STORM_EOIS) {
		vmirq_ioapic_serve(a, n, false);
		return;
	}
	p->eois = 0;
	if (!a->config.calls.throttled) {
		vmirq_ioapic_serve(a, n, false);
		return;
	}
	ioapic_unlock(a);
	a->config.calls.throttled(a->config.calls.opaque, n,
				  a->config.host.now(a->config.host.opaque) + STORM_DELAY_NS);
	ioapic_lock(a);
}

/* latest: the last episode that this EOI may end. */
static void eoi_pin(struct ioapic *a, uint32_t n, bool level, uint64_t latest)
{
	struct ioapic_pin *p = &a->config.pins[n];

	if (a->config.calls.ack) {
		ioapic_unlock(a);
		a->config.calls.ack(a->config.calls.opaque, n);
		ioapic_lock(a);
	}
	/* An edge pin whose vector was taken as a level, by another pin that shares it: /dev/kvm 6.18
	 * sends it again if its line is high. That is one interrupt too many, so not here. */
	if (!level || !(p->rte & RTE_LEVEL))
		return;
	if (p->episode <= latest)
		p->rte &= ~RTE_REMOTE_IRR;
	/* Set again means that somebody else has delivered meanwhile: the storm goes on there. */
	if (p->rte & RTE_REMOTE_IRR)
		return;
	if (pin_wants(p))
		serve_again(a, n);
	else
		p->eois = 0;
}

void vmirq_ioapic_eoi(struct ioapic *a, uint32_t vcpu, uint8_t vector, bool level)
{
	uint64_t latest;

	ioapic_lock(a);
	latest = a->episodes;
	if (vcpu == IOAPIC_ANY_VCPU)
		rtc_tick_eoi_of_all(&a->rtc, vector);
	else
		rtc_tick_eoi(&a->rtc, vcpu, vector);
	for (uint32_t n = 0; n < a->config.count; n++)
		if ((a->config.pins[n].rte & RTE_VECTOR) == vector)
			eoi_pin(a, n, level, latest);
	ioapic_unlock(a);
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
		vmirq_ioapic_serve(a, pin, false);
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
