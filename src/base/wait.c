/* SPDX-License-Identifier: MIT */
#include "base/wait.h"

/* One more waits; returns what `woken` is to be while it sleeps. */
static uint32_t join(struct waiters *waiters)
{
	waiters->n++;
	return atomic_load_explicit(&waiters->woken, memory_order_relaxed);
}

void vmirq_wait(struct waiters *waiters, struct lock *lock)
{
	uint32_t seen = join(waiters);

	lock_give(lock);
	vmirq_futex_wait(&waiters->woken, seen);
	lock_take(lock);
	waiters->n--;
}

void vmirq_wait_mutex(struct waiters *waiters, pthread_mutex_t *mutex)
{
	uint32_t seen = join(waiters);

	pthread_mutex_unlock(mutex);
	vmirq_futex_wait(&waiters->woken, seen);
	pthread_mutex_lock(mutex);
	waiters->n--;
}

void vmirq_waiters_wake(struct waiters *waiters)
{
	uint32_t woken = atomic_load_explicit(&waiters->woken, memory_order_relaxed);

	atomic_store_explicit(&waiters->woken, woken + 1, memory_order_relaxed);
	vmirq_futex_wake_all(&waiters->woken);
}
