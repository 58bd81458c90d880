/* SPDX-License-Identifier: MIT */
/*
 * How often each of many equals was served, and how fair that was.
 */
#ifndef VMIRQ_SERVICES_H
#define VMIRQ_SERVICES_H

#include <stdbool.h>
#include <stdint.h>

struct services {
	uint32_t n;
	uint64_t *of;
	/* Each wanted to be served again as soon as it had been. */
	bool saturated;
	/* The longest that one waited, if that was measured: how many others were served meanwhile, and in ns. */
	bool waits;
	uint64_t worst_wait_runs;
	uint64_t worst_wait_ns;
};

struct services_sum {
	uint64_t min, max;
	double mean;
	/* Jain's index: (sum x)^2 / (n sum x^2). 1 = all alike, 1/n = one has it all; 0: none was served. */
	double fairness;
};

/* Of n, all 0. -ENOMEM. */
int services_init(struct services *s, uint32_t n);
void services_free(struct services *s);

/* n is not 0. */
void services_sum(const struct services *s, struct services_sum *out);

#endif
