// SPDX-License-Identifier: MIT
/*
 * A PC's firmware has run before the boot loader: the local APIC of the first CPU is enabled and
 * passes the 8259's interrupts (MP specification 1.4, 3.6.2.2, virtual wire mode), the 8259s have
 * their vectors, the PIT ticks 18.2 times a second. Every 8259 line is masked, as an image without
 * a BIOS has no handler for any.
 */
#include <string.h>
#include <vmirq/state.h>

#include "boot_internal.h"

#define APIC_SVR	 0x0f0
#define APIC_LVT_LINT0	 0x350
#define APIC_LVT_LINT1	 0x360
#define SVR_ENABLED	 0x1ffu
#define LVT_LEVEL_EXTINT 0x8700u
#define LVT_LEVEL_NMI	 0x8400u

#define MASTER_VECTOR	 0x08
#define SLAVE_VECTOR	 0x70
#define MASTER_MASK	 0xfb /* but for the slave's line */
#define SLAVE_MASK	 0xff

#define PIT_MODE_RATE	 2

static void put(struct kvm_lapic_state *state, uint32_t offset, uint32_t value)
{
	memcpy(state->regs + offset, &value, sizeof(value));
}

static int set_lapic(struct boot_vcpu *v)
{
	struct kvm_lapic_state state;
	int error = vmirq_vcpu_get_lapic(v->vcpu, &state);

	if (error)
		return error;
	put(&state, APIC_SVR, SVR_ENABLED);
	put(&state, APIC_LVT_LINT0, LVT_LEVEL_EXTINT);
	put(&state, APIC_LVT_LINT1, LVT_LEVEL_NMI);
	return vmirq_vcpu_set_lapic(v->vcpu, &state);
}

static int set_pic(struct boot *boot, uint32_t chip, uint8_t vector, uint8_t mask)
{
	struct kvm_irqchip state = { .chip_id = chip };
	int error = vmirq_vm_get_irqchip(boot->vm, &state);

	if (error)
		return error;
	state.chip.pic.irq_base = vector;
	state.chip.pic.imr = mask;
	state.chip.pic.init4 = 1; /* ICW4 was given: 8086 mode */
	return vmirq_vm_set_irqchip(boot->vm, &state);
}

static int set_pit(struct boot *boot)
{
	struct kvm_pit_state2 state;
	int error = vmirq_vm_get_pit2(boot->vm, &state);

	if (error)
		return error;
	state.channels[0].mode = PIT_MODE_RATE;
	state.channels[0].rw_mode = 3; /* low byte, then high byte */
	state.channels[0].count = 0x10000;
	return vmirq_vm_set_pit2(boot->vm, &state);
}

int boot_firmware(struct boot *boot)
{
	int error = set_lapic(&boot->vcpus[0]);

	if (!error)
		error = set_pic(boot, KVM_IRQCHIP_PIC_MASTER, MASTER_VECTOR, MASTER_MASK);
	if (!error)
		error = set_pic(boot, KVM_IRQCHIP_PIC_SLAVE, SLAVE_VECTOR, SLAVE_MASK);
	return error ? error : set_pit(boot);
}
