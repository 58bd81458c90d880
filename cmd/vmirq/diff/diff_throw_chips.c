// SPDX-License-Identifier: MIT
/* ioapic, pic, pit: registers and ports, lines, saved states. */
#include "diff_area.h"
#include "diff_lapic.h"
#include "diff_op.h"
#include "diff_session.h"

#define IOAPIC_GPA    0xfec00000u
#define IOAPIC_SELECT 0x00u
#define IOAPIC_WINDOW 0x10u

#define RTC_GSI	      8u

static void write_ioapic(struct thrower *t, uint32_t index, uint32_t value)
{
	throw_guest(t, OP_WRITE, 4, IOAPIC_GPA + IOAPIC_SELECT, index);
	throw_guest(t, OP_WRITE, 4, IOAPIC_GPA + IOAPIC_WINDOW, value);
}

static void throw_rte(struct thrower *t)
{
	struct dice *dice = &t->dice;
	uint32_t pin = dice_below(dice, 24);
	/* Each pin has vectors of its own: in the kernel the EOI of a level serves every pin with its
	 * vector, edges too. */
	uint32_t vector = 16 + 10 * pin + dice_below(dice, 10);
	uint32_t low = (dice_one_in(dice, 2) ? 1u << 15 : 0) |
		       (dice_one_in(dice, 4) ? 1u << 16 : 0) |
		       (dice_one_in(dice, 3) ? 1u << 11 : 0);

	/* The kernel has them in the IRR, and finds ticks of the RTC there when it restores. */
	if (!t->memory && dice_one_in(dice, 16))
		vector = dice_below(dice, 16);
	if (dice_one_in(dice, 6))
		low |= dice_below(dice, 8) << 8;
	if (dice_one_in(dice, 10))
		low = (uint32_t)dice_roll(dice) & ~0xffu;
	low |= vector;
	/* An INIT or an SMI would end the puppet that writes. */
	if ((low >> 8 & 7) == 2 || (low >> 8 & 7) == 5)
		low &= ~0x700u;
	/* What these do by a logical destination is compared in msi. */
	if (low & 0x700)
		low &= ~(1u << 11);
	t->rte[pin] = low;
	if (!dice_one_in(dice, 4))
		write_ioapic(t, 0x11 + 2 * pin, throw_destination(t) << 24);
	write_ioapic(t, 0x10 + 2 * pin, low);
}

/* t->memory: this script is about the RTC's GSI too; and its line is high. */
#define ABOUT_RTC UINT64_C(1)
#define RTC_HIGH  UINT64_C(2)

/* By an irqfd, which does not ask what becomes of it. Not on a high line: the kernel's lowers it. */
static void throw_rtc(struct thrower *t)
{
	bool level = dice_one_in(&t->dice, 2);

	if (!(t->memory & RTC_HIGH) && dice_one_in(&t->dice, 8)) {
		throw_op(t, &(struct op){ .kind = OP_EVENTFD_WRITE, .arg = { 0, 1 } });
		return;
	}
	t->memory = ABOUT_RTC | (level ? RTC_HIGH : 0);
	throw_op(t, &(struct op){ .kind = OP_LINE, .arg = { RTC_GSI, level } });
}

static void throw_ioapic_line(struct thrower *t)
{
	/* GSI 0 is the PIT's. */
	uint32_t gsi = 1 + dice_below(&t->dice, 23);

	if (gsi == RTC_GSI || (t->memory && dice_one_in(&t->dice, 3))) {
		if (t->memory)
			throw_rtc(t);
		return;
	}
	throw_op(t, &(struct op){ .kind = OP_LINE, .arg = { gsi, dice_below(&t->dice, 2) } });
}

/* What a guest does that has taken it: in service, then EOI. */
static void throw_service(struct thrower *t)
{
	uint32_t rte = t->rte[dice_below(&t->dice, 24)], vector = rte & 0xff;
	uint32_t word = vector / 32 * 0x10, bit = 1u << vector % 32;

	if (vector < 16)
		return;

	t->vcpu = dice_below(&t->dice, SIDE_VCPUS);
	throw_op(t,
		 &(struct op){ .kind = OP_LAPIC_SET, .arg = { t->vcpu, LAPIC_IRR + word, 0, 0 } });
	throw_op(t, &(struct op){ .kind = OP_LAPIC_SET,
				  .arg = { t->vcpu, LAPIC_ISR + word, (uint32_t)~bit, bit } });
	throw_op(t, &(struct op){ .kind = OP_LAPIC_SET,
				  .arg = { t->vcpu, LAPIC_TMR + word, (uint32_t)~bit,
					   rte & 1u << 15 ? bit : 0 } });
	throw_lapic_write(t, LAPIC_EOI, 0);
}

