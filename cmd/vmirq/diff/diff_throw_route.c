// SPDX-License-Identifier: MIT
/* routing and irqfd: tables good and bad, lines and eventfds that go by them. */
#include <string.h>

#include "diff_area.h"
#include "diff_lapic.h"
#include "diff_op.h"

#define GSIS	 40u
#define FAR_GSIS 3u
/* KVM_IRQ_ROUTING_*: 3 to 5 are other architectures', 0 nobody's. */
static const uint32_t types[] = { 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 0, 3, 4, 5, 6, 0xffffffff };

static uint32_t gsi_number(uint32_t index)
{
	static const uint32_t far[FAR_GSIS] = { 255, 1023, 4095 };

	return index < GSIS ? index : far[index - GSIS];
}

static uint32_t throw_gsi_index(struct thrower *t)
{
	return dice_one_in(&t->dice, 10) ? GSIS + dice_below(&t->dice, FAR_GSIS)
					 : dice_below(&t->dice, GSIS);
}

static void throw_msi_fields(struct thrower *t, struct op *op)
{
	/* Logical, or lowest priority, or neither: what both do is compared in msi. */
	static const uint32_t how[] = { 0, 4, 8, 0, 4 };
	uint32_t dest = throw_destination(t), mode = dice_pick(&t->dice, how);

	op->arg[3] = 0xfee00000u | (dest & 0xff) << 12 | mode;
	op->arg[4] = t->script->ids_32bit ? dest & ~0xffu : 0;
	op->arg[5] = throw_vector(t) | (mode != 4 && dice_one_in(&t->dice, 6) ? 1u << 8 : 0) |
		     (dice_one_in(&t->dice, 4) ? 1u << 15 : 0) |
		     (dice_one_in(&t->dice, 2) ? 1u << 14 : 0);
}

/* By another GSI of this table. In the kernel the last one to speak has the pin; soft holds it while
 * any of them is high. */
static bool is_taken(struct thrower *t, const struct op *op)
{
	uint32_t *gsi = &t->pin_gsi[op->arg[3] % 4][op->arg[4] % 26];
	bool taken = *gsi && *gsi != op->arg[0] + 1;

	*gsi = (uint32_t)op->arg[0] + 1;
	return taken;
}

static void throw_entry(struct thrower *t, bool hostile)
{
	struct dice *dice = &t->dice;
	struct op op = { .kind = OP_ROUTE };

	op.arg[0] = gsi_number(throw_gsi_index(t));
	op.arg[1] = hostile ? dice_pick(dice, types) : 1 + dice_below(dice, 2);
	if (hostile && dice_one_in(dice, 6))
		op.arg[2] = dice_one_in(dice, 2) ? 1 : dice_roll(dice) & 0xffffffff;
	if (op.arg[1] == 1) {
		op.arg[3] = dice_below(dice, hostile ? 4 : 3);
		op.arg[4] = dice_below(dice, hostile ? 26 : 24);
		if (!hostile && op.arg[3] < 2)
			op.arg[4] %= 8;
	}
	if (op.arg[1] == 1 && is_taken(t, &op))
		op.arg[1] = 2;
	if (op.arg[1] != 1) {
		throw_msi_fields(t, &op);
		if (hostile && dice_one_in(dice, 6))
			op.arg[4] = dice_roll(dice) & 0xffffffff;
	}
	throw_op(t, &op);
}

/* t->memory: lines that are high. A level that stands while its route changes goes with its GSI in
 * soft, and stays with its pin in the kernel. */
void throw_lower_lines(struct thrower *t)
{
	for (uint32_t i = 0; i < GSIS + FAR_GSIS; i++)
		if (t->memory & UINT64_C(1) << i)
			throw_op(t, &(struct op){ .kind = OP_LINE, .arg = { gsi_number(i), 0 } });
	t->memory = 0;
}

