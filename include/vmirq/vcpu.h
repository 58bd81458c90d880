/* SPDX-License-Identifier: MIT */
/**
 * @file vcpu.h
 * A vCPU as a CPU back end sees it: what to inject next, when to park, how to be kicked.
 *
 * THE ENTER/EXIT CONTRACT
 *
 * One thread at a time runs a vCPU. It says so with vmirq_vcpu_bind_thread(), then loops:
 *
 *   for (;;) {
 *       step = vmirq_vcpu_step(vcpu, flags, &vector);
 *       switch (step) {
 *       case VMIRQ_STEP_INJECT:  put `vector` where the CPU takes it at its next entry;
 *                                vmirq_vcpu_ack(vcpu, vector);  step again
 *       case VMIRQ_STEP_NMI:     the same for an NMI (nothing to acknowledge)
 *       case VMIRQ_STEP_WINDOW:  ask the CPU to exit when it can take an interrupt, then as ENTER
 *       case VMIRQ_STEP_ENTER:   run the guest until it exits; then vmirq_vcpu_leave(vcpu)
 *       case VMIRQ_STEP_PARK:    vmirq_vcpu_park(vcpu, timeout), then step again
 *       case VMIRQ_STEP_INIT:    reset the CPU to its INIT state (the LAPIC is done already)
 *       case VMIRQ_STEP_SIPI:    start the CPU at vector << 12
 *       case VMIRQ_STEP_SMI:     enter SMM, or ignore it
 *       case -ECANCELED:         vmirq_vcpu_stop() was called: leave the loop or wait
 *       case -EINTR:             vmirq_vcpu_interrupt() was called
 *       }
 *   }
 *
 * ENTER and WINDOW leave the vCPU's mode at "in the guest": from then until vmirq_vcpu_leave()
 * a new interrupt kicks it, before that it is found by the step itself. There is no gap: step sets
 * the mode and then looks again. A kick means: make the guest exit, or if it has not entered yet,
 * make the entry exit at once. How that is done is the back end's business (`kick`, `kick_signal`
 * and `kvm_run` in the config); a kick that comes late must be harmless.
 *
 * A vector that the CPU could not take, as its class is not above that of what is in service or of TPR, does
 * not kick: the guest cannot end the one or lower the other without coming out, to vmirq_vcpu_mmio(),
 * vmirq_vcpu_wrmsr() or vmirq_vcpu_set_cr8(), after which the back end steps again. With `kvm_run` TPR does
 * not count: not every KVM exits where the guest lowers CR8.
 *
 * `flags` tell what the CPU could take now. 0: nothing, and a pending vector gives WINDOW; with none, ENTER, so
 * a CPU that has nothing to run says VMIRQ_CPU_HALTED to get PARK. An interrupt handed out by INJECT and
 * acknowledged is in service. Where the entry then fails before the CPU took it (an exit with the event still to
 * be delivered that will not be re-delivered by the CPU itself), vmirq_vcpu_unack() puts it back.
 *
 * Where the VM has 8259s (VMIRQ_VM_PC_CHIPS), INJECT may also give a vector of theirs, any from 0 to 255: the
 * slot 0 vCPU starts with LINT0 = ExtINT, as a PC's does and /dev/kvm's, and the 8259s start unmasked with
 * vectors from 0 until the guest programs them. vmirq_vcpu_next_vector() does not show it; ack and unack take it.
 *
 * Who may call: bind_thread, unbind_thread, step, next_vector, ack, unack, leave, park, mmio, msr, apic_base and cr8
 * calls belong to the vCPU's own thread (checked by vmirq_kvm_run() only; without bind_thread a kick finds no thread).
 * Every other call may be made by any thread, beside everything, but for the vCPU's destroy.
 *
 * What blocks: where a call says nothing of it, it neither blocks nor makes a system call, once the thread is bound.
 */
#ifndef VMIRQ_VCPU_H
#define VMIRQ_VCPU_H

#include <linux/kvm.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <vmirq/version.h>

