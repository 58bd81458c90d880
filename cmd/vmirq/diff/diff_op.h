/* SPDX-License-Identifier: MIT */
/*
 * What diff does to both irqchips: operations of a puppet CPU and calls of the VMM, and scripts of
 * them that people can read and diff can replay.
 */
#ifndef VMIRQ_DIFF_OP_H
#define VMIRQ_DIFF_OP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "side.h"

#define OP_ARGS 7

/* Where the areas have doorbells (ioeventfds): a page, and a few ports. */
#define DOORBELL_GPA  0xd0000000u
#define DOORBELL_PORT 0x5000u

enum op_kind {
	/* A puppet CPU's: args vcpu, width, at, value. */
	OP_READ,
	OP_WRITE,
	OP_IN,
	OP_OUT,
	OP_RDMSR,
	OP_WRMSR,
	OP_READ_CR8,
	OP_WRITE_CR8,
	OP_LAST_OF_GUEST = OP_WRITE_CR8,
	/* The VMM's; what their args are is in diff_op.c. */
	OP_MSI,
	OP_LINE,
	OP_LAPIC_SET,	/* a 32-bit word of the saved state, by register; other bits are kept */
	OP_LAPIC_CROSS, /* each side loads what the other has saved */
	OP_ROUTE,	/* one more entry of the table that is being made up */
	OP_ROUTE_FILL,	/* a message each for many GSIs in that table */
	OP_COMMIT,	/* set that table, and begin a new one */
	OP_IRQFD,
	OP_IRQFD_ELSEWHERE, /* in another VM */
	OP_IOEVENTFD,
	OP_EVENTFD_WRITE,
	OP_EVENTFD_READ,
	OP_IOAPIC_SET,
	OP_PIC_SET,
	OP_PIT_SET,
	OP_CHIPS_CROSS,
	OP_WAIT,
	OP_KINDS,
};

struct op {
	enum op_kind kind;
	uint64_t arg[OP_ARGS];
};

/* Args of the guest's. */
enum { ARG_VCPU, ARG_WIDTH, ARG_AT, ARG_VALUE };

static inline bool op_is_guest(const struct op *op)
{
	return op->kind <= OP_LAST_OF_GUEST;
}

static inline bool op_is_doorbell(const struct op *op)
{
	return (op->kind == OP_WRITE && op->arg[ARG_AT] - DOORBELL_GPA < 0x1000) ||
	       (op->kind == OP_OUT && op->arg[ARG_AT] - DOORBELL_PORT < 0x10);
}

struct script {
	const char *area;
	enum side_kind kernel; /* SIDE_FULL or SIDE_SPLIT; SIDE_QEMU: see diff_qemu.h */
	bool chips;
	bool ids_32bit;
	uint32_t apic_id[SIDE_VCPUS];
	size_t n;
	size_t room;
	struct op *op;
};

/* -ENOMEM. */
int script_add(struct script *script, const struct op *op);
void script_free(struct script *script);

/* "write vcpu=0 width=4 at=0xfee000b0 value=0": into buf, without an end of line. */
void op_format(const struct op *op, char *buf, size_t size);
void script_print(const struct script *script, FILE *out);
/* -errno; *line is where, 0 for the file itself. `area` points to a constant. */
int script_read(struct script *script, const char *path, size_t *line);

#endif
