/* SPDX-License-Identifier: MIT */
/* What the guest sees: initialization and operation command words (8259A data sheet, "Programming
 * the 8259A"). */
#include "chip/i8259_chip.h"

/* A write to the even port is told apart by these bits. */
#define IS_ICW1		    0x10u
#define IS_OCW3		    0x08u

#define ICW1_IC4	    0x01u
#define ICW2_BASE	    0xf8u
#define ICW4_AUTO_EOI	    1
#define ICW4_SPECIAL_NESTED 4

#define OCW3_READ	    0x02u /* bit 0 says what: IRR or ISR */
#define OCW3_POLL	    0x04u
#define OCW3_SPECIAL_MASK   0x40u /* bit 5 says on or off */

#define POLL_PENDING	    0x80u

enum init_state { INITIALIZED, WANTS_ICW2, WANTS_ICW3, WANTS_ICW4 };

/* OCW2's bits 7:5: rotate, specific, EOI. */
enum ocw2 {
	OCW2_NO_ROTATE_AUTO_EOI = 0,
	OCW2_EOI = 1,
	OCW2_NOP = 2,
	OCW2_SPECIFIC_EOI = 3,
	OCW2_ROTATE_AUTO_EOI = 4,
	OCW2_ROTATE_EOI = 5,
	OCW2_SET_PRIORITY = 6,
	OCW2_ROTATE_SPECIFIC_EOI = 7,
};

/* The ISR is not in the data sheet's list of what ICW1 clears, and /dev/kvm 6.18 keeps it, but for
 * pins whose latched edge is lost here: their service is over. (QEMU clears it.)
 * Who waits for an acknowledge of something in service or latched may wait forever now, so it is
 * told; one too many is told at a later EOI, which is harmless. */
static void write_icw1(struct i8259 *pic, int chip, uint8_t value, struct i8259_events *events)
{
	struct kvm_pic_state *s = &pic->chip[chip];
	uint8_t lost = s->irr & (uint8_t)~s->elcr;

	events->acks |= (uint32_t)(lost | s->isr) << 8 * chip;
	s->isr &= (uint8_t)~lost;
	s->irr &= s->elcr;
	s->last_irr = 0;
	s->imr = 0;
	s->priority_add = 0;
	s->special_mask = 0;
	s->read_reg_select = 0;
	s->init4 = value & ICW1_IC4;
	if (!s->init4) {
		s->special_fully_nested_mode = 0;
		s->auto_eoi = 0;
	}
	s->init_state = WANTS_ICW2;
}

static void write_ocw2(struct i8259 *pic, int chip, uint8_t value, struct i8259_events *events)
{
	struct kvm_pic_state *s = &pic->chip[chip];
	enum ocw2 command = value >> 5;
	int pin = value & 7;

	switch (command) {
	case OCW2_NO_ROTATE_AUTO_EOI:
	case OCW2_ROTATE_AUTO_EOI:
		s->rotate_on_auto_eoi = command == OCW2_ROTATE_AUTO_EOI;
		return;
	case OCW2_NOP:
		return;
	case OCW2_SET_PRIORITY:
		s->priority_add = (pin + 1) & 7;
		events->no_cascade = false;
		return;
	case OCW2_EOI:
	case OCW2_ROTATE_EOI:
		pin = vmirq_i8259_highest(s, s->isr);
		if (pin == NO_PIN)
			return;
		break;
	case OCW2_SPECIFIC_EOI:
	case OCW2_ROTATE_SPECIFIC_EOI:
		break;
	}
	if (command == OCW2_ROTATE_EOI || command == OCW2_ROTATE_SPECIFIC_EOI)
		s->priority_add = (pin + 1) & 7;
	events->no_cascade = false;
	vmirq_i8259_end(pic, chip, (uint32_t)pin, events);
}

static void write_ocw3(struct kvm_pic_state *s, uint8_t value)
{
	if (value & OCW3_POLL)
		s->poll = 1;
	if (value & OCW3_READ)
		s->read_reg_select = value & 1;
	if (value & OCW3_SPECIAL_MASK)
		s->special_mask = value >> 5 & 1;
}

/* The odd port: the next ICW, or the mask. */
static void write_odd(struct i8259 *pic, int chip, uint8_t value, struct i8259_events *events)
{
	struct kvm_pic_state *s = &pic->chip[chip];

	switch ((enum init_state)s->init_state) {
	case INITIALIZED:
		events->masks |= (uint32_t)(s->imr ^ value) << 8 * chip;
		s->imr = value;
		events->no_cascade = false;
		break;
	case WANTS_ICW2:
		s->irq_base = value & ICW2_BASE;
		s->init_state = WANTS_ICW3;
		break;
	case WANTS_ICW3: /* the wiring of a PC is what it is */
		s->init_state = s->init4 ? WANTS_ICW4 : INITIALIZED;
		break;
	case WANTS_ICW4:
		s->auto_eoi = value >> ICW4_AUTO_EOI & 1;
		s->special_fully_nested_mode = value >> ICW4_SPECIAL_NESTED & 1;
		s->init_state = INITIALIZED;
		break;
	}
}

