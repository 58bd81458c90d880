/* SPDX-License-Identifier: MIT */
/* What is seldom so of a line's change: see pins.h. */
#include "line/pins.h"

enum vmirq_verdict vmirq_line_finish_post(struct line_domain *lines, _Atomic uint64_t *word,
					  uint8_t vector, bool pending)
{
	struct chip *chip = lines->vm->chip;
	enum vmirq_verdict verdict = tell_vcpu(chip, posted_of_word(word), vector, pending);

	if (unlikely(verdict != VMIRQ_DELIVERED))
		counts_add(&chip->ioapic, verdict, 1);
	return verdict;
}

struct line_result vmirq_line_set_pins(struct line_domain *lines, struct line_pins pins,
				       enum pin_change change, bool status)
{
	struct line_result sum = no_line(VMIRQ_NO_ROUTE);
	/* What is sent is sent in it: taking the lock is its fence. */
	struct reader *section = reader_enter_unfenced();

	if (pins.master != NO_PIN || pins.slave != NO_PIN) {
		lock_take(&lines->chips_lock);
		if (pins.master != NO_PIN)
			sum = add(sum, change_pic(lines, pins.master, change));
		if (pins.slave != NO_PIN)
			sum = add(sum, change_pic(lines, pins.slave + 8, change));
		lock_give(&lines->chips_lock);
	}
	if (pins.ioapic != NO_PIN) {
		struct line_ioapic *io = lines->ioapic[pins.ioapic >> 16];

		lock_take(io->lock);
		sum = add(sum,
			  change_ioapic_unlock(lines, io, pins.ioapic & 0xffff, change, status));
	}
	reader_exit(section);
	return sum;
}
