// SPDX-License-Identifier: MIT
/* A vector's eventfd is not taken from it in a callback of its own pair's. */
#include "device.h"

#include <sys/eventfd.h>
#include <unistd.h>
#include <vmirq/bypass.h>

static struct {
	struct vmirq_msix *msix;
	int other;
	void *target;
	bool armed;
	unsigned int tried;
	int none, another, lent, destroyed;
} device;

static void start(void *opaque)
{
	(void)opaque;
	if (!device.armed)
		return;
	device.tried++;
	device.none = vmirq_msix_set_eventfd(device.msix, 1, -1, 0);
	device.another = vmirq_msix_set_eventfd(device.msix, 1, device.other, 0);
	device.lent = vmirq_msix_lend_eventfd(device.msix, 1);
	device.destroyed = vmirq_msix_destroy(device.msix);
}

static int set_target(void *opaque, void *target)
{
	(void)opaque;
	device.target = target;
	return 0;
}

static struct vmirq_producer *register_device(struct vmirq_bypass *bypass, int fd)
{
	struct vmirq_producer_config config = { .size = sizeof(config),
						.start = start,
						.set_target = set_target };
	struct vmirq_producer *producer;

	assert_int_equal(vmirq_eventfd_token(fd, &config.token), 0);
	assert_int_equal(vmirq_producer_register(bypass, &config, &producer), 0);
	return producer;
}

static struct soft *begin(void)
{
	struct soft *s = soft_new(1);

	memset(&device, 0, sizeof(device));
	device.msix = device_new(s->vm, 2);
	device.other = eventfd(0, EFD_NONBLOCK);
	table_put(device.msix, 1, 0, 0x41, false);
	enable(device.msix);
	device.armed = true;
	return s;
}

static void was_refused(struct soft *s)
{
	assert_int_equal(device.tried, 1);
	assert_int_equal(device.none, -EDEADLK);
	assert_int_equal(device.another, -EDEADLK);
	assert_int_equal(device.lent, -EDEADLK);
	assert_int_equal(device.destroyed, -EDEADLK);
	device.armed = false;
	assert_ptr_equal(device.target, vmirq_msix_irqfd(device.msix, 1));
	assert_signal(device.target, VMIRQ_DELIVERED);
	take_only(s->vcpu[0], 0x41);
}

static void when_the_producer_registers(void **state)
{
	struct soft *s = begin();
	int fd = vmirq_msix_lend_eventfd(device.msix, 1);
	struct vmirq_producer *producer = register_device(vmirq_vm_bypass(s->vm), fd);

	(void)state;
	was_refused(s);
	assert_int_equal(vmirq_msix_set_eventfd(device.msix, 1, -1, 0), 0);
	assert_null(device.target);
	assert_int_equal(vmirq_producer_unregister(producer), 0);
	/* Nobody is left there by that token. */
	producer = register_device(vmirq_vm_bypass(s->vm), fd);
	assert_null(device.target);
	assert_int_equal(vmirq_producer_unregister(producer), 0);
	device_free(device.msix);
	close(fd);
	close(device.other);
	soft_free(s);
}

static void when_it_gets_the_eventfd(void **state)
{
	struct soft *s = begin();
	int fd = eventfd(0, EFD_NONBLOCK);
	struct vmirq_producer *producer = register_device(vmirq_vm_bypass(s->vm), fd);

	(void)state;
	assert_int_equal(vmirq_msix_set_eventfd(device.msix, 1, fd, 0), 0);
	was_refused(s);
	device_free(device.msix);
	assert_null(device.target);
	assert_int_equal(vmirq_producer_unregister(producer), 0);
	close(fd);
	close(device.other);
	soft_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(when_the_producer_registers),
		cmocka_unit_test(when_it_gets_the_eventfd),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
