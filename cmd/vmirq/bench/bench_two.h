/* SPDX-License-Identifier: MIT */
/*
 * What the rows share in which two cores meet on a line.
 */
#ifndef VMIRQ_BENCH_TWO_H
#define VMIRQ_BENCH_TWO_H

#include <stdatomic.h>

#include "bench_kvm.h"
#include "bench_pair.h"
#include "bench_soft.h"

struct bench;
struct samples;

/* A word that shares its cache line with nothing. */
struct own_line {
	_Alignas(64) _Atomic uint64_t word;
};

struct two {
	struct bench_partner partner;
	struct bench_meeting meeting;
	struct bench_soft soft;
	struct bench_kvm kvm;
	bool has_kvm;
	struct own_line line;
	struct own_line ping;
	struct own_line pong;
	int fd[2];
	/* The partner's, and those slices in which the two hardly ran at once. */
	uint64_t start, end;
	uint32_t alone, slices;
	/* What they do, each with its own half. */
	void (*produce)(struct two *t, uint32_t who, uint32_t n);
};

/* A VM with irqfds on each side, and the partner. */
int open_two(struct bench *b, struct two *t, uint32_t vcpus, uint32_t irqfds);
void close_two(struct two *t);
/* On a crowded machine longer than it should, until there are a few samples. */
bool two_goes_on(struct bench *b, const struct samples *ours, uint64_t start);

#endif
