/* SPDX-License-Identifier: MIT */
/*
 * The pump: epoll over eventfds. A record carries the index of an entry and its generation, never a
 * pointer: a record that was harvested before its irqfd was deassigned finds another generation.
 *
 * Entries are in blocks that never move, so dispatch looks without a lock. It holds a read section
 * from the look at the generation until the signal is posted; removing an entry takes the generation
 * on and then waits for such sections, after which the descriptor may be closed and the entry be used
 * again.
 */
#ifndef IRQFD_PUMP_H
#define IRQFD_PUMP_H

#include <stdint.h>

#include <vmirq/irqfd.h>

/* Watch our duplicate `fd` for `irqfd`: -ENOMEM, -ENOSPC, or epoll_ctl's. */
int vmirq_pump_add(struct vmirq_pump *pump, int fd, struct vmirq_irqfd *irqfd, uint32_t *entry);
/* Stop watching; once it has returned no dispatch looks at fd or irqfd any more. Not inside a read
 * section. */
void vmirq_pump_remove(struct vmirq_pump *pump, uint32_t entry);

#endif
