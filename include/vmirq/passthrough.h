/* SPDX-License-Identifier: MIT */
/**
 * @file passthrough.h
 * Passthrough of host interrupts: a pirq is one interrupt of the host's (of a VFIO device, a host timer, a device
 * model's line), which becomes an interrupt of a guest's.
 *
 *	raised (eventfd, or by call) -> queued in its worker, once -> the worker delivers it
 *	guest MSI	a message; nothing to wait for
 *	INTx		the line of each of its GSIs is asserted. The host's source stays masked until the guest has
 *			ended the interrupt (EOI) on all of them; then `unmask` is called, once
 *
 * A pirq is an object of its own. It is bound to a VM, unbound, and bound again, to the same VM or another; it
 * outlives VMs. A worker serves the pirqs of any number of VMs in the order in which they were raised: one that
 * storms is queued once and waits its turn behind all others.
 *
 * Who masks. The library masks nothing: a level source masks itself when it raises (VFIO does so for INTx), and is
 * left so by unbind, and by a guest that does not end the interrupt. `unmask` is its host-side EOI.
 *
 * Thread safety: every call from any thread, beside everything, but for what a call says about destroy; binds and
 * unbinds of one pirq wait for one another. Progress: vmirq_pirq_raise() waits for nobody; the rest may block on
 * the chips' locks, and bind, unbind, retarget and destroy on a grace period and on an unmask under way. -EDEADLK is
 * told by those that may wait when called from a callback of the library (unmask, kick, wake, a pump's, and those of a
 * bypass producer with this pirq's eventfd).
 */
#ifndef VMIRQ_PASSTHROUGH_H
#define VMIRQ_PASSTHROUGH_H

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
struct vmirq_pump;
struct vmirq_pirq;
struct vmirq_worker;

/**
 * WORKERS deliver what pirqs were raised, and what irqfds were signalled by call that go to pins, where they are given
 * one (vmirq_irqfd_config.worker): all that is said of pirqs here is said of those, too. One may be a thread of the
 * library's, or be served by the VMM's own loop, or both.
 */

/** What vmirq_worker_create() wants to know. */
struct vmirq_worker_config {
	/** sizeof(struct vmirq_worker_config). An unknown non-zero tail is -E2BIG. */
	size_t size;
	/** 0. */
	uint32_t flags;
	/** 0. */
	uint32_t unused;
};

/** Create one that nobody serves yet. -EINVAL: NULL, size, flags; -E2BIG; -EMFILE; -ENOMEM. */
VMIRQ_API int vmirq_worker_create(const struct vmirq_worker_config *config,
				  struct vmirq_worker **out);

/**
 * Destroy it; ends its thread. Its pirqs go to the heir, those that are queued behind what is queued there:
 * nothing is lost, and pirqs may be raised, run by the heir, and unbound meanwhile. No pirq is bound to this worker,
 * nor the heir destroyed, meanwhile. `heir` may be NULL where no pirq is bound to this worker.
 * -EBUSY, and nothing has changed: there are pirqs and no heir, or a thread of the caller's is in
 * vmirq_worker_run(). -EINVAL: it is its own heir. -EDEADLK: also from its own thread. NULL is 0.
 */
VMIRQ_API int vmirq_worker_destroy(struct vmirq_worker *worker, struct vmirq_worker *heir);

/**
 * Serve it by a thread of its own, with all signals blocked, on CPU `cpu` only, or with -1 wherever the scheduler
 * puts it. -EALREADY: it has one. -EINVAL: no such CPU, or none that this process may use. -EAGAIN: no more threads.
 */
VMIRQ_API int vmirq_worker_start(struct vmirq_worker *worker, int cpu);

/** End that thread and wait for it; what is queued stays queued. -EINVAL: there is none. -EDEADLK. */
VMIRQ_API int vmirq_worker_stop(struct vmirq_worker *worker);

/** For the VMM's own loop: readable (POLLIN) when vmirq_worker_run() has work. The worker's own: do not close. */
VMIRQ_API int vmirq_worker_fd(const struct vmirq_worker *worker);

/**
 * Serve what is queued, oldest first, at most `max` pirqs (0 = 64); how many were. Where there is more, the
 * descriptor stays readable. Several threads may serve one worker; a pirq is delivered by one at a time.
 * Never waits for work. System calls: preadv2 and write on its descriptor, futex, and what delivering makes.
 * -EINVAL: NULL.
 */
VMIRQ_API int vmirq_worker_run(struct vmirq_worker *worker, uint32_t max);

