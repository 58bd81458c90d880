/* SPDX-License-Identifier: MIT */
/* A vCPU whose local APIC is the kernel's. */
#include "vcpu/kernel.h"

#include <errno.h>
#include <sys/ioctl.h>

#include "chip/lapic_state.h"

static int vcpu_ioctl(const struct vmirq_vcpu *vcpu, unsigned long request, void *argument)
{
	return ioctl(vcpu->kvm_vcpu_fd, request, argument) < 0 ? -errno : 0;
}

int vmirq_kernel_get_lapic(const struct vmirq_vcpu *vcpu, struct kvm_lapic_state *state)
{
	return vcpu_ioctl(vcpu, KVM_GET_LAPIC, state);
}

int vmirq_kernel_set_lapic(const struct vmirq_vcpu *vcpu, const struct kvm_lapic_state *state)
{
	return vcpu_ioctl(vcpu, KVM_SET_LAPIC, (void *)state);
}

int vmirq_kernel_set_apic_base(const struct vmirq_vcpu *vcpu, uint64_t value)
{
	struct kvm_sregs sregs;
	int error = vcpu_ioctl(vcpu, KVM_GET_SREGS, &sregs);

	if (error)
		return error;
	sregs.apic_base = value;
	return vcpu_ioctl(vcpu, KVM_SET_SREGS, &sregs);
}

int vmirq_kernel_get_mp_state(const struct vmirq_vcpu *vcpu, struct kvm_mp_state *state)
{
	return vcpu_ioctl(vcpu, KVM_GET_MP_STATE, state);
}

int vmirq_kernel_set_mp_state(const struct vmirq_vcpu *vcpu, const struct kvm_mp_state *state)
{
	return vcpu_ioctl(vcpu, KVM_SET_MP_STATE, (void *)state);
}

int vmirq_kernel_start(const struct vmirq_vcpu *vcpu)
{
	struct kvm_mp_state state = { .mp_state = vcpu->starts_waiting ? KVM_MP_STATE_UNINITIALIZED
								       : KVM_MP_STATE_RUNNABLE };

	return vmirq_kernel_set_mp_state(vcpu, &state);
}

/* Our own local APIC, which is not used, is as at power-up by now: it shows what that is. Its mode first,
 * because the registers are read by it. */
int vmirq_kernel_reset(struct vmirq_vcpu *vcpu)
{
	struct kvm_lapic_state state;
	int error = vmirq_kernel_set_apic_base(vcpu, lapic_base(&vcpu->lapic));

	vmirq_lapic_save(&vcpu->lapic, state.regs);
	if (!error)
		error = vmirq_kernel_set_lapic(vcpu, &state);
	return error ? error : vmirq_kernel_start(vcpu);
}
