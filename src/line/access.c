/* SPDX-License-Identifier: MIT */
/* The guest's accesses to chips that belong to the VM, and their saved state. */
#include <errno.h>
#include <string.h>

#include "base/vm.h"
#include "line/line.h"

#include <vmirq/state.h>

static uint64_t load_bytes(const void *data, uint32_t len)
{
	uint64_t value = 0;

	memcpy(&value, data, len < sizeof(value) ? len : sizeof(value));
	return value;
}

static void store_bytes(void *data, uint32_t len, uint64_t value)
{
	memset(data, 0, len);
	memcpy(data, &value, len < sizeof(value) ? len : sizeof(value));
}

bool vmirq_lines_mmio(struct line_domain *lines, uint64_t gpa, void *data, uint32_t len,
		      bool is_write)
{
	for (uint32_t i = 0; i < lines->ioapics; i++) {
		struct ioapic *ioapic = &lines->ioapic[i]->ioapic;

		if (!vmirq_ioapic_claims(ioapic, gpa, len))
			continue;
		if (is_write)
			vmirq_line_write_ioapic(lines, lines->ioapic[i], gpa, len,
						load_bytes(data, len));
		else
			store_bytes(data, len, vmirq_ioapic_read(ioapic, gpa, len));
		return true;
	}
	return false;
}

bool vmirq_lines_pio(struct line_domain *lines, uint16_t port, void *data, uint32_t len,
		     bool is_write)
{
	if (lines->has_pic && vmirq_i8259_claims(port, len)) {
		if (is_write)
			vmirq_i8259_write(&lines->pic, port, len, (uint32_t)load_bytes(data, len));
		else
			store_bytes(data, len, vmirq_i8259_read(&lines->pic, port, len));
		return true;
	}
	return lines->has_pit && vmirq_pit_pio(&lines->pit, port, data, len, is_write);
}

int vmirq_vm_get_irqchip(struct vmirq_vm *vm, struct kvm_irqchip *state)
{
	struct line_domain *lines;

	if (!vm || !state || state->chip_id > KVM_IRQCHIP_IOAPIC)
		return -EINVAL;
	if (vmirq_line_in_kernel(vm))
		return vmirq_kernel_get_irqchip(vm, state);
	lines = vm->lines;
	if (state->chip_id == KVM_IRQCHIP_IOAPIC) {
		if (!lines->ioapics)
			return -ENXIO;
		vmirq_ioapic_save(&lines->ioapic[0]->ioapic, &state->chip.ioapic);
		return 0;
	}
	if (!lines->has_pic)
		return -ENXIO;
	vmirq_i8259_save(&lines->pic, state->chip_id, &state->chip.pic);
	return 0;
}

int vmirq_vm_set_irqchip(struct vmirq_vm *vm, const struct kvm_irqchip *state)
{
	struct line_domain *lines;
	bool loaded;

	if (!vm || !state || state->chip_id > KVM_IRQCHIP_IOAPIC)
		return -EINVAL;
	if (vmirq_line_in_kernel(vm))
		return vmirq_kernel_set_irqchip(vm, state);
	lines = vm->lines;
	if (state->chip_id == KVM_IRQCHIP_IOAPIC ? !lines->ioapics : !lines->has_pic)
		return -ENXIO;
	loaded = state->chip_id == KVM_IRQCHIP_IOAPIC
			 ? vmirq_ioapic_load(&lines->ioapic[0]->ioapic, &state->chip.ioapic)
			 : vmirq_i8259_load(&lines->pic, state->chip_id, &state->chip.pic);
	vmirq_line_commit_ioapics(lines);
	return loaded ? 0 : -EINVAL;
}

int vmirq_vm_get_pit2(struct vmirq_vm *vm, struct kvm_pit_state2 *state)
{
	if (!vm || !state)
		return -EINVAL;
	if (vmirq_line_in_kernel(vm))
		return vmirq_kernel_get_pit2(vm, state);
	if (!vm->lines->has_pit)
		return -ENXIO;
	vmirq_pit_save(&vm->lines->pit, state, NULL);
	return 0;
}

int vmirq_vm_set_pit2(struct vmirq_vm *vm, const struct kvm_pit_state2 *state)
{
	if (!vm || !state)
		return -EINVAL;
	if (vmirq_line_in_kernel(vm))
		return vmirq_kernel_set_pit2(vm, state);
	if (!vm->lines->has_pit)
		return -ENXIO;
	return vmirq_pit_load(&vm->lines->pit, state, NULL) ? 0 : -EINVAL;
}
