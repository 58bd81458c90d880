/* SPDX-License-Identifier: MIT */
/*
 * Level irqfds (KVM API 4.75, KVM_IRQFD_FLAG_RESAMPLE). A signal asserts the GSI for a source that all of a
 * VM's share, and leaves it. When the guest ends the interrupt (ACK), or unmasks a pin that is still held, the line is lowered
 * once and then every resamplefd of the GSI is signalled: a device that still wants service signals its
 * eventfd again. The last one that leaves a GSI lowers the line.
 *
 * A resamplefd's other holders may fill it and clear O_NONBLOCK, so it is guarded (pump/guard.h) while the
 * vCPU that ends the interrupt writes to it.
 *
 * Locks: resample_mutex orders joining and leaving and may wait for a callback; the resampler's list has
 * a mutex of its own, under which nothing is taken. It is held over the rings: where a device makes one
 * block, the others of its GSI wait, some ticks of the guard's in all of a resamplefd's life.
 */
#ifndef IRQFD_RESAMPLE_H
#define IRQFD_RESAMPLE_H

#include "irqfd/irqfd.h"
#include "pump/guard.h"

/* One irqfd's part. */
struct resample {
	struct resample *next;
	struct vmirq_irqfd *irqfd;
	struct resampler *resampler; /* its GSI's; NULL: the kernel does it */
	/* Its resamplefd; where the kernel writes that, its eventfd, for vmirq_irqfd_signal(). */
	struct guarded_fd *guarded;
	int fd; /* our own duplicate of the resamplefd that the kernel writes, or -1 */
	void (*fn)(void *opaque); /* in its place */
	void *opaque;
};

/* Become one. -EBADF, -EINVAL (no eventfd), -ENOMEM. */
int vmirq_resample_join(struct vmirq_irqfd *irqfd, const struct vmirq_irqfd_config *config);
/* Nobody signals the irqfd any more. Not inside a read section. */
void vmirq_resample_leave(struct vmirq_irqfd *irqfd);

#endif
