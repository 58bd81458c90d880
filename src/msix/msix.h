/* SPDX-License-Identifier: MIT */
/*
 * A device's vectors. Each has an irqfd from creation to destruction, masked until the guest opens it;
 * what a signal of a masked one does is said in irqfd/mask.h. Triggers touch nothing else, so all below is
 * under one mutex, which guests' accesses and calls of the device's owner take.
 *
 * Registers are what the guest has written; vmirq_msix_apply() makes the irqfds and routes follow them.
 */
#ifndef MSIX_MSIX_H
#define MSIX_MSIX_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/wait.h"
#include "irqfd/mask.h"
#include "route/table.h"

#include <vmirq/msix.h>

/* Message control (PCI 6.8.1.3, 6.8.2.3). */
#define MSIX_ENABLE	   (1u << 15)
#define MSIX_FUNCTION_MASK (1u << 14)
#define MSI_ENABLE	   (1u << 0)
#define MSI_MME_SHIFT	   4
#define MSI_MME		   (7u << MSI_MME_SHIFT)

struct msix_vector {
	struct vmirq_irqfd *irqfd; /* constant */
	struct msi_message message;
	bool masked;		 /* its mask bit, or not allocated to the device */
	bool open;		 /* its irqfd is */
	bool told;		 /* config.masked knows it open */
	bool fresh;		 /* has got its GSI in the call under way */
	struct route_slot *slot; /* of its GSI, or NULL */
	struct route route;	 /* what that was given */
};

struct vmirq_msix {
	struct vmirq_vm *vm;
	struct vmirq_msix_config config;
	pthread_mutex_t mutex; /* before every lock of the rooms below */
	struct waiters tellers;
	bool telling; /* somebody calls config.masked: */
	pthread_t teller;
	bool enabled, function_mask;
	/* MSI: what the registers hold; the vectors' messages follow them. */
	uint32_t control, address_lo, address_hi, data, mask;
	_Atomic uint32_t allocated;   /* vectors that the device may use */
	struct route_change *changes; /* room for all vectors */
	uint32_t n;
	struct msix_vector vector[];
};

static inline bool msix_is_msi(const struct vmirq_msix *msix)
{
	return msix->config.flags & VMIRQ_MSIX_MSI;
}

/* msix.c: take the mutex; -EINVAL, -EDEADLK. Or begin what may change masks, which config.masked must not;
 * and end it: tells of these vectors, lets go, and returns `error`. */
int vmirq_msix_lock(struct vmirq_msix *msix);
int vmirq_msix_begin(struct vmirq_msix *msix);
int vmirq_msix_end(struct vmirq_msix *msix, uint32_t first, uint32_t n, int error);

/* apply.c: make vectors follow the registers. On error none is opened that was not open. */
int vmirq_msix_apply(struct vmirq_msix *msix, uint32_t first, uint32_t n);
/* apply.c: give back all GSIs; the irqfds are gone. */
void vmirq_msix_free_gsis(struct vmirq_msix *msix);

/* table.c: masked vectors' eventfds are in their pending bits. */
void vmirq_msix_drain(struct vmirq_msix *msix, uint32_t first, uint32_t n);

/* msi.c: the vectors' messages and masks, by the registers. */
void vmirq_msix_spread(struct vmirq_msix *msix);

#endif
