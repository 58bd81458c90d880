// SPDX-License-Identifier: MIT
/* A pirq on the fast path has an irqfd, and that a producer: nothing that waits in the callbacks of that one. */
#include "host.h"

#include <sys/eventfd.h>
#include <unistd.h>
#include <vmirq/bypass.h>
#include <vmirq/trigger.h>

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

static void went(struct vmirq_trigger *trigger, enum vmirq_path path, uint64_t times)
{
	struct vmirq_trigger_counts c = { .size = sizeof(c) };

	assert_int_equal(vmirq_trigger_counts(trigger, &c), 0);
	assert_int_equal(c.path[path], times);
}

/* A device in this process: past its eventfd where the fast path is on; with the switch off, through eventfd, pump and
 * worker; and so on, as it is bound. */
static void by_a_trigger(void **state)
{
	int fd = eventfd(0, EFD_NONBLOCK);
	struct vmirq_pirq_config config = { .size = sizeof(config), .eventfd = fd };
	struct soft *s = soft_new(1);
	struct vmirq_trigger_config how = { .size = sizeof(how),
					    .bypass = vmirq_vm_bypass(s->vm),
					    .eventfd = fd };
	struct vmirq_worker *worker = worker_new();
	struct vmirq_trigger *trigger;
	struct host h = { .raised = 0 };

	(void)state;
	assert_int_equal(vmirq_pirq_create(&config, &h.pirq), 0);
	assert_int_equal(vmirq_trigger_create(&how, &trigger), 0);
	for (uint64_t n = 1; n <= 3; n++) {
		assert_int_equal(bind_msi(&h, s->vm, worker, 0, VECTOR, 0), 0);
		assert_verdict(vmirq_trigger_signal(trigger), VMIRQ_DELIVERED);
		h.raised++;
		went(trigger, VMIRQ_PATH_BYPASS, n);
		assert_int_equal(dispatch(s), 0);
		take_only(s->vcpu[0], VECTOR);
		assert_int_equal(vmirq_pirq_unbind(h.pirq), 0);
		assert_int_equal(bind_msi(&h, s->vm, worker, 0, VECTOR, VMIRQ_PIRQ_NO_FAST_PATH),
				 0);
		vmirq_trigger_signal(trigger);
		h.raised++;
		went(trigger, VMIRQ_PATH_BYPASS, n);
		went(trigger, VMIRQ_PATH_EVENTFD, n);
		take_nothing(s->vcpu[0]);
		assert_int_equal(dispatch(s), 1);
		worker_serves(worker, 1);
		take_only(s->vcpu[0], VECTOR);
		assert_int_equal(vmirq_pirq_unbind(h.pirq), 0);
		assert_int_equal(host_verdict(&h, VMIRQ_DELIVERED), 2 * n);
		assert_int_equal(host_counts(&h).runs, n);
	}
	assert_int_equal(vmirq_trigger_destroy(trigger), 0);
	host_close(&h);
	soft_free(s);
	assert_int_equal(vmirq_worker_destroy(worker, NULL), 0);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(from_its_producers),
		cmocka_unit_test(by_a_trigger),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
