/* SPDX-License-Identifier: MIT */
/*
 * The posted descriptor: where everybody but the vCPU's own thread puts what the vCPU must take.
 *
 *	poster					vCPU thread
 *	A: set the vector's bit (locked)	C: exchange the mode (locked)
 *	B: load the mode			D: load all words and events
 *
 * All four are sequentially consistent, so either B sees C's mode, and the poster wakes or kicks,
 * or D sees A's bit. A poster looks at the mode also where the bit was set already: the one who set
 * it may have been preempted before its own look.
 *
 * The locked set is not skipped where the bit is seen set: on x86 the device's earlier store to its
 * data may pass such a load, and the handler miss the data.
 *
 * A vector that the CPU could not take, because one of its class or a higher one is in service or its TPR
 * says so, kicks nobody out of the guest: the guest must end that, or lower its priority, and comes out for
 * it. `ppr_class` is written before C. A poster whose look at the mode (B) saw IN_GUEST sees the class of
 * that entry, or of a later one: before which the vCPU has looked at the words, and found A's bit.
 *
 * Whether a vector came as a level is kept beside it in `level`, written before the vector's bit. It
 * says how the vector was last posted and is not taken with the bit: a poster between its two writes
 * would otherwise lose its level to the vCPU's exchange.
 */
#ifndef CHIP_POSTED_H
#define CHIP_POSTED_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arch.h"
#include "base/vecset.h"

/* Where the vCPU is, and who may change that: the vCPU thread: OUTSIDE, IN_GUEST, PARKED, PARKED_ELSEWHERE. A
 * poster: IN_GUEST -> KICKED, PARKED and PARKED_ELSEWHERE -> WAKING. */
enum vcpu_mode {
	MODE_DEAD = 0, /* no vCPU in this slot */
	MODE_OUTSIDE,  /* will look before it enters or parks */
	MODE_IN_GUEST,
	MODE_KICKED, /* was in the guest; somebody has kicked it */
	MODE_PARKED, /* in vmirq_vcpu_park() */
	MODE_WAKING, /* was parked; somebody is waking it */
	MODE_PARKED_ELSEWHERE,
};

/* Bits of the event word. */
enum vcpu_event {
	EVENT_NMI = 0,
	EVENT_SMI,
	EVENT_INIT,
	EVENT_SIPI, /* its page is in bits 31:24 */
	EVENT_EXTINT,
	EVENT_ILLEGAL_VECTOR, /* a message with one came; profile spec */
	EVENT_TIMER,
	EVENT_INTERRUPT, /* vmirq_vcpu_interrupt() */
	EVENT_STOP,	 /* vmirq_vcpu_stop(), until start */
	EVENT_NMI_AGAIN, /* a second one; either may be set alone */
};
#define EVENT_SIPI_SHIFT 24

/* Two lines: what posters write, and what they only look at, which then lies in all their caches at once. */
struct posted {
	struct vecset vectors;
	_Atomic uint32_t events;
	uint32_t unused_[7];

	struct vecset level __attribute__((aligned(CACHE_LINE)));
	_Atomic uint32_t mode; /* enum vcpu_mode; also the futex a vCPU parks on */
	/* While it is IN_GUEST: vectors of this class and below wait for its next exit (PPR, 11.8.3.1, or
	 * less). */
	_Atomic uint32_t ppr_class;
	uint32_t index; /* of the vCPU; constant */
} __attribute__((aligned(CACHE_LINE)));

_Static_assert(offsetof(struct posted, vectors) == 0 && sizeof(struct vecset) <= CACHE_LINE &&
		       offsetof(struct posted, level) == CACHE_LINE &&
		       sizeof(struct posted) == 2 * CACHE_LINE,
	       "posted_of_word()");

/* By a word of its vectors. */
static inline struct posted *posted_of_word(_Atomic uint64_t *word)
{
	return (struct posted *)((uintptr_t)word & ~(uintptr_t)(CACHE_LINE - 1));
}

/* Was the vector, whose bit is in this word, last a level? */
static inline bool posted_word_level(const _Atomic uint64_t *word, uint8_t vector)
{
	return atomic_load_explicit(word + CACHE_LINE / sizeof(*word), memory_order_relaxed) >>
		       (vector & 63) &
	       1;
}

/* What a poster has to do after it posted. */
enum post_duty {
	POST_NOTHING,
	POST_WAKE,
	POST_WAKE_ELSEWHERE,
	POST_KICK,
	POST_DEAD,
};

/* Of what was posted: above all classes of vectors, what is none. */
#define CLASS_EVENT 16u

static inline uint32_t class_of(uint8_t vector)
{
	return vector >> 4;
}

/* The duty is whose exchange succeeds. Where another poster was first it is his; where the vCPU was, it looks. */
static inline enum post_duty posted_take_duty(struct posted *p, uint32_t from, uint32_t to,
					      enum post_duty duty)
{
	if (atomic_compare_exchange_strong(&p->mode, &from, to))
		return duty;
	return from == MODE_DEAD ? POST_DEAD : POST_NOTHING;
}

/* B: at most one poster is told to wake or kick for one park or entry. */
static inline enum post_duty posted_duty(struct posted *p, uint32_t class)
{
	uint32_t mode = atomic_load(&p->mode);

	if (likely(mode == MODE_OUTSIDE))
		return POST_NOTHING;
	switch (mode) {
	case MODE_IN_GUEST:
		/* Relaxed: the look at the mode came before, and acquires what was stored before C. */
		if (class <= atomic_load_explicit(&p->ppr_class, memory_order_relaxed))
			return POST_NOTHING;
		return posted_take_duty(p, mode, MODE_KICKED, POST_KICK);
	case MODE_PARKED:
		return posted_take_duty(p, mode, MODE_WAKING, POST_WAKE);
	case MODE_PARKED_ELSEWHERE:
		return posted_take_duty(p, mode, MODE_WAKING, POST_WAKE_ELSEWHERE);
	case MODE_DEAD:
		return POST_DEAD;
	default:
		return POST_NOTHING;
	}
}

/* A: returns whether the bit was set already. */
static inline bool posted_set(struct posted *p, uint8_t vector, bool level)
{
	if (unlikely(vecset_test(&p->level, vector) != level)) {
		if (level)
			vecset_test_and_set(&p->level, vector);
		else
			vecset_clear(&p->level, vector);
	}
	return vecset_test_and_set(&p->vectors, vector);
}

/* A, for an event: returns whether it was set already. */
static inline bool posted_set_event(struct posted *p, enum vcpu_event event)
{
	return atomic_fetch_or(&p->events, bit32(event)) & bit32(event);
}

#endif
