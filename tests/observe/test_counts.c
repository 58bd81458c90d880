// SPDX-License-Identifier: MIT
/* Names, sizes and errors of the counters. What they count is asserted by every other test. */
#include "../support.h"

static void every_verdict_has_its_name(void **state)
{
	static const char *const names[] = {
		"delivered",	 "coalesced",  "no_route",    "no_target",
		"apic_disabled", "bad_vector", "bad_message", "eventfd_merged",
		"deassigned",	 "rte_masked", "pic_masked",  "remote_irr",
	};

	(void)state;
	assert_int_equal(sizeof(names) / sizeof(names[0]), VMIRQ_VERDICTS);
	for (int i = 0; i < VMIRQ_VERDICTS; i++)
		assert_string_equal(vmirq_verdict_name((enum vmirq_verdict)i), names[i]);
}

static void what_is_no_verdict_has_none(void **state)
{
	(void)state;
	assert_null(vmirq_verdict_name(VMIRQ_VERDICTS));
	assert_null(vmirq_verdict_name((enum vmirq_verdict)UINT32_MAX));
	assert_null(vmirq_verdict_name((enum vmirq_verdict)INT32_MAX));
}

/* A size the library does not know, for each call. */
static void wrong_sizes(void **state)
{
	struct soft *s = soft_new(1);
	struct vmirq_irqfd *irqfd = irqfd_call(s, 5);
	static const size_t sizes[] = { 0, 1, sizeof(size_t),
					sizeof(struct vmirq_route_counts) - 1 };

	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct vmirq_route_counts c = { .size = sizes[i], .raised = 77 };

		assert_int_equal(vmirq_gsi_counts(s->vm, 5, &c), -EINVAL);
		assert_int_equal(vmirq_irqfd_counts(irqfd, &c), -EINVAL);
		assert_int_equal(vmirq_msi_counts(s->vm, &c), -EINVAL);
		assert_int_equal(vmirq_ipi_counts(s->vm, &c), -EINVAL);
		assert_int_equal(c.raised, 77);
	}
	for (size_t size = 0; size < sizeof(struct vmirq_vector_counts); size++) {
		struct vmirq_vector_counts c = { .size = size, .posted = 77 };

		assert_int_equal(vmirq_vector_counts(s->vcpu[0], 0x40, &c), -EINVAL);
		assert_int_equal(c.posted, 77);
	}
	soft_free(s);
}

static void gsi_and_vector_limits(void **state)
{
	struct soft *s = soft_new(1);
	struct vmirq_route_counts c = { .size = sizeof(c) };
	struct vmirq_vector_counts v = { .size = sizeof(v) };

	(void)state;
	assert_int_equal(vmirq_gsi_counts(s->vm, 0, &c), 0);
	assert_int_equal(vmirq_gsi_counts(s->vm, SOFT_GSIS - 1, &c), 0);
	assert_int_equal(vmirq_gsi_counts(s->vm, SOFT_GSIS, &c), -EINVAL);
	assert_int_equal(vmirq_gsi_counts(s->vm, UINT32_MAX, &c), -EINVAL);
	assert_int_equal(vmirq_vector_counts(s->vcpu[0], 0, &v), 0);
	assert_int_equal(vmirq_vector_counts(s->vcpu[0], 255, &v), 0);
	assert_int_equal(vmirq_vector_counts(s->vcpu[0], 256, &v), -EINVAL);
	assert_int_equal(vmirq_vector_counts(s->vcpu[0], UINT32_MAX, &v), -EINVAL);
	soft_free(s);
}

static void null_is_einval(void **state)
{
	struct soft *s = soft_new(1);
	struct vmirq_route_counts c = { .size = sizeof(c) };
	struct vmirq_vector_counts v = { .size = sizeof(v) };

	(void)state;
	assert_int_equal(vmirq_gsi_counts(NULL, 0, &c), -EINVAL);
	assert_int_equal(vmirq_gsi_counts(s->vm, 0, NULL), -EINVAL);
	assert_int_equal(vmirq_irqfd_counts(NULL, &c), -EINVAL);
	assert_int_equal(vmirq_msi_counts(NULL, &c), -EINVAL);
	assert_int_equal(vmirq_msi_counts(s->vm, NULL), -EINVAL);
	assert_int_equal(vmirq_ipi_counts(NULL, &c), -EINVAL);
	assert_int_equal(vmirq_ipi_counts(s->vm, NULL), -EINVAL);
	assert_int_equal(vmirq_vector_counts(NULL, 0, &v), -EINVAL);
	assert_int_equal(vmirq_vector_counts(s->vcpu[0], 0, NULL), -EINVAL);
	soft_free(s);
}

