/* SPDX-License-Identifier: MIT */
/* CPUs: number = initial APIC id, 0 is the first. */
#ifndef SMP_H
#define SMP_H

#include <stdbool.h>
#include <stdint.h>

#include "cpu.h"
#include "layout.h"

struct cpu {
	struct cpu *self; /* first: gs:0 */
	uint32_t index;
	bool x2apic;
	volatile uint64_t recover; /* see wrmsr_safe() */
	/* Set by who wants it done, cleared by this CPU when it is. */
	void (*volatile work)(void *arg);
	void *volatile arg;
	volatile uint32_t starts; /* how often it came out of the trampoline */
};

extern struct cpu cpus[CPUS_MAX];
extern uint32_t cpu_count; /* of the machine */

static inline struct cpu *this_cpu(void)
{
	struct cpu *cpu;

	__asm__("movq %%gs:0, %0" : "=r"(cpu));
	return cpu;
}

/* INIT, SIPI to all others, as the MP specification 1.4 says (B.4); waits until they are there,
 * with their APICs enabled and interrupts on. */
void smp_start(void);

/* Have it done on that CPU, and wait. With its own number it is a call. */
void on_cpu(uint32_t cpu, void (*work)(void *arg), void *arg);
/* On the other CPUs, then here. */
void on_all_cpus(void (*work)(void *arg), void *arg);

/* This vector wakes a CPU that has been given work. */
#define WORK_VECTOR 0xf1

#endif
