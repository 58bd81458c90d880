// SPDX-License-Identifier: MIT
#include "pit.h"

#include "cpu.h"

#define PIT_PORT    0x40
#define PIT_CONTROL 0x43
#define PORT61	    0x61
/* Short, that one of them may pass undisturbed where the host is busy. */
#define MEASURE_MS   2
#define MEASUREMENTS 8

void pit_program(uint32_t counter, uint32_t mode, uint16_t count)
{
	outb(PIT_CONTROL, (uint8_t)(counter << 6 | PIT_LOW_THEN_HIGH | PIT_MODE(mode)));
	outb((uint16_t)(PIT_PORT + counter), (uint8_t)count);
	outb((uint16_t)(PIT_PORT + counter), (uint8_t)(count >> 8));
}

uint16_t pit_count(uint32_t counter)
{
	uint16_t port = (uint16_t)(PIT_PORT + counter);
	uint8_t low;

	outb(PIT_CONTROL, (uint8_t)(counter << 6));
	low = inb(port);
	return (uint16_t)(low | inb(port) << 8);
}

uint8_t pit_status(uint32_t counter)
{
	outb(PIT_CONTROL, (uint8_t)(PIT_READ_BACK | PIT_NO_COUNT | 2 << counter));
	return inb((uint16_t)(PIT_PORT + counter));
}

static uint64_t measure_once(void)
{
	uint64_t start;

	/* Mode 0: the output rises when the count is over; counting starts with the gate, or on
	 * some PITs with the count. */
	outb(PORT61, (uint8_t)(inb(PORT61) & ~(PORT61_GATE2 | PORT61_SPEAKER)));
	start = rdtsc();
	pit_program(2, 0, (uint16_t)(PIT_HZ * MEASURE_MS / 1000));
	outb(PORT61, (uint8_t)(inb(PORT61) | PORT61_GATE2));
	while (!(inb(PORT61) & PORT61_OUT2))
		pause();
	return (rdtsc() - start) / MEASURE_MS;
}

/* Whatever came between has made it longer: the shortest is the best. */
uint64_t pit_measure_tsc(void)
{
	uint64_t best = measure_once();

	for (uint32_t i = 1; i < MEASUREMENTS; i++) {
		uint64_t once = measure_once();

		if (once < best)
			best = once;
	}
	return best;
}
