// SPDX-License-Identifier: MIT
/* Guests that fail or misbehave on /dev/kvm: each is reported, none hangs the VMM. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cases.h"
#include "guest_page.h"

static char image_path[] = "/tmp/vmirq-guest-XXXXXX";

static struct vmm *create_with_image(const void *image, size_t length, uint32_t vcpus)
{
	const struct vmm_config config = {
		.cpu = VMM_CPU_KVM,
		.vcpus = vcpus,
		.guest_image = image_path,
	};
	FILE *file = fopen(image_path, "wb");
	const char *why = "";
	struct vmm *vmm = NULL;

	assert_non_null(file);
	assert_int_equal(fwrite(image, 1, length, file), length);
	assert_int_equal(fclose(file), 0);
	if (vmm_create(&config, &vmm, &why))
		fail_msg("%s", why);
	return vmm;
}

static void assert_start_fails(struct vmm *vmm, const char *with)
{
	const char *why = "";

	assert_int_equal(vmm_start(vmm, &why), -EIO);
	assert_non_null(strstr(why, with));
	assert_int_equal(vmm_failed(vmm, &why), -EIO);
	assert_non_null(strstr(why, with));
	assert_int_equal(vmm_stop(vmm, &why), -EIO);
	assert_non_null(strstr(why, with));
	vmm_destroy(vmm);
}

static void image_of_garbage_is_a_triple_fault(void **state)
{
	static const uint8_t ud2[] = { 0x0f, 0x0b };

	(void)state;
	assert_start_fails(create_with_image(ud2, sizeof(ud2), 1), "vCPU 0: triple fault at rip");
}

static void exception_is_reported(void **state)
{
	const struct vmm_config config = { .cpu = VMM_CPU_KVM, .vcpus = 2 };
	struct vmm *vmm = NULL;
	struct guest_page *page;

	(void)state;
	assert_int_equal(vmm_create(&config, &vmm, NULL), 0);
	page = vmm_memory(vmm, GUEST_PAGE_GPA, sizeof(*page));
	assert_non_null(page);
	page->cpus = 1; /* so CPU 1 should not be there */
	assert_start_fails(vmm, "vCPU 1: guest exception 6, error code 0, rip 0x10");
}

static void failure_while_it_runs_is_reported(void **state)
{
	struct vmm *vmm = boot(&(struct vmm_config){ .cpu = VMM_CPU_KVM, .vcpus = 1 });
	const struct timespec pause = { .tv_nsec = 1000000 };
	const char *why = "";

	(void)state;
	assert_int_equal(vmm_failed(vmm, NULL), 0);
	/* The code of its handlers is gone. */
	memset(vmm_memory(vmm, GUEST_IMAGE_GPA, 0x2000), 0xff, 0x2000);
	send_msi(vmm, 0, 0x40);
	for (int i = 0; i < 5000 && !vmm_failed(vmm, NULL); i++)
		nanosleep(&pause, NULL);
	assert_int_equal(vmm_failed(vmm, &why), -EIO);
	assert_memory_equal(why, "vCPU 0: ", 8);
	assert_int_equal(vmm_stop(vmm, NULL), -EIO);
	vmm_destroy(vmm);
}

/* Each stores its result in its `ready` word, rsi + 16, as a guest that has started does. */
static void start_and_stop(const uint8_t *image, size_t length, uint32_t ready, bool interrupt)
{
	struct vmm *vmm = create_with_image(image, length, 1);
	struct guest_page *page = vmm_memory(vmm, GUEST_PAGE_GPA, sizeof(*page));
	const char *why = "";

	if (vmm_start(vmm, &why))
		fail_msg("%s", why);
	if (interrupt)
		send_msi(vmm, 0, 0x40);
	assert_int_equal(page->ready[0], ready);
	assert_int_equal(vmm_stop(vmm, &why), 0);
	vmm_destroy(vmm);
}

