/* SPDX-License-Identifier: MIT */
/*
 * A thread that polls a mailbox while there is something to be found, and else sleeps until its doorbell is
 * rung. So a busy device makes no system call.
 */
#ifndef VMIRQ_MAILBOX_LOOKER_H
#define VMIRQ_MAILBOX_LOOKER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct vmirq_mailbox;
struct vmirq_pump;

struct mailbox_looker {
	struct vmirq_mailbox *mailbox;
	/* The mailbox's pump. */
	struct vmirq_pump *pump;
	pthread_t thread;
	bool has_thread;
	_Atomic bool stop;
	/* The thread's, until it is stopped. */
	uint64_t sweeps; /* that found something */
	uint64_t parks;
};

/* 0 or -errno. */
int mailbox_looker_start(struct mailbox_looker *looker, struct vmirq_mailbox *mailbox,
			 struct vmirq_pump *pump);
/* Not started, or twice, is harmless. Rings the doorbell. */
void mailbox_looker_stop(struct mailbox_looker *looker);

#endif
