// SPDX-License-Identifier: MIT
#include "smp.h"

#include "apic.h"
#include "interrupt.h"
#include "pic.h"
#include "pit.h"
#include "test.h"

#define FW_CFG_SELECT 0x510
#define FW_CFG_DATA   0x511
#define FW_CFG_CPUS   5

extern const char trampoline[];
extern const char trampoline_end[];
void cpu_main(uint32_t index);

struct cpu cpus[CPUS_MAX];
uint32_t cpu_count;

static uint32_t read_cpu_count(void)
{
	uint32_t n;

	outw(FW_CFG_SELECT, FW_CFG_CPUS);
	n = inb(FW_CFG_DATA);
	n |= (uint32_t)inb(FW_CFG_DATA) << 8;
	return n;
}

static void work(struct frame *frame)
{
	(void)frame;
	apic_eoi();
}

static void do_work(struct cpu *cpu)
{
	void (*fn)(void *arg) = cpu->work;

	if (!fn)
		return;
	fn(cpu->arg);
	cpu->work = 0;
}

static _Noreturn void serve(struct cpu *cpu)
{
	for (;;) {
		interrupts_off();
		while (cpu->work) {
			interrupts_on();
			do_work(cpu);
			interrupts_off();
		}
		interrupts_on_and_halt();
	}
}

/* Of every CPU, on its own stack, interrupts off. */
void cpu_main(uint32_t index)
{
	struct cpu *cpu = &cpus[index];

	if (index >= CPUS_MAX)
		for (;;)
			__asm__ volatile("cli; hlt");
	cpu->self = cpu;
	cpu->index = index;
	cpu->x2apic = false;
	cpu->work = 0;
	wrmsr(MSR_GS_BASE, (uint64_t)cpu);
	if (index == 0) {
		/* The firmware may have left some open, at vectors of its own. */
		pic_mask(0xffff);
		tsc_per_ms = pit_measure_tsc();
		cpu_count = read_cpu_count();
		if (!cpu_count || cpu_count > CPUS_MAX)
			give_up("a number of CPUs that cannot be");
		idt_build();
		set_handler(WORK_VECTOR, work);
	}
	idt_load();
	apic_enable();
	if (index == 0) {
		test_main();
		finish();
	}
	cpu->starts++;
	serve(cpu);
}

void smp_start(void)
{
	char *to = (char *)TRAMPOLINE;

	for (const char *from = trampoline; from != trampoline_end; from++)
		*to++ = *from;
	for (uint32_t i = 1; i < cpu_count; i++)
		cpus[i].starts = 0;
	apic_icr(ICR_INIT | ICR_ASSERT | ICR_ALL_BUT_SELF, 0);
	wait_us(10000);
	/* Twice: a CPU that did not hear the first; one that did is not there to hear the
	 * second. */
	apic_icr(ICR_SIPI | TRAMPOLINE >> 12 | ICR_ALL_BUT_SELF, 0);
	wait_us(200);
	apic_icr(ICR_SIPI | TRAMPOLINE >> 12 | ICR_ALL_BUT_SELF, 0);
	for (uint32_t i = 1; i < cpu_count; i++)
		if (!WAIT_UNTIL(cpus[i].starts))
			give_up("a CPU did not start");
}

void on_cpu(uint32_t index, void (*fn)(void *arg), void *arg)
{
	struct cpu *cpu = &cpus[index];

	if (index == this_cpu()->index) {
		fn(arg);
		return;
	}
	cpu->arg = arg;
	cpu->work = fn;
	apic_icr(ICR_FIXED | ICR_ASSERT | WORK_VECTOR, index);
	if (!WAIT_UNTIL(!cpu->work))
		give_up("a CPU did not do its work");
}

void on_all_cpus(void (*fn)(void *arg), void *arg)
{
	for (uint32_t i = 1; i < cpu_count; i++)
		on_cpu(i, fn, arg);
	fn(arg);
}
