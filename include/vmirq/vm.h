/* SPDX-License-Identifier: MIT */
/**
 * @file vm.h
 * A virtual machine's interrupt domain: its irqchip, its vCPUs, its routes.
 *
 * Every call returns 0 (or a non-negative count, where it says so) or -errno. None prints,
 * aborts, installs a signal handler or keeps state outside the VM, but for two process-wide
 * registries (see docs/design.md): threads that are inside a signal, and eventfds bound.
 *
 * System calls are named with each call, for a thread's seccomp filter. They are those of a thread that the library
 * knows: by vmirq_thread_prepare(), vmirq_vcpu_bind_thread(), or from its first signal on. What blocks on another
 * call, or waits for signals under way, does so by futex, also where only the blocking is said; after some 100 ms it
 * asks by getpid and tgkill (signal 0), too, whether the thread that it waits for has ended, as those of the parent
 * have in a child of fork().
 */
#ifndef VMIRQ_VM_H
#define VMIRQ_VM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <vmirq/version.h>

#ifdef __cplusplus
extern "C" {
#endif

struct vmirq_vm;
struct vmirq_pump;
struct vmirq_vcpu;

/** Where the interrupt controller lives. */
enum vmirq_irqchip {
	/** All of it here, in user space: any CPU back end, no kernel help. */
	VMIRQ_IRQCHIP_SOFT = 0,
	/** All of it in the kernel (KVM_CREATE_IRQCHIP). */
	VMIRQ_IRQCHIP_KVM,
	/** Local APICs in the kernel, IOAPICs, 8259s and PIT here (KVM_CAP_SPLIT_IRQCHIP). */
	VMIRQ_IRQCHIP_SPLIT,
};

/** Time, as nanoseconds of a clock that never goes back. Both functions may be called from any
 *  thread, under no lock of the library's, and must not call back into it. */
struct vmirq_clock {
	uint64_t (*now)(void *opaque);
	void *opaque;
};

/** One IOAPIC. */
struct vmirq_ioapic_config {
	/** Guest physical address of its window, a multiple of 0x100; no two have the same. */
	uint64_t base;
	/** 24..240. */
	uint32_t pins;
	/** 0x11, or 0x20, which has an EOI register and lets guests suppress EOI broadcasts. */
	uint32_t version;
};

/** What vmirq_vm_create() wants to know; zero is a good default for everything but `size`. */
struct vmirq_vm_config {
	/** sizeof(struct vmirq_vm_config). An unknown non-zero tail is -E2BIG. */
	size_t size;
	/** enum vmirq_irqchip. */
	uint32_t irqchip;
	/** vCPU slots, 1..4096; 0 = 256. Costs about 12 KiB each once the vCPU is created. */
	uint32_t max_vcpus;
	/** GSIs are 0..max_gsis-1; 0 = 1,048,576. Memory is taken as they are used. */
	uint32_t max_gsis;
	/** VMIRQ_VM_* flags. */
	uint32_t flags;
	/** NULL = CLOCK_MONOTONIC. Copied. With a clock of the caller's own no call here sleeps by it:
	 *  see vmirq_vcpu_deadline(). */
	const struct vmirq_clock *clock;
	/** With VMIRQ_VM_PC_CHIPS: 1..8 IOAPICs in place of the PC's one. In routes the n-th is irqchip
	 *  KVM_IRQCHIP_IOAPIC + n. Copied. */
	const struct vmirq_ioapic_config *ioapics;
	/** How many; 0 = the PC's one. */
	uint32_t n_ioapics;
	/** The KVM VM's descriptor, which the caller keeps open until destroy; 0 = none. KVM and SPLIT need
	 *  one, before its first vCPU. With SOFT, ioeventfds are the kernel's where there is one. */
	int kvm_vm_fd;
	/** VMIRQ_CAP_*: capabilities of the kernel's to do without, as if it had not got them. */
	uint32_t without;
	/** With KVM and SPLIT: use the kernel's GSIs below this one only; 0 = all it has. */
	uint32_t kernel_gsis;
	/** Where its irqfds are consumers, outliving the VM; see bypass.h. NULL: a manager of its own. */
	struct vmirq_bypass *bypass;
};

/** KVM_CAP_SIGNAL_MSI: messages go by dynamic routes instead. */
#define VMIRQ_CAP_SIGNAL_MSI (1u << 0)
/** KVM_CAP_IRQFD: eventfds are read by the pump instead. */
#define VMIRQ_CAP_IRQFD (1u << 1)
/** KVM_CAP_IRQFD_RESAMPLE: on KVM a resample irqfd is then -EINVAL. */
#define VMIRQ_CAP_IRQFD_RESAMPLE (1u << 2)
/** KVM_CAP_IOEVENTFD: vmirq_vm_mmio() and _pio() match doorbells instead. */
#define VMIRQ_CAP_IOEVENTFD (1u << 3)

/** MSI messages carry bits 31:8 of a destination id in address_hi (as KVM_X2APIC_API_USE_32BIT_IDS). */
#define VMIRQ_VM_MSI_32BIT_IDS (1u << 0)
/** MSI messages carry bits 14:8 of a destination id in address_lo 11:5. */
#define VMIRQ_VM_MSI_EXT_DEST_ID (1u << 1)

/** An IOAPIC (24 pins, version 0x11, at 0xfec00000) and a pair of 8259s, with the PC's routes: GSI
 *  0..15 to both, GSI 0 to IOAPIC pin 2 (where a PC's timer is; KVM_CREATE_IRQCHIP leaves that to the VMM),
 *  16..23 to the IOAPIC. The 8259s start unmasked (edges, vectors from 0), and the slot 0 vCPU with LINT0 = ExtINT:
 *  until the guest masks them, at ports 0x21 and 0xa1, an interrupt of GSI 0..15 gives that vCPU a vector of theirs,
 *  too; see vcpu.h. */
#define VMIRQ_VM_PC_CHIPS (1u << 2)
/** A PIT at ports 0x40..0x43 and 0x61, its counter 0 on GSI 0; wants VMIRQ_VM_PC_CHIPS. As
 *  KVM_CREATE_PIT2. Ticks that the guest was too slow for are injected later. */
#define VMIRQ_VM_PIT (1u << 3)
/** With VMIRQ_VM_PIT: ticks that the guest was too slow for are dropped. */
#define VMIRQ_VM_PIT_DISCARD (1u << 4)
/** Where the specification and /dev/kvm differ, do as the specification says: the local APIC's error
 *  status register, the 8259's poll and special mask. Without it: as /dev/kvm. */
#define VMIRQ_VM_PROFILE_SPEC (1u << 5)

/**
 * Create a VM's interrupt domain.
 * -EINVAL: size below the first release's, an unknown irqchip or flag, max_vcpus above 4096.
 * -E2BIG: a field this library does not know is not zero. -EMFILE, -ENOMEM.
 * Also what the system calls say that it makes: epoll_create1, eventfd, epoll_ctl, timerfd_create; on KVM and SPLIT
 * the ioctls that give the KVM VM its irqchip, PIT and routes.
 * Thread safety: any thread. Progress: allocates, and blocks on nothing.
 */
VMIRQ_API int vmirq_vm_create(const struct vmirq_vm_config *config, struct vmirq_vm **out);

/**
 * Tear the VM down: deassigns every irqfd (resample irqfds too) and ioeventfd, removes every notifier, unbinds every
 * pirq, destroys every vCPU, and frees all of these but the pirqs, with the chips and their timers, the routes and an
 * open transaction, the GSIs and line sources given out, and the VM's own pump and bypass manager. Pirqs, workers,
 * pumps of yours and bypass managers of yours stay, and so do triggers and producers in those: they are
 * disconnected. The caller's threads must be out of the library for this VM, and stay out.
 * -EBUSY, and nothing is changed: a vCPU still has a thread (vmirq_vcpu_unbind_thread()); there is a mailbox or an
 * MSI-X device (vmirq_mailbox_destroy(), vmirq_msix_destroy()), or a trigger or producer of yours in the VM's own
 * bypass manager. -EDEADLK, and nothing is changed: from a callback of the library, or from a bypass producer's whose
 * consumer is an irqfd of this VM. NULL is 0.
 * Not asked, and to be seen to: nothing of another VM (irqfd, mailbox, pirq, MSI-X device) is read by this VM's
 * pump any more.
 * Thread safety: any thread, once. Progress: blocks until signals and callbacks under way, the pump's thread and that
 * of doorbells have ended; the callbacks' `release` is called here.
 */
VMIRQ_API int vmirq_vm_destroy(struct vmirq_vm *vm);

/**
 * Return once no signal can still act on a route, target or vCPU replaced before the call.
 * Thread safety: any thread, but not from a callback (kick, wake) of the library: -EDEADLK.
 * Progress: may block for as long as signals already begun take (microseconds). System calls: futex.
 */
VMIRQ_API int vmirq_vm_quiesce(struct vmirq_vm *vm);

/**
 * Have the library know the calling thread, as its first signal would do otherwise, or a guest's access that it
 * brings: for who gets a seccomp filter before. vmirq_vcpu_bind_thread() does so, too. The thread's end takes it back.
 * -ENOMEM; then each call tries again. Any thread, as often as you like; wait-free; async-signal-safe. System calls:
 * the first time gettid; where 128 threads are known already getpid and tgkill (signal 0), to find one that has
 * ended, and mmap where none has.
 */
VMIRQ_API int vmirq_thread_prepare(void);

/**
 * A guest access at a physical address that belongs to the VM and not to one vCPU: the IOAPICs, and then
 * for writes the doorbells (ioeventfd.h).
 * -ENOENT: not ours. Any length and offset. Any thread; may block on a chip's lock, and on a doorbell's or
 * resamplefd's write (ioeventfd.h, irqfd.h). System calls: write, to those, with futex, but no poll before it; and
 * what the chips' registers do: deliver (msi.h), set timers (timerfd_settime), on SPLIT KVM_SET_GSI_ROUTING.
 */
VMIRQ_API int vmirq_vm_mmio(struct vmirq_vm *vm, uint64_t gpa, void *data, uint32_t len,
			    bool is_write);

/** A guest access at an I/O port: 8259s, PIT, doorbells. -ENOENT: not ours. Threads, blocking and system calls as
 *  vmirq_vm_mmio(). */
VMIRQ_API int vmirq_vm_pio(struct vmirq_vm *vm, uint16_t port, void *data, uint32_t len,
			   bool is_write);

/**
 * With a clock of the caller's own: when something of the VM (PIT, a throttled line) is due, or
 * UINT64_MAX; vmirq_vm_expire() does what is due. On CLOCK_MONOTONIC the pump does both.
 * Any thread, beside everything. Both may block on the PIT's lock, and expire on those of the IOAPICs, the 8259s and
 * GSI 0. System calls: futex; of expire those of delivering (msi.h), and timerfd_settime on CLOCK_MONOTONIC.
 */
VMIRQ_API uint64_t vmirq_vm_deadline(struct vmirq_vm *vm);
VMIRQ_API void vmirq_vm_expire(struct vmirq_vm *vm);

/**
 * Reset every chip and every vCPU's local APIC as a power cycle does; routes and irqfds stay. What vmirq_irqfd_signal()
 * has queued by then (VMIRQ_HELD), for the pump or for a worker, is raised before, so that nothing of it comes after;
 * what a pirq has queued stays queued.
 * -EBUSY, and nothing done: a vCPU's thread runs. -EDEADLK: from a kick, wake or pump callback. What an ioctl
 * says, of a vCPU (KVM, SPLIT) or of a chip (KVM): the first that failed; all vCPUs are reset even so, and the
 * chips up to it. Any thread, but no vCPU is created, destroyed or run meanwhile. May block on a worker that is
 * raising what was queued, on the chips' locks and on vCPUs' (stop,
 * state), and on what the guest's EOI blocks on: the 8259s' reset ends what was in service, which tells notifiers and
 * resamplefds, and pirqs' `unmask` is called (passthrough.h). System calls: futex, timerfd_settime, write to
 * resamplefds, the chips' and local APICs' ioctls on KVM and SPLIT.
 */
VMIRQ_API int vmirq_vm_reset(struct vmirq_vm *vm);

/** The VM's own pump, which reads its eventfds unless an irqfd names another; see irqfd.h. Any thread; wait-free. */
VMIRQ_API struct vmirq_pump *vmirq_vm_pump(struct vmirq_vm *vm);

/** The vCPU in slot `index`, or NULL. Any thread; wait-free. Not safe beside that vCPU's destroy. */
VMIRQ_API struct vmirq_vcpu *vmirq_vm_vcpu(struct vmirq_vm *vm, uint32_t index);

#ifdef __cplusplus
}
#endif
#endif
