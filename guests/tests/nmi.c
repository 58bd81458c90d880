// SPDX-License-Identifier: MIT
/* Non-maskable interrupts (SDM vol. 3A 6.7): by IPI and by IOAPIC, masked by nothing but
 * themselves. */
#include "lib/apic.h"
#include "lib/interrupt.h"
#include "lib/ioapic.h"
#include "lib/smp.h"
#include "lib/test.h"

#define PIN    9
#define VECTOR 0x61

const char test_name[] = "nmi";

static uint32_t nmis(uint32_t cpu)
{
	return count_of(cpu, NMI_VECTOR);
}

static void send(uint32_t cpu)
{
	/* The vector does not matter. */
	apic_icr(ICR_NMI | ICR_ASSERT | VECTOR, cpu);
}

static void to_self(void)
{
	send(0);
	CHECK_COMES(nmis(0) == 1);
	interrupts_off();
	send(0);
	CHECK_COMES(nmis(0) == 2);
	apic_write(APIC_TPR, 0xff);
	send(0);
	CHECK_COMES(nmis(0) == 3);
	apic_write(APIC_TPR, 0);
	interrupts_on();
	settle();
	CHECK_EQ(nmis(0), 3);
	CHECK_EQ(count_of(0, VECTOR), 0);
	forget_interrupts();
}

static volatile uint32_t inside;

/* Another NMI waits for IRET, and there is room for one that waits. */
static void handle_with_another(struct frame *frame)
{
	CHECK_EQ(inside, 0);
	inside = 1;
	count_interrupt(frame);
	if (nmis(0) == 1) {
		send(0);
		send(0);
		settle();
		CHECK_EQ(nmis(0), 1);
	}
	inside = 0;
}

static void blocked_by_itself(void)
{
	set_handler(NMI_VECTOR, handle_with_another);
	send(0);
	CHECK_COMES(nmis(0) == 2);
	settle();
	CHECK_EQ(nmis(0), 2);
	set_handler(NMI_VECTOR, count_interrupt);
	forget_interrupts();
}

/* An NMI comes into an interrupt's handler; an interrupt does not come into the NMI's. */
static void handle_interrupt(struct frame *frame)
{
	count_interrupt(frame);
	send(0);
	CHECK_COMES(nmis(0) == 1);
	apic_eoi();
}

static void handle_nmi_with_interrupt(struct frame *frame)
{
	count_interrupt(frame);
	apic_icr(ICR_SELF | ICR_ASSERT | (VECTOR + 0x10), 0);
	settle();
	CHECK_EQ(count_of(0, VECTOR + 0x10), 0);
}

static void into_a_handler(void)
{
	set_handler(VECTOR, handle_interrupt);
	set_handler(NMI_VECTOR, handle_nmi_with_interrupt);
	apic_icr(ICR_SELF | ICR_ASSERT | VECTOR, 0);
	CHECK_COMES(count_of(0, VECTOR + 0x10) == 1);
	CHECK_EQ(log_at(0, 0), VECTOR);
	CHECK_EQ(log_at(0, 1), NMI_VECTOR);
	CHECK_EQ(log_at(0, 2), VECTOR + 0x10);
	set_handler(VECTOR, 0);
	set_handler(NMI_VECTOR, count_interrupt);
	forget_interrupts();
}

static volatile uint32_t halted;

static void halt_with_interrupts_off(void *arg)
{
	uint32_t before = nmis(this_cpu()->index);

	(void)arg;
	interrupts_off();
	halted = 1;
	while (nmis(this_cpu()->index) == before)
		__asm__ volatile("hlt" : : : "memory");
	halted = 0;
	interrupts_on();
}

static void wakes(uint32_t cpu)
{
	halted = 0;
	cpus[cpu].arg = 0;
	cpus[cpu].work = halt_with_interrupts_off;
	apic_icr(ICR_FIXED | ICR_ASSERT | WORK_VECTOR, cpu);
	CHECK_COMES(halted);
	/* An interrupt does not wake it. */
	apic_icr(ICR_FIXED | ICR_ASSERT | VECTOR, cpu);
	settle();
	CHECK(halted);
	CHECK_EQ(count_of(cpu, VECTOR), 0);
	send(cpu);
	CHECK_COMES(!halted);
	CHECK_EQ(nmis(cpu), 1);
	CHECK_COMES(count_of(cpu, VECTOR) == 1);
	CHECK_COMES(!cpus[cpu].work);
	forget_interrupts();
}

static void to_others(void)
{
	apic_icr(ICR_NMI | ICR_ASSERT | ICR_ALL_BUT_SELF, 0);
	for (uint32_t cpu = 1; cpu < cpu_count; cpu++)
		CHECK_COMES(nmis(cpu) == 1);
	settle();
	CHECK_EQ(nmis(0), 0);
	CHECK_EQ(count_everywhere(NMI_VECTOR), cpu_count - 1);
	forget_interrupts();
}

static void by_ioapic(void)
{
	for (uint32_t cpu = 0; cpu < cpu_count; cpu++) {
		rte_set(PIN, RTE_NMI | VECTOR, cpu);
		line_pulse(PIN);
		CHECK_COMES(nmis(cpu) == 1);
		settle();
		CHECK_EQ(nmis(cpu), 1);
		CHECK_EQ(count_of(cpu, VECTOR), 0);
		forget_interrupts();
	}
	rte_set(PIN, RTE_MASKED, 0);
}

void test_main(void)
{
	set_handler(NMI_VECTOR, count_interrupt);
	interrupts_on();
	smp_start();
	ioapic_mask_all();
	to_self();
	blocked_by_itself();
	into_a_handler();
	for (uint32_t cpu = 1; cpu < cpu_count; cpu++)
		wakes(cpu);
	to_others();
	by_ioapic();
}
