// SPDX-License-Identifier: MIT
/* The IOAPIC's registers as a guest sees them, and its state as it is saved and loaded. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "ioapic_world.h"

static void power_up_state(void **state)
{
	struct world w;

	(void)state;
	start(&w, 24, 0x11);
	assert_int_equal(get_register(&w, 0), 0);
	assert_int_equal(get_register(&w, 1), 0x00170011);
	assert_int_equal(get_register(&w, 2), 0);
	for (uint32_t pin = 0; pin < 24; pin++) {
		assert_int_equal(get_register(&w, 0x10 + 2 * pin), MASKED);
		assert_int_equal(get_register(&w, 0x11 + 2 * pin), 0);
	}
	start(&w, 120, 0x20);
	assert_int_equal(get_register(&w, 1), 0x00770020);
	start(&w, 240, 0x20);
	assert_int_equal(get_register(&w, 1), 0x00ef0020);
	put_low(&w, 239, 0x77);
	assert_int_equal(get_register(&w, 0x10 + 2 * 239), 0x77);
}

static void bad_configurations_are_refused(void **state)
{
	struct world w;
	struct ioapic_config good;

	(void)state;
	start(&w, 24, 0x11);
	good = ioapic_config_of(&w, 24, 0x11);
	for (int i = 0; i < 7; i++) {
		struct ioapic_config c = good;

		switch (i) {
		case 0:
			c.count = 23;
			break;
		case 1:
			c.count = 241;
			break;
		case 2:
			c.version = 0x12;
			break;
		case 3:
			c.id = 16;
			break;
		case 4:
			c.base = BASE + 4;
			break;
		case 5:
			c.calls.deliver = NULL;
			break;
		default:
			assert_true(vmirq_ioapic_init(&w.ioapic, &c));
			continue;
		}
		assert_false(vmirq_ioapic_init(&w.ioapic, &c));
	}
}

static void the_window_is_0x100_bytes(void **state)
{
	struct world w;

	(void)state;
	start(&w, 24, 0x11);
	assert_true(vmirq_ioapic_claims(&w.ioapic, BASE, 4));
	assert_true(vmirq_ioapic_claims(&w.ioapic, BASE + 0xfc, 4));
	assert_true(vmirq_ioapic_claims(&w.ioapic, BASE, 0x100));
	assert_false(vmirq_ioapic_claims(&w.ioapic, BASE - 1, 4));
	assert_false(vmirq_ioapic_claims(&w.ioapic, BASE + 0xfe, 4));
	assert_false(vmirq_ioapic_claims(&w.ioapic, BASE + 0x100, 1));
	assert_false(vmirq_ioapic_claims(&w.ioapic, BASE, UINT32_MAX));
	assert_false(vmirq_ioapic_claims(&w.ioapic, 0, 4));
	assert_false(vmirq_ioapic_claims(&w.ioapic, UINT64_MAX, 1));
}

static void the_id_has_four_bits_and_the_rest_is_read_only(void **state)
{
	struct world w;

	(void)state;
	start(&w, 24, 0x11);
	put_register(&w, 0, 0xffffffff);
	assert_int_equal(get_register(&w, 0), 0x0f000000);
	assert_int_equal(get_register(&w, 2), 0x0f000000);
	put_register(&w, 1, 0);
	put_register(&w, 2, 0);
	assert_int_equal(get_register(&w, 1), 0x00170011);
	assert_int_equal(get_register(&w, 2), 0x0f000000);
}

static void an_rte_keeps_all_but_its_read_only_bits(void **state)
{
	struct world w;

	(void)state;
	start(&w, 24, 0x11);
	put_register(&w, 0x11 + 2 * PIN, 0xffffffff);
	put_low(&w, PIN, 0xffffffff);
	assert_int_equal(low(&w, PIN), 0xffffafff);
	assert_int_equal(get_register(&w, 0x11 + 2 * PIN), 0xffffffff);
	start_level(&w);
	put_low(&w, PIN, LEVEL | 0x52);
	assert_int_equal(low(&w, PIN), REMOTE_IRR | LEVEL | 0x52);
	put_low(&w, PIN, 0x52);
	assert_int_equal(low(&w, PIN), 0x52);
}

static void registers_answer_to_every_width(void **state)
{
	struct world w;
	const uint64_t window = BASE + 0x10;

	(void)state;
	start(&w, 24, 0x11);
	get_register(&w, 1);
	assert_int_equal(vmirq_ioapic_read(&w.ioapic, window, 1), 0x11);
	assert_int_equal(vmirq_ioapic_read(&w.ioapic, window, 2), 0x0011);
	assert_int_equal(vmirq_ioapic_read(&w.ioapic, window, 8), 0x00170011);
	assert_int_equal(vmirq_ioapic_read(&w.ioapic, window, 3), 0);
	put_low(&w, PIN, 0x12345678 & ~LEVEL);
	vmirq_ioapic_write(&w.ioapic, window, 2, 0xdead0123);
	assert_int_equal(low(&w, PIN), 0x123);
	vmirq_ioapic_write(&w.ioapic, window, 1, 0xdead0177);
	assert_int_equal(low(&w, PIN), 0x77);
	vmirq_ioapic_write(&w.ioapic, window, 8, UINT64_C(0xdeadbeef00010088));
	assert_int_equal(low(&w, PIN), 0x10088);
	vmirq_ioapic_write(&w.ioapic, window, 3, 0x99);
	assert_int_equal(low(&w, PIN), 0x10088);
	vmirq_ioapic_write(&w.ioapic, BASE, 4, 0x12345601);
	assert_int_equal(vmirq_ioapic_read(&w.ioapic, BASE, 4), 0x01);
}

/* CVE-2013-1798. */
static void every_selector_offset_and_width_is_safe(void **state)
{
	struct world w;

	(void)state;
	start(&w, 24, 0x20);
	for (uint32_t selector = 0; selector < 0x400; selector++) {
		uint32_t seen = selector & 0xff;
		bool there = seen <= 2 || (seen >= 0x10 && seen < 0x10 + 2 * 24);

		assert_int_equal(get_register(&w, selector) == 0xffffffff, !there);
		if (!there)
			put_register(&w, selector, 0x12345678);
	}
	for (uint32_t selector = 0; selector < 0x100; selector++)
		for (uint32_t offset = 0; offset < 0x100; offset++)
			for (uint32_t len = 0; len <= 9; len++) {
				uint64_t value;

				vmirq_ioapic_write(&w.ioapic, BASE, 4, selector);
				vmirq_ioapic_write(&w.ioapic, BASE + offset, len, ~UINT64_C(0));
				value = vmirq_ioapic_read(&w.ioapic, BASE + offset, len);
				if (offset != 0 && offset != 0x10)
					assert_int_equal(value, 0);
			}
	assert_true(vmirq_ioapic_validate(&w.ioapic));
	assert_int_equal(w.sents, 0);
}

