/* SPDX-License-Identifier: MIT */
/* A line's change at the chips' pins, under its slot's lock. Inline: this is where it spends its time. */
#ifndef LINE_PINS_H
#define LINE_PINS_H

#include "base/reader.h"
#include "base/vm.h"
#include "chip/i8259_line.h"
#include "chip/ioapic_pin.h"
#include "line/line.h"

/* Sources more. */
enum pin_change { PIN_LOW = -1, PIN_SAME, PIN_HIGH };

/* Where a GSI goes; NO_PIN. */
struct line_pins {
	uint32_t master, slave, ioapic;
};

static inline struct line_result no_line(enum vmirq_verdict verdict)
{
	return (struct line_result){ .verdict = verdict, .status = VMIRQ_LINE_NOBODY };
}

/* Of two targets' outcomes, the one that the interrupt is said to have come to. */
static inline enum vmirq_verdict better(enum vmirq_verdict a, enum vmirq_verdict b)
{
	_Static_assert(VMIRQ_DELIVERED == 0 && VMIRQ_COALESCED == 1, "the best come first");
	/* The 8259 is masked on every modern guest: the IOAPIC, which comes later, knows more. */
	return a <= VMIRQ_COALESCED && a < b ? a : b;
}

/* The kernel's sum: what is not negative adds up (KVM_IRQ_LINE_STATUS; see vmirq_line_set()). */
static inline struct line_result add(struct line_result sum, struct line_result one)
{
	if (one.status >= 0)
		sum.status = one.status + (sum.status < 0 ? 0 : sum.status);
	sum.verdict = better(sum.verdict, one.verdict);
	return sum;
}

/* The chips' lock is held: while INT is looked at, it is not. */
static in_path struct line_result change_pic(struct line_domain *lines, uint32_t pin,
					     enum pin_change change)
{
	bool look;
	struct line_result result = i8259_change(&lines->pic, pin, change, &look);

	if (unlikely(look)) {
		vmirq_i8259_look_unlock(&lines->pic);
		lock_take(&lines->chips_lock);
	}
	return result;
}

/* pins.c. The vector was put in its word, where it was `pending`; its vCPU is not outside, or had it. */
enum vmirq_verdict vmirq_line_finish_post(struct line_domain *lines, _Atomic uint64_t *word,
					  uint8_t vector, bool pending);

/* What ioapic_raise() has left to do, without the lock and in its section. A and B in posted.h. */
static in_path struct line_result post_known(struct line_domain *lines, struct ioapic_known message)
{
	uint8_t vector = message.rte & RTE_VECTOR;
	struct line_result result = { .verdict = VMIRQ_DELIVERED, .status = 1 };
	bool pending = vecset_word_test_and_set(message.word, vector);

	if (unlikely(pending | (atomic_load(&posted_of_word(message.word)->mode) ^ MODE_OUTSIDE)))
		result.verdict = vmirq_line_finish_post(lines, message.word, vector, pending);
	return result;
}

/* The IOAPIC's lock is held, and let go of. status: the caller is told whether the RTC's tick got lost. */
static in_path struct line_result change_ioapic_unlock(struct line_domain *lines,
						       struct line_ioapic *io, uint32_t pin,
						       enum pin_change change, bool status)
{
	struct ioapic_known message;

	/* The section's, in one with taking the lock. */
	fence_after_rmw();
	if (change == PIN_HIGH && likely(ioapic_raise(&io->ioapic, pin, &message))) {
		lock_give(io->lock);
		return post_known(lines, message);
	}
	if (change == PIN_LOW && likely(ioapic_lower(&io->ioapic, pin))) {
		lock_give(io->lock);
		return (struct line_result){ .verdict = VMIRQ_DELIVERED, .status = 1 };
	}
	return vmirq_ioapic_change_unlock(&io->ioapic, pin, change, status);
}

/* pins.c. Wherever they are, one by one. */
struct line_result vmirq_line_set_pins(struct line_domain *lines, struct line_pins pins,
				       enum pin_change change, bool status);

/* As a PC's GSI goes: to the first IOAPIC, and to one 8259 or none, all of which have one lock. */
static in_path struct line_result set_pins(struct line_domain *lines, struct line_pins pins,
					   enum pin_change change, bool status)
{
	struct line_result of_pic = no_line(VMIRQ_NO_ROUTE), result;
	uint32_t pic = pins.slave == NO_PIN ? pins.master : pins.slave + 8;
	struct reader *section = READER_INNER;

	if (change == PIN_SAME || unlikely(pins.ioapic >= IOAPIC_PIN(1, 0)) ||
	    unlikely(pins.master != NO_PIN && pins.slave != NO_PIN))
		return vmirq_line_set_pins(lines, pins, change, status);
	if (change == PIN_HIGH)
		section = reader_enter_unfenced();
	lock_take(&lines->chips_lock);
	if (pic != NO_PIN)
		of_pic = change_pic(lines, pic, change);
	result = change_ioapic_unlock(lines, lines->ioapic[0], pins.ioapic, change, status);
	if (pic != NO_PIN)
		result = add(of_pic, result);
	reader_exit(section);
	return result;
}

#endif
