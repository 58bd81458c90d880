/* SPDX-License-Identifier: MIT */
/* What the two files of the 8259 share. */
#ifndef CHIP_I8259_CHIP_H
#define CHIP_I8259_CHIP_H

#include "chip/i8259_line.h"

#define CASCADE_PIN  2u
#define SPURIOUS_PIN 7u
/* No pin: less than any. */
#define NO_PIN (-1)

/* What an operation has to call out once the lock is gone: a bit per pin of the pair. */
struct i8259_events {
	uint32_t acks;
	uint32_t masks; /* changed */
	bool acknowledged;
	/* The slave's INT is as it was, also where the master's pin has forgotten it: no new edge. */
	bool no_cascade;
};

static inline void i8259_lock(const struct i8259 *pic)
{
	pic->config.host.lock(pic->config.mutex);
}

static inline void i8259_unlock(const struct i8259 *pic)
{
	pic->config.host.unlock(pic->config.mutex);
}

/* The rest with the lock held. */

/* The pin that this chip asks for service for, or NO_PIN. */
int vmirq_i8259_request(const struct i8259 *pic, int chip);
/* The pin of highest priority in `pins`, or NO_PIN. */
int vmirq_i8259_highest(const struct kvm_pic_state *s, uint8_t pins);
/* One INTA cycle for a pin of this chip. */
void vmirq_i8259_inta(struct i8259 *pic, int chip, uint32_t pin, struct i8259_events *events);
/* The pin's service ends. */
void vmirq_i8259_end(struct i8259 *pic, int chip, uint32_t pin, struct i8259_events *events);
/* Call out, and look at INT again; returns without the lock. */
void vmirq_i8259_finish(struct i8259 *pic, const struct i8259_events *events);

#endif
