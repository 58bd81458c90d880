// SPDX-License-Identifier: MIT
/* Priorities, nesting, end of interrupt (SDM vol. 3A 11.8). */
#include "../support.h"

/* Accept `vector` in IRR. */
static void accept(struct soft *s, uint8_t vector)
{
	send(s, msi_to(0, vector), VMIRQ_DELIVERED);
}

static void take(struct vmirq_vcpu *vcpu, int vector)
{
	assert_int_equal(vmirq_vcpu_next_vector(vcpu), vector);
	assert_int_equal(vmirq_vcpu_ack(vcpu, (uint32_t)vector), 0);
}

static void eoi(struct vmirq_vcpu *vcpu)
{
	apic_write(vcpu, APIC_EOI, 0);
}

static void the_highest_vector_first(void **state)
{
	struct soft *s = soft_new(1);
	uint8_t taken[256];

	(void)state;
	for (unsigned int v = 16; v < 256; v++)
		accept(s, (uint8_t)v);
	assert_int_equal(take_all(s->vcpu[0], taken), 240);
	for (unsigned int i = 0; i < 240; i++)
		assert_int_equal(taken[i], 255 - i);
	soft_free(s);
}

/* IRR to ISR by ack, out of ISR by EOI. */
static void the_way_of_one(void **state)
{
	struct soft *s = soft_new(1);
	struct vmirq_vcpu *vcpu = s->vcpu[0];

	(void)state;
	for (unsigned int v = 16; v < 256; v++) {
		accept(s, (uint8_t)v);
		assert_true(apic_bit(vcpu, APIC_IRR, (uint8_t)v));
		take(vcpu, (int)v);
		assert_false(apic_bit(vcpu, APIC_IRR, (uint8_t)v));
		assert_true(apic_bit(vcpu, APIC_ISR, (uint8_t)v));
		assert_int_equal(apic_read(vcpu, APIC_PPR), v & 0xf0);
		eoi(vcpu);
		assert_false(apic_bit(vcpu, APIC_ISR, (uint8_t)v));
		assert_int_equal(apic_read(vcpu, APIC_PPR), 0);
	}
	soft_free(s);
}

/* One that is in service holds back its class and those below, not those above. */
static void nesting_by_class(void **state)
{
	struct soft *s = soft_new(1);
	struct vmirq_vcpu *vcpu = s->vcpu[0];

	(void)state;
	accept(s, 0x45);
	take(vcpu, 0x45);
	accept(s, 0x4f); /* same class, higher vector */
	accept(s, 0x3f);
	take_nothing(vcpu);
	accept(s, 0x51);
	take(vcpu, 0x51);
	accept(s, 0x52);
	take_nothing(vcpu);
	accept(s, 0x91);
	take(vcpu, 0x91);
	/* EOI ends the highest in service, whichever that is. */
	eoi(vcpu);
	assert_false(apic_bit(vcpu, APIC_ISR, 0x91));
	assert_true(apic_bit(vcpu, APIC_ISR, 0x51));
	take_nothing(vcpu);
	eoi(vcpu);
	take(vcpu, 0x52);
	eoi(vcpu);
	take_nothing(vcpu);
	eoi(vcpu);
	take(vcpu, 0x4f);
	eoi(vcpu);
	take(vcpu, 0x3f);
	eoi(vcpu);
	take_nothing(vcpu);
	soft_free(s);
}