/*
 * State.
 */

static void what_is_saved_can_be_loaded(void **state)
{
	struct world w, to;
	struct kvm_ioapic_state s, again;

	(void)state;
	start_level(&w);
	put_register(&w, 0, 7u << 24);
	put_rte(&w, 6, DEST(4) | 0x61);
	vmirq_ioapic_set_line(&w.ioapic, 6, true);
	put_rte(&w, 7, DEST(4) | MASKED | 0x62);
	vmirq_ioapic_set_line(&w.ioapic, 7, true);
	vmirq_ioapic_save(&w.ioapic, &s);
	assert_int_equal(s.base_address, BASE);
	assert_int_equal(s.id, 7);
	assert_int_equal(s.ioregsel, 0x10 + 2 * 7);
	/* Not pin 6: an edge that was sent. */
	assert_int_equal(s.irr, 1u << PIN | 1u << 7);
	assert_int_equal(s.redirtbl[PIN].bits, DEST(3) | LEVEL | REMOTE_IRR | 0x51);

	start(&to, 24, 0x11);
	assert_true(vmirq_ioapic_load(&to.ioapic, &s));
	assert_int_equal(to.sents, 0);
	vmirq_ioapic_save(&to.ioapic, &again);
	assert_memory_equal(&s, &again, sizeof(s));
	/* Its level goes on: the EOI finds the line as high as it was. */
	eoi(&to, 0x51);
	assert_sent(&to, 1, 0x51, 3, DELIVERY_FIXED, true);
	down(&to);
	eoi(&to, 0x51);
	assert_int_equal(to.sents, 1);
}

