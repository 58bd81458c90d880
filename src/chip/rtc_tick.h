/* SPDX-License-Identifier: MIT */
/*
 * Who still has a tick of the RTC to end.
 *
 * A local APIC is noted before the tick's vector is posted to it, because its EOI may come before the
 * poster has returned. That needs no lock: a bit each. All else is under the IOAPIC's lock.
 */
#ifndef CHIP_RTC_TICK_H
#define CHIP_RTC_TICK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/bits.h"
#include "chip/dest_map.h"

struct rtc_tick {
	_Atomic uint64_t holder[BITS_WORDS(MAX_VCPUS)]; /* by vCPU */
	_Atomic uint8_t vector[MAX_VCPUS];		/* that each holder has it as */
	_Atomic uint32_t noted;				/* by the delivery under way */
	bool sending;
	/* Accepted, but not as a vector that will have an EOI: an NMI. /dev/kvm 6.18 waits for one all
	 * the same, until its IOAPIC is loaded. */
	uint32_t endless;
};

static inline bool rtc_tick_holds(const struct rtc_tick *t, uint32_t vcpu)
{
	/* Acquire: pairs with the release in rtc_tick_hold(); the vector follows. */
	return atomic_load_explicit(&t->holder[vcpu / 64], memory_order_acquire) & bit64(vcpu);
}

static inline void rtc_tick_hold(struct rtc_tick *t, uint32_t vcpu, uint8_t vector)
{
	atomic_store_explicit(&t->vector[vcpu], vector, memory_order_relaxed);
	/* Release: pairs with the acquire in rtc_tick_holds(). */
	atomic_fetch_or_explicit(&t->holder[vcpu / 64], bit64(vcpu), memory_order_release);
}

static inline void rtc_tick_drop(struct rtc_tick *t, uint32_t vcpu)
{
	atomic_fetch_and_explicit(&t->holder[vcpu / 64], ~bit64(vcpu), memory_order_relaxed);
}

/* For whoever delivers it: this vCPU is about to get it. */
static inline void rtc_tick_note(struct rtc_tick *t, uint32_t vcpu, uint8_t vector)
{
	rtc_tick_hold(t, vcpu, vector);
	atomic_fetch_add_explicit(&t->noted, 1, memory_order_relaxed);
}

/* Somebody has not ended the last one yet. */
static inline bool rtc_tick_outstanding(const struct rtc_tick *t)
{
	if (t->sending || t->endless)
		return true;
	for (uint32_t w = 0; w < BITS_WORDS(MAX_VCPUS); w++)
		if (atomic_load_explicit(&t->holder[w], memory_order_relaxed))
			return true;
	return false;
}

static inline void rtc_tick_begin(struct rtc_tick *t)
{
	t->sending = true;
	atomic_store_explicit(&t->noted, 0, memory_order_relaxed);
}

static inline void rtc_tick_sent(struct rtc_tick *t, uint32_t accepted)
{
	uint32_t noted = atomic_load_explicit(&t->noted, memory_order_relaxed);

	t->sending = false;
	t->endless = accepted > noted ? accepted - noted : 0;
}

/* This vCPU has ended this vector. */
static inline void rtc_tick_eoi(struct rtc_tick *t, uint32_t vcpu, uint8_t vector)
{
	if (rtc_tick_holds(t, vcpu) &&
	    atomic_load_explicit(&t->vector[vcpu], memory_order_relaxed) == vector)
		rtc_tick_drop(t, vcpu);
}

/* All who have this vector have ended it. */
static inline void rtc_tick_eoi_of_all(struct rtc_tick *t, uint8_t vector)
{
	for (uint32_t i = 0; i < MAX_VCPUS; i++)
		rtc_tick_eoi(t, i, vector);
}

static inline void rtc_tick_clear(struct rtc_tick *t)
{
	for (uint32_t w = 0; w < BITS_WORDS(MAX_VCPUS); w++)
		atomic_store_explicit(&t->holder[w], 0, memory_order_relaxed);
	t->endless = 0;
}

#endif
