/* SPDX-License-Identifier: MIT */
/* The chips of the full irqchip, which are the kernel's: their state. */
#include <errno.h>
#include <sys/ioctl.h>

#include "base/vm.h"
#include "line/line.h"

static int vm_ioctl(const struct vmirq_vm *vm, unsigned long request, const void *argument)
{
	return ioctl(vm->kvm_fd, request, argument) < 0 ? -errno : 0;
}

int vmirq_kernel_get_irqchip(const struct vmirq_vm *vm, struct kvm_irqchip *state)
{
	return vm_ioctl(vm, KVM_GET_IRQCHIP, state);
}

int vmirq_kernel_set_irqchip(const struct vmirq_vm *vm, const struct kvm_irqchip *state)
{
	return vm_ioctl(vm, KVM_SET_IRQCHIP, state);
}

int vmirq_kernel_get_pit2(const struct vmirq_vm *vm, struct kvm_pit_state2 *state)
{
	return vm_ioctl(vm, KVM_GET_PIT2, state);
}

int vmirq_kernel_set_pit2(const struct vmirq_vm *vm, const struct kvm_pit_state2 *state)
{
	return vm_ioctl(vm, KVM_SET_PIT2, state);
}

/* As the soft chips are after their reset. */
int vmirq_kernel_reset_chips(const struct vmirq_vm *vm)
{
	struct kvm_pit_state2 pit = { .flags = 0 };
	int error = 0;

	for (uint32_t id = KVM_IRQCHIP_PIC_MASTER; id <= KVM_IRQCHIP_IOAPIC && !error; id++) {
		struct kvm_irqchip state = { .chip_id = id };

		error = vmirq_kernel_get_irqchip(vm, &state);
		if (error)
			break;
		if (id == KVM_IRQCHIP_IOAPIC) {
			struct kvm_ioapic_state *ioapic = &state.chip.ioapic;

			*ioapic = (struct kvm_ioapic_state){ .base_address = ioapic->base_address };
			for (int pin = 0; pin < KVM_IOAPIC_NUM_PINS; pin++)
				ioapic->redirtbl[pin].fields.mask = 1;
		} else {
			state.chip.pic =
				(struct kvm_pic_state){ .elcr_mask = state.chip.pic.elcr_mask };
		}
		error = vmirq_kernel_set_irqchip(vm, &state);
	}
	/* Its counters as at power-up: none has a count. */
	if (!error && !vmirq_kernel_get_pit2(vm, &pit)) {
		for (int i = 0; i < 3; i++) {
			pit.channels[i] =
				(struct kvm_pit_channel_state){ .mode = 0xff, .gate = i != 2 };
		}
		error = vmirq_kernel_set_pit2(vm, &pit);
	}
	return error;
}
