/* SPDX-License-Identifier: MIT */
/* Triggers and the irqfds that they meet, and which way a signal goes. */
#ifndef TESTS_IRQFD_TRIGGERS_H
#define TESTS_IRQFD_TRIGGERS_H

/* Its send() is not the socket's. */
#define send send_message
#include "../line/pc_world.h"
#undef send

#include <vmirq/trigger.h>

int new_eventfd(void);
int create_trigger(struct vmirq_bypass *bypass, int fd, uint64_t token, struct vmirq_trigger **out);
struct vmirq_trigger *trigger_on(struct vmirq_bypass *bypass, int fd);
struct vmirq_irqfd *assign(struct soft *s, uint32_t gsi, int fd, uint32_t flags);
struct vmirq_trigger_counts counts_by_way(const struct vmirq_trigger *trigger);
/* One more signal, which goes this way and comes to this. */
void goes(struct vmirq_trigger *trigger, enum vmirq_path path, enum vmirq_verdict verdict);
bool readable(int eventfd);

#endif
