/* SPDX-License-Identifier: MIT */
/*
 * Adds one to an eventfd on the caller's thread and never waits, whatever its other holders have done to
 * it: the completion of a Linux AIO request does (IOCB_FLAG_RESFD), and an eventfd that is full stays so.
 * write() may block, and there is no flag to keep it from that (pwritev2(RWF_NOWAIT) is -EOPNOTSUPP for an
 * eventfd on 6.18). The request is a poll of an eventfd that has room, so it is complete when it is made.
 */
#ifndef PUMP_AIO_BELL_H
#define PUMP_AIO_BELL_H

struct aio_bell;

/* Keeps a duplicate of fd. An error: this kernel or this container has no such thing, or no memory. */
int vmirq_aio_bell_create(int fd, struct aio_bell **bell);
/* Any thread, async-signal-safe. System calls: io_submit, io_getevents. */
void vmirq_aio_bell_ring(struct aio_bell *bell);
/* Nobody rings. NULL is none. */
void vmirq_aio_bell_destroy(struct aio_bell *bell);

#endif
