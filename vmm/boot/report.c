// SPDX-License-Identifier: MIT
/* Where each vCPU is, and what is pending on it. */
#include <inttypes.h>
#include <linux/kvm.h>
#include <string.h>
#include <sys/ioctl.h>
#include <vmirq/state.h>

#include "boot_internal.h"

#define APIC_TPR  0x080
#define APIC_SVR  0x0f0
#define APIC_ISR  0x100
#define APIC_IRR  0x200
#define RFLAGS_IF (1u << 9)

static uint32_t get(const struct kvm_lapic_state *state, uint32_t offset)
{
	uint32_t value;

	memcpy(&value, state->regs + offset, sizeof(value));
	return value;
}

static const char *mode_of(struct boot_vcpu *v)
{
	struct kvm_mp_state state;

	if (vmirq_vcpu_get_mp_state(v->vcpu, &state))
		return "in an unknown state";
	switch (state.mp_state) {
	case KVM_MP_STATE_RUNNABLE:
		return "running";
	case KVM_MP_STATE_HALTED:
		return "halted";
	case KVM_MP_STATE_UNINITIALIZED:
	case KVM_MP_STATE_INIT_RECEIVED:
	case KVM_MP_STATE_SIPI_RECEIVED:
		return "waiting for SIPI";
	default:
		return "in another state";
	}
}

/* The set bits of IRR or ISR: eight registers of 32, 16 bytes apart. */
static void print_vectors(const struct kvm_lapic_state *state, uint32_t from, const char *name,
			  FILE *to)
{
	bool any = false;

	fprintf(to, ", %s", name);
	for (uint32_t vector = 0; vector < 256; vector++) {
		if (get(state, from + vector / 32 * 0x10) >> vector % 32 & 1) {
			fprintf(to, " %#x", vector);
			any = true;
		}
	}
	if (!any)
		fputs(" empty", to);
}

static void print_registers(struct boot_vcpu *v, FILE *to)
{
	struct kvm_regs regs;
	struct kvm_sregs sregs;

	if (ioctl(v->fd, KVM_GET_REGS, &regs) < 0 || ioctl(v->fd, KVM_GET_SREGS, &sregs) < 0)
		return;
	fprintf(to, " at rip %#llx, cs %#x (base %#llx)", (unsigned long long)regs.rip,
		sregs.cs.selector, (unsigned long long)sregs.cs.base);
	fprintf(to, ", interrupts %s", regs.rflags & RFLAGS_IF ? "on" : "off");
}

static void print_events(struct boot_vcpu *v, FILE *to)
{
	struct kvm_vcpu_events events;

	if (ioctl(v->fd, KVM_GET_VCPU_EVENTS, &events) < 0)
		return;
	if (events.interrupt.injected)
		fprintf(to, ", vector %#x on its way in", events.interrupt.nr);
	if (events.nmi.pending || events.nmi.injected)
		fputs(", an NMI pending", to);
	if (events.nmi.masked)
		fputs(", NMIs blocked", to);
}

static void print_vcpu(struct boot_vcpu *v, FILE *to)
{
	struct kvm_lapic_state state;

	fprintf(to, "  vCPU %u: %s", v->index, mode_of(v));
	print_registers(v, to);
	print_events(v, to);
	if (!vmirq_vcpu_get_lapic(v->vcpu, &state)) {
		print_vectors(&state, APIC_IRR, "IRR", to);
		print_vectors(&state, APIC_ISR, "ISR", to);
		fprintf(to, ", TPR %#x, SVR %#x", get(&state, APIC_TPR), get(&state, APIC_SVR));
	}
	fputc('\n', to);
	boot_chips_report(v, to);
}

static void print_pic(struct boot *boot, uint32_t chip, const char *name, FILE *to)
{
	struct kvm_irqchip state = { .chip_id = chip };
	const struct kvm_pic_state *pic = &state.chip.pic;

	if (!vmirq_vm_get_irqchip(boot->vm, &state))
		fprintf(to, "  8259 %s: IRR %#x, ISR %#x, IMR %#x\n", name, pic->irr, pic->isr,
			pic->imr);
}

/* Of pins only those that wait for something. */
static void print_ioapic(struct boot *boot, FILE *to)
{
	struct kvm_irqchip state = { .chip_id = KVM_IRQCHIP_IOAPIC };
	const struct kvm_ioapic_state *ioapic = &state.chip.ioapic;

	if (vmirq_vm_get_irqchip(boot->vm, &state))
		return;
	fprintf(to, "  IOAPIC: IRR %#x", ioapic->irr);
	for (uint32_t pin = 0; pin < KVM_IOAPIC_NUM_PINS; pin++)
		if (ioapic->redirtbl[pin].fields.remote_irr || (ioapic->irr >> pin & 1))
			fprintf(to, ", pin %u: %#" PRIx64, pin,
				(uint64_t)ioapic->redirtbl[pin].bits);
	fputc('\n', to);
}

void boot_report(struct boot *boot, FILE *to)
{
	fprintf(to, "%s\n", boot->why);
	for (uint32_t i = 0; i < boot->config.vcpus; i++)
		print_vcpu(&boot->vcpus[i], to);
	print_pic(boot, KVM_IRQCHIP_PIC_MASTER, "master", to);
	print_pic(boot, KVM_IRQCHIP_PIC_SLAVE, "slave", to);
	print_ioapic(boot, to);
}
