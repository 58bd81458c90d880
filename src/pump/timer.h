/* SPDX-License-Identifier: MIT */
/* A timer that somebody's pump dispatches: a timerfd on CLOCK_MONOTONIC. */
#ifndef PUMP_TIMER_H
#define PUMP_TIMER_H

#include <stdint.h>

#include "pump/pump.h"

struct pump_timer {
	struct vmirq_pump *pump; /* NULL: not created */
	int fd;
	uint32_t entry;
	void (*expired)(void *opaque); /* in a read section */
	void *opaque;
};

/* -errno of timerfd_create() or epoll_ctl(). */
int vmirq_timer_create(struct pump_timer *timer, struct vmirq_pump *pump,
		       void (*expired)(void *opaque), void *opaque);
/* Call expired once, at `deadline` ns of CLOCK_MONOTONIC; UINT64_MAX: not any more. One at a time. */
void vmirq_timer_set(struct pump_timer *timer, uint64_t deadline);
/* Nothing runs any more. Not inside a read section. Harmless where it was not created. */
void vmirq_timer_destroy(struct pump_timer *timer);

#endif
