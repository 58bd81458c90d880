// SPDX-License-Identifier: MIT
/* The predicates of diff_known.c's table that are about QEMU. */
#include "diff_known.h"
#include "diff_qemu.h"

#define CASCADE	    4u
#define MODE_EXTINT 7

static bool is_register(const struct difference *d, uint32_t chip, enum pic_register reg)
{
	return d->object == OBJ_PIC_REGISTER && d->vcpu == chip && d->reg == (uint32_t)reg;
}

/* Of one chip, or what follows from it for the other and for INT. */
static bool concerns(const struct difference *d, uint32_t chip)
{
	return d->object == OBJ_PIC_REGISTER &&
	       (d->vcpu == chip || (chip == 1 && d->reg == PIC_REG_IRR));
}

bool is_icw1_isr(const struct session *s, const struct difference *d)
{
	for (uint32_t chip = 0; chip < 2; chip++) {
		const struct pic_view *pic = &s->pair->pic[chip];

		if (!pic->icw1 || !pic->isr)
			continue;
		if (is_register(d, chip, PIC_REG_ISR) && (d->soft & ~d->kernel))
			return true;
		/* It blocks what QEMU's then asks for. */
		if (is_register(d, 0, PIC_REG_INT) && d->kernel)
			return true;
		if (chip == 1 && is_register(d, 0, PIC_REG_IRR) &&
		    (d->soft ^ d->kernel) == CASCADE && (d->kernel & CASCADE))
			return true;
	}
	return false;
}

bool is_icw1_single(const struct session *s, const struct difference *d)
{
	for (uint32_t chip = 0; chip < 2; chip++)
		if (s->pair->pic[chip].single && concerns(d, chip))
			return true;
	return false;
}

bool is_cascade_pulse(const struct session *s, const struct difference *d)
{
	const struct pic_view *master = &s->pair->pic[0], *slave = &s->pair->pic[1];

	if (!(slave->irr & ~slave->imr) && !slave->polled && !slave->init)
		return false;
	/* Where the master's IRR cannot be looked at, INT tells of it. */
	if (is_register(d, 0, PIC_REG_INT))
		return d->soft && (master->polled || master->init);
	return is_register(d, 0, PIC_REG_IRR) && (d->soft ^ d->kernel) == CASCADE &&
	       (d->soft & CASCADE);
}

bool is_cascade_late(const struct session *s, const struct difference *d)
{
	return s->pair->pic[1].icw1 && is_register(d, 0, PIC_REG_IRR) &&
	       (d->soft ^ d->kernel) == CASCADE && (d->kernel & CASCADE);
}

static const struct op *op_of(const struct session *s, const struct difference *d)
{
	return &s->script->op[d->op];
}

bool is_special_mask_late(const struct session *s, const struct difference *d)
{
	const struct op *op = op_of(s, d);
	uint64_t value = op->arg[ARG_VALUE];

	if (op->kind != OP_OUT || (value & (ICW1 | OCW3 | OCW3_ESMM)) != (OCW3 | OCW3_ESMM))
		return false;
	return (op->arg[ARG_AT] == 0x20 && is_register(d, 0, PIC_REG_INT)) ||
	       (op->arg[ARG_AT] == 0xa0 && is_register(d, 0, PIC_REG_IRR) &&
		(d->soft ^ d->kernel) == CASCADE);
}

/* Seen when a poll gives another pin, or by what then blocks others. */
bool is_icw1_rotation(const struct session *s, const struct difference *d)
{
	const struct op *op = op_of(s, d);
	uint32_t chip = (op->arg[ARG_AT] & ~1u) == 0xa0;

	return s->pair->pic[chip].forgot_rotation && op->kind == OP_IN;
}

bool is_icw1_poll(const struct session *s, const struct difference *d)
{
	const struct op *op = op_of(s, d);
	uint32_t chip = (op->arg[ARG_AT] & ~1u) == 0xa0;

	return op->kind == OP_IN && s->pair->pic[chip].forgot_poll &&
	       (d->object == OBJ_VALUE || d->object == OBJ_PIC_REGISTER);
}

static bool reads_window(const struct session *s, const struct difference *d)
{
	const struct op *op = op_of(s, d);

	return d->object == OBJ_VALUE && op->kind == OP_READ &&
	       op->arg[ARG_AT] == IOAPIC_GPA + IOAPIC_WINDOW;
}

bool is_no_such_register(const struct session *s, const struct difference *d)
{
	uint8_t select = s->pair->ioapic.select;

	return reads_window(s, d) && !d->kernel &&
	       ((select > 2 && select < 0x10) || select >= 0x10 + 2 * KVM_IOAPIC_NUM_PINS);
}

bool is_narrow_window(const struct session *s, const struct difference *d)
{
	return reads_window(s, d) && !d->kernel && op_of(s, d)->arg[ARG_WIDTH] < 4;
}

bool is_line_as_edge(const struct session *s, const struct difference *d)
{
	const struct ioapic_view *ioapic = &s->pair->ioapic;
	uint32_t bit;

	if (d->object != OBJ_IOAPIC || d->reg < FIELD_PIN_0 ||
	    (d->soft ^ d->kernel) != RTE_REMOTE_IRR)
		return false;
	bit = 1u << (d->reg - FIELD_PIN_0);
	return (d->soft & RTE_REMOTE_IRR ? ioapic->rose_as_edge : ioapic->fell_as_edge) & bit;
}

/* By our local APIC. */
static bool is_taken(uint64_t rte)
{
	uint64_t dest = rte >> 56;

	if ((rte >> 8 & 7) == MODE_EXTINT)
		return false;
	if (dest == 0xff)
		return true;
	return rte & RTE_LOGICAL ? dest & QEMU_LDR : dest == 0;
}

bool is_qemu_remote_irr(const struct session *s, const struct difference *d)
{
	(void)s;
	return d->object == OBJ_IOAPIC && d->reg >= FIELD_PIN_0 &&
	       (d->soft ^ d->kernel) == RTE_REMOTE_IRR && (d->kernel & RTE_REMOTE_IRR) &&
	       !is_taken(d->soft);
}
