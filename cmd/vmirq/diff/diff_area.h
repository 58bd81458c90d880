/* SPDX-License-Identifier: MIT */
/*
 * Areas: what kinds of operations a random script is made of.
 */
#ifndef VMIRQ_DIFF_AREA_H
#define VMIRQ_DIFF_AREA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct script;
struct op;

/* splitmix64: the same everywhere, whatever the C library. */
struct dice {
	uint64_t state;
};

uint64_t dice_roll(struct dice *dice);
/* 0..n-1 */
uint32_t dice_below(struct dice *dice, uint32_t n);
bool dice_one_in(struct dice *dice, uint32_t n);
/* One of the elements of a uint32_t array. */
#define dice_pick(dice, from) ((from)[dice_below(dice, sizeof(from) / sizeof((from)[0]))])

/* A script that is being thrown. */
struct thrower {
	struct dice dice;
	struct script *script;
	bool x2apic[3];		 /* as far as the thrower knows */
	uint32_t vcpu;		 /* whose turn it is */
	uint64_t memory;	 /* of the area's own */
	uint32_t rte[24];	 /* ioapic: the lower halves, as written */
	uint32_t pin_gsi[4][26]; /* routing: by chip and pin, who has it in this table; plus one */
	bool no_memory;		 /* out of memory: nothing more is added */
};

struct area {
	const char *name;
	bool qemu;	/* against QEMU's chips */
	bool split_too; /* also against the split irqchip */
	bool singly; /* each operation is a batch of its own, so that differences do not add up */
	bool chips;  /* soft has IOAPIC, 8259s and PIT too, and they are compared */
	/* The first operations, and one (or a few that belong together). */
	void (*begin)(struct thrower *t);
	void (*throw)(struct thrower *t);
};

/* What is compared with the same. */
struct area_set {
	const char *against;
	const struct area *const *area;
	size_t n;
};

extern const struct area_set areas_kvm, areas_qemu;

/* By name: some of its operations bind eventfds. */
bool area_has_irqfds(const char *name);
const struct area *area_find(const struct area_set *set, const char *name, size_t len);

/* Fill an empty script with some `n` operations. -ENOMEM. */
int area_throw(const struct area *area, uint64_t seed, size_t n, struct script *script);

/* diff_throw.c: what several areas throw. */
void throw_op(struct thrower *t, const struct op *op);
void throw_guest(struct thrower *t, int kind, uint32_t width, uint64_t at, uint64_t value);
/* A local APIC's register, in the way of the mode it is in. */
void throw_lapic_read(struct thrower *t, uint32_t reg);
void throw_lapic_write(struct thrower *t, uint32_t reg, uint64_t value);
uint32_t throw_vector(struct thrower *t);
uint32_t throw_destination(struct thrower *t);
/* A value for the id register that is this CPU's only. */
uint32_t throw_own_id(struct thrower *t);
/* Addresses of all CPUs: LDR, DFR, SVR; sometimes x2APIC. */
void throw_addressing(struct thrower *t);
void throw_msi(struct thrower *t, bool hostile);
/* diff_throw_route.c: those of GSIs that the thrower has raised. */
void throw_lower_lines(struct thrower *t);
/* diff_throw_resample.c: replaces the table. */
void throw_resample(struct thrower *t);
/* diff_throw_hostile.c: calls that bind, with what nobody means. */
void throw_hostile(struct thrower *t);
/* Bits in service or pending, as a saved state has them. */
void throw_preset(struct thrower *t);

extern const struct area area_lapic, area_msi, area_routing, area_irqfd, area_ioapic, area_pic,
	area_pit, area_qemu_ioapic, area_qemu_pic;

#endif
