// SPDX-License-Identifier: MIT
/*
 * Looking. It is done by the registers, as a guest does, and to both in the same way; what it selects
 * on the way is put back.
 */
#include <errno.h>
#include <string.h>

#include "diff_qemu.h"

#define LOOKS_MAX 200

/* Accesses that are made together: answers come faster than one by one. */
struct looks {
	size_t n;
	struct {
		struct op op;
		/* What is read is this; OBJ_VALUE: nobody's business. */
		enum object object;
		uint32_t vcpu, reg;
		uint64_t ours, qemus;
	} look[LOOKS_MAX];
};

static void add(struct looks *l, enum object object, uint32_t vcpu, uint32_t reg, struct op op)
{
	if (l->n == LOOKS_MAX)
		return;
	l->look[l->n].op = op;
	l->look[l->n].object = object;
	l->look[l->n].vcpu = vcpu;
	l->look[l->n].reg = reg;
	l->n++;
}

static struct op access_to(enum op_kind kind, uint64_t width, uint64_t at, uint64_t value)
{
	return (struct op){ .kind = kind, .arg = { 0, width, at, value } };
}

static int make(struct session *s, struct looks *l)
{
	int error = 0;

	for (size_t i = 0; i < l->n && !error; i++)
		error = qemu_put(s->pair, &l->look[i].op);
	for (size_t i = 0; i < l->n && !error; i++)
		error = qtest_get(&s->pair->qemu, &l->look[i].qemus);
	for (size_t i = 0; i < l->n && !error; i++)
		error = ours_do(s->pair, &l->look[i].op, &l->look[i].ours);
	return error;
}

/* After a difference that stays both get a power-up: what else differs may follow from it. */
static void compare(struct session *s, const struct looks *l)
{
	for (size_t i = 0; i < l->n && !s->found && !s->heal_chips; i++)
		if (l->look[i].object != OBJ_VALUE && l->look[i].ours != l->look[i].qemus)
			session_differs(s, l->look[i].object, l->look[i].vcpu, l->look[i].reg,
					l->look[i].ours, l->look[i].qemus, s->last_op);
}

static void select_and_read(struct looks *l, uint32_t index, enum object object, uint32_t reg)
{
	add(l, OBJ_VALUE, 0, 0, access_to(OP_WRITE, 4, IOAPIC_GPA + IOAPIC_SELECT, index));
	add(l, object, 0, reg, access_to(OP_READ, 4, IOAPIC_GPA + IOAPIC_WINDOW, 0));
}

/* Halves of an RTE are two reads, and one number in what is said of it. */
static void join_halves(struct looks *l)
{
	for (size_t i = 0; i + 2 < l->n; i++) {
		if (l->look[i].object != OBJ_IOAPIC || l->look[i].reg < FIELD_PIN_0 ||
		    l->look[i + 2].object != OBJ_VALUE)
			continue;
		l->look[i].ours |= l->look[i + 2].ours << 32;
		l->look[i].qemus |= l->look[i + 2].qemus << 32;
	}
}

static int look_at_ioapic(struct session *s)
{
	struct looks l = { .n = 0 };
	uint64_t selected;
	int error;

	add(&l, OBJ_IOAPIC, 0, FIELD_SELECT, access_to(OP_READ, 4, IOAPIC_GPA + IOAPIC_SELECT, 0));
	error = make(s, &l);
	if (error)
		return error;
	compare(s, &l);
	selected = s->pair->ioapic.select = (uint8_t)l.look[0].ours;
	l = (struct looks){ .n = 0 };
	select_and_read(&l, 0, OBJ_IOAPIC, FIELD_ID);
	for (uint32_t pin = 0; pin < KVM_IOAPIC_NUM_PINS; pin++) {
		select_and_read(&l, 0x10 + 2 * pin, OBJ_IOAPIC, FIELD_PIN_0 + pin);
		select_and_read(&l, 0x11 + 2 * pin, OBJ_VALUE, 0);
	}
	add(&l, OBJ_VALUE, 0, 0, access_to(OP_WRITE, 4, IOAPIC_GPA + IOAPIC_SELECT, selected));
	error = s->found ? 0 : make(s, &l);
	if (error)
		return error;
	join_halves(&l);
	compare(s, &l);
	for (size_t i = 0; i < l.n; i++)
		if (l.look[i].object == OBJ_IOAPIC && l.look[i].reg >= FIELD_PIN_0)
			s->pair->ioapic.rte[l.look[i].reg - FIELD_PIN_0] = l.look[i].ours;
	return 0;
}

