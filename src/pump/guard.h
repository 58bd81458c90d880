/* SPDX-License-Identifier: MIT */
/*
 * Eventfds whose other holders are not trusted, and which are written by the very thread that rings. The
 * others may fill one and clear O_NONBLOCK, so that a write blocks for ever, and there is no flag that
 * keeps a write to an eventfd from it (pwritev2(RWF_NOWAIT) is -EOPNOTSUPP on Linux 6.18). So one thread of
 * the VM, the guard, sees that nobody stays in there: it reads what is full, which lets the write through.
 *
 *	ringer				guard, AWAKE, each tick		guard, no ring for a while
 *	A: rings += RING | 1 (locked)	somebody inside, and at the	C: state = ASLEEP (locked)
 *	B: load state; ASLEEP:		last look, too, and it is	D: load rings; another number, or
 *	   AWAKE, wake			full: read it, and look		   somebody inside: AWAKE, else
 *	write				again soon			   sleep
 *	E: rings -= 1 (locked)
 *
 * A to D are sequentially consistent: either B sees C or D sees A. So the guard never sleeps while
 * somebody is inside, and a ring makes no other system call than the write unless the guard slept. The
 * model is models/guard.pml.
 *
 * A full eventfd is rung: it is readable, as it is for the kernel's own signallers. What the guard reads
 * is not lost to an honest reader: 2^64-2 rings are never outstanding, so somebody wrote them who could as
 * well have read. (A ring that found it full is in `unwritten`, and may be read with the rest. Between the guard's look
 * and its read others may have read it and rung anew: it takes that ring, too, once for each time that somebody
 * filled it.) Ringers only write, whatever was found before, so that a thread's seccomp filter needs no more;
 * whoever makes them block is not rung any more after GUARD_FORGIVES times.
 *
 * A writer is blocked for two ticks each time, some 10 ms, or until the guard has a processor; whoever waits for
 * a lock or a read section of its waits with it. Where the others fill it again at once, it is blocked until it
 * comes first: the guard's ticks are short then (0.1 ms), it goes on with all the rest, and that is one block as
 * long as nobody else came or went. Who makes room again before the guard has looked twice is not found out: he
 * has each ring blocked for up to a tick. Where the guard's own ppoll() is refused nobody is let through.
 *
 * The child of a fork() has no guard: in it nobody rings, and nothing is removed or destroyed.
 */
#ifndef PUMP_GUARD_H
#define PUMP_GUARD_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/arch.h"

/* So many times a write to one eventfd may be found blocked. */
#define GUARD_FORGIVES 8u

struct guarded_fd;

/* A VM's. */
struct fd_guard {
	_Atomic uint32_t state; /* also the futex */
	/* Taken last; held while the guard looks at each once: some 50 us for one that is blocked. */
	pthread_mutex_t mutex;
	struct guarded_fd *list;
	pthread_t thread;
	bool has_thread;
	bool hurries; /* the thread's own: somebody is blocked */
};

struct guarded_fd {
	_Atomic uint64_t rings; /* see guard.c */
	struct fd_guard *guard;
	int fd;
	_Atomic uint32_t blocked; /* so often; the guard's to write */
	/* The guard's. */
	uint64_t seen;
	bool inside;
	bool stuck; /* who was found blocked is so still */
	struct guarded_fd *next, **link;
	/* The books: of what was rung, what found no room; of all that was in it, what the guard read. */
	_Atomic uint64_t unwritten, drained;
} __attribute__((aligned(CACHE_LINE)));

/* No thread as yet. */
void vmirq_guard_init(struct fd_guard *guard);
/* Ends the thread; nothing is guarded any more. */
void vmirq_guard_fini(struct fd_guard *guard);

/*
 * Guard fd, which is taken over, but not by a failure. The first has the thread made, with all signals
 * blocked. -ENOMEM; -EAGAIN: no thread; -EINVAL: it is a file, pipe or socket, whose writes the guard could
 * not end (that it is an eventfd is the caller's to know); -EBADF.
 */
int vmirq_guard_add(struct fd_guard *guard, int fd, struct guarded_fd **out);
/* With no ringer left; closes it. Waits while the guard looks. NULL is none. No cancellation point, nor is add. */
void vmirq_guard_remove(struct guarded_fd *guarded);

/*
 * Add one. Any thread, several at once; async-signal-safe, leaves errno, no cancellation point. Blocks as
 * said above. System calls: write; futex where the guard slept.
 */
void vmirq_guard_ring(struct guarded_fd *guarded);

#endif
