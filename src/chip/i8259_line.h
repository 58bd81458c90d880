/* SPDX-License-Identifier: MIT */
/* A pin's line is driven: the path of every interrupt of a PC's first sixteen GSIs, so it is inline. */
#ifndef CHIP_I8259_LINE_H
#define CHIP_I8259_LINE_H

#include "base/bits.h"
#include "chip/i8259.h"

#define MASTER 0
#define SLAVE  1

static inline uint8_t pin_bit(uint32_t pin)
{
	return (uint8_t)bit32(pin & 7);
}

/* Has the guest its interrupt still to end, or is it being told of? The lock is held. */
static inline bool i8259_in_service(const struct i8259 *pic, uint32_t pin)
{
	return (pic->chip[pin >> 3].isr & pin_bit(pin)) || (pic->ending & bit32(pin));
}

/* The numbers are those of /dev/kvm 6.18, where an edge on a line that is high already counts as 1
 * though nothing is latched by it, and a level that is seen already as 0. */
static inline struct line_result i8259_drive(struct kvm_pic_state *s, uint8_t bit, bool level)
{
	struct line_result result = { .verdict = VMIRQ_DELIVERED, .status = 1 };
	bool triggers = level && ((s->elcr & bit) || !(s->last_irr & bit));

	if (level && (!triggers || (s->irr & bit)))
		result.verdict = VMIRQ_COALESCED;
	if (triggers && (s->irr & bit))
		result.status = 0;
	if (triggers)
		s->irr |= bit;
	else if (!level && (s->elcr & bit))
		s->irr &= (uint8_t)~bit;
	if (level)
		s->last_irr |= bit;
	else
		s->last_irr &= (uint8_t)~bit;
	if (s->imr & bit) {
		result.status = -1;
		if (level)
			result.verdict = VMIRQ_PIC_MASKED;
	}
	return result;
}

/* One source more (1), fewer (-1), or none; the pin is in range, and the lock held. *look:
 * vmirq_i8259_look_unlock() has to follow, since INT may be another: the pin's request is, or the slave asks, which
 * is a pulse whenever it is looked. Else the caller gives the lock. */
static inline struct line_result i8259_change(struct i8259 *pic, uint32_t pin, int sources,
					      bool *look)
{
	const struct kvm_pic_state *slave = &pic->chip[SLAVE];
	struct kvm_pic_state *s = &pic->chip[pin >> 3];
	uint32_t asserters = pic->asserters[pin];
	uint8_t before = s->irr;
	struct line_result result;

	if (sources > 0 || asserters)
		asserters += (uint32_t)sources;
	pic->asserters[pin] = asserters;
	result = i8259_drive(s, pin_bit(pin), sources > 0 || asserters);
	*look = s->irr != before || (slave->irr & (uint8_t)~slave->imr);
	return result;
}
void vmirq_i8259_look_unlock(struct i8259 *pic);

#endif
