/* SPDX-License-Identifier: MIT */
/**
 * @file trigger.h
 * A ready-made producer (bypass.h): what a device back end in this process holds in place of an eventfd that it
 * would write to. While an irqfd of the same eventfd is bound, a signal goes to that irqfd without a system
 * call; otherwise it is written to the eventfd, for whoever reads it. The device need not know which.
 *
 *	irqfd bound, route is one vector on one vCPU	posted on the spot	VMIRQ_PATH_BYPASS
 *	irqfd bound, any other route, or masked		by vmirq_irqfd_signal()	VMIRQ_PATH_IRQFD
 *	none bound, or one that the kernel reads	written to the eventfd	VMIRQ_PATH_EVENTFD
 *
 * Where the irqchip is the kernel's (KVM, SPLIT) it reads an irqfd whose route it delivers: then the write is its
 * shortest way. Those that a pump reads there (a vector that is masked, a pin on SPLIT, a kernel without
 * KVM_CAP_IRQFD or without a GSI left) go by vmirq_irqfd_signal(); nothing is posted here, so none goes by
 * VMIRQ_PATH_BYPASS.
 *
 * Each signal goes one way, once, also while the way changes: none is lost, none doubled. The ways are
 * re-considered at each signal, so they change by themselves, with the route, the guest's local APICs, a mask,
 * and the irqfd's coming and going.
 */
#ifndef VMIRQ_TRIGGER_H
#define VMIRQ_TRIGGER_H

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

struct vmirq_bypass;
struct vmirq_trigger;

/** The ways a signal may go; see above. */
enum vmirq_path { VMIRQ_PATH_EVENTFD = 0, VMIRQ_PATH_IRQFD, VMIRQ_PATH_BYPASS, VMIRQ_PATHS };

/** "eventfd", "irqfd", "bypass", or NULL for a value that is none. Any thread; wait-free. */
VMIRQ_API const char *vmirq_path_name(enum vmirq_path path);

/** What vmirq_trigger_create() wants to know. */
struct vmirq_trigger_config {
	/** sizeof(struct vmirq_trigger_config). An unknown non-zero tail is -E2BIG. */
	size_t size;
	/** Where the irqfd is a consumer: vmirq_vm_bypass(), or one that is shared. Outlives the trigger. */
	struct vmirq_bypass *bypass;
	/** The eventfd. The trigger keeps a duplicate: closing the caller's copy is harmless. */
	int eventfd;
	/** 0. */
	uint32_t unused;
	/** As vmirq_irqfd_config.token, and the same as the irqfd's; 0: ask the kernel. */
	uint64_t token;
};

/**
 * Create one, and connect it if its irqfd is bound already.
 * -EINVAL: NULL, size, token above 2^63-1, no eventfd; -EBADF; -EBUSY: this eventfd has a producer in this
 * manager; -ENOSYS: there is no /proc to tell an eventfd by, and no token; -E2BIG; -EMFILE; -ENOMEM.
 * Thread safety: any thread. Progress: as vmirq_producer_register(): it may block for the time of a look-up in the
 * manager, and the irqfd's side of the connecting is done here. System calls: fcntl, openat, read and close, and those
 * of registering.
 */
VMIRQ_API int vmirq_trigger_create(const struct vmirq_trigger_config *config,
				   struct vmirq_trigger **out);

/** Disconnect and destroy it. No thread is in vmirq_trigger_signal() for it, or begins one. -EDEADLK: from a
 *  callback of its pair. NULL is 0. Any thread. Blocks as vmirq_producer_unregister(), and until signals under way
 *  have ended (microseconds). System calls: futex, close. */
VMIRQ_API int vmirq_trigger_destroy(struct vmirq_trigger *trigger);

/**
 * Raise. Returns what became of it, as vmirq_irqfd_signal(); VMIRQ_HELD where it was written to the eventfd, and
 * VMIRQ_COALESCED where that is full, so that it is readable anyway.
 * Thread safety: any number of threads at once, beside everything but destroy. Lock-free, async-signal-safe. A
 * system call (write) on the way of the eventfd only, which blocks where somebody has filled it and cleared its
 * O_NONBLOCK, until somebody reads it: it is no cancellation point. Otherwise as vmirq_irqfd_signal().
 */
VMIRQ_API enum vmirq_verdict vmirq_trigger_signal(struct vmirq_trigger *trigger);

/** How its signals went. Set `size` before the call. */
struct vmirq_trigger_counts {
	size_t size;
	/** Signals, by the way they went; their sum is how often it was signalled. */
	uint64_t path[VMIRQ_PATHS];
	/** How often a signal went this way and the one before it another. The first is none. */
	uint64_t switched_to[VMIRQ_PATHS];
};

/** -EINVAL: NULL, or a size this library does not know. Wait-free, any thread; beside signals each count is
 *  right for some moment during the call. */
VMIRQ_API int vmirq_trigger_counts(const struct vmirq_trigger *trigger,
				   struct vmirq_trigger_counts *out);

#ifdef __cplusplus
#pragma GCC diagnostic pop
}
#endif
#endif
