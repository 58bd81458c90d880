/* SPDX-License-Identifier: MIT */
/* Lines, priorities, acknowledge and state. */
#include "chip/i8259_chip.h"

/* Pins 0..2, 8 and 13 cannot be level triggered (82371AB 4.2). */
#define ELCR_MASK_MASTER 0xf8u
#define ELCR_MASK_SLAVE	 0xdeu

#define INIT_STATES	 3 /* ICW2, ICW3, ICW4 are awaited */

#define NO_SUCH_PIN	 ((struct line_result){ .verdict = VMIRQ_NO_ROUTE, .status = -1 })

static uint8_t elcr_mask(uint32_t chip)
{
	return chip == MASTER ? ELCR_MASK_MASTER : ELCR_MASK_SLAVE;
}

int vmirq_i8259_highest(const struct kvm_pic_state *s, uint8_t pins)
{
	/* Twice over, so that the highest priority is bit 0 of what is left. */
	uint32_t turned = (pins | (uint32_t)pins << 8) >> s->priority_add;

	return pins ? (int)(((uint32_t)__builtin_ctz(turned) + s->priority_add) & 7) : NO_PIN;
}

/* 0 is the highest priority; nobody has 8. */
static uint32_t rank(const struct kvm_pic_state *s, int pin)
{
	return pin == NO_PIN ? 8 : ((uint32_t)pin - s->priority_add) & 7;
}

int vmirq_i8259_request(const struct i8259 *pic, int chip)
{
	const struct kvm_pic_state *s = &pic->chip[chip];
	uint8_t asking = s->irr & (uint8_t)~s->imr;
	uint8_t blocking = s->isr;
	int pin;

	if (!asking)
		return NO_PIN;
	pin = vmirq_i8259_highest(s, asking);
	/* A slave's request of higher priority gets through while one of it is in service. */
	if (s->special_fully_nested_mode && chip == MASTER)
		blocking &= (uint8_t)~pin_bit(CASCADE_PIN);
	if (s->special_mask && pic->config.special_mask_works)
		blocking &= (uint8_t)~s->imr;
	return rank(s, pin) < rank(s, vmirq_i8259_highest(s, blocking)) ? pin : NO_PIN;
}

/* Look at INT of both. /dev/kvm 6.18: whenever it looks, a slave that asks is a pulse on the master's
 * pin. */
static bool update_output(struct i8259 *pic, bool cascade)
{
	bool was = atomic_load_explicit(&pic->output, memory_order_relaxed);
	bool now;

	if (cascade && vmirq_i8259_request(pic, SLAVE) != NO_PIN) {
		i8259_drive(&pic->chip[MASTER], pin_bit(CASCADE_PIN), true);
		i8259_drive(&pic->chip[MASTER], pin_bit(CASCADE_PIN), false);
	}
	now = vmirq_i8259_request(pic, MASTER) != NO_PIN;
	/* The receiver of output_changed looks after this; the lock and the call order them. */
	if (now != was)
		atomic_store_explicit(&pic->output, now, memory_order_release);
	return now != was;
}

/* Without the lock from here on. */
static void look_and_tell(struct i8259 *pic, bool cascade, bool acknowledged)
{
	/* INT falls in the acknowledge; where it is high after it, it has risen. */
	bool changed = update_output(pic, cascade) || acknowledged;

	i8259_unlock(pic);
	if (changed && pic->config.calls.output_changed)
		pic->config.calls.output_changed(pic->config.calls.opaque);
}

static void call_out(const struct i8259 *pic, const struct i8259_events *events, uint32_t masked)
{
	const struct i8259_calls *calls = &pic->config.calls;
	unsigned int pin;

	if (calls->ack)
		for_each_bit(pin, events->acks) calls->ack(calls->opaque, pin);
	if (calls->mask_changed)
		for_each_bit(pin, events->masks)
			calls->mask_changed(calls->opaque, pin, masked & bit32(pin));
}

