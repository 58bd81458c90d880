// SPDX-License-Identifier: MIT
/* The IOAPIC's lines: what each change of one sends, and the ticks of the RTC. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ioapic_world.h"

/*
 * Lines.
 */

static void an_edge_is_sent_once_per_rise(void **state)
{
	struct world w;

	(void)state;
	start(&w, 24, 0x11);
	put_rte(&w, PIN, DEST(3) | 0x51);
	assert_line(&w, PIN, true, VMIRQ_DELIVERED, 1);
	assert_sent(&w, 1, 0x51, 3, DELIVERY_FIXED, false);
	assert_false(in_service(&w, PIN));
	assert_line(&w, PIN, true, VMIRQ_COALESCED, 0);
	/* The second source still holds it. */
	assert_line(&w, PIN, false, VMIRQ_COALESCED, 0);
	assert_line(&w, PIN, false, VMIRQ_DELIVERED, 1);
	assert_int_equal(w.sents, 1);
	assert_line(&w, PIN, true, VMIRQ_DELIVERED, 1);
	assert_sent(&w, 2, 0x51, 3, DELIVERY_FIXED, false);
}

static void a_masked_edge_stays_unsent_at_unmask(void **state)
{
	struct world w;

	(void)state;
	start(&w, 24, 0x11);
	put_rte(&w, PIN, DEST(3) | MASKED | 0x51);
	assert_line(&w, PIN, true, VMIRQ_RTE_MASKED, -1);
	put_low(&w, PIN, 0x51);
	assert_int_equal(w.sents, 0);
	assert_line(&w, PIN, true, VMIRQ_COALESCED, 0);
	down(&w);
	down(&w);
	assert_line(&w, PIN, true, VMIRQ_DELIVERED, 1);
	assert_sent(&w, 1, 0x51, 3, DELIVERY_FIXED, false);
	/* The other polarity changes nothing: lines are given as asserted or not. */
	down(&w);
	put_low(&w, PIN, 0x2052);
	assert_line(&w, PIN, true, VMIRQ_DELIVERED, 1);
	assert_sent(&w, 2, 0x52, 3, DELIVERY_FIXED, false);
}

static void a_level_is_sent_until_its_line_is_low(void **state)
{
	struct world w;

	(void)state;
	start_level(&w);
	assert_line(&w, PIN, true, VMIRQ_REMOTE_IRR, -1);
	eoi(&w, 0x51);
	assert_sent(&w, 2, 0x51, 3, DELIVERY_FIXED, true);
	assert_true(in_service(&w, PIN));
	/* One of two sources lets go: nothing changes. */
	assert_line(&w, PIN, false, VMIRQ_REMOTE_IRR, -1);
	eoi(&w, 0x51);
	assert_sent(&w, 3, 0x51, 3, DELIVERY_FIXED, true);
	assert_line(&w, PIN, false, VMIRQ_DELIVERED, 1);
	assert_true(in_service(&w, PIN));
	eoi(&w, 0x51);
	assert_false(in_service(&w, PIN));
	assert_int_equal(w.sents, 3);
	/* Never below 0. */
	assert_line(&w, PIN, false, VMIRQ_DELIVERED, 1);
	assert_line(&w, PIN, true, VMIRQ_DELIVERED, 1);
	assert_sent(&w, 4, 0x51, 3, DELIVERY_FIXED, true);
}

static void a_masked_level_is_sent_at_unmask_if_still_high(void **state)
{
	struct world w;

	(void)state;
	start(&w, 24, 0x11);
	put_rte(&w, PIN, DEST(3) | MASKED | LEVEL | 0x51);
	assert_line(&w, PIN, true, VMIRQ_RTE_MASKED, -1);
	put_low(&w, PIN, LEVEL | 0x51);
	assert_sent(&w, 1, 0x51, 3, DELIVERY_FIXED, true);
	/* Masked in service: the EOI frees it, the unmask sends it. */
	put_low(&w, PIN, MASKED | LEVEL | 0x51);
	assert_true(in_service(&w, PIN));
	eoi(&w, 0x51);
	assert_false(in_service(&w, PIN));
	assert_int_equal(w.sents, 1);
	put_low(&w, PIN, LEVEL | 0x51);
	assert_sent(&w, 2, 0x51, 3, DELIVERY_FIXED, true);
	put_low(&w, PIN, MASKED | LEVEL | 0x51);
	eoi(&w, 0x51);
	down(&w);
	put_low(&w, PIN, LEVEL | 0x51);
	assert_int_equal(w.sents, 2);
}

