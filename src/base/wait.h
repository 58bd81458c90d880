/* SPDX-License-Identifier: MIT */
/*
 * To wait for what others change under the same lock: a condition variable for where a thread could be
 * cancelled.
 *
 *	waiter, with the lock			changer, with the lock
 *	while it is not so			change it
 *		vmirq_wait(waiters, lock)	waiters_wake(waiters)
 *
 * No wake-up is lost: a waiter notes how many there have been before it gives the lock, and sleeps only while
 * there was no other. It may wake up for nothing. It is no cancellation point: who is cancelled there waits to
 * the end, and has the lock again. ThreadSanitizer knows the lock, which orders all that is waited for. Where
 * nobody waits nothing is written: who comes later looks first.
 *
 * Not in a signal handler. Zeroed there are none; there is nothing to destroy.
 */
#ifndef BASE_WAIT_H
#define BASE_WAIT_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

#include "base/lock.h"

/* Under the lock; the kernel compares `woken` without it. */
struct waiters {
	_Atomic uint32_t woken; /* futex: how often they were */
	uint32_t n;
};

/* The lock is held, but not while it waits. */
void vmirq_wait(struct waiters *waiters, struct lock *lock);
void vmirq_wait_mutex(struct waiters *waiters, pthread_mutex_t *mutex);

void vmirq_waiters_wake(struct waiters *waiters);

/* All of them; the lock is held. */
static inline void waiters_wake(struct waiters *waiters)
{
	if (unlikely(waiters->n))
		vmirq_waiters_wake(waiters);
}

#endif