/** A worker's counters. */
struct vmirq_worker_counts {
	/** Set by the caller. */
	size_t size;
	/** Times that a pirq was served, each for all that it was raised meanwhile; and times that it unmasked what the
	 *  watchdog has ended. */
	uint64_t runs;
	/** System calls that raisers made to wake it: one where it sleeps, none while it is awake. */
	uint64_t wakes;
};

/** -EINVAL: NULL, or a size this library does not know. */
VMIRQ_API int vmirq_worker_counts(const struct vmirq_worker *worker,
				  struct vmirq_worker_counts *out);

/**
 * PIRQS
 */

/** The host's side of a pirq: what vmirq_pirq_create() wants to know. */
struct vmirq_pirq_config {
	/** sizeof(struct vmirq_pirq_config). An unknown non-zero tail is -E2BIG. */
	size_t size;
	/** An eventfd that raises it (VFIO's trigger), or -1 for a pirq that is raised by vmirq_pirq_raise() only.
	 *  Duplicated. Read while the pirq is bound; what is written while it is not is found by the next bind. */
	int eventfd;
	/** 0. */
	uint32_t flags;
	/** What tells this eventfd from others, as vmirq_irqfd_config.token; 0 = ask /proc/self/fdinfo. */
	uint64_t token;
	/** Who reads the eventfd; NULL = the pump of the VM that it is bound to. Must outlive the pirq. */
	struct vmirq_pump *pump;
	/**
	 * The host's EOI: the source may raise again. Called once for each interrupt that has ended:
	 * - by the vCPU's thread, when the guest has ended it on all GSIs (INTx, identity);
	 * - by the worker, as soon as it is delivered where there is no EOI to wait for (guest MSI, MSI translated to
	 *   INTx, identity without EOI); or by who retargets it, for what was queued;
	 * - by who ends it in the guest's stead: in vmirq_pirq_eoi(), vmirq_vm_reset(), vmirq_vm_load(), and where the
	 *   watchdog goes by a clock of the caller's, vmirq_pirq_expire();
	 * - by the worker, where it was the watchdog on the VM's pump that ended it;
	 * - by unbind, where that comes between the end and one of these.
	 * It may raise this and other pirqs, write to an eventfd (VFIO_DEVICE_SET_IRQS with
	 * VFIO_IRQ_SET_ACTION_UNMASK is fit too), and set lines; bind, unbind, retarget and destroy are -EDEADLK in
	 * it. The library holds no lock meanwhile (in unbind only the pirq's own, which bind, unbind, retarget and destroy
	 * take), and quiesce does not wait for it: so it may also take a lock of the VMM's that other threads hold
	 * while they make calls. Not around those that call unmask or wait for one under way: the ones above, bind,
	 * unbind, retarget and destroy of this VM's pirqs, vmirq_vm_destroy(), serving, stopping and destroying the
	 * worker, and a vCPU's EOI. Its caller does not get on before it returns.
	 * Not called for what the guest has not ended at unbind, nor once unbind has returned.
	 * With it the source is taken to be masked until then: what is raised while the lines are up (INTx,
	 * identity) is `coalesced` with them, and not delivered again at the EOI. So it must be a level, which
	 * raises again if it is still up when it is unmasked, or raise again by itself at `unmask` or after.
	 * May be NULL: nobody masks; what is raised while the guest has not ended the last is delivered at its
	 * EOI. (For what is raised just then it may be interrupted twice, as a handler of levels bears; never not
	 * at all, unless it changes the RTE's trigger mode within its handler.)
	 */
	void (*unmask)(void *opaque);
	void *opaque;
	/** Storm limit: deliveries a second; 0 = none. Over it what is raised is held, and `coalesced` with what
	 *  is held already, until the rate allows; raising it then wakes no worker. */
	uint32_t rate;
	/** How many may be delivered at once after a pause; 0 = 1. Only with a rate. */
	uint32_t burst;
	/** A guest that has not ended the interrupt so many ns after it was asserted is taken to have: the lines
	 *  are lowered and `unmask` is called, which on the VM's pump is left to the worker. 0 = wait for ever. By the
	 *  VM's clock: see vmirq_pirq_deadline(). */
	uint64_t watchdog_ns;
};

/** What a pirq becomes in the guest. */
enum vmirq_pirq_type {
	/** A message. */
	VMIRQ_PIRQ_MSI = 0,
	/** The lines of one or several GSIs, held until the guest ends the interrupt on each. */
	VMIRQ_PIRQ_INTX,
	/** The same, of a source that sends messages: `unmask` is called as soon as the lines are asserted. What
	 *  is raised before the guest's EOI is delivered then, once. */
	VMIRQ_PIRQ_MSI_TO_INTX,
	/** The guest's GSI that has the host's number: as INTX, one GSI. Also without EOI: see VMIRQ_PIRQ_NO_EOI. */
	VMIRQ_PIRQ_IDENTITY,
};

