// SPDX-License-Identifier: MIT
/* The 8259 pair's ports: initialization, masks, polls, widths; and its state, saved and loaded. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "pic_world.h"

static struct kvm_pic_state saved(struct world *w, uint32_t chip)
{
	struct kvm_pic_state s;

	assert_true(vmirq_i8259_save(&w->pic, chip, &s));
	return s;
}

static void initialization_takes_three_or_four_words(void **state)
{
	struct world w;
	struct kvm_pic_state s;

	(void)state;
	start_raw(&w, true);
	out(&w, 0x20, 0x11);
	out(&w, 0x21, 0x47);
	out(&w, 0x21, 0x04);
	out(&w, 0x21, 0x13);
	out(&w, 0x21, 0xab); /* the mask already */
	s = saved(&w, 0);
	assert_int_equal(s.irq_base, 0x40);
	assert_int_equal(s.auto_eoi, 1);
	assert_int_equal(s.special_fully_nested_mode, 1);
	assert_int_equal(s.imr, 0xab);
	/* ICW4 is announced: what it said before stays. */
	out(&w, 0x20, 0x11);
	s = saved(&w, 0);
	assert_int_equal(s.init_state, 1);
	assert_int_equal(s.auto_eoi, 1);
	assert_int_equal(s.imr, 0);
	/* It is not: all that it says is off. */
	out(&w, 0x20, 0x10);
	out(&w, 0x21, 0x50);
	out(&w, 0x21, 0x04);
	s = saved(&w, 0);
	assert_int_equal(s.init_state, 0);
	assert_int_equal(s.auto_eoi, 0);
	assert_int_equal(s.special_fully_nested_mode, 0);
	assert_int_equal(s.irq_base, 0x50);
}

/* A reset is an EOI to who waits for one. */
static void icw1_forgets_edges_and_tells_who_waits(void **state)
{
	struct world w;
	struct kvm_pic_state s;

	(void)state;
	start(&w);
	out(&w, 0x4d0, 0x20);
	up(&w, 6);
	assert_int_equal(vmirq_i8259_acknowledge(&w.pic), MASTER_BASE + 6);
	up(&w, 3);
	assert_int_equal(vmirq_i8259_acknowledge(&w.pic), MASTER_BASE + 3);
	up(&w, 5);
	pulse(&w, 3);
	down(&w, 3);
	up(&w, 3);
	out(&w, 0x20, 0x6a);
	out(&w, 0x20, 0xc1);
	w.acks = 0;
	out(&w, 0x20, 0x11);
	s = saved(&w, 0);
	assert_int_equal(w.acks, 1u << 3 | 1u << 6);
	assert_int_equal(s.irr, 0x20); /* levels stay */
	assert_int_equal(s.last_irr, 0);
	assert_int_equal(s.isr, 0x40); /* /dev/kvm 6.18 */
	assert_int_equal(s.special_mask, 0);
	assert_int_equal(s.priority_add, 0);
	assert_int_equal(s.elcr, 0x20);
	/* The edge detector is reset: a line that is high is an edge when it is asserted again. */
	assert_line(&w, 3, true, VMIRQ_DELIVERED, 1);
	assert_int_equal(read_register(&w, 0x20, READ_IRR), 0x28);
}

static void the_slave_is_seen_after_the_masters_initialization(void **state)
{
	struct world w;

	(void)state;
	start(&w);
	pulse(&w, 9);
	out(&w, 0x20, 0x11);
	assert_quiet(&w);
	out(&w, 0x21, 0x40);
	out(&w, 0x21, 0x04);
	out(&w, 0x21, 0x01);
	out(&w, 0x21, 0x00);
	assert_interrupt(&w, SLAVE_BASE + 1);
}

