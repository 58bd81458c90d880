// SPDX-License-Identifier: MIT
/* Many vectors in one call: each is posted and counted for itself, and the vCPU is told once. */
#include "../support.h"

static int kicks;

static void count_kick(void *opaque)
{
	(void)opaque;
	kicks++;
}

static int post(struct vmirq_vcpu *vcpu, uint64_t a, uint64_t b, uint64_t c, uint64_t d,
		uint64_t newly[4])
{
	return vmirq_vcpu_post_mask(vcpu, (const uint64_t[4]){ a, b, c, d }, newly);
}

static uint64_t verdict(struct vmirq_vcpu *vcpu, enum vmirq_verdict which)
{
	struct vmirq_route_counts counts = { .size = sizeof(counts) };

	assert_int_equal(vmirq_vcpu_counts(vcpu, &counts), 0);
	return counts.verdict[which];
}

static void each_is_posted_and_counted(void **state)
{
	struct soft *s = soft_new(2);
	uint64_t newly[4];
	uint8_t taken[256];

	(void)state;
	assert_int_equal(post(s->vcpu[1], 1u << 16, 1, 1ull << 63, 5, newly), 5);
	assert_int_equal(newly[0], 1u << 16);
	assert_int_equal(newly[1], 1);
	assert_int_equal(newly[2], 1ull << 63);
	assert_int_equal(newly[3], 5);
	/* Two are pending, one is not. */
	assert_int_equal(post(s->vcpu[1], 0, 3, 1ull << 63, 0, newly), 1);
	assert_int_equal(newly[0] | newly[2] | newly[3], 0);
	assert_int_equal(newly[1], 2);
	assert_int_equal(post(s->vcpu[1], 1u << 16, 3, 1ull << 63, 5, NULL), 0);
	assert_int_equal(post(s->vcpu[1], 0, 0, 0, 0, newly), 0);
	assert_int_equal(verdict(s->vcpu[1], VMIRQ_DELIVERED), 6);
	assert_int_equal(verdict(s->vcpu[1], VMIRQ_COALESCED), 2 + 6);
	assert_int_equal(verdict(s->vcpu[0], VMIRQ_DELIVERED), 0);
	take_nothing(s->vcpu[0]);
	assert_int_equal(take_all(s->vcpu[1], taken), 6);
	assert_int_equal(taken[0], 194);
	assert_int_equal(taken[1], 192);
	assert_int_equal(taken[2], 191);
	assert_int_equal(taken[3], 65);
	assert_int_equal(taken[4], 64);
	assert_int_equal(taken[5], 16);
	assert_int_equal(post(s->vcpu[1], ~0ull, ~0ull, ~0ull, ~0ull, newly), 240);
	assert_int_equal(newly[0], ~0xffffull);
	assert_int_equal(take_all(s->vcpu[1], NULL), 240);
	soft_free(s);
}

static void no_vector_below_16(void **state)
{
	struct soft *s = soft_new(1);
	uint64_t newly[4];

	(void)state;
	assert_int_equal(post(s->vcpu[0], 0x18001, 0, 0, 0, newly), 1);
	assert_int_equal(newly[0], 0x10000);
	assert_int_equal(post(s->vcpu[0], 1, 0, 0, 0, newly), 0);
	assert_int_equal(verdict(s->vcpu[0], VMIRQ_BAD_VECTOR), 3);
	assert_int_equal(verdict(s->vcpu[0], VMIRQ_DELIVERED), 1);
	take_only(s->vcpu[0], 16);
	soft_free(s);
}

static void a_disabled_apic_takes_none(void **state)
{
	struct soft *s = soft_new(1);

	(void)state;
	apic_write(s->vcpu[0], APIC_SVR, 0xff);
	assert_int_equal(post(s->vcpu[0], 0, 7, 0, 1, NULL), 0);
	assert_int_equal(verdict(s->vcpu[0], VMIRQ_APIC_DISABLED), 4);
	assert_int_equal(verdict(s->vcpu[0], VMIRQ_DELIVERED), 0);
	apic_enable(s->vcpu[0]);
	take_nothing(s->vcpu[0]);
	assert_int_equal(post(s->vcpu[0], 0, 1, 0, 0, NULL), 1);
	take_only(s->vcpu[0], 64);
	soft_free(s);
}

/* An edge, also where the vector was a level before. */
static void they_are_edges(void **state)
{
	struct soft *s = soft_new(1);
	struct kvm_msi level = msi_to(0, 0x41);

	(void)state;
	level.data |= 3u << 14;
	send(s, level, VMIRQ_DELIVERED);
	take_only(s->vcpu[0], 0x41);
	assert_true(apic_bit(s->vcpu[0], APIC_TMR, 0x41));
	assert_int_equal(post(s->vcpu[0], 0, 2, 0, 0, NULL), 1);
	take_only(s->vcpu[0], 0x41);
	assert_false(apic_bit(s->vcpu[0], APIC_TMR, 0x41));
	soft_free(s);
}

static void one_kick_for_all(void **state)
{
	struct soft *s = soft_new(0);
	struct vmirq_vcpu_config config = { .size = sizeof(config), .kick = { .fn = count_kick } };
	uint32_t vector;

	(void)state;
	assert_int_equal(vmirq_vcpu_create(s->vm, &config, &s->vcpu[0]), 0);
	s->n = 1;
	apic_enable(s->vcpu[0]);
	assert_int_equal(vmirq_vcpu_step(s->vcpu[0], 0, &vector), VMIRQ_STEP_ENTER);
	assert_int_equal(post(s->vcpu[0], 1ull << 32, 1, 1, 1, NULL), 4);
	assert_int_equal(kicks, 1);
	assert_int_equal(post(s->vcpu[0], 1ull << 33, 1, 1, 1, NULL), 1);
	assert_int_equal(kicks, 1);
	vmirq_vcpu_leave(s->vcpu[0]);
	assert_int_equal(take_all(s->vcpu[0], NULL), 5);
	soft_free(s);
}

static void wrong_arguments(void **state)
{
	struct soft *s = soft_new(1);
	struct vmirq_route_counts counts = { .size = sizeof(counts) - 1 };
	const uint64_t none[4] = { 0 };

	(void)state;
	assert_int_equal(vmirq_vcpu_post_mask(NULL, none, NULL), -EINVAL);
	assert_int_equal(vmirq_vcpu_post_mask(s->vcpu[0], NULL, NULL), -EINVAL);
	assert_int_equal(vmirq_vcpu_counts(s->vcpu[0], &counts), -EINVAL);
	assert_int_equal(vmirq_vcpu_counts(NULL, &counts), -EINVAL);
	soft_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_is_posted_and_counted), cmocka_unit_test(no_vector_below_16),
		cmocka_unit_test(a_disabled_apic_takes_none), cmocka_unit_test(they_are_edges),
		cmocka_unit_test(one_kick_for_all),	      cmocka_unit_test(wrong_arguments),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
