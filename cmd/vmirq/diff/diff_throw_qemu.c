// SPDX-License-Identifier: MIT
/* ioapic and pic against QEMU: registers, ports and lines; see diff_qemu.h. */
#include "diff_area.h"
#include "diff_op.h"
#include "diff_qemu.h"

static void write_ioapic(struct thrower *t, uint32_t index, uint32_t value)
{
	throw_guest(t, OP_WRITE, 4, IOAPIC_GPA + IOAPIC_SELECT, index);
	throw_guest(t, OP_WRITE, 4, IOAPIC_GPA + IOAPIC_WINDOW, value);
}

static void throw_level(struct thrower *t, uint32_t gsi)
{
	throw_op(t, &(struct op){ .kind = OP_LINE, .arg = { gsi, dice_below(&t->dice, 2) } });
}

static void throw_rte(struct thrower *t)
{
	/* CPU 0, or everybody. */
	static const uint32_t dests[] = { 0, 0, 0, 0xff };
	struct dice *dice = &t->dice;
	uint32_t pin = dice_below(dice, 24);
	/* Few, so that an EOI ends more than one. */
	uint32_t vector = dice_one_in(dice, 16) ? throw_vector(t) : 0x30 + dice_below(dice, 8);
	uint32_t low = vector | (dice_one_in(dice, 3) ? 0 : 1u << 15) |
		       (dice_one_in(dice, 4) ? 1u << 16 : 0) |
		       (dice_one_in(dice, 2) ? 1u << 13 : 0);
	uint32_t dest = dice_one_in(dice, 32) ? dice_below(dice, 256) : dice_pick(dice, dests);

	if (dice_one_in(dice, 6))
		low |= dice_below(dice, 8) << 8;
	if (dice_one_in(dice, 8)) {
		low |= RTE_LOGICAL;
		dest |= dice_one_in(dice, 4) ? 0 : QEMU_LDR;
	}
	if (dice_one_in(dice, 16))
		low = (uint32_t)dice_roll(dice);
	t->rte[pin] = low;
	/* What a trigger makes of a line that is high already is known to differ. */
	if (!dice_one_in(dice, 32))
		throw_op(t, &(struct op){ .kind = OP_LINE, .arg = { pin ? pin : 1, 0 } });
	if (!dice_one_in(dice, 4))
		write_ioapic(t, 0x11 + 2 * pin, dest << 24 | (dice_one_in(dice, 8) ? 0x123456 : 0));
	write_ioapic(t, 0x10 + 2 * pin, low);
}

static void throw_ioapic_access(struct thrower *t)
{
	static const uint32_t widths[] = { 1, 2, 4, 4, 4, 4, 8 };
	struct dice *dice = &t->dice;
	uint32_t width = dice_pick(dice, widths);

	switch (dice_below(dice, 5)) {
	case 0:
		throw_guest(t, OP_WRITE, 4, IOAPIC_GPA, dice_below(dice, 0x100));
		throw_guest(t, OP_READ, width, IOAPIC_GPA + IOAPIC_WINDOW, 0);
		break;
	case 1:
		throw_guest(t, OP_READ, 4, IOAPIC_GPA + 4 * dice_below(dice, 0x40), 0);
		break;
	case 2:
		throw_guest(t, OP_WRITE, width, IOAPIC_GPA, dice_roll(dice));
		break;
	case 3:
		write_ioapic(t, dice_below(dice, 3), (uint32_t)dice_roll(dice));
		break;
	default:
		throw_guest(t, OP_WRITE, 4, IOAPIC_GPA + 4 * (17 + dice_below(dice, 40)),
			    dice_roll(dice) & 0xffffffff);
		break;
	}
}

/* QEMU's IOAPIC takes its input 0 for the PC's timer: pin 2. A tick of ours at pin 8, the RTC's, waits
 * for local APICs' EOIs, as in the kernel: nobody makes them. */
static void throw_ioapic_line(struct thrower *t)
{
	uint32_t pin = 1 + dice_below(&t->dice, 23);

	throw_level(t, pin == 8 ? 9 : pin);
}