static void ppr_is_the_higher_of_tpr_and_isr(void **state)
{
	static const struct {
		uint32_t tpr;
		uint8_t isr;
		uint32_t ppr;
	} cases[] = {
		{ 0x00, 0, 0x00 },    { 0x05, 0, 0x05 },    { 0x35, 0, 0x35 },
		{ 0x00, 0x45, 0x40 }, { 0x0f, 0x45, 0x40 }, { 0x35, 0x45, 0x40 },
		{ 0x40, 0x45, 0x40 }, { 0x4a, 0x45, 0x4a }, { 0x5a, 0x45, 0x5a },
		{ 0xff, 0x45, 0xff },
	};
	struct soft *s = soft_new(1);
	struct vmirq_vcpu *vcpu = s->vcpu[0];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		apic_write(vcpu, APIC_TPR, 0);
		if (cases[i].isr) {
			accept(s, cases[i].isr);
			take(vcpu, cases[i].isr);
		}
		apic_write(vcpu, APIC_TPR, cases[i].tpr);
		assert_int_equal(apic_read(vcpu, APIC_PPR), cases[i].ppr);
		if (cases[i].isr)
			eoi(vcpu);
		assert_int_equal(apic_read(vcpu, APIC_PPR), cases[i].tpr);
	}
	soft_free(s);
}

/* TPR blocks its own class and all below; its low four bits do not. */
static void tpr_blocks_by_class(void **state)
{
	struct soft *s = soft_new(1);
	struct vmirq_vcpu *vcpu = s->vcpu[0];

	(void)state;
	for (uint32_t class = 1; class < 16; class ++) {
		uint8_t vector = (uint8_t)(class << 4 | 7);

		accept(s, vector);
		apic_write(vcpu, APIC_TPR, class << 4);
		take_nothing(vcpu);
		apic_write(vcpu, APIC_TPR, 0xf0);
		take_nothing(vcpu);
		apic_write(vcpu, APIC_TPR, (class - 1) << 4 | 0xf);
		take(vcpu, vector);
		eoi(vcpu);
	}
	/* By CR8 it is the same. */
	accept(s, 0x87);
	assert_int_equal(vmirq_vcpu_set_cr8(vcpu, 8), 0);
	take_nothing(vcpu);
	assert_int_equal(vmirq_vcpu_set_cr8(vcpu, 7), 0);
	take(vcpu, 0x87);
	eoi(vcpu);
	soft_free(s);
}

/* A vector in service may come again: IRR and ISR at once. */
static void again_while_in_service(void **state)
{
	struct soft *s = soft_new(1);
	struct vmirq_vcpu *vcpu = s->vcpu[0];

	(void)state;
	accept(s, 0x41);
	take(vcpu, 0x41);
	accept(s, 0x41);
	assert_true(apic_bit(vcpu, APIC_IRR, 0x41));
	assert_true(apic_bit(vcpu, APIC_ISR, 0x41));
	take_nothing(vcpu);
	eoi(vcpu);
	take(vcpu, 0x41);
	eoi(vcpu);
	take_nothing(vcpu);
	assert_int_equal(counts_of_vector(vcpu, 0x41).taken, 2);
	soft_free(s);
}

static void eoi_of_nothing(void **state)
{
	struct soft *s = soft_new(1);

	(void)state;
	eoi(s->vcpu[0]);
	accept(s, 0x41);
	eoi(s->vcpu[0]);
	take_only(s->vcpu[0], 0x41);
	soft_free(s);
}

/* Ack taken back: as if it had not been, also when it came again meanwhile. */
static void unack(void **state)
{
	struct soft *s = soft_new(1);
	struct vmirq_vcpu *vcpu = s->vcpu[0];

	(void)state;
	accept(s, 0x41);
	take(vcpu, 0x41);
	accept(s, 0x41);
	assert_true(apic_bit(vcpu, APIC_IRR, 0x41));
	assert_int_equal(vmirq_vcpu_unack(vcpu, 0x41), 0);
	assert_true(apic_bit(vcpu, APIC_IRR, 0x41));
	assert_false(apic_bit(vcpu, APIC_ISR, 0x41));
	assert_int_equal(apic_read(vcpu, APIC_PPR), 0);
	/* The two are one now. */
	assert_int_equal(counts_of_vector(vcpu, 0x41).merged, 1);
	take_only(vcpu, 0x41);
	/* In the middle of a nest. */
	accept(s, 0x51);
	take(vcpu, 0x51);
	accept(s, 0x61);
	take(vcpu, 0x61);
	assert_int_equal(vmirq_vcpu_unack(vcpu, 0x61), 0);
	assert_int_equal(apic_read(vcpu, APIC_PPR), 0x50);
	take(vcpu, 0x61);
	eoi(vcpu);
	eoi(vcpu);
	take_nothing(vcpu);
	soft_free(s);
}

