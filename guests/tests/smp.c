// SPDX-License-Identifier: MIT
/* Starting CPUs: INIT and SIPI (SDM vol. 3A 9.4, 11.4.7.3, 11.6.1; MP specification 1.4, B.4). */
#include "lib/smp.h"
#include "lib/apic.h"
#include "lib/interrupt.h"
#include "lib/test.h"

#define VECTOR 0x61
#define PAGE   (TRAMPOLINE >> 12)

const char test_name[] = "smp";

static uint32_t id;
static uint64_t base;

static void tell(void *arg)
{
	(void)arg;
	id = apic_id();
	base = rdmsr(MSR_APIC_BASE);
}

static void check_who_is_there(void)
{
	for (uint32_t i = 0; i < cpu_count; i++) {
		on_cpu(i, tell, 0);
		CHECK_EQ(id, i);
		CHECK_EQ(base, APIC_PAGE | APIC_BASE_EN | (i == 0 ? APIC_BASE_BSP : 0));
	}
}

static void check_sipi_to_running(uint32_t cpu)
{
	uint32_t starts = cpus[cpu].starts;

	apic_icr(ICR_SIPI | PAGE, cpu);
	settle();
	CHECK_EQ(cpus[cpu].starts, starts);
	on_cpu(cpu, tell, 0);
	CHECK_EQ(id, cpu);
}

static volatile bool closed;

/* Busy with interrupts off, until INIT ends it. */
static void close_ears(void *arg)
{
	(void)arg;
	interrupts_off();
	closed = true;
	for (;;)
		pause();
}

static void check_init_takes_all_away(uint32_t cpu)
{
	uint32_t starts = cpus[cpu].starts;

	forget_interrupts();
	closed = false;
	cpus[cpu].arg = 0;
	cpus[cpu].work = close_ears;
	apic_icr(ICR_FIXED | ICR_ASSERT | WORK_VECTOR, cpu);
	CHECK_COMES(closed);
	apic_icr(ICR_FIXED | ICR_ASSERT | VECTOR, cpu); /* pending when INIT comes */
	apic_icr(ICR_INIT | ICR_ASSERT, cpu);
	settle();
	/* Not running, and its APIC is software-disabled: this one is lost, but for QEMU's. */
	if (!has_arg("qemu"))
		apic_icr(ICR_FIXED | ICR_ASSERT | VECTOR, cpu);
	settle();
	CHECK_EQ(cpus[cpu].starts, starts);
	apic_icr(ICR_SIPI | PAGE, cpu);
	CHECK_COMES(cpus[cpu].starts == starts + 1);
	on_cpu(cpu, tell, 0);
	CHECK_EQ(id, cpu);
	CHECK_EQ(base, APIC_PAGE | APIC_BASE_EN);
	settle();
	CHECK_EQ(count_of(cpu, VECTOR), 0);
	apic_icr(ICR_FIXED | ICR_ASSERT | VECTOR, cpu);
	CHECK_COMES(count_of(cpu, VECTOR) == 1);
}

/* With level de-assert it only sets arbitration ids, which nothing has any more. */
static void check_init_deassert(uint32_t cpu)
{
	uint32_t starts = cpus[cpu].starts;

	apic_icr(ICR_INIT | ICR_LEVEL | ICR_ALL, 0);
	settle();
	on_cpu(cpu, tell, 0);
	CHECK_EQ(id, cpu);
	CHECK_EQ(cpus[cpu].starts, starts);
}

static void check_again_all(void)
{
	smp_start();
	check_who_is_there();
}

void test_main(void)
{
	interrupts_on();
	smp_start();
	check_who_is_there();
	for (uint32_t cpu = 1; cpu < cpu_count; cpu++) {
		check_sipi_to_running(cpu);
		check_init_takes_all_away(cpu);
	}
	if (cpu_count > 1)
		check_init_deassert(1);
	check_again_all();
}
