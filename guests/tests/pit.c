// SPDX-License-Identifier: MIT
/* The 8254 (data sheet 231164): modes, latches, read-back, gate, and its interrupt. */
#include "lib/pit.h"

#include "lib/apic.h"
#include "lib/interrupt.h"
#include "lib/ioapic.h"
#include "lib/smp.h"
#include "lib/test.h"

#define VECTOR 0x61
#define PIN    2 /* of GSI 0 */
#define PORT61 0x61
#define MS(n)  ((uint16_t)(PIT_HZ * (n) / 1000))

/* In the status byte: mode and access as they were programmed. */
#define STATUS_SET 0x3f

const char test_name[] = "pit";

static void gate(bool open)
{
	uint8_t value = inb(PORT61) & (uint8_t) ~(PORT61_GATE2 | PORT61_SPEAKER);

	outb(PORT61, open ? value | PORT61_GATE2 : value);
	CHECK_EQ(inb(PORT61) & PORT61_GATE2, open ? PORT61_GATE2 : 0);
}

/* The PITs of QEMU and KVM count in mode 0 whatever the gate is, and go on counting when a mode
 * is set until its count comes. */
static bool is_exact(void)
{
	return !has_arg("qemu") && !has_arg("kvm");
}

static void terminal_count(void)
{
	uint64_t start;

	gate(false);
	start = rdtsc();
	pit_program(2, 0, MS(5));
	CHECK(!(inb(PORT61) & PORT61_OUT2));
	CHECK_EQ(pit_status(2) & STATUS_SET, PIT_LOW_THEN_HIGH | PIT_MODE(0));
	if (is_exact()) {
		wait_us(8000);
		CHECK(!(inb(PORT61) & PORT61_OUT2));
		start = rdtsc();
	}
	gate(true);
	CHECK_COMES(inb(PORT61) & PORT61_OUT2);
	CHECK(rdtsc() - start >= 4 * tsc_per_ms);
	CHECK(pit_status(2) & PIT_STATUS_OUT);
	wait_us(1000);
	CHECK(inb(PORT61) & PORT61_OUT2);
}

static void rate(void)
{
	uint16_t last;
	uint32_t falls = 0;

	gate(true);
	pit_program(2, 2, MS(20));
	last = pit_count(2);
	CHECK(last <= MS(20));
	for (uint32_t i = 0; i < 10; i++) {
		uint16_t now;

		wait_us(50);
		now = pit_count(2);
		if (now < last)
			falls++;
		last = now;
	}
	CHECK(falls >= 8); /* it goes down, and comes round seldom */
}

static void latch_holds(void)
{
	uint16_t first;
	uint16_t second;

	gate(true);
	pit_program(2, 2, 0);
	wait_us(100);
	outb(0x43, 2 << 6);
	wait_us(500);
	outb(0x43, 2 << 6); /* not read yet: does nothing */
	wait_us(500);
	first = inb(0x42);
	first = (uint16_t)(first | inb(0x42) << 8);
	second = inb(0x42);
	second = (uint16_t)(second | inb(0x42) << 8);
	/* 1 ms is some 1193 counts. */
	CHECK((uint16_t)(first - second) >= 1000);
}

static void read_back(void)
{
	uint8_t status;
	uint16_t count;

	pit_program(2, 3, 1000);
	/* Status and count of counter 2 in one command: status comes first. */
	outb(0x43, PIT_READ_BACK | 2 << 2);
	status = inb(0x42);
	count = inb(0x42);
	count = (uint16_t)(count | inb(0x42) << 8);
	CHECK_EQ(status & STATUS_SET, PIT_LOW_THEN_HIGH | PIT_MODE(3));
	CHECK(count <= 1000);
	/* One byte of the count only. */
	outb(0x43, 2 << 6 | 0x10 | PIT_MODE(0));
	outb(0x42, 0x80);
	CHECK_EQ(pit_status(2) & STATUS_SET, 0x10 | PIT_MODE(0));
}

static void one_interrupt(void)
{
	uint64_t start = rdtsc();

	pit_program(0, 0, MS(5));
	CHECK_COMES(count_of(0, VECTOR) == 1);
	CHECK(rdtsc() - start >= 4 * tsc_per_ms);
	wait_us(8000);
	CHECK_EQ(count_of(0, VECTOR), 1);
	forget_interrupts();
}

static void periodic(uint32_t mode)
{
	uint64_t start = rdtsc();

	rte_set_low(PIN, VECTOR);
	pit_program(0, mode, MS(4));
	CHECK_COMES(count_of(0, VECTOR) >= 10);
	/* One late tick may be followed by another soon. */
	if (mode != 3 || !has_arg("qemu")) /* which has two a period then */
		CHECK(rdtsc() - start >= 30 * tsc_per_ms);
	CHECK(rdtsc() - start < 3000 * tsc_per_ms);
	/* A mode without a count stops it. Masked meanwhile: it may owe ticks, and pays them
	 * late. */
	rte_set_low(PIN, RTE_MASKED | VECTOR);
	outb(0x43, PIT_LOW_THEN_HIGH | PIT_MODE(0));
	if (!is_exact())
		pit_program(0, 0, 1);
	settle();
	/* The kernel's ticks come from a thread of its own, late on a host that is busy. */
	if (has_arg("kvm"))
		wait_us(100000);
	pit_status(0);
	forget_interrupts();
	rte_set_low(PIN, VECTOR);
	wait_us(10000);
	CHECK_EQ(count_of(0, VECTOR), 0);
}

static void wakes_from_halt(void)
{
	interrupts_off();
	pit_program(0, 0, MS(3));
	interrupts_on_and_halt();
	CHECK_EQ(count_of(0, VECTOR), 1);
	forget_interrupts();
}

void test_main(void)
{
	interrupts_on();
	ioapic_mask_all();
	terminal_count();
	rate();
	latch_holds();
	read_back();
	pit_program(0, 0, 1); /* whatever the firmware left ticking */
	settle();
	/* In case its last tick is late: an access has it told. */
	pit_status(0);
	rte_set(PIN, VECTOR, 0);
	one_interrupt();
	periodic(2);
	periodic(3);
	wakes_from_halt();
}
