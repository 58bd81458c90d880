// SPDX-License-Identifier: MIT
/* The IOAPIC's EOI, and what happens while it has let go of its lock. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ioapic_world.h"

/*
 * EOI.
 */

static void eoi_tells_the_source_before_it_looks_at_the_line(void **state)
{
	struct world w;

	(void)state;
	start_level(&w);
	w.in_ack = 1;
	w.meanwhile = down;
	eoi(&w, 0x51);
	assert_int_equal(w.acked_pin, PIN);
	assert_int_equal(w.sents, 1);
	assert_false(in_service(&w, PIN));
}

static void a_line_that_rises_during_the_ack_is_not_lost(void **state)
{
	struct world w;

	(void)state;
	start_level(&w);
	down(&w);
	w.in_ack = 1;
	w.meanwhile = up;
	eoi(&w, 0x51);
	assert_sent(&w, 2, 0x51, 3, DELIVERY_FIXED, true);
	assert_true(in_service(&w, PIN));
}

static void mask_it(struct world *w)
{
	assert_true(in_service(w, PIN)); /* Remote-IRR clears after the notifiers */
	put_low(w, PIN, MASKED | LEVEL | 0x51);
}

static void an_rte_written_during_the_ack_does_not_stick_the_pin(void **state)
{
	struct world w;

	(void)state;
	start_level(&w);
	w.in_ack = 1;
	w.meanwhile = mask_it;
	eoi(&w, 0x51);
	assert_int_equal(w.sents, 1);
	assert_false(in_service(&w, PIN));
	put_low(&w, PIN, LEVEL | 0x51);
	assert_sent(&w, 2, 0x51, 3, DELIVERY_FIXED, true);
}

static void edge_and_back(struct world *w)
{
	put_low(w, PIN, 0x51);
	put_low(w, PIN, LEVEL | 0x51);
	assert_sent(w, 2, 0x51, 3, DELIVERY_FIXED, true);
}

static void an_eoi_leaves_what_was_delivered_after_it(void **state)
{
	struct world w;

	(void)state;
	start_level(&w);
	w.in_ack = 1;
	w.meanwhile = edge_and_back;
	eoi(&w, 0x51);
	assert_true(in_service(&w, PIN));
	assert_int_equal(w.sents, 2);
	eoi(&w, 0x51);
	assert_sent(&w, 3, 0x51, 3, DELIVERY_FIXED, true);
}

static void neighbour_up(struct world *w)
{
	vmirq_ioapic_set_line(&w->ioapic, PIN + 1, true);
	assert_int_equal(w->sents, 2);
}

static void an_eoi_leaves_the_neighbour_that_was_delivered_after_it(void **state)
{
	struct world w;

	(void)state;
	start_level(&w);
	put_rte(&w, PIN + 1, DEST(3) | LEVEL | 0x51);
	w.in_ack = 1;
	w.meanwhile = neighbour_up;
	down(&w);
	eoi(&w, 0x51);
	assert_int_equal(w.acks, 2);
	assert_false(in_service(&w, PIN));
	assert_true(in_service(&w, PIN + 1));
	assert_int_equal(w.sents, 2);
}

static void pins_that_share_a_vector_share_its_eoi(void **state)
{
	struct world w;

	(void)state;
	start_level(&w);
	put_rte(&w, PIN + 1, DEST(4) | LEVEL | 0x51);
	put_rte(&w, PIN + 2, DEST(4) | LEVEL | 0x52);
	vmirq_ioapic_set_line(&w.ioapic, PIN + 1, true);
	vmirq_ioapic_set_line(&w.ioapic, PIN + 2, true);
	down(&w);
	eoi(&w, 0x51);
	assert_int_equal(w.acks, 2);
	assert_false(in_service(&w, PIN));
	assert_sent(&w, 4, 0x51, 4, DELIVERY_FIXED, true);
	assert_true(in_service(&w, PIN + 1));
	assert_true(in_service(&w, PIN + 2));
}