static void irr_isr_and_imr_are_read(void **state)
{
	struct world w;

	(void)state;
	start(&w);
	out(&w, 0x21, 0x81);
	up(&w, 4);
	up(&w, 0);
	assert_interrupt(&w, MASTER_BASE + 4);
	assert_int_equal(in(&w, 0x21), 0x81);
	assert_int_equal(read_register(&w, 0x20, READ_ISR), 0x10);
	assert_int_equal(in(&w, 0x20), 0x10); /* the choice is remembered */
	out(&w, 0x20, 0x08);
	assert_int_equal(in(&w, 0x20), 0x10);
	assert_int_equal(read_register(&w, 0x20, READ_IRR), 0x01);
	assert_int_equal(in(&w, 0xa0), 0);
}

static void mask_changes_are_told(void **state)
{
	struct world w;

	(void)state;
	start(&w);
	out(&w, 0x21, 0xff);
	out(&w, 0xa1, 0xff);
	assert_int_equal(w.unmasked, 0);
	out(&w, 0x21, 0xf5);
	out(&w, 0xa1, 0x7e);
	assert_int_equal(w.unmasked, 0x810a);
	out(&w, 0xa1, 0xff);
	assert_int_equal(w.unmasked, 0x000a);
}

static void a_poll_is_an_acknowledge(void **state)
{
	struct world w;

	(void)state;
	start(&w);
	assert_int_equal(read_register(&w, 0x20, POLL), 0);
	out(&w, 0x4d0, 0x20);
	up(&w, 5);
	pulse(&w, 3);
	assert_int_equal(read_register(&w, 0x20, POLL), 0x83);
	assert_int_equal(in(&w, 0x20), 0x20); /* the IRR again */
	assert_int_equal(read_register(&w, 0x20, READ_ISR), 0x08);
	out(&w, 0x20, EOI);
	out(&w, 0x20, POLL);
	assert_int_equal(in(&w, 0x21), 0x85); /* from either port */
	assert_int_equal(in(&w, 0x21), 0);
	out(&w, 0x20, EOI);
	assert_interrupt(&w, MASTER_BASE + 5);
	down(&w, 5);
	out(&w, 0x20, EOI);
	/* The slave by way of the master. */
	pulse(&w, 10);
	assert_int_equal(read_register(&w, 0x20, POLL), 0x82);
	assert_quiet(&w);
	assert_int_equal(read_register(&w, 0xa0, POLL), 0x82);
	out(&w, 0xa0, EOI);
	out(&w, 0x20, EOI);
	assert_quiet(&w);
}

static void a_poll_is_the_end_where_it_is_the_kernels(void **state)
{
	struct world w;

	(void)state;
	start_raw(&w, false);
	initialize(&w, 0x01);
	assert_int_equal(read_register(&w, 0x20, POLL), 7);
	out(&w, 0x4d0, 0x20);
	up(&w, 5);
	w.acks = 0;
	assert_int_equal(read_register(&w, 0x20, POLL), 0x85);
	assert_int_equal(w.acks, 1u << 5);
	assert_int_equal(saved(&w, 0).isr, 0);
	assert_int_equal(saved(&w, 0).irr, 0);
	assert_quiet(&w);
	pulse(&w, 10);
	assert_int_equal(saved(&w, 0).irr, 0x04);
	assert_int_equal(read_register(&w, 0x20, POLL), 0x82);
	assert_int_equal(saved(&w, 0).irr, 0);
	assert_quiet(&w);
	assert_int_equal(read_register(&w, 0xa0, POLL), 0x82);
	assert_int_equal(saved(&w, 1).irr, 0);
	pulse(&w, 10);
	assert_int_equal(read_register(&w, 0xa0, POLL), 0x82);
	assert_int_equal(saved(&w, 0).irr, 0);
	assert_quiet(&w);
}

static void elcr_keeps_what_can_be_a_level(void **state)
{
	struct world w;

	(void)state;
	start(&w);
	out(&w, 0x4d0, 0xff);
	out(&w, 0x4d1, 0xff);
	assert_int_equal(in(&w, 0x4d0), 0xf8);
	assert_int_equal(in(&w, 0x4d1), 0xde);
	initialize(&w, 0x01);
	assert_int_equal(in(&w, 0x4d0), 0xf8);
}

