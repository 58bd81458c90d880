/* SPDX-License-Identifier: MIT */
/* A VM with everything that is saved, and random operations on it that say what they saw. */
#ifndef TESTS_STATE_TWIN_H
#define TESTS_STATE_TWIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <vmirq/state.h>
#include <vmirq/vcpu.h>
#include <vmirq/vm.h>

#define TWIN_VCPUS 3u

enum twin_kind {
	TWIN_FULL,   /* two IOAPICs of 24 and 40 pins, 8259s, PIT that re-injects */
	TWIN_PLAIN,  /* the PC's chips without a PIT */
	TWIN_BARE,   /* no chips */
	TWIN_X2APIC, /* 32-bit ids, one of them above 255; profile spec */
};

struct twin {
	struct vmirq_vm *vm;
	struct vmirq_vcpu *vcpu[TWIN_VCPUS];
	uint64_t now; /* of its clock */
	enum twin_kind kind;
	unsigned int injected; /* so many were offered */
};

void twin_start(struct twin *t, enum twin_kind kind);
void twin_end(struct twin *t);

/* The operation that this number means: the same on two VMs in the same state says the same. */
uint64_t twin_do(struct twin *t, uint64_t what);
/* Chips and local APICs programmed so that most interrupts get through. */
void twin_program(struct twin *t);
uint64_t twin_random(uint64_t *seed);

/* The blob, to be freed; exactly *size bytes. */
void *twin_save(struct twin *t, size_t *size);
/* What must hold in any state. */
void twin_check(struct twin *t);

#endif
