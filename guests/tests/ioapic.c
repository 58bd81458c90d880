// SPDX-License-Identifier: MIT
/* The IOAPIC's registers, its edge-triggered pins, and where they lead (82093AA, 290566, 3.2). */
#include "lib/ioapic.h"
#include "lib/apic.h"
#include "lib/interrupt.h"
#include "lib/pit.h"
#include "lib/smp.h"
#include "lib/test.h"

#define PIN    9
#define VECTOR 0x61
#define OTHER  0x71

const char test_name[] = "ioapic";

static void registers(void)
{
	uint32_t version = ioapic_read(IOAPIC_VERSION);
	uint32_t id = ioapic_read(IOAPIC_ID);

	CHECK((version & 0xff) == 0x11 || (version & 0xff) == 0x20);
	CHECK_EQ(version >> 16, IOAPIC_PINS - 1);
	ioapic_write(IOAPIC_ID, 0x05000000);
	CHECK_EQ(ioapic_read(IOAPIC_ID), 0x05000000);
	ioapic_write(IOAPIC_ID, id);
	ioapic_write(IOAPIC_VERSION, 0); /* read only */
	CHECK_EQ(ioapic_read(IOAPIC_VERSION), version);
	for (uint32_t pin = 0; pin < IOAPIC_PINS; pin++)
		CHECK(rte_low(pin) & RTE_MASKED);
	rte_set(PIN, RTE_MASKED | RTE_STATUS | RTE_REMOTE_IRR | VECTOR, 0xab);
	CHECK_EQ(rte_low(PIN), RTE_MASKED | VECTOR); /* two bits are read only */
	CHECK_EQ(rte_high(PIN), 0xab000000);
	rte_set(PIN, RTE_MASKED | RTE_LEVEL | RTE_LOW_ACTIVE | RTE_LOGICAL | RTE_LOWEST | VECTOR,
		0);
	CHECK_EQ(rte_low(PIN),
		 RTE_MASKED | RTE_LEVEL | RTE_LOW_ACTIVE | RTE_LOGICAL | RTE_LOWEST | VECTOR);
	rte_set(PIN, RTE_MASKED, 0);
}

/* So many came to this CPU and none to others. */
static void expect_at(uint32_t line, uint32_t cpu, uint32_t vector, uint32_t n)
{
	WAIT_UNTIL(count_of(cpu, vector) >= n);
	settle();
	check_equal("ioapic.c", line, "came to the CPU", count_of(cpu, vector), n);
	check_equal("ioapic.c", line, "came to all", count_everywhere(vector), n);
	forget_interrupts();
}

#define expect(cpu, vector, n) expect_at(__LINE__, cpu, vector, n)

static void edges(void)
{
	rte_set(PIN, VECTOR, 0);
	line_pulse(PIN);
	expect(0, VECTOR, 1);
	/* High for long is one edge. */
	line_set(PIN, true);
	expect(0, VECTOR, 1);
	/* Said again it is none; QEMU's IOAPIC takes it for one. */
	if (!has_arg("qemu")) {
		line_set(PIN, true);
		expect(0, VECTOR, 0);
	}
	line_set(PIN, false);
	expect(0, VECTOR, 0);
	line_set(PIN, true);
	expect(0, VECTOR, 1);
	line_set(PIN, false);
	/* Two before one is taken are one. */
	interrupts_off();
	line_pulse(PIN);
	line_pulse(PIN);
	CHECK(apic_bit(APIC_IRR, VECTOR) && !apic_bit(APIC_TMR, VECTOR));
	CHECK(!(rte_low(PIN) & RTE_REMOTE_IRR));
	interrupts_on();
	expect(0, VECTOR, 1);
	for (uint32_t i = 0; i < 20; i++) {
		line_pulse(PIN);
		CHECK_COMES(count_of(0, VECTOR) == i + 1);
	}
	expect(0, VECTOR, 20);
}

