// SPDX-License-Identifier: MIT
/* Calls that bind, with what nobody means: numbers at and past their ends, descriptors of the wrong
 * kind, flags that do not exist. */
#include "diff_area.h"
#include "diff_op.h"
#include "diff_session.h"

#define TYPE_PIN 1u
#define TYPE_MSI 2u

static uint32_t hostile_gsi(struct thrower *t)
{
	static const uint32_t ends[] = {
		0, 4094, 4095, 4096, 4097, 0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff,
	};

	return dice_pick(&t->dice, ends);
}

/* See open_fds(). */
static uint32_t any_fd(struct thrower *t)
{
	return dice_below(&t->dice, DIFF_FD_TOLD);
}

static uint64_t hostile_flags(struct thrower *t)
{
	switch (dice_below(&t->dice, 6)) {
	case 0:
		return 1u << dice_below(&t->dice, 32);
	case 1:
		return dice_roll(&t->dice) & 0xffffffff;
	default:
		return dice_below(&t->dice, 4);
	}
}

static void throw_hostile_irqfd(struct thrower *t)
{
	struct op op = {
		.kind = dice_one_in(&t->dice, 3) ? OP_IRQFD_ELSEWHERE : OP_IRQFD,
		.arg = { any_fd(t),
			 dice_one_in(&t->dice, 2) ? hostile_gsi(t) : dice_below(&t->dice, 8),
			 hostile_flags(t), any_fd(t) },
	};

	throw_op(t, &op);
}

static void add_entry(struct thrower *t, uint64_t gsi, uint64_t type, uint64_t flags, uint64_t a,
		      uint64_t b)
{
	struct op op = { .kind = OP_ROUTE, .arg = { gsi, type, flags, a, b } };

	/* What becomes of other addresses is compared in msi. */
	if (type == TYPE_MSI) {
		op.arg[3] |= 0xfee00000;
		op.arg[5] = 0x4030;
	}
	throw_op(t, &op);
}

/* One that is wrong, between some that are right. */
static void throw_wrong_entry(struct thrower *t)
{
	struct dice *dice = &t->dice;
	uint32_t gsi = dice_below(dice, 40);

	add_entry(t, 50, TYPE_MSI, 0, 0xfee00000, 0);
	switch (dice_below(dice, 8)) {
	case 0: /* the same chip twice */
		add_entry(t, gsi, TYPE_PIN, 0, dice_below(dice, 3), dice_below(dice, 8));
		add_entry(t, gsi, TYPE_PIN, 0, dice_below(dice, 3), dice_below(dice, 8));
		break;
	case 1: /* a message beside a pin, or the other way round */
		add_entry(t, gsi, 1 + dice_below(dice, 2), 0, dice_below(dice, 3), 0);
		add_entry(t, gsi, 1 + dice_below(dice, 2), 0, dice_below(dice, 3), 0);
		break;
	case 2: /* pins at and past their ends */
		add_entry(t, gsi, TYPE_PIN, 0, dice_below(dice, 4),
			  dice_one_in(dice, 2) ? 7 + dice_below(dice, 2)
					       : 23 + dice_below(dice, 2));
		break;
	case 3: /* no such chip, no such pin */
		add_entry(t, gsi, TYPE_PIN, 0, dice_roll(dice) & 0xffffffff,
			  dice_roll(dice) & 0xffffffff);
		break;
	case 4: /* no such type */
		add_entry(t, gsi, dice_roll(dice) & 0xffffffff, 0, 0, 0);
		break;
	case 5: /* no such flag, or one that the type has not got */
		add_entry(t, gsi, 1 + dice_below(dice, 2), hostile_flags(t), 0, 0);
		break;
	case 6:
		add_entry(t, hostile_gsi(t), TYPE_MSI, 0, 0xfee00000, 0);
		break;
	default: /* with 32-bit ids these bits of address_hi are none */
		add_entry(t, gsi, TYPE_MSI, 0, 0xfee00000, dice_roll(dice) & 0xff);
		break;
	}
	add_entry(t, 51, TYPE_MSI, 0, 0xfee00000, 0);
}

