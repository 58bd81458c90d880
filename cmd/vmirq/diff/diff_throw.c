// SPDX-License-Identifier: MIT
/* What several areas throw. */
#include "diff_area.h"
#include "diff_lapic.h"
#include "diff_op.h"

void throw_op(struct thrower *t, const struct op *op)
{
	if (!t->no_memory && script_add(t->script, op))
		t->no_memory = true;
}

void throw_guest(struct thrower *t, int kind, uint32_t width, uint64_t at, uint64_t value)
{
	throw_op(t,
		 &(struct op){ .kind = (enum op_kind)kind, .arg = { t->vcpu, width, at, value } });
}

void throw_lapic_read(struct thrower *t, uint32_t reg)
{
	if (t->x2apic[t->vcpu])
		throw_guest(t, OP_RDMSR, 8, MSR_X2APIC + reg / 0x10, 0);
	else
		throw_guest(t, OP_READ, 4, LAPIC_GPA + reg, 0);
}

void throw_lapic_write(struct thrower *t, uint32_t reg, uint64_t value)
{
	if (t->x2apic[t->vcpu])
		throw_guest(t, OP_WRMSR, 8, MSR_X2APIC + reg / 0x10, value);
	else
		throw_guest(t, OP_WRITE, 4, LAPIC_GPA + reg, (uint32_t)value);
}

uint32_t throw_vector(struct thrower *t)
{
	static const uint32_t edges[] = { 0, 15, 16, 31, 32, 255 };

	return dice_one_in(&t->dice, 8) ? dice_pick(&t->dice, edges)
					: 16 + dice_below(&t->dice, 240);
}

uint32_t throw_destination(struct thrower *t)
{
	static const uint32_t often[] = { 0xff, 0, 1, 2, 4, 3, 7, 0x0f, 0x10, 0x11, 0x1f, 0xf0 };

	switch (dice_below(&t->dice, 8)) {
	case 0:
		return dice_below(&t->dice, 256);
	case 1:
	case 2:
	case 3:
		return t->script->apic_id[dice_below(&t->dice, SIDE_VCPUS)];
	default:
		return dice_pick(&t->dice, often);
	}
}

/* No two the same: whom the kernel finds then depends on its past. */
uint32_t throw_own_id(struct thrower *t)
{
	return (0x20 + t->vcpu * 0x40 + dice_below(&t->dice, 0x40)) << 24;
}

void throw_addressing(struct thrower *t)
{
	struct dice *dice = &t->dice;

	for (t->vcpu = 0; t->vcpu < SIDE_VCPUS; t->vcpu++) {
		if (dice_one_in(dice, 4) || t->script->apic_id[t->vcpu] > 255) {
			throw_guest(t, OP_WRMSR, 8, MSR_APIC_BASE,
				    LAPIC_GPA | APIC_ENABLED | APIC_X2APIC |
					    (t->vcpu == 0 ? APIC_BSP : 0));
			t->x2apic[t->vcpu] = true;
		} else {
			static const uint32_t flat_or_cluster[] = { 0xffffffff, 0xffffffff,
								    0x0fffffff };

			throw_lapic_write(t, LAPIC_DFR, dice_pick(dice, flat_or_cluster));
			throw_lapic_write(t, LAPIC_LDR,
					  dice_one_in(dice, 2)
						  ? 1u << (24 + t->vcpu)
						  : (uint32_t)dice_below(dice, 256) << 24);
		}
		if (!dice_one_in(dice, 8))
			throw_lapic_write(t, LAPIC_SVR, 0x1ff);
	}
	t->vcpu = 0;
}

void throw_msi(struct thrower *t, bool hostile)
{
	struct dice *dice = &t->dice;
	uint32_t dest = throw_destination(t);
	uint64_t lo = 0xfee00000u | (dest & 0xff) << 12 | (dice_roll(dice) & 0xc);
	uint64_t hi = t->script->ids_32bit && !dice_one_in(dice, 4) ? dest & ~0xffu : 0;
	uint64_t data = throw_vector(t) | (dice_one_in(dice, 3) ? dice_below(dice, 8) << 8 : 0) |
			(dice_one_in(dice, 3) ? 1u << 15 : 0) |
			(dice_one_in(dice, 2) ? 1u << 14 : 0);
	uint64_t flags = 0;

	if (hostile && dice_one_in(dice, 8))
		lo = dice_roll(dice) & 0xffffffff;
	if (hostile && dice_one_in(dice, 8))
		hi = dice_roll(dice) & 0xffffffff;
	if (hostile && dice_one_in(dice, 8))
		data = dice_roll(dice) & 0xffffffff;
	if (hostile && dice_one_in(dice, 8))
		flags = dice_one_in(dice, 2) ? 1 : dice_roll(dice) & 0xffffffff;
	throw_op(t, &(struct op){ .kind = OP_MSI, .arg = { lo, hi, data, flags } });
}

void throw_preset(struct thrower *t)
{
	static const uint32_t sets[] = { LAPIC_ISR, LAPIC_ISR, LAPIC_IRR, LAPIC_TMR };
	uint32_t vector = 16 + dice_below(&t->dice, 240);
	uint32_t reg = dice_pick(&t->dice, sets) + vector / 32 * 0x10;
	uint32_t bit = 1u << vector % 32;
	bool on = !dice_one_in(&t->dice, 4);

	throw_op(t, &(struct op){ .kind = OP_LAPIC_SET,
				  .arg = { dice_below(&t->dice, SIDE_VCPUS), reg, (uint32_t)~bit,
					   on ? bit : 0 } });
}
