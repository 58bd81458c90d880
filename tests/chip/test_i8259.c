// SPDX-License-Identifier: MIT
/* The 8259 pair's lines, priorities, acknowledge and EOI, by the interrupt that the processor gets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "pic_world.h"

static void every_pin_has_its_vector(void **state)
{
	struct world w;

	(void)state;
	start(&w);
	for (uint32_t pin = 0; pin < 16; pin++) {
		if (pin == 2)
			continue; /* the slave */
		pulse(&w, pin);
		assert_interrupt(&w, (uint8_t)(pin < 8 ? MASTER_BASE + pin : SLAVE_BASE + pin - 8));
		assert_quiet(&w);
		if (pin >= 8)
			out(&w, 0xa0, EOI);
		out(&w, 0x20, EOI);
		assert_quiet(&w);
	}
}

static void an_edge_is_latched_once_per_rise(void **state)
{
	struct world w;

	(void)state;
	start(&w);
	assert_line(&w, 3, true, VMIRQ_DELIVERED, 1);
	/* /dev/kvm 6.18 says 1 here, though nothing was latched. */
	assert_line(&w, 3, true, VMIRQ_COALESCED, 1);
	assert_line(&w, 3, false, VMIRQ_COALESCED, 1);
	assert_line(&w, 3, false, VMIRQ_DELIVERED, 1);
	assert_line(&w, 3, true, VMIRQ_COALESCED, 0);
	assert_interrupt(&w, MASTER_BASE + 3);
	out(&w, 0x20, EOI);
	assert_quiet(&w);
	assert_line(&w, 3, false, VMIRQ_DELIVERED, 1);
	/* Never below 0. */
	assert_line(&w, 3, false, VMIRQ_DELIVERED, 1);
	assert_line(&w, 3, true, VMIRQ_DELIVERED, 1);
	assert_interrupt(&w, MASTER_BASE + 3);
}

static void a_level_lasts_as_long_as_any_source_holds_it(void **state)
{
	struct world w;

	(void)state;
	start(&w);
	out(&w, 0x4d0, 0x20);
	assert_line(&w, 5, true, VMIRQ_DELIVERED, 1);
	assert_line(&w, 5, true, VMIRQ_COALESCED, 0);
	assert_interrupt(&w, MASTER_BASE + 5);
	assert_quiet(&w); /* in service */
	out(&w, 0x20, EOI);
	assert_interrupt(&w, MASTER_BASE + 5);
	assert_line(&w, 5, false, VMIRQ_COALESCED, 0);
	out(&w, 0x20, EOI);
	assert_interrupt(&w, MASTER_BASE + 5);
	assert_line(&w, 5, false, VMIRQ_DELIVERED, 1);
	out(&w, 0x20, EOI);
	assert_quiet(&w);
}

static void a_masked_line_waits(void **state)
{
	struct world w;

	(void)state;
	start(&w);
	out(&w, 0x21, 0x10);
	out(&w, 0xa1, 0x02);
	assert_line(&w, 4, true, VMIRQ_PIC_MASKED, -1);
	assert_line(&w, 9, true, VMIRQ_PIC_MASKED, -1);
	assert_line(&w, 4, false, VMIRQ_DELIVERED, -1);
	assert_quiet(&w);
	w.outputs = 0;
	out(&w, 0x21, 0);
	assert_int_equal(w.outputs, 1);
	assert_interrupt(&w, MASTER_BASE + 4);
	out(&w, 0x20, EOI);
	out(&w, 0xa1, 0);
	assert_interrupt(&w, SLAVE_BASE + 1);
}

/* docs/bugs.md, XSA-261. */
static void a_pin_out_of_range_is_no_route(void **state)
{
	struct world w;

	(void)state;
	start(&w);
	assert_line(&w, 16, true, VMIRQ_NO_ROUTE, -1);
	assert_line(&w, UINT32_MAX, true, VMIRQ_NO_ROUTE, -1);
	assert_false(vmirq_i8259_set_asserters(&w.pic, 16, 1));
	assert_int_equal(vmirq_i8259_asserters(&w.pic, 16), 0);
	assert_quiet(&w);
}

