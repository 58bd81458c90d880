/* SPDX-License-Identifier: MIT */
/* A vCPU whose local APIC is the kernel's: its state is there. -errno of the ioctl. */
#ifndef VCPU_KERNEL_H
#define VCPU_KERNEL_H

#include <linux/kvm.h>

#include "base/vm.h"
#include "vcpu/vcpu.h"

static inline bool vcpu_in_kernel(const struct vmirq_vcpu *vcpu)
{
	return vcpu->vm->irqchip != NULL;
}

int vmirq_kernel_get_lapic(const struct vmirq_vcpu *vcpu, struct kvm_lapic_state *state);
int vmirq_kernel_set_lapic(const struct vmirq_vcpu *vcpu, const struct kvm_lapic_state *state);
int vmirq_kernel_set_apic_base(const struct vmirq_vcpu *vcpu, uint64_t value);
int vmirq_kernel_get_mp_state(const struct vmirq_vcpu *vcpu, struct kvm_mp_state *state);
int vmirq_kernel_set_mp_state(const struct vmirq_vcpu *vcpu, const struct kvm_mp_state *state);
/* Runnable, or waiting for a SIPI, as its config said. */
int vmirq_kernel_start(const struct vmirq_vcpu *vcpu);
/* As at power-up, when our own local APIC is. */
int vmirq_kernel_reset(struct vmirq_vcpu *vcpu);

#endif
