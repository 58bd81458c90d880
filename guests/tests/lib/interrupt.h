/* SPDX-License-Identifier: MIT */
/* What comes in: counted and logged by CPU, ended with an EOI, or handled by a test's own
 * function. */
#ifndef INTERRUPT_H
#define INTERRUPT_H

#include <stdbool.h>
#include <stdint.h>

#include "layout.h"

/* What vectors.S and the CPU leave on the stack. */
struct frame {
	uint64_t r11, r10, r9, r8, rdi, rsi, rdx, rcx, rax;
	uint64_t vector;
	uint64_t error;
	uint64_t rip, cs, rflags, rsp, ss;
};

#define LOG_SIZE   64
#define NMI_VECTOR 2

typedef void handler(struct frame *frame);

/* For all CPUs. NULL: count, log and EOI for vectors from 32; the end of the test for
 * exceptions. */
void set_handler(uint32_t vector, handler *fn);

/* How often this vector came in on that CPU since the last forget_interrupts(). */
uint32_t count_of(uint32_t cpu, uint32_t vector);
/* On all CPUs together. */
uint32_t count_everywhere(uint32_t vector);
/* In which order this CPU took them; a handler's own logging included. */
uint32_t logged(uint32_t cpu);
uint32_t log_at(uint32_t cpu, uint32_t at);
void log_add(uint32_t word);
void forget_interrupts(void);

/* What a handler of the test's own calls to be counted. */
void count_interrupt(struct frame *frame);

/* False: #GP. */
bool wrmsr_safe(uint32_t msr, uint64_t value);
bool rdmsr_safe(uint32_t msr, uint64_t *value);

void idt_build(void);
void idt_load(void);

#endif