static void lower_pins_come_first_and_nest(void **state)
{
	struct world w;

	(void)state;
	start(&w);
	pulse(&w, 6);
	pulse(&w, 1);
	pulse(&w, 12);
	assert_interrupt(&w, MASTER_BASE + 1);
	assert_quiet(&w); /* the others are lower */
	pulse(&w, 0);
	assert_interrupt(&w, MASTER_BASE + 0);
	out(&w, 0x20, EOI);
	assert_quiet(&w);
	out(&w, 0x20, EOI);
	assert_interrupt(&w, SLAVE_BASE + 4);
	assert_quiet(&w);
	/* A higher one of the slave does not get through the master: it has the slave in service. */
	pulse(&w, 8);
	assert_quiet(&w);
	out(&w, 0xa0, EOI);
	out(&w, 0x20, EOI);
	assert_interrupt(&w, SLAVE_BASE + 0);
	out(&w, 0xa0, EOI);
	out(&w, 0x20, EOI);
	assert_interrupt(&w, MASTER_BASE + 6);
}

static void special_fully_nested_lets_the_slave_nest(void **state)
{
	struct world w;

	(void)state;
	start_raw(&w, true);
	initialize(&w, 0x11);
	/* The slave's own pin 2 is a pin like any. */
	pulse(&w, 10);
	assert_interrupt(&w, SLAVE_BASE + 2);
	pulse(&w, 13);
	assert_quiet(&w);
	pulse(&w, 8);
	assert_interrupt(&w, SLAVE_BASE + 0);
	out(&w, 0xa0, EOI);
	assert_quiet(&w);
	out(&w, 0xa0, EOI);
	assert_interrupt(&w, SLAVE_BASE + 5);
}

static void special_mask_lets_lower_ones_through(void **state)
{
	struct world w;

	(void)state;
	for (int works = 1; works >= 0; works--) {
		start_raw(&w, works);
		initialize(&w, 0x01);
		pulse(&w, 3);
		assert_interrupt(&w, MASTER_BASE + 3);
		out(&w, 0x21, 0x08);
		pulse(&w, 5);
		assert_quiet(&w);
		out(&w, 0x20, 0x68);
		if (!works) {
			/* /dev/kvm 6.18. */
			assert_quiet(&w);
			continue;
		}
		assert_interrupt(&w, MASTER_BASE + 5);
		out(&w, 0x20, 0x65);
		out(&w, 0x20, 0x48);
		pulse(&w, 5);
		assert_quiet(&w);
	}
}

/*
 * EOI and rotation.
 */

static void a_specific_eoi_ends_that_pin(void **state)
{
	struct world w;

	(void)state;
	start(&w);
	pulse(&w, 4);
	assert_interrupt(&w, MASTER_BASE + 4);
	pulse(&w, 1);
	assert_interrupt(&w, MASTER_BASE + 1);
	w.acks = 0;
	out(&w, 0x20, 0x64);
	assert_int_equal(w.acks, 1u << 4);
	assert_int_equal(read_register(&w, 0x20, READ_ISR), 0x02);
	out(&w, 0x20, EOI);
	assert_int_equal(w.acks, 1u << 4 | 1u << 1);
	/* Nothing in service: nothing to end. */
	out(&w, 0x20, EOI);
	assert_int_equal(w.ack_calls, 2);
}

static void rotation_puts_the_ended_pin_last(void **state)
{
	struct world w;

	(void)state;
	start(&w);
	pulse(&w, 1);
	assert_interrupt(&w, MASTER_BASE + 1);
	out(&w, 0x20, 0xa0);
	pulse(&w, 1);
	pulse(&w, 3);
	assert_interrupt(&w, MASTER_BASE + 3);
	pulse(&w, 0);
	assert_quiet(&w); /* lower than 3 now */
	out(&w, 0x20, 0xe3);
	/* 4 is the highest: 4 5 6 7 0 1 2 3 */
	assert_interrupt(&w, MASTER_BASE + 0);
	out(&w, 0x20, EOI);
	assert_interrupt(&w, MASTER_BASE + 1);
	out(&w, 0x20, EOI);
	/* Set priority: 0 is the lowest, 1 the highest. */
	out(&w, 0x20, 0xc0);
	pulse(&w, 0);
	pulse(&w, 7);
	assert_interrupt(&w, MASTER_BASE + 7);
}

