/* SPDX-License-Identifier: MIT */
/* Everything together through the public calls: vCPUs, a PC's chips, lines, routes, irqfds. */
#include "vm.h"

#include <string.h>

#include "check.h"

void world_step_device(struct world *w, uint8_t op)
{
	if (op == OP_MSI)
		guest_step(&w->machine, op);
	else if (!lines_step(w, (enum vm_op)op) && !routes_step(w, (enum vm_op)op) &&
		 !irqfds_step(w, (enum vm_op)op))
		chips_step(w, (enum vm_op)op);
}

static void step(struct world *w)
{
	uint8_t op = take8(w->machine.stream);

	if (!guest_step(&w->machine, op))
		world_step_device(w, op);
	machine_validate(&w->machine);
}

/* What the sources of a GSI have counted is what it says was raised, and each came to something. */
static void check_gsi_laws(struct world *w)
{
	irqfds_drain(w);
	for (uint32_t gsi = 0; gsi < MACHINE_GSIS; gsi++) {
		struct vmirq_route_counts c = { .size = sizeof(c) };
		uint64_t sum;

		check(!vmirq_gsi_counts(w->machine.vm, gsi, &c));
		sum = c.held;
		for (int i = 0; i < VMIRQ_VERDICTS; i++)
			sum += c.verdict[i];
		check(c.raised == sum);
		/* GSI 0 has a source that nobody here counts: the PIT. */
		check(gsi ? c.raised == w->raised[gsi] : c.raised >= w->raised[gsi]);
		if (gsi)
			check(vmirq_line_level(w->machine.vm, gsi) == (w->sources[gsi] != 0));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct stream s = { .at = data, .left = size };
	static struct world w;

	memset(&w, 0, offsetof(struct world, irqfd));
	memset(w.notifier, 0, sizeof(w) - offsetof(struct world, notifier));
	machine_create(&w.machine, &s, VMIRQ_VM_PC_CHIPS | VMIRQ_VM_PIT);
	irqfds_start(&w);
	while (s.left)
		step(&w);
	machine_check_laws(&w.machine);
	check_gsi_laws(&w);
	irqfds_end(&w);
	check_gsi_laws(&w);
	machine_destroy(&w.machine);
	return 0;
}
