// SPDX-License-Identifier: MIT
/* What a vector has already, and keeps: the same cases on every irqchip. */
#include "../irqchip/world.h"
#include "device.h"

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

int main(void)
{
	static const struct world_case cases[] = {
		{ "an irqfd", an_irqfd },
	};

	return world_run_cases(cases, sizeof(cases) / sizeof(cases[0]));
}
