/* SPDX-License-Identifier: MIT */
#include "base/lock.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define SPINS 100
/* How long a sleeper sleeps that the giver has missed: see lock.h. */
#define NAP_NS 1000000

static void futex(_Atomic uint32_t *word, int what, uint32_t value, const struct timespec *longest)
{
	int saved = errno;

	syscall(SYS_futex, word, what, value, longest, NULL, 0);
	errno = saved;
}

void vmirq_futex_wait(_Atomic uint32_t *word, uint32_t seen)
{
	futex(word, FUTEX_WAIT_PRIVATE, seen, NULL);
}

void vmirq_futex_wake_all(_Atomic uint32_t *word)
{
	futex(word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL);
}

void vmirq_futex_nap(uint32_t ns)
{
	static _Atomic uint32_t nobody_changes;
	const struct timespec nap = { .tv_nsec = ns };

	futex(&nobody_changes, FUTEX_WAIT_PRIVATE, 0, &nap);
}

/* The holder is soon through, if it has a processor. */
static bool spin(struct lock *lock)
{
	for (int i = 0; i < SPINS; i++) {
		uint32_t word = LOCK_FREE;

		if (atomic_load_explicit(&lock->word, memory_order_relaxed) == LOCK_FREE &&
		    atomic_compare_exchange_strong_explicit(&lock->word, &word, LOCK_HELD,
							    memory_order_acquire,
							    memory_order_relaxed))
			return true;
		cpu_relax();
	}
	return false;
}

/* Who has slept takes it as waited for: it cannot know whether others sleep, too. One wake-up too many. */
void vmirq_lock_wait(struct lock *lock)
{
	static const struct timespec nap = { .tv_nsec = NAP_NS };

	if (spin(lock))
		return;
	/* Acquire: pairs with the release in lock_give(). */
	while (atomic_exchange_explicit(&lock->word, LOCK_WAITED_FOR, memory_order_acquire) !=
	       LOCK_FREE)
		futex(&lock->word, FUTEX_WAIT_PRIVATE, LOCK_WAITED_FOR, &nap);
}

/* It may have been freed by now: the kernel only compares addresses. */
void vmirq_lock_wake(struct lock *lock)
{
	futex(&lock->word, FUTEX_WAKE_PRIVATE, 1, NULL);
}
