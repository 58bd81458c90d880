/* SPDX-License-Identifier: MIT */
/*
 * Masked irqfds, which MSI-X vectors are made of. A signal of a masked one sets its pending bit in place
 * of raising; unmasking raises once if it is set. Both bits are in one word, the gate, so that "is it
 * still masked?" and "then it is pending" are one locked operation and there is nothing to look at again.
 *
 *	signal					mask
 *	  enter a read section			  gate |= MASKED
 *	  copy is TARGET_MASKED:		  copy = TARGET_MASKED
 *	A: gate: MASKED -> MASKED | PENDING	  eventfd: from the kernel to the pump
 *	   (HELD; was pending: coalesced)	  vmirq_reader_wait() by the caller: whoever saw it open
 *	   gate is open: begin again		    is through, nothing more is posted
 *	  leave the section
 *						unmask
 *						  eventfd: off the pump if the kernel is to have it,
 *						    and drain it, as a signal; wait for the pump's sections
 *						B: old = gate, gate = 0
 *						  copy = what the route comes to
 *						  old had PENDING: raise once
 *						  eventfd: to the kernel
 *
 * Either A is before B, which then finds PENDING, or A finds the gate open. The kernel's irqfd would
 * consume what is written while the vector is masked, hence the eventfd's way back and forth. It is drained
 * before B so that all that was written while it was masked is one interrupt.
 *
 * A masked irqfd need not have a GSI: it then stands on irqfd_table.unrouted, a slot that is in no table.
 * Its slot is changed while it is masked and no signal is left that saw it open; signals of a masked one do
 * not look at it.
 *
 * The calls here are for an irqfd's owner, one at a time, and none from inside a read section.
 */
#ifndef IRQFD_MASK_H
#define IRQFD_MASK_H

#include "irqfd/irqfd.h"

#define GATE_MASKED  1u
#define GATE_PENDING 2u

/* Is it masked at this moment? */
static inline bool irqfd_masked(const struct vmirq_irqfd *irqfd)
{
	/* Acquire: with an open gate comes the slot; pairs with the release in open_gate(). */
	return atomic_load_explicit(&irqfd->gate, memory_order_acquire) & GATE_MASKED;
}

static inline bool irqfd_pending(const struct vmirq_irqfd *irqfd)
{
	return atomic_load_explicit(&irqfd->gate, memory_order_relaxed) & GATE_PENDING;
}

/* A signal found the copy masked: A above. False: it has opened since. */
bool vmirq_irqfd_hold(struct vmirq_irqfd *irqfd, enum vmirq_verdict *verdict);

/* Bind one without an eventfd or a GSI, masked. Only its owner deassigns it. -ENOMEM. */
int vmirq_irqfd_assign_masked(struct vmirq_vm *vm, struct vmirq_irqfd **out);
/* Put a masked one on this slot, or back on irqfd_table.unrouted. */
void vmirq_irqfd_move(struct vmirq_irqfd *irqfd, struct route_slot *slot);
/* Another eventfd in place of its own, or none (-1): what was written to that is raised, or pending. Read
 * by this pump, or with NULL by the VM's; with `bypass` a consumer of the VM's bypass manager. As vmirq_irqfd_assign(); an error but for one of memory leaves
 * the old one. */
int vmirq_irqfd_set_eventfd(struct vmirq_irqfd *irqfd, struct vmirq_pump *pump, int fd,
			    uint64_t token, bool bypass);

/* The caller waits for sections after the last of several. */
void vmirq_irqfd_mask(struct vmirq_irqfd *irqfd);
/* -ENOMEM, or epoll's error: nobody would read its eventfd; it stays masked. */
int vmirq_irqfd_unmask(struct vmirq_irqfd *irqfd);

/* Take what stands in its eventfd, as a signal. */
void vmirq_irqfd_drain(struct vmirq_irqfd *irqfd);
/* Of a masked one: pending, one more raised if it was not so already; or no more, the signal being `deassigned`. */
void vmirq_irqfd_set_pending(struct vmirq_irqfd *irqfd);
void vmirq_irqfd_clear_pending(struct vmirq_irqfd *irqfd);

#endif
