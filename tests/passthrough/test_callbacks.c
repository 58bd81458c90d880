// SPDX-License-Identifier: MIT
/* A pirq on the fast path has an irqfd, and that a producer: nothing that waits in the callbacks of that one. */
#include "host.h"

#include <sys/eventfd.h>
#include <unistd.h>
#include <vmirq/bypass.h>

#define VECTOR 0x61

struct device {
	struct soft *s;
	struct host h;
	void *target;
	bool armed;
	unsigned int tried;
};

static void start(void *opaque)
{
	struct vmirq_pirq_counts counts = { .size = sizeof(counts) };
	struct device *d = opaque;
	struct host *h = &d->h;

	if (!d->armed)
		return;
	d->tried++;
	assert_int_equal(vmirq_pirq_unbind(h->pirq), -EDEADLK);
	assert_int_equal(vmirq_pirq_destroy(h->pirq), -EDEADLK);
	assert_int_equal(vmirq_pirq_retarget(h->pirq, 0xfee00000u, VECTOR), -EDEADLK);
	assert_int_equal(vmirq_pirq_eoi(h->pirq), -EDEADLK);
	assert_int_equal(vmirq_pirq_counts(h->pirq, &counts), -EDEADLK);
	assert_int_equal(bind_msi(h, d->s->vm, NULL, 0, VECTOR, 0), -EDEADLK);
	assert_int_equal(vmirq_vm_destroy(d->s->vm), -EDEADLK);
}

static int set_target(void *opaque, void *target)
{
	struct device *d = opaque;

	d->target = target;
	return 0;
}

static struct vmirq_producer *register_device(struct device *d, int fd)
{
	struct vmirq_producer_config config = {
		.size = sizeof(config), .opaque = d, .start = start, .set_target = set_target
	};
	struct vmirq_producer *producer;

	assert_int_equal(vmirq_eventfd_token(fd, &config.token), 0);
	assert_int_equal(vmirq_producer_register(vmirq_vm_bypass(d->s->vm), &config, &producer), 0);
	return producer;
}

static void delivers(struct device *d)
{
	assert_non_null(d->target);
	assert_signal(d->target, VMIRQ_DELIVERED);
	take_only(d->s->vcpu[0], VECTOR);
	d->h.raised++;
}

static void from_its_producers(void **state)
{
	int fd = eventfd(0, EFD_NONBLOCK);
	struct vmirq_pirq_config config = { .size = sizeof(config), .eventfd = fd };
	struct device d = { .s = soft_new(1) };
	struct vmirq_producer *producer;

	(void)state;
	assert_int_equal(vmirq_pirq_create(&config, &d.h.pirq), 0);
	assert_int_equal(bind_msi(&d.h, d.s->vm, NULL, 0, VECTOR, 0), 0);
	/* The producer comes, the pirq goes, comes again, and the producer goes. */
	d.armed = true;
	producer = register_device(&d, fd);
	assert_int_equal(d.tried, 1);
	delivers(&d);
	assert_int_equal(vmirq_pirq_unbind(d.h.pirq), 0);
	assert_int_equal(d.tried, 2);
	assert_null(d.target);
	assert_int_equal(bind_msi(&d.h, d.s->vm, NULL, 0, VECTOR, 0), 0);
	assert_int_equal(d.tried, 3);
	delivers(&d);
	assert_int_equal(vmirq_producer_unregister(producer), 0);
	assert_int_equal(d.tried, 4);
	assert_null(d.target);
	assert_int_equal(vmirq_pirq_unbind(d.h.pirq), 0);
	host_close(&d.h);
	close(fd);
	soft_free(d.s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(from_its_producers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
