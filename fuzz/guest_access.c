/* SPDX-License-Identifier: MIT */
/* What a guest writes and reads, and what a VMM restores. */
#include <errno.h>
#include <string.h>

#include "check.h"
#include "guest.h"

#define APIC_PAGE UINT64_C(0xfee00000)
#define ENABLED	  (1u << 11)
#define X2APIC	  (1u << 10)
#define TMR	  0x180u
#define IRR	  0x200u
#define LVT_TIMER 0x320u
#define TMCCT	  0x390u

static bool in_x2apic(const struct cpu *cpu)
{
	return (vmirq_vcpu_apic_base(cpu->vcpu) & (ENABLED | X2APIC)) == (ENABLED | X2APIC);
}

void guest_put_register(struct cpu *cpu, uint32_t reg, uint32_t value)
{
	uint64_t page = vmirq_vcpu_apic_base(cpu->vcpu) & ~UINT64_C(0xfff);

	/* Either may be refused: by the mode, or by what the register takes. */
	if (in_x2apic(cpu))
		vmirq_vcpu_wrmsr(cpu->vcpu, 0x800 + reg / 16, value);
	else
		vmirq_vcpu_mmio(cpu->vcpu, page + reg, &value, 4, true);
}

void guest_mmio(struct cpu *cpu, struct stream *s)
{
	uint8_t flags = take8(s), room[32];
	uint64_t gpa = vmirq_vcpu_apic_base(cpu->vcpu) & ~UINT64_C(0xfff);
	uint32_t len;
	int error;

	gpa = flags & 2 ? take64(s) : gpa + take16(s);
	len = take8(s) % (sizeof(room) + 1);
	take_bytes(s, room, flags & 1 ? 8 : 0);
	memset(room + (flags & 1 ? 8 : 0), 0xa5, sizeof(room) - (flags & 1 ? 8 : 0));
	/* At the end of its room, so that AddressSanitizer sees an access past it. */
	memmove(room + sizeof(room) - len, room, len < 8 ? len : 8);
	error = vmirq_vcpu_mmio(cpu->vcpu, gpa, room + sizeof(room) - len, len, flags & 1);
	check(!error || error == -ENOENT);
}

/* Those that are ours, those of any APIC, or any. */
static uint32_t take_msr_number(struct stream *s)
{
	uint8_t flags = take8(s);

	switch (flags & 3) {
	case 0:
		return 0x800u + take8(s);
	case 1:
		return 0x1b;
	case 2:
		return 0x6e0;
	default:
		return take32(s);
	}
}

void guest_rdmsr(struct cpu *cpu, struct stream *s)
{
	uint64_t value;
	int error = vmirq_vcpu_rdmsr(cpu->vcpu, take_msr_number(s), &value);

	check(!error || error == -ENOENT || error == -EINVAL);
}

void guest_wrmsr(struct cpu *cpu, struct stream *s)
{
	uint32_t msr = take_msr_number(s);
	int error = vmirq_vcpu_wrmsr(cpu->vcpu, msr, take64(s));

	check(!error || error == -ENOENT || error == -EINVAL);
}

void guest_apic_base(struct cpu *cpu, struct stream *s)
{
	uint64_t bits = take8(s) & 0xd;
	uint8_t flags = take8(s);
	uint64_t value = (flags & 2 ? (uint64_t)take32(s) << 12 : APIC_PAGE) | bits << 8;

	if (flags & 4)
		value ^= take64(s);
	if (flags & 1)
		vmirq_vcpu_set_apic_base_state(cpu->vcpu, value);
	else
		vmirq_vcpu_set_apic_base(cpu->vcpu, value);
}

void guest_ipi(struct cpu *cpu, struct stream *s)
{
	uint32_t low = take32(s), dest = take32(s);

	if (in_x2apic(cpu)) {
		vmirq_vcpu_wrmsr(cpu->vcpu, 0x830, (uint64_t)dest << 32 | low);
	} else {
		guest_put_register(cpu, 0x310, dest << 24);
		guest_put_register(cpu, 0x300, low);
	}
}

void guest_msi(struct machine *m, struct stream *s)
{
	struct kvm_msi message = take_msi(s);
	enum vmirq_verdict verdict = VMIRQ_VERDICTS;
	int accepted = vmirq_msi_send_verdict(m->vm, &message, &verdict);

	check(accepted >= 0 || accepted == -EINVAL);
	if (accepted < 0)
		return;
	check(accepted <= (int)MACHINE_VCPUS && verdict < VMIRQ_VERDICTS);
	m->messages++;
}

/* A one-shot that has run out comes again where it is loaded, as in the kernel. */
static void forget_timer(struct kvm_lapic_state *state)
{
	static const uint32_t sets[] = { TMR, IRR };
	uint8_t vector = (uint8_t)state->regs[LVT_TIMER];

	for (size_t i = 0; i < sizeof(sets) / sizeof(sets[0]); i++) {
		char *byte = &state->regs[sets[i] + vector / 32u * 16 + vector / 8u % 4];

		*byte = (char)(*byte & ~(1u << vector % 8u));
	}
	/* Below a whole count of a periodic timer a load starts it anew. */
	memset(state->regs + TMCCT, 0, 4);
}

void guest_save_load(struct cpu *cpu)
{
	struct kvm_lapic_state saved, again;

	check(!vmirq_vcpu_get_lapic(cpu->vcpu, &saved));
	check(!vmirq_vcpu_set_lapic(cpu->vcpu, &saved));
	check(!vmirq_vcpu_get_lapic(cpu->vcpu, &again));
	forget_timer(&saved);
	forget_timer(&again);
	check(!memcmp(&saved, &again, sizeof(saved)));
}

void guest_set_lapic(struct cpu *cpu, struct stream *s)
{
	struct kvm_lapic_state state, before, after;
	uint8_t flags = take8(s);

	check(!vmirq_vcpu_get_lapic(cpu->vcpu, &before));
	state = before;
	if (flags & 1)
		memset(&state, 0, sizeof(state));
	take_patches(s, state.regs, sizeof(state.regs));
	if (!vmirq_vcpu_set_lapic(cpu->vcpu, &state))
		return;
	/* Refused, it has changed nothing. */
	check(!vmirq_vcpu_get_lapic(cpu->vcpu, &after));
	check(!memcmp(&before, &after, sizeof(before)));
}

void guest_mp_state(struct cpu *cpu, struct stream *s)
{
	struct kvm_mp_state state;

	check(!vmirq_vcpu_get_mp_state(cpu->vcpu, &state));
	check(!vmirq_vcpu_set_mp_state(cpu->vcpu, &state));
	state.mp_state = take8(s);
	vmirq_vcpu_set_mp_state(cpu->vcpu, &state);
}