static void look_at_pic(const struct qemu_pair *pair, struct looks *l, uint32_t chip)
{
	uint32_t port = chip ? 0xa0 : 0x20;

	add(l, OBJ_PIC_REGISTER, chip, PIC_REG_ELCR, access_to(OP_IN, 1, 0x4d0 + chip, 0));
	/* A poll would be made by the look, and the next word of an initialization lost. */
	if (pair->pic[chip].polled || pair->pic[chip].init)
		return;
	add(l, OBJ_PIC_REGISTER, chip, PIC_REG_IMR, access_to(OP_IN, 1, port + 1, 0));
	add(l, OBJ_VALUE, 0, 0, access_to(OP_OUT, 1, port, OCW3_READ_IRR));
	add(l, OBJ_PIC_REGISTER, chip, PIC_REG_IRR, access_to(OP_IN, 1, port, 0));
	add(l, OBJ_VALUE, 0, 0, access_to(OP_OUT, 1, port, OCW3_READ_ISR));
	add(l, OBJ_PIC_REGISTER, chip, PIC_REG_ISR, access_to(OP_IN, 1, port, 0));
	if (!pair->pic[chip].reads_isr)
		add(l, OBJ_VALUE, 0, 0, access_to(OP_OUT, 1, port, OCW3_READ_IRR));
}

static void note_looks(struct qemu_pair *pair, const struct looks *l)
{
	for (size_t i = 0; i < l->n; i++) {
		struct pic_view *pic = &pair->pic[l->look[i].vcpu];
		uint8_t value = (uint8_t)l->look[i].ours;

		if (l->look[i].object != OBJ_PIC_REGISTER)
			continue;
		if (l->look[i].reg == PIC_REG_IRR)
			pic->irr = value;
		else if (l->look[i].reg == PIC_REG_IMR)
			pic->imr = value;
		else if (l->look[i].reg == PIC_REG_ISR)
			pic->isr = value;
	}
}

static int look_at_pics(struct session *s)
{
	struct looks l = { .n = 0 };
	int error, high;

	look_at_pic(s->pair, &l, 0);
	look_at_pic(s->pair, &l, 1);
	error = make(s, &l);
	if (error)
		return error;
	note_looks(s->pair, &l);
	compare(s, &l);
	high = ours_int(s->pair);
	if (high < 0)
		return high;
	if (!s->found && !s->heal_chips && (uint64_t)high != (s->pair->qemu.lines & 1))
		session_differs(s, OBJ_PIC_REGISTER, 0, PIC_REG_INT, (uint64_t)high,
				s->pair->qemu.lines & 1, s->last_op);
	for (int chip = 0; chip < 2; chip++) {
		struct pic_view *pic = &s->pair->pic[chip];

		/* Not as long as it cannot be looked at. */
		pic->icw1 &= pic->init || pic->polled;
		pic->forgot_poll &= pic->polled;
	}
	return 0;
}

int qemu_look(struct session *s)
{
	return strcmp(s->script->area, "pic") == 0 ? look_at_pics(s) : look_at_ioapic(s);
}

static void note_write(struct qemu_pair *pair, uint32_t chip, bool odd, uint64_t value)
{
	if (odd) {
		/* ICW2, ICW3, and ICW4 if ICW1 has said so. */
		if (pair->pic[chip].init)
			pair->pic[chip].init--;
	} else if (value & ICW1) {
		pair->pic[chip].init = value & ICW1_IC4 ? 3 : 2;
		pair->pic[chip].reads_isr = false;
		pair->pic[chip].icw1 = true;
		pair->pic[chip].forgot_poll = pair->pic[chip].polled;
		pair->pic[chip].single = value & ICW1_SNGL;
		pair->pic[chip].forgot_rotation = pair->pic[chip].rotates;
	} else if (value & OCW3) {
		if (value & OCW3_POLL)
			pair->pic[chip].polled = true;
		if (value & OCW3_READ)
			pair->pic[chip].reads_isr = value & 1;
	} else if ((value >> 5 & 3) == 0) {
		pair->pic[chip].rotates = value & OCW2_ROTATE;
	}
}

static void note_line(struct ioapic_view *ioapic, uint64_t gsi, bool level)
{
	uint32_t bit = gsi < KVM_IOAPIC_NUM_PINS ? 1u << gsi : 0;

	if (!bit || level == !!(ioapic->high & bit))
		return;
	ioapic->high ^= bit;
	ioapic->rose_as_edge &= ~bit;
	ioapic->fell_as_edge &= ~bit;
	if (ioapic->rte[gsi] & RTE_LEVEL)
		return;
	if (level)
		ioapic->rose_as_edge |= bit;
	else
		ioapic->fell_as_edge |= bit;
}

void qemu_note(struct qemu_pair *pair, const struct op *op)
{
	uint64_t port = op->arg[ARG_AT];
	uint32_t chip = (port & ~1u) == 0xa0;

	if (op->kind == OP_LINE)
		note_line(&pair->ioapic, op->arg[0], op->arg[1] & 1);
	if ((op->kind != OP_IN && op->kind != OP_OUT) || ((port & ~1u) != 0x20 && !chip))
		return;
	if (op->kind == OP_OUT)
		note_write(pair, chip, port & 1, op->arg[ARG_VALUE] & 0xff);
	else
		pair->pic[chip].polled = false;
}
