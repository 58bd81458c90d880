/* SPDX-License-Identifier: MIT */
/*
 * One counter of the 8254 (Intel 231164, "82C54", Mode Definitions), in whole CLK pulses counted from
 * the clock's zero. Nothing ticks: what the counter shows at a pulse is computed from the pulse that
 * loaded it, so a jump of the clock costs what a step does.
 */
#ifndef CHIP_PIT_CHANNEL_H
#define CHIP_PIT_CHANNEL_H

#include <stdbool.h>
#include <stdint.h>

/* What read_state, write_state, count_latched and rw_mode hold, as in kvm_pit_channel_state. */
enum pit_access {
	PIT_ACCESS_LATCH = 0,
	PIT_ACCESS_LSB = 1,
	PIT_ACCESS_MSB = 2,
	PIT_ACCESS_WORD = 3,  /* the low byte is next */
	PIT_ACCESS_WORD2 = 4, /* the high byte is next */
};

#define PIT_MODE_NONE 0xff /* never programmed, as the kernel says it */

enum pit_counting {
	PIT_IDLE,     /* no count since the control word */
	PIT_ARMED,    /* modes 1 and 5: a count, and no trigger yet */
	PIT_COUNTING, /* `run` is valid */
};

struct pit_run {
	uint64_t start; /* the pulse that loads the counting element */
	uint32_t count; /* N, 1..65536 */
	uint32_t phase; /* mode 3: how much of its period is over at `start` */
};

struct pit_channel {
	/* Registers. */
	uint16_t count_register; /* as written; 0 is the largest count */
	uint16_t latched_count;
	uint8_t count_latched;
	uint8_t status;
	uint8_t read_state;
	uint8_t write_state;
	uint8_t write_latch;
	uint8_t rw_mode;
	uint8_t mode;
	bool status_latched;
	bool bcd;
	bool gate;

	/* The counting element. */
	bool held;	 /* the gate is low in a mode that counts only while it is high */
	bool has_next;	 /* modes 2 and 3: `next` takes over at its start */
	bool unloaded;	 /* a count was written that waits for a trigger */
	bool fresh;	 /* `run` is of a count that the element has not had before */
	bool out_before; /* OUT and count until the pulse run.start, and while idle */
	uint8_t counting;
	uint32_t count_before;
	uint64_t held_at; /* while held: pulses counted when the gate fell */
	struct pit_run run;
	struct pit_run next;
};

/* Pulse `t` is never lower than in the call before; between, vmirq_pit_channel_advance(). */

/* From power-up: never programmed. */
void vmirq_pit_channel_init(struct pit_channel *c, bool gate);
/* Go from pulse `from` to `to`. Returns the rising edges of OUT after `from` up to and with `to`,
 * as vmirq_pit_channel_edge() places them. */
uint64_t vmirq_pit_channel_advance(struct pit_channel *c, uint64_t from, uint64_t to,
				   uint32_t shortest);
/* The first rising edge after pulse `t`. Of a periodic output faster than `shortest` pulses only
 * each so many-th counts. False: none. */
bool vmirq_pit_channel_edge(const struct pit_channel *c, uint64_t t, uint32_t shortest,
			    uint64_t *edge);

bool vmirq_pit_channel_out(const struct pit_channel *c, uint64_t t);
/* As software reads it: 16 bits, BCD if the counter is. */
uint16_t vmirq_pit_channel_count(const struct pit_channel *c, uint64_t t);
/* The count written last has not reached the counting element yet. */
bool vmirq_pit_channel_null_count(const struct pit_channel *c, uint64_t t);

void vmirq_pit_channel_control(struct pit_channel *c, uint64_t t, uint8_t access, uint8_t mode,
			       bool bcd);
/* The first of two bytes of a count was written. */
void vmirq_pit_channel_half(struct pit_channel *c, uint64_t t);
void vmirq_pit_channel_load(struct pit_channel *c, uint64_t t, uint16_t value);
void vmirq_pit_channel_gate(struct pit_channel *c, uint64_t t, bool gate);

/* The number of pulses that a count register's value stands for. */
uint32_t vmirq_pit_pulses(uint16_t value, bool bcd);

bool vmirq_pit_channel_validate(const struct pit_channel *c);

/* Modes 2 and 3 start over by themselves. */
static inline bool pit_periodic(const struct pit_channel *c)
{
	return c->mode == 2 || c->mode == 3;
}

/* Modes 1 and 5 wait for a rising edge of the gate. */
static inline bool pit_triggered(const struct pit_channel *c)
{
	return c->mode == 1 || c->mode == 5;
}

#endif
