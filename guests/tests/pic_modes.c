// SPDX-License-Identifier: MIT
/* Modes of the 8259As (231468): how an interrupt ends, who comes next, who comes in between. */
#include "lib/pic.h"

#include "lib/apic.h"
#include "lib/interrupt.h"
#include "lib/ioapic.h"
#include "lib/pic_test.h"
#include "lib/test.h"

const char test_name[] = "pic_modes";

/* A non-specific EOI ends the highest in service, a specific one what it names. */
static void specific_eoi(void)
{
	pic_begin(0x0007);
	pic_set_all(pic_count_only);
	line_pulse(5);
	CHECK_COMES(logged(0) == 1);
	line_pulse(3);
	CHECK_COMES(logged(0) == 2);
	CHECK_EQ(pic_isr(PIC_MASTER), 1 << 5 | 1 << 3);
	pic_command(PIC_MASTER, OCW2_SPECIFIC | 5);
	CHECK_EQ(pic_isr(PIC_MASTER), 1 << 3);
	line_pulse(4);
	settle();
	CHECK_EQ(logged(0), 2);
	pic_command(PIC_MASTER, OCW2_EOI);
	CHECK_COMES(logged(0) == 3);
	CHECK_EQ(pic_isr(PIC_MASTER), 1 << 4);
	pic_command(PIC_MASTER, OCW2_EOI);
	CHECK_EQ(pic_isr(PIC_MASTER), 0);
	CHECK_LOG(VECTOR(5), VECTOR(3), VECTOR(4));
}

static void auto_eoi(void)
{
	pic_begin_as(ICW4_8086 | ICW4_AUTO_EOI, ICW4_8086 | ICW4_AUTO_EOI, 0xffff);
	pic_set_all(pic_count_only);
	pic_mask(0x0007);
	line_pulse(5);
	CHECK_COMES(logged(0) == 1);
	CHECK_EQ(pic_isr(PIC_MASTER), 0);
	line_pulse(5);
	line_pulse(13);
	CHECK_COMES(logged(0) == 3);
	CHECK_EQ(pic_isr(PIC_SLAVE), 0);
	CHECK_LOG(VECTOR(5), VECTOR(5), VECTOR(13));
}

static void three_at_once(void)
{
	interrupts_off();
	line_pulse(3);
	line_pulse(5);
	line_pulse(7);
	interrupts_on();
}

static void rotation(void)
{
	pic_begin(0x0007);
	pic_command(PIC_MASTER, OCW2_SET_PRIORITY | 3); /* 3 is the lowest: 4 the highest */
	three_at_once();
	CHECK_LOG(VECTOR(5), VECTOR(7), VECTOR(3));
	pic_command(PIC_MASTER, OCW2_SET_PRIORITY | 7);
	three_at_once();
	CHECK_LOG(VECTOR(3), VECTOR(5), VECTOR(7));
	/* Rotate on EOI: what was served becomes the lowest. */
	pic_set_all(pic_count_only);
	line_pulse(5);
	CHECK_COMES(logged(0) == 1);
	pic_command(PIC_MASTER, OCW2_ROTATE_EOI);
	CHECK_EQ(pic_isr(PIC_MASTER), 0);
	forget_interrupts();
	pic_set_all(pic_count_and_end);
	three_at_once();
	CHECK_LOG(VECTOR(7), VECTOR(3), VECTOR(5));
	/* By its name too, and in automatic EOI after each. */
	pic_set_all(pic_count_only);
	line_pulse(3);
	CHECK_COMES(logged(0) == 1);
	pic_command(PIC_MASTER, OCW2_ROTATE_EOI | 0x40 | 3);
	CHECK_EQ(pic_isr(PIC_MASTER), 0);
	forget_interrupts();
	pic_set_all(pic_count_and_end);
	three_at_once();
	CHECK_LOG(VECTOR(5), VECTOR(7), VECTOR(3));
}

/* IRQ 3's handler masks its line and lets in lower ones. */
static void handle_3_special(struct frame *frame)
{
	count_interrupt(frame);
	pic_mask(0x0007 | 1 << 3);
	pic_command(PIC_MASTER, OCW3 | OCW3_SMM_ON);
	interrupts_on();
	line_pulse(6);
	CHECK_COMES(logged(0) == 2);
	interrupts_off();
	pic_command(PIC_MASTER, OCW3 | OCW3_SMM_OFF);
	CHECK_EQ(pic_isr(PIC_MASTER), 1 << 3);
	log_add(DONE(3));
	pic_command(PIC_MASTER, OCW2_SPECIFIC | 3);
}

static void handle_6_special(struct frame *frame)
{
	count_interrupt(frame);
	pic_command(PIC_MASTER, OCW2_SPECIFIC | 6);
}

static void special_mask(void)
{
	pic_begin(0x0007);
	set_handler(VECTOR(3), handle_3_special);
	set_handler(VECTOR(6), handle_6_special);
	line_pulse(3);
	CHECK_LOG(VECTOR(3), VECTOR(6), DONE(3));
	pic_mask(0xffff);
}

/* The master lets a higher line of the slave into the handler of a lower one. */
static void handle_13(struct frame *frame)
{
	bool nested = frame->vector == VECTOR(9);

	count_interrupt(frame);
	if (!nested) {
		interrupts_on();
		line_pulse(9);
		CHECK_COMES(logged(0) == 2);
		interrupts_off();
		log_add(DONE(13));
	}
	pic_command(PIC_SLAVE, OCW2_EOI);
	if (!pic_isr(PIC_SLAVE))
		pic_command(PIC_MASTER, OCW2_EOI);
}

static void special_fully_nested(void)
{
	pic_begin_as(ICW4_8086 | ICW4_SFNM, ICW4_8086, 0xffff);
	set_handler(VECTOR(13), handle_13);
	set_handler(VECTOR(9), handle_13);
	pic_mask(0x0007);
	line_pulse(13);
	CHECK_LOG(VECTOR(13), VECTOR(9), DONE(13));
	CHECK_EQ(pic_isr(PIC_MASTER) | pic_isr(PIC_SLAVE), 0);
}

/* Polled in place of an interrupt. The number is all that every one of them agrees on. */
static void poll(void)
{
	pic_begin(0xffff);
	interrupts_off();
	pic_mask(0x0007);
	line_pulse(6);
	line_pulse(4);
	pic_command(PIC_MASTER, OCW3 | OCW3_POLL);
	CHECK_EQ(inb(PIC_MASTER) & 7, 4);
	CHECK_EQ(pic_irr(PIC_MASTER) & 0xf8, 1 << 6);
	pic_command(PIC_MASTER, OCW2_EOI);
	pic_command(PIC_MASTER, OCW3 | OCW3_POLL);
	CHECK_EQ(inb(PIC_MASTER) & 7, 6);
	CHECK_EQ(pic_irr(PIC_MASTER) & 0xf8, 0);
	pic_command(PIC_MASTER, OCW2_EOI);
	interrupts_on();
	CHECK_NOTHING();
}

void test_main(void)
{
	ioapic_mask_all();
	apic_write(APIC_LVT_LINT0, LVT_EXTINT);
	specific_eoi();
	auto_eoi();
	rotation();
	/* KVM's does nothing of the kind. */
	if (!has_arg("kvm"))
		special_mask();
	special_fully_nested();
	poll();
}