static void the_eoi_of_an_edge_is_only_told(void **state)
{
	struct world w;

	(void)state;
	start(&w, 24, 0x11);
	put_rte(&w, PIN, DEST(3) | 0x51);
	up(&w);
	vmirq_ioapic_eoi(&w.ioapic, 0, 0x51, false);
	assert_int_equal(w.acks, 1);
	/* Taken as a level, because another pin with this vector is one: not sent again for that. */
	vmirq_ioapic_eoi(&w.ioapic, 0, 0x51, true);
	assert_int_equal(w.acks, 2);
	assert_int_equal(w.sents, 1);
	/* Taken as an edge, the pin a level: its own EOI is yet to come. */
	put_low(&w, PIN, LEVEL | 0x51);
	assert_sent(&w, 2, 0x51, 3, DELIVERY_FIXED, true);
	vmirq_ioapic_eoi(&w.ioapic, 0, 0x51, false);
	assert_true(in_service(&w, PIN));
	assert_int_equal(w.sents, 2);
	/* Masked pins have their interrupts in service too. */
	put_low(&w, PIN, MASKED | LEVEL | 0x51);
	eoi(&w, 0x51);
	assert_int_equal(w.acks, 4);
}

static void the_eoi_register_is_version_20s(void **state)
{
	struct world w;

	(void)state;
	start_level(&w);
	vmirq_ioapic_write(&w.ioapic, BASE + 0x40, 4, 0x51);
	assert_int_equal(w.acks, 0);
	start(&w, 24, 0x20);
	put_rte(&w, PIN, DEST(3) | LEVEL | 0x51);
	up(&w);
	vmirq_ioapic_write(&w.ioapic, BASE + 0x40, 4, 0x52);
	assert_int_equal(w.acks, 0);
	vmirq_ioapic_write(&w.ioapic, BASE + 0x40, 4, 0x51);
	assert_int_equal(w.acks, 1);
	assert_sent(&w, 2, 0x51, 3, DELIVERY_FIXED, true);
}

/* STORM_EOIS in chip/ioapic_pin.h: as /dev/kvm. */
static void an_eoi_storm_is_slowed(void **state)
{
	struct world w;

	(void)state;
	start_level(&w);
	w.now = 1000;
	for (uint32_t i = 1; i < 10000; i++) {
		eoi(&w, 0x51);
		assert_int_equal(w.sents, 1 + i);
	}
	eoi(&w, 0x51);
	assert_int_equal(w.sents, 10000);
	assert_int_equal(w.throttles, 1);
	assert_int_equal(w.deadline, 1000 + 10000000);
	assert_false(in_service(&w, PIN));
	vmirq_ioapic_retry(&w.ioapic, PIN);
	assert_sent(&w, 10001, 0x51, 3, DELIVERY_FIXED, true);
	vmirq_ioapic_retry(&w.ioapic, PIN);
	assert_int_equal(w.sents, 10001);
	/* A line found low begins the count anew. */
	for (uint32_t i = 0; i < 9999; i++)
		eoi(&w, 0x51);
	down(&w);
	eoi(&w, 0x51);
	vmirq_ioapic_retry(&w.ioapic, PIN);
	assert_int_equal(w.sents, 10001 + 9999);
	up(&w);
	eoi(&w, 0x51);
	assert_int_equal(w.sents, 10001 + 9999 + 2);
	assert_int_equal(w.throttles, 1);
}

/*
 * What happens while it is being delivered.
 */

static void end_it(struct world *w)
{
	down(w);
	eoi(w, 0x51);
}

static void the_eoi_may_come_before_deliver_returns(void **state)
{
	struct world w;

	(void)state;
	start(&w, 24, 0x11);
	put_rte(&w, PIN, DEST(3) | LEVEL | 0x51);
	w.in_deliver = 1;
	w.meanwhile = end_it;
	assert_line(&w, PIN, true, VMIRQ_DELIVERED, 1);
	assert_int_equal(w.sents, 1);
	assert_false(in_service(&w, PIN));
	assert_line(&w, PIN, true, VMIRQ_DELIVERED, 1);
	assert_sent(&w, 2, 0x51, 3, DELIVERY_FIXED, true);
}

static void move_to_4(struct world *w)
{
	w->present = 1;
	put_register(w, 0x11 + 2 * PIN, 4u << 24);
}