static void throw_ioapic_access(struct thrower *t)
{
	static const uint32_t widths[] = { 1, 2, 4, 4, 8 };
	struct dice *dice = &t->dice;
	uint32_t width = dice_pick(dice, widths);

	switch (dice_below(dice, 5)) {
	case 0:
		throw_guest(t, OP_WRITE, 4, IOAPIC_GPA, dice_below(dice, 0x48));
		throw_guest(t, OP_READ, width, IOAPIC_GPA + IOAPIC_WINDOW, 0);
		break;
	case 1:
		throw_guest(t, OP_READ, width, IOAPIC_GPA + dice_below(dice, 0x100 - 8), 0);
		break;
	case 2:
		throw_guest(t, OP_WRITE, width, IOAPIC_GPA, dice_roll(dice));
		break;
	case 3:
		write_ioapic(t, dice_below(dice, 3), (uint32_t)dice_roll(dice));
		break;
	default:
		throw_guest(t, OP_WRITE, width, IOAPIC_GPA + 4 * (5 + dice_below(dice, 40)),
			    dice_roll(dice));
		break;
	}
}

static void throw_ioapic_set(struct thrower *t)
{
	struct dice *dice = &t->dice;
	uint32_t pin = dice_below(dice, 24);

	/* Remote-IRR of a level, as a saved state has it. */
	throw_op(t, &(struct op){ .kind = OP_IOAPIC_SET,
				  .arg = { FIELD_PIN_0 + pin, ~UINT64_C(0x4000),
					   dice_one_in(dice, 2) ? 0xc000 : 0 } });
}

static void throw_ioapic(struct thrower *t)
{
	uint32_t what = dice_below(&t->dice, 100);

	if (what < 25)
		throw_rte(t);
	else if (what < 65)
		throw_ioapic_line(t);
	else if (what < 75)
		throw_service(t);
	else if (what < 95)
		throw_ioapic_access(t);
	else if (what < 98)
		throw_ioapic_set(t);
	else
		throw_op(t, &(struct op){ .kind = OP_CHIPS_CROSS });
}

static void begin_ioapic(struct thrower *t)
{
	t->memory = dice_one_in(&t->dice, 2) ? ABOUT_RTC : 0;
	if (t->memory)
		throw_op(t, &(struct op){ .kind = OP_IRQFD, .arg = { 0, RTC_GSI, 0, 0 } });
	if (!dice_one_in(&t->dice, 3)) {
		throw_addressing(t);
		return;
	}
	/* One bit each: the kernel's map of destinations stays on, and no pin gets stuck. */
	t->script->apic_id[SIDE_VCPUS - 1] &= 0xff;
	for (t->vcpu = 0; t->vcpu < SIDE_VCPUS; t->vcpu++) {
		throw_lapic_write(t, LAPIC_LDR, 1u << (24 + t->vcpu));
		throw_lapic_write(t, LAPIC_SVR, 0x1ff);
	}
	t->vcpu = 0;
}

const struct area area_ioapic = {
	.name = "ioapic",
	.singly = true,
	.chips = true,
	.begin = begin_ioapic,
	.throw = throw_ioapic,
};

static const uint32_t pic_ports[] = { 0x20, 0x21, 0xa0, 0xa1 };

static void throw_pic_init(struct thrower *t)
{
	struct dice *dice = &t->dice;
	uint32_t port = dice_one_in(dice, 2) ? 0x20 : 0xa0;
	uint32_t icw1 = 0x10 | (dice_one_in(dice, 4) ? dice_below(dice, 16) : 1);

	throw_guest(t, OP_OUT, 1, port, icw1);
	throw_guest(t, OP_OUT, 1, port + 1, dice_below(dice, 32) * 8);
	throw_guest(t, OP_OUT, 1, port + 1, dice_one_in(dice, 4) ? dice_below(dice, 256) : 4);
	if (icw1 & 1)
		throw_guest(t, OP_OUT, 1, port + 1,
			    dice_one_in(dice, 2) ? 1 : dice_below(dice, 32));
}