/* /dev/kvm 6.18: an edge that came while the line was high is shown as not sent. */
static void a_coalesced_edge_is_saved_as_pending(void **state)
{
	struct world w;
	struct kvm_ioapic_state s;

	(void)state;
	start(&w, 24, 0x11);
	put_rte(&w, PIN, DEST(3) | 0x51);
	up(&w);
	vmirq_ioapic_save(&w.ioapic, &s);
	assert_int_equal(s.irr, 0);
	up(&w);
	vmirq_ioapic_save(&w.ioapic, &s);
	assert_int_equal(s.irr, 1u << PIN);
	assert_true(vmirq_ioapic_load(&w.ioapic, &s));
	assert_sent(&w, 2, 0x51, 3, DELIVERY_FIXED, false);
}

static void load_in_service(struct world *w)
{
	struct ioapic_pin_state pin = { .rte = DEST(3) | LEVEL | REMOTE_IRR | 0x51 };

	assert_true(vmirq_ioapic_load_pin(&w->ioapic, PIN, &pin));
}

static void an_eoi_from_before_a_load_ends_nothing(void **state)
{
	struct world w;

	(void)state;
	start_level(&w);
	w.in_ack = 1;
	w.meanwhile = load_in_service;
	eoi(&w, 0x51);
	assert_true(in_service(&w, PIN));
	eoi(&w, 0x51);
	assert_false(in_service(&w, PIN));
	assert_int_equal(w.sents, 1);
}

static void what_is_loaded_as_pending_is_sent(void **state)
{
	struct world w;
	struct kvm_ioapic_state s;

	(void)state;
	start(&w, 24, 0x11);
	vmirq_ioapic_save(&w.ioapic, &s);
	s.redirtbl[1].bits = DEST(1) | LEVEL | 0x71;
	s.redirtbl[2].bits = DEST(2) | 0x72;
	s.redirtbl[3].bits = DEST(3) | LEVEL | REMOTE_IRR | 0x73;
	s.redirtbl[4].bits = DEST(4) | MASKED | 0x74;
	s.irr = 0x1e;
	assert_true(vmirq_ioapic_load(&w.ioapic, &s));
	assert_sent(&w, 2, 0x72, 2, DELIVERY_FIXED, false);
	assert_int_equal(w.sent[0].vector, 0x71);
	assert_true(in_service(&w, 1));
	vmirq_ioapic_save(&w.ioapic, &s);
	assert_int_equal(s.irr, 0x1a);
}

static void no_blob_gets_in_that_cannot_be(void **state)
{
	struct world w;
	struct kvm_ioapic_state good, s, after;

	(void)state;
	start_level(&w);
	vmirq_ioapic_save(&w.ioapic, &good);
	for (int i = 0; i < 6; i++) {
		s = good;
		switch (i) {
		case 0:
			s.id = 16;
			break;
		case 1:
			s.ioregsel = 0x100;
			break;
		case 2:
			s.irr = 1u << 24;
			break;
		case 3:
			s.base_address = BASE + 1;
			break;
		case 4:
			s.redirtbl[23].bits = REMOTE_IRR | 0x51;
			break;
		default:
			memset(&s, 0xff, sizeof(s));
		}
		assert_false(vmirq_ioapic_load(&w.ioapic, &s));
		vmirq_ioapic_save(&w.ioapic, &after);
		assert_memory_equal(&good, &after, sizeof(good));
	}
	assert_int_equal(w.sents, 1);
}

