// SPDX-License-Identifier: MIT
/* lapic: every register in every way, IPIs, EOI of what was preset, modes, timers. */
#include "diff_area.h"
#include "diff_lapic.h"
#include "diff_op.h"

static const uint32_t registers[] = {
	LAPIC_ID,
	LAPIC_VERSION,
	LAPIC_TPR,
	LAPIC_APR,
	LAPIC_PPR,
	LAPIC_EOI,
	LAPIC_RRD,
	LAPIC_LDR,
	LAPIC_DFR,
	LAPIC_SVR,
	LAPIC_ISR,
	LAPIC_ISR + 0x30,
	LAPIC_TMR,
	LAPIC_TMR + 0x20,
	LAPIC_IRR,
	LAPIC_IRR + 0x10,
	LAPIC_IRR + 0x70,
	LAPIC_ESR,
	LAPIC_CMCI,
	LAPIC_ICR,
	LAPIC_ICR2,
	LAPIC_LVTT,
	LAPIC_LVTT + 0x10,
	LAPIC_LVTT + 0x20,
	LAPIC_LVT_LINT0,
	LAPIC_LVTT + 0x40,
	LAPIC_LVT_ERROR,
	LAPIC_TMICT,
	LAPIC_TMCCT,
	LAPIC_TDCR,
	LAPIC_SELF_IPI,
	0x000,
	0x040,
	0x3a0,
};

/* A CPU that gets an INIT or an SMI while it runs the puppet is lost: only others get them. */
static uint32_t tame_icr(uint32_t icr)
{
	uint32_t mode = icr >> 8 & 7;

	return mode == 2 || mode == 5 ? icr | 3u << 18 : icr;
}

/* Nor from its own LVT. And what the kernel's timer does in the reserved mode depends on its past. */
static uint32_t tame_lvt(uint32_t value)
{
	uint32_t mode = value >> 8 & 7;

	if (mode == 2 || mode == 5)
		value &= ~0x700u;
	return (value >> 17 & 3) == 3 ? value & ~(1u << 17) : value;
}

/* Flat or cluster: the 14 other models are reserved, and the kernel takes them for either. */
static uint32_t tame_dfr(uint32_t value)
{
	return value & 1u << 31 ? value | 0xf0000000u : value & 0x0fffffffu;
}

static uint32_t throw_icr(struct thrower *t)
{
	struct dice *dice = &t->dice;
	uint32_t icr = throw_vector(t) | dice_below(dice, 2) << 11;

	if (dice_one_in(dice, 3))
		icr |= dice_below(dice, 8) << 8;
	if (!dice_one_in(dice, 4))
		icr |= 1u << 14;
	if (dice_one_in(dice, 4))
		icr |= 1u << 15;
	if (dice_one_in(dice, 2))
		icr |= dice_below(dice, 4) << 18;
	if (dice_one_in(dice, 16))
		icr |= 1u << (12 + dice_below(dice, 20));
	return tame_icr(icr);
}

static void throw_ipi(struct thrower *t)
{
	uint32_t icr = throw_icr(t), dest = throw_destination(t);

	if (t->x2apic[t->vcpu]) {
		throw_lapic_write(t, LAPIC_ICR, icr | (uint64_t)dest << 32);
		return;
	}
	if (!dice_one_in(&t->dice, 4))
		throw_lapic_write(t, LAPIC_ICR2, dest << 24);
	throw_lapic_write(t, LAPIC_ICR, icr);
}

static void throw_lvt(struct thrower *t)
{
	uint32_t reg = LAPIC_LVTT + dice_below(&t->dice, 6) * 0x10;
	uint32_t value = (uint32_t)dice_roll(&t->dice) & 0x7f7ff;

	throw_lapic_write(t, reg, tame_lvt(dice_one_in(&t->dice, 4) ? value : value | 1u << 16));
}