#define ENABLE_LAPIC_AND_BE_READY                                                     \
	0xb8, 0xf0, 0x00, 0xe0, 0xfe,			 /* movl $0xfee000f0, %eax */ \
		0xc7, 0x00, 0xff, 0x01, 0x00, 0x00,	 /* movl $0x1ff, (%rax) */    \
		0xc7, 0x46, 0x10, 0x01, 0x00, 0x00, 0x00 /* movl $1, 16(%rsi) */

/* An interrupt is pending, but the CPU does not take it. */
static void stop_ends_a_halt_with_interrupts_off(void **state)
{
	static const uint8_t image[] = {
		ENABLE_LAPIC_AND_BE_READY, 0xf4, /* hlt */
		0xeb, 0xfd,			 /* jmp to the hlt */
	};

	(void)state;
	start_and_stop(image, sizeof(image), 1, true);
}

static void stop_ends_a_loop_with_interrupts_off(void **state)
{
	static const uint8_t image[] = {
		ENABLE_LAPIC_AND_BE_READY, 0xeb, 0xfe, /* jmp to itself */
	};

	(void)state;
	start_and_stop(image, sizeof(image), 1, true);
}

static void memory_nobody_has_reads_as_ones(void **state)
{
	static const uint8_t image[] = {
		0x8b, 0x04, 0x25, 0x00, 0x00, 0x00, 0x20, /* movl 0x20000000, %eax */
		0x89, 0x46, 0x10,			  /* movl %eax, 16(%rsi) */
		0xf4,					  /* hlt */
		0xeb, 0xfd,				  /* jmp to the hlt */
	};

	(void)state;
	start_and_stop(image, sizeof(image), 0xffffffff, false);
}

static void ports_nobody_has_read_as_ones(void **state)
{
	static const uint8_t image[] = {
		0xe5, 0x80,	  /* inl $0x80, %eax */
		0xe7, 0x80,	  /* outl %eax, $0x80 */
		0x89, 0x46, 0x10, /* movl %eax, 16(%rsi) */
		0xf4,		  /* hlt */
		0xeb, 0xfd,	  /* jmp to the hlt */
	};

	(void)state;
	start_and_stop(image, sizeof(image), 0xffffffff, false);
}

static void bad_images_are_refused(void **state)
{
	struct vmm_config config = { .cpu = VMM_CPU_KVM, .vcpus = 1 };
	const char *why = NULL;
	struct vmm *vmm;

	(void)state;
	config.guest_image = "/nonexistent/image";
	assert_int_equal(vmm_create(&config, &vmm, &why), -ENOENT);
	assert_string_equal(why, "the guest image cannot be opened");
	config.guest_image = "/";
	assert_int_equal(vmm_create(&config, &vmm, NULL), -EISDIR);
	config.guest_image = "/dev/null";
	assert_int_equal(vmm_create(&config, &vmm, NULL), -ENOEXEC);
	config.guest_image = "/dev/zero";
	assert_int_equal(vmm_create(&config, &vmm, NULL), -EFBIG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(image_of_garbage_is_a_triple_fault),
		cmocka_unit_test(exception_is_reported),
		cmocka_unit_test(failure_while_it_runs_is_reported),
		cmocka_unit_test(stop_ends_a_halt_with_interrupts_off),
		cmocka_unit_test(stop_ends_a_loop_with_interrupts_off),
		cmocka_unit_test(memory_nobody_has_reads_as_ones),
		cmocka_unit_test(ports_nobody_has_read_as_ones),
		cmocka_unit_test(bad_images_are_refused),
	};
	int err = have_cpu(VMM_CPU_KVM);
	int status;
	int fd;

	if (err)
		return err == -ENODEV ? 77 : 1;
	fd = mkstemp(image_path);
	if (fd < 0) {
		perror(image_path);
		return 1;
	}
	close(fd);
	status = cmocka_run_group_tests(tests, NULL, NULL);
	unlink(image_path);
	return status;
}
