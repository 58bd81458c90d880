// SPDX-License-Identifier: MIT
/* A hundred thousand different messages through a thousand GSIs of the kernel's split irqchip: each one
 * arrives, as the local APIC's IRR says. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "table_send.h"

#define GSIS	     1000u
#define PINS	     24u
#define MESSAGES     100000u
#define IRQFD_GSI    500u
#define IRQFD_VECTOR 0xf7u

#define REG_SVR	     0xf0
#define REG_IRR	     0x200

static int kvm = -1, vm = -1, vcpu = -1;
static struct kvm_lapic_state enabled; /* nothing requested */
static uint64_t sets;

static int set_routing(void *opaque, const struct kvm_irq_routing *table)
{
	(void)opaque;
	sets++;
	return ioctl(vm, KVM_SET_GSI_ROUTING, table) < 0 ? -errno : 0;
}

static int raise_gsi(void *opaque, uint32_t gsi)
{
	struct kvm_irq_level line = { .irq = gsi, .level = 1 };

	(void)opaque;
	return ioctl(vm, KVM_IRQ_LINE_STATUS, &line) < 0 ? -errno : line.status;
}

static int make_vm(void **state)
{
	struct kvm_enable_cap split = { .cap = KVM_CAP_SPLIT_IRQCHIP, .args = { PINS } };
	uint32_t svr = 0x1ff;

	(void)state;
	vm = ioctl(kvm, KVM_CREATE_VM, 0);
	if (vm < 0 || ioctl(vm, KVM_ENABLE_CAP, &split) < 0)
		return -1;
	vcpu = ioctl(vm, KVM_CREATE_VCPU, 0);
	if (vcpu < 0 || ioctl(vcpu, KVM_GET_LAPIC, &enabled) < 0)
		return -1;
	memcpy(&enabled.regs[REG_SVR], &svr, sizeof(svr));
	return ioctl(vcpu, KVM_SET_LAPIC, &enabled);
}

static int end_vm(void **state)
{
	(void)state;
	close(vcpu);
	return close(vm);
}

/* The one vector that is requested, 0: none. It is taken away. */
static uint32_t requested(void)
{
	struct kvm_lapic_state lapic;
	uint32_t found = 0;

	assert_int_equal(ioctl(vcpu, KVM_GET_LAPIC, &lapic), 0);
	for (uint32_t vector = 0; vector < 256; vector++)
		if (lapic.regs[REG_IRR + vector / 32 * 16 + vector % 32 / 8] >> vector % 8 & 1) {
			assert_int_equal(found, 0);
			found = vector;
		}
	assert_int_equal(ioctl(vcpu, KVM_SET_LAPIC, &enabled), 0);
	return found;
}

/* To vCPU 0 or to all, with and without redirection hint; and data that no one looks at. */
static struct msi_message message(uint32_t n)
{
	return (struct msi_message){ .address_lo = MSI_ADDRESS_BASE | (n & 1 ? 0xff000 : 0) |
						   (n & 2) << 2,
				     .data = (n / 4 / 224) << 16 | (0x10 + n / 4 % 224) };
}

static struct kernel_route irqfd_route(void)
{
	const struct msi_message msg = { .address_lo = MSI_ADDRESS_BASE, .data = IRQFD_VECTOR };

	return (struct kernel_route){ .gsi = IRQFD_GSI, .has = kernel_message(&msg) };
}

/* The kernel may inject it from a worker of its own. */
static uint32_t requested_soon(void)
{
	struct timespec pause = { .tv_nsec = 1000000 };
	uint32_t vector = requested();

	for (int i = 0; i < 10000 && !vector; i++) {
		nanosleep(&pause, NULL);
		vector = requested();
	}
	return vector;
}

static void each_arrives(void **state)
{
	struct kernel_table_config config = { .limit = GSIS, .reserved = PINS, .set = set_routing };
	struct kernel_route route = irqfd_route();
	struct kvm_irqfd irqfd = { .gsi = IRQFD_GSI };
	struct kernel_table_counts counts;
	struct kernel_table *t = NULL;
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	(void)state;
	assert_true(fd >= 0);
	irqfd.fd = (uint32_t)fd;
	assert_int_equal(vmirq_kernel_table_create(&config, &t), 0);
	assert_int_equal(vmirq_kernel_table_use(t, &route), 0);
	assert_int_equal(ioctl(vm, KVM_IRQFD, &irqfd), 0);
	for (uint32_t n = 0; n < MESSAGES; n++) {
		struct msi_message msg = message(n);

		assert_int_equal(table_send(t, &msg, raise_gsi, NULL), 1);
		assert_int_equal(requested(), msg.data & 0xff);
		if (n % 5000 == 0) {
			assert_int_equal(eventfd_write(fd, 1), 0);
			assert_int_equal(requested_soon(), IRQFD_VECTOR);
		}
	}
	counts = vmirq_kernel_table_counts(t);
	assert_int_equal(counts.evicted + counts.dynamic, MESSAGES);
	assert_true(counts.dynamic <= GSIS - PINS - 1);
	assert_int_equal(sets, MESSAGES + 1);
	close(fd);
	vmirq_kernel_table_destroy(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(each_arrives, make_vm, end_vm),
	};

	kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (kvm < 0) {
		printf("SKIP: /dev/kvm: %s\n", strerror(errno));
		return 77;
	}
	if (ioctl(kvm, KVM_CHECK_EXTENSION, KVM_CAP_SPLIT_IRQCHIP) <= 0 ||
	    ioctl(kvm, KVM_CHECK_EXTENSION, KVM_CAP_IRQ_ROUTING) < (int)GSIS) {
		printf("SKIP: this kernel has no split irqchip with %u GSIs\n", GSIS);
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
