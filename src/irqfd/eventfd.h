/* SPDX-License-Identifier: MIT */
/* Eventfds of other people: which one it is, and who has it bound. */
#ifndef IRQFD_EVENTFD_H
#define IRQFD_EVENTFD_H

#include <stdint.h>

#include <vmirq/irqfd.h>

/* Set in the kernel's identities, clear in those that callers choose. */
#define KERNELS_TOKEN (UINT64_C(1) << 63)

/* The process's registry of bound eventfds: -EBUSY if this one is, -ENOMEM. */
int vmirq_eventfd_bind(uint64_t token);
void vmirq_eventfd_unbind(uint64_t token);

#endif
