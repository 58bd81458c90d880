/* SPDX-License-Identifier: MIT */
/* Sleeping until something is posted. The descriptor's mode is the futex. */
#include <errno.h>
#include <linux/futex.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/vm.h"
#include "vcpu/vcpu.h"

#define NS_PER_S      1000000000
#define POLL_FIRST_NS 10000u
#define LOOKS	      16

static struct timespec deadline_after(int64_t timeout_ns)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	t.tv_sec += timeout_ns / NS_PER_S;
	t.tv_nsec += timeout_ns % NS_PER_S;
	if (t.tv_nsec >= NS_PER_S) {
		t.tv_sec++;
		t.tv_nsec -= NS_PER_S;
	}
	return t;
}

static uint64_t monotonic_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

/* Before it sleeps: its mode is OUTSIDE, so that nobody makes a system call for it. */
static bool comes_soon(const struct vmirq_vcpu *vcpu, uint64_t start, int64_t timeout_ns)
{
	uint64_t limit = vcpu->poll_ns;

	if (timeout_ns >= 0 && (uint64_t)timeout_ns < limit)
		limit = (uint64_t)timeout_ns;
	while (limit) {
		for (int i = 0; i < LOOKS; i++) {
			if (vcpu_anything_posted(vcpu, vcpu->wanted_events))
				return true;
			cpu_relax();
		}
		if (monotonic_ns() - start >= limit)
			break;
	}
	return false;
}

/* It has slept: would looking longer have done? */
static void adapt(struct vmirq_vcpu *vcpu, uint64_t start)
{
	if (monotonic_ns() - start > vcpu->poll_max)
		vcpu->poll_ns = 0;
	else if (!vcpu->poll_ns)
		vcpu->poll_ns = POLL_FIRST_NS < vcpu->poll_max ? POLL_FIRST_NS : vcpu->poll_max;
	else
		vcpu->poll_ns = vcpu->poll_ns < vcpu->poll_max / 2 ? 2 * vcpu->poll_ns
								   : vcpu->poll_max;
}

/* Until the mode is no longer PARKED; false: the deadline (NULL: none) has passed. */
static bool sleep_while_parked(struct vmirq_vcpu *vcpu, const struct timespec *deadline)
{
	_Atomic uint32_t *mode = &vcpu->posted->mode;

	while (atomic_load(mode) == MODE_PARKED) {
		/* WAIT_BITSET takes an absolute CLOCK_MONOTONIC time, so going again costs no time. */
		if (syscall(SYS_futex, mode, FUTEX_WAIT_BITSET_PRIVATE, MODE_PARKED, deadline, NULL,
			    FUTEX_BITSET_MATCH_ANY) < 0 &&
		    errno == ETIMEDOUT)
			return false;
	}
	return true;
}

/* What the VMM asked for: INTERRUPTED, and an interrupt is taken by that. */
static bool take_request(struct vmirq_vcpu *vcpu)
{
	uint32_t events = vcpu_events(vcpu);

	if (events & bit32(EVENT_STOP)) {
		vmirq_vcpu_saw_stop(vcpu);
		return true;
	}
	return (events & bit32(EVENT_INTERRUPT)) && vcpu_take_events(vcpu, bit32(EVENT_INTERRUPT));
}

/* Sleep no longer than the local APIC's timer; returns whether that comes first. */
static bool limit_to_timer(const struct vmirq_vcpu *vcpu, int64_t *timeout_ns)
{
	uint64_t deadline = lapic_timer_deadline(&vcpu->lapic.timer);
	uint64_t now;
	int64_t left;

	if (likely(deadline == TIMER_NEVER) || vcpu->vm->own_clock)
		return false;
	now = vcpu->vm->clock.now(vcpu->vm->clock.opaque);
	left = deadline > now ? (int64_t)(deadline - now) : 0;
	if (*timeout_ns >= 0 && *timeout_ns <= left)
		return false;
	*timeout_ns = left;
	return true;
}

int vmirq_vcpu_park(struct vmirq_vcpu *vcpu, int64_t timeout_ns)
{
	struct timespec deadline;
	bool in_time = true, timer_first;
	uint64_t start = 0;

	timer_first = limit_to_timer(vcpu, &timeout_ns);
	/* First: the time that it looks is of the time that it may wait. */
	if (timeout_ns >= 0)
		deadline = deadline_after(timeout_ns);
	if (vcpu->poll_max) {
		start = monotonic_ns();
		if (comes_soon(vcpu, start, timeout_ns))
			return take_request(vcpu) ? VMIRQ_PARK_INTERRUPTED : VMIRQ_PARK_RUNNABLE;
	}
	/* C and D in posted.h. */
	vcpu_set_mode(vcpu, MODE_PARKED);
	if (!vcpu_anything_posted(vcpu, vcpu->wanted_events))
		in_time = sleep_while_parked(vcpu, timeout_ns >= 0 ? &deadline : NULL);
	vcpu_set_mode(vcpu, MODE_OUTSIDE);
	if (vcpu->poll_max)
		adapt(vcpu, start);
	if (take_request(vcpu))
		return VMIRQ_PARK_INTERRUPTED;
	if (in_time || timer_first || vcpu_anything_posted(vcpu, vcpu->wanted_events))
		return VMIRQ_PARK_RUNNABLE;
	return VMIRQ_PARK_TIMEOUT;
}
