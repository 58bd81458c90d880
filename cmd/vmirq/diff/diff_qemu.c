// SPDX-License-Identifier: MIT
#include "diff_qemu.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* They stay what they are as long as QEMU does. */
static struct qtest_names names;

static int fail(struct session *s, int error, const char *what)
{
	char words[300];

	if (error == -ENOENT) {
		snprintf(s->why, sizeof(s->why), "no qemu-system-x86_64 here");
		return -ENODEV;
	}
	child_last_words(&s->pair->qemu.child, words, sizeof(words));
	snprintf(s->why, sizeof(s->why), "%s: %s", what, words[0] ? words : strerror(-error));
	return error;
}

static int find_names(struct session *s)
{
	int error = qtest_find(&s->pair->qemu, &names);

	if (error) {
		names.pic[0][0] = '\0';
		error = fail(s, error, error == -ENODEV ? "QEMU has no PC with 8259s" : "QEMU");
	}
	qtest_stop(&s->pair->qemu);
	return error;
}

/* INT is the master's only output. */
static int open_qemu(struct session *s)
{
	struct qtest *qemu = &s->pair->qemu;
	int error = qtest_start(qemu);

	if (!error)
		error = qtest_put(qemu, "irq_intercept_out %s", s->pair->names.pic[0]);
	if (!error)
		error = qtest_get(qemu, NULL);
	return error ? fail(s, error, "QEMU") : 0;
}

static int open_both(struct session *s)
{
	int error = open_qemu(s);

	if (error)
		return error;
	memset(s->pair->pic, 0, sizeof(s->pair->pic));
	memset(&s->pair->ioapic, 0, sizeof(s->pair->ioapic));
	error = ours_open(s->pair);
	return error ? fail(s, error, "our VM") : 0;
}

static void close_both(struct session *s)
{
	ours_close(s->pair);
	qtest_stop(&s->pair->qemu);
}

int qemu_open(struct session *s)
{
	int error = 0;

	s->pair = calloc(1, sizeof(*s->pair));
	if (!s->pair)
		return -ENOMEM;
	s->pair->qemu = (struct qtest)QTEST_NONE;
	if (!names.pic[0][0])
		error = find_names(s);
	s->pair->names = names;
	if (!error)
		error = open_both(s);
	if (error)
		qemu_close(s);
	return error;
}

void qemu_close(struct session *s)
{
	close_both(s);
	free(s->pair);
	s->pair = NULL;
}

int qemu_put(struct qemu_pair *pair, const struct op *op)
{
	static const char sizes[] = { [1] = 'b', [2] = 'w', [4] = 'l', [8] = 'q' };
	char size = op->kind <= OP_OUT ? sizes[op->arg[ARG_WIDTH]] : 0;
	unsigned long long at = op->arg[ARG_AT], value = op->arg[ARG_VALUE];
	unsigned int gsi = (unsigned int)op->arg[0], pin = gsi - QEMU_PIC_GSI;

	switch (op->kind) {
	case OP_READ:
		return qtest_put(&pair->qemu, "read%c 0x%llx", size, at);
	case OP_WRITE:
		return qtest_put(&pair->qemu, "write%c 0x%llx 0x%llx", size, at, value);
	case OP_IN:
		return qtest_put(&pair->qemu, "in%c 0x%llx", size, at);
	case OP_OUT:
		return qtest_put(&pair->qemu, "out%c 0x%llx 0x%llx", size, at, value);
	case OP_LINE:
		if (gsi < KVM_IOAPIC_NUM_PINS)
			return qtest_put(&pair->qemu,
					 "set_irq_in " QTEST_IOAPIC " " QTEST_INPUT " %u %u", gsi,
					 (unsigned int)op->arg[1] & 1);
		if (pin < 16)
			return qtest_put(&pair->qemu, "set_irq_in %s " QTEST_INPUT " %u %u",
					 pair->names.pic[pin / 8], pin % 8,
					 (unsigned int)op->arg[1] & 1);
		return -EINVAL;
	default:
		return -EINVAL;
	}
}

static int do_one(struct session *s, size_t index)
{
	const struct op *op = &s->script->op[index];
	uint64_t ours = 0, qemus = 0;
	int error = qemu_put(s->pair, op);

	if (!error)
		error = qtest_get(&s->pair->qemu, &qemus);
	if (error)
		return fail(s, error, "QEMU");
	error = ours_do(s->pair, op, &ours);
	if (error)
		return fail(s, error, "our VM");
	s->last_op = index;
	if (ours != qemus)
		session_differs(s, OBJ_VALUE, 0, 0, ours, qemus, index);
	qemu_note(s->pair, op);
	return s->found ? 0 : qemu_look(s);
}

/* After a difference that stays: both as at power-up. */
static int heal(struct session *s)
{
	if (!s->heal_chips)
		return 0;
	s->heal_chips = false;
	close_both(s);
	return open_both(s);
}

int qemu_execute(struct session *s)
{
	int error = 0;

	for (size_t i = 0; i < s->script->n && !error && !s->found; i++) {
		s->mark[i] = MARK_COMPARED;
		error = do_one(s, i);
		if (!error && !s->found)
			error = heal(s);
	}
	return error;
}