/* The level of a vector is how it was last posted. */
static void trigger_mode_follows_the_last_post(void **state)
{
	struct soft *s = soft_new(1);
	struct kvm_msi level = msi_to(0, 0x41);

	(void)state;
	level.data |= 3u << 14;
	for (int i = 0; i < 4; i++) {
		send(s, i % 2 ? msi_to(0, 0x41) : level, VMIRQ_DELIVERED);
		send(s, i % 2 ? level : msi_to(0, 0x41), VMIRQ_COALESCED);
		assert_int_equal(apic_bit(s->vcpu[0], APIC_TMR, 0x41), i % 2);
		take_only(s->vcpu[0], 0x41);
	}
	soft_free(s);
}

/* Random messages, takes, EOIs, unacks and TPRs, against a model of 256 flags. */
static void against_a_model(void **state)
{
	struct soft *s = soft_new(1);
	struct vmirq_vcpu *vcpu = s->vcpu[0];
	bool irr[256] = { false }, isr[256] = { false };
	uint32_t seed = 7, tpr = 0, what;

	(void)state;
	for (int turn = 0; turn < 40000; turn++) {
		int top_irr = -1, top_isr = -1, expected;
		uint8_t vector;

		seed = seed * 1664525 + 1013904223;
		vector = (uint8_t)(16 + (seed >> 8) % 240);
		for (int v = 0; v < 256; v++) {
			top_irr = irr[v] ? v : top_irr;
			top_isr = isr[v] ? v : top_isr;
		}
		expected = top_irr >= 0 && top_irr >> 4 > top_isr >> 4 &&
					   (uint32_t)top_irr >> 4 > tpr >> 4
				   ? top_irr
				   : -1;
		assert_int_equal(vmirq_vcpu_next_vector(vcpu), expected);
		what = seed >> 28;
		if (what < 6) {
			/* Folded each time, so nothing coalesces. */
			accept(s, vector);
			irr[vector] = true;
		} else if (what < 10 && expected >= 0) {
			assert_int_equal(vmirq_vcpu_ack(vcpu, (uint32_t)expected), 0);
			irr[expected] = false;
			isr[expected] = true;
		} else if (what < 13) {
			eoi(vcpu);
			if (top_isr >= 0)
				isr[top_isr] = false;
		} else if (what == 13) {
			assert_int_equal(vmirq_vcpu_unack(vcpu, vector), isr[vector] ? 0 : -EINVAL);
			irr[vector] = irr[vector] || isr[vector];
			isr[vector] = false;
		} else {
			tpr = seed >> 16 & 0x7f;
			apic_write(vcpu, APIC_TPR, tpr);
		}
	}
	for (int v = 0; v < 256; v++) {
		assert_int_equal(apic_bit(vcpu, APIC_IRR, (uint8_t)v), irr[v]);
		assert_int_equal(apic_bit(vcpu, APIC_ISR, (uint8_t)v), isr[v]);
	}
	soft_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_highest_vector_first),
		cmocka_unit_test(the_way_of_one),
		cmocka_unit_test(nesting_by_class),
		cmocka_unit_test(ppr_is_the_higher_of_tpr_and_isr),
		cmocka_unit_test(tpr_blocks_by_class),
		cmocka_unit_test(again_while_in_service),
		cmocka_unit_test(eoi_of_nothing),
		cmocka_unit_test(unack),
		cmocka_unit_test(trigger_mode_follows_the_last_post),
		cmocka_unit_test(against_a_model),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
