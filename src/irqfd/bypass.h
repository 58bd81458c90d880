/* SPDX-License-Identifier: MIT */
/* irqfds as consumers of a bypass manager. */
#ifndef IRQFD_BYPASS_H
#define IRQFD_BYPASS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct irqfd_table;
struct vmirq_irqfd;

/* Its VM's manager, made when it is first wanted; NULL: no memory. */
struct vmirq_bypass *vmirq_irqfd_bypass(struct irqfd_table *table);
/* Is there still somebody else in the VM's own manager? The VM is being destroyed. */
bool vmirq_irqfd_bypass_used(const struct irqfd_table *table);

/* Bound, and signals may come: be a consumer, where it has an eventfd and may. Not under a lock. */
void vmirq_irqfd_enter_bypass(struct vmirq_irqfd *irqfd);
/* The same of many, but only while there is no manager: else false, and nothing is done. */
bool vmirq_irqfd_expect_bypass(struct irqfd_table *table, struct vmirq_irqfd *const *irqfds,
			       size_t n);
/* No producer has it any more, nor is a signal by one under way. Not inside a read section, nor under a
 * lock, nor in a callback of its pair: */
void vmirq_irqfd_leave_bypass(struct vmirq_irqfd *irqfd);
/* Is the calling thread in a callback of its pair, which may be connected or disconnected here or by the
 * producer's owner? Then it cannot leave: who would unbind it asks before anything is changed. Or of the
 * pair of one with this token; of this VM's. What is asked of it may be another thread's at the moment. */
bool vmirq_irqfd_in_callback(const struct vmirq_irqfd *irqfd);
bool vmirq_irqfd_in_callback_of_token(uint64_t token);
bool vmirq_irqfd_in_callback_of_table(const struct irqfd_table *table);

#endif
