// SPDX-License-Identifier: MIT
/* What vmm_create() refuses, and guest memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cases.h"
#include "guest_page.h"

static void assert_refused(const struct vmm_config *config)
{
	const char *why = NULL;
	struct vmm *vmm = NULL;

	assert_int_equal(vmm_create(config, &vmm, &why), -EINVAL);
	assert_non_null(why);
	assert_null(vmm);
}

static void config_out_of_range_is_refused(void **state)
{
	(void)state;
	assert_refused(&(struct vmm_config){ .vcpus = 0 });
	assert_refused(&(struct vmm_config){ .vcpus = 65 });
	assert_refused(&(struct vmm_config){ .vcpus = UINT32_MAX });
	assert_refused(&(struct vmm_config){ .vcpus = 1, .memory = 1 });
	assert_refused(&(struct vmm_config){ .vcpus = 1, .memory = (8u << 20) + 1 });
	assert_refused(&(struct vmm_config){ .vcpus = 1, .memory = (size_t)2 << 30 });
	assert_refused(&(struct vmm_config){ .vcpus = 1, .memory = SIZE_MAX });
	assert_refused(&(struct vmm_config){ .vcpus = 1, .cpu = (enum vmm_cpu)7 });
	assert_refused(&(struct vmm_config){ .vcpus = 1, .guest_image = "/dev/null" });
}

static void memory_is_bounded_and_shared(void **state)
{
	const struct vmm_config config = { .cpu = VMM_CPU_THREADS, .vcpus = 1, .memory = 8u << 20 };
	struct vmm *vmm = NULL;
	uint8_t *gpa;
	uint8_t *other;

	(void)state;
	assert_int_equal(vmm_create(&config, &vmm, NULL), 0);
	assert_int_equal(vmm_memory_size(vmm), 8u << 20);
	assert_int_equal(vmm_device_memory(vmm), GUEST_DEVICE_GPA);

	assert_non_null(vmm_memory(vmm, 0, 8u << 20));
	assert_non_null(vmm_memory(vmm, 8u << 20, 0));
	assert_null(vmm_memory(vmm, 0, (8u << 20) + 1));
	assert_null(vmm_memory(vmm, 8u << 20, 1));
	assert_null(vmm_memory(vmm, UINT64_MAX, 2));
	assert_null(vmm_memory(vmm, 1, SIZE_MAX));

	/* A device maps the same pages, but cannot take them away. */
	other = mmap(NULL, 8u << 20, PROT_READ | PROT_WRITE, MAP_SHARED, vmm_memory_fd(vmm), 0);
	assert_true(other != MAP_FAILED);
	gpa = vmm_memory(vmm, GUEST_DEVICE_GPA, 1);
	other[GUEST_DEVICE_GPA] = 0x5a;
	assert_int_equal(*gpa, 0x5a);
	munmap(other, 8u << 20);
	assert_int_equal(ftruncate(vmm_memory_fd(vmm), 0), -1);
	assert_int_equal(errno, EPERM);
	vmm_destroy(vmm);
}

struct seen {
	struct vmm *vmm;
	uint32_t calls;
	uint32_t vcpu;
	uint64_t handled_before;
};

static void on_vector(void *opaque, uint32_t vcpu)
{
	struct seen *seen = opaque;

	seen->calls++;
	seen->vcpu = vcpu;
	seen->handled_before = vmm_handled(seen->vmm, vcpu, 0x41);
}

static void hook_runs_before_the_count(void **state)
{
	const struct vmm_config config = { .cpu = VMM_CPU_THREADS, .vcpus = 2 };
	struct seen seen = { 0 };

	(void)state;
	assert_int_equal(vmm_create(&config, &seen.vmm, NULL), 0);
	vmm_set_handler(seen.vmm, 0x41, on_vector, &seen);
	vmm_set_handler(seen.vmm, 256, on_vector, &seen);
	assert_int_equal(vmm_start(seen.vmm, NULL), 0);
	send_msi(seen.vmm, 1, 0x41);
	while (!vmm_handled(seen.vmm, 1, 0x41))
		usleep(10);
	/* Who sees the count sees what the hook did. */
	assert_int_equal(seen.calls, 1);
	assert_int_equal(seen.vcpu, 1);
	assert_int_equal(seen.handled_before, 0);
	assert_int_equal(vmm_handled(seen.vmm, 2, 0x41), 0);
	assert_int_equal(vmm_handled(seen.vmm, 1, 256), 0);
	vmm_destroy(seen.vmm);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(config_out_of_range_is_refused),
		cmocka_unit_test(memory_is_bounded_and_shared),
		cmocka_unit_test(hook_runs_before_the_count),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
