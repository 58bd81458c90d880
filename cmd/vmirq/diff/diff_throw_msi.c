// SPDX-License-Identifier: MIT
/* msi: messages of every form, while the guest moves the destinations about. */
#include "diff_area.h"
#include "diff_lapic.h"
#include "diff_op.h"

static void throw_move(struct thrower *t)
{
	struct dice *dice = &t->dice;

	t->vcpu = dice_below(dice, SIDE_VCPUS);
	switch (dice_below(dice, 4)) {
	case 0:
		throw_lapic_write(t, LAPIC_SVR, dice_one_in(dice, 3) ? 0xff : 0x1ff);
		break;
	case 1:
		throw_lapic_write(t, LAPIC_LDR, dice_roll(dice));
		break;
	case 2:
		throw_lapic_write(t, LAPIC_DFR, dice_one_in(dice, 2) ? 0xffffffff : 0);
		break;
	default:
		if (dice_one_in(dice, 8))
			throw_lapic_write(t, LAPIC_ID, throw_own_id(t));
		break;
	}
}

/* What is pending would otherwise be everything after a while. */
static void throw_clear(struct thrower *t)
{
	uint32_t reg = LAPIC_IRR + dice_below(&t->dice, 8) * 0x10;

	throw_op(t, &(struct op){ .kind = OP_LAPIC_SET,
				  .arg = { dice_below(&t->dice, SIDE_VCPUS), reg, 0, 0 } });
}

static void throw_message(struct thrower *t)
{
	uint32_t what = dice_below(&t->dice, 20);

	if (what < 15)
		throw_msi(t, true);
	else if (what < 17)
		throw_clear(t);
	else if (what < 19)
		throw_move(t);
	else
		throw_preset(t);
}

const struct area area_msi = {
	.name = "msi",
	.split_too = true,
	.begin = throw_addressing,
	.throw = throw_message,
};