void vmirq_i8259_finish(struct i8259 *pic, const struct i8259_events *events)
{
	if (events->acks || events->masks) {
		uint32_t masked = pic->chip[MASTER].imr | (uint32_t)pic->chip[SLAVE].imr << 8;

		pic->ending |= events->acks;
		i8259_unlock(pic);
		call_out(pic, events, masked);
		i8259_lock(pic);
		pic->ending &= ~events->acks;
	}
	look_and_tell(pic, !events->no_cascade, events->acknowledged);
}

void vmirq_i8259_look_unlock(struct i8259 *pic)
{
	look_and_tell(pic, true, false);
}

static struct line_result change(struct i8259 *pic, uint32_t pin, int sources)
{
	struct line_result result;
	bool look;

	if (pin >= I8259_PINS)
		return NO_SUCH_PIN;
	i8259_lock(pic);
	result = i8259_change(pic, pin, sources, &look);
	if (look)
		vmirq_i8259_look_unlock(pic);
	else
		i8259_unlock(pic);
	return result;
}

struct line_result vmirq_i8259_set_line(struct i8259 *pic, uint32_t pin, bool level)
{
	return change(pic, pin, level ? 1 : -1);
}

struct line_result vmirq_i8259_look_at_line(struct i8259 *pic, uint32_t pin)
{
	return change(pic, pin, 0);
}

bool vmirq_i8259_output(const struct i8259 *pic)
{
	/* Pairs with the release in update_output(). */
	return atomic_load_explicit(&pic->output, memory_order_acquire);
}

void vmirq_i8259_end(struct i8259 *pic, int chip, uint32_t pin, struct i8259_events *events)
{
	pic->chip[chip].isr &= (uint8_t)~pin_bit(pin);
	events->acks |= bit32(pin + (chip == MASTER ? 0 : 8));
}

void vmirq_i8259_inta(struct i8259 *pic, int chip, uint32_t pin, struct i8259_events *events)
{
	struct kvm_pic_state *s = &pic->chip[chip];

	s->isr |= pin_bit(pin);
	if (!(s->elcr & pin_bit(pin)))
		s->irr &= (uint8_t)~pin_bit(pin);
	if (!s->auto_eoi)
		return;
	if (s->rotate_on_auto_eoi)
		s->priority_add = (pin + 1) & 7;
	vmirq_i8259_end(pic, chip, pin, events);
}

uint8_t vmirq_i8259_acknowledge(struct i8259 *pic)
{
	struct i8259_events events = { .acknowledged = true };
	int chip = MASTER, pin;
	uint8_t vector;

	i8259_lock(pic);
	atomic_store_explicit(&pic->output, false, memory_order_release);
	pin = vmirq_i8259_request(pic, MASTER);
	if (pin != NO_PIN)
		vmirq_i8259_inta(pic, MASTER, (uint32_t)pin, &events);
	if (pin == CASCADE_PIN) {
		chip = SLAVE;
		pin = vmirq_i8259_request(pic, SLAVE);
		if (pin != NO_PIN)
			vmirq_i8259_inta(pic, SLAVE, (uint32_t)pin, &events);
	}
	/* Gone before the acknowledge: the chip that was asked says 7, and sets no ISR bit for it. */
	vector = (uint8_t)(pic->chip[chip].irq_base +
			   (pin == NO_PIN ? SPURIOUS_PIN : (uint32_t)pin));
	vmirq_i8259_finish(pic, &events);
	return vector;
}

static void put_power_up(struct i8259 *pic)
{
	for (uint32_t chip = 0; chip < 2; chip++) {
		pic->chip[chip] = (struct kvm_pic_state){ .elcr_mask = elcr_mask(chip) };
		for (uint32_t pin = 0; pin < 8; pin++)
			if (pic->asserters[chip * 8 + pin])
				pic->chip[chip].last_irr |= pin_bit(pin);
	}
}