/** With VMIRQ_PIRQ_IDENTITY: an edge; the guest's EOI is not waited for. */
#define VMIRQ_PIRQ_NO_EOI (1u << 0)
/** With VMIRQ_PIRQ_MSI: always by the worker, see vmirq_pirq_bind(). */
#define VMIRQ_PIRQ_NO_FAST_PATH (1u << 1)

/** Most GSIs of one pirq. */
#define VMIRQ_PIRQ_GSIS 8u

/** The guest's side: what vmirq_pirq_bind() wants to know. */
struct vmirq_pirq_binding {
	/** sizeof(struct vmirq_pirq_binding). An unknown non-zero tail is -E2BIG. */
	size_t size;
	struct vmirq_vm *vm;
	/** Who delivers it. May be NULL where the fast path is taken. */
	struct vmirq_worker *worker;
	/** enum vmirq_pirq_type. */
	uint32_t type;
	/** VMIRQ_PIRQ_NO_*. */
	uint32_t flags;
	/** VMIRQ_PIRQ_MSI: the message. It takes a GSI, which is the pirq's alone until unbind (route.h). */
	uint64_t address;
	uint32_t data;
	/** The others: how many GSIs, 1..VMIRQ_PIRQ_GSIS (identity: 1), and which. Copied. Any number of pirqs may
	 *  have a GSI in common: its line is up while one of them is pending, and the guest's EOI ends all. A
	 *  GSI without a route holds its line until it gets one; on a GSI that is routed to a message the pirq is
	 *  an edge, and there is no EOI to wait for. One that is pending when its GSI is routed to a message stays so
	 *  until it is raised again or ended by vmirq_pirq_eoi(), which is the VMM's to call where its source is masked.
	 *  A pin that the guest has made take edges shows none while another GSI of that pin, or a source of the VMM's, holds
	 *  it up: what is raised then is pending until that is ended, by vmirq_pirq_eoi() or the watchdog. */
	uint32_t n_gsis;
	const uint32_t *gsis;
};

/**
 * Create a pirq, bound to nothing.
 * -EINVAL: NULL, size, flags, token, a burst without a rate, or not an eventfd; -EBADF: not a descriptor;
 * -ENOSYS: no /proc and no token; -E2BIG; -EMFILE; -ENOMEM.
 */
VMIRQ_API int vmirq_pirq_create(const struct vmirq_pirq_config *config, struct vmirq_pirq **out);

/** Unbind it and free it. No other call runs on this pirq or begins. -EDEADLK. NULL is 0. */
VMIRQ_API int vmirq_pirq_destroy(struct vmirq_pirq *pirq);

/**
 * Bind. Waits for an unbind that another thread is in. An interrupt that comes at once finds the guest.
 *
 * THE FAST PATH: a guest MSI, with neither unmask nor a rate, is not queued: raising it posts it, as
 * vmirq_irqfd_signal() does, and its eventfd is read as an irqfd's is: by the kernel on KVM and SPLIT.
 * (Not where the kernel lacks KVM_SIGNAL_MSI.) VMIRQ_PIRQ_NO_FAST_PATH has it queued.
 *
 * A pirq that is bound to a guest MSI may be bound to another of the same VM, with the same flags: that is
 * vmirq_pirq_retarget().
 *
 * -EINVAL: size, flags, no VM, a GSI past the VM's limit or twice, n_gsis, a message with a vector below 16 or that
 * is none (address outside 0xfee00000..0xfeefffff, reserved delivery mode), no worker where one is needed.
 * -EBUSY: it is bound, and not as said above; or its eventfd is bound elsewhere in this process.
 * -EOPNOTSUPP: unknown type; or on KVM one that waits for an EOI, of which the kernel tells nobody: there VFIO's
 * trigger and unmask eventfds are a RESAMPLE irqfd's (irqfd.h). -EDEADLK; -ENOSPC; -E2BIG; -EMFILE; -ENOMEM.
 */
VMIRQ_API int vmirq_pirq_bind(struct vmirq_pirq *pirq, const struct vmirq_pirq_binding *binding);

/**
 * Unbind. What is queued is thrown away (`deassigned`), its lines are lowered, and the host's source is left as it
 * is: masked, if it was. Once it has returned nothing of it runs and nothing more is posted. (An eventfd on
 * the fast path: as vmirq_irqfd_deassign(), what was written before the call is delivered.) May be bound again at
 * once. vmirq_vm_destroy() unbinds all pirqs of its VM, also beside this and vmirq_pirq_destroy().
 * Waits for an `unmask` under way, and calls it for what the watchdog has ended and the worker has not come to.
 * -ENOENT: it is not bound. -EDEADLK. -EINVAL: NULL.
 */
