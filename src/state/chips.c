/* SPDX-License-Identifier: MIT */
/* The chips' saved state, in the kernel's structs and one of our own. */
#include <vmirq/state.h>

#include <errno.h>

#include "base/options.h"
#include "base/vm.h"
#include "line/line.h"

_Static_assert(VMIRQ_IOAPIC_MAX_PINS == IOAPIC_MAX_PINS, "room for every pin");

/* vmirq_ioapic_state as it was in the first release. */
#define STATE_LEAST sizeof(struct vmirq_ioapic_state)

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

int vmirq_vm_get_ioapic(struct vmirq_vm *vm, uint32_t number, struct vmirq_ioapic_state *state)
{
	struct ioapic_state all;

	if (!vm || !state || state->size < STATE_LEAST)
		return -EINVAL;
	if (number >= vm->lines->ioapics)
		return -ENXIO;
	vmirq_ioapic_save_all(&vm->lines->ioapic[number]->ioapic, &all);
	*state = (struct vmirq_ioapic_state){
		.size = state->size,
		.base = all.base,
		.ioregsel = all.ioregsel,
		.id = all.id,
		.pins = all.count,
	};
	for (uint32_t n = 0; n < all.count; n++) {
		state->rte[n] = all.pin[n].rte;
		state->irr[n] = all.pin[n].irr;
	}
	return 0;
}

/* False: it says something about pins that are not there, or more than a bit of one. */
static bool take_apart(const struct vmirq_ioapic_state *state, struct ioapic_state *all)
{
	*all = (struct ioapic_state){
		.base = state->base,
		.ioregsel = state->ioregsel,
		.id = state->id,
		.count = state->pins,
	};
	if (state->pins > IOAPIC_MAX_PINS || state->reserved)
		return false;
	for (uint32_t n = 0; n < IOAPIC_MAX_PINS; n++) {
		if (state->irr[n] > 1 || (n >= state->pins && (state->rte[n] || state->irr[n])))
			return false;
		all->pin[n] =
			(struct ioapic_pin_state){ .rte = state->rte[n], .irr = state->irr[n] };
	}
	return true;
}

int vmirq_vm_set_ioapic(struct vmirq_vm *vm, uint32_t number,
			const struct vmirq_ioapic_state *caller)
{
	struct vmirq_ioapic_state state;
	struct ioapic_state all;
	struct ioapic *ioapic;
	int error;

	if (!vm || !caller)
		return -EINVAL;
	error = options_copy(&state, sizeof(state), STATE_LEAST, caller, caller->size);
	if (error)
		return error;
	if (number >= vm->lines->ioapics)
		return -ENXIO;
	ioapic = &vm->lines->ioapic[number]->ioapic;
	return take_apart(&state, &all) && all.count == ioapic->config.count &&
			       vmirq_ioapic_load_all(ioapic, &all)
		       ? 0
		       : -EINVAL;
}