void vmirq_i8259_init(struct i8259 *pic, const struct i8259_config *config)
{
	*pic = (struct i8259){ .config = *config };
	put_power_up(pic);
}

void vmirq_i8259_reset(struct i8259 *pic)
{
	struct i8259_events events = { .acks = 0 };

	i8259_lock(pic);
	for (int chip = 0; chip < 2; chip++) {
		const struct kvm_pic_state *s = &pic->chip[chip];

		events.acks |= (uint32_t)(s->isr | (s->irr & ~s->elcr)) << 8 * chip;
	}
	put_power_up(pic);
	vmirq_i8259_finish(pic, &events);
}

static bool chip_valid(const struct kvm_pic_state *s, uint32_t chip)
{
	return s->elcr_mask == elcr_mask(chip) && !(s->elcr & ~s->elcr_mask) &&
	       s->priority_add <= 7 && !(s->irq_base & 7) && s->init_state <= INIT_STATES &&
	       s->read_reg_select <= 1 && s->poll <= 1 && s->special_mask <= 1 &&
	       s->auto_eoi <= 1 && s->rotate_on_auto_eoi <= 1 &&
	       s->special_fully_nested_mode <= 1 && s->init4 <= 1;
}

bool vmirq_i8259_validate(const struct i8259 *pic)
{
	bool good;

	i8259_lock(pic);
	good = chip_valid(&pic->chip[MASTER], MASTER) && chip_valid(&pic->chip[SLAVE], SLAVE);
	i8259_unlock(pic);
	return good;
}

bool vmirq_i8259_save(struct i8259 *pic, uint32_t chip, struct kvm_pic_state *state)
{
	if (chip > SLAVE)
		return false;
	i8259_lock(pic);
	*state = pic->chip[chip];
	i8259_unlock(pic);
	return true;
}

bool vmirq_i8259_load(struct i8259 *pic, uint32_t chip, const struct kvm_pic_state *state)
{
	if (chip > SLAVE || !chip_valid(state, chip))
		return false;
	i8259_lock(pic);
	pic->chip[chip] = *state;
	vmirq_i8259_finish(pic, &(struct i8259_events){ .acks = 0 });
	return true;
}

void vmirq_i8259_get_image(struct i8259 *pic, struct kvm_pic_state chips[2])
{
	i8259_lock(pic);
	chips[MASTER] = pic->chip[MASTER];
	chips[SLAVE] = pic->chip[SLAVE];
	i8259_unlock(pic);
}

bool vmirq_i8259_image_valid(const struct kvm_pic_state chips[2])
{
	return chip_valid(&chips[MASTER], MASTER) && chip_valid(&chips[SLAVE], SLAVE);
}

void vmirq_i8259_put_image(struct i8259 *pic, const struct kvm_pic_state chips[2],
			   const uint32_t asserters[I8259_PINS])
{
	i8259_lock(pic);
	pic->chip[MASTER] = chips[MASTER];
	pic->chip[SLAVE] = chips[SLAVE];
	for (uint32_t pin = 0; pin < I8259_PINS; pin++)
		pic->asserters[pin] = asserters[pin];
	/* No look at the cascade, which would be another pulse. */
	update_output(pic, false);
	i8259_unlock(pic);
}

uint32_t vmirq_i8259_asserters(struct i8259 *pic, uint32_t pin)
{
	uint32_t asserters;

	if (pin >= I8259_PINS)
		return 0;
	i8259_lock(pic);
	asserters = pic->asserters[pin];
	i8259_unlock(pic);
	return asserters;
}

bool vmirq_i8259_set_asserters(struct i8259 *pic, uint32_t pin, uint32_t asserters)
{
	if (pin >= I8259_PINS)
		return false;
	i8259_lock(pic);
	pic->asserters[pin] = asserters;
	i8259_unlock(pic);
	return true;
}