/* Of a vector that a pin has, or of one that is nearly that. */
static void throw_eoi(struct thrower *t)
{
	uint32_t vector = t->rte[dice_below(&t->dice, 24)] & 0xff;

	if (dice_one_in(&t->dice, 6))
		vector ^= 1u << dice_below(&t->dice, 8);
	throw_guest(t, OP_WRITE, 4, IOAPIC_GPA + IOAPIC_EOI, vector);
}

static void throw_ioapic(struct thrower *t)
{
	struct dice *dice = &t->dice;
	uint32_t what = dice_below(dice, 100);

	if (what < 20)
		throw_rte(t);
	else if (what < 65)
		throw_ioapic_line(t);
	else if (what < 85)
		throw_eoi(t);
	else
		throw_ioapic_access(t);
}

static void begin_ioapic(struct thrower *t)
{
	for (int i = 0; i < 12; i++)
		throw_rte(t);
}

const struct area area_qemu_ioapic = {
	.name = "ioapic",
	.qemu = true,
	.chips = true,
	.begin = begin_ioapic,
	.throw = throw_ioapic,
};

static void throw_pic_init(struct thrower *t)
{
	struct dice *dice = &t->dice;
	uint32_t port = dice_one_in(dice, 2) ? 0x20 : 0xa0;
	uint32_t icw1 = 0x10 | (dice_one_in(dice, 4) ? dice_below(dice, 16) : 1);

	/* Nothing in service: what becomes of that is known to differ. */
	for (uint32_t pin = 0; pin < 8 && !dice_one_in(dice, 40); pin++)
		throw_guest(t, OP_OUT, 1, port, 0x60 | pin);

	throw_guest(t, OP_OUT, 1, port, icw1);
	throw_guest(t, OP_OUT, 1, port + 1, dice_below(dice, 32) * 8);
	throw_guest(t, OP_OUT, 1, port + 1, dice_one_in(dice, 4) ? dice_below(dice, 256) : 4);
	if (icw1 & 1)
		throw_guest(t, OP_OUT, 1, port + 1,
			    dice_one_in(dice, 2) ? 1 : dice_below(dice, 32));
}

/* The INTA cycle that a machine without a CPU has. */
static void throw_poll(struct thrower *t, uint32_t port)
{
	throw_guest(t, OP_OUT, 1, port & ~1u, 0x0c);
	throw_guest(t, OP_IN, 1, port, 0);
	if ((port & ~1u) == 0x20 && !dice_one_in(&t->dice, 12))
		throw_poll(t, 0xa0);
}

/* The master's pin 2 is the slave's to drive. */
static void throw_pic_line(struct thrower *t)
{
	uint32_t pin = dice_below(&t->dice, 16);

	throw_level(t, QEMU_PIC_GSI + (pin == 2 ? 3 : pin));
}

static void throw_pic(struct thrower *t)
{
	static const uint32_t ports[] = { 0x20, 0x21, 0xa0, 0xa1 };
	struct dice *dice = &t->dice;
	uint32_t what = dice_below(dice, 100), port = dice_pick(dice, ports);

	if (what < 2)
		throw_pic_init(t);
	else if (what < 32)
		throw_pic_line(t);
	else if (what < 40)
		throw_guest(t, OP_OUT, 1, port | 1, dice_roll(dice) & dice_roll(dice) & 0xff);
	else if (what < 52)
		throw_guest(t, OP_OUT, 1, port & ~1u,
			    dice_below(dice, 16) | (dice_one_in(dice, 8) ? 0x60 : 0x40));
	else if (what < 66)
		throw_guest(t, OP_OUT, 1, port & ~1u,
			    dice_below(dice, 8) << 5 | dice_below(dice, 8));
	else if (what < 84)
		throw_poll(t, port);
	else if (what < 88)
		throw_guest(t, OP_OUT, 1, 0x4d0 + dice_below(dice, 2), dice_below(dice, 256));
	else
		throw_guest(t, OP_IN, 1, port, 0);
}

static void begin_pic(struct thrower *t)
{
	throw_pic_init(t);
	throw_pic_init(t);
}

const struct area area_qemu_pic = {
	.name = "pic",
	.qemu = true,
	.chips = true,
	.begin = begin_pic,
	.throw = throw_pic,
};
