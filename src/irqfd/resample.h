/* SPDX-License-Identifier: MIT */
/*
 * Level irqfds (SEMANTICS 3). A signal asserts the GSI for a source that all of a VM's share, and leaves
 * it. When the guest ends the interrupt (ACK), or unmasks a pin that is still held, the line is lowered
 * once and then every resamplefd of the GSI is signalled: a device that still wants service signals its
 * eventfd again. The last one that leaves a GSI lowers the line.
 *
 * A resamplefd's other holders may fill it and clear O_NONBLOCK, so it is written by a thread of its
 * own (pump/writer.h), or by the kernel where the caller wants that (pump/aio_bell.h), never by a write()
 * of the vCPU that ends the interrupt.
 *
 * Locks: resample_mutex orders joining and leaving and may wait for a callback; the resampler's list has
 * a mutex of its own, under which nothing is taken.
 */
#ifndef IRQFD_RESAMPLE_H
#define IRQFD_RESAMPLE_H

#include "irqfd/irqfd.h"
#include "pump/aio_bell.h"
#include "pump/writer.h"

/* One irqfd's part. */
struct resample {
	struct resample *next;
	struct vmirq_irqfd *irqfd;
	struct resampler *resampler; /* its GSI's; NULL: the kernel does it */
	/* To its resamplefd; where the kernel does that, to its eventfd, for vmirq_irqfd_signal(). */
	struct fd_writer *writer;
	struct aio_bell *bell;	  /* in its place, if it was asked for */
	int fd;			  /* our own duplicate of the resamplefd, or -1 */
	void (*fn)(void *opaque); /* in its place */
	void *opaque;
};

/* Become one. -EBADF, -EINVAL (no eventfd), -ENOMEM. */
int vmirq_resample_join(struct vmirq_irqfd *irqfd, const struct vmirq_irqfd_config *config);
/* Nobody signals the irqfd any more. Not inside a read section. */
void vmirq_resample_leave(struct vmirq_irqfd *irqfd);

#endif
