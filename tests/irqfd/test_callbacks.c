// SPDX-License-Identifier: MIT
/* Unbinding an irqfd from a callback of its own pair's: refused, and nothing has changed. */
#include "../support.h"

#include <sys/eventfd.h>
#include <unistd.h>
#include <vmirq/bypass.h>

enum callback { STOP, START, ADD, DEL, TARGET, CALLBACKS };

/* A device, and what it tries once in one of its callbacks. */
static struct {
	struct vmirq_vm *vm;
	struct vmirq_irqfd *irqfd;
	int fd;
	void *target;
	enum callback at;
	bool armed;
	unsigned int tried;
	int deassign, words, destroy;
} device;

static int words(int fd, uint32_t gsi, uint32_t flags)
{
	struct kvm_irqfd args = { .fd = (uint32_t)fd, .gsi = gsi, .flags = flags };

	return vmirq_irqfd(device.vm, &args);
}

static void in(enum callback callback)
{
	/* An irqfd that is just being bound is known by the target only. */
	struct vmirq_irqfd *irqfd = device.irqfd ? device.irqfd : device.target;

	if (!device.armed || device.at != callback || !irqfd)
		return;
	device.armed = false;
	device.tried++;
	device.deassign = vmirq_irqfd_deassign(irqfd);
	if (device.irqfd)
		device.words = words(device.fd, 3, KVM_IRQFD_FLAG_DEASSIGN);
	device.destroy = vmirq_vm_destroy(device.vm);
}

static void stop(void *opaque)
{
	(void)opaque;
	in(STOP);
}

static void start(void *opaque)
{
	(void)opaque;
	in(START);
}

static int add_consumer(void *opaque, struct vmirq_consumer *consumer)
{
	(void)opaque;
	(void)consumer;
	in(ADD);
	return 0;
}

static void del_consumer(void *opaque, struct vmirq_consumer *consumer)
{
	(void)opaque;
	(void)consumer;
	in(DEL);
}

static int set_target(void *opaque, void *target)
{
	(void)opaque;
	device.target = target;
	in(TARGET);
	return 0;
}

static struct vmirq_producer *register_device(struct vmirq_bypass *bypass)
{
	struct vmirq_producer_config config = { .size = sizeof(config),
						.stop = stop,
						.start = start,
						.add_consumer = add_consumer,
						.del_consumer = del_consumer,
						.set_target = set_target };
	struct vmirq_producer *producer;

	assert_int_equal(vmirq_eventfd_token(device.fd, &config.token), 0);
	assert_int_equal(vmirq_producer_register(bypass, &config, &producer), 0);
	return producer;
}

static struct soft *begin(void)
{
	struct soft *s = soft_new(1);

	route_to(s, 3, 0, 0x41);
	route_to(s, 4, 0, 0x42);
	memset(&device, 0, sizeof(device));
	device.vm = s->vm;
	device.fd = eventfd(0, EFD_NONBLOCK);
	return s;
}

static void arm(enum callback at)
{
	device.at = at;
	device.armed = true;
	device.tried = 0;
	device.deassign = device.words = device.destroy = 1;
}

static void was_refused(int by_words)
{
	assert_int_equal(device.tried, 1);
	assert_int_equal(device.deassign, -EDEADLK);
	assert_int_equal(device.words, by_words);
	assert_int_equal(device.destroy, -EDEADLK);
	device.tried = 0;
}

static void goes_to(struct soft *s, uint8_t vector)
{
	assert_non_null(device.target);
	assert_signal(device.target, VMIRQ_DELIVERED);
	take_only(s->vcpu[0], vector);
}

/* The handle is another irqfd's next, and the device has none: the token meets nobody. */
static void is_gone(struct soft *s, struct vmirq_bypass *bypass)
{
	int other = eventfd(0, EFD_NONBLOCK);
	struct vmirq_irqfd *irqfd = irqfd_on(s, 4, other);
	struct vmirq_producer *producer;

	device.irqfd = device.target = NULL;
	producer = register_device(bypass);
	assert_null(device.target);
	assert_int_equal(vmirq_producer_unregister(producer), 0);
	assert_int_equal(vmirq_irqfd_deassign(irqfd), 0);
	close(other);
}

/* The producer comes second. */
static void when_the_producer_registers(void **state)
{
	static const enum callback at[] = { STOP, ADD, TARGET, START };

	(void)state;
	for (unsigned int i = 0; i < sizeof(at) / sizeof(at[0]); i++) {
		struct soft *s = begin();
		struct vmirq_bypass *bypass = vmirq_vm_bypass(s->vm);
		struct vmirq_producer *producer;

		device.irqfd = irqfd_on(s, 3, device.fd);
		arm(at[i]);
		producer = register_device(bypass);
		was_refused(-EDEADLK);
		goes_to(s, 0x41);
		assert_int_equal(vmirq_irqfd_deassign(device.irqfd), 0);
		assert_null(device.target);
		assert_int_equal(vmirq_producer_unregister(producer), 0);
		is_gone(s, bypass);
		close(device.fd);
		soft_free(s);
	}
}