static void throw_pic(struct thrower *t)
{
	static const uint32_t widths[] = { 1, 1, 1, 1, 1, 1, 1, 2, 4 };
	struct dice *dice = &t->dice;
	uint32_t what = dice_below(dice, 100), port = dice_pick(dice, pic_ports);

	if (what < 3)
		throw_pic_init(t);
	else if (what < 30)
		throw_op(t,
			 &(struct op){ .kind = OP_LINE,
				       .arg = { 1 + dice_below(dice, 15), dice_below(dice, 2) } });
	else if (what < 40)
		throw_guest(t, OP_OUT, 1, port | 1, dice_roll(dice) & dice_roll(dice) & 0xff);
	else if (what < 55)
		throw_guest(t, OP_OUT, 1, port & ~1u, dice_below(dice, 16));
	else if (what < 70)
		throw_guest(t, OP_OUT, 1, port & ~1u,
			    0x20 | dice_below(dice, 8) << 5 | dice_below(dice, 8));
	else if (what < 75)
		throw_guest(t, OP_OUT, 1, 0x4d0 + dice_below(dice, 2), dice_below(dice, 256));
	else if (what < 78)
		throw_guest(t, OP_IN, 1, 0x4d0 + dice_below(dice, 2), 0);
	else if (what < 98)
		throw_guest(t, OP_IN, dice_pick(dice, widths), port, 0);
	else
		throw_op(t, &(struct op){ .kind = OP_CHIPS_CROSS });
}

static void begin_pic(struct thrower *t)
{
	throw_pic_init(t);
	throw_pic_init(t);
}

const struct area area_pic = {
	.name = "pic",
	.chips = true,
	.begin = begin_pic,
	.throw = throw_pic,
};

/* Only counter 2 has a gate that is not tied. */
static void throw_pit_set(struct thrower *t)
{
	uint32_t channel = dice_below(&t->dice, 3);

	throw_op(t, &(struct op){ .kind = OP_PIT_SET,
				  .arg = { channel, dice_below(&t->dice, channel == 2 ? 3 : 2),
					   dice_below(&t->dice, 65536) } });
}

static void throw_pit(struct thrower *t)
{
	struct dice *dice = &t->dice;
	uint32_t what = dice_below(dice, 100), port = 0x40 + dice_below(dice, 3);

	if (what < 25)
		throw_guest(t, OP_OUT, 1, 0x43, dice_below(dice, 256));
	else if (what < 60)
		throw_guest(t, OP_OUT, 1, port, dice_below(dice, 256));
	else if (what < 70)
		throw_guest(t, OP_OUT, 1, 0x61, dice_below(dice, 4));
	else if (what < 90)
		throw_guest(t, OP_IN, 1, port, 0);
	else if (what < 95)
		throw_guest(t, OP_IN, 1, dice_one_in(dice, 2) ? 0x43 : 0x61, 0);
	else
		throw_pit_set(t);
}

/* Its ticks go nowhere: they would come at different moments. */
static void begin_pit(struct thrower *t)
{
	throw_guest(t, OP_OUT, 1, 0x21, 0xff);
	throw_guest(t, OP_OUT, 1, 0xa1, 0xff);
	write_ioapic(t, 0x10 + 2 * 2, 1u << 16);
	/* Before that its modes are nobody's business. */
	for (uint32_t channel = 0; channel < 3; channel++) {
		throw_guest(t, OP_OUT, 1, 0x43, channel << 6 | 0x30 | 2 << 1);
		throw_guest(t, OP_OUT, 1, 0x40 + channel, dice_below(&t->dice, 256));
		throw_guest(t, OP_OUT, 1, 0x40 + channel, dice_below(&t->dice, 256));
	}
}

const struct area area_pit = {
	.name = "pit",
	.singly = true,
	.chips = true,
	.begin = begin_pit,
	.throw = throw_pit,
};
