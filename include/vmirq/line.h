/* SPDX-License-Identifier: MIT */
/**
 * @file line.h
 * Interrupt lines: a GSI that is held high by its sources, and who is told when the guest is done.
 *
 * A GSI's line is the OR of its sources. A source is a small number, 0..60; 0 is everybody's, others
 * are handed out by vmirq_line_source_alloc(). Each keeps its own level.
 *
 * Thread safety: every call from any thread, beside everything. Progress: may block on the lock of the
 * chip or of a GSI nearby; no system call but to wake or kick. Not async-signal-safe.
 */
#ifndef VMIRQ_LINE_H
#define VMIRQ_LINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <vmirq/version.h>

#ifdef __cplusplus
extern "C" {
#endif

struct vmirq_vm;
struct vmirq_notifier;

/**
 * Set one source's level on a GSI (KVM_IRQ_LINE_STATUS). Returns the kernel's number: negative = no
 * target took it, 0 = coalesced, positive = how many local APICs did; summed over the GSI's targets.
 * An MSI route sends its message at each assertion. VMIRQ_LINE_NOBODY (-1) is not an errno.
 *
 * Errors are given by *error where it is not NULL: 0 or -EINVAL (GSI or source out of range); then the
 * number is VMIRQ_LINE_NOBODY.
 */
VMIRQ_API int vmirq_line_set(struct vmirq_vm *vm, uint32_t gsi, uint32_t source, bool level,
			     int *error);
#define VMIRQ_LINE_NOBODY (-1)

/** Assert and de-assert: what an edge is. Returns what the assertion came to. */
VMIRQ_API int vmirq_line_pulse(struct vmirq_vm *vm, uint32_t gsi, uint32_t source, int *error);

/** A source of one's own: 1..60. -ENOSPC. */
VMIRQ_API int vmirq_line_source_alloc(struct vmirq_vm *vm, uint32_t *source);

/** Give it back; it de-asserts wherever it was asserted. -EINVAL: not allocated. */
VMIRQ_API int vmirq_line_source_free(struct vmirq_vm *vm, uint32_t source);

/** The OR of a GSI's sources: 0 or 1. -EINVAL: GSI past the limit. */
VMIRQ_API int vmirq_line_level(struct vmirq_vm *vm, uint32_t gsi);

/** What a notifier is told. */
enum vmirq_notice {
	/** The guest has ended (EOI) an interrupt of this GSI. Before Remote-IRR clears: a line that
	 *  the callback lowers is not delivered again, one that it raises is. `value` 0. */
	VMIRQ_NOTICE_ACK,
	/** The pin behind this GSI was masked (`value` 1) or unmasked (0). */
	VMIRQ_NOTICE_MASK,
};

struct vmirq_notifier_config {
	/** sizeof(struct vmirq_notifier_config). */
	size_t size;
	uint32_t gsi;
	/** enum vmirq_notice. */
	uint32_t notice;
	/** Called with no lock held, on the thread that caused it; may call anything here, but
	 *  vmirq_notifier_remove() of itself is -EDEADLK, and two that remove each other wait for ever. */
	void (*fn)(void *opaque, uint32_t gsi, uint32_t value);
	/** Called once, when no call of fn can come any more. May be NULL. */
	void (*release)(void *opaque);
	void *opaque;
};

/** -EINVAL (size, GSI, notice, no fn), -E2BIG, -ENOMEM. -EOPNOTSUPP: on KVM the chips are the kernel's, which
 *  tells by resamplefds only (irqfd.h). */
VMIRQ_API int vmirq_notifier_add(struct vmirq_vm *vm, const struct vmirq_notifier_config *config,
				 struct vmirq_notifier **out);

/** Waits until fn does not run, and for signals under way, then releases. -EDEADLK: from a callback of the
 *  library. NULL is 0. */
VMIRQ_API int vmirq_notifier_remove(struct vmirq_notifier *notifier);

#ifdef __cplusplus
}
#endif
#endif
