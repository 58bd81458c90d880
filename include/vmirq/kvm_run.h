/* SPDX-License-Identifier: MIT */
/**
 * @file kvm_run.h
 * One turn of a KVM_RUN loop with our exits handled inside.
 */
#ifndef VMIRQ_KVM_RUN_H
#define VMIRQ_KVM_RUN_H

#include <vmirq/version.h>

#ifdef __cplusplus
extern "C" {
#endif

struct vmirq_vcpu;

/**
 * Ready a KVM VM for an irqchip in user space: asks for the MSR exits that x2APIC needs
 * (KVM_CAP_X86_USER_SPACE_MSR) and denies IA32_TSC_DEADLINE to the kernel (KVM_X86_SET_MSR_FILTER).
 * Before the first vCPU is created. -errno of the ioctl that failed; -EOPNOTSUPP: too old a kernel.
 *
 * The guest's accesses to MSRs that KVM does not know, or with values that it refuses, then exit too, and where they
 * are not ours vmirq_kvm_run() hands them on: KVM_EXIT_X86_RDMSR and _WRMSR. Who sets run->msr.error = 1 has the
 * guest get the #GP(0) that KVM gave it before; who ignores them has the access succeed, and a read give 0.
 * A VM has one filter: a VMM that sets another afterwards denies IA32_TSC_DEADLINE in it, too.
 * Thread safety: any thread. Blocks on nothing but the ioctls: KVM_CHECK_EXTENSION, KVM_ENABLE_CAP,
 * KVM_X86_SET_MSR_FILTER.
 */
VMIRQ_API int vmirq_kvm_prepare_vm(int kvm_vm_fd);

/**
 * Run the vCPU (its config gave kvm_run and kvm_vcpu_fd) until an exit the VMM must handle.
 * Interrupts, NMIs, parking at HLT, INIT/SIPI, kicks, LAPIC MMIO, x2APIC MSRs and CR8 are done inside, and with
 * them all that vmirq_vm_mmio() and vmirq_vm_pio() find: IOAPICs, 8259s, PIT, doorbells.
 *
 * 0: run->exit_reason is the VMM's (KVM_EXIT_IO, an MMIO that is not ours, ...); handle it, call again.
 * -EINTR: vmirq_vcpu_interrupt() was called, or a signal ended KVM_RUN. -ECANCELED: stopped. In both
 * cases, and before INIT and SIPI, an instruction whose exit was handled is ended first, so that the
 * registers may be read and changed. -EPERM: the calling thread is not bound.
 * Otherwise -errno of KVM_RUN. A stale exit_reason is never shown again.
 * The bound thread only. Blocks while the guest runs or sleeps, and on what vmirq_vcpu_mmio() and vmirq_vm_mmio() block
 * on. System calls: ioctl (KVM_RUN, KVM_INTERRUPT, KVM_NMI, KVM_GET/SET_REGS and
 * _SREGS and KVM_SET_VCPU_EVENTS at INIT/SIPI), futex, timerfd_settime; write, to doorbells and resamplefds, but no
 * poll before it (ioeventfd.h); and what delivering to other vCPUs makes (their kick).
 */
VMIRQ_API int vmirq_kvm_run(struct vmirq_vcpu *vcpu);

#ifdef __cplusplus
}
#endif
#endif