static void only_bytes_mean_something(void **state)
{
	struct world w;
	struct kvm_pic_state before;

	(void)state;
	assert_true(vmirq_i8259_claims(0x20, 1) && vmirq_i8259_claims(0x21, 1));
	assert_true(vmirq_i8259_claims(0x20, 2) && vmirq_i8259_claims(0xa0, 2));
	assert_true(vmirq_i8259_claims(0x4d0, 2) && vmirq_i8259_claims(0x4d1, 1));
	assert_false(vmirq_i8259_claims(0x21, 2) || vmirq_i8259_claims(0x20, 4));
	assert_false(vmirq_i8259_claims(0x1f, 1) || vmirq_i8259_claims(0x22, 1));
	assert_false(vmirq_i8259_claims(UINT32_MAX, 1) || vmirq_i8259_claims(0x4d1, UINT32_MAX));
	start(&w);
	out(&w, 0x21, 0x5a);
	before = saved(&w, 0);
	/* All ports, all lengths. */
	for (uint32_t port = 0; port < 0x500; port++)
		for (uint32_t len = 0; len <= 8; len++) {
			if (vmirq_i8259_claims(port, 1) && len == 1)
				continue;
			vmirq_i8259_write(&w.pic, port, len, 0x11111111);
			assert_int_equal(vmirq_i8259_read(&w.pic, port, len), 0);
		}
	assert_memory_equal(&before, &(struct kvm_pic_state[]){ saved(&w, 0) }, sizeof(before));
}

/*
 * State.
 */

static void what_is_saved_goes_on(void **state)
{
	struct world w, to;
	struct kvm_pic_state s;

	(void)state;
	start(&w);
	out(&w, 0x4d1, 0x02);
	up(&w, 9);
	pulse(&w, 6);
	up(&w, 1);
	assert_interrupt(&w, MASTER_BASE + 1);
	start_raw(&to, true);
	for (uint32_t chip = 0; chip < 2; chip++) {
		s = saved(&w, chip);
		assert_true(vmirq_i8259_load(&to.pic, chip, &s));
	}
	assert_true(vmirq_i8259_set_asserters(&to.pic, 9, vmirq_i8259_asserters(&w.pic, 9)));
	assert_true(vmirq_i8259_set_asserters(&to.pic, 1, vmirq_i8259_asserters(&w.pic, 1)));
	assert_quiet(&to);
	out(&to, 0x20, EOI);
	/* Its line has been high all the while. */
	assert_line(&to, 1, true, VMIRQ_COALESCED, 1);
	assert_interrupt(&to, SLAVE_BASE + 1);
	down(&to, 9);
	out(&to, 0xa0, EOI);
	out(&to, 0x20, EOI);
	assert_interrupt(&to, MASTER_BASE + 6);
}

static void loading_what_is_pending_raises_int(void **state)
{
	struct world w;
	struct kvm_pic_state s;

	(void)state;
	start(&w);
	s = saved(&w, 1);
	s.irr = 0x10;
	w.outputs = 0;
	assert_true(vmirq_i8259_load(&w.pic, 1, &s));
	assert_int_equal(w.outputs, 1);
	assert_interrupt(&w, SLAVE_BASE + 4);
}

static void no_blob_gets_in_that_cannot_be(void **state)
{
	struct world w;

	(void)state;
	start(&w);
	for (uint32_t chip = 0; chip < 2; chip++) {
		const struct kvm_pic_state good = saved(&w, chip);
		const size_t free_bytes = 4; /* last_irr, irr, imr, isr may be anything */

		/* One byte wrong at a time. */
		for (size_t i = free_bytes; i < sizeof(good); i++) {
			struct kvm_pic_state s = good;

			((uint8_t *)&s)[i] = 0xff;
			assert_false(vmirq_i8259_load(&w.pic, chip, &s));
			s = saved(&w, chip);
			assert_memory_equal(&s, &good, sizeof(s));
		}
		/* The other chip's. */
		assert_false(vmirq_i8259_load(&w.pic, !chip, &good));
	}
	assert_false(vmirq_i8259_load(&w.pic, 2, &w.pic.chip[0]));
	assert_false(vmirq_i8259_save(&w.pic, 2, &(struct kvm_pic_state){ .irr = 0 }));
}

