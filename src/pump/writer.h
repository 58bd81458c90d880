/* SPDX-License-Identifier: MIT */
/*
 * A thread that adds to an eventfd whose other holders are not trusted: they may fill it and clear
 * O_NONBLOCK, so a write may block for ever. Nobody else waits for it.
 *
 *	ringer					thread
 *	A: rings++ (locked)			C: state = SLEEPS (locked)
 *	B: load state; SLEEPS: AWAKE, wake	D: load rings
 *
 * All are sequentially consistent: either B sees C or D sees A.
 */
#ifndef PUMP_WRITER_H
#define PUMP_WRITER_H

#include <stdint.h>

struct fd_writer;

/* Keeps a duplicate of fd. -errno of fcntl() or pthread_create(); -ENOMEM. */
int vmirq_writer_create(int fd, struct fd_writer **writer);

/*
 * Have one more added. Rings are counted; the thread writes their sum. Any thread, async-signal-safe,
 * wait-free; futex() only where the thread sleeps.
 */
void vmirq_writer_ring(struct fd_writer *writer);

/*
 * End the thread, which writes what was rung if there is room, and is cancelled where it is stuck. With
 * no ringer left. Returns how many rings were not written; nothing is written afterwards. The number is
 * too high where room is made in the moment of cancelling: a C library before glibc 2.41 does not say
 * whether a write that was cancelled had been done. Where threads cannot be cancelled an eventfd that is
 * full is read, and then written. NULL is no writer, 0.
 * May block for some milliseconds.
 */
uint64_t vmirq_writer_destroy(struct fd_writer *writer);

#endif
