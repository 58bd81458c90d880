/* SPDX-License-Identifier: MIT */
/* How messages get to the kernel's local APICs: irqchip_ops.send, with KVM_SIGNAL_MSI and without. */
#ifndef KVM_SEND_H
#define KVM_SEND_H

#include "chip/irqchip.h"

struct kernel_table;

struct kernel_irqchip {
	struct irqchip irqchip;
	int vm_fd;
	uint32_t limit;
	struct kernel_table *table;
};

int vmirq_kernel_send(struct irqchip *irqchip, const struct kvm_msi *msi, struct counts *counts,
		      enum vmirq_verdict *verdict);
int vmirq_kernel_send_by_route(struct irqchip *irqchip, const struct kvm_msi *msi,
			       struct counts *counts, enum vmirq_verdict *verdict);

#endif