static void auto_eoi_ends_in_the_acknowledge(void **state)
{
	struct world w;

	(void)state;
	start_raw(&w, true);
	initialize(&w, 0x03);
	w.acks = 0;
	pulse(&w, 9);
	assert_interrupt(&w, SLAVE_BASE + 1);
	assert_int_equal(w.acks, 1u << 9 | 1u << 2);
	pulse(&w, 9);
	assert_interrupt(&w, SLAVE_BASE + 1);
	/* Rotating: the pin is last after it. */
	out(&w, 0x20, 0x80);
	pulse(&w, 3);
	assert_interrupt(&w, MASTER_BASE + 3);
	pulse(&w, 3);
	pulse(&w, 6);
	assert_interrupt(&w, MASTER_BASE + 6);
	assert_interrupt(&w, MASTER_BASE + 3);
	out(&w, 0x20, 0x00);
	pulse(&w, 3);
	assert_interrupt(&w, MASTER_BASE + 3);
	pulse(&w, 4);
	pulse(&w, 5);
	assert_interrupt(&w, MASTER_BASE + 4);
	assert_interrupt(&w, MASTER_BASE + 5);
}

static void a_request_that_went_is_spurious(void **state)
{
	struct world w;

	(void)state;
	start(&w);
	out(&w, 0x4d0, 0x20);
	out(&w, 0x4d1, 0x02);
	up(&w, 5);
	down(&w, 5);
	assert_quiet(&w);
	assert_int_equal(vmirq_i8259_acknowledge(&w.pic), MASTER_BASE + 7);
	assert_int_equal(read_register(&w, 0x20, READ_ISR), 0);
	/* The slave's: the master has it in service, the slave has nothing. */
	up(&w, 9);
	down(&w, 9);
	assert_interrupt(&w, SLAVE_BASE + 7);
	assert_int_equal(read_register(&w, 0x20, READ_ISR), 0x04);
	assert_int_equal(read_register(&w, 0xa0, READ_ISR), 0);
}

/*
 * What happens while it has let go of its lock.
 */

static void line_5_down(struct world *w)
{
	assert_quiet(w);
	assert_int_equal(read_register(w, 0x20, READ_ISR), 0);
	down(w, 5);
}

static void the_line_is_looked_at_after_the_ack(void **state)
{
	struct world w;

	(void)state;
	start(&w);
	out(&w, 0x4d0, 0x20);
	up(&w, 5);
	assert_interrupt(&w, MASTER_BASE + 5);
	w.meanwhile = line_5_down;
	out(&w, 0x20, EOI);
	assert_quiet(&w);
	/* Also in the acknowledge with auto-EOI, and at unmask. */
	initialize(&w, 0x03);
	up(&w, 5);
	w.meanwhile = line_5_down;
	assert_interrupt(&w, MASTER_BASE + 5);
	assert_quiet(&w);
	out(&w, 0x21, 0x20);
	up(&w, 5);
	w.meanwhile = line_5_down;
	out(&w, 0x21, 0x00);
	assert_quiet(&w);
	assert_int_equal(w.unmasked & 1u << 5, 1u << 5);
}

static void line_5_again(struct world *w)
{
	down(w, 5);
	up(w, 5);
}

static void a_line_that_rises_during_the_ack_is_not_lost(void **state)
{
	struct world w;

	(void)state;
	start(&w);
	up(&w, 5);
	assert_interrupt(&w, MASTER_BASE + 5);
	w.meanwhile = line_5_again;
	out(&w, 0x20, EOI);
	assert_interrupt(&w, MASTER_BASE + 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_pin_has_its_vector),
		cmocka_unit_test(an_edge_is_latched_once_per_rise),
		cmocka_unit_test(a_level_lasts_as_long_as_any_source_holds_it),
		cmocka_unit_test(a_masked_line_waits),
		cmocka_unit_test(a_pin_out_of_range_is_no_route),
		cmocka_unit_test(lower_pins_come_first_and_nest),
		cmocka_unit_test(special_fully_nested_lets_the_slave_nest),
		cmocka_unit_test(special_mask_lets_lower_ones_through),
		cmocka_unit_test(a_specific_eoi_ends_that_pin),
		cmocka_unit_test(rotation_puts_the_ended_pin_last),
		cmocka_unit_test(auto_eoi_ends_in_the_acknowledge),
		cmocka_unit_test(a_request_that_went_is_spurious),
		cmocka_unit_test(the_line_is_looked_at_after_the_ack),
		cmocka_unit_test(a_line_that_rises_during_the_ack_is_not_lost),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