static void asserters_are_kept_beside(void **state)
{
	struct world w, to;
	struct kvm_ioapic_state s;

	(void)state;
	start_level(&w);
	up(&w);
	put_rte(&w, 6, DEST(4) | 0x61);
	vmirq_ioapic_set_line(&w.ioapic, 6, true);
	vmirq_ioapic_save(&w.ioapic, &s);
	assert_int_equal(vmirq_ioapic_asserters(&w.ioapic, PIN), 2);
	start(&to, 24, 0x11);
	assert_true(vmirq_ioapic_load(&to.ioapic, &s));
	assert_true(vmirq_ioapic_set_asserters(&to.ioapic, PIN, 2));
	assert_true(vmirq_ioapic_set_asserters(&to.ioapic, 6, 1));
	assert_int_equal(to.sents, 0);
	vmirq_ioapic_save(&to.ioapic, &s);
	assert_int_equal(s.irr, 1u << PIN);
	/* The edge that was sent before is not one again until its line has been low. */
	vmirq_ioapic_set_line(&to.ioapic, 6, true);
	vmirq_ioapic_set_line(&to.ioapic, 6, false);
	vmirq_ioapic_set_line(&to.ioapic, 6, false);
	assert_int_equal(to.sents, 0);
	vmirq_ioapic_set_line(&to.ioapic, 6, true);
	assert_sent(&to, 1, 0x61, 4, DELIVERY_FIXED, false);
	down(&to);
	eoi(&to, 0x51);
	assert_sent(&to, 2, 0x51, 3, DELIVERY_FIXED, true);
	down(&to);
	eoi(&to, 0x51);
	assert_int_equal(to.sents, 2);
	/* A level that is high, of which the blob did not know: it rises. */
	put_rte(&to, 9, DEST(4) | LEVEL | 0x62);
	assert_true(vmirq_ioapic_set_asserters(&to.ioapic, 9, 1));
	assert_sent(&to, 3, 0x62, 4, DELIVERY_FIXED, true);
}

static void pins_beyond_24_are_saved_one_by_one(void **state)
{
	struct world w;
	struct ioapic_pin_state pin;

	(void)state;
	start(&w, 64, 0x20);
	put_rte(&w, 63, DEST(3) | LEVEL | 0x51);
	vmirq_ioapic_set_line(&w.ioapic, 63, true);
	assert_true(vmirq_ioapic_save_pin(&w.ioapic, 63, &pin));
	assert_true(pin.irr);
	assert_int_equal(pin.rte, DEST(3) | LEVEL | REMOTE_IRR | 0x51);
	start(&w, 64, 0x20);
	assert_true(vmirq_ioapic_load_pin(&w.ioapic, 63, &pin));
	assert_int_equal(w.sents, 0);
	eoi(&w, 0x51);
	assert_sent(&w, 1, 0x51, 3, DELIVERY_FIXED, true);
	pin.rte = REMOTE_IRR;
	assert_false(vmirq_ioapic_load_pin(&w.ioapic, 63, &pin));
}

static void a_reset_leaves_the_lines_to_their_sources(void **state)
{
	struct world w;
	struct kvm_ioapic_state first, s;

	(void)state;
	start(&w, 24, 0x11);
	vmirq_ioapic_save(&w.ioapic, &first);
	/* XSA-360: nothing adds up over resets. */
	for (uint32_t i = 0; i < 10000; i++) {
		put_rte(&w, PIN, DEST(3) | LEVEL | 0x51);
		up(&w);
		w.sents = 0;
		vmirq_ioapic_reset(&w.ioapic);
		down(&w);
		eoi(&w, 0x51);
		assert_int_equal(vmirq_ioapic_asserters(&w.ioapic, PIN), 0);
	}
	vmirq_ioapic_save(&w.ioapic, &s);
	assert_memory_equal(&s, &first, sizeof(s));
	up(&w);
	vmirq_ioapic_reset(&w.ioapic);
	assert_int_equal(w.sents, 0);
	put_rte(&w, PIN, DEST(3) | LEVEL | 0x51);
	assert_sent(&w, 1, 0x51, 3, DELIVERY_FIXED, true);
}

