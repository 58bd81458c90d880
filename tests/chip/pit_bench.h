/* SPDX-License-Identifier: MIT */
/* A PIT with a clock that the test turns, and a note of what it called. */
#ifndef PIT_BENCH_H
#define PIT_BENCH_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "chip/pit.h"

struct pit_bench {
	struct pit pit;
	uint64_t now;
	bool locked;
	bool level;
	uint64_t pulses;
	uint64_t moves; /* of the deadline */
	bool ack;	/* acknowledge each tick at once, as a guest that keeps up */
};

void bench_init(struct pit_bench *b, enum pit_policy policy, uint64_t shortest);
void bench_out(struct pit_bench *b, uint16_t port, uint8_t value);
uint8_t bench_in(struct pit_bench *b, uint16_t port);
/* Control word and count of a counter, both bytes. */
void bench_program(struct pit_bench *b, unsigned int counter, unsigned int mode, uint16_t count);
/* To the time of a pulse. */
void bench_go(struct pit_bench *b, uint64_t tick);
/* Through every deadline up to a pulse, as the owner's timer does it. */
void bench_run(struct pit_bench *b, uint64_t tick);

static inline uint32_t bench_random(uint64_t *state)
{
	*state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (uint32_t)(*state >> 33);
}

#endif