static void throw_timer(struct thrower *t)
{
	static const uint32_t modes[] = { 0, 1u << 17, 2u << 17 };
	struct dice *dice = &t->dice;
	uint32_t count = LONG_COUNT | (uint32_t)dice_roll(dice);

	switch (dice_below(dice, 6)) {
	case 0:
		throw_lapic_write(t, LAPIC_TMICT, dice_one_in(dice, 4) ? 0 : count);
		break;
	case 1:
		throw_lapic_write(t, LAPIC_TDCR, dice_below(dice, 16));
		break;
	case 2:
		throw_lapic_write(t, LAPIC_LVTT,
				  dice_pick(dice, modes) | throw_vector(t) |
					  dice_below(dice, 2) << 16);
		break;
	case 3:
		/* Never, or none at all. */
		throw_guest(t, OP_WRMSR, 8, MSR_TSC_DEADLINE,
			    dice_one_in(dice, 4) ? 0 : UINT64_C(1) << 62 | dice_roll(dice) >> 8);
		break;
	case 4:
		throw_guest(t, OP_RDMSR, 8, MSR_TSC_DEADLINE, 0);
		break;
	default:
		throw_lapic_read(t, LAPIC_TMCCT);
		break;
	}
}

/* A timer that runs out: at once, for all we can see of it. */
static void throw_expiry(struct thrower *t)
{
	bool deadline = dice_one_in(&t->dice, 3);

	throw_lapic_write(t, LAPIC_LVTT,
			  (16 + dice_below(&t->dice, 240)) | (deadline ? 2u << 17 : 0) |
				  (dice_one_in(&t->dice, 4) ? 1u << 16 : 0));
	if (deadline) {
		throw_guest(t, OP_WRMSR, 8, MSR_TSC_DEADLINE, 1);
	} else {
		throw_lapic_write(t, LAPIC_TDCR, dice_below(&t->dice, 16));
		throw_lapic_write(t, LAPIC_TMICT, 1 + dice_below(&t->dice, 1000));
	}
	throw_lapic_read(t, LAPIC_TMCCT);
	throw_lapic_read(t, LAPIC_TMICT);
	throw_guest(t, OP_RDMSR, 8, MSR_TSC_DEADLINE, 0);
}

static void throw_any_write(struct thrower *t)
{
	uint32_t reg = dice_pick(&t->dice, registers);
	uint32_t value = (uint32_t)dice_roll(&t->dice);

	if (dice_one_in(&t->dice, 3))
		value &= 0xff;
	if (reg == LAPIC_ID)
		value = throw_own_id(t);
	else if (reg == LAPIC_DFR)
		value = tame_dfr(value);
	else if (reg == LAPIC_ICR)
		value = tame_icr(value);
	else if (reg >= LAPIC_LVTT && reg <= LAPIC_LVT_ERROR)
		value = tame_lvt(value);
	else if (reg == LAPIC_TMICT && value)
		value |= LONG_COUNT;
	throw_lapic_write(t, reg, value);
}

/* Widths and offsets that no register has, and the way of the other mode. */
static void throw_odd_access(struct thrower *t)
{
	static const uint32_t widths[] = { 1, 2, 4, 8 };
	struct dice *dice = &t->dice;
	uint32_t width = dice_pick(dice, widths);
	uint32_t offset = dice_pick(dice, registers) + dice_below(dice, 16);

	switch (dice_below(dice, 5)) {
	case 0:
		throw_guest(t, OP_READ, width, LAPIC_GPA + offset, 0);
		break;
	case 1:
		/* A whole register is written by others, who know which values are harmless. */
		if (width == 4 && !(offset & 0xf))
			offset += 4;
		throw_guest(t, OP_WRITE, width, LAPIC_GPA + offset, dice_roll(dice));
		break;
	case 2:
		throw_guest(t, OP_READ, 4, LAPIC_GPA + (dice_below(dice, 4096 - 8) & ~3u), 0);
		break;
	case 3:
		throw_guest(t, OP_RDMSR, 8, MSR_X2APIC + dice_below(dice, 256), 0);
		break;
	default:
		/* High bits and a 0 where they are reserved: no ICR, no counter. */
		throw_guest(t, OP_WRMSR, 8, MSR_X2APIC + LAPIC_TPR / 0x10 + dice_below(dice, 8),
			    dice_roll(dice) >> dice_below(dice, 60));
		break;
	}
}

