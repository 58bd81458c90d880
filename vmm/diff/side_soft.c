// SPDX-License-Identifier: MIT
/* libvmirq's irqchip under a VM that has none of the kernel's. */
#include <errno.h>
#include <string.h>
#include <vmirq/irqfd.h>
#include <vmirq/kvm_run.h>
#include <vmirq/line.h>
#include <vmirq/msi.h>
#include <vmirq/route.h>
#include <vmirq/state.h>
#include <vmirq/vcpu.h>
#include <vmirq/vm.h>

#include "side.h"

static int prepare(struct side *side)
{
	struct vmirq_vm_config config = {
		.size = sizeof(config),
		.max_vcpus = SIDE_VCPUS,
		.max_gsis = SIDE_GSIS,
		.flags = (side->config.ids_32bit ? VMIRQ_VM_MSI_32BIT_IDS : 0) |
			 (side->config.chips ? VMIRQ_VM_PC_CHIPS | VMIRQ_VM_PIT : 0),
	};
	int error = vmirq_kvm_prepare_vm(side->vm_fd);

	return error ? error : vmirq_vm_create(&config, &side->vm);
}

static int vcpu_open(struct side *side, struct side_vcpu *v, uint32_t index)
{
	struct vmirq_vcpu_config config = {
		.size = sizeof(config),
		.index = index,
		.apic_id = v->apic_id,
		.kvm_run = v->run,
		.kvm_vcpu_fd = v->fd,
	};
	int error = vmirq_vcpu_create(side->vm, &config, &v->vcpu);

	return error ? error : vmirq_vcpu_bind_thread(v->vcpu);
}

static void close_side(struct side *side)
{
	for (uint32_t i = 0; i < SIDE_VCPUS; i++) {
		if (side->vcpu[i].vcpu)
			vmirq_vcpu_unbind_thread(side->vcpu[i].vcpu);
		side->vcpu[i].vcpu = NULL;
	}
	vmirq_vm_destroy(side->vm);
	vmirq_vm_destroy(side->other_vm);
	side->vm = side->other_vm = NULL;
}

static int enter(struct side *side, struct side_vcpu *v)
{
	(void)side;
	return vmirq_kvm_run(v->vcpu);
}

static uint64_t apic_base(const struct side_vcpu *v)
{
	return vmirq_vcpu_apic_base(v->vcpu);
}

static int set_runnable(struct side_vcpu *v)
{
	struct kvm_mp_state state = { .mp_state = KVM_MP_STATE_RUNNABLE };

	return vmirq_vcpu_set_mp_state(v->vcpu, &state);
}

/* Steps without entering: with interrupts off only events can come of it. */
static int take_events(struct side *side, struct side_vcpu *v, struct side_events *events)
{
	uint32_t page;
	int step, error = 0;

	memset(events, 0, sizeof(*events));
	do {
		step = vmirq_vcpu_step(v->vcpu, 0, &page);
		if (step == VMIRQ_STEP_SIPI)
			events->waits_for_sipi = false;
		events->nmi |= step == VMIRQ_STEP_NMI;
		events->smi |= step == VMIRQ_STEP_SMI;
		events->init |= step == VMIRQ_STEP_INIT;
		events->waits_for_sipi |= step == VMIRQ_STEP_PARK;
	} while (step == VMIRQ_STEP_NMI || step == VMIRQ_STEP_SMI || step == VMIRQ_STEP_INIT ||
		 step == VMIRQ_STEP_SIPI || step == -EINTR);
	if (step < 0)
		return step;
	vmirq_vcpu_leave(v->vcpu);
	if (events->waits_for_sipi)
		error = set_runnable(v);
	if (!error && events->init)
		error = side_set_registers(side, v);
	return error;
}

static int get_lapic(struct side_vcpu *v, struct kvm_lapic_state *state)
{
	return vmirq_vcpu_get_lapic(v->vcpu, state);
}

static int set_lapic(struct side_vcpu *v, const struct kvm_lapic_state *state)
{
	return vmirq_vcpu_set_lapic(v->vcpu, state);
}

static int msi(struct side *side, const struct kvm_msi *message)
{
	return vmirq_msi_send(side->vm, message);
}

static int line(struct side *side, uint32_t gsi, uint32_t level, int *status)
{
	int error = 0, number = vmirq_line_set(side->vm, gsi, 0, level, &error);

	if (status)
		*status = number;
	return error;
}

static int routes(struct side *side, const struct kvm_irq_routing *table)
{
	return vmirq_route_set_all(side->vm, table->entries, table->nr);
}

static int irqfd(struct side *side, const struct kvm_irqfd *args)
{
	return vmirq_irqfd(side->vm, args);
}

static int irqfd_elsewhere(struct side *side, const struct kvm_irqfd *args)
{
	struct vmirq_vm_config config = { .size = sizeof(config),
					  .max_gsis = SIDE_GSIS,
					  .flags = VMIRQ_VM_PC_CHIPS };
	int error = side->other_vm ? 0 : vmirq_vm_create(&config, &side->other_vm);

	return error ? error : vmirq_irqfd(side->other_vm, args);
}

static void pump(struct side *side)
{
	while (vmirq_pump_dispatch(vmirq_vm_pump(side->vm), 0) > 0)
		;
	while (side->other_vm && vmirq_pump_dispatch(vmirq_vm_pump(side->other_vm), 0) > 0)
		;
}

static int get_irqchip(struct side *side, struct kvm_irqchip *state)
{
	return vmirq_vm_get_irqchip(side->vm, state);
}

static int set_irqchip(struct side *side, const struct kvm_irqchip *state)
{
	return vmirq_vm_set_irqchip(side->vm, state);
}

static int get_pit(struct side *side, struct kvm_pit_state2 *state)
{
	return vmirq_vm_get_pit2(side->vm, state);
}

static int set_pit(struct side *side, const struct kvm_pit_state2 *state)
{
	return vmirq_vm_set_pit2(side->vm, state);
}

static int mmio(struct side *side, uint64_t gpa, void *data, uint32_t len, bool is_write)
{
	return vmirq_vm_mmio(side->vm, gpa, data, len, is_write);
}

static int pio(struct side *side, uint16_t port, void *data, uint32_t len, bool is_write)
{
	return vmirq_vm_pio(side->vm, port, data, len, is_write);
}

const struct side_ops side_soft = {
	.prepare = prepare,
	.vcpu_open = vcpu_open,
	.close = close_side,
	.enter = enter,
	.apic_base = apic_base,
	.take_events = take_events,
	.get_lapic = get_lapic,
	.set_lapic = set_lapic,
	.msi = msi,
	.line = line,
	.routes = routes,
	.irqfd = irqfd,
	.irqfd_elsewhere = irqfd_elsewhere,
	.pump = pump,
	.get_irqchip = get_irqchip,
	.set_irqchip = set_irqchip,
	.get_pit = get_pit,
	.set_pit = set_pit,
	.mmio = mmio,
	.pio = pio,
};
