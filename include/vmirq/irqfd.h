/* SPDX-License-Identifier: MIT */
/**
 * @file irqfd.h
 * irqfds: an eventfd, or a handle in this process, bound to a GSI; and the pump that reads eventfds.
 *
 * An irqfd keeps its own copy of what its route resolves to, so a signal only posts a bit. The copy
 * follows the route, and what the guest does to its local APICs' ids, by itself.
 *
 * Orders: an irqfd may come before its route (signals meanwhile are `no_route`), and a route may go
 * before its irqfd.
 */
#ifndef VMIRQ_IRQFD_H
#define VMIRQ_IRQFD_H

#include <linux/kvm.h>
#include <stddef.h>
#include <stdint.h>
#include <vmirq/observe.h>
#include <vmirq/version.h>

#ifdef __cplusplus
extern "C" {
/* A call may have its struct's name, as stat() has. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wshadow"
#endif

struct vmirq_vm;
struct vmirq_irqfd;
struct vmirq_pump;
struct vmirq_worker;

/** What vmirq_irqfd_assign() wants to know. */
struct vmirq_irqfd_config {
	/** sizeof(struct vmirq_irqfd_config). An unknown non-zero tail is -E2BIG. */
	size_t size;
	/** The GSI to raise. Need not have a route yet. */
	uint32_t gsi;
	/** VMIRQ_IRQFD_*. */
	uint32_t flags;
	/** An eventfd, or -1 (not 0, which is a descriptor) for an irqfd that is only signalled by
	 *  vmirq_irqfd_signal(). The library
	 *  keeps its own duplicate until deassign: closing the caller's copy is harmless. But see
	 *  VMIRQ_IRQFD_TAKE. */
	int eventfd;
	/** NULL = the VM's own pump. Must outlive the irqfd. Used with an eventfd only. */
	struct vmirq_pump *pump;
	/** What tells this eventfd from others in the process; 0 = ask /proc/self/fdinfo (4 us). A
	 *  caller without /proc passes its own number, 1 to 2^63-1, the same for every duplicate of the eventfd. */
	uint64_t token;
	/** With VMIRQ_IRQFD_RESAMPLE, and only then looked at: an eventfd that is signalled when the guest is
	 *  done. Duplicated. */
	int resamplefd;
	/** 0. */
	uint32_t unused;
	/** With VMIRQ_IRQFD_RESAMPLE, in place of resamplefd where it is not NULL: called when the guest is
	 *  done, on the vCPU's thread that did it; may signal this and other irqfds and set lines. A lock of
	 *  the GSI's level irqfds is held: it must not wait, assign, deassign, or access a chip for the
	 *  guest. SOFT and SPLIT. */
	void (*resample)(void *opaque);
	void *resample_opaque;
	/** Who raises what is signalled by call while the route goes to pins, for which a chip's lock is taken: a
	 *  worker (passthrough.h), in whose queue the irqfd has its place beside pirqs. NULL = the VM's pump. What a
	 *  pump reads from an eventfd it raises itself. */
	struct vmirq_worker *worker;
};

/**
 * A level (KVM_IRQFD_FLAG_RESAMPLE; KVM API 4.75). A signal asserts the GSI and leaves it. When the guest ends
 * the interrupt, or unmasks the pin while it is still asserted (and not in service), the line is lowered and
 * every resamplefd of the GSI is signalled: who still wants service signals its eventfd again. The last such
 * irqfd that leaves a GSI lowers its line. A signal while it is asserted is `coalesced`. On an MSI route it is
 * an edge, and nothing is resampled.
 *
 * The resamplefd is written by the vCPU's thread itself. Its other holders may fill it and make that block: a
 * thread of the VM's own, made with the first such irqfd, then takes out what it is full of, within some
 * 10 ms; where many threads fill it again at once, the write ends when it comes before them. After eight such
 * blocks it is not written to any more. A peer that makes room again within a tick of 5 ms is not found out, and may
 * have each write blocked for so long. Full and O_NONBLOCK it is left so: it is readable. A child of fork() has no
 * such thread.
 *
 * System calls: those of doorbells (ioeventfd.h), write and futex on the vCPU's thread that ends the interrupt or
 * unmasks the pin. On KVM the kernel writes the resamplefd, and vmirq_irqfd_signal() the eventfd, likewise.
 */
#define VMIRQ_IRQFD_RESAMPLE (1u << 0)

/** It is no consumer of the VM's bypass manager (bypass.h): signals go by the eventfd, always. */
#define VMIRQ_IRQFD_NO_BYPASS (1u << 1)

/**
 * The library has the caller's descriptor itself, in place of a duplicate: it is closed when the irqfd
 * is deassigned, in whatever way, or its VM destroyed. For who has no further use of the number: it
 * saves a system call, and a descriptor for every irqfd. From a success on the caller must not close
 * it, nor give it to anybody else who will; a failure leaves it to the caller as it was. Whether it is
 * closed on exec stays as it was, too. Needs an eventfd (else -EINVAL); a resamplefd is duplicated all
 * the same.
 */
#define VMIRQ_IRQFD_TAKE (1u << 2)

/**
 * What tells an eventfd from others, the same for all its duplicates, in this process and in others, while
 * one is open: the kernel's eventfd-id. It is the token of an irqfd that was given none, by which a producer
 * meets it (bypass.h). -EINVAL: no eventfd, or token is NULL; -EBADF; -ENOSYS: there is no /proc.
 * Thread safety: any thread. Blocks on nothing. System calls: fcntl, openat, read, close.
 */
VMIRQ_API int vmirq_eventfd_token(int fd, uint64_t *token);

/**
 * Bind. An eventfd that is readable already raises once (its whole count is one signal, the rest
 * `eventfd_merged`), by the pump. So it is with all that the pump reads: a count of n that a device writes at once is n
 * raised, in the counters of its own route and nowhere else. One that is not trusted makes them any number.
 * -EINVAL: size, unknown flag, GSI past the VM's limit, not an eventfd, RESAMPLE where the VM has no chips with
 * pins, TAKE without an eventfd; -EBADF: not a descriptor;
 * -EBUSY: this eventfd is bound already, in any VM of this process; -ENOSYS: there is no /proc to tell
 * an eventfd by, and no token; -EAGAIN: RESAMPLE, and no thread to be had; -EDEADLK, and nothing is done: from
 * a kick, wake or pump callback (a mailbox's `dead`, a pirq's unmask by the watchdog), with RESAMPLE, or in a VM on
 * KVM or SPLIT; -E2BIG; -EMFILE; -ENOMEM.
 * Thread safety: any thread, beside everything. May block on a change of the same GSI. System calls with an
 * eventfd: fcntl, but not with VMIRQ_IRQFD_TAKE; openat, read and close for /proc; epoll_ctl or ioctl.
 */
VMIRQ_API int vmirq_irqfd_assign(struct vmirq_vm *vm, const struct vmirq_irqfd_config *config,
				 struct vmirq_irqfd **out);

/**
 * Bind many, as a device's vectors are: all of them, or on error none; irqfds[i] is what configs[i] asks for. It
 * saves most where the kernel reads them and their routes were made in one transaction before. Errors and system
 * calls as vmirq_irqfd_assign(); the first that is met is returned, and not which of them it was. -EINVAL, too:
 * sizes that differ, or VMIRQ_IRQFD_RESAMPLE. -EBUSY: also the same eventfd twice among them. -EDEADLK: from a
 * kick or wake callback. n = 0 is 0. An error leaves nothing bound, and descriptors with VMIRQ_IRQFD_TAKE to the
 * caller; what irqfds[] then holds means nothing. Some may have been bound for a moment: what was written to
 * their eventfds was raised, as a deassign raises it.
 * Thread safety: any thread, beside everything. May block on changes of the VM's routes.
 */
VMIRQ_API int vmirq_irqfd_assign_many(struct vmirq_vm *vm, const struct vmirq_irqfd_config *configs,
				      size_t n, struct vmirq_irqfd **irqfds);

/**
 * Unbind. What was written to the eventfd before the call is delivered; once it has returned nothing
 * more is posted by this irqfd, and the handle is no more.
 *
 * Signals by the handle (vmirq_irqfd_signal()) on other threads: one that has returned before the call is delivered,
 * one under way meanwhile is delivered or counted as `deassigned`, on this GSI. Whoever signals so must have stopped
 * when the call returns. One that has begun by then, but not come to its first look at the irqfd (its thread lost the
 * processor there), posts nothing and is counted so, too, until this irqfd's memory is used again: not before 16
 * others of the VM have been deassigned after it and another is assigned; where there is no memory for a new one, when
 * another is assigned. From then on it is a signal of that other one's: an interrupt of its GSI that nobody raised,
 * counted there. It harms no memory while the VM is there. Who cannot stop his signallers has them signal what
 * outlives the irqfd: a trigger (trigger.h), a mailbox, or the eventfd.
 *
 * Waits for signals and the pump's callbacks under way only, never for a loop: legal while others dispatch
 * the pump, and on the thread that does so between its calls.
 * -EDEADLK, and nothing is done: from a kick, wake or pump callback (a mailbox's `dead`, a pirq's unmask by the
 * watchdog), which is what vmirq_pump_dispatch() calls, or from a bypass producer's (bypass.h) whose consumer this
 * irqfd is. From another of those what vmirq_consumer_unregister() says of callbacks holds; and
 * where another thread is unbinding it already, which is waited for elsewhere, it is -EDEADLK. NULL is 0.
 * -EBUSY, and nothing is done: it is an MSI-X vector's (vmirq_msix_irqfd()), which goes with its device.
 * Thread safety: any thread, beside everything. May also block on a change of the same GSI. System calls: futex and
 * those of malloc; with an eventfd epoll_ctl or KVM_IRQFD, preadv2 and close.
 */
VMIRQ_API int vmirq_irqfd_deassign(struct vmirq_irqfd *irqfd);

/**
 * KVM_IRQFD in the kernel's own words (KVM API 4.75): assign, or with KVM_IRQFD_FLAG_DEASSIGN
 * deassign what matches eventfd *and* GSI; finding nothing is success, once what was being unbound from this
 * GSI when the call began is unbound: it may have been that. From a bypass producer's callback that is not
 * waited for, but -EDEADLK.
 * -EINVAL: unknown flags (before the descriptors are looked at). The rest, threads and blocking too, as above.
 */
VMIRQ_API int vmirq_irqfd(struct vmirq_vm *vm, const struct kvm_irqfd *args);

/**
 * Raise, from this process, without the eventfd. Returns what became of it.
 * Any number of threads at once; lock-free; async-signal-safe. On an MSI route a system call only to wake
 * a parked vCPU (futex) or to kick one in the guest (KVM, SPLIT: KVM_SIGNAL_MSI; without that capability it takes a
 * lock and is not for signal handlers). A route to a chip's pin wants that chip's lock: the signal
 * is queued for the VM's pump, once however often it is repeated meanwhile, and the result is VMIRQ_HELD, or
 * `coalesced` where it was queued already; a system call only to wake the pump. vmirq_vm_save(), vmirq_vm_load(),
 * vmirq_vm_reset() and deassign raise what is queued before they do anything else. Likewise where it is that of a
 * masked MSI-X vector (msix.h), with no system call. On KVM one with VMIRQ_IRQFD_RESAMPLE on a pin is written to
 * its eventfd (VMIRQ_HELD): write, and futex. A thread's first makes gettid, and at times more: see
 * vmirq_thread_prepare() (vm.h).
 */
VMIRQ_API enum vmirq_verdict vmirq_irqfd_signal(struct vmirq_irqfd *irqfd);

/** The GSI it is bound to; UINT32_MAX for that of an MSI-X vector which has not been open yet. Any thread; may
 *  block for a list's lock. */
VMIRQ_API uint32_t vmirq_irqfd_gsi(const struct vmirq_irqfd *irqfd);

/**
 * THE PUMP reads eventfds and raises their irqfds. It is one pollable descriptor for the VMM's own
 * loop, or, with vmirq_pump_start(), a thread.
 */

/** Create a pump. -EINVAL: out is NULL; -EMFILE, -ENOMEM. Any thread; blocks on nothing. System calls: epoll_create1,
 *  eventfd, epoll_ctl. */
VMIRQ_API int vmirq_pump_create(struct vmirq_pump **out);

/** Destroy it; stops its thread, as vmirq_pump_stop(). -EBUSY while irqfds, mailboxes, pirqs or a VM's timers use it.
 *  No other call runs on it. NULL is 0. */
VMIRQ_API int vmirq_pump_destroy(struct vmirq_pump *pump);

/** Readable (POLLIN) when dispatch has work. The pump's own: do not close or add to it. Any thread;
 *  wait-free. */
VMIRQ_API int vmirq_pump_fd(const struct vmirq_pump *pump);

/**
 * Raise whatever is signalled. timeout_ms: how long to wait for the first, 0 = do not, negative = no
 * end. Returns how many eventfds were read, or -EINTR. At most 64 in a call, so that a storm does not
 * hold the caller's loop. Any thread; several may dispatch one pump at once. Blocks for timeout_ms and, to raise what
 * goes to a chip's pin, on that chip's and the GSI's locks.
 * System calls: epoll_wait, preadv2, futex, and what raising makes (wake, kick, KVM_SIGNAL_MSI, KVM_IRQ_LINE_STATUS).
 */
VMIRQ_API int vmirq_pump_dispatch(struct vmirq_pump *pump, int timeout_ms);

/** Run dispatch in a thread of its own, all signals blocked. -EALREADY: it has one; -EAGAIN: no more threads. Any
 *  thread; may block on an irqfd that joins or leaves the pump. */
VMIRQ_API int vmirq_pump_start(struct vmirq_pump *pump);

/** End that thread and wait for it: until it has raised what it is at. -EINVAL: there is none. -EDEADLK: from that
 *  thread. Any other thread; system calls: write, preadv2, futex. */
VMIRQ_API int vmirq_pump_stop(struct vmirq_pump *pump);

#ifdef __cplusplus
#pragma GCC diagnostic pop
}
#endif
#endif
