/* SPDX-License-Identifier: MIT */
/* A thread that traps after each of its instructions (the trap flag, SDM vol. 3B 18.3.1.4): SIGTRAP. */
#ifndef TESTS_SINGLE_STEP_H
#define TESTS_SINGLE_STEP_H

#include <signal.h>
#include <stdbool.h>
#include <stdio.h>

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

/* Can a thread be stepped here, with this handler, which counts in *steps? False: it says why not. */
static inline bool can_step(const struct sigaction *handler, const volatile sig_atomic_t *steps)
{
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
	(void)handler;
	(void)steps;
	puts("SKIP: a sanitizer's own instructions are not to be stepped");
	return false;
#endif
	sigaction(SIGTRAP, handler, NULL);
	step_on();
	__asm__ volatile("nop; nop");
	step_off();
	if (!*steps)
		puts("SKIP: the trap flag does not trap here");
	return *steps;
}

#endif
