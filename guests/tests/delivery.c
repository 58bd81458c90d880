// SPDX-License-Identifier: MIT
/*
 * Every delivery mode (SDM vol. 3A 11.5.1, 11.6.1; 82093AA 3.2.4), by ICR and by IOAPIC, in one
 * place: what it does, and what it leaves alone.
 */
#include "lib/apic.h"
#include "lib/interrupt.h"
#include "lib/ioapic.h"
#include "lib/pic.h"
#include "lib/smp.h"
#include "lib/test.h"

#define PIN    9
#define VECTOR 0x61
#define SMI    (2u << 8)
#define PAGE   (TRAMPOLINE >> 12)

const char test_name[] = "delivery";

/* So many of the vector, so many NMIs, since the last time. */
static void expect_at(uint32_t line, uint32_t cpu, uint32_t vectors, uint32_t nmis)
{
	WAIT_UNTIL(count_of(cpu, VECTOR) >= vectors && count_of(cpu, NMI_VECTOR) >= nmis);
	settle();
	check_equal("delivery.c", line, "vectors", count_of(cpu, VECTOR), vectors);
	check_equal("delivery.c", line, "NMIs", count_of(cpu, NMI_VECTOR), nmis);
	check_equal("delivery.c", line, "of all CPUs", count_everywhere(VECTOR), vectors);
	forget_interrupts();
}

#define expect(cpu, vectors, nmis) expect_at(__LINE__, cpu, vectors, nmis)

static void by_icr(uint32_t cpu)
{
	apic_icr(ICR_FIXED | ICR_ASSERT | VECTOR, cpu);
	expect(cpu, 1, 0);
	apic_icr(ICR_LOWEST | ICR_ASSERT | VECTOR, cpu);
	expect(cpu, 1, 0);
	apic_icr(ICR_NMI | ICR_ASSERT | VECTOR, cpu);
	expect(cpu, 0, 1);
	/* The level bit is of no account for a fixed one. */
	apic_icr(ICR_FIXED | VECTOR, cpu);
	expect(cpu, 1, 0);
}

static void by_ioapic(uint32_t cpu)
{
	rte_set(PIN, RTE_FIXED | VECTOR, cpu);
	line_pulse(PIN);
	expect(cpu, 1, 0);
	rte_set(PIN, RTE_LOWEST | VECTOR, cpu);
	line_pulse(PIN);
	expect(cpu, 1, 0);
	rte_set(PIN, RTE_NMI | VECTOR, cpu);
	line_pulse(PIN);
	expect(cpu, 0, 1);
	rte_set(PIN, RTE_MASKED, 0);
}

/* It is nobody's here but the firmware's; the CPU goes on as it was. */
static void smi(uint32_t cpu)
{
	apic_icr(SMI | ICR_ASSERT, cpu);
	settle();
	apic_icr(ICR_FIXED | ICR_ASSERT | VECTOR, cpu);
	expect(cpu, 1, 0);
}

static void nothing(void *arg)
{
	(void)arg;
}

/* INIT stops a CPU for good, SIPI starts it. */
static void check_stopped_then_start(uint32_t cpu)
{
	uint32_t starts = cpus[cpu].starts;

	settle();
	/* Its APIC is software-disabled, for which QEMU's cares not. */
	if (!has_arg("qemu"))
		apic_icr(ICR_FIXED | ICR_ASSERT | VECTOR, cpu);
	expect(cpu, 0, 0);
	CHECK_EQ(cpus[cpu].starts, starts);
	apic_icr(ICR_SIPI | PAGE, cpu);
	CHECK_COMES(cpus[cpu].starts == starts + 1);
	on_cpu(cpu, nothing, 0);
	apic_icr(ICR_FIXED | ICR_ASSERT | VECTOR, cpu);
	expect(cpu, 1, 0);
}

static void init(uint32_t cpu)
{
	apic_icr(ICR_INIT | ICR_ASSERT, cpu);
	check_stopped_then_start(cpu);
	rte_set(PIN, RTE_INIT, cpu);
	line_pulse(PIN);
	rte_set(PIN, RTE_MASKED, 0);
	check_stopped_then_start(cpu);
}

/* Vectors below 16 are none: that is an error, told at the next write of ESR (11.5.3). */
static void illegal_vector(void)
{
	apic_write(APIC_ESR, 0);
	apic_write(APIC_ESR, 0);
	CHECK_EQ(apic_read(APIC_ESR), 0);
	apic_write(APIC_LVT_ERROR, VECTOR);
	apic_icr(ICR_FIXED | ICR_ASSERT | 5, 0);
	expect(0, 1, 0);
	CHECK_EQ(apic_read(APIC_ESR), 0);
	apic_write(APIC_ESR, 0);
	CHECK(apic_read(APIC_ESR) & ESR_SEND_ILLEGAL);
	apic_write(APIC_ESR, 0);
	CHECK_EQ(apic_read(APIC_ESR), 0);
	apic_write(APIC_LVT_ERROR, LVT_MASKED);
}

static void handle_extint(struct frame *frame)
{
	count_interrupt(frame);
	pic_command(PIC_MASTER, OCW2_EOI);
}

/* The vector is the 8259's. */
static void extint(void)
{
	set_handler(PIC_MASTER_VECTOR + 5, handle_extint);
	interrupts_off(); /* ICW1 opens every line for a while */
	pic_init(ICW4_8086, ICW4_8086);
	pic_mask((uint16_t) ~(1u << 5));
	interrupts_on();
	apic_write(APIC_LVT_LINT0, LVT_EXTINT | VECTOR);
	line_pulse(5);
	CHECK_COMES(count_of(0, PIC_MASTER_VECTOR + 5) == 1);
	expect(0, 0, 0);
	apic_write(APIC_LVT_LINT0, LVT_MASKED);
	pic_mask(0xffff);
}

void test_main(void)
{
	set_handler(NMI_VECTOR, count_interrupt);
	interrupts_on();
	smp_start();
	ioapic_mask_all();
	for (uint32_t cpu = 0; cpu < cpu_count; cpu++) {
		by_icr(cpu);
		by_ioapic(cpu);
		/* QEMU's firmware has no handler for it on the others. */
		if (cpu > 0 && !has_arg("qemu"))
			smi(cpu);
	}
	for (uint32_t cpu = 1; cpu < cpu_count; cpu++)
		init(cpu);
	extint();
	/* Neither QEMU's nor KVM's APIC has errors. */
	if (!has_arg("qemu") && !has_arg("kvm"))
		illegal_vector();
}
