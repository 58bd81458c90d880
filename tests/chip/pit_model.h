/* SPDX-License-Identifier: MIT */
/* An 8254 counter that ticks, pulse by pulse, as Intel 231164 tells it: what src/chip/pit_channel.c
 * computes is held against it. */
#ifndef PIT_MODEL_H
#define PIT_MODEL_H

#include <stdbool.h>
#include <stdint.h>

struct pit_model {
	uint8_t mode;
	bool bcd;
	bool gate;
	bool out;
	bool null_count;
	bool has_count; /* since the control word */
	bool counting;
	bool load;    /* at the next pulse */
	bool expired; /* the count has been at zero once */
	uint32_t count_register;
	uint32_t element;
	uint32_t n; /* what the element was loaded from */
};

void pit_model_control(struct pit_model *m, uint8_t mode, bool bcd);
void pit_model_half(struct pit_model *m);
/* `n` pulses: 1..65536 or 1..10000. */
void pit_model_write(struct pit_model *m, uint32_t n);
void pit_model_gate(struct pit_model *m, bool gate);
void pit_model_pulse(struct pit_model *m);

#endif
