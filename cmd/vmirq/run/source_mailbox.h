/* SPDX-License-Identifier: MIT */
/*
 * The command's side of its device process: started, ordered to raise, asked how often it did, ended.
 */
#ifndef VMIRQ_SOURCE_MAILBOX_H
#define VMIRQ_SOURCE_MAILBOX_H

#include <stdbool.h>
#include <stdint.h>

#include "child.h"
#include "mailbox_looker.h"
#include "source.h"

struct mailbox_orders;
struct vmirq_mailbox;
struct vmirq_pump;

struct mailbox {
	struct child child;
	/* Ours, or -1. */
	int socket;
	struct mailbox_orders *orders;
	uint64_t ordered;
	bool by_eventfd;
	/* NULL by eventfds. */
	struct vmirq_mailbox *mailbox;
	/* NULL: the VM's own pump listens to the doorbell. */
	struct vmirq_pump *pump;
	struct mailbox_looker looker;
};

/* Main: start the process and give it its orders page, then what it raises by, and wait until it has them.
 * -errno after source_fail(). */
int mailbox_device_start(struct source *source);

/* So many more. */
void mailbox_device_order(struct mailbox *mailbox, uint64_t raises);
/* How many it has done. */
uint64_t mailbox_device_done(const struct mailbox *mailbox);
/* Wait until it has done more than `before`, or all. -errno after source_fail(), or -ECANCELED. */
int mailbox_device_wait(struct source *source, uint64_t before);

/* 0, or -errno after source_fail(): it has died. */
int mailbox_device_alive(struct source *source);
/* It raises no more; its counts are the lanes'. One that has not done as it was told is killed. */
void mailbox_device_stop(struct source *source);
/* Take over what it has counted, of at least all that _done() has said. */
void mailbox_device_counts(struct source *source);
/* Main. */
void mailbox_device_free(struct mailbox *mailbox);

#endif
