/* SPDX-License-Identifier: MIT */
/**
 * @file line.h
 * Interrupt lines: a GSI that is held high by its sources, and who is told when the guest is done.
 *
 * A GSI's line is the OR of its sources. A source is a small number, 0..60; 0 is everybody's, others
 * are handed out by vmirq_line_source_alloc(). Each keeps its own level.
 *
 * Thread safety: every call from any thread, beside everything. Progress: may block on the lock of the
 * chip or of a GSI nearby; no system call but futex for these, and to wake or kick; on KVM KVM_IRQ_LINE_STATUS, on
 * SPLIT those of msi.h, and KVM_SET_GSI_ROUTING when a notifier comes. Not async-signal-safe.
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
 * Set one source's level on a GSI. An MSI route sends its message at each call that asserts.
 *
 * WHAT IT RETURNS is the number of KVM_IRQ_LINE_STATUS, for who emulates that; what became of an interrupt it
 * does not say. It is the sum of what the GSI's pins say, of those that are not negative, and VMIRQ_LINE_NOBODY
 * (-1, which is no errno) where all are. A PC's GSI 0..15 has two pins, the IOAPIC's and an 8259's. An assertion is to
 *
 *	an IOAPIC's pin	  how many local APICs took its message, also where they had it pending; 0: an edge,
 *			  but the line was high already, or a tick of the RTC that is lost; -1: masked, or a level
 *			  in service
 *	an 8259's pin	  1: latched, and for an edge also where the line was high already and nothing is
 *			  latched; 0: it has the request already; -1: masked
 *	an MSI route	  how many local APICs took it
 *	no route	  -1
 *
 * A line that is high and is set high once more, by this source or another, is shown to its pins again: with the
 * 8259s unmasked each such call of a GSI below 16 returns 1 or more, and one interrupt came. What a de-assertion
 * returns means nothing.
 *
 * WHAT IS COUNTED, in vmirq_gsi_counts(), is each rise of a source: one more `raised` where this source was low (on an
 * MSI route at every call that asserts). Its verdict is the best of the pins': `delivered` if one of them took it, else
 * `coalesced` if one had it, else the IOAPIC's reason. A source that is high and set high once more counts nothing.
 * Who wants to know what became of an interrupt asks these verdicts and not the number.
 *
 * On KVM the pins are the kernel's: the number is its own, and the verdict made from it (positive: `delivered`, 0:
 * `coalesced`, negative: `no_target`).
 *
 * Errors are given by *error where it is not NULL: 0, -EINVAL (GSI or source out of range) or -ENOMEM (the GSI
 * was never used before); in both the number is VMIRQ_LINE_NOBODY, and nothing is set.
 */
VMIRQ_API int vmirq_line_set(struct vmirq_vm *vm, uint32_t gsi, uint32_t source, bool level,
			     int *error);
#define VMIRQ_LINE_NOBODY (-1)

/** Assert and de-assert: what an edge is. Returns the number of the assertion; errors and counts as
 *  vmirq_line_set(). */
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
