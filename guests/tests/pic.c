// SPDX-License-Identifier: MIT
/*
 * The pair of 8259As (231468), through LINT0 of the first CPU (SDM vol. 3A 11.5.1, ExtINT), by
 * pc-testdev's lines: lines, masks, priority. Their modes are pic_modes.c's.
 */
#include "lib/pic.h"

#include "lib/apic.h"
#include "lib/interrupt.h"
#include "lib/ioapic.h"
#include "lib/pic_test.h"
#include "lib/test.h"

const char test_name[] = "pic";

static void masks_and_edges(void)
{
	pic_begin(0xffff);
	CHECK_EQ(pic_mask_read(), ONLY(PIC_CASCADE));
	line_pulse(5);
	CHECK_EQ(pic_irr(PIC_MASTER) & 0xf8, 1 << 5); /* kept behind the mask */
	CHECK_NOTHING();
	pic_mask(ONLY(5));
	CHECK_LOG(VECTOR(5));
	CHECK_EQ(pic_irr(PIC_MASTER) & 0xf8, 0);
	CHECK_EQ(pic_isr(PIC_MASTER), 0);
	line_set(5, true); /* an edge is one interrupt, however long it stays */
	CHECK_LOG(VECTOR(5));
	line_set(5, false);
	CHECK_NOTHING();
	line_pulse(12);
	CHECK_NOTHING();
	CHECK_EQ(pic_irr(PIC_SLAVE), 1 << 4);
	pic_mask(ONLY(12));
	CHECK_LOG(VECTOR(12));
	/* ICW1 forgets edges and clears the mask. */
	pic_mask(0xffff);
	line_pulse(6);
	interrupts_off();
	pic_init(ICW4_8086, ICW4_8086);
	CHECK_EQ(pic_irr(PIC_MASTER) & 0xf8, 0);
	interrupts_on();
	CHECK_NOTHING();
}

static void highest_first(void)
{
	pic_begin(0x0007);
	interrupts_off();
	line_pulse(7);
	line_pulse(3);
	line_pulse(14);
	line_pulse(9);
	interrupts_on();
	/* The slave's stand where IRQ 2 would. */
	CHECK_LOG(VECTOR(9), VECTOR(14), VECTOR(3), VECTOR(7));
}

/* IRQ 5's handler lets in IRQ 3 and not IRQ 6. */
static void handle_5(struct frame *frame)
{
	count_interrupt(frame);
	CHECK_EQ(pic_isr(PIC_MASTER), 1 << 5);
	interrupts_on();
	line_pulse(6);
	line_pulse(3);
	CHECK_COMES(logged(0) == 2);
	settle();
	CHECK_EQ(logged(0), 2);
	interrupts_off();
	CHECK_EQ(pic_irr(PIC_MASTER) & 0xf8, 1 << 6);
	log_add(DONE(5));
	pic_end(frame);
}

static void fully_nested(void)
{
	pic_begin(0x0007);
	set_handler(VECTOR(5), handle_5);
	line_pulse(5);
	CHECK_LOG(VECTOR(5), VECTOR(3), DONE(5), VECTOR(6));
}

static uint32_t lower_at;

static void handle_level(struct frame *frame)
{
	count_interrupt(frame);
	if (logged(0) == lower_at)
		line_set(frame->vector >= PIC_SLAVE_VECTOR ? 11 : 5, false);
	pic_end(frame);
}

static void levels(void)
{
	pic_begin(0xffff);
	pic_elcr(1 << 5 | 1 << 11);
	CHECK_EQ(pic_elcr_read(), 1 << 5 | 1 << 11);
	line_set(5, true);
	CHECK_EQ(pic_irr(PIC_MASTER) & 0xf8, 1 << 5);
	line_set(5, false);
	CHECK_EQ(pic_irr(PIC_MASTER) & 0xf8, 0); /* gone with the line */
	set_handler(VECTOR(5), handle_level);
	set_handler(VECTOR(11), handle_level);
	pic_mask(0x0007);
	lower_at = 3;
	line_set(5, true);
	CHECK_LOG(VECTOR(5), VECTOR(5), VECTOR(5));
	lower_at = 2;
	line_set(11, true);
	CHECK_LOG(VECTOR(11), VECTOR(11));
	/* IRQ 0, 1, 2, 8 and 13 are edges for ever. */
	pic_elcr(0xffff);
	CHECK_EQ(pic_elcr_read(), 0xdef8);
	pic_elcr(0);
}

/* What a line that is gone leaves: the lowest, without a bit in service. */
static void spurious(void)
{
	pic_begin(0xffff);
	interrupts_off();
	pic_mask(0x0007);
	pic_elcr(1 << 5);
	line_set(5, true);
	line_set(5, false);
	pic_set_all(pic_count_only);
	interrupts_on();
	settle();
	/* Either it was seen to go in time, or it is spurious; never IRQ 5. */
	CHECK_EQ(count_of(0, VECTOR(5)), 0);
	CHECK_EQ(pic_isr(PIC_MASTER), 0);
	CHECK_EQ(logged(0), count_of(0, VECTOR(7)));
	forget_interrupts();
}

/* ExtINT: LINT0 lets it in or not, and TPR has no say (SDM vol. 3A 11.8.3). */
static void through_lint0(void)
{
	pic_begin(0x0007);
	/* KVM looks only when the 8259's output rises. */
	if (!has_arg("kvm")) {
		apic_write(APIC_LVT_LINT0, LVT_MASKED | LVT_EXTINT);
		line_pulse(5);
		CHECK_NOTHING();
		apic_write(APIC_LVT_LINT0, LVT_EXTINT);
		CHECK_LOG(VECTOR(5));
	}
	apic_write(APIC_TPR, 0xff);
	line_pulse(5);
	CHECK_LOG(VECTOR(5));
	apic_write(APIC_TPR, 0);
	/* Nothing of it is the APIC's to end. */
	CHECK(!apic_bit(APIC_ISR, VECTOR(5)) && !apic_bit(APIC_IRR, VECTOR(5)));
	interrupts_off();
	line_pulse(5);
	interrupts_on_and_halt();
	CHECK_LOG(VECTOR(5));
}

/* Both have it: the 8259's goes before the APIC's own. */
static void beside_ioapic(void)
{
	pic_begin(ONLY(5));
	rte_set(5, 0x91, 0);
	interrupts_off();
	line_pulse(5);
	interrupts_on();
	CHECK_COMES(logged(0) == 2);
	settle();
	CHECK_EQ(count_of(0, VECTOR(5)), 1);
	CHECK_EQ(count_of(0, 0x91), 1);
	forget_interrupts();
	rte_set(5, RTE_MASKED, 0);
	pic_mask(0xffff);
}

void test_main(void)
{
	ioapic_mask_all();
	apic_write(APIC_LVT_LINT0, LVT_EXTINT);
	masks_and_edges();
	highest_first();
	fully_nested();
	levels();
	spurious();
	through_lint0();
	beside_ioapic();
}
