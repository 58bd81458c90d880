// SPDX-License-Identifier: MIT
/* State goes to the kernel's PIT and comes back. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "pit_bench.h"

static int kvm = -1;
static int vm = -1;

static int kernel_pit(void **state)
{
	struct kvm_pit_config config = { .flags = KVM_PIT_SPEAKER_DUMMY };

	(void)state;
	vm = ioctl(kvm, KVM_CREATE_VM, 0);
	return vm < 0 || ioctl(vm, KVM_CREATE_IRQCHIP, 0) < 0 ||
	       ioctl(vm, KVM_CREATE_PIT2, &config) < 0;
}

static int no_pit(void **state)
{
	(void)state;
	return close(vm);
}

static void forget_times(struct kvm_pit_state2 *s)
{
	for (unsigned int i = 0; i < 3; i++)
		s->channels[i].count_load_time = 0;
}

static void power_up_is_the_kernels(void **state)
{
	struct kvm_pit_state2 theirs;
	struct kvm_pit_state2 ours;
	struct pit_bench b;

	(void)state;
	bench_init(&b, PIT_REINJECT, 0);
	vmirq_pit_save(&b.pit, &ours, NULL);
	assert_int_equal(ioctl(vm, KVM_GET_PIT2, &theirs), 0);
	forget_times(&theirs);
	assert_memory_equal(&ours, &theirs, sizeof(ours));
	assert_true(vmirq_pit_load(&b.pit, &theirs, NULL));
}

static void our_state_comes_back_from_the_kernel(void **state)
{
	uint64_t seed = 3;

	(void)state;
	for (unsigned int round = 0; round < 300; round++) {
		struct kvm_pit_state2 theirs;
		struct kvm_pit_state2 ours;
		struct kvm_pit_state2 again;
		struct pit_bench b;

		bench_init(&b, PIT_REINJECT, 0);
		for (unsigned int i = 0; i < 40; i++) {
			uint16_t port = (uint16_t)(0x40 + bench_random(&seed) % 4);

			if (bench_random(&seed) % 4 == 0)
				bench_in(&b, port);
			else
				bench_out(&b, bench_random(&seed) % 8 ? port : 0x61,
					  (uint8_t)bench_random(&seed));
			b.now += 1000;
		}
		vmirq_pit_save(&b.pit, &ours, NULL);
		assert_int_equal(ioctl(vm, KVM_SET_PIT2, &ours), 0);
		assert_int_equal(ioctl(vm, KVM_GET_PIT2, &theirs), 0);
		assert_true(vmirq_pit_load(&b.pit, &theirs, NULL));
		vmirq_pit_save(&b.pit, &again, NULL);
		forget_times(&ours);
		forget_times(&theirs);
		forget_times(&again);
		assert_memory_equal(&ours, &theirs, sizeof(ours));
		assert_memory_equal(&ours, &again, sizeof(ours));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(power_up_is_the_kernels, kernel_pit, no_pit),
		cmocka_unit_test_setup_teardown(our_state_comes_back_from_the_kernel, kernel_pit,
						no_pit),
	};

	kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (kvm < 0) {
		printf("SKIP: /dev/kvm: %s\n", strerror(errno));
		return 77;
	}
	if (ioctl(kvm, KVM_CHECK_EXTENSION, KVM_CAP_PIT_STATE2) <= 0) {
		printf("SKIP: this kernel has no PIT of its own\n");
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
