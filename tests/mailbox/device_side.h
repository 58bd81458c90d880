/* SPDX-License-Identifier: MIT */
/* Devices for a mailbox's tests: in this process, or in one of their own. */
#ifndef TESTS_MAILBOX_DEVICE_SIDE_H
#define TESTS_MAILBOX_DEVICE_SIDE_H

#include <sys/types.h>

#include <vmirq/mailbox.h>

/* Its send() is not the socket's. */
#define send send_message
#include "../support.h"
#undef send

/* The most pump turns that anything may take. */
#define FEW_TURNS 4

struct vmirq_mailbox *mailbox_new(struct soft *s, uint32_t count);
/* A client in this process, by duplicates. */
struct vmirq_mailbox_client client_of(struct vmirq_mailbox *mailbox);
struct vmirq_mailbox_counts mailbox_counts(struct vmirq_mailbox *mailbox);
/* raised = signalled + coalesced + dropped + held */
void mailbox_check(struct vmirq_mailbox *mailbox);
void mailbox_end(struct vmirq_mailbox *mailbox);

struct device {
	pid_t pid;
	int socket;
};

/* mailbox/device.c */
struct device device_start(struct vmirq_mailbox *mailbox);
/* Another that lies beside this program; false: it was not built. */
bool device_is_there(const char *name);
struct device device_start_program(struct vmirq_mailbox *mailbox, const char *name);
/* Have it raise; what its raise said. */
int32_t device_raise(struct device *d, uint32_t i);
/* Its end, by a signal or by itself. */
void device_kill(struct device *d);
void device_end(struct device *d);

#endif
