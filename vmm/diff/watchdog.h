/* SPDX-License-Identifier: MIT */
/*
 * Gets the thread out of KVM_RUN or out of a parked vCPU when a puppet does not come back: a timer
 * that ticks while diff runs, so that starting and stopping cost nothing.
 */
#ifndef VMM_DIFF_WATCHDOG_H
#define VMM_DIFF_WATCHDOG_H

#include <stdbool.h>

struct vmirq_vcpu;

/* -errno. Takes SIGALRM and the process's real interval timer. */
int watchdog_open(void);
/* From now on a run of this vCPU (NULL: one of the kernel's) has two ticks. */
void watchdog_start(struct vmirq_vcpu *vcpu);
void watchdog_stop(void);
bool watchdog_barked(void);

#endif
