// SPDX-License-Identifier: MIT
/*
 * Which interrupt comes first and which may come into another's handler (SDM vol. 3A 11.8.3,
 * 11.8.4, 11.8.5, 11.8.6), all by self-IPIs of one CPU.
 */
#include "lib/apic.h"
#include "lib/interrupt.h"
#include "lib/smp.h"
#include "lib/test.h"

const char test_name[] = "priority";

/* What a handler logs of itself at its end. */
#define DONE(vector) (0x100 | (vector))

static void raise(uint32_t vector)
{
	apic_icr(ICR_SELF | ICR_ASSERT | vector, 0);
}

static void check_log(const char *what, uint32_t n, const uint32_t *words)
{
	if (logged(0) != n)
		check_failed("priority.c", __LINE__, what, logged(0), n);
	for (uint32_t i = 0; i < n; i++)
		if (log_at(0, i) != words[i])
			check_failed("priority.c", i, what, log_at(0, i), words[i]);
	forget_interrupts();
}

#define CHECK_LOG(what, ...) \
	check_log(what, sizeof((uint32_t[]){ __VA_ARGS__ }) / 4, (uint32_t[]){ __VA_ARGS__ })

static void highest_first(void)
{
	interrupts_off();
	raise(0x51);
	raise(0xe1);
	raise(0x31);
	raise(0x52);
	raise(0x52); /* pending already: one for both */
	CHECK(apic_bit(APIC_IRR, 0x51) && apic_bit(APIC_IRR, 0xe1));
	CHECK(apic_bit(APIC_IRR, 0x31) && apic_bit(APIC_IRR, 0x52));
	CHECK(!apic_bit(APIC_IRR, 0x53));
	CHECK_EQ(logged(0), 0);
	interrupts_on();
	CHECK_COMES(logged(0) == 4);
	settle();
	CHECK(!apic_bit(APIC_IRR, 0x51) && !apic_bit(APIC_IRR, 0x52));
	CHECK_LOG("highest first", 0xe1, 0x52, 0x51, 0x31);
}

static void tpr_holds_back(void)
{
	apic_write(APIC_TPR, 0x50);
	CHECK_EQ(apic_read(APIC_PPR), 0x50);
	raise(0x5f); /* of the same class */
	raise(0x31);
	settle();
	CHECK_EQ(logged(0), 0);
	raise(0x61);
	CHECK_COMES(logged(0) == 1);
	apic_write(APIC_TPR, 0x4f); /* the low half does not count */
	CHECK_EQ(apic_read(APIC_PPR), 0x4f);
	CHECK_COMES(logged(0) == 2);
	settle();
	CHECK_EQ(logged(0), 2);
	apic_write(APIC_TPR, 0x2f);
	CHECK_COMES(logged(0) == 3);
	CHECK_LOG("as TPR lets them", 0x61, 0x5f, 0x31);
	apic_write(APIC_TPR, 0);
}

static void cr8_is_tpr(void)
{
	write_cr8(7);
	CHECK_EQ(apic_read(APIC_TPR), 0x70);
	apic_write(APIC_TPR, 0xa3);
	CHECK_EQ(read_cr8(), 10);
	write_cr8(11);
	CHECK_EQ(apic_read(APIC_TPR), 0xb0); /* SDM vol. 3A 11.8.6.1: bits 3:0 are cleared */
	write_cr8(10);
	raise(0xa1);
	raise(0x41);
	settle();
	CHECK_EQ(logged(0), 0);
	write_cr8(9);
	CHECK_COMES(logged(0) == 1);
	write_cr8(15);
	raise(0xef);
	settle();
	CHECK_EQ(logged(0), 1);
	write_cr8(0);
	CHECK_COMES(logged(0) == 3);
	settle();
	CHECK_LOG("as CR8 lets them", 0xa1, 0xef, 0x41);
	CHECK_EQ(apic_read(APIC_TPR), 0);
}

/* Of 0x51: lets higher classes in, which come at once, and not its own. */
static void handle_51(struct frame *frame)
{
	count_interrupt(frame);
	CHECK(apic_bit(APIC_ISR, 0x51) && !apic_bit(APIC_IRR, 0x51));
	CHECK_EQ(apic_read(APIC_PPR), 0x50);
	interrupts_on();
	raise(0x52);
	raise(0x41);
	wait_us(200);
	CHECK_EQ(logged(0), 1);
	raise(0x61);
	CHECK_COMES(logged(0) >= 3);
	CHECK(apic_bit(APIC_ISR, 0x51) && !apic_bit(APIC_ISR, 0x61));
	CHECK(apic_bit(APIC_IRR, 0x52));
	interrupts_off();
	log_add(DONE(0x51));
	apic_eoi();
	CHECK(!apic_bit(APIC_ISR, 0x51));
}