static void reset_it(struct world *w)
{
	vmirq_ioapic_reset(&w->ioapic);
	put_rte(w, PIN, DEST(4) | LEVEL | 0x51);
}

/* XSA-343. */
static void a_reset_during_an_eoi_or_a_delivery_is_safe(void **state)
{
	struct world w;

	(void)state;
	start_level(&w);
	w.in_ack = 1;
	w.meanwhile = reset_it;
	eoi(&w, 0x51);
	assert_sent(&w, 2, 0x51, 4, DELIVERY_FIXED, true);
	assert_true(in_service(&w, PIN));
	start(&w, 24, 0x11);
	put_rte(&w, PIN, DEST(3) | LEVEL | 0x51);
	w.present = 0;
	w.in_deliver = 1;
	w.meanwhile = reset_it;
	up(&w);
	assert_sent(&w, 2, 0x51, 4, DELIVERY_FIXED, true);
	assert_false(in_service(&w, PIN));
}

/* CVE-2014-0155, and all the rest: whatever is written, loaded, raised and ended. */
static void random_operations_keep_it_valid(void **state)
{
	struct world w;
	uint64_t r = 1;

	(void)state;
	start(&w, 24, 0x20);
	for (uint32_t i = 0; i < 50000; i++) {
		uint32_t n;

		r = r * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
		n = (uint32_t)(r >> 32);
		w.present = n >> 8 & 3;
		w.in_mask = 0;
		switch (n & 7) {
		case 0:
		case 1:
			vmirq_ioapic_set_line(&w.ioapic, n >> 12 & 31, n >> 10 & 1);
			break;
		case 2:
			eoi(&w, (uint8_t)(0x50 + (n >> 12 & 3)));
			break;
		case 3:
			vmirq_ioapic_write(&w.ioapic, BASE + (n >> 12 & 0xff), 1u << (n >> 20 & 3),
					   r);
			break;
		case 4:
			vmirq_ioapic_retry(&w.ioapic, PIN);
			break;
		default:
			put_register(&w, 0x10 + (n >> 12 & 31),
				     (n & 0xffffff00) | (0x50 + (n >> 3 & 3)));
		}
		w.sents = 0;
		assert_true(vmirq_ioapic_validate(&w.ioapic));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(power_up_state),
		cmocka_unit_test(bad_configurations_are_refused),
		cmocka_unit_test(the_window_is_0x100_bytes),
		cmocka_unit_test(the_id_has_four_bits_and_the_rest_is_read_only),
		cmocka_unit_test(an_rte_keeps_all_but_its_read_only_bits),
		cmocka_unit_test(registers_answer_to_every_width),
		cmocka_unit_test(every_selector_offset_and_width_is_safe),
		cmocka_unit_test(what_is_saved_can_be_loaded),
		cmocka_unit_test(a_coalesced_edge_is_saved_as_pending),
		cmocka_unit_test(an_eoi_from_before_a_load_ends_nothing),
		cmocka_unit_test(what_is_loaded_as_pending_is_sent),
		cmocka_unit_test(no_blob_gets_in_that_cannot_be),
		cmocka_unit_test(asserters_are_kept_beside),
		cmocka_unit_test(pins_beyond_24_are_saved_one_by_one),
		cmocka_unit_test(a_reset_leaves_the_lines_to_their_sources),
		cmocka_unit_test(a_reset_during_an_eoi_or_a_delivery_is_safe),
		cmocka_unit_test(random_operations_keep_it_valid),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
