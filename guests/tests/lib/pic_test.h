/* SPDX-License-Identifier: MIT */
/* What the tests of the 8259s share: both anew, handlers that end what they count, and a check of what
 * came in which order. */
#ifndef PIC_TEST_H
#define PIC_TEST_H

#include <stdint.h>

#include "interrupt.h"
#include "pic.h"

#define VECTOR(irq) \
	((uint32_t)((irq) < 8 ? PIC_MASTER_VECTOR + (irq) : PIC_SLAVE_VECTOR - 8 + (irq)))
#define ONLY(irq) ((uint16_t) ~(1u << (irq)))
#define DONE(irq) (0x100u | (irq))

void pic_end(struct frame *frame);
void pic_count_and_end(struct frame *frame);
void pic_count_only(struct frame *frame);
void pic_set_all(handler *fn);

/* ICW4 of each, then the mask; every line low, every vector counted and ended, interrupts on. */
void pic_begin_as(uint8_t icw4_master, uint8_t icw4_slave, uint16_t mask);
void pic_begin(uint16_t mask);

/* This and nothing else has come since the last check. */
void pic_check_log(const char *file, uint32_t line, uint32_t n, const uint32_t *words);

#define CHECK_LOG(...)                                                                  \
	pic_check_log(__FILE_NAME__, __LINE__, sizeof((uint32_t[]){ __VA_ARGS__ }) / 4, \
		      (uint32_t[]){ __VA_ARGS__ })
#define CHECK_NOTHING() pic_check_log(__FILE_NAME__, __LINE__, 0, 0)

#endif
