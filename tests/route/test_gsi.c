// SPDX-License-Identifier: MIT
/* GSIs given out and taken back: always the lowest, 24 or above, that is neither routed nor taken. */
#include "../support.h"

static struct vmirq_vm *small_vm(uint32_t max_gsis)
{
	struct vmirq_vm_config config = { .size = sizeof(config),
					  .max_vcpus = 1,
					  .max_gsis = max_gsis };
	struct vmirq_vm *vm;

	assert_int_equal(vmirq_vm_create(&config, &vm), 0);
	return vm;
}

static void expect(struct vmirq_vm *vm, uint32_t gsi)
{
	uint32_t got = 0;

	assert_int_equal(vmirq_gsi_alloc(vm, &got), 0);
	assert_int_equal(got, gsi);
}

static void the_lowest_from_24(void **state)
{
	struct vmirq_vm *vm = small_vm(64);

	(void)state;
	expect(vm, 24);
	expect(vm, 25);
	expect(vm, 26);
	assert_int_equal(vmirq_gsi_free(vm, 25), 0);
	assert_int_equal(vmirq_gsi_free(vm, 24), 0);
	expect(vm, 24);
	expect(vm, 25);
	expect(vm, 27);
	assert_int_equal(vmirq_vm_destroy(vm), 0);
}

static void routed_ones_are_passed_over(void **state)
{
	struct vmirq_vm *vm = small_vm(64);

	(void)state;
	assert_int_equal(vmirq_route_set_msi(vm, 24, 0xfee00000, 0x40), 0);
	assert_int_equal(vmirq_route_set_msi(vm, 26, 0xfee00000, 0x40), 0);
	expect(vm, 25);
	expect(vm, 27);
	/* A route gone is a GSI free again. */
	assert_int_equal(vmirq_route_clear(vm, 26), 0);
	expect(vm, 26);
	/* Clearing the route of one that is taken frees nothing. */
	assert_int_equal(vmirq_route_set_msi(vm, 25, 0xfee00000, 0x40), 0);
	assert_int_equal(vmirq_route_clear(vm, 25), 0);
	expect(vm, 28);
	/* Nor does one below 24 ever come out. */
	assert_int_equal(vmirq_route_set_msi(vm, 3, 0xfee00000, 0x40), 0);
	assert_int_equal(vmirq_route_clear(vm, 3), 0);
	expect(vm, 29);
	assert_int_equal(vmirq_vm_destroy(vm), 0);
}

static void enospc_in_a_small_vm(void **state)
{
	static const uint32_t too_small[] = { 1, 23, 24 };
	struct vmirq_vm *vm;
	uint32_t gsi = 77;

	(void)state;
	for (size_t i = 0; i < sizeof(too_small) / sizeof(too_small[0]); i++) {
		vm = small_vm(too_small[i]);
		assert_int_equal(vmirq_gsi_alloc(vm, &gsi), -ENOSPC);
		assert_int_equal(gsi, 77);
		assert_int_equal(vmirq_vm_destroy(vm), 0);
	}
	vm = small_vm(26);
	expect(vm, 24);
	expect(vm, 25);
	assert_int_equal(vmirq_gsi_alloc(vm, &gsi), -ENOSPC);
	assert_int_equal(vmirq_gsi_alloc(vm, &gsi), -ENOSPC);
	assert_int_equal(vmirq_gsi_free(vm, 25), 0);
	expect(vm, 25);
	assert_int_equal(vmirq_gsi_alloc(vm, &gsi), -ENOSPC);
	assert_int_equal(vmirq_vm_destroy(vm), 0);
}

static void beyond_the_kernels_4096(void **state)
{
	struct vmirq_vm *vm = small_vm(0);

	(void)state;
	for (uint32_t gsi = 24; gsi < 10000; gsi++)
		expect(vm, gsi);
	assert_int_equal(vmirq_gsi_free(vm, 5000), 0);
	expect(vm, 5000);
	expect(vm, 10000);
	assert_int_equal(vmirq_vm_destroy(vm), 0);
}

static void free_clears_the_route(void **state)
{
	struct soft *s = soft_new(1);
	struct vmirq_irqfd *irqfd;
	struct kvm_irq_routing_entry e;
	uint32_t gsi;

	(void)state;
	assert_int_equal(vmirq_gsi_alloc(s->vm, &gsi), 0);
	irqfd = irqfd_call(s, gsi);
	route_to(s, gsi, 0, 0x40);
	assert_signal(irqfd, VMIRQ_DELIVERED);
	assert_int_equal(vmirq_gsi_free(s->vm, gsi), 0);
	assert_int_equal(vmirq_route_get(s->vm, gsi, &e, 1), 0);
	assert_signal(irqfd, VMIRQ_NO_ROUTE);
	take_only(s->vcpu[0], 0x40);
	soft_free(s);
}

static void free_of_what_is_not_allocated(void **state)
{
	struct vmirq_vm *vm = small_vm(64);
	static const uint32_t never[] = { 0, 23, 25, 63, 64, UINT32_MAX };
	struct kvm_irq_routing_entry e;

	(void)state;
	expect(vm, 24);
	for (size_t i = 0; i < sizeof(never) / sizeof(never[0]); i++)
		assert_int_equal(vmirq_gsi_free(vm, never[i]), -EINVAL);
	/* Routed but not allocated: its route stays. */
	assert_int_equal(vmirq_route_set_msi(vm, 30, 0xfee00000, 0x40), 0);
	assert_int_equal(vmirq_gsi_free(vm, 30), -EINVAL);
	assert_int_equal(vmirq_route_get(vm, 30, &e, 1), 1);
	assert_int_equal(vmirq_gsi_free(vm, 24), 0);
	assert_int_equal(vmirq_gsi_free(vm, 24), -EINVAL);
	assert_int_equal(vmirq_gsi_free(NULL, 24), -EINVAL);
	assert_int_equal(vmirq_gsi_alloc(vm, NULL), -EINVAL);
	assert_int_equal(vmirq_gsi_alloc(NULL, &e.gsi), -EINVAL);
	assert_int_equal(vmirq_vm_destroy(vm), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_lowest_from_24),
		cmocka_unit_test(routed_ones_are_passed_over),
		cmocka_unit_test(enospc_in_a_small_vm),
		cmocka_unit_test(beyond_the_kernels_4096),
		cmocka_unit_test(free_clears_the_route),
		cmocka_unit_test(free_of_what_is_not_allocated),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
