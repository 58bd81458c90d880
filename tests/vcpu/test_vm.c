// SPDX-License-Identifier: MIT
/* The VM itself: what create refuses, when it may go (vm.h). */
#include "../support.h"

#include <pthread.h>
#include <semaphore.h>

static uint64_t zero_time(void *opaque)
{
	(void)opaque;
	return 0;
}

static struct vmirq_vm_config good(void)
{
	return (struct vmirq_vm_config){ .size = sizeof(struct vmirq_vm_config) };
}

static void refused(const struct vmirq_vm_config *config, int error)
{
	struct vmirq_vm *vm = NULL;

	assert_int_equal(vmirq_vm_create(config, &vm), error);
	assert_null(vm);
}

static void zero_is_a_good_default(void **state)
{
	struct vmirq_vm_config config = good();
	struct vmirq_vm *vm = NULL;
	struct kvm_irq_routing_entry e;

	(void)state;
	assert_int_equal(vmirq_vm_create(&config, &vm), 0);
	assert_non_null(vmirq_vm_pump(vm));
	assert_null(vmirq_vm_vcpu(vm, 0));
	assert_null(vmirq_vm_vcpu(vm, 255));
	assert_null(vmirq_vm_vcpu(vm, UINT32_MAX));
	assert_null(vmirq_vm_vcpu(NULL, 0));
	/* 1,048,576 GSIs. */
	assert_int_equal(vmirq_route_get(vm, 1048575, &e, 1), 0);
	assert_int_equal(vmirq_route_get(vm, 1048576, &e, 1), -EINVAL);
	assert_int_equal(vmirq_vm_quiesce(vm), 0);
	assert_int_equal(vmirq_vm_quiesce(NULL), -EINVAL);
	assert_int_equal(vmirq_vm_destroy(vm), 0);
	assert_int_equal(vmirq_vm_destroy(NULL), 0);
}

static void sizes(void **state)
{
	struct {
		struct vmirq_vm_config known;
		char tail[8];
	} longer = { .known = good() };
	struct vmirq_vm_config config = good();
	struct vmirq_vm *vm;

	(void)state;
	for (config.size = 0; config.size < sizeof(config); config.size++)
		refused(&config, -EINVAL);
	longer.known.size = sizeof(longer);
	longer.tail[0] = 1;
	refused(&longer.known, -E2BIG);
	longer.tail[0] = 0;
	assert_int_equal(vmirq_vm_create(&longer.known, &vm), 0);
	assert_int_equal(vmirq_vm_destroy(vm), 0);
	config.size = UINT32_MAX;
	refused(&config, -E2BIG);
	refused(NULL, -EINVAL);
	config = good();
	assert_int_equal(vmirq_vm_create(&config, NULL), -EINVAL);
}

static void fields_out_of_range(void **state)
{
	struct vmirq_vm_config config = good();
	struct vmirq_clock no_function = { .opaque = &config };
	static const uint32_t chips[] = { 3, 100, UINT32_MAX };
	static const uint32_t vcpus[] = { 4097, UINT32_MAX };

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		config.irqchip = chips[i];
		refused(&config, -EINVAL);
	}
	config = good();
	for (size_t i = 0; i < 2; i++) {
		config.max_vcpus = vcpus[i];
		refused(&config, -EINVAL);
	}
	config = good();
	for (unsigned int bit = 16; bit < 32; bit++) {
		config.flags = 1u << bit;
		refused(&config, -EINVAL);
	}
	config = good();
	config.clock = &no_function;
	refused(&config, -EINVAL);
}

static void limits(void **state)
{
	struct vmirq_clock clock = { .now = zero_time };
	struct vmirq_vm_config config = good();
	struct vmirq_vm *vm;
	struct vmirq_vcpu *vcpu;

	(void)state;
	config.clock = &clock;
	config.max_vcpus = 4096;
	config.max_gsis = 1;
	assert_int_equal(vmirq_vm_create(&config, &vm), 0);
	for (uint32_t i = 0; i < 4097; i += 4095) {
		struct vmirq_vcpu_config slot = { .size = sizeof(slot), .index = i, .apic_id = i };

		assert_int_equal(vmirq_vcpu_create(vm, &slot, &vcpu), i < 4096 ? 0 : -EINVAL);
	}
	assert_int_equal(vmirq_route_set_msi(vm, 0, 0xfee00000, 0x41), 0);
	assert_int_equal(vmirq_route_set_msi(vm, 1, 0xfee00000, 0x41), -EINVAL);
	assert_int_equal(vmirq_vm_destroy(vm), 0);
}

