/* SPDX-License-Identifier: MIT */
/* The two ends of a pair, with their callbacks. */
#ifndef BYPASS_END_H
#define BYPASS_END_H

#include <vmirq/bypass.h>

#include "bypass/table.h"

struct vmirq_producer {
	struct bypass_end end; /* first */
	void *opaque;
	void (*stop)(void *opaque);
	void (*start)(void *opaque);
	int (*add_consumer)(void *opaque, struct vmirq_consumer *consumer);
	void (*del_consumer)(void *opaque, struct vmirq_consumer *consumer);
	int (*set_target)(void *opaque, void *target);
};

struct vmirq_consumer {
	struct bypass_end end; /* first */
	void *opaque;
	void (*stop)(void *opaque);
	void (*start)(void *opaque);
	int (*add_producer)(void *opaque, struct vmirq_producer *producer);
	void (*del_producer)(void *opaque, struct vmirq_producer *producer);
};

/* The callbacks, in the order that bypass.h gives. The calling thread owns both ends and holds no lock. */
int vmirq_bypass_connect(struct vmirq_producer *producer, struct vmirq_consumer *consumer);
void vmirq_bypass_disconnect(struct vmirq_producer *producer, struct vmirq_consumer *consumer);

#endif
