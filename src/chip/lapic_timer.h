/* SPDX-License-Identifier: MIT */
/*
 * A local APIC's timer (SDM vol. 3A 11.5.4): one-shot, periodic, TSC-deadline.
 *
 * It counts on the chip's clock. Nothing runs by itself: whoever runs the vCPU looks at the deadline
 * before it enters or sleeps, and somebody posts EVENT_TIMER to a vCPU that is in the guest when the
 * deadline comes. The vCPU's thread then calls vmirq_lapic_timer_run().
 */
#ifndef CHIP_LAPIC_TIMER_H
#define CHIP_LAPIC_TIMER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define TIMER_NEVER UINT64_MAX

struct lapic;

struct lapic_timer {
	_Atomic uint64_t deadline; /* ns of the chip's clock; written by the vCPU's thread */
	uint64_t period;	   /* ns from one expiry to the next; 0: not counting */
	uint64_t tsc_deadline;	   /* as the guest wrote it; 0: not armed */
	/* Units: expiries; delivered or not. For the accounting. */
	_Atomic uint64_t expired;
	_Atomic uint64_t missed; /* periods that passed in one look, beyond the first */
};

static inline uint64_t lapic_timer_deadline(const struct lapic_timer *t)
{
	return atomic_load_explicit(&t->deadline, memory_order_relaxed);
}

/* The registers; all on the vCPU's thread. */
void vmirq_lapic_timer_reset(struct lapic *l);
void vmirq_lapic_timer_write_lvt(struct lapic *l, uint32_t value);
void vmirq_lapic_timer_write_initial(struct lapic *l, uint32_t value);
void vmirq_lapic_timer_write_divide(struct lapic *l, uint32_t value);
uint32_t vmirq_lapic_timer_current(const struct lapic *l);
void vmirq_lapic_timer_write_tsc_deadline(struct lapic *l, uint64_t tsc);
uint64_t vmirq_lapic_timer_tsc_deadline(const struct lapic *l);

/* A loaded state: count on from `current`, of TMICT. */
void vmirq_lapic_timer_load(struct lapic *l, uint32_t current);

/* Exactly: so much of the present count is left, in ns; TIMER_NEVER: it does not count. */
bool vmirq_lapic_timer_can_have(uint32_t lvt, uint32_t initial, uint64_t left);
void vmirq_lapic_timer_put(struct lapic *l, uint64_t left);
uint64_t vmirq_lapic_timer_left(const struct lapic *l);

/* The clock may have reached the deadline: post what is due to this vCPU itself. Bounded, however far
 * the clock has gone. */
void vmirq_lapic_timer_run(struct lapic *l);

#endif