static void throw_mode(struct thrower *t)
{
	static const uint32_t modes[] = { 0, APIC_ENABLED, APIC_ENABLED | APIC_X2APIC,
					  APIC_X2APIC };
	uint32_t mode = dice_pick(&t->dice, modes), bsp = t->vcpu == 0 ? APIC_BSP : 0;
	uint32_t reserved = dice_one_in(&t->dice, 8) ? 1u << dice_below(&t->dice, 10) : 0;

	reserved &= ~(uint32_t)APIC_BSP;
	throw_guest(t, OP_WRMSR, 8, MSR_APIC_BASE, LAPIC_GPA | mode | bsp | reserved);
	if (reserved || mode == APIC_X2APIC)
		return;
	/* Whether it was taken is for the irqchips to know; x2APIC is most often the end. */
	t->x2apic[t->vcpu] = mode == (APIC_ENABLED | APIC_X2APIC);
	throw_guest(t, OP_RDMSR, 8, MSR_APIC_BASE, 0);
	/* The states are compared before anything else is done in the new mode. */
	throw_op(t, &(struct op){ .kind = OP_WAIT, .arg = { 0 } });
}

static void throw_write(struct thrower *t)
{
	struct dice *dice = &t->dice;

	switch (dice_below(dice, 12)) {
	case 0:
	case 1:
		throw_lapic_write(t, LAPIC_TPR, dice_below(dice, 256));
		break;
	case 2:
	case 3:
	case 4:
		throw_lapic_write(t, LAPIC_EOI, 0);
		break;
	case 5:
		throw_lapic_write(t, LAPIC_SVR,
				  dice_one_in(dice, 3) ? dice_below(dice, 0x2000) : 0x1ff);
		break;
	case 6:
		throw_lapic_write(t, LAPIC_LDR, dice_roll(dice));
		if (dice_one_in(dice, 4))
			throw_lapic_write(t, LAPIC_DFR, tame_dfr((uint32_t)dice_roll(dice)));
		break;
	case 7:
		throw_lvt(t);
		break;
	case 8:
		throw_guest(t, OP_WRITE_CR8, 8, 0, dice_below(dice, 17));
		break;
	case 9:
		throw_lapic_write(t, LAPIC_ESR, 0);
		break;
	case 10:
		throw_lapic_write(t, LAPIC_SELF_IPI, 16 + dice_below(dice, 240));
		break;
	default:
		throw_any_write(t);
		break;
	}
}

static void throw_call(struct thrower *t)
{
	switch (dice_below(&t->dice, 8)) {
	case 0:
		throw_op(t, &(struct op){ .kind = OP_LAPIC_CROSS,
					  .arg = { dice_below(&t->dice, SIDE_VCPUS) } });
		break;
	case 1:
	case 2:
		throw_msi(t, false);
		break;
	default:
		throw_preset(t);
		break;
	}
}

static void throw_lapic(struct thrower *t)
{
	uint32_t what = dice_below(&t->dice, 100);

	if (dice_one_in(&t->dice, 12))
		t->vcpu = dice_below(&t->dice, SIDE_VCPUS);
	if (what < 30)
		throw_lapic_read(t, dice_pick(&t->dice, registers));
	else if (what < 60)
		throw_write(t);
	else if (what < 75)
		throw_ipi(t);
	else if (what < 83)
		throw_call(t);
	else if (what < 88)
		throw_timer(t);
	else if (what < 93)
		throw_odd_access(t);
	else if (what < 97)
		throw_guest(t, OP_READ_CR8, 8, 0, 0);
	else if (dice_one_in(&t->dice, 10))
		throw_expiry(t);
	else if (dice_one_in(&t->dice, 3))
		throw_mode(t);
}

const struct area area_lapic = {
	.name = "lapic",
	.split_too = true,
	.begin = throw_addressing,
	.throw = throw_lapic,
};
