// SPDX-License-Identifier: MIT
/* Deassign cannot fail: without memory for an irqfd's counts on its GSI they stay where they are. */
#include "../support.h"

#include "../failing_malloc.h"

static void deassign(struct vmirq_irqfd *irqfd)
{
	fail_after(0);
	assert_int_equal(vmirq_irqfd_deassign(irqfd), 0);
	fail_no_more();
}

static void counts_stay(void **state)
{
	struct soft *s = soft_new(1);
	struct vmirq_irqfd *first, *second;

	(void)state;
	route_to(s, 3, 0, 0x41);
	first = irqfd_call(s, 3);
	assert_signal(first, VMIRQ_DELIVERED);
	assert_signal(first, VMIRQ_COALESCED);
	take_only(s->vcpu[0], 0x41);
	deassign(first);
	assert_int_equal(counts_of_gsi(s, 3).raised, 2);
	second = irqfd_call(s, 3);
	assert_ptr_not_equal(second, first);
	assert_signal(second, VMIRQ_DELIVERED);
	/* What is gone follows no route. */
	route_to(s, 3, 0, 0x42);
	assert_signal(second, VMIRQ_DELIVERED);
	assert_int_equal(take_all(s->vcpu[0], NULL), 2);
	assert_int_equal(vmirq_irqfd_deassign(second), 0);
	assert_int_equal(gsi_verdict(s, 3, VMIRQ_DELIVERED), 3);
	assert_int_equal(gsi_verdict(s, 3, VMIRQ_COALESCED), 1);
	assert_int_equal(counts_of_gsi(s, 3).raised, 4);
	/* With memory it is used again. */
	assert_ptr_equal(irqfd_call(s, 3), second);
	soft_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(counts_stay) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
