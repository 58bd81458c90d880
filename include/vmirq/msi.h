/* SPDX-License-Identifier: MIT */
/**
 * @file msi.h
 * Message-signalled interrupts sent directly, without a GSI (KVM API 4.70, KVM_SIGNAL_MSI).
 *
 * Thread safety: any thread, beside everything. Progress: lock-free; async-signal-safe; a system call
 * only to wake a parked vCPU (futex) or to kick one (the VMM's own way). KVM, SPLIT: KVM_SIGNAL_MSI; without that
 * capability it may take a lock and is not for signal handlers. A thread's first call: see vmirq_thread_prepare()
 * (vm.h).
 */
#ifndef VMIRQ_MSI_H
#define VMIRQ_MSI_H

#include <linux/kvm.h>
#include <stddef.h>
#include <stdint.h>
#include <vmirq/observe.h>
#include <vmirq/version.h>

#ifdef __cplusplus
extern "C" {
#endif

struct vmirq_vm;

/**
 * Send one message. Returns how many local APICs accepted it, 0 if none did, -EINVAL for unknown
 * flags or, with 32-bit ids, address_hi & 0xff not 0. A LAPIC that had it pending already counts.
 * Of a message that no LAPIC can take by its form (vector below 16, reserved mode, other address) it is, as
 * in the kernel, how many it would have reached (ExtINT: 0); its verdict says what happened to it.
 */
VMIRQ_API int vmirq_msi_send(struct vmirq_vm *vm, const struct kvm_msi *msi);

/** The same, and *verdict says what became of it (untouched on -EINVAL). */
VMIRQ_API int vmirq_msi_send_verdict(struct vmirq_vm *vm, const struct kvm_msi *msi,
				     enum vmirq_verdict *verdict);

/** Send n messages in order; stops at the first that is -EINVAL and returns how many were sent, or
 *  -EINVAL if that was the first. */
VMIRQ_API int vmirq_msi_send_batch(struct vmirq_vm *vm, const struct kvm_msi *msis, size_t n);

#ifdef __cplusplus
}
#endif
#endif
