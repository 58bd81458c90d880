/* SPDX-License-Identifier: MIT */
/*
 * What an irqchip with the kernel's local APICs does in place of ours: `kvm` (all of it) and `split`.
 * A VM whose irqchip is `soft` has none of this.
 *
 * Every function may be called from any thread, beside all others, and takes no lock under which
 * another of ours is taken. All but commit, use and unuse are lock-free on our side, or nearly: see
 * kvm/irqchip.c. -errno unless said otherwise.
 */
#ifndef CHIP_IRQCHIP_H
#define CHIP_IRQCHIP_H

#include <linux/kvm.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/counts.h"
#include "msi/message.h"

/* A pin of each chip: two 8259s and the IOAPIC. */
#define ENTRIES_PER_GSI 3u

/* What the kernel's table has, or is to have, for one GSI: nothing, one message, or pins of different chips.
 * Small, since there are many: what is not used is 0, so that two can be compared. */
struct kernel_entries {
	uint8_t n;	  /* 0: nothing */
	uint8_t type;	  /* of all of them: KVM_IRQ_ROUTING_* */
	uint16_t flags;	  /* of a message: KVM_MSI_VALID_DEVID */
	uint32_t word[4]; /* address_lo, _hi, data, devid; or KERNEL_PIN()s */
};
_Static_assert(sizeof(struct kernel_entries) == 20, "no holes");

#define KERNEL_PIN(chip, pin) ((uint32_t)(chip) << 16 | (uint32_t)(pin))

struct kernel_route {
	uint32_t gsi;
	struct kernel_entries has;
};

static inline struct kernel_entries kernel_message(const struct msi_message *msg)
{
	return (struct kernel_entries){ .n = 1,
					.type = KVM_IRQ_ROUTING_MSI,
					.word = { msg->address_lo, msg->address_hi, msg->data } };
}

struct irqchip;

struct irqchip_ops {
	/* Send a message, of which flags and devid are not looked at: how many local APICs took it. It is
	 * counted in `counts` and its verdict stored, where these are given. Async-signal-safe where the
	 * kernel has KVM_CAP_SIGNAL_MSI. */
	int (*send)(struct irqchip *irqchip, const struct kvm_msi *msi, struct counts *counts,
		    enum vmirq_verdict *verdict);
	/* Set the level of a GSI that goes to the kernel's pins; *status is KVM_IRQ_LINE_STATUS's. */
	int (*set_line)(struct irqchip *irqchip, uint32_t gsi, bool level, int *status);
	/* Give the kernel these GSIs' routes: all of them or, on error, none. */
	int (*commit)(struct irqchip *irqchip, const struct kernel_route *changes, size_t n);
	/* split: what its IOAPICs' pins send, `gsi` counting the pins of all. */
	int (*commit_pins)(struct irqchip *irqchip, const struct kernel_route *changes, size_t n);
	/* One more eventfd is to be bound to a GSI in the kernel, by KVM_IRQFD on the VM's descriptor:
	 * this route of its is there, and stays. -ENOSPC: the kernel has no GSI for it, so that it must
	 * be read here. */
	int (*use)(struct irqchip *irqchip, const struct kernel_route *route);
	/* The same where the kernel has what the last commit gave it for the GSI, as it mostly has: for the
	 * first so many of these. Between commits only. */
	size_t (*use_as_is)(struct irqchip *irqchip, const struct kvm_irqfd *irqfds, size_t n);
	/* One less. */
	void (*unuse)(struct irqchip *irqchip, uint32_t gsi);
	void (*destroy)(struct irqchip *irqchip);
};

struct irqchip {
	const struct irqchip_ops *ops;
	bool full;	     /* the IOAPIC, the 8259s and the PIT are the kernel's too */
	bool takes_eventfds; /* KVM_CAP_IRQFD */
	bool signals_msi;    /* KVM_CAP_SIGNAL_MSI: sending takes no lock */
	bool resamples;	     /* KVM_CAP_IRQFD_RESAMPLE, and full */
};

#endif
