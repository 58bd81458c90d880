/* SPDX-License-Identifier: MIT */
#include "pump/timer.h"

#include <errno.h>
#include <stddef.h>
#include <sys/timerfd.h>

#include "base/no_cancel.h"

#define NS_PER_S 1000000000u

static bool timer_ready(void *opaque)
{
	struct pump_timer *timer = opaque;
	uint64_t n;

	/* Ours alone, so O_NONBLOCK holds. Another thread may have been first. */
	if (no_cancel_read(timer->fd, &n, sizeof(n)) != (ssize_t)sizeof(n))
		return false;
	timer->expired(timer->opaque);
	return true;
}

int vmirq_timer_create(struct pump_timer *timer, struct vmirq_pump *pump,
		       void (*expired)(void *opaque), void *opaque)
{
	int error;

	timer->expired = expired;
	timer->opaque = opaque;
	timer->fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (timer->fd < 0)
		return -errno;
	error = vmirq_pump_add(pump, timer->fd, timer_ready, timer, &timer->entry);
	if (error)
		no_cancel_close(timer->fd);
	else
		timer->pump = pump;
	return error;
}

void vmirq_timer_set(struct pump_timer *timer, uint64_t deadline)
{
	struct itimerspec at = { .it_value.tv_nsec = 0 };

	if (deadline != UINT64_MAX) {
		at.it_value.tv_sec = (time_t)(deadline / NS_PER_S);
		at.it_value.tv_nsec = (long)(deadline % NS_PER_S);
		/* All zero disarms; a deadline at the clock's start has long passed. */
		if (!deadline)
			at.it_value.tv_nsec = 1;
	}
	timerfd_settime(timer->fd, TFD_TIMER_ABSTIME, &at, NULL);
}

void vmirq_timer_destroy(struct pump_timer *timer)
{
	if (!timer->pump)
		return;
	vmirq_pump_remove(timer->pump, timer->entry);
	no_cancel_close(timer->fd);
	timer->pump = NULL;
}