#ifdef __cplusplus
extern "C" {
#endif

struct vmirq_vm;
struct vmirq_vcpu;

/** A callback; `release`, where given, is called once, when no call can come any more. */
struct vmirq_callback {
	void (*fn)(void *opaque);
	void (*release)(void *opaque);
	void *opaque;
};

/** What vmirq_vcpu_create() wants to know. Zero what you do not use. */
struct vmirq_vcpu_config {
	/** sizeof(struct vmirq_vcpu_config). An unknown non-zero tail is -E2BIG. */
	size_t size;
	/** Slot, 0..max_vcpus-1. Slot 0 is the bootstrap processor. */
	uint32_t index;
	/** Initial APIC id (x2APIC: for good). Need not equal the index; two vCPUs may not share one. */
	uint32_t apic_id;
	/** VMIRQ_VCPU_* flags. */
	uint32_t flags;
	/** Signal sent to the bound thread to kick it, or 0. The caller installs a handler for it, an
	 *  empty one will do; without one the first kick ends the process. Used where `kick.fn` is NULL. */
	int kick_signal;
	/** This vCPU's mapped kvm_run, or NULL. A kick stores immediate_exit = 1 in it first, so a
	 *  signal that comes just before KVM_RUN is not missed. */
	struct kvm_run *kvm_run;
	/** The KVM vCPU's descriptor for vmirq_kvm_run(), used where `kvm_run` is not NULL. The caller
	 *  keeps it open until destroy. The TSC of TSC-deadline timers is this vCPU's; without one it
	 *  counts the nanoseconds of the VM's clock. */
	int kvm_vcpu_fd;
	/** Makes the vCPU leave the guest. Called from any signalling thread, also inside a signal
	 *  handler, so it must be async-signal-safe and must not call back into the library. */
	struct vmirq_callback kick;
	/** Wakes a vCPU that parks by other means than vmirq_vcpu_park(). Rules as for `kick`. */
	struct vmirq_callback wake;
	/** How long vmirq_vcpu_park(), and so a HLT in vmirq_kvm_run(), may look for an interrupt before it sleeps,
	 *  in ns; 0 = not at all. To be woken takes a thread tens of microseconds, and the raiser a system call. As
	 *  the kernel's halt_poll_ns, whose default is 200,000: a sleep that was longer ends the looking, shorter
	 *  ones bring it back, from 10,000 up to this, so that an idle vCPU costs nothing. With KVM and SPLIT
	 *  the kernel looks, by its own. */
	uint32_t poll_ns;
	/** 0. */
	uint32_t unused;
};

/** Starts in wait-for-SIPI (an application processor); otherwise it starts runnable. */
#define VMIRQ_VCPU_WAIT_FOR_SIPI (1u << 0)
/** Starts with the local APIC in x2APIC mode. */
#define VMIRQ_VCPU_X2APIC (1u << 1)

/** What vmirq_vcpu_step() asks for. */
enum vmirq_step {
	VMIRQ_STEP_ENTER = 0,
	VMIRQ_STEP_INJECT,
	VMIRQ_STEP_WINDOW,
	VMIRQ_STEP_NMI,
	VMIRQ_STEP_SMI,
	VMIRQ_STEP_INIT,
	VMIRQ_STEP_SIPI,
	VMIRQ_STEP_PARK,
};

/** The CPU can take an external interrupt now (RFLAGS.IF, no shadow, nothing queued before it). */
#define VMIRQ_CPU_INTERRUPTIBLE (1u << 0)
/** The CPU executed HLT and waits. */
#define VMIRQ_CPU_HALTED (1u << 1)
/** The CPU cannot take an NMI now. */
#define VMIRQ_CPU_NMI_BLOCKED (1u << 2)

/** How a park ended. */
enum vmirq_park {
	/** There is something to do: step again. */
	VMIRQ_PARK_RUNNABLE = 0,
	/** vmirq_vcpu_interrupt() or vmirq_vcpu_stop() was called. */
	VMIRQ_PARK_INTERRUPTED,
	/** The time-out passed. */
	VMIRQ_PARK_TIMEOUT,
};

/**
 * Create a vCPU in an empty slot. Its local APIC starts as at power-up: software-disabled, so that signals
 * are `apic_disabled` until the guest (or vmirq_vcpu_mmio() at 0xfee000f0) sets SVR bit 8.
 * With KVM and SPLIT the APIC id is the KVM vCPU's, which apic_id repeats, and kvm_run must be given.
 * -EINVAL: size, slot or flag out of range, apic_id 0xffffffff; -E2BIG: unknown non-zero field; -EEXIST: slot
 * or APIC id in use; -ENOMEM; -EDEADLK: from a kick, wake or pump callback. KVM, SPLIT: also KVM_SET_MP_STATE's error.
 * Thread safety: any thread; beside signals and guests that run. May block on another create or destroy in this VM.
 * System calls: those of malloc; with kvm_run KVM_GET_TSC_KHZ, on KVM and SPLIT KVM_SET_MP_STATE.
 */
VMIRQ_API int vmirq_vcpu_create(struct vmirq_vm *vm, const struct vmirq_vcpu_config *config,
				struct vmirq_vcpu **out);

/**
 * Unplug: the vCPU leaves the destination map, what it had pending is counted as reset, its
 * callbacks are released. What is sent to it afterwards is `no_target`. -EBUSY while a thread is
 * bound to it. -EDEADLK: from a kick, wake or pump callback. NULL is 0.
 * Any thread, once. Blocks until no signal can still reach it (microseconds), and on another create or destroy.
 */
VMIRQ_API int vmirq_vcpu_destroy(struct vmirq_vcpu *vcpu);

/** The calling thread runs this vCPU from now on. -EBUSY: another does. May block on a stop, reset or state call
 *  of this vCPU. System calls: gettid, getpid, futex, and those of vmirq_thread_prepare() (vm.h). */
VMIRQ_API int vmirq_vcpu_bind_thread(struct vmirq_vcpu *vcpu);

/** The calling thread stops running this vCPU; to be called before the thread ends. Waits until no
 *  kick can still be on its way (microseconds). -EPERM: it is not the bound thread. -EDEADLK: from a callback. */
VMIRQ_API int vmirq_vcpu_unbind_thread(struct vmirq_vcpu *vcpu);

/**
 * What to do next; see the contract above. Returns enum vmirq_step, -ECANCELED or -EINTR.
 * -EOPNOTSUPP: the local APIC is the kernel's (KVM, SPLIT), which vmirq_kvm_run() is for.
 * `vector` is set for INJECT (the vector) and SIPI (the start page), and may not be NULL.
 * Lock-free, but for a stop being seen (a mutex), INIT (the destination map's) and a line that the
 * 8259s raise (theirs). System calls: timerfd_settime when the timer's deadline has changed since the
 * vCPU last entered; else none.
 */
VMIRQ_API int vmirq_vcpu_step(struct vmirq_vcpu *vcpu, unsigned int flags, uint32_t *vector);

/** The highest vector that could be injected now, or -1. Folds in what was posted. */
VMIRQ_API int vmirq_vcpu_next_vector(struct vmirq_vcpu *vcpu);

/** The CPU takes `vector`: IRR to ISR. -EINVAL if it is neither what next_vector would say nor what the 8259s
 *  gave. */
VMIRQ_API int vmirq_vcpu_ack(struct vmirq_vcpu *vcpu, uint32_t vector);

/** The entry was aborted and `vector` not taken: ISR back to IRR. -EINVAL if not in service. */
VMIRQ_API int vmirq_vcpu_unack(struct vmirq_vcpu *vcpu, uint32_t vector);

/** The vCPU is out of the guest. Until it is called a new interrupt may still kick, no more. */
VMIRQ_API void vmirq_vcpu_leave(struct vmirq_vcpu *vcpu);

/**
 * Sleep until there is something to do. timeout_ns: nanoseconds, negative = none.
 * Returns enum vmirq_park. Blocks in futex(2) and nothing else, after it has looked for a while (poll_ns). Not
 * ended by a signal handler as such: call vmirq_vcpu_interrupt() in it.
 */
VMIRQ_API int vmirq_vcpu_park(struct vmirq_vcpu *vcpu, int64_t timeout_ns);

/** Make the vCPU's thread come back with -EINTR / VMIRQ_PARK_INTERRUPTED once, now or at its next
 *  step or park. Async-signal-safe, lock-free; may kick or wake. */
VMIRQ_API void vmirq_vcpu_interrupt(struct vmirq_vcpu *vcpu);

/** Kick the vCPU if it is in the guest, wake it if it is parked, and nothing else. Async-signal-safe, lock-free. */
VMIRQ_API void vmirq_vcpu_kick(struct vmirq_vcpu *vcpu);

/** Ask the vCPU's thread out (its step and park say -ECANCELED / INTERRUPTED from now on) and wait
 *  until it has seen it or has no thread: for as long as that thread takes to step or park. -EDEADLK: from its
 *  own thread, or from a kick, wake or pump callback. A caller that is cancelled waits to the end. System calls: futex,
 *  and its kick. */
VMIRQ_API int vmirq_vcpu_stop(struct vmirq_vcpu *vcpu);

/** Take back vmirq_vcpu_stop(). May block on a reset or state call of this vCPU. System call: futex. */
VMIRQ_API int vmirq_vcpu_start(struct vmirq_vcpu *vcpu);

/** Reset the local APIC as power-up does; pending vectors are counted as reset.
 *  -EBUSY unless the vCPU is stopped, has no thread, or the caller is its thread. May block on a state call of this
 *  vCPU and on the destination map's lock. System calls: futex; KVM, SPLIT: KVM_SET_SREGS, KVM_SET_LAPIC,
 *  KVM_SET_MP_STATE, whose errors it returns. */
VMIRQ_API int vmirq_vcpu_reset(struct vmirq_vcpu *vcpu);

/**
 * A guest access at physical address `gpa`, `len` bytes of `data` (little endian).
 * -ENOENT: not this vCPU's local APIC (outside its page, or not in xAPIC mode): the VMM's own.
 * Any length and offset is taken; what the SDM leaves undefined reads 0 and writes nothing.
 * What the write does is done before it returns. An IPI: wakes and kicks (msi.h). A new id, logical address or enable
 * bit: may block on the destination map's lock. An EOI of a level: may block on an IOAPIC's lock,
 * calls notifiers (line.h) and pirqs' `unmask`, writes the resamplefds of its GSI (irqfd.h: write, and futex), and
 * sends anew what is still high.
 */
VMIRQ_API int vmirq_vcpu_mmio(struct vmirq_vcpu *vcpu, uint64_t gpa, void *data, uint32_t len,
			      bool is_write);

/** A guest's RDMSR. -ENOENT: not ours. -EINVAL: the guest gets #GP(0). */
VMIRQ_API int vmirq_vcpu_rdmsr(struct vmirq_vcpu *vcpu, uint32_t msr, uint64_t *value);
/** A guest's WRMSR. -ENOENT: not ours. -EINVAL: the guest gets #GP(0). Blocks, and makes system calls, as
 *  vmirq_vcpu_mmio(); of IA32_TSC_DEADLINE, with kvm_run, KVM_GET_MSRS. */
VMIRQ_API int vmirq_vcpu_wrmsr(struct vmirq_vcpu *vcpu, uint32_t msr, uint64_t value);

/** IA32_APIC_BASE as the CPU back end keeps it; set says -EINVAL where the CPU would raise #GP, and
 *  may block on the destination map's lock. */
VMIRQ_API uint64_t vmirq_vcpu_apic_base(struct vmirq_vcpu *vcpu);
VMIRQ_API int vmirq_vcpu_set_apic_base(struct vmirq_vcpu *vcpu, uint64_t value);

/** CR8, which is TPR bits 7:4. -EINVAL above 15. */
VMIRQ_API uint64_t vmirq_vcpu_cr8(struct vmirq_vcpu *vcpu);
VMIRQ_API int vmirq_vcpu_set_cr8(struct vmirq_vcpu *vcpu, uint64_t value);

/**
 * When the local APIC's timer is due: ns of the VM's clock, or UINT64_MAX. Any thread.
 *
 * On CLOCK_MONOTONIC nobody needs it: step and park look at the time, and while the vCPU is in the
 * guest the VM's pump kicks it (so somebody must dispatch that, or vmirq_pump_start() it). With a clock
 * of the caller's own: vmirq_vcpu_kick() or step the vCPU when that clock has come to it.
 */
VMIRQ_API uint64_t vmirq_vcpu_deadline(struct vmirq_vcpu *vcpu);

/**
 * Raise many vectors at this vCPU in one call: for who has found several of its interrupts pending at once (a
 * device's queues, another process's bitmap), and knows the vCPU. Each is a fixed, edge-triggered interrupt, as
 * if a message had been sent for each, but the vCPU is woken or kicked once at most, after the last.
 *
 * Bit n % 64 of vectors[n / 64] is vector n. newly, which may be NULL, is set to those that were not pending
 * yet; returns how many these are, 0 ... 240. What became of each vector is in vmirq_vcpu_counts(): `delivered`,
 * `coalesced`, `bad_vector` (0 ... 15), or `apic_disabled` for all of them.
 *
 * -EINVAL: vcpu or vectors is NULL. -EOPNOTSUPP: the local APIC is the kernel's (KVM, SPLIT): it takes messages
 * one by one, vmirq_msi_send_batch().
 * Any number of threads at once; lock-free; async-signal-safe. A system call only to wake a parked vCPU or to
 * kick one in the guest.
 */
VMIRQ_API int vmirq_vcpu_post_mask(struct vmirq_vcpu *vcpu, const uint64_t vectors[4],
				   uint64_t newly[4]);

/** An NMI from the board or the VMM. Two may wait until the vCPU looks, further ones merge. Any
 *  thread; lock-free, async-signal-safe; may kick or wake. */
VMIRQ_API void vmirq_vcpu_nmi(struct vmirq_vcpu *vcpu);

#ifdef __cplusplus
}
#endif
#endif
