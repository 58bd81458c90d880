/* SPDX-License-Identifier: MIT */
/**
 * @file mailbox.h
 * Mailboxes: interrupts of a device in another process, which is not trusted. The VMM's side; the device's,
 * and the layout of what the two share, is in mailbox_client.h.
 *
 * A mailbox is a sealed memfd with a bit per interrupt, and an eventfd as a doorbell. The device has both. What
 * a bit leads to is known to the VMM only: it binds each to a GSI. A device can raise the interrupts of its own
 * mailbox, whatever it writes; it cannot do anything else, nor make the VMM wait, nor take more of its time
 * than the rate allows and, in each turn of the pump, than its own bits cost.
 *
 * Who looks. The VM's pump, when the doorbell has been rung. A thread that polls (a pump that spins, or a vCPU's
 * thread while it is not in the guest) calls vmirq_mailbox_start_looking(), then vmirq_mailbox_poll() as often
 * as it likes, and vmirq_mailbox_stop_looking() before it enters the guest or sleeps. While anybody looks,
 * raising costs the device no system call; else one write for all that it raises until the VMM has looked.
 *
 * A bit that is set once more before it was taken is one with the first. A bit that nobody is bound to, and one
 * over the rate, is held, and comes when it is bound or when the rate allows; none is lost.
 *
 * A bit that nobody has looked at yet has not been raised: neither a vector's pending bit (msix.h) nor a saved state
 * shows it. Who saves a VM has the device stop, and then calls vmirq_mailbox_poll().
 *
 * Thread safety: every call but destroy from any thread, beside all others. Progress: memfd, doorbell, deadline and
 * counts are wait-free, without a system call. Every other call may block for a moment on another of the same mailbox,
 * unless it says otherwise; those that are -EDEADLK from a callback also wait for signals under way.
 */
#ifndef VMIRQ_MAILBOX_H
#define VMIRQ_MAILBOX_H

#include <stddef.h>
#include <stdint.h>
#include <vmirq/mailbox_client.h>
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
struct vmirq_mailbox;

/** What vmirq_mailbox_create() wants to know. */
struct vmirq_mailbox_config {
	/** sizeof(struct vmirq_mailbox_config). An unknown non-zero tail is -E2BIG. */
	size_t size;
	/** Interrupts, 1..VMIRQ_MAILBOX_MAX. */
	uint32_t count;
	/** Signals a second that the device may raise; 0 = no limit. A ring of the doorbell with nothing to
	 *  raise counts as one. Over it the doorbell is not listened to until a timer. */
	uint32_t rate;
	/** Signals that it may raise at once, after a pause; 0 = `count`. Only with a rate. */
	uint32_t burst;
	/** 0. */
	uint32_t flags;
	/** Who listens to the doorbell; NULL = the VM's own pump. Must outlive the mailbox. */
	struct vmirq_pump *pump;
};

/** What became of a mailbox's bits. At any quiet moment raised = signalled + coalesced + dropped + held;
 *  and what the device counted (vmirq_mailbox_client_raise() said 1) = raised + bits still in the page. */
struct vmirq_mailbox_counts {
	/** Set by the caller. */
	size_t size;
	/** Bits taken from the page. */
	uint64_t raised;
	/** Passed on: `raised` of the GSI's counters. */
	uint64_t signalled;
	/** Of them, taken while the same interrupt was held, with which they became one. (What is raised twice
	 *  before it is taken is one bit, and in no count here; the device is told 0.) */
	uint64_t coalesced;
	/** Thrown away by vmirq_mailbox_reset(). */
	uint64_t dropped;
	/** Interrupts, each once, that are taken and not passed on at the moment: bound to nothing, or the device
	 *  is over its rate. */
	uint64_t held;
	/** Times that the doorbell was found rung. */
	uint64_t doorbells;
	/** Times that the device went over its rate, each until a timer let it go on; however much it raised meanwhile. */
	uint64_t throttles;
	/** Is it now? */
	uint32_t throttled;
	/** The device's socket has been closed (vmirq_mailbox_watch()). */
	uint32_t dead;
};

/**
 * Create one. It is to be destroyed before its VM: until then vmirq_vm_destroy() is -EBUSY.
 * -EINVAL: size, count, flags, or a burst without a rate; -E2BIG; -EMFILE; -ENOMEM; or what memfd_create(),
 * fcntl() (F_ADD_SEALS) and epoll_ctl() say.
 * The rate goes by the VM's clock. With a clock of the caller's own: see vmirq_mailbox_deadline(). Blocks on an irqfd
 * that joins or leaves the pump only. System calls: memfd_create, ftruncate, fcntl, mmap, eventfd, epoll_ctl; with a
 * rate timerfd_create.
 */
VMIRQ_API int vmirq_mailbox_create(struct vmirq_vm *vm, const struct vmirq_mailbox_config *config,
				   struct vmirq_mailbox **out);