static void when_the_producer_unregisters(void **state)
{
	static const enum callback at[] = { STOP, DEL, TARGET, START };

	(void)state;
	for (unsigned int i = 0; i < sizeof(at) / sizeof(at[0]); i++) {
		struct soft *s = begin();
		struct vmirq_bypass *bypass = vmirq_vm_bypass(s->vm);
		struct vmirq_producer *producer;

		device.irqfd = irqfd_on(s, 3, device.fd);
		producer = register_device(bypass);
		arm(at[i]);
		assert_int_equal(vmirq_producer_unregister(producer), 0);
		was_refused(-EDEADLK);
		assert_null(device.target);
		eventfd_write(device.fd, 1);
		assert_int_equal(vmirq_irqfd_deassign(device.irqfd), 0);
		take_only(s->vcpu[0], 0x41);
		is_gone(s, bypass);
		close(device.fd);
		soft_free(s);
	}
}

/* The irqfd comes second: its handle is known by the target before assign has returned. */
static void when_it_is_bound(void **state)
{
	static const enum callback at[] = { TARGET, START };

	(void)state;
	for (unsigned int i = 0; i < sizeof(at) / sizeof(at[0]); i++) {
		struct soft *s = begin();
		struct vmirq_bypass *bypass = vmirq_vm_bypass(s->vm);
		struct vmirq_producer *producer = register_device(bypass);

		arm(at[i]);
		device.irqfd = irqfd_on(s, 3, device.fd);
		was_refused(1);
		assert_ptr_equal(device.target, device.irqfd);
		goes_to(s, 0x41);
		assert_int_equal(vmirq_irqfd_deassign(device.irqfd), 0);
		assert_null(device.target);
		assert_int_equal(vmirq_producer_unregister(producer), 0);
		is_gone(s, bypass);
		close(device.fd);
		soft_free(s);
	}
}

/* The callbacks of another pair may unbind it. */
static void from_another_pairs(void **state)
{
	struct soft *s = begin();
	struct vmirq_bypass *bypass = vmirq_vm_bypass(s->vm);
	int its = device.fd;
	struct vmirq_producer *producer;

	(void)state;
	device.irqfd = irqfd_on(s, 3, its);
	device.fd = eventfd(0, EFD_NONBLOCK);
	irqfd_on(s, 4, device.fd);
	eventfd_write(its, 1);
	arm(START);
	/* It knows the one on GSI 3, and its own eventfd is not bound there. */
	producer = register_device(bypass);
	assert_int_equal(device.tried, 1);
	assert_int_equal(device.deassign, 0);
	assert_int_equal(device.words, 0);
	assert_int_equal(device.destroy, -EDEADLK);
	take_only(s->vcpu[0], 0x41);
	goes_to(s, 0x42);
	assert_int_equal(vmirq_producer_unregister(producer), 0);
	close(its);
	close(device.fd);
	soft_free(s);
}

/* A manager that outlives the VM keeps nothing of it. */
static void a_shared_manager(void **state)
{
	struct vmirq_vm_config config = { .size = sizeof(config) };
	struct vmirq_irqfd_config irqfd = { .size = sizeof(irqfd), .gsi = 3 };
	struct vmirq_producer *producer;

	(void)state;
	memset(&device, 0, sizeof(device));
	device.fd = eventfd(0, EFD_NONBLOCK);
	irqfd.eventfd = device.fd;
	assert_int_equal(vmirq_bypass_create(&config.bypass), 0);
	assert_int_equal(vmirq_vm_create(&config, &device.vm), 0);
	assert_int_equal(vmirq_irqfd_assign(device.vm, &irqfd, &device.irqfd), 0);
	arm(START);
	producer = register_device(config.bypass);
	was_refused(-EDEADLK);
	assert_signal(device.target, VMIRQ_NO_ROUTE);
	assert_int_equal(vmirq_vm_destroy(device.vm), 0);
	assert_null(device.target);
	assert_int_equal(vmirq_producer_unregister(producer), 0);
	assert_int_equal(vmirq_bypass_destroy(config.bypass), 0);
	close(device.fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(when_the_producer_registers),
		cmocka_unit_test(when_the_producer_unregisters),
		cmocka_unit_test(when_it_is_bound),
		cmocka_unit_test(from_another_pairs),
		cmocka_unit_test(a_shared_manager),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