VMIRQ_API int vmirq_pirq_unbind(struct vmirq_pirq *pirq);

/**
 * The guest has changed its message. EOIs first: what was raised before the call is delivered by the old
 * message (unless the rate holds it), and `unmask` has been called for it, here or by the worker; then the new one
 * counts. At once, also where the thread has a transaction of routes open. Beside an unbind it is before or after it.
 * -EINVAL: no such message; -ENOENT: it is not bound; -EBUSY: it is no guest MSI. -EDEADLK. KVM, SPLIT:
 * KVM_SET_GSI_ROUTING's error, and the old message stays.
 */
VMIRQ_API int vmirq_pirq_retarget(struct vmirq_pirq *pirq, uint64_t address, uint32_t data);

/**
 * Raise it; not NULL. VMIRQ_HELD: queued; VMIRQ_COALESCED: it was already; VMIRQ_NO_ROUTE: bound to nothing; on
 * the fast path what became of it. (Raised by several threads at once, who of them is told `held` and who
 * `coalesced` may differ from the order in which they are counted; their number does not.)
 * Any number of threads at once; lock-free, never waits; async-signal-safe. Two locked operations where it is
 * queued already, three where it is not; a write() only where the worker sleeps. Fast path: one more than
 * vmirq_irqfd_signal(), and its system calls.
 */
VMIRQ_API enum vmirq_verdict vmirq_pirq_raise(struct vmirq_pirq *pirq);

/**
 * End it in the guest's stead, as the watchdog does: lower its lines, and call `unmask` if it was pending. (What was
 * raised meanwhile, where nobody masks, is asserted then, as at the guest's EOI: it is pending again.) 1
 * if it was, else 0. For EOIs that reach the VMM by another way (a hypercall). Not for signal handlers.
 * -EINVAL: NULL.
 */
VMIRQ_API int vmirq_pirq_eoi(struct vmirq_pirq *pirq);

/**
 * With a clock of the caller's own (vm.h): the VM's time at which vmirq_pirq_expire() has something to do, for
 * a storm limit or a watchdog, or UINT64_MAX (as of NULL); and do it. On CLOCK_MONOTONIC the VM's pump does. Expire may
 * call `unmask`.
 */
VMIRQ_API uint64_t vmirq_pirq_deadline(struct vmirq_vm *vm);
VMIRQ_API void vmirq_pirq_expire(struct vmirq_vm *vm);

/**
 * What became of a pirq's raises, over all its bindings. At any quiet moment raised = sum(verdict) + held.
 * vmirq_vm_reset() lowers the lines of all its pirqs and calls `unmask` for those that were pending: nobody
 * is left who would end them. What is queued, or held for the rate, stays so, and comes to the guest that is there
 * then. vmirq_vm_load() does the same, but the lines are the blob's then; and vmirq_vm_save() has nothing of what is
 * queued.
 */
struct vmirq_pirq_counts {
	/** Set by the caller. */
	size_t size;
	uint64_t raised;
	/** 1: queued, or over the rate. */
	uint64_t held;
	/** `coalesced`: raised while it was queued, or while its lines were up. `deassigned`: queued at unbind.
	 *  `no_route` also: raised by call while bound to nothing. */
	uint64_t verdict[VMIRQ_VERDICTS];
	/** Delivered by a worker. */
	uint64_t runs;
	/** Times `unmask` was called. */
	uint64_t unmasks;
	/** Lines asserted again at the guest's EOI, for what was raised before it. */
	uint64_t reasserted;
	/** Times it went over its rate. */
	uint64_t storms;
	/** Times that the guest did not end it within watchdog_ns. */
	uint64_t watchdogs;
	/** GSIs on which the guest has not ended it. */
	uint32_t pending;
	/** Is it bound? */
	uint32_t bound;
	/** Is it over its rate? */
	uint32_t throttled;
	/** 1: the kernel reads its eventfd (fast path on KVM, SPLIT); what is written to it is in no count. */
	uint32_t unobserved;
};

/** -EINVAL: NULL, or a size this library does not know. Waits for nobody's unmask, nor for an unbind. -EDEADLK. */
VMIRQ_API int vmirq_pirq_counts(struct vmirq_pirq *pirq, struct vmirq_pirq_counts *out);

#ifdef __cplusplus
#pragma GCC diagnostic pop
}
#endif
#endif
