/* SPDX-License-Identifier: MIT */
/* The 8254 (data sheet 231164) at 0x40, and port 0x61. */
#ifndef PIT_H
#define PIT_H

#include <stdint.h>

#define PIT_HZ		  1193182u
#define PIT_GSI		  0

#define PIT_LOW_THEN_HIGH 0x30
#define PIT_MODE(n)	  ((n) << 1)
#define PIT_READ_BACK	  0xc0
#define PIT_NO_COUNT	  0x20
#define PIT_NO_STATUS	  0x10

#define PIT_STATUS_OUT	  0x80
#define PIT_STATUS_NULL	  0x40

#define PORT61_GATE2	  0x01
#define PORT61_SPEAKER	  0x02
#define PORT61_OUT2	  0x20

/* Counter, mode, count (0 = 65536). */
void pit_program(uint32_t counter, uint32_t mode, uint16_t count);
/* Latched first. */
uint16_t pit_count(uint32_t counter);
uint8_t pit_status(uint32_t counter);

/* TSC ticks of a millisecond, by counter 2. */
uint64_t pit_measure_tsc(void);

#endif