/* /dev/kvm 6.18: only what can change the slave's INT by itself looks at it: EOI, priority, mask. A
 * slave that asks while the master is initialized is seen at the next of those, or of its lines. */
static void write_chip(struct i8259 *pic, int chip, bool odd, uint8_t value)
{
	struct i8259_events events = { .no_cascade = true };

	i8259_lock(pic);
	if (odd)
		write_odd(pic, chip, value, &events);
	else if (value & IS_ICW1)
		write_icw1(pic, chip, value, &events);
	else if (value & IS_OCW3)
		write_ocw3(&pic->chip[chip], value);
	else
		write_ocw2(pic, chip, value, &events);
	vmirq_i8259_finish(pic, &events);
}

/* The read after OCW3's poll command. */
static uint8_t poll(struct i8259 *pic, int chip, struct i8259_events *events)
{
	struct kvm_pic_state *s = &pic->chip[chip];
	int pin = vmirq_i8259_request(pic, chip);

	s->poll = 0;
	if (pin == NO_PIN)
		return pic->config.poll_is_inta ? 0 : SPURIOUS_PIN;
	if (pic->config.poll_is_inta) {
		vmirq_i8259_inta(pic, chip, (uint32_t)pin, events);
	} else {
		struct kvm_pic_state *master = &pic->chip[MASTER];

		if (chip == SLAVE) {
			master->isr &= (uint8_t)~pin_bit(CASCADE_PIN);
			master->irr &= (uint8_t)~pin_bit(CASCADE_PIN);
		}
		s->irr &= (uint8_t)~pin_bit((uint32_t)pin);
		vmirq_i8259_end(pic, chip, (uint32_t)pin, events);
	}
	/* That did not take the slave's INT away, so there is no new edge of it. */
	events->no_cascade = chip == MASTER && pin == CASCADE_PIN;
	return (uint8_t)(POLL_PENDING | (uint32_t)pin);
}

/* A poll is read at either port. */
static uint8_t read_chip(struct i8259 *pic, int chip, bool odd)
{
	const struct kvm_pic_state *s = &pic->chip[chip];
	uint8_t value;

	i8259_lock(pic);
	if (s->poll) {
		struct i8259_events events = { .acks = 0 };

		value = poll(pic, chip, &events);
		vmirq_i8259_finish(pic, &events);
		return value;
	}
	value = odd ? s->imr : s->read_reg_select ? s->isr : s->irr;
	i8259_unlock(pic);
	return value;
}

/* /dev/kvm 6.18: what a change of the trigger means for a line that is high now shows when it next
 * changes. */
static void write_elcr(struct i8259 *pic, int chip, uint8_t value)
{
	i8259_lock(pic);
	pic->chip[chip].elcr = value & pic->chip[chip].elcr_mask;
	i8259_unlock(pic);
}

static uint8_t read_elcr(const struct i8259 *pic, int chip)
{
	uint8_t value;

	i8259_lock(pic);
	value = pic->chip[chip].elcr;
	i8259_unlock(pic);
	return value;
}

bool vmirq_i8259_claims(uint32_t port, uint32_t len)
{
	uint32_t first = port & ~1u;

	return (first == 0x20 || first == 0xa0 || first == 0x4d0) && len <= 2 - (port & 1);
}

/* /dev/kvm 6.18: an access of two bytes reads 0 and writes nothing. */
uint32_t vmirq_i8259_read(struct i8259 *pic, uint32_t port, uint32_t len)
{
	if (len != 1)
		return 0;
	switch (port) {
	case 0x20:
	case 0x21:
		return read_chip(pic, MASTER, port & 1);
	case 0xa0:
	case 0xa1:
		return read_chip(pic, SLAVE, port & 1);
	case 0x4d0:
		return read_elcr(pic, MASTER);
	case 0x4d1:
		return read_elcr(pic, SLAVE);
	default:
		return 0;
	}
}

void vmirq_i8259_write(struct i8259 *pic, uint32_t port, uint32_t len, uint32_t value)
{
	if (len != 1)
		return;
	switch (port) {
	case 0x20:
	case 0x21:
		write_chip(pic, MASTER, port & 1, (uint8_t)value);
		break;
	case 0xa0:
	case 0xa1:
		write_chip(pic, SLAVE, port & 1, (uint8_t)value);
		break;
	case 0x4d0:
		write_elcr(pic, MASTER, (uint8_t)value);
		break;
	case 0x4d1:
		write_elcr(pic, SLAVE, (uint8_t)value);
		break;
	default:
		break;
	}
}