static void a_delivery_in_vain_follows_the_rte(void **state)
{
	struct world w;

	(void)state;
	start(&w, 24, 0x11);
	w.present = 0;
	put_rte(&w, PIN, DEST(0x3f) | LEVEL | 0x51);
	w.in_deliver = 1;
	w.meanwhile = move_to_4;
	assert_line(&w, PIN, true, VMIRQ_DELIVERED, 1);
	assert_sent(&w, 2, 0x51, 4, DELIVERY_FIXED, true);
	assert_true(in_service(&w, PIN));
}

static void move_and_fall(struct world *w)
{
	move_to_4(w);
	down(w);
}

static void a_delivery_in_vain_ends_when_the_line_falls(void **state)
{
	struct world w;

	(void)state;
	start(&w, 24, 0x11);
	w.present = 0;
	put_rte(&w, PIN, DEST(0x3f) | LEVEL | 0x51);
	w.in_deliver = 1;
	w.meanwhile = move_and_fall;
	assert_line(&w, PIN, true, VMIRQ_NO_TARGET, 0);
	assert_int_equal(w.sents, 1);
	assert_false(in_service(&w, PIN));
}

static void another_asserts(struct world *w)
{
	w->present = 1; /* the local APIC was enabled */
	assert_line(w, PIN, true, VMIRQ_REMOTE_IRR, -1);
}

static void an_assertion_refused_during_a_delivery_in_vain_is_tried(void **state)
{
	struct world w;

	(void)state;
	start(&w, 24, 0x11);
	w.present = 0;
	put_rte(&w, PIN, DEST(3) | LEVEL | 0x51);
	w.in_deliver = 1;
	w.meanwhile = another_asserts;
	assert_line(&w, PIN, true, VMIRQ_DELIVERED, 1);
	assert_sent(&w, 2, 0x51, 3, DELIVERY_FIXED, true);
	assert_true(in_service(&w, PIN));
}

static void become_edge(struct world *w)
{
	put_low(w, PIN, 0x51);
}

/* CVE-2020-27152. */
static void a_level_that_becomes_an_edge_ends(void **state)
{
	struct world w;

	(void)state;
	start(&w, 24, 0x11);
	w.present = 0;
	put_rte(&w, PIN, DEST(3) | LEVEL | 0x51);
	w.in_deliver = 1;
	w.meanwhile = become_edge;
	assert_line(&w, PIN, true, VMIRQ_NO_TARGET, 0);
	assert_int_equal(w.sents, 1);
	assert_false(in_service(&w, PIN));
	start_level(&w);
	w.in_ack = 1;
	w.meanwhile = become_edge;
	eoi(&w, 0x51);
	assert_int_equal(w.sents, 1);
	assert_false(in_service(&w, PIN));
}

static void rewrite_for_ever(struct world *w)
{
	w->in_deliver = w->sents + 1;
	put_register(w, 0x11 + 2 * PIN, 0x3fu << 24);
}

static void a_delivery_in_vain_is_not_tried_for_ever(void **state)
{
	struct world w;

	(void)state;
	start(&w, 24, 0x11);
	w.present = 0;
	put_rte(&w, PIN, DEST(0x3f) | LEVEL | 0x51);
	w.in_deliver = 1;
	w.meanwhile = rewrite_for_ever;
	assert_line(&w, PIN, true, VMIRQ_NO_TARGET, 0);
	assert_int_equal(w.sents, 8);
	assert_false(in_service(&w, PIN));
	w.in_deliver = 0;
	w.present = 1;
	assert_line(&w, PIN, true, VMIRQ_DELIVERED, 1);
}

static void retake(struct world *w)
{
	/* Its Remote-IRR is ended by a neighbour's EOI, and somebody is there for the next. */
	w->present = 1;
	eoi(w, 0x51);
	assert_int_equal(w->sents, 2);
}

