/* SPDX-License-Identifier: MIT */
/**
 * @file state.h
 * Saved state, in the kernel's own structs: what /dev/kvm saved loads here and runs on, and the other
 * way round.
 *
 * Every call wants the vCPU stopped (vmirq_vcpu_stop()), without a thread, or made by its own thread:
 * -EBUSY otherwise. What is loaded is checked first; -EINVAL changes nothing.
 *
 * Order of a load: vmirq_vcpu_set_apic_base_state(), vmirq_vcpu_set_lapic(), then the TSC deadline
 * (vmirq_vcpu_wrmsr() of IA32_TSC_DEADLINE).
 */
#ifndef VMIRQ_STATE_H
#define VMIRQ_STATE_H

#include <linux/kvm.h>
#include <stdint.h>
#include <vmirq/version.h>

#ifdef __cplusplus
extern "C" {
#endif

struct vmirq_vcpu;
struct vmirq_vm;

/** KVM_GET_LAPIC. What is posted, and a timer that has run out, is folded into IRR and TMR first;
 *  TMCCT is what is left to count. */
VMIRQ_API int vmirq_vcpu_get_lapic(struct vmirq_vcpu *vcpu, struct kvm_lapic_state *state);

/**
 * KVM_SET_LAPIC, under the vCPU's present IA32_APIC_BASE. What was pending is counted as reset, what
 * the state has pending as posted. A timer goes on from TMCCT; a one-shot that
 * has run out comes at once, because the state does not tell whether its interrupt was delivered.
 * Vectors below 16, which /dev/kvm latches and never delivers, are left out.
 * -EINVAL: in x2APIC mode another id than the vCPU's.
 */
VMIRQ_API int vmirq_vcpu_set_lapic(struct vmirq_vcpu *vcpu, const struct kvm_lapic_state *state);

/** IA32_APIC_BASE as a restore sets it: from any mode to any. -EINVAL: reserved bits, or x2APIC
 *  without enable. */
VMIRQ_API int vmirq_vcpu_set_apic_base_state(struct vmirq_vcpu *vcpu, uint64_t value);

/** KVM_GET_MP_STATE: KVM_MP_STATE_RUNNABLE, _HALTED (vmirq_kvm_run() only) or _UNINITIALIZED (waits
 *  for a SIPI). */
VMIRQ_API int vmirq_vcpu_get_mp_state(struct vmirq_vcpu *vcpu, struct kvm_mp_state *state);
/** KVM_SET_MP_STATE. -EINVAL: another state than those, or _INIT_RECEIVED, which means the same as
 *  _UNINITIALIZED. */
VMIRQ_API int vmirq_vcpu_set_mp_state(struct vmirq_vcpu *vcpu, const struct kvm_mp_state *state);

/**
 * KVM_GET_IRQCHIP / KVM_SET_IRQCHIP: chip_id KVM_IRQCHIP_PIC_MASTER, _PIC_SLAVE or _IOAPIC.
 * -EINVAL: another id, or a state no chip can be in. -ENXIO: the VM has no such chip.
 * Any thread; a load may deliver what the state has pending.
 */
VMIRQ_API int vmirq_vm_get_irqchip(struct vmirq_vm *vm, struct kvm_irqchip *state);
VMIRQ_API int vmirq_vm_set_irqchip(struct vmirq_vm *vm, const struct kvm_irqchip *state);

/** KVM_GET_PIT2 / KVM_SET_PIT2. Errors as above. */
VMIRQ_API int vmirq_vm_get_pit2(struct vmirq_vm *vm, struct kvm_pit_state2 *state);
VMIRQ_API int vmirq_vm_set_pit2(struct vmirq_vm *vm, const struct kvm_pit_state2 *state);

#ifdef __cplusplus
}
#endif
#endif
