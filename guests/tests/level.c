// SPDX-License-Identifier: MIT
/* Level-triggered interrupts: Remote-IRR, EOI, who holds the line (82093AA 3.2.4; SDM vol. 3A
 * 11.8.5). */
#include "lib/apic.h"
#include "lib/interrupt.h"
#include "lib/ioapic.h"
#include "lib/smp.h"
#include "lib/test.h"

#define PIN	   10
#define PIN_TOO	   11
#define VECTOR	   0x61
#define HIGHER	   0x91
#define SERIAL_GSI 4
#define SERIAL	   0x3f8
#define SERIAL_IER (SERIAL + 1)
#define SERIAL_IIR (SERIAL + 2)
#define SERIAL_MCR (SERIAL + 4)
#define IER_SENT   2
#define IIR_SENT   2
#define MCR_OUT2   8

const char test_name[] = "level";

static uint32_t lower_at; /* the handler lowers the line at its so many-th call; 0: not */
static uint32_t raise_at; /* and raises it after that, before its EOI */
static volatile uint32_t calls;

static void handle(struct frame *frame)
{
	count_interrupt(frame);
	calls++;
	CHECK(rte_low(PIN) & RTE_REMOTE_IRR);
	CHECK(apic_bit(APIC_ISR, VECTOR) && apic_bit(APIC_TMR, VECTOR));
	if (calls == lower_at)
		line_set(PIN, false);
	if (calls == raise_at)
		line_set(PIN, true);
	/* Remote-IRR is EOI's to clear, not the line's. */
	CHECK(rte_low(PIN) & RTE_REMOTE_IRR);
	apic_eoi();
}

static void expect(uint32_t n)
{
	CHECK_COMES(calls >= n);
	settle();
	CHECK_EQ(calls, n);
	CHECK_COMES(!(rte_low(PIN) & RTE_REMOTE_IRR));
	calls = lower_at = raise_at = 0;
	forget_interrupts();
}

static void one_holder(void)
{
	rte_set(PIN, RTE_LEVEL | VECTOR, 0);
	lower_at = 1;
	line_set(PIN, true);
	expect(1);
	/* Still high at EOI: again. */
	lower_at = 5;
	line_set(PIN, true);
	expect(5);
	/* Low and high again within the handler: one more. */
	lower_at = 1;
	raise_at = 1;
	line_set(PIN, true);
	CHECK_COMES(calls >= 2);
	line_set(PIN, false);
	WAIT_UNTIL(!(rte_low(PIN) & RTE_REMOTE_IRR));
	settle();
	CHECK(calls >= 2);
	calls = lower_at = raise_at = 0;
	forget_interrupts();
}

/* Raised and lowered before it is taken: it still comes, once; there is no taking back. */
static void gone_before_taken(void)
{
	interrupts_off();
	line_set(PIN, true);
	line_set(PIN, false);
	CHECK(rte_low(PIN) & RTE_REMOTE_IRR);
	/* While Remote-IRR is set a rise is coalesced into it. */
	line_set(PIN, true);
	line_set(PIN, false);
	interrupts_on();
	expect(1);
}

/* Another vector's EOI does not end it. */
static void handle_with_higher(struct frame *frame)
{
	count_interrupt(frame);
	calls++;
	interrupts_on();
	apic_icr(ICR_SELF | ICR_ASSERT | HIGHER, 0);
	CHECK_COMES(count_of(0, HIGHER));
	interrupts_off();
	CHECK(!apic_bit(APIC_TMR, HIGHER));
	CHECK(rte_low(PIN) & RTE_REMOTE_IRR);
	line_set(PIN, false);
	apic_eoi();
}

static void the_right_eoi(void)
{
	set_handler(VECTOR, handle_with_higher);
	line_set(PIN, true);
	expect(1);
	set_handler(VECTOR, handle);
}

/* Both pins have one vector: an EOI ends both, and the one still high comes again. */
static void handle_two(struct frame *frame)
{
	count_interrupt(frame);
	calls++;
	line_set(calls == 1 ? PIN : PIN_TOO, false);
	apic_eoi();
}

static void two_pins_one_vector(void)
{
	set_handler(VECTOR, handle_two);
	rte_set(PIN_TOO, RTE_LEVEL | VECTOR, 0);
	interrupts_off();
	line_set(PIN, true);
	line_set(PIN_TOO, true);
	CHECK(rte_low(PIN) & rte_low(PIN_TOO) & RTE_REMOTE_IRR);
	interrupts_on();
	expect(2);
	CHECK(!(rte_low(PIN_TOO) & RTE_REMOTE_IRR));
	rte_set(PIN_TOO, RTE_MASKED, 0);
	set_handler(VECTOR, handle);
}