static void only_its_own_remote_irr_is_taken_back(void **state)
{
	struct world w;

	(void)state;
	start(&w, 24, 0x11);
	w.present = 0;
	put_rte(&w, PIN, DEST(3) | LEVEL | 0x51);
	w.in_deliver = 1;
	w.meanwhile = retake;
	assert_line(&w, PIN, true, VMIRQ_NO_TARGET, 0);
	assert_true(in_service(&w, PIN));
}

/*
 * Mask and change notifiers.
 */

static void the_line_is_looked_at_after_the_unmask_is_told(void **state)
{
	struct world w;

	(void)state;
	start(&w, 24, 0x11);
	put_rte(&w, PIN, DEST(3) | MASKED | LEVEL | 0x51);
	up(&w);
	w.in_mask = w.masks + 1;
	w.meanwhile = down;
	put_low(&w, PIN, LEVEL | 0x51);
	assert_int_equal(w.masks, 1);
	assert_int_equal(w.masked_pin, PIN);
	assert_false(w.masked);
	assert_int_equal(w.sents, 0);
	put_low(&w, PIN, MASKED | LEVEL | 0x51);
	assert_int_equal(w.masks, 2);
	assert_true(w.masked);
}

static void a_change_is_told_and_no_change_is_not(void **state)
{
	struct world w;
	uint32_t before;

	(void)state;
	start(&w, 24, 0x11);
	put_rte(&w, PIN, DEST(3) | LEVEL | 0x51);
	before = w.changes;
	put_low(&w, PIN, LEVEL | 0x51);
	put_low(&w, PIN, LEVEL | REMOTE_IRR | 0x51);
	assert_int_equal(w.changes, before);
	put_low(&w, PIN, LEVEL | 0x52);
	assert_int_equal(w.changes, before + 1);
}

static void the_vectors_of_levels_are_published(void **state)
{
	struct world w;
	uint64_t v[4];

	(void)state;
	start(&w, 24, 0x11);
	put_rte(&w, 0, LEVEL | 0x51);
	put_rte(&w, 1, LEVEL | 0x51);
	put_rte(&w, 2, MASKED | LEVEL | 0xff);
	put_rte(&w, 3, 0x90);
	vmirq_ioapic_vectors(&w.ioapic, v);
	assert_true(v[0] == 0 && v[1] == UINT64_C(1) << 0x11 && v[2] == 0 &&
		    v[3] == UINT64_C(1) << 63);
	put_rte(&w, 0, 0x51);
	vmirq_ioapic_vectors(&w.ioapic, v);
	assert_true(v[1] == UINT64_C(1) << 0x11);
	put_rte(&w, 1, 0x51);
	vmirq_ioapic_vectors(&w.ioapic, v);
	assert_true(v[1] == 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(eoi_tells_the_source_before_it_looks_at_the_line),
		cmocka_unit_test(a_line_that_rises_during_the_ack_is_not_lost),
		cmocka_unit_test(an_rte_written_during_the_ack_does_not_stick_the_pin),
		cmocka_unit_test(an_eoi_leaves_what_was_delivered_after_it),
		cmocka_unit_test(an_eoi_leaves_the_neighbour_that_was_delivered_after_it),
		cmocka_unit_test(pins_that_share_a_vector_share_its_eoi),
		cmocka_unit_test(the_eoi_of_an_edge_is_only_told),
		cmocka_unit_test(the_eoi_register_is_version_20s),
		cmocka_unit_test(an_eoi_storm_is_slowed),
		cmocka_unit_test(the_eoi_may_come_before_deliver_returns),
		cmocka_unit_test(a_delivery_in_vain_follows_the_rte),
		cmocka_unit_test(a_delivery_in_vain_ends_when_the_line_falls),
		cmocka_unit_test(an_assertion_refused_during_a_delivery_in_vain_is_tried),
		cmocka_unit_test(a_level_that_becomes_an_edge_ends),
		cmocka_unit_test(a_delivery_in_vain_is_not_tried_for_ever),
		cmocka_unit_test(only_its_own_remote_irr_is_taken_back),
		cmocka_unit_test(the_line_is_looked_at_after_the_unmask_is_told),
		cmocka_unit_test(a_change_is_told_and_no_change_is_not),
		cmocka_unit_test(the_vectors_of_levels_are_published),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