static void a_level_that_nobody_takes_waits_for_somebody(void **state)
{
	struct world w;

	(void)state;
	start(&w, 24, 0x11);
	w.present = 0;
	put_rte(&w, PIN, DEST(0x3f) | LEVEL | 0x51);
	assert_line(&w, PIN, true, VMIRQ_NO_TARGET, 0);
	assert_false(in_service(&w, PIN));
	assert_sent(&w, 1, 0x51, 0x3f, DELIVERY_FIXED, true);
	w.present = 2;
	/* CVE-2014-0155 is about such RTEs. The high half alone makes it look again. */
	put_register(&w, 0x11 + 2 * PIN, 4u << 24);
	assert_sent(&w, 2, 0x51, 4, DELIVERY_FIXED, true);
	assert_true(in_service(&w, PIN));
	/* An edge nobody takes is gone. */
	w.present = 0;
	put_low(&w, PIN, 0x52);
	down(&w);
	assert_line(&w, PIN, true, VMIRQ_NO_TARGET, 0);
	w.present = 1;
	put_register(&w, 0x11 + 2 * PIN, 4u << 24);
	assert_int_equal(w.sents, 3);
}

static void every_mode_and_destination_is_handed_on(void **state)
{
	struct world w;
	uint32_t sents = 0;

	(void)state;
	start(&w, 24, 0x11);
	w.present = 3;
	for (uint32_t mode = 0; mode < 8; mode++) {
		put_rte(&w, PIN, DEST(0xa0 + mode) | mode << 8 | 0x61);
		assert_line(&w, PIN, true, VMIRQ_DELIVERED, 3);
		assert_sent(&w, ++sents, 0x61, 0xa0 + mode, (enum delivery_mode)mode, false);
		down(&w);
	}
	put_rte(&w, PIN, DEST(0xf1) | LOGICAL | 0x05);
	up(&w);
	assert_true(w.sent[sents % 8].logical);
	assert_int_equal(w.sent[sents % 8].dest, 0xf1);
	/* An illegal vector is the local APIC's to judge. */
	assert_int_equal(w.sent[sents % 8].vector, 0x05);
}

static void extended_destinations_need_the_format(void **state)
{
	struct world w;
	struct ioapic_config config;
	struct interrupt irq;

	(void)state;
	start(&w, 24, 0x11);
	put_rte(&w, PIN, DEST(0x12) | UINT64_C(0x7f) << 49 | 0x51);
	assert_true(vmirq_ioapic_route(&w.ioapic, PIN, &irq));
	assert_int_equal(irq.dest, 0x12);
	config = ioapic_config_of(&w, 24, 0x11);
	config.format.ext_dest_id = true;
	assert_true(vmirq_ioapic_init(&w.ioapic, &config));
	put_rte(&w, PIN, DEST(0x12) | UINT64_C(0x7f) << 49 | MASKED | 0x51);
	assert_false(vmirq_ioapic_route(&w.ioapic, PIN, &irq));
	assert_int_equal(irq.dest, 0x7f12);
	assert_false(vmirq_ioapic_route(&w.ioapic, 24, &irq));
}

/* docs/bugs.md, XSA-261. */
static void a_pin_out_of_range_is_no_route(void **state)
{
	struct world w;
	const uint32_t pins[] = { 24, 25, 240, 1u << 31, UINT32_MAX };
	struct ioapic_pin_state pin = { .rte = 0 };

	(void)state;
	start(&w, 24, 0x11);
	for (size_t i = 0; i < sizeof(pins) / sizeof(pins[0]); i++) {
		assert_line(&w, pins[i], true, VMIRQ_NO_ROUTE, -1);
		assert_line(&w, pins[i], false, VMIRQ_NO_ROUTE, -1);
		vmirq_ioapic_retry(&w.ioapic, pins[i]);
		assert_false(vmirq_ioapic_save_pin(&w.ioapic, pins[i], &pin));
		assert_false(vmirq_ioapic_load_pin(&w.ioapic, pins[i], &pin));
		assert_false(vmirq_ioapic_set_asserters(&w.ioapic, pins[i], 1));
		assert_int_equal(vmirq_ioapic_asserters(&w.ioapic, pins[i]), 0);
	}
	assert_int_equal(w.sents, 0);
}

/*
 * The RTC's ticks.
 */

static struct line_result tick(struct world *w)
{
	struct line_result r = vmirq_ioapic_set_line_status(&w->ioapic, RTC_PIN, true);

	vmirq_ioapic_set_line_status(&w->ioapic, RTC_PIN, false);
	return r;
}

static void end_tick(struct world *w, uint32_t vcpu)
{
	vmirq_ioapic_eoi(&w->ioapic, vcpu, 0x81, false);
}

static void end_first_tick(struct world *w)
{
	end_tick(w, 0);
}

