/* SPDX-License-Identifier: MIT */
/*
 * Work that is put off: an item is raised from anywhere, a signal handler too, and run by whoever
 * serves its worker, in the order of raising. An item that is raised again before it runs is queued
 * once.
 *
 * One word says where an item is, and every change of it is a single read-modify-write:
 *
 *	SCHED		raised, and no run has begun since
 *	RUN		a thread is in run(); a second one does not enter
 *	ON_LIST		a worker's list points to it, or its raiser is about to see to that
 *
 *	raise		SCHED and ON_LIST on; *who turned ON_LIST on appends*, no one else
 *	pop		ON_LIST off, and where SCHED is on and RUN off: SCHED off, RUN on
 *	end of a run	RUN off; where SCHED was left without ON_LIST: ON_LIST on, and append
 *	reset		SCHED off
 *
 * A pop that finds RUN leaves SCHED to the end of that run. SCHED goes from 1 to 0 by a pop or by a
 * reset, so that raises that returned true = runs + what cancel threw away. An item is idle when all
 * three are off; SCHED off alone may be an item that was reset and still hangs in a list.
 *
 * A raiser appends by pushing onto a stack that the worker takes as a whole and turns round: there is
 * no moment in which a raiser that was preempted, or interrupted by a raise of its own thread, hides
 * what others append, as there is in a linked queue between the exchange of its tail and the link.
 *
 *	raiser					worker, its list locked
 *	A: push (locked)			C: awake = 0 (locked)
 *	B: load awake; 0: exchange 1, wake	D: load the stack
 *
 * All are sequentially consistent: either B sees C and wakes, or D sees A and the server goes on. So
 * it is woken once until it has looked. `awake` stays on while a server runs items or was told that
 * there is more.
 *
 * A list has one lock, which only pops and removals take. Flush and cancel take an item off whichever
 * list it hangs in, so they never wait for a worker to be served. They find the list by the item:
 *
 *	raiser, canceller (read section)	vmirq_defer_worker_destroy()
 *	A: enter, full fence			C: unpublish: home, then at = heir
 *	B: load home (append) or at (removal)	D: grace period
 *
 * First every home is changed; after a grace period (reader.h) nobody appends to the old list, and it
 * is spliced to the heir's. After a second one nobody looks into it, and it is freed. Nobody holds a
 * list's lock while he waits for a grace period, so cancelling inside a section, as a pump's callback
 * does, cannot wait for itself.
 */
#ifndef DEFER_DEFER_H
#define DEFER_DEFER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct defer_worker;

struct defer_link {
	struct defer_link *next;
	struct defer_link *prev; /* NULL: not in the list */
};

/* Embedded by its user. Nothing in it is for others than the functions below. */
struct defer_work {
	_Atomic uint32_t state; /* DEFER_* below, and above them how many runs have ended */
	struct defer_worker *_Atomic home; /* where it is appended */
	struct defer_worker *_Atomic at;   /* whose list it hangs in; NULL: none, or not yet */
	struct defer_link queue;	   /* list lock of `at`; while it is pushed: its raiser */
	struct defer_link sibling;	   /* of those with the same home; list lock of `home` */
	void (*run)(struct defer_work *work);
};

#define DEFER_SCHED   (1u << 0)
#define DEFER_RUN     (1u << 1)
#define DEFER_ON_LIST (1u << 2)
#define DEFER_BUSY    (DEFER_SCHED | DEFER_RUN | DEFER_ON_LIST)

/*
 * An idle item of this worker. run() is called without a lock, on the server's thread or on one that
 * flushes, perhaps in a read section; so it waits for no grace period, and does not leave by longjmp or
 * pthread_exit. It may raise any item. May block for a list's lock. The worker is not being destroyed.
 */
void vmirq_defer_init(struct defer_work *work, struct defer_worker *worker,
		      void (*run)(struct defer_work *work));

/*
 * Have run() called once more, after what was queued before. True: newly scheduled. False: it was
 * already, and the run that takes it sees all that the caller did before (the caller counts it as
 * coalesced). From any number of threads; async-signal-safe, also where it interrupts another raise,
 * a run, or any function here. Lock-free; waits for nobody. One locked operation where the item hangs
 * in a list already, else two; a third, and the worker's wake(), where the worker sleeps.
 */
bool vmirq_defer_raise(struct defer_work *work);

/*
 * Returns once whatever was raised before the call has been run to its end or cancelled; runs it on the
 * calling thread if nobody has begun. May block: for a list's lock, for a run() on another thread (so
 * hold nothing that it wants), and for raisers in the middle of a raise; not for a worker to be served.
 * Any thread, several at once; inside a read section too. -EDEADLK: called from the item's own run().
 * Two items whose runs flush each other may deadlock.
 */
int vmirq_defer_flush(struct defer_work *work);

/*
 * Take back what was raised, wait until the item is idle, and say how many times it was scheduled and is
 * not run: 0 or 1, more only where it is raised meanwhile (its own run() may do so). With no raiser left
 * nothing refers to the item then but its home, and it may be raised again.
 * Blocks and fails like flush.
 */
int vmirq_defer_cancel(struct defer_work *work);

/* Cancel, and leave the worker; with no raiser left the item's memory is the caller's then. Returns and
 * blocks like cancel. Once per init. */
int vmirq_defer_fini(struct defer_work *work);

/*
 * wake(opaque): something was appended and nobody serves; called from raise, so async-signal-safe, and
 * it waits for no grace period. One call stands for all raises until the worker is run. -ENOMEM.
 */
int vmirq_defer_worker_create(void (*wake)(void *opaque), void *opaque,
			      struct defer_worker **worker);

/*
 * Serve: take at most max items off the list, oldest first, and run them; returns how many ran. *more:
 * there is more, call again, no wake-up comes for it. Several threads may serve one worker; an item
 * still runs on one at a time. Holds no lock while an item runs; blocks for the list's lock otherwise.
 */
uint32_t vmirq_defer_worker_run(struct defer_worker *worker, uint32_t max, bool *more);

/*
 * What has its home here goes to the heir, what is queued behind what is queued there. Once it has
 * returned wake() is not called any more. Items may be raised, flushed, cancelled and ended meanwhile;
 * items are not given to this worker, nor the heir destroyed. May block for a grace period.
 * -EBUSY: items have their home here and there is no heir, or a thread is in vmirq_defer_worker_run();
 * -EDEADLK in a read section; -EINVAL: is its own heir. NULL is no worker, 0.
 */
int vmirq_defer_worker_destroy(struct defer_worker *worker, struct defer_worker *heir);

/* Have items their home here? Blocks for the list's lock. */
bool vmirq_defer_worker_used(struct defer_worker *worker);

#endif
