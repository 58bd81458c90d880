/* SPDX-License-Identifier: MIT */
/**
 * @file state.h
 * Saved state. In the kernel's own structs: what /dev/kvm saved loads here and runs on, and the other
 * way round; and all of a VM in one blob, which vmirq_vm_save() and vmirq_vm_load() are about.
 *
 * Every call on a vCPU wants it stopped (vmirq_vcpu_stop()), without a thread, or made by its own thread:
 * -EBUSY otherwise. What is loaded is checked first; -EINVAL changes nothing. It may block on another such call,
 * stop or reset of this vCPU, and a load on the destination map's lock; its system calls are futex, and on
 * KVM and SPLIT the ioctl that it is named after (of IA32_APIC_BASE KVM_GET_SREGS and KVM_SET_SREGS), whose errors it
 * returns.
 *
 * What vmirq_irqfd_signal() has queued (VMIRQ_HELD) is not in a chip's struct: whoever saves by these serves the pump
 * (vmirq_pump_dispatch()), or the worker, before.
 *
 * Order of a load by the kernel's structs: vmirq_vcpu_set_apic_base_state(), vmirq_vcpu_set_lapic(), then the
 * TSC deadline (vmirq_vcpu_wrmsr() of IA32_TSC_DEADLINE).
 */
#ifndef VMIRQ_STATE_H
#define VMIRQ_STATE_H

#include <linux/kvm.h>
#include <stddef.h>
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
 * Any thread, beside everything; may block on that chip's lock. A load may deliver what the state has pending, with the
 * system calls of that (msi.h), and on SPLIT KVM_SET_GSI_ROUTING. On KVM these are the kernel's. A load of the
 * IOAPIC, and of a local APIC, finds out anew who has the vector of the RTC's pin and so a tick to end.
 */
VMIRQ_API int vmirq_vm_get_irqchip(struct vmirq_vm *vm, struct kvm_irqchip *state);
VMIRQ_API int vmirq_vm_set_irqchip(struct vmirq_vm *vm, const struct kvm_irqchip *state);

/** KVM_GET_PIT2 / KVM_SET_PIT2. Errors, threads and blocking as above; a load sets a timer (timerfd_settime). */
VMIRQ_API int vmirq_vm_get_pit2(struct vmirq_vm *vm, struct kvm_pit_state2 *state);
VMIRQ_API int vmirq_vm_set_pit2(struct vmirq_vm *vm, const struct kvm_pit_state2 *state);

/** Pins of the largest IOAPIC. */
#define VMIRQ_IOAPIC_MAX_PINS 240

/** An IOAPIC's registers and lines, as in struct kvm_ioapic_state, of any number of pins. */
struct vmirq_ioapic_state {
	size_t size;   /**< sizeof(struct vmirq_ioapic_state) */
	uint64_t base; /**< guest-physical address */
	uint32_t ioregsel;
	uint32_t id;
	uint32_t pins;	   /**< how many it has; what follows is 0 beyond */
	uint32_t reserved; /**< 0 */
	uint64_t rte[VMIRQ_IOAPIC_MAX_PINS];
	uint8_t irr[VMIRQ_IOAPIC_MAX_PINS]; /**< 0 or 1, as the bits of kvm_ioapic_state.irr */
};

/**
 * The n-th IOAPIC, counted from 0 as in vmirq_vm_config.ioapics; a load is as KVM_SET_IRQCHIP's, of all
 * pins. -ENXIO: there is no such IOAPIC. -EINVAL: `size` is too small, `pins` another than this IOAPIC
 * has, or a state it cannot be in. -E2BIG: `size` says something that is not known. Any thread; may block
 * on the IOAPIC's lock; system calls: futex, and those of a load above.
 */
VMIRQ_API int vmirq_vm_get_ioapic(struct vmirq_vm *vm, uint32_t number,
				  struct vmirq_ioapic_state *state);
VMIRQ_API int vmirq_vm_set_ioapic(struct vmirq_vm *vm, uint32_t number,
				  const struct vmirq_ioapic_state *state);

/**
 * All of a VM's interrupt state in one blob: vCPUs (APIC base, local APIC, what is left of its timer,
 * what is pending), all pins of all IOAPICs, 8259s, PIT, routes, allocated GSIs and source ids, and
 * which sources hold which line. Returns the bytes that it takes; they are in `buffer` if `size` (in
 * bytes) is as many, else what is there means nothing. NULL, 0: asks how many. That holds until
 * something changes.
 *
 * What is due by now (PIT, local APICs' timers) is raised first, and so is what vmirq_irqfd_signal() has queued for
 * the pump or a worker (VMIRQ_HELD): it is in the blob. What a pirq has queued is not (below). Nobody else may use the
 * VM meanwhile, or what they do is in the blob in part.
 *
 * A line that a level irqfd (VMIRQ_IRQFD_RESAMPLE) holds is in it: assign the irqfd in the other VM, before or
 * after, and the guest's EOI lowers the line and signals the resamplefd there. One that a host interrupt
 * (passthrough.h) holds is in it, too: the guest's EOI lowers it where a pirq is bound to that GSI, before or after.
 *
 * Not in it, and the caller's to carry: unread eventfds (the counts stay in them), what a mailbox holds (mailbox.h),
 * what pirqs were raised and their workers have not served, or hold for the rate (it stays queued here: who takes the
 * VM elsewhere serves the workers before, or it is `deassigned` with the unbind), irqfds and notifiers, MSI-X tables
 * and pending bits, with the GSIs of their vectors and of pirqs' messages, armed resamplers, counters; and what KVM
 * keeps of its vCPUs. A VMM that uses KVM loads its vCPUs' TSC first, which a TSC deadline is held against.
 *
 * SOFT only: -EOPNOTSUPP on KVM and SPLIT, where the kernel's structs are what there is. -EBUSY: a vCPU's thread runs
 * (its own may call). -EINVAL: `vm`, or `size` without a buffer. -EDEADLK: from a kick, wake or pump callback. Blocks
 * on locks, and on a worker that is raising what was queued; system calls: futex, timerfd_settime, and what raising
 * does.
 */
VMIRQ_API int64_t vmirq_vm_save(struct vmirq_vm *vm, void *buffer, size_t size);

/**
 * Load such a blob, `size` bytes, into a VM that was made with the same configuration and has vCPUs of
 * the same indices and APIC ids. It goes on as the other would have: by itself a load delivers nothing
 * and tells no notifier. irqfds stay, and follow the new routes. What was pending is counted as reset,
 * what the blob has pending as posted. pirqs stay bound, and `unmask` is called for those of which the guest that was
 * here had not ended an interrupt, as at a reset: the host raises it again, for the guest that is here now.
 *
 * All of it is checked first, and any bytes may be given: -EINVAL changes nothing. It is of this machine's byte order
 * and of this version's blobs (a later version says which older ones it takes). What vmirq_irqfd_signal() has queued
 * here is raised before, also where the load is refused then: with what else was pending it is thrown away. -EDEADLK
 * as above. -EBUSY as above, or a GSI that the blob has is an MSI-X vector's or a pirq's message's here (so: first the
 * VM, then its devices); -ENOMEM; and nothing has changed. vCPUs are stopped or without a thread, and nobody else uses
 * the VM meanwhile. System calls as above, and those of malloc.
 */
VMIRQ_API int vmirq_vm_load(struct vmirq_vm *vm, const void *buffer, size_t size);

#ifdef __cplusplus
}
#endif
#endif
