// SPDX-License-Identifier: MIT
#include "interrupt.h"

#include "apic.h"
#include "smp.h"
#include "test.h"

#define GATE_INTERRUPT 0x8e /* present, clears RFLAGS.IF */
#define GP_VECTOR      13

struct gate {
	uint16_t offset_15_0;
	uint16_t selector;
	uint8_t ist;
	uint8_t type;
	uint16_t offset_31_16;
	uint32_t offset_63_32;
	uint32_t reserved;
};

struct table_register {
	uint16_t limit;
	uint64_t base;
} __attribute__((packed));

extern const char vector_stubs[];
void interrupt(struct frame *frame);

static _Alignas(16) struct gate idt[256];
static handler *handlers[256];
static volatile uint32_t counts[CPUS_MAX][256];
static volatile uint32_t logs[CPUS_MAX][LOG_SIZE];
static volatile uint32_t log_lengths[CPUS_MAX];

void set_handler(uint32_t vector, handler *fn)
{
	handlers[vector] = fn;
}

uint32_t count_of(uint32_t cpu, uint32_t vector)
{
	return counts[cpu][vector];
}

uint32_t count_everywhere(uint32_t vector)
{
	uint32_t sum = 0;

	for (uint32_t i = 0; i < cpu_count; i++)
		sum += counts[i][vector];
	return sum;
}

uint32_t logged(uint32_t cpu)
{
	return log_lengths[cpu];
}

uint32_t log_at(uint32_t cpu, uint32_t at)
{
	return at < log_lengths[cpu] ? logs[cpu][at] : ~0u;
}

void log_add(uint32_t word)
{
	uint32_t cpu = this_cpu()->index;

	if (log_lengths[cpu] < LOG_SIZE) {
		logs[cpu][log_lengths[cpu]] = word;
		log_lengths[cpu]++;
	}
}

/* Only where something was counted: writing them all would take the CPUs milliseconds. */
void forget_interrupts(void)
{
	for (uint32_t cpu = 0; cpu < cpu_count; cpu++) {
		for (uint32_t i = 0; i < log_lengths[cpu]; i++)
			counts[cpu][logs[cpu][i] & 0xff] = 0;
		log_lengths[cpu] = 0;
	}
}

void count_interrupt(struct frame *frame)
{
	/* In this order: who has seen the count and forgets it finds it in the log. */
	log_add((uint32_t)frame->vector);
	counts[this_cpu()->index][frame->vector]++;
}

static void exception(struct frame *frame)
{
	struct cpu *cpu = this_cpu();

	if (frame->vector == GP_VECTOR && cpu->recover) {
		frame->rip = cpu->recover;
		cpu->recover = 0;
		return;
	}
	print("CPU %u: exception %u, error 0x%x, rip 0x%x\n", (uint64_t)cpu->index, frame->vector,
	      frame->error, frame->rip);
	give_up("an exception");
}

void interrupt(struct frame *frame)
{
	if (handlers[frame->vector]) {
		handlers[frame->vector](frame);
	} else if (frame->vector < EXCEPTIONS) {
		exception(frame);
	} else {
		count_interrupt(frame);
		apic_eoi();
	}
}

/* A #GP goes on at label 1, with recover zeroed. */
bool wrmsr_safe(uint32_t msr, uint64_t value)
{
	struct cpu *cpu = this_cpu();
	bool ok;

	__asm__ volatile("movq $1f, %[recover]\n\t"
			 "wrmsr\n"
			 "1:"
			 : [recover] "+m"(cpu->recover)
			 : "c"(msr), "a"((uint32_t)value), "d"((uint32_t)(value >> 32))
			 : "memory");
	ok = cpu->recover != 0;
	cpu->recover = 0;
	return ok;
}

bool rdmsr_safe(uint32_t msr, uint64_t *value)
{
	struct cpu *cpu = this_cpu();
	uint32_t low = 0;
	uint32_t high = 0;
	bool ok;

	__asm__ volatile("movq $1f, %[recover]\n\t"
			 "rdmsr\n"
			 "1:"
			 : [recover] "+m"(cpu->recover), "+a"(low), "+d"(high)
			 : "c"(msr)
			 : "memory");
	ok = cpu->recover != 0;
	cpu->recover = 0;
	*value = low | (uint64_t)high << 32;
	return ok;
}

void idt_build(void)
{
	for (uint32_t vector = 0; vector < 256; vector++) {
		uint64_t stub = (uint64_t)vector_stubs + (uint64_t)vector * VECTOR_STUB_SIZE;

		idt[vector] = (struct gate){
			.offset_15_0 = (uint16_t)stub,
			.selector = CODE64_SELECTOR,
			.type = GATE_INTERRUPT,
			.offset_31_16 = (uint16_t)(stub >> 16),
			.offset_63_32 = (uint32_t)(stub >> 32),
		};
	}
}

void idt_load(void)
{
	const struct table_register idtr = {
		.limit = sizeof(idt) - 1,
		.base = (uint64_t)idt,
	};

	__asm__ volatile("lidt %0" : : "m"(idtr), "m"(idt));
}
