// SPDX-License-Identifier: MIT
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <time.h>
#include <vmirq/observe.h>
#include <vmirq/vm.h>

#include "run.h"
#include "vmm.h"

#define SPIN_TURNS	  200
#define YIELD_TURNS	  400
#define SLEEP_NS	  20000
#define SETTLE_STOPPED_NS UINT64_C(1000000000)
/* Longer than the pump takes from reading an eventfd to raising its interrupt, by far. */
#define QUIET_NS	5000000
#define HIDDEN_QUIET_NS 50000000

uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static void sleep_ns(long ns)
{
	struct timespec ts = { .tv_nsec = ns };

	nanosleep(&ts, NULL);
}

bool backoff(struct backoff *b)
{
	b->turns++;
	if (b->turns < SPIN_TURNS) {
		__builtin_ia32_pause();
		return false;
	}
	if (b->turns < YIELD_TURNS) {
		sched_yield();
		return false;
	}
	sleep_ns(SLEEP_NS);
	return true;
}

uint64_t lane_handled(const struct source *source, const struct lane *lane)
{
	return vmm_handled(source->run->vmm, lane->vcpu, lane->vector);
}

int wait_handled(struct source *source, const struct lane *lane, uint64_t before,
		 uint64_t timeout_ns)
{
	struct backoff b = { 0 };
	uint64_t look = 0;

	source->watch.began = 0;
	while (lane_handled(source, lane) == before) {
		uint64_t now;
		int ret;

		if (!backoff(&b))
			continue;
		if (run_stops(source->run))
			return -ECANCELED;
		if (watch_expired(source, lane, timeout_ns))
			return -ETIMEDOUT;
		now = now_ns();
		/* It may be a system call or two: every 10 ms will do. */
		if (source->kind->alive && now >= look) {
			ret = source->kind->alive(source);
			if (ret)
				return ret;
			look = now + 10000000;
		}
	}
	return 0;
}

static void vector_counts(const struct source *source, const struct lane *lane,
			  struct vmirq_vector_counts *counts)
{
	*counts = (struct vmirq_vector_counts){ .size = sizeof(*counts) };
	vmirq_vector_counts(vmirq_vm_vcpu(source->run->vm, lane->vcpu), lane->vector, counts);
}

/* Written, and not yet read by the pump. Where the kernel reads it, what stands there it has injected. */
static bool eventfd_unread(const struct source *source, const struct lane *lane)
{
	struct vmirq_route_counts route = { .size = sizeof(route) };
	struct pollfd pfd = { .fd = lane->eventfd, .events = POLLIN };

	if (lane->irqfd)
		lane_counts(source, lane, &route);
	return lane->eventfd >= 0 && !route.unobserved && poll(&pfd, 1, 0) > 0;
}

bool lane_settled(const struct source *source, const struct lane *lane)
{
	struct vmirq_route_counts route = { .size = sizeof(route) };
	struct vmirq_vector_counts vector;

	if (eventfd_unread(source, lane))
		return false;
	if (lane_is_counted(source, lane)) {
		lane_counts(source, lane, &route);
		if (route.held)
			return false;
		if (source->kind->counts_itself && !route.unobserved &&
		    route.raised != lane_given(source, lane))
			return false;
	}
	if (run_hides_vectors(source->run))
		return true;
	vector_counts(source, lane, &vector);
	return vector.pending == 0 && lane_handled(source, lane) == vector.taken;
}

bool lane_may_be_pending(const struct source *source, const struct lane *lane)
{
	struct vmirq_vector_counts vector;

	if (run_hides_vectors(source->run))
		return true;
	vector_counts(source, lane, &vector);
	return vector.pending;
}

uint64_t all_handled(const struct source *source)
{
	uint64_t n = 0;

	for (uint32_t i = 0; i < source->lanes; i++)
		n += lane_handled(source, &source->lane[i]);
	return n;
}

bool all_settled(const struct source *source)
{
	for (uint32_t i = 0; i < source->lanes; i++) {
		if (!lane_settled(source, &source->lane[i]))
			return false;
	}
	return true;
}

int wait_settled(struct source *source)
{
	struct backoff b = { 0 };
	uint64_t start = now_ns();

	source->watch.began = 0;
	for (;;) {
		uint64_t handled = all_handled(source);

		if (all_settled(source)) {
			/* A signal that the pump holds in its hand is in no count; where the kernel
			 * has the local APICs, all that can be seen is that no handler runs. */
			sleep_ns(run_hides_vectors(source->run) ? HIDDEN_QUIET_NS : QUIET_NS);
			if (all_settled(source) && all_handled(source) == handled)
				return 0;
		}
		if (!backoff(&b))
			continue;
		if (watch_expired(source, NULL, LOST_NS) ||
		    (run_stops(source->run) && now_ns() - start > SETTLE_STOPPED_NS))
			return -ETIMEDOUT;
	}
}

bool lane_where(const struct source *source, const struct lane *lane, char *buf, size_t size)
{
	struct vmirq_route_counts route = { .size = sizeof(route) };
	struct vmirq_vector_counts vector;
	uint64_t handled = lane_handled(source, lane);
	const char *where = NULL;

	if (run_hides_vectors(source->run)) {
		snprintf(buf, size,
			 "%s (vCPU %u, vector 0x%x: handled %llu; what is pending is the "
			 "kernel's to know)",
			 eventfd_unread(source, lane) ? "written to the eventfd, not read"
						      : "not seen from here",
			 lane->vcpu, lane->vector, (unsigned long long)handled);
		return eventfd_unread(source, lane);
	}
	vector_counts(source, lane, &vector);
	if (lane_is_counted(source, lane))
		lane_counts(source, lane, &route);
	if (eventfd_unread(source, lane))
		where = "written to the eventfd, not read by the pump";
	else if (lane_is_counted(source, lane) && source->kind->counts_itself &&
		 route.raised != lane_given(source, lane))
		where = "raised by the source, not known to the library";
	else if (route.held)
		where = "held by the library";
	else if (vector.pending)
		where = "pending at the vCPU";
	else if (vector.taken != handled)
		where = "taken by the vCPU, its handler has not run";
	snprintf(buf, size,
		 "%s (vCPU %u, vector 0x%x: posted %llu, merged %llu, taken %llu, "
		 "reset %llu, pending %llu, handled %llu)",
		 where ? where : "all that was posted has been handled", lane->vcpu, lane->vector,
		 (unsigned long long)vector.posted, (unsigned long long)vector.merged,
		 (unsigned long long)vector.taken, (unsigned long long)vector.reset,
		 (unsigned long long)vector.pending, (unsigned long long)handled);
	return where;
}