/**
 * Pass on what was raised before the call and is bound, so far as the rate allows, unbind everything, and free.
 * The device's page stays as long as the device has it; nobody looks at it. No other call may run on this mailbox.
 * -EDEADLK: from a callback of the library. NULL is 0. Any thread; blocks until signals and the pump's callbacks under
 * way have ended.
 */
VMIRQ_API int vmirq_mailbox_destroy(struct vmirq_mailbox *mailbox);

/** For the device: pass it on, or vmirq_mailbox_send(). The mailbox's own, do not close. */
VMIRQ_API int vmirq_mailbox_memfd(const struct vmirq_mailbox *mailbox);
VMIRQ_API int vmirq_mailbox_doorbell(const struct vmirq_mailbox *mailbox);

/**
 * Send both over a connected Unix socket (SCM_RIGHTS) for vmirq_mailbox_client_receive(). Never blocks and raises
 * no SIGPIPE: -EAGAIN where the socket is full, or whatever sendmsg() says.
 */
VMIRQ_API int vmirq_mailbox_send(const struct vmirq_mailbox *mailbox, int socket);

/**
 * Bind interrupt i to a GSI, by an in-process irqfd of its own; what is held of it is passed on. The GSI
 * need not have a route yet.
 * -EINVAL: no interrupt i, or GSI past the VM's limit; -EBUSY: it is bound; -EDEADLK: from a callback of
 * the library; -ENOMEM. Any thread, beside everything. May block on other binds.
 */
VMIRQ_API int vmirq_mailbox_bind(struct vmirq_mailbox *mailbox, uint32_t i, uint32_t gsi);

/** The same to an irqfd of the caller's, of the same VM, which must not be deassigned before unbind.
 *  -EINVAL also: of another VM. */
VMIRQ_API int vmirq_mailbox_bind_irqfd(struct vmirq_mailbox *mailbox, uint32_t i,
				       struct vmirq_irqfd *irqfd);

/**
 * Unbind interrupt i. What was raised before the call is passed on, so far as the rate allows; once it has
 * returned nothing more is, and what the device raises is held for whoever is bound next.
 * -ENOENT: it is not bound; -EINVAL; -EDEADLK. Waits for signals under way only.
 */
VMIRQ_API int vmirq_mailbox_unbind(struct vmirq_mailbox *mailbox, uint32_t i);

/**
 * Look once, and pass on what is there; how many were. Any number of threads at once, lock-free where there is no
 * rate. Costs a load per 64 interrupts when there is nothing. System calls: those of vmirq_irqfd_signal();
 * epoll_ctl and timerfd_settime when the device goes over its rate.
 */
VMIRQ_API int vmirq_mailbox_poll(struct vmirq_mailbox *mailbox);

/** From now on somebody polls. May be called by several; each stops. Waits for others that do so now. */
VMIRQ_API void vmirq_mailbox_start_looking(struct vmirq_mailbox *mailbox);

/** The caller polls no longer. The last one looks once more; how many were passed on. -EINVAL: nobody does.
 *  System calls: those of vmirq_mailbox_poll(). */
VMIRQ_API int vmirq_mailbox_stop_looking(struct vmirq_mailbox *mailbox);

/**
 * Watch the device's connected Unix socket (stream or seqpacket; duplicated; -1 = none any more) by the pump.
 * When the device has closed it, or has died, what it raised is passed on, and `dead` (may be NULL) is called
 * once, on a thread that dispatches the pump; it must not wait, bind, unbind, watch or destroy, nor
 * on KVM and SPLIT assign an irqfd or change a route (-EDEADLK, all of them).
 * A device that has passed its socket on to other processes lives as long as they.
 * The duplicate is kept until another takes its place or the mailbox goes: the VMM's own close() does not hang up
 * on the device. shutdown() does, or close() after watching -1.
 * Watching another takes the place of the last, and clears `dead` in the counts: a new device on the same page.
 * A device that must not see, nor disturb, the next one's page is followed by a new mailbox.
 * -EBADF, -EMFILE, -ENOMEM, -ENOSPC; -EINVAL: not a socket; -EDEADLK: from a callback of the library.
 */
VMIRQ_API int vmirq_mailbox_watch(struct vmirq_mailbox *mailbox, int socket,
				  void (*dead)(void *opaque), void *opaque);

/** Throw away what is raised and not passed on, as for a device that is reset. Any thread, lock-free, no
 *  system call. */
VMIRQ_API void vmirq_mailbox_reset(struct vmirq_mailbox *mailbox);

/** While the device is over its rate: the VM's time when vmirq_mailbox_poll() will go on; else UINT64_MAX. On
 *  CLOCK_MONOTONIC the pump does it; with a clock of the caller's own, the caller. */
VMIRQ_API uint64_t vmirq_mailbox_deadline(const struct vmirq_mailbox *mailbox);

/** Read the counters; set `size` before. -EINVAL: a size this library does not know. As in observe.h. */
VMIRQ_API int vmirq_mailbox_counts(const struct vmirq_mailbox *mailbox,
				   struct vmirq_mailbox_counts *out);

#ifdef __cplusplus
#pragma GCC diagnostic pop
}
#endif
#endif