static void throw_table(struct thrower *t)
{
	uint32_t n = dice_below(&t->dice, 12);
	bool hostile = dice_one_in(&t->dice, 3);

	throw_lower_lines(t);
	memset(t->pin_gsi, 0, sizeof(t->pin_gsi));
	for (uint32_t i = 0; i < n; i++)
		throw_entry(t, hostile && dice_one_in(&t->dice, 3));
	throw_op(t, &(struct op){ .kind = OP_COMMIT });
}

static void throw_line(struct thrower *t)
{
	uint32_t index = throw_gsi_index(t);
	bool level = dice_one_in(&t->dice, 2);

	if (level)
		t->memory |= UINT64_C(1) << index;
	else
		t->memory &= ~(UINT64_C(1) << index);
	throw_op(t, &(struct op){ .kind = OP_LINE, .arg = { gsi_number(index), level } });
}

static void throw_clear(struct thrower *t)
{
	throw_op(t, &(struct op){ .kind = OP_LAPIC_SET,
				  .arg = { dice_below(&t->dice, SIDE_VCPUS),
					   LAPIC_IRR + dice_below(&t->dice, 8) * 0x10, 0, 0 } });
}

static void throw_routing(struct thrower *t)
{
	uint32_t what = dice_below(&t->dice, 20);

	if (dice_one_in(&t->dice, 4))
		throw_hostile(t);
	else if (what < 8)
		throw_table(t);
	else if (what < 18)
		throw_line(t);
	else
		throw_clear(t);
}

const struct area area_routing = {
	.name = "routing",
	.split_too = true,
	.chips = true,
	.begin = throw_addressing,
	.throw = throw_routing,
};

/* fd 7 and above are no eventfds; see open_fds(). */
static void throw_irqfd_call(struct thrower *t)
{
	struct dice *dice = &t->dice;
	uint32_t fd = dice_one_in(dice, 8) ? 7 + dice_below(dice, 3) : dice_below(dice, 7);
	uint64_t flags = dice_below(dice, 2);

	/* RESAMPLE is for deassign only, which ignores it: soft has no resampling yet. */
	if (flags && dice_one_in(dice, 8))
		flags |= 2;
	if (dice_one_in(dice, 12))
		flags |= 1u << (2 + dice_below(dice, 30));
	throw_op(t, &(struct op){ .kind = OP_IRQFD,
				  .arg = { fd, dice_below(dice, 8), flags,
					   dice_one_in(dice, 6) ? 7 + dice_below(dice, 3)
								: dice_below(dice, 7) } });
}

/* GSIs few, so that irqfds, routes and signals meet. */
static void throw_small_table(struct thrower *t)
{
	for (uint32_t gsi = 0; gsi < 8; gsi++) {
		struct op op = { .kind = OP_ROUTE, .arg = { gsi, 2 } };

		if (dice_one_in(&t->dice, 4))
			continue;
		throw_msi_fields(t, &op);
		throw_op(t, &op);
	}
	throw_op(t, &(struct op){ .kind = OP_COMMIT });
}

static void throw_irqfd(struct thrower *t)
{
	struct dice *dice = &t->dice;
	uint32_t what = dice_below(dice, 40);

	if (dice_one_in(dice, 4))
		throw_hostile(t);
	else if (dice_one_in(dice, 100)) {
		throw_resample(t);
		throw_small_table(t);
	} else if (what < 1)
		throw_small_table(t);
	else if (what < 14)
		throw_irqfd_call(t);
	else if (what < 30)
		throw_op(t,
			 &(struct op){ .kind = OP_EVENTFD_WRITE,
				       .arg = { dice_below(dice, 7), 1 + dice_below(dice, 3) } });
	else if (what < 34)
		throw_op(t,
			 &(struct op){ .kind = OP_EVENTFD_READ, .arg = { dice_below(dice, 7) } });
	else
		throw_clear(t);
}

static void begin_irqfd(struct thrower *t)
{
	throw_addressing(t);
	throw_small_table(t);
}

const struct area area_irqfd = {
	.name = "irqfd",
	.split_too = true,
	.chips = true,
	.begin = begin_irqfd,
	.throw = throw_irqfd,
};