struct runner {
	struct vmirq_vcpu *vcpu;
	sem_t bound, end;
};

static void *bound_thread(void *argument)
{
	struct runner *r = argument;

	if (vmirq_vcpu_bind_thread(r->vcpu))
		return (void *)1;
	sem_post(&r->bound);
	sem_wait(&r->end);
	return (void *)(intptr_t)vmirq_vcpu_unbind_thread(r->vcpu);
}

/* A bound vCPU thread makes destroy -EBUSY, and nothing is changed by that. */
static void a_vcpu_that_runs_keeps_the_vm(void **state)
{
	struct soft *s = soft_new(2);
	struct runner r = { .vcpu = s->vcpu[1] };
	struct vmirq_irqfd *irqfd = irqfd_call(s, 3);
	pthread_t thread;
	void *result;

	(void)state;
	route_to(s, 3, 0, 0x41);
	sem_init(&r.bound, 0, 0);
	sem_init(&r.end, 0, 0);
	assert_int_equal(pthread_create(&thread, NULL, bound_thread, &r), 0);
	sem_wait(&r.bound);
	assert_int_equal(vmirq_vm_destroy(s->vm), -EBUSY);
	assert_int_equal(vmirq_vcpu_destroy(s->vcpu[1]), -EBUSY);
	assert_ptr_equal(vmirq_vm_vcpu(s->vm, 0), s->vcpu[0]);
	assert_ptr_equal(vmirq_vm_vcpu(s->vm, 1), s->vcpu[1]);
	assert_signal(irqfd, VMIRQ_DELIVERED);
	take_only(s->vcpu[0], 0x41);
	sem_post(&r.end);
	pthread_join(thread, &result);
	assert_null(result);
	soft_free(s);
}

/* 654f1f13: every call that a VM with nothing in it can be given. */
static void a_vm_with_nothing_in_it(void **state)
{
	struct vmirq_vm_config config = good();
	struct kvm_msi msi = msi_to(0, 0x41);
	struct vmirq_irqfd_config on = { .size = sizeof(on), .gsi = 5, .eventfd = -1 };
	struct vmirq_route_counts c = { .size = sizeof(c) };
	struct vmirq_irqfd *irqfd;
	struct vmirq_vm *vm;

	(void)state;
	assert_int_equal(vmirq_vm_create(&config, &vm), 0);
	assert_int_equal(vmirq_pump_dispatch(vmirq_vm_pump(vm), 0), 0);
	assert_int_equal(vmirq_msi_send(vm, &msi), 0);
	assert_int_equal(vmirq_route_set_all(vm, NULL, 0), 0);
	assert_int_equal(vmirq_irqfd_assign(vm, &on, &irqfd), 0);
	assert_signal(irqfd, VMIRQ_NO_ROUTE);
	assert_int_equal(vmirq_route_set_msi(vm, 5, 0xfeeff000, 0x41), 0);
	assert_signal(irqfd, VMIRQ_NO_TARGET);
	assert_int_equal(vmirq_gsi_counts(vm, 5, &c), 0);
	assert_int_equal(c.raised, 2);
	/* It goes with its irqfd still there. */
	assert_int_equal(vmirq_vm_destroy(vm), 0);
}

/* Two VMs know nothing of each other. */
static void two_vms(void **state)
{
	struct soft *a = soft_new(1), *b = soft_new(1);

	(void)state;
	route_to(a, 3, 0, 0x41);
	assert_signal(irqfd_call(b, 3), VMIRQ_NO_ROUTE);
	assert_signal(irqfd_call(a, 3), VMIRQ_DELIVERED);
	take_nothing(b->vcpu[0]);
	take_only(a->vcpu[0], 0x41);
	soft_free(a);
	assert_int_equal(send(b, msi_to(0, 0x41), VMIRQ_DELIVERED), 1);
	take_only(b->vcpu[0], 0x41);
	soft_free(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(zero_is_a_good_default),
		cmocka_unit_test(sizes),
		cmocka_unit_test(fields_out_of_range),
		cmocka_unit_test(limits),
		cmocka_unit_test(a_vcpu_that_runs_keeps_the_vm),
		cmocka_unit_test(a_vm_with_nothing_in_it),
		cmocka_unit_test(two_vms),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