static void masks(void)
{
	rte_set(PIN, RTE_MASKED | VECTOR, 0);
	line_pulse(PIN);
	expect(0, VECTOR, 0);
	/* A masked edge is gone (3.2.4, Interrupt Mask). */
	rte_set_low(PIN, VECTOR);
	expect(0, VECTOR, 0);
	line_pulse(PIN);
	expect(0, VECTOR, 1);
}

static void every_pin(void)
{
	/* QEMU 7.2's pc-testdev dies of more. */
	uint32_t pins = has_arg("qemu") ? 16 : IOAPIC_PINS;

	for (uint32_t pin = 3; pin < pins; pin++) {
		if (pin == 4 || pin == 8)
			continue; /* the serial port's and the clock's */
		rte_set(pin, OTHER + pin, 0);
		line_pulse(pin);
		CHECK_COMES(count_of(0, OTHER + pin) == 1);
		rte_set(pin, RTE_MASKED, 0);
	}
	settle();
	CHECK_EQ(logged(0), pins - 5);
	forget_interrupts();
}

/* GSI 0 comes in at pin 2, as on every PC. */
static void gsi_0_is_pin_2(void)
{
	/* The PIT has that line too: its output is to be low meanwhile. */
	pit_program(0, 0, 0);
	rte_set(0, OTHER, 0);
	rte_set(2, VECTOR, 0);
	line_pulse(0);
	expect(0, VECTOR, 1);
	CHECK_EQ(count_of(0, OTHER), 0);
	rte_set(0, RTE_MASKED, 0);
	rte_set(2, RTE_MASKED, 0);
}

static void set_flat(void *arg)
{
	(void)arg;
	apic_write(APIC_DFR, DFR_FLAT);
	apic_write(APIC_LDR, 1u << (24 + this_cpu()->index));
}

static void destinations(void)
{
	uint32_t everybody = (1u << cpu_count) - 1;

	for (uint32_t cpu = 0; cpu < cpu_count; cpu++) {
		rte_set(PIN, VECTOR, cpu);
		line_pulse(PIN);
		expect(cpu, VECTOR, 1);
	}
	rte_set(PIN, VECTOR, cpu_count + 3);
	line_pulse(PIN);
	expect(0, VECTOR, 0);
	on_all_cpus(set_flat, 0);
	for (uint32_t mask = 1; mask <= everybody; mask++) {
		rte_set(PIN, RTE_LOGICAL | VECTOR, mask);
		line_pulse(PIN);
		for (uint32_t cpu = 0; cpu < cpu_count; cpu++)
			CHECK_COMES(count_of(cpu, VECTOR) == (mask >> cpu & 1));
		settle();
		for (uint32_t cpu = 0; cpu < cpu_count; cpu++)
			CHECK_EQ(count_of(cpu, VECTOR), mask >> cpu & 1);
		forget_interrupts();
	}
	rte_set(PIN, RTE_LOGICAL | RTE_LOWEST | VECTOR, everybody);
	line_pulse(PIN);
	CHECK_COMES(count_everywhere(VECTOR));
	settle();
	CHECK_EQ(count_everywhere(VECTOR), 1);
	forget_interrupts();
	rte_set(PIN, VECTOR, 0xff);
	line_pulse(PIN);
	for (uint32_t cpu = 0; cpu < cpu_count; cpu++)
		CHECK_COMES(count_of(cpu, VECTOR) == 1);
	forget_interrupts();
	rte_set(PIN, VECTOR, 0);
}

/* Where it leads changes with its pin unmasked, from one write to the next. */
static void changes_under_way(void)
{
	for (uint32_t i = 0; i < 8; i++) {
		uint32_t cpu = i % cpu_count;

		ioapic_write(0x11 + 2 * PIN, cpu << 24);
		rte_set_low(PIN, i & 1 ? VECTOR : OTHER);
		line_pulse(PIN);
		expect(cpu, i & 1 ? VECTOR : OTHER, 1);
	}
	rte_set(PIN, RTE_MASKED, 0);
}

void test_main(void)
{
	interrupts_on();
	smp_start();
	registers();
	edges();
	masks();
	every_pin();
	gsi_0_is_pin_2();
	destinations();
	changes_under_way();
}
