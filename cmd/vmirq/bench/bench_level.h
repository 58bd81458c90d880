/* SPDX-License-Identifier: MIT */
/*
 * level_cycle's two halves.
 */
#ifndef VMIRQ_BENCH_LEVEL_H
#define VMIRQ_BENCH_LEVEL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "bench_kvm.h"
#include "bench_pair.h"
#include "bench_soft.h"

#define LEVEL_PIN    5u
#define LEVEL_VECTOR 0x60u
#define RTE_LEVEL    (1u << 15)

struct vmirq_notifier;

struct level {
	struct bench_partner partner;
	struct bench_soft soft;
	struct bench_kvm kvm;
	bool has_kvm;
	struct vmirq_notifier *notifier;
	uint64_t acks, cycles;
	uint32_t failed;
	bool polls;		     /* its vCPU, before it sleeps */
	int trigger[2], resample[2]; /* ours, the peer's */
	struct vmirq_irqfd *irqfd;
	_Atomic bool stop;
};

/* A VM with the PC's chips, the pin a level to vCPU 0. */
int bench_level_open(struct level *t);
/* bench_resample.c */
int bench_resamplefd(struct bench *b);

#endif
