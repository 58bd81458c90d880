/* SPDX-License-Identifier: MIT */
/* The irqchips `kvm` and `split`: /dev/kvm's, behind chip/irqchip.h. */
#ifndef KVM_IRQCHIP_H
#define KVM_IRQCHIP_H

#include "chip/irqchip.h"

struct kernel_irqchip_config {
	int vm_fd;
	bool full;
	bool pit, pit_discard; /* full */
	bool ids_32bit;	       /* in messages */
	uint32_t ioapic_pins;  /* split: of all its IOAPICs */
	uint32_t limit;	       /* GSIs to use; 0 = all */
	uint32_t without;      /* VMIRQ_CAP_* */
};

/* Make the kernel's irqchip, or adopt the one that is there. -EOPNOTSUPP: the kernel lacks something
 * that cannot be done without. -errno of the ioctl that failed. */
int vmirq_kernel_irqchip_create(const struct kernel_irqchip_config *config, struct irqchip **out);

#endif
