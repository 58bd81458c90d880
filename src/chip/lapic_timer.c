/* SPDX-License-Identifier: MIT */
#include "chip/lapic_timer.h"

#include "chip/deliver.h"
#include "chip/lapic.h"

/* The timer counts at 1 GHz before the divider, as the kernel's. */
#define NS_PER_BUS_CYCLE 1u
/* A period shorter than this is stretched to it, as the kernel does (kvm.min_timer_period_us). */
#define SHORTEST_PERIOD 200000u

enum timer_mode { ONE_SHOT, PERIODIC, TSC_DEADLINE, RESERVED };

static enum timer_mode mode_of(uint32_t lvt)
{
	return (enum timer_mode)bits32(lvt, 18, 17);
}

static enum timer_mode mode(const struct lapic *l)
{
	return mode_of(lapic_get(l, LAPIC_LVT_TIMER));
}

/* TDCR bits 3, 1 and 0: 2, 4, ... 128, and 1 (figure 11-10). */
static uint32_t divider(const struct lapic *l)
{
	uint32_t tdcr = lapic_get(l, LAPIC_TDCR);
	uint32_t code = (tdcr & 3) | (tdcr >> 1 & 4);

	return 1u << ((code + 1) & 7);
}

static uint64_t now(const struct lapic *l)
{
	return l->chip->host.now(l->chip->host.opaque);
}

static void set_deadline(struct lapic *l, uint64_t deadline)
{
	atomic_store_explicit(&l->timer.deadline, deadline, memory_order_relaxed);
}

/* Deadlines stay below TIMER_NEVER: a clock of 64 bits of ns does not come near. */
static uint64_t after(uint64_t start, uint64_t ns)
{
	return ns < TIMER_NEVER - 1 - start ? start + ns : TIMER_NEVER - 1;
}

static void stop(struct lapic *l)
{
	l->timer.period = 0;
	l->timer.tsc_deadline = 0;
	set_deadline(l, TIMER_NEVER);
}

void vmirq_lapic_timer_reset(struct lapic *l)
{
	stop(l);
}

static uint64_t count_to_ns(const struct lapic *l, uint64_t count)
{
	return count * divider(l) * NS_PER_BUS_CYCLE;
}

static uint64_t full_period(const struct lapic *l)
{
	uint64_t period = count_to_ns(l, lapic_get(l, LAPIC_TMICT));

	return mode(l) == PERIODIC && period && period < SHORTEST_PERIOD ? SHORTEST_PERIOD : period;
}

void vmirq_lapic_timer_write_initial(struct lapic *l, uint32_t value)
{
	/* Ignored in TSC-deadline mode (11.5.4.1). */
	if (mode(l) == TSC_DEADLINE)
		return;
	lapic_put(l, LAPIC_TMICT, value);
	stop(l);
	/* The reserved mode counts nothing (as /dev/kvm). */
	if (!value || mode(l) == RESERVED)
		return;
	l->timer.period = full_period(l);
	set_deadline(l, after(now(l), l->timer.period));
}

/* In ns; 0 where it is not counting. */
static uint64_t remaining(const struct lapic *l)
{
	uint64_t deadline = lapic_timer_deadline(&l->timer);
	uint64_t t;

	if (!l->timer.period || deadline == TIMER_NEVER)
		return 0;
	t = now(l);
	if (t < deadline)
		return deadline - t;
	/* Over, and not looked at yet: a periodic one is in a later period. */
	return mode(l) == PERIODIC ? l->timer.period - (t - deadline) % l->timer.period : 0;
}

uint32_t vmirq_lapic_timer_current(const struct lapic *l)
{
	uint64_t left = remaining(l), count;

	if (!left || mode(l) == TSC_DEADLINE)
		return 0;
	count = left / ((uint64_t)divider(l) * NS_PER_BUS_CYCLE);
	return count > UINT32_MAX ? UINT32_MAX : (uint32_t)count;
}

void vmirq_lapic_timer_write_divide(struct lapic *l, uint32_t value)
{
	uint64_t count = remaining(l) / ((uint64_t)divider(l) * NS_PER_BUS_CYCLE);
	bool counting = l->timer.period && lapic_timer_deadline(&l->timer) != TIMER_NEVER;

	lapic_put(l, LAPIC_TDCR, value);
	if (!counting)
		return;
	/* What is left to count is counted at the new rate. */
	l->timer.period = full_period(l);
	set_deadline(l, after(now(l), count_to_ns(l, count)));
}