/* As long as may be, and longer; or nothing at all. */
static void throw_long_table(struct thrower *t)
{
	static const uint32_t lengths[] = { 0, 1, 4095, 4096, 4097 };
	uint32_t n = dice_pick(&t->dice, lengths);

	/* The two entries of a GSI, so that no GSI past the limit is needed. */
	if (n == 4097) {
		add_entry(t, 0, TYPE_PIN, 0, 0, 1);
		add_entry(t, 0, TYPE_PIN, 0, 2, 1);
		n = 4095;
	}
	throw_op(t, &(struct op){ .kind = OP_ROUTE_FILL, .arg = { n == 4095, n } });
}

static void throw_hostile_table(struct thrower *t)
{
	throw_lower_lines(t);
	if (dice_one_in(&t->dice, 8))
		throw_long_table(t);
	else
		throw_wrong_entry(t);
	throw_op(t, &(struct op){ .kind = OP_COMMIT });
}

/* Nothing is there to stay high. */
static void throw_hostile_line(struct thrower *t)
{
	static const uint32_t levels[] = { 0, 1, 2, 0x80000000, 0xffffffff };
	static const uint32_t gsis[] = { 4096, 4097, 0x7fffffff, 0x80000000, 0xffffffff };
	uint32_t gsi = dice_pick(&t->dice, gsis), plain = dice_below(&t->dice, 2);

	throw_op(t, &(struct op){ .kind = OP_LINE,
				  .arg = { gsi, dice_pick(&t->dice, levels), plain } });
}

/* KVM API 4.59. */
static void throw_ioeventfd(struct thrower *t)
{
	static const uint64_t addresses[] = { DOORBELL_GPA,  DOORBELL_GPA,   DOORBELL_GPA + 4,
					      DOORBELL_PORT, DOORBELL_PORT,  0,
					      UINT64_MAX,    UINT64_MAX - 7, UINT64_MAX - 3 };
	static const uint64_t lengths[] = { 0, 1, 2, 4, 8, 1, 2, 4, 8, 3, 16, 0xffffffff };
	struct dice *dice = &t->dice;
	/* DATAMATCH, PIO, DEASSIGN; 3 is another architecture's, and what is above nobody's. */
	uint64_t flags = dice_one_in(dice, 10) ? hostile_flags(t) : dice_below(dice, 8);

	throw_op(t, &(struct op){ .kind = OP_IOEVENTFD,
				  .arg = { dice_one_in(dice, 4) ? any_fd(t)
								: dice_below(dice, DIFF_EVENTFDS),
					   addresses[dice_below(dice, 9)],
					   lengths[dice_below(dice, 12)], flags,
					   dice_one_in(dice, 2) ? 1 : dice_roll(dice) } });
}

/* The guest rings; whose eventfd it was is seen when they are read. */
static void throw_doorbell(struct thrower *t)
{
	static const uint32_t widths[] = { 1, 2, 4, 8 };
	uint32_t width = dice_pick(&t->dice, widths);

	if (dice_one_in(&t->dice, 2))
		throw_guest(t, OP_OUT, width == 8 ? 4 : width, DOORBELL_PORT, 1);
	else
		throw_guest(t, OP_WRITE, width, DOORBELL_GPA + (dice_one_in(&t->dice, 4) ? 4 : 0),
			    1);
}

void throw_hostile(struct thrower *t)
{
	switch (dice_below(&t->dice, 8)) {
	case 0:
	case 1:
	case 2:
		throw_hostile_irqfd(t);
		break;
	case 3:
	case 4:
		throw_hostile_table(t);
		break;
	case 5:
		throw_hostile_line(t);
		break;
	case 6:
		throw_msi(t, true);
		break;
	default:
		throw_ioeventfd(t);
		throw_doorbell(t);
		break;
	}
}
