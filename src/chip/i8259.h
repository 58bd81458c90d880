/* SPDX-License-Identifier: MIT */
/*
 * The pair of 8259A interrupt controllers, the slave on the master's pin 2, with the edge/level
 * control registers of the PIIX (8259A data sheet; 82371AB 4.2, ELCR). What the data sheets leave
 * open is as /dev/kvm 6.18 does it; each such place says so.
 *
 * One lock, handed in. Every function may be called from any thread, and may block on the lock for
 * as long as another one computes; nothing is called out while it is held, so a callback may call
 * back in. The state is held in the kernel's own structures.
 */
#ifndef CHIP_I8259_H
#define CHIP_I8259_H

#include <linux/kvm.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "chip/host.h"
#include "chip/line_result.h"

#define I8259_PINS 16u

/* What the pair calls, all with no lock held. Each may be NULL. */
struct i8259_calls {
	void *opaque;
	/* INT to the processor has changed, or has fallen and risen again in an acknowledge: look at
	 * vmirq_i8259_output(). */
	void (*output_changed)(void *opaque);
	/* This pin's interrupt is over: EOI, auto-EOI, a poll that is one, or the reset by ICW1. Before
	 * INT is looked at again: what the callback does to the line counts. */
	void (*ack)(void *opaque, uint32_t pin);
	void (*mask_changed)(void *opaque, uint32_t pin, bool masked);
};

struct i8259_config {
	struct chip_host host;
	void *mutex;
	struct i8259_calls calls;
	/* Where /dev/kvm 6.18 departs from the data sheet. True: the data sheet.
	 * A poll is an acknowledge: the ISR bit stays until EOI, a level stays in the IRR, and nothing
	 * pending reads 0. (/dev/kvm: also ends the interrupt, IRR cleared whatever the line, 7.) */
	bool poll_is_inta;
	/* In special mask mode what is in service and masked blocks nobody. (/dev/kvm: the mode is
	 * remembered and does nothing.) */
	bool special_mask_works;
};

struct i8259 {
	struct i8259_config config; /* constant */
	/* Written under the lock, read without. */
	_Atomic bool output;
	/* Under the lock: */
	struct kvm_pic_state chip[2]; /* master, slave */
	uint32_t asserters[I8259_PINS];
	uint32_t ending; /* pins whose ack is being called */
};

void vmirq_i8259_init(struct i8259 *pic, const struct i8259_config *config);

/* The state after power-up. Counts as an EOI of what was in service or latched. Lines stay as their
 * sources hold them. */
void vmirq_i8259_reset(struct i8259 *pic);

/* A debug check of what must always hold. */
bool vmirq_i8259_validate(const struct i8259 *pic);

/* One source's own change, 0 -> 1 or 1 -> 0: sources of a line are counted. A pin out of range is
 * NO_ROUTE, -1. A masked edge is latched all the same. */
struct line_result vmirq_i8259_set_line(struct i8259 *pic, uint32_t pin, bool level);

/* A source has set the level that its line has already: what the kernel says to that. */
struct line_result vmirq_i8259_look_at_line(struct i8259 *pic, uint32_t pin);

/* The same two for whoever has the lock's type are i8259_change() in i8259_line.h. */

/* INT to the processor. Without the lock. */
bool vmirq_i8259_output(const struct i8259 *pic);

/* The processor's INTA cycles: the vector. If INT had gone, that of the spurious IRQ7 or IRQ15. */
uint8_t vmirq_i8259_acknowledge(struct i8259 *pic);

/* Ports 0x20, 0x21, 0xa0, 0xa1, 0x4d0 and 0x4d1: i8259_ports.c. Does the whole access fall into one
 * of the three pairs? */
bool vmirq_i8259_claims(uint32_t port, uint32_t len);
/* An access of any width at any port; only bytes mean something. */
uint32_t vmirq_i8259_read(struct i8259 *pic, uint32_t port, uint32_t len);
void vmirq_i8259_write(struct i8259 *pic, uint32_t port, uint32_t len, uint32_t value);

/* State, per chip: 0 = master, 1 = slave. False, and nothing done: there is no such chip, or none can
 * be in this state. */
bool vmirq_i8259_save(struct i8259 *pic, uint32_t chip, struct kvm_pic_state *state);
bool vmirq_i8259_load(struct i8259 *pic, uint32_t chip, const struct kvm_pic_state *state);

/* Both at once, as they stand: nothing is looked at again and nobody told. For `put` a valid pair. */
void vmirq_i8259_get_image(struct i8259 *pic, struct kvm_pic_state chips[2]);
bool vmirq_i8259_image_valid(const struct kvm_pic_state chips[2]);
void vmirq_i8259_put_image(struct i8259 *pic, const struct kvm_pic_state chips[2],
			   const uint32_t asserters[I8259_PINS]);

/* How many sources hold the line: not in the kernel's structure, restored beside it. */
uint32_t vmirq_i8259_asserters(struct i8259 *pic, uint32_t pin);
bool vmirq_i8259_set_asserters(struct i8259 *pic, uint32_t pin, uint32_t asserters);

#endif