/* Pins of two priorities that share nothing. */
static void two_pins_two_vectors(void)
{
	rte_set(PIN_TOO, RTE_LEVEL | HIGHER, 0);
	interrupts_off();
	line_set(PIN, true);
	line_set(PIN_TOO, true);
	line_set(PIN_TOO, false);
	lower_at = 1;
	interrupts_on();
	CHECK_COMES(logged(0) >= 2);
	CHECK_EQ(log_at(0, 0), HIGHER);
	CHECK_EQ(log_at(0, 1), VECTOR);
	expect(1);
	rte_set(PIN_TOO, RTE_MASKED, 0);
}

/* A handler that masks its pin and leaves the work to others. */
static void handle_one_shot(struct frame *frame)
{
	count_interrupt(frame);
	calls++;
	rte_set_low(PIN, RTE_LEVEL | RTE_MASKED | VECTOR);
	apic_eoi();
}

static void masked_while_high(void)
{
	set_handler(VECTOR, handle_one_shot);
	line_set(PIN, true);
	expect(1);
	rte_set_low(PIN, RTE_LEVEL | VECTOR); /* still high */
	expect(1);
	line_set(PIN, false);
	rte_set_low(PIN, RTE_LEVEL | VECTOR);
	expect(0);
	/* Risen while masked. */
	rte_set_low(PIN, RTE_LEVEL | RTE_MASKED | VECTOR);
	line_set(PIN, true);
	expect(0);
	rte_set_low(PIN, RTE_LEVEL | VECTOR);
	expect(1);
	line_set(PIN, false);
	/* And fallen before it is unmasked. */
	line_set(PIN, true);
	line_set(PIN, false);
	rte_set_low(PIN, RTE_LEVEL | VECTOR);
	expect(0);
	set_handler(VECTOR, handle);
}

static volatile uint32_t serial_calls;

static void handle_serial(struct frame *frame)
{
	count_interrupt(frame);
	serial_calls++;
	/* First one device lets go of the line, then the other. */
	if (serial_calls == 2)
		line_set(SERIAL_GSI, false);
	if (serial_calls == 4)
		CHECK_EQ(inb(SERIAL_IIR) & 0x0f, IIR_SENT);
	apic_eoi();
}

/* Not on QEMU, where the last of two devices to speak wins, and so it is on the kernel's
 * irqchip. */
static void two_devices_one_line(void)
{
	set_handler(VECTOR, handle_serial);
	interrupts_off();
	outb(SERIAL_MCR, MCR_OUT2);
	outb(SERIAL_IER, IER_SENT); /* asserts: it is empty */
	line_set(SERIAL_GSI, true);
	rte_set(SERIAL_GSI, RTE_LEVEL | VECTOR, 0);
	interrupts_on();
	CHECK_COMES(serial_calls >= 4);
	settle();
	CHECK_EQ(serial_calls, 4);
	outb(SERIAL_IER, 0);
	rte_set(SERIAL_GSI, RTE_MASKED, 0);
	set_handler(VECTOR, handle);
	forget_interrupts();
}

/* To edge and back: that clears Remote-IRR, which has no other way out without an EOI. */
static void edge_clears_remote_irr(void)
{
	interrupts_off();
	line_set(PIN, true);
	CHECK(rte_low(PIN) & RTE_REMOTE_IRR);
	line_set(PIN, false);
	rte_set_low(PIN, RTE_MASKED | VECTOR);
	CHECK(!(rte_low(PIN) & RTE_REMOTE_IRR));
	set_handler(VECTOR, 0);
	interrupts_on(); /* it is the LAPIC's since long */
	CHECK_COMES(count_of(0, VECTOR) == 1);
	settle();
	CHECK_EQ(count_of(0, VECTOR), 1);
	set_handler(VECTOR, handle);
	forget_interrupts();
}

static void on_another_cpu(void)
{
	uint32_t cpu = cpu_count - 1;

	rte_set(PIN, RTE_LEVEL | VECTOR, cpu);
	lower_at = 3;
	line_set(PIN, true);
	CHECK_COMES(calls >= 3);
	settle();
	CHECK_EQ(count_of(cpu, VECTOR), 3);
	expect(3);
}

void test_main(void)
{
	if (has_arg("kvm"))
		not_for_this_irqchip("the local APIC shows no ISR bit and takes a level twice");
	interrupts_on();
	smp_start();
	ioapic_mask_all();
	set_handler(VECTOR, handle);
	one_holder();
	gone_before_taken();
	the_right_eoi();
	two_pins_one_vector();
	two_pins_two_vectors();
	masked_while_high();
	edge_clears_remote_irr();
	if (!has_arg("qemu"))
		two_devices_one_line();
	on_another_cpu();
}
