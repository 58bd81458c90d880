// SPDX-License-Identifier: MIT
#include "watchdog.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <sys/time.h>
#include <vmirq/vcpu.h>

#define TICK_S 2

/* The one thread's own and its signal handler's. */
static volatile sig_atomic_t running, ticks;
static struct vmirq_vcpu *volatile parked;

static void tick(int signal)
{
	(void)signal;
	if (!running)
		return;
	/* A whole tick at least has passed by the second. */
	if (++ticks >= 2 && parked)
		vmirq_vcpu_interrupt(parked);
}

int watchdog_open(void)
{
	/* No SA_RESTART: the signal is to end KVM_RUN. */
	const struct sigaction action = { .sa_handler = tick };
	const struct itimerval timer = { .it_interval.tv_sec = TICK_S, .it_value.tv_sec = TICK_S };

	if (sigaction(SIGALRM, &action, NULL) < 0 || setitimer(ITIMER_REAL, &timer, NULL) < 0)
		return -errno;
	return 0;
}

void watchdog_start(struct vmirq_vcpu *vcpu)
{
	ticks = 0;
	parked = vcpu;
	running = 1;
}

void watchdog_stop(void)
{
	running = 0;
	parked = NULL;
}

bool watchdog_barked(void)
{
	return ticks >= 2;
}
