/* SPDX-License-Identifier: MIT */
/**
 * @file test.h
 * What a test guest is made of. It gives test_name and test_main(), which checks and returns; the
 * library ends the machine with status 33 where every check held, and 35 where one did not.
 * A guest that is not for the machine that it is on ends it with 77.
 */
#ifndef TEST_H
#define TEST_H

#include <stdbool.h>
#include <stdint.h>

#include "cpu.h"

#define EXIT_PASS 0x10 /* what is written to the debug exit: QEMU's status is twice that and one */
#define EXIT_FAIL 0x11
#define EXIT_SKIP 0x26 /* 77 */

extern const char test_name[];
void test_main(void);

/* %u, %x (of up to 64 bits, always given as uint64_t), %s. One CPU at a time. */
void print(const char *format, ...);
_Noreturn void finish(void);
_Noreturn void give_up(const char *why);
_Noreturn void not_for_this_irqchip(const char *why);

/* A word of the command line behind the image's name. Where the local APICs are the kernel's, `vmirq boot`
 * adds "kvm". */
bool has_arg(const char *word);

void check_failed(const char *file, uint32_t line, const char *what, uint64_t is, uint64_t wanted);

#define CHECK(condition) \
	((condition) ? (void)0 : check_failed(__FILE_NAME__, __LINE__, #condition, 0, 1))

/* Each side is evaluated once. */
#define CHECK_EQ(is, wanted) \
	check_equal(__FILE_NAME__, __LINE__, #is, (uint64_t)(is), (uint64_t)(wanted))

static inline void check_equal(const char *file, uint32_t line, const char *what, uint64_t is,
			       uint64_t wanted)
{
	if (is != wanted)
		check_failed(file, line, what, is, wanted);
}

/* TSC ticks of a millisecond, against the PIT; measured once, at the start. */
extern uint64_t tsc_per_ms;

/* More than anything here takes, also on a host that has little time for this CPU. */
#define WAIT_MS 6000

#define WAIT_UNTIL(condition)                                                   \
	({                                                                      \
		uint64_t start_ = rdtsc();                                      \
		while (!(condition) && rdtsc() - start_ < WAIT_MS * tsc_per_ms) \
			pause();                                                \
		(condition);                                                    \
	})

/* Wait for it, and fail if it does not come. */
#define CHECK_COMES(condition) CHECK(WAIT_UNTIL(condition))

void wait_us(uint64_t us);
/* Long enough for what is on its way to arrive: for checks that nothing does. */
void settle(void);

#endif
