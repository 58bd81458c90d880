/* SPDX-License-Identifier: MIT */
#ifndef VMIRQ_BENCH_MACHINE_H
#define VMIRQ_BENCH_MACHINE_H

#include <stdbool.h>

struct bench_machine {
	char kernel[100];
	char processor[100];
	int cpus;
	bool kvm;
	double load[3];
};

void bench_machine_look(struct bench_machine *machine);
/* As many descriptors as the machine allows: a row has some thousands. */
void bench_machine_raise_limit(void);

#endif
