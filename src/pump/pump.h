/* SPDX-License-Identifier: MIT */
/*
 * The pump: epoll over descriptors, with a callback each. A record carries the index of an entry and
 * its generation, never a pointer: a record that was harvested before its entry was removed finds
 * another generation.
 *
 * Entries are in blocks that never move, so dispatch looks without a lock. It holds a read section
 * from the look at the generation until the callback has returned; removing an entry takes the
 * generation on and then waits for such sections, after which the descriptor may be closed and the
 * entry be used again.
 */
#ifndef PUMP_PUMP_H
#define PUMP_PUMP_H

#include <stdbool.h>
#include <stdint.h>

#include <vmirq/irqfd.h>

/* The descriptor is readable. Called in a read section, by any thread that dispatches, perhaps by two
 * at once; must empty the descriptor without blocking. Returns whether there was something. */
typedef bool (*pump_ready)(void *opaque);

/* Watch fd: -ENOMEM, -ENOSPC, or epoll_ctl's. */
int vmirq_pump_add(struct vmirq_pump *pump, int fd, pump_ready ready, void *opaque,
		   uint32_t *entry);
/* Stop watching; once it has returned no callback runs any more. Not inside a read section. */
void vmirq_pump_remove(struct vmirq_pump *pump, uint32_t entry);

/* Have it told of other epoll events than EPOLLIN | EPOLLET; what holds of them already is told at once.
 * For the entry's owner, also in its callback. */
void vmirq_pump_set_events(struct vmirq_pump *pump, uint32_t entry, uint32_t events);

/* Take an eventfd's or timerfd's count without ever blocking, whatever its owner did to O_NONBLOCK;
 * 0 if there is none. Async-signal-safe. */
uint64_t vmirq_fd_drain(int fd);
/* Add one to an eventfd of our own; full is rung. Async-signal-safe, leaves errno, no cancellation point. */
void vmirq_fd_ring(int fd);

#endif
