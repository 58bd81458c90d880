/* SPDX-License-Identifier: MIT */
/* What KVM_IOEVENTFD answers and which writes match: the same for whoever is asked, the kernel's ioctl or
 * the library. */
#ifndef TESTS_IRQFD_IOEVENTFD_CASES_H
#define TESTS_IRQFD_IOEVENTFD_CASES_H

#include "../support.h"

#include <linux/kvm.h>

#define DATAMATCH KVM_IOEVENTFD_FLAG_DATAMATCH
#define PIO	  KVM_IOEVENTFD_FLAG_PIO
#define DEASSIGN  KVM_IOEVENTFD_FLAG_DEASSIGN
#define CCW	  KVM_IOEVENTFD_FLAG_VIRTIO_CCW_NOTIFY
#define FAST_MMIO (1u << kvm_ioeventfd_flag_nr_fast_mmio)

/* Who is asked. */
struct asked {
	/* 0 or -errno. */
	int (*ioeventfd)(void *opaque, const struct kvm_ioeventfd *args);
	/* The guest writes: was it taken by a doorbell? For the matches only. */
	bool (*write)(void *opaque, bool pio, uint64_t addr, uint32_t len, uint64_t data);
	void *opaque;
	/* Lengths that its guest can write to ports and to memory; 0 ends. */
	uint32_t lengths[2][5];
};

/* Errno for errno. Leaves nothing assigned. */
void check_answers(const struct asked *asked);
/* Every pair of doorbells at one address, of every length and data: which may be there together. */
void check_collisions(const struct asked *asked);
/* Every doorbell against every write around it. */
void check_matches(const struct asked *asked);

/* What has been rung since it was last asked; `expected` > 0 is waited for. */
uint64_t take_rings(int eventfd, uint64_t expected);

#endif
