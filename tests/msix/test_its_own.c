// SPDX-License-Identifier: MIT
/* What a vector has already, and keeps: the same cases on every irqchip. */
#include "../irqchip/world.h"
#include "device.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <vmirq/bypass.h>
#include <vmirq/trigger.h>

#define VECTOR 0x42

static struct vmirq_msix *open_device(struct world *w)
{
	struct vmirq_msix *msix = device_new(w->vm, 2);

	table_put(msix, 0, 1, VECTOR, false);
	enable(msix);
	return msix;
}

static void raises(struct world *w, struct vmirq_msix *msix)
{
	assert_trigger(msix, 0, VMIRQ_DELIVERED);
	world_take(w, 1, VECTOR);
	world_take_nothing(w);
}

/* The device's to deassign, open, masked, or never opened. */
static void an_irqfd(struct world *w)
{
	struct vmirq_msix *msix = open_device(w);

	assert_int_equal(vmirq_irqfd_deassign(vmirq_msix_irqfd(msix, 0)), -EBUSY);
	raises(w, msix);
	table_mask(msix, 0, true);
	assert_int_equal(vmirq_irqfd_deassign(vmirq_msix_irqfd(msix, 0)), -EBUSY);
	assert_int_equal(vmirq_irqfd_deassign(vmirq_msix_irqfd(msix, 1)), -EBUSY);
	assert_trigger(msix, 0, VMIRQ_HELD);
	table_mask(msix, 0, false);
	world_take(w, 1, VECTOR);
	device_free(msix);
}

static void written(struct world *w, int fd)
{
	world_write(fd, 1);
	world_take(w, 1, VECTOR);
	world_take_nothing(w);
}

/* By any descriptor, with and without a token, open and masked. */
static void an_eventfd(struct world *w)
{
	struct vmirq_msix *msix = open_device(w);
	int fd = eventfd(0, EFD_NONBLOCK), twin = dup(fd);

	for (uint64_t token = 0; token < 2; token++) {
		assert_int_equal(vmirq_msix_set_eventfd(msix, 0, fd, token), 0);
		assert_int_equal(vmirq_msix_set_eventfd(msix, 0, fd, token), 0);
		assert_int_equal(vmirq_msix_set_eventfd(msix, 0, twin, token), 0);
		assert_int_equal(vmirq_msix_set_eventfd(msix, 1, fd, token), -EBUSY);
		written(w, fd);
		table_mask(msix, 0, true);
		world_write(twin, 1);
		assert_int_equal(vmirq_msix_set_eventfd(msix, 0, fd, token), 0);
		world_take_nothing(w);
		table_mask(msix, 0, false);
		world_take(w, 1, VECTOR);
		written(w, twin);
	}
	/* Another under the token of this one is not it. */
	close(twin);
	twin = eventfd(0, EFD_NONBLOCK);
	assert_int_equal(vmirq_msix_set_eventfd(msix, 0, twin, 1), -EBUSY);
	written(w, fd);
	assert_int_equal(vmirq_msix_set_eventfd(msix, 0, -1, 0), 0);
	assert_int_equal(vmirq_msix_set_eventfd(msix, 0, -1, 0), 0);
	device_free(msix);
	close(twin);
	close(fd);
}

/* A trigger is a pair with the vector by its token: as that changes. */
static void an_eventfd_under_another_token(struct world *w)
{
	struct vmirq_msix *msix = open_device(w);
	int fd = eventfd(0, EFD_NONBLOCK);
	struct vmirq_trigger_config config = {
		.size = sizeof(config), .bypass = vmirq_vm_bypass(w->vm), .eventfd = fd, .token = 7
	};
	struct vmirq_trigger_counts c = { .size = sizeof(c) };
	struct vmirq_trigger *trigger;

	assert_int_equal(vmirq_trigger_create(&config, &trigger), 0);
	table_mask(msix, 0, true);
	for (uint64_t token = 6; token < 9; token++) {
		assert_int_equal(vmirq_msix_set_eventfd(msix, 0, fd, token), 0);
		vmirq_trigger_signal(trigger);
		assert_int_equal(vmirq_msix_pending(msix, 0), 1);
	}
	assert_int_equal(vmirq_trigger_counts(trigger, &c), 0);
	assert_int_equal(c.path[VMIRQ_PATH_EVENTFD], 2);
	assert_int_equal(c.path[VMIRQ_PATH_IRQFD], 1);
	table_mask(msix, 0, false);
	world_take(w, 1, VECTOR);
	world_take_nothing(w);
	assert_int_equal(vmirq_trigger_destroy(trigger), 0);
	device_free(msix);
	close(fd);
}

static void counts(struct vmirq_msix *msix, uint64_t raised, uint64_t held, uint64_t coalesced)
{
	struct vmirq_route_counts c = vector_counts(msix, 0);

	assert_int_equal(c.raised, raised);
	assert_int_equal(c.held, held);
	assert_int_equal(c.verdict[VMIRQ_COALESCED], coalesced);
}

/* What is loaded raises what was not pending here, once. */
static void a_pending_bit(struct world *w)
{
	struct vmirq_msix *msix = open_device(w), *other = device_new(w->vm, 2);
	static struct vmirq_msix_state saved;

	saved.size = sizeof(saved);
	assert_int_equal(vmirq_msix_set_control(msix, true, true), 0);
	assert_trigger(msix, 0, VMIRQ_HELD);
	assert_trigger(msix, 0, VMIRQ_COALESCED);
	assert_int_equal(vmirq_msix_save(msix, &saved), 0);
	counts(msix, 2, 1, 1);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(vmirq_msix_load(msix, &saved), 0);
		counts(msix, 2, 1, 1);
		assert_int_equal(vmirq_msix_load(other, &saved), 0);
		counts(other, 1, 1, 0);
	}
	assert_int_equal(vmirq_msix_set_control(other, true, false), 0);
	world_take(w, 1, VECTOR);
	counts(other, 1, 0, 0);
	assert_int_equal(vmirq_msix_set_control(msix, true, false), 0);
	world_take(w, 1, VECTOR);
	counts(msix, 2, 0, 1);
	world_take_nothing(w);
	/* Loaded as open it is delivered at once. */
	saved.control = 0x8000;
	assert_int_equal(vmirq_msix_load(msix, &saved), 0);
	world_take(w, 1, VECTOR);
	counts(msix, 3, 0, 1);
	device_free(msix);
	device_free(other);
}

int main(void)
{
	static const struct world_case cases[] = {
		{ "an irqfd", an_irqfd },
		{ "an eventfd", an_eventfd },
		{ "an eventfd under another token", an_eventfd_under_another_token },
		{ "a pending bit", a_pending_bit },
	};

	return world_run_cases(cases, sizeof(cases) / sizeof(cases[0]));
}
