// SPDX-License-Identifier: MIT
/* split: the kernel tells of a level's EOI only where its table has the message, so that the table comes
 * before whatever a loaded IOAPIC sends. */
#include "world.h"

#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PIN    9
#define VECTOR 0x51
#define RTE    (UINT64_C(1) << 56 | 1u << 15 | VECTOR)

static struct world *world;
/* What the kernel's table has for the pin: its data, 0 for nothing. */
static uint32_t data;
static bool sent_before;

/* In place of libc's. */
int ioctl(int fd, unsigned long request, ...)
{
	const struct kvm_irq_routing *table;
	void *argument;
	va_list list;

	va_start(list, request);
	argument = va_arg(list, void *);
	va_end(list);
	if (request == KVM_SET_GSI_ROUTING && world) {
		table = argument;
		if (!data)
			sent_before = world_pending(world, 1, VECTOR);
		data = 0;
		for (uint32_t i = 0; i < table->nr; i++)
			if (table->entries[i].gsi == PIN)
				data = table->entries[i].u.msi.data;
	}
	return (int)syscall(SYS_ioctl, fd, request, argument);
}

static bool loads_of_split(struct world *w)
{
	world = w->irqchip == VMIRQ_IRQCHIP_SPLIT ? w : NULL;
	data = 0;
	sent_before = false;
	return world != NULL;
}

static void is_sent_in_order(struct world *w)
{
	assert_int_equal(data & 0xff, VECTOR);
	assert_true(data & 1u << 15);
	assert_false(sent_before);
	world_take(w, 1, VECTOR);
	world = NULL;
}

static void irqchip(struct world *w)
{
	struct kvm_irqchip state = { .chip_id = KVM_IRQCHIP_IOAPIC };

	if (!loads_of_split(w))
		return;
	assert_int_equal(vmirq_vm_get_irqchip(w->vm, &state), 0);
	state.chip.ioapic.redirtbl[PIN].bits = RTE;
	state.chip.ioapic.irr = 1u << PIN;
	assert_int_equal(vmirq_vm_set_irqchip(w->vm, &state), 0);
	is_sent_in_order(w);
}

static void ioapic(struct world *w)
{
	struct vmirq_ioapic_state state = { .size = sizeof(state) };

	if (!loads_of_split(w))
		return;
	assert_int_equal(vmirq_vm_get_ioapic(w->vm, 0, &state), 0);
	state.rte[PIN] = RTE;
	state.irr[PIN] = 1;
	assert_int_equal(vmirq_vm_set_ioapic(w->vm, 0, &state), 0);
	is_sent_in_order(w);
}

static const struct world_case cases[] = {
	{ "KVM_SET_IRQCHIP's", irqchip },
	{ "an IOAPIC of any size", ioapic },
};

int main(void)
{
	return world_run_cases(cases, sizeof(cases) / sizeof(cases[0]));
}
