/* SPDX-License-Identifier: MIT */
/* What vfio.c, vfio_intx.c and vfio_msi.c share. Everything here but vfio_begin() wants the lock. */
#ifndef DEVICES_VFIO_IRQS_H
#define DEVICES_VFIO_IRQS_H

#include <pthread.h>
#include <stddef.h>

#include "vfio.h"

#define VFIO_SLOTS (1 + VFIO_MSI_MAX + VFIO_MSIX_MAX + 1 + 1)
#define VFIO_NONE  (-1)

struct vfio {
	int fd;
	struct vfio_options options;
	struct vfio_kind kind[VFIO_PCI_NUM_IRQS];
	/* Guards all below. */
	pthread_mutex_t lock;
	/* Nobody knows what VFIO holds. */
	bool lost;
	/* INTx, MSI or MSI-X, if one is enabled, and its vectors set up. */
	int type;
	uint32_t n;
	/* Our duplicates of the triggers, -1 = none: a part of slots[] for each index. */
	int *trigger[VFIO_PCI_NUM_IRQS];
	int slots[VFIO_SLOTS];
	int unmask;
	/* By vfio_mask(). */
	bool intx_masked;
	/* The argument of VFIO_DEVICE_SET_IRQS, with room for all vectors. */
	uint32_t set[offsetof(struct vfio_irq_set, data) / sizeof(uint32_t) + VFIO_MSIX_MAX];
};

/* Lock and be sure that it is not lost; an error has unlocked. */
int vfio_begin(struct vfio *vfio);
/* Unlock; returns `ret`. */
int vfio_end(struct vfio *vfio, int ret);

bool vfio_has(const struct vfio *vfio, uint32_t index, uint32_t start, uint32_t count);

/* The ioctl: -errno, or what it returned. */
int vfio_call(const struct vfio *vfio, unsigned long request, void *argument);

/* VFIO_DEVICE_SET_IRQS in its three kinds of data. -errno, or what it returned. */
int vfio_set_eventfds(struct vfio *vfio, uint32_t action, uint32_t index, uint32_t start,
		      const int *fds, uint32_t count);
int vfio_set_bools(struct vfio *vfio, uint32_t action, uint32_t index, uint32_t start,
		   const uint8_t *which, uint32_t count);
int vfio_set_none(struct vfio *vfio, uint32_t action, uint32_t index, uint32_t start,
		  uint32_t count);
/* The same for one interrupt, where a positive result is -EPROTO. */
int vfio_set_one(struct vfio *vfio, uint32_t action, uint32_t index, int fd);

/* A duplicate, or -1 of -1. */
int vfio_duplicate(int fd, int *out);
void vfio_release(int *fd);

/* Disable in VFIO, then forget. */
int vfio_turn_off(struct vfio *vfio, uint32_t index);
/* Forget: duplicates and type. */
void vfio_forget(struct vfio *vfio, uint32_t index);
/* The way out when VFIO took neither the new nor the old: -ENOTRECOVERABLE. */
int vfio_give_up(struct vfio *vfio, uint32_t index);

/* Take what is unread in an eventfd; never blocks. */
uint64_t vfio_take_count(int fd);

#endif
