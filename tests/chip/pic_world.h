/* SPDX-License-Identifier: MIT */
/* The world around a pair of 8259s under test. Its lock asserts that it is not taken twice, and every
 * callback that it is not held. */
#ifndef PIC_WORLD_H
#define PIC_WORLD_H

#include "chip/i8259.h"

#define MASTER_BASE 0x30
#define SLAVE_BASE  0x38
#define EOI	    0x20
#define READ_IRR    0x0a
#define READ_ISR    0x0b
#define POLL	    0x0c

struct world {
	struct i8259 pic;
	int held;
	uint32_t outputs;  /* times that output_changed was called */
	uint32_t acks;	   /* a bit per pin */
	uint32_t unmasked; /* a bit per pin, as told */
	uint32_t ack_calls;
	/* What happens inside the next ack or mask_changed. */
	void (*meanwhile)(struct world *w);
};

void start_raw(struct world *w, bool data_sheet);
/* As firmware does it: bases, cascade, 8086 mode, nothing masked. */
void initialize(struct world *w, uint8_t icw4);
/* Both of the above; the data sheet's ways. */
void start(struct world *w);

void out(struct world *w, uint32_t port, uint8_t value);
uint8_t in(struct world *w, uint32_t port);
/* After OCW3 `what`, at the even port. */
uint8_t read_register(struct world *w, uint32_t port, uint8_t what);

void up(struct world *w, uint32_t pin);
void down(struct world *w, uint32_t pin);
void pulse(struct world *w, uint32_t pin);
void assert_line(struct world *w, uint32_t pin, bool level, enum vmirq_verdict verdict, int status);
/* INT is asserted, and the processor's acknowledge gives this vector. */
void assert_interrupt(struct world *w, uint8_t vector);
void assert_quiet(struct world *w);

#endif
