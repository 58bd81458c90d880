// SPDX-License-Identifier: MIT
/* A VM of ours without a guest, as like QEMU's PC as it can be. */
#include <errno.h>
#include <string.h>
#include <vmirq/line.h>
#include <vmirq/route.h>
#include <vmirq/vcpu.h>
#include <vmirq/vm.h>

#include "diff_lapic.h"
#include "diff_qemu.h"

#define PINS	    24u
#define SVR_ENABLED 0x100u
#define LVT_EXTINT  0x700u
/* QEMU's has the EOI register, which stands for the local APICs that qtest does not see. */
#define IOAPIC_VERSION 0x20u

/* A GSI for each pin of each chip. */
static int route_pins(struct qemu_pair *pair)
{
	struct kvm_irq_routing_entry entry[PINS + 16];

	memset(entry, 0, sizeof(entry));
	for (uint32_t i = 0; i < PINS + 16; i++) {
		uint32_t pin = i < PINS ? i : i - PINS;

		entry[i].type = KVM_IRQ_ROUTING_IRQCHIP;
		entry[i].gsi = i < PINS ? pin : QEMU_PIC_GSI + pin;
		entry[i].u.irqchip.irqchip = i < PINS  ? KVM_IRQCHIP_IOAPIC
					     : pin < 8 ? KVM_IRQCHIP_PIC_MASTER
						       : KVM_IRQCHIP_PIC_SLAVE;
		entry[i].u.irqchip.pin = i < PINS ? pin : pin % 8;
	}
	return vmirq_route_set_all(pair->vm, entry, PINS + 16);
}

/* It accepts what the IOAPIC sends, and listens to the 8259s. */
static int enable_lapic(struct qemu_pair *pair)
{
	const struct {
		uint32_t reg, value;
	} writes[] = { { LAPIC_SVR, SVR_ENABLED | 0xff },
		       { LAPIC_LDR, QEMU_LDR << 24 },
		       { LAPIC_LVT_LINT0, LVT_EXTINT } };
	int error = 0;

	for (size_t i = 0; i < sizeof(writes) / sizeof(writes[0]) && !error; i++) {
		uint32_t value = writes[i].value;

		error = vmirq_vcpu_mmio(pair->vcpu, LAPIC_GPA + writes[i].reg, &value,
					sizeof(value), true);
	}
	return error;
}

int ours_open(struct qemu_pair *pair)
{
	const struct vmirq_ioapic_config ioapic = { IOAPIC_GPA, PINS, IOAPIC_VERSION };
	struct vmirq_vm_config config = {
		.size = sizeof(config),
		.max_vcpus = 1,
		.max_gsis = QEMU_PIC_GSI + 16,
		.flags = VMIRQ_VM_PC_CHIPS | VMIRQ_VM_PROFILE_SPEC,
		.ioapics = &ioapic,
		.n_ioapics = 1,
	};
	const struct vmirq_vcpu_config cpu = { .size = sizeof(cpu) };
	int error = vmirq_vm_create(&config, &pair->vm);

	if (!error)
		error = vmirq_vcpu_create(pair->vm, &cpu, &pair->vcpu);
	if (!error)
		error = enable_lapic(pair);
	if (!error)
		error = route_pins(pair);
	return error;
}

void ours_close(struct qemu_pair *pair)
{
	vmirq_vm_destroy(pair->vm);
	pair->vm = NULL;
	pair->vcpu = NULL;
}

int ours_do(struct qemu_pair *pair, const struct op *op, uint64_t *value)
{
	uint64_t at = op->arg[ARG_AT], data = op->arg[ARG_VALUE];
	uint32_t width = (uint32_t)op->arg[ARG_WIDTH];
	bool is_write = op->kind == OP_WRITE || op->kind == OP_OUT;
	int error;

	*value = 0;
	if (op->kind == OP_LINE) {
		vmirq_line_set(pair->vm, (uint32_t)op->arg[0], 0, op->arg[1] & 1, &error);
		return error;
	}
	if (!is_write)
		data = 0;
	if (op->kind == OP_READ || op->kind == OP_WRITE)
		error = vmirq_vm_mmio(pair->vm, at, &data, width, is_write);
	else
		error = vmirq_vm_pio(pair->vm, (uint16_t)at, &data, width, is_write);
	if (!error && !is_write)
		*value = data;
	return error;
}

/* A vCPU that cannot take it now, but would be told. */
int ours_int(struct qemu_pair *pair)
{
	uint32_t vector;
	int step = vmirq_vcpu_step(pair->vcpu, 0, &vector);

	vmirq_vcpu_leave(pair->vcpu);
	return step < 0 ? step : step == VMIRQ_STEP_WINDOW;
}