void vmirq_lapic_timer_write_lvt(struct lapic *l, uint32_t value)
{
	bool was_tsc = mode(l) == TSC_DEADLINE;

	/* To or from TSC-deadline mode disarms (11.5.4.1); one-shot and periodic go on. */
	if (was_tsc != (mode_of(value) == TSC_DEADLINE)) {
		lapic_put(l, LAPIC_TMICT, 0);
		stop(l);
	}
	lapic_put(l, LAPIC_LVT_TIMER, value);
	if (l->timer.period)
		l->timer.period = full_period(l);
}

void vmirq_lapic_timer_load(struct lapic *l, uint32_t current)
{
	uint64_t left;

	if (mode(l) == TSC_DEADLINE || mode(l) == RESERVED || !lapic_get(l, LAPIC_TMICT))
		return;
	l->timer.period = full_period(l);
	left = count_to_ns(l, current);
	/* A periodic one never stands at 0, and none has more left than there was to count. */
	if (left > l->timer.period || (!left && mode(l) == PERIODIC))
		left = l->timer.period;
	/* A one-shot that had run out comes at once, as in the kernel: its state does not tell whether the
	 * interrupt was delivered, and /dev/kvm saves it before (seen on 6.18). One too many does less
	 * harm than one too few. */
	set_deadline(l, after(now(l), left));
}

bool vmirq_lapic_timer_can_have(uint32_t lvt, uint32_t initial, uint64_t left)
{
	/* A count that was stretched may exceed the initial one; none exceeds its register. */
	return left == TIMER_NEVER || (mode_of(lvt) != TSC_DEADLINE && initial &&
				       left <= (uint64_t)UINT32_MAX * 128 * NS_PER_BUS_CYCLE);
}

void vmirq_lapic_timer_put(struct lapic *l, uint64_t left)
{
	stop(l);
	if (left == TIMER_NEVER)
		return;
	l->timer.period = full_period(l);
	set_deadline(l, after(now(l), left));
}

uint64_t vmirq_lapic_timer_left(const struct lapic *l)
{
	return !l->timer.period || lapic_timer_deadline(&l->timer) == TIMER_NEVER ? TIMER_NEVER
										  : remaining(l);
}

static uint64_t tsc_to_ns(uint64_t ticks, uint32_t khz)
{
	uint64_t ms = ticks / khz;

	/* Some 292 years: never. */
	if (ms > TIMER_NEVER / 2 / 1000000u)
		return TIMER_NEVER / 2;
	return ms * 1000000u + ticks % khz * 1000000u / khz;
}

void vmirq_lapic_timer_write_tsc_deadline(struct lapic *l, uint64_t tsc)
{
	const struct chip_host *host = &l->chip->host;
	uint64_t tsc_now;
	uint32_t khz = 0;

	if (mode(l) != TSC_DEADLINE || !lapic_hw_enabled(l))
		return;
	l->timer.tsc_deadline = tsc;
	if (!tsc) {
		set_deadline(l, TIMER_NEVER);
		return;
	}
	tsc_now = host->tsc(host->opaque, l->index, &khz);
	set_deadline(l, after(now(l), tsc > tsc_now ? tsc_to_ns(tsc - tsc_now, khz) : 0));
}

uint64_t vmirq_lapic_timer_tsc_deadline(const struct lapic *l)
{
	return mode(l) == TSC_DEADLINE ? l->timer.tsc_deadline : 0;
}

void vmirq_lapic_timer_run(struct lapic *l)
{
	uint64_t deadline = lapic_timer_deadline(&l->timer);
	uint64_t t, passed;

	if (deadline == TIMER_NEVER)
		return;
	t = now(l);
	if (t < deadline)
		return;
	if (mode(l) == PERIODIC && l->timer.period) {
		/* One interrupt for all periods that have passed since the last look. */
		passed = (t - deadline) / l->timer.period;
		lapic_count(&l->timer.missed, passed);
		set_deadline(l, after(deadline, (passed + 1) * l->timer.period));
	} else {
		stop(l);
	}
	lapic_count(&l->timer.expired, 1);
	vmirq_lapic_local(l, LAPIC_LVT_TIMER);
}
