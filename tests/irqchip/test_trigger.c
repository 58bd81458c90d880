// SPDX-License-Identifier: MIT
/*
 * Which way a trigger's signal goes on each irqchip: to the eventfd only where the kernel reads that, which shows in
 * the GSI's counters. And none is lost or doubled while it moves.
 */
#include "../msix/device.h"
#include "world.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <vmirq/bypass.h>
#include <vmirq/trigger.h>

#define VECTOR 0x42

static struct vmirq_trigger *trigger_new(struct world *w, int fd)
{
	struct vmirq_trigger_config config = { .size = sizeof(config),
					       .bypass = vmirq_vm_bypass(w->vm),
					       .eventfd = fd };
	struct vmirq_trigger *trigger;

	assert_int_equal(vmirq_trigger_create(&config, &trigger), 0);
	return trigger;
}

static bool readable(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, 0) == 1;
}

/* One more signal goes this way; what the call says. */
static enum vmirq_verdict goes(struct vmirq_trigger *trigger, enum vmirq_path path)
{
	struct vmirq_trigger_counts before = { .size = sizeof(before) }, after = before;
	enum vmirq_verdict verdict;

	assert_int_equal(vmirq_trigger_counts(trigger, &before), 0);
	verdict = vmirq_trigger_signal(trigger);
	assert_int_equal(vmirq_trigger_counts(trigger, &after), 0);
	for (int p = 0; p < VMIRQ_PATHS; p++)
		assert_int_equal(after.path[p] - before.path[p], p == (int)path);
	return verdict;
}

/* Where what is read here is not posted here. */
static enum vmirq_path way_of(struct world *w, uint32_t gsi, enum vmirq_path on_soft)
{
	struct vmirq_route_counts c = { .size = sizeof(c) };

	assert_int_equal(vmirq_gsi_counts(w->vm, gsi, &c), 0);
	if (w->irqchip == VMIRQ_IRQCHIP_SOFT)
		return on_soft;
	return c.unobserved ? VMIRQ_PATH_EVENTFD : VMIRQ_PATH_IRQFD;
}

static void arrives(struct world *w)
{
	world_take(w, 1, VECTOR);
	world_take_nothing(w);
}

static void a_message(struct world *w)
{
	int fd = eventfd(0, EFD_NONBLOCK);
	struct vmirq_trigger *trigger = trigger_new(w, fd);
	struct vmirq_irqfd *irqfd;

	world_route(w, 30, 1, VECTOR);
	irqfd = world_irqfd(w, 30, fd);
	goes(trigger, way_of(w, 30, VMIRQ_PATH_BYPASS));
	arrives(w);
	assert_int_equal(vmirq_irqfd_deassign(irqfd), 0);
	assert_verdict(goes(trigger, VMIRQ_PATH_EVENTFD), VMIRQ_HELD);
	assert_true(readable(fd));
	assert_int_equal(vmirq_trigger_destroy(trigger), 0);
	close(fd);
}

static void a_pin(struct world *w)
{
	int fd = eventfd(0, EFD_NONBLOCK);
	struct vmirq_trigger *trigger = trigger_new(w, fd);

	world_rte(w, 10, 1, VECTOR, false);
	world_irqfd(w, 10, fd);
	if (w->irqchip == VMIRQ_IRQCHIP_SPLIT)
		assert_verdict(goes(trigger, VMIRQ_PATH_IRQFD), VMIRQ_HELD);
	else
		goes(trigger, way_of(w, 10, VMIRQ_PATH_IRQFD));
	arrives(w);
	assert_int_equal(vmirq_trigger_destroy(trigger), 0);
	close(fd);
}

static struct vmirq_msix *vector_on(struct world *w, int fd)
{
	struct vmirq_msix *msix = device_new(w->vm, 1);

	assert_int_equal(vmirq_msix_set_eventfd(msix, 0, fd, 0), 0);
	table_put(msix, 0, 1, VECTOR, true);
	enable(msix);
	return msix;
}

static enum vmirq_path way_of_open(struct world *w, struct vmirq_msix *msix)
{
	uint32_t gsi;

	assert_int_equal(vmirq_msix_gsi(msix, 0, &gsi), 0);
	return way_of(w, gsi, VMIRQ_PATH_BYPASS);
}

static void a_vector_that_is_masked(struct world *w)
{
	int fd = eventfd(0, EFD_NONBLOCK);
	struct vmirq_msix *msix = vector_on(w, fd);
	struct vmirq_trigger *trigger = trigger_new(w, fd);

	for (int turn = 0; turn < 2; turn++) {
		assert_verdict(goes(trigger, VMIRQ_PATH_IRQFD), VMIRQ_HELD);
		assert_verdict(goes(trigger, VMIRQ_PATH_IRQFD), VMIRQ_COALESCED);
		assert_false(readable(fd));
		assert_true(pba_bit(msix, 0));
		world_take_nothing(w);
		table_mask(msix, 0, false);
		arrives(w);
		goes(trigger, way_of_open(w, msix));
		arrives(w);
		table_mask(msix, 0, true);
	}
	assert_int_equal(vmirq_trigger_destroy(trigger), 0);
	device_free(msix);
	close(fd);
}

struct masker {
	struct vmirq_msix *msix;
	_Atomic bool done;
};

static void *mask_and_unmask(void *opaque)
{
	struct masker *m = opaque;

	for (bool masked = false; !atomic_load(&m->done); masked = !masked)
		table_mask(m->msix, 0, masked);
	table_mask(m->msix, 0, false);
	return NULL;
}

/* Its eventfd goes from the kernel to the pump and back all the time. */
static void masks_against_signals(struct world *w)
{
	enum { SIGNALS = 500 };
	int fd = eventfd(0, EFD_NONBLOCK);
	struct masker m = { .msix = vector_on(w, fd) };
	struct vmirq_trigger *trigger = trigger_new(w, fd);
	struct vmirq_trigger_counts c = { .size = sizeof(c) };
	uint64_t went = 0;
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, mask_and_unmask, &m), 0);
	for (int i = 0; i < SIGNALS; i++) {
		vmirq_trigger_signal(trigger);
		world_take(w, 1, VECTOR);
	}
	atomic_store(&m.done, true);
	pthread_join(thread, NULL);
	world_take_nothing(w);
	assert_int_equal(vmirq_trigger_counts(trigger, &c), 0);
	for (int p = 0; p < VMIRQ_PATHS; p++)
		went += c.path[p];
	assert_int_equal(went, SIGNALS);
	assert_int_equal(vmirq_trigger_destroy(trigger), 0);
	device_free(m.msix);
	close(fd);
}

int main(void)
{
	static const struct world_case cases[] = {
		{ "a_message", a_message },
		{ "a_pin", a_pin },
		{ "a_vector_that_is_masked", a_vector_that_is_masked },
		{ "masks_against_signals", masks_against_signals },
	};

	return world_run_cases(cases, sizeof(cases) / sizeof(cases[0]));
}