static void a_gsi_never_used_counts_nothing(void **state)
{
	struct soft *s = soft_new(1);
	struct vmirq_route_counts c, zero = { .size = sizeof(zero) };

	(void)state;
	memset(&c, 0xff, sizeof(c));
	c.size = sizeof(c);
	assert_int_equal(vmirq_gsi_counts(s->vm, 900, &c), 0);
	assert_memory_equal(&c, &zero, sizeof(c));
	soft_free(s);
}

/* A vector's way: posted, in IRR, taken; each is in exactly one place at any moment. */
static void a_vector_is_counted_where_it_is(void **state)
{
	struct soft *s = soft_new(1);
	struct vmirq_vcpu *vcpu = s->vcpu[0];
	struct vmirq_vector_counts c;

	(void)state;
	send(s, msi_to(0, 0x40), VMIRQ_DELIVERED);
	c = counts_of_vector(vcpu, 0x40);
	assert_int_equal(c.posted, 1);
	assert_int_equal(c.pending, 1);
	assert_int_equal(vmirq_vcpu_next_vector(vcpu), 0x40);
	assert_int_equal(counts_of_vector(vcpu, 0x40).pending, 1);
	/* Posted anew while its IRR bit stands: two places. */
	send(s, msi_to(0, 0x40), VMIRQ_DELIVERED);
	c = counts_of_vector(vcpu, 0x40);
	assert_int_equal(c.posted, 2);
	assert_int_equal(c.pending, 2);
	assert_int_equal(vmirq_vcpu_next_vector(vcpu), 0x40);
	c = counts_of_vector(vcpu, 0x40);
	assert_int_equal(c.merged, 1);
	assert_int_equal(c.pending, 1);
	assert_int_equal(vmirq_vcpu_ack(vcpu, 0x40), 0);
	c = counts_of_vector(vcpu, 0x40);
	assert_int_equal(c.taken, 1);
	assert_int_equal(c.pending, 0);
	apic_write(vcpu, APIC_EOI, 0);
	assert_int_equal(counts_of_vector(vcpu, 0x41).posted, 0);
	soft_free(s);
}

/* Counts of a GSI outlive its irqfds, and sum over all of them. */
static void a_gsi_keeps_the_counts_of_irqfds_gone(void **state)
{
	struct soft *s = soft_new(1);
	struct vmirq_irqfd *a = irqfd_call(s, 7), *b = irqfd_call(s, 7);

	(void)state;
	assert_signal(a, VMIRQ_NO_ROUTE);
	route_to(s, 7, 0, 0x50);
	assert_signal(a, VMIRQ_DELIVERED);
	assert_signal(b, VMIRQ_COALESCED);
	assert_int_equal(counts_of(a).raised, 2);
	assert_int_equal(counts_of(b).raised, 1);
	assert_int_equal(vmirq_irqfd_deassign(a), 0);
	assert_int_equal(counts_of_gsi(s, 7).raised, 3);
	assert_int_equal(vmirq_irqfd_deassign(b), 0);
	assert_int_equal(counts_of_gsi(s, 7).raised, 3);
	assert_int_equal(gsi_verdict(s, 7, VMIRQ_NO_ROUTE), 1);
	assert_int_equal(gsi_verdict(s, 7, VMIRQ_DELIVERED), 1);
	assert_int_equal(gsi_verdict(s, 7, VMIRQ_COALESCED), 1);
	/* A new one on the same memory starts at nothing. */
	assert_int_equal(counts_of(irqfd_call(s, 7)).raised, 0);
	soft_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_verdict_has_its_name),
		cmocka_unit_test(what_is_no_verdict_has_none),
		cmocka_unit_test(wrong_sizes),
		cmocka_unit_test(gsi_and_vector_limits),
		cmocka_unit_test(null_is_einval),
		cmocka_unit_test(a_gsi_never_used_counts_nothing),
		cmocka_unit_test(a_vector_is_counted_where_it_is),
		cmocka_unit_test(a_gsi_keeps_the_counts_of_irqfds_gone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
