/* SPDX-License-Identifier: MIT */
/*
 * Read sections and their grace period: how deassign, quiesce, unbind and destroy know that no
 * signal can still act on what they took away.
 *
 * Each thread has a record with one word, odd while it is inside. Entering is a plain store; it
 * becomes visible by a full fence that the section needs anyway (its locked counter), so a signal
 * pays nothing for it. reader_wait() goes through the records and waits for each that is odd to
 * change.
 *
 *	section				reader_wait()
 *	A: record = odd			C: unpublish (the caller, before)
 *	   full fence			   full fence
 *	B: load what is published	D: load record
 *
 * Either B sees C's result or D sees A. So what is loaded before the section's fence must be looked
 * at again after it.
 *
 * Ordering: everything in a section that reader_wait() waited for happens before it returns (the
 * release in reader_exit() with the acquire in reader_wait()).
 * Progress: enter and exit are wait-free and async-signal-safe. Sections nest, the inner one ending
 * first: it is part of the outer one and stores nothing. reader_wait() may block for as long as the
 * sections that it found do.
 *
 * Process-wide because threads are. A record whose thread has ended is found out when another thread
 * wants one, or when a wait has stood before it for long: no destructor is asked for, which could allocate, and a
 * child after fork does not wait for its parent's threads. The one that forked is its own.
 *
 * A thread's seccomp filter may be tight. Waits make futex() only, and tgkill() after 100 ms; what finding a record
 * makes is in vm.h (vmirq_thread_prepare()).
 */
#ifndef BASE_READER_H
#define BASE_READER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arch.h"

/* What a thread can say that it uses. */
enum reader_use {
	READER_HOLDS, /* keeps as it is for a moment: see reader_hold() */
	READER_CALLS, /* is called back by: see reader_calls() */
	READER_USES,
};

struct reader {
	_Atomic uint64_t state; /* odd: inside. Written by its thread only. */
	_Atomic int32_t owner;	/* its thread's id; 0: nobody has it */
	/* What it uses beside its section. */
	const void *_Atomic uses[READER_USES];
} __attribute__((aligned(CACHE_LINE)));

/* The thread's; before its first section vmirq_reader_none, which nobody has and which is always odd, so that
 * entering looks at one thing. */
extern __thread struct reader *vmirq_reader_self __attribute__((tls_model("initial-exec")));
extern struct reader vmirq_reader_none;

/* The calling thread's record is odd: READER_INNER; or this is its first section, which is entered in a
 * record that is found for it, or, without memory, in none (NULL). */
struct reader *vmirq_reader_enter_odd(void);
/* Sections that the thread is in without a record. Until it is out of them it is given none. */
extern __thread unsigned int vmirq_reader_shared __attribute__((tls_model("initial-exec")));
void vmirq_reader_exit_shared(void);

/* Is the calling thread in a section? */
static inline bool reader_inside(void)
{
	struct reader *r = vmirq_reader_self;

	if (unlikely(r == &vmirq_reader_none))
		return vmirq_reader_shared;
	return atomic_load_explicit(&r->state, memory_order_relaxed) & 1;
}

/* For loops that wait for another thread: spin, then sleep, by futex() alone. */
void vmirq_back_off(unsigned int turn);

/* Wait until every section begun before the call has ended. -EDEADLK inside a section. */
int vmirq_reader_wait(void);

/* Wait until nobody uses `what` so any more who began before the call; not while the caller does. Legal inside
 * a section. Who comes later has to be kept away by other means. */
void vmirq_reader_wait_use(enum reader_use use, const void *what);

/* What a section inside another one is handed: its end means nothing. */
#define READER_INNER ((struct reader *)1)

static inline uint64_t reader_state(const struct reader *r)
{
	return atomic_load_explicit(&r->state, memory_order_relaxed);
}

/* The two ends of a section that is in no other: `state` is what was found, and even. A signal handler
 * that comes before the first store leaves state two further, which that store takes back: a waiter
 * then waits longer. One that comes after it finds it odd, and leaves it as it is. */
static inline void reader_begin(struct reader *r, uint64_t state)
{
	atomic_store_explicit(&r->state, state + 1, memory_order_relaxed);
	atomic_signal_fence(memory_order_seq_cst);
}

static inline void reader_end(struct reader *r, uint64_t state)
{
	/* Pairs with the acquire in vmirq_reader_wait(). */
	atomic_store_explicit(&r->state, state + 2, memory_order_release);
}

/* Enter; the caller does a locked operation and fence_after_rmw() before it trusts what it loads. */
static inline struct reader *reader_enter_unfenced(void)
{
	struct reader *r = vmirq_reader_self;
	uint64_t state = reader_state(r);

	if (unlikely(state & 1))
		return vmirq_reader_enter_odd();
	reader_begin(r, state);
	return r;
}

static inline struct reader *reader_enter(void)
{
	struct reader *r = vmirq_reader_self;
	uint64_t state = reader_state(r);

	if (unlikely(state & 1)) {
		r = vmirq_reader_enter_odd();
		fence_full();
		return r;
	}
	/* A in one with the fence. */
	atomic_exchange(&r->state, state + 1);
	fence_after_rmw();
	return r;
}

static inline void reader_exit(struct reader *r)
{
	if (unlikely(!r))
		vmirq_reader_exit_shared();
	else if (r != READER_INNER)
		reader_end(r, reader_state(r) - 1);
}

/* The calling thread's record, by what its section was handed; NULL: it has none. */
static inline struct reader *reader_record(struct reader *section)
{
	return section == READER_INNER ? vmirq_reader_self : section;
}

/*
 * A lock for reading that is nobody's line: what is held is named in the thread's own record, and who wants
 * to change it looks through the records. The same order as of a section: name it, fence, look whether it
 * is being changed; the changer says so, fences, looks at the records. For a few instructions under which
 * nothing is waited for, or a wait for sections would not do: those may wait for the changer's locks. Not in
 * a signal handler, nor twice.
 */
static inline void reader_hold_unfenced(struct reader *r, const void *what)
{
	atomic_store_explicit(&r->uses[READER_HOLDS], what, memory_order_relaxed);
}

static inline void reader_hold(struct reader *r, const void *what)
{
	reader_hold_unfenced(r, what);
	fence_full();
}

static inline void reader_let_go(struct reader *r)
{
	/* Pairs with the acquire in vmirq_reader_wait_use(). */
	atomic_store_explicit(&r->uses[READER_HOLDS], NULL, memory_order_release);
}

/*
 * A callback, which may last, and is made outside of sections: what is called is named inside the section that
 * has found it, and before that ends. Who takes it away says so, waits for all sections, and then for whom
 * still names it. Of callbacks within callbacks the record names the outermost; a thread that ends in that one is
 * not waited for.
 */
static inline bool reader_calls(const struct reader *r, const void *what)
{
	return atomic_load_explicit(&r->uses[READER_CALLS], memory_order_relaxed) == what;
}

static inline void reader_call(struct reader *r, const void *what)
{
	/* The section's end releases it. */
	atomic_store_explicit(&r->uses[READER_CALLS], what, memory_order_relaxed);
}

static inline void reader_called(struct reader *r)
{
	/* Pairs with the acquire in vmirq_reader_wait_use(). */
	atomic_store_explicit(&r->uses[READER_CALLS], NULL, memory_order_release);
}

#endif
