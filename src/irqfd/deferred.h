/* SPDX-License-Identifier: MIT */
/*
 * The deferred path: a signal by call on a route to pins. Pins want a chip's lock, which the signaller
 * cannot take (it may be a signal handler), so that one work item of the irqfd's goes through the VM's
 * worker, which the VM's pump serves, or through one of the caller's. What the route is by then decides.
 */
#ifndef IRQFD_DEFERRED_H
#define IRQFD_DEFERRED_H

#include "defer/defer.h"
#include "irqfd/irqfd.h"

struct deferred {
	struct defer_work work;
	struct vmirq_irqfd *irqfd;
	_Atomic uint64_t held; /* signals that have no outcome yet */
	/* Of the table's list of them; under its mutex. */
	struct deferred *next, **link;
	uint32_t flushes; /* that it is not to go away under */
};

/* The VM's worker, and who wakes its pump. */
struct irqfd_worker {
	struct defer_worker *worker;
	struct vmirq_pump *pump; /* NULL: not watched */
	uint32_t entry;
	int fd;
};

int vmirq_irqfd_worker_create(struct vmirq_vm *vm, struct irqfd_worker **out);
void vmirq_irqfd_worker_destroy(struct irqfd_worker *worker);

/* The irqfd goes to pins: have what that needs. Without memory the signaller takes the lock itself. The
 * slot's lock is held. */
void vmirq_irqfd_make_deferred(struct vmirq_irqfd *irqfd);
/* One that is not attached yet: always by this worker. -ENOMEM. */
int vmirq_irqfd_defer_to(struct vmirq_irqfd *irqfd, struct vmirq_worker *worker);
/* route_table.coming: a signal that finds pins must find what it needs to leave them to others, for it may
 * be a signal handler's, on the thread that makes the change. */
void vmirq_irqfds_expect(struct route_slot *slot, const struct route *next);
/* Everything that was raised before the call is delivered. */
void vmirq_irqfd_flush_deferred(struct vmirq_irqfd *irqfd);
/* The same of all of the VM's irqfds. Not in a read section. */
void vmirq_irqfds_flush(struct irqfd_table *table);
/* Nobody raises it any more: what is still held is `deassigned`. */
void vmirq_irqfd_end_deferred(struct vmirq_irqfd *irqfd);

/* Raise it: held, or coalesced with one that is. */
enum vmirq_verdict vmirq_irqfd_defer(struct vmirq_irqfd *irqfd, struct deferred *deferred);

#endif