static void a_tick_is_lost_until_all_have_ended_the_last(void **state)
{
	struct world w;

	(void)state;
	start(&w, 24, 0x11);
	w.present = 2;
	put_rte(&w, RTC_PIN, DEST(0xff) | 0x81);
	assert_int_equal(tick(&w).status, 2);
	assert_int_equal(tick(&w).status, 0);
	end_tick(&w, 0);
	assert_int_equal(tick(&w).verdict, VMIRQ_COALESCED);
	/* Not again, not somebody else's, not another vector. */
	end_tick(&w, 0);
	end_tick(&w, 3);
	vmirq_ioapic_eoi(&w.ioapic, 1, 0x82, false);
	assert_int_equal(tick(&w).verdict, VMIRQ_COALESCED);
	end_tick(&w, 1);
	assert_int_equal(tick(&w).status, 2);
	assert_int_equal(w.sents, 2);
	/* Who is reset or gone ends nothing. */
	vmirq_ioapic_forget_tick(&w.ioapic, 0);
	assert_int_equal(tick(&w).status, 0);
	vmirq_ioapic_forget_tick(&w.ioapic, 1);
	assert_int_equal(tick(&w).status, 2);
	/* Who does not ask is not told. */
	assert_line(&w, RTC_PIN, true, VMIRQ_DELIVERED, 2);
	vmirq_ioapic_set_line(&w.ioapic, RTC_PIN, false);
}

/* The EOI may come before deliver returns. */
static void a_tick_that_is_ended_while_it_is_sent(void **state)
{
	struct world w;

	(void)state;
	start(&w, 24, 0x11);
	put_rte(&w, RTC_PIN, 0x81);
	w.in_deliver = w.sents + 1;
	w.meanwhile = end_first_tick;
	assert_int_equal(tick(&w).status, 1);
	assert_int_equal(tick(&w).status, 1);
	assert_int_equal(tick(&w).status, 0);
}

static void a_tick_without_an_eoi_lasts_until_a_load(void **state)
{
	struct kvm_ioapic_state saved;
	struct world w;

	(void)state;
	start(&w, 24, 0x11);
	put_rte(&w, RTC_PIN, DELIVERY_NMI << 8 | 0x81);
	assert_int_equal(tick(&w).status, 1);
	end_tick(&w, 0);
	assert_int_equal(tick(&w).status, 0);
	vmirq_ioapic_save(&w.ioapic, &saved);
	assert_true(vmirq_ioapic_load(&w.ioapic, &saved));
	assert_int_equal(tick(&w).status, 1);
}

static void a_load_finds_out_who_has_the_tick(void **state)
{
	struct kvm_ioapic_state saved;
	struct world w;

	(void)state;
	start(&w, 24, 0x11);
	put_rte(&w, RTC_PIN, 0x81);
	vmirq_ioapic_save(&w.ioapic, &saved);
	w.holding[1] = w.holding[3] = HOLDS;
	assert_true(vmirq_ioapic_load(&w.ioapic, &saved));
	assert_int_equal(w.asked_vector, 0x81);
	assert_int_equal(tick(&w).status, 0);
	end_tick(&w, 1);
	assert_int_equal(tick(&w).status, 0);
	end_tick(&w, 3);
	assert_int_equal(tick(&w).status, 1);
	end_tick(&w, 0);

	/* A local APIC's own load: it has it, has it not, and is not meant. */
	vmirq_ioapic_restore_tick(&w.ioapic, 1);
	assert_int_equal(tick(&w).status, 0);
	w.holding[1] = HOLDS_UNMEANT;
	vmirq_ioapic_restore_tick(&w.ioapic, 1);
	assert_int_equal(tick(&w).status, 0);
	w.holding[1] = HOLDS_NOT;
	vmirq_ioapic_restore_tick(&w.ioapic, 1);
	assert_int_equal(tick(&w).status, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_edge_is_sent_once_per_rise),
		cmocka_unit_test(a_masked_edge_stays_unsent_at_unmask),
		cmocka_unit_test(a_level_is_sent_until_its_line_is_low),
		cmocka_unit_test(a_masked_level_is_sent_at_unmask_if_still_high),
		cmocka_unit_test(a_level_that_nobody_takes_waits_for_somebody),
		cmocka_unit_test(every_mode_and_destination_is_handed_on),
		cmocka_unit_test(extended_destinations_need_the_format),
		cmocka_unit_test(a_pin_out_of_range_is_no_route),
		cmocka_unit_test(a_tick_is_lost_until_all_have_ended_the_last),
		cmocka_unit_test(a_tick_that_is_ended_while_it_is_sent),
		cmocka_unit_test(a_tick_without_an_eoi_lasts_until_a_load),
		cmocka_unit_test(a_load_finds_out_who_has_the_tick),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