/* XSA-360. */
static void resets_add_nothing_up(void **state)
{
	struct world w;
	struct kvm_pic_state first[2], s[2];

	(void)state;
	start_raw(&w, true);
	first[0] = saved(&w, 0);
	first[1] = saved(&w, 1);
	for (uint32_t i = 0; i < 10000; i++) {
		initialize(&w, 0x01);
		out(&w, 0x4d0, 0x20);
		pulse(&w, 3);
		up(&w, 9);
		assert_interrupt(&w, SLAVE_BASE + 1);
		w.acks = 0;
		vmirq_i8259_reset(&w.pic);
		assert_int_equal(w.acks, 1u << 9 | 1u << 2 | 1u << 3);
		assert_quiet(&w);
		down(&w, 9);
	}
	s[0] = saved(&w, 0);
	s[1] = saved(&w, 1);
	assert_memory_equal(s, first, sizeof(s));
	/* A line that a source still holds is no new edge. */
	up(&w, 3);
	vmirq_i8259_reset(&w.pic);
	assert_line(&w, 3, true, VMIRQ_COALESCED, 1);
	down(&w, 3);
	assert_quiet(&w);
	assert_int_equal(vmirq_i8259_asserters(&w.pic, 3), 1);
}

static void random_operations_keep_it_valid(void **state)
{
	static const uint32_t ports[] = { 0x20, 0x21, 0xa0, 0xa1, 0x4d0, 0x4d1, 0x22, 0 };
	struct world w;
	uint64_t r = 1;

	(void)state;
	for (int data_sheet = 0; data_sheet < 2; data_sheet++) {
		start_raw(&w, data_sheet);
		for (uint32_t i = 0; i < 50000; i++) {
			uint32_t n;

			r = r * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
			n = (uint32_t)(r >> 32);
			switch (n & 3) {
			case 0:
				vmirq_i8259_set_line(&w.pic, n >> 8 & 31, n >> 16 & 1);
				break;
			case 1:
				vmirq_i8259_read(&w.pic, ports[n >> 8 & 7], 1 + (n >> 16 & 1));
				break;
			case 2:
				vmirq_i8259_write(&w.pic, ports[n >> 8 & 7], 1, n >> 16 & 0xff);
				break;
			default:
				if (vmirq_i8259_output(&w.pic))
					vmirq_i8259_acknowledge(&w.pic);
			}
			assert_int_equal(w.held, 0);
			assert_true(vmirq_i8259_validate(&w.pic));
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(initialization_takes_three_or_four_words),
		cmocka_unit_test(icw1_forgets_edges_and_tells_who_waits),
		cmocka_unit_test(the_slave_is_seen_after_the_masters_initialization),
		cmocka_unit_test(irr_isr_and_imr_are_read),
		cmocka_unit_test(mask_changes_are_told),
		cmocka_unit_test(a_poll_is_an_acknowledge),
		cmocka_unit_test(a_poll_is_the_end_where_it_is_the_kernels),
		cmocka_unit_test(elcr_keeps_what_can_be_a_level),
		cmocka_unit_test(only_bytes_mean_something),
		cmocka_unit_test(what_is_saved_goes_on),
		cmocka_unit_test(loading_what_is_pending_raises_int),
		cmocka_unit_test(no_blob_gets_in_that_cannot_be),
		cmocka_unit_test(resets_add_nothing_up),
		cmocka_unit_test(random_operations_keep_it_valid),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