static void handle_61(struct frame *frame)
{
	count_interrupt(frame);
	CHECK(apic_bit(APIC_ISR, 0x51) && apic_bit(APIC_ISR, 0x61));
	CHECK_EQ(apic_read(APIC_PPR), 0x60);
	log_add(DONE(0x61));
	apic_eoi();
	CHECK_EQ(apic_read(APIC_PPR), 0x50);
}

static void higher_comes_into_lower(void)
{
	set_handler(0x51, handle_51);
	set_handler(0x61, handle_61);
	raise(0x51);
	CHECK_COMES(logged(0) >= 6);
	settle();
	CHECK_LOG("nesting", 0x51, 0x61, DONE(0x61), DONE(0x51), 0x52, 0x41);
	set_handler(0x51, 0);
	set_handler(0x61, 0);
}

/* TPR above what is in service: PPR is TPR's; below: PPR is the class in service. */
static void handle_ppr(struct frame *frame)
{
	count_interrupt(frame);
	apic_write(APIC_TPR, 0x83);
	CHECK_EQ(apic_read(APIC_PPR), 0x83);
	apic_write(APIC_TPR, 0x73);
	CHECK_EQ(apic_read(APIC_PPR), 0x73);
	apic_write(APIC_TPR, 0x6f);
	CHECK_EQ(apic_read(APIC_PPR), 0x70);
	apic_write(APIC_TPR, 0);
	apic_eoi();
	CHECK_EQ(apic_read(APIC_PPR), 0);
}

static void ppr_follows(void)
{
	set_handler(0x75, handle_ppr);
	raise(0x75);
	CHECK_COMES(logged(0) == 1);
	settle();
	CHECK_LOG("PPR", 0x75);
	set_handler(0x75, 0);
}

static void handle_91_without_eoi(struct frame *frame)
{
	count_interrupt(frame);
}

/* EOI ends the highest in service, whoever writes it. */
static void handle_81(struct frame *frame)
{
	count_interrupt(frame);
	interrupts_on();
	raise(0x91);
	CHECK_COMES(logged(0) == 2);
	interrupts_off();
	CHECK(apic_bit(APIC_ISR, 0x91) && apic_bit(APIC_ISR, 0x81));
	CHECK_EQ(apic_read(APIC_PPR), 0x90);
	apic_eoi();
	CHECK(!apic_bit(APIC_ISR, 0x91) && apic_bit(APIC_ISR, 0x81));
	CHECK_EQ(apic_read(APIC_PPR), 0x80);
	apic_eoi();
	CHECK(!apic_bit(APIC_ISR, 0x81));
	CHECK_EQ(apic_read(APIC_PPR), 0);
	apic_eoi(); /* nothing in service: nothing happens */
}

static void eoi_ends_the_highest(void)
{
	set_handler(0x81, handle_81);
	set_handler(0x91, handle_91_without_eoi);
	raise(0x81);
	CHECK_COMES(logged(0) == 2);
	settle();
	CHECK_LOG("EOI", 0x81, 0x91);
	set_handler(0x81, 0);
	set_handler(0x91, 0);
}

static uint32_t again;

/* One in service and one pending: what comes besides is lost. */
static void handle_twice(struct frame *frame)
{
	count_interrupt(frame);
	if (!again) {
		again = 1;
		raise(0xb1);
		raise(0xb1);
		CHECK(apic_bit(APIC_ISR, 0xb1) && apic_bit(APIC_IRR, 0xb1));
	}
	apic_eoi();
}

static void one_more_may_wait(void)
{
	set_handler(0xb1, handle_twice);
	raise(0xb1);
	CHECK_COMES(logged(0) == 2);
	settle();
	CHECK_LOG("one more", 0xb1, 0xb1);
	set_handler(0xb1, 0);
}

static void sti_and_hlt(void)
{
	interrupts_off();
	raise(0x61);
	interrupts_on_and_halt();
	CHECK_EQ(logged(0), 1);
	interrupts_off();
	forget_interrupts();
	/* The instruction behind STI runs before an interrupt: one behind that is not needed. */
	raise(0x61);
	__asm__ volatile("sti; cli" : : : "memory");
	CHECK_EQ(logged(0), 0);
	interrupts_on();
	CHECK_COMES(logged(0) == 1);
	forget_interrupts();
}

void test_main(void)
{
	interrupts_on();
	highest_first();
	tpr_holds_back();
	cr8_is_tpr();
	sti_and_hlt();
	/* The kernel's here never shows what is in service, and lets everything in. */
	if (has_arg("kvm"))
		return;
	higher_comes_into_lower();
	ppr_follows();
	eoi_ends_the_highest();
	one_more_may_wait();
}
