/* SPDX-License-Identifier: MIT */
/* A thread that traps after each of its instructions (the trap flag, SDM vol. 3B 18.3.1.4): SIGTRAP. */
#ifndef TESTS_SINGLE_STEP_H
#define TESTS_SINGLE_STEP_H

/* The red zone is not ours to push on. */
static inline __attribute__((always_inline)) void step_on(void)
{
	__asm__ volatile("lea -128(%%rsp), %%rsp; pushfq; orq $0x100, (%%rsp); popfq; "
			 "lea 128(%%rsp), %%rsp" ::
				 : "memory", "cc");
}

static inline __attribute__((always_inline)) void step_off(void)
{
	__asm__ volatile("lea -128(%%rsp), %%rsp; pushfq; andq $~0x100, (%%rsp); popfq; "
			 "lea 128(%%rsp), %%rsp" ::
				 : "memory", "cc");
}

#endif
