/* SPDX-License-Identifier: MIT */
/*
 * A lock that sleeps, for what is mostly held for a few dozen instructions: one word, one locked operation
 * to take it and none to give it, inline. Not recursive, and nobody's in particular: who has it is not
 * remembered. (A pthread_mutex_t is 40 bytes and some 60 instructions.)
 *
 *	giver				waiter
 *	A: is it waited for?		C: say that it is waited for (locked)
 *	B: if not, store "free"		D: sleep while the word says so
 *
 * Where C comes between A and B nobody wakes the waiter; D then sees at once that the word has changed.
 * Only a giver that is off its processor just there lets it go to sleep, so a sleep has an end (NAP_NS):
 * the locked exchange that would never miss a waiter would cost every giver as much as taking does. B writes
 * the holder's own word, so nobody can come to hold it twice. It is not a full fence. The model is
 * models/lock.pml.
 *
 * A signal handler must not take one. Zeroed it is free; there is nothing to destroy.
 */
#ifndef BASE_LOCK_H
#define BASE_LOCK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#ifdef __SANITIZE_THREAD__
#include <sanitizer/tsan_interface.h>
#endif

#include "base/arch.h"

enum { LOCK_FREE, LOCK_HELD, LOCK_WAITED_FOR };

struct lock {
	_Atomic uint32_t word;
};

void vmirq_lock_wait(struct lock *lock);
void vmirq_lock_wake(struct lock *lock);

/* Sleep while *word is `seen`, or for a shorter time. Wake all who do. */
void vmirq_futex_wait(_Atomic uint32_t *word, uint32_t seen);
void vmirq_futex_wake_all(_Atomic uint32_t *word);
/* Sleep for so long; nobody wakes. */
void vmirq_futex_nap(uint32_t ns);

/* ThreadSanitizer knows the order that locks are taken in, if it is told of them. */
#ifdef __SANITIZE_THREAD__
#define LOCK_KIND	       __tsan_mutex_linker_init
#define lock_is_wanted(lock)   __tsan_mutex_pre_lock(lock, LOCK_KIND)
#define lock_is_taken(lock)    __tsan_mutex_post_lock(lock, LOCK_KIND, 0)
#define lock_is_unwanted(lock) __tsan_mutex_pre_unlock(lock, LOCK_KIND)
#define lock_is_given(lock)    __tsan_mutex_post_unlock(lock, LOCK_KIND)
#else
#define lock_is_wanted(lock)   ((void)(lock))
#define lock_is_taken(lock)    ((void)(lock))
#define lock_is_unwanted(lock) ((void)(lock))
#define lock_is_given(lock)    ((void)(lock))
#endif

static inline void lock_take(struct lock *lock)
{
	uint32_t word = LOCK_FREE;

	lock_is_wanted(lock);
	/* Acquire: pairs with the release in lock_give(). */
	if (unlikely(!atomic_compare_exchange_strong_explicit(
		    &lock->word, &word, LOCK_HELD, memory_order_acquire, memory_order_relaxed)))
		vmirq_lock_wait(lock);
	lock_is_taken(lock);
}

static inline void lock_give(struct lock *lock)
{
	bool wake = atomic_load_explicit(&lock->word, memory_order_relaxed) == LOCK_WAITED_FOR;

	lock_is_unwanted(lock);
	/* Release: pairs with the acquires in lock_take() and vmirq_lock_wait(). */
	atomic_store_explicit(&lock->word, LOCK_FREE, memory_order_release);
	if (unlikely(wake))
		vmirq_lock_wake(lock);
	lock_is_given(lock);
}

#endif
