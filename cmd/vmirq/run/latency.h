/* SPDX-License-Identifier: MIT */
/*
 * Percentiles of many durations in a fixed size: a histogram whose steps are 1/64 of the value.
 */
#ifndef VMIRQ_LATENCY_H
#define VMIRQ_LATENCY_H

#include <stdint.h>

#define LATENCY_STEP_BITS 6
#define LATENCY_BUCKETS	  ((64 - LATENCY_STEP_BITS + 1) << LATENCY_STEP_BITS)

struct latency {
	uint64_t n;
	uint64_t max;
	uint32_t bucket[LATENCY_BUCKETS];
};

void latency_add(struct latency *latency, uint64_t ns);

/* The value that `percent` of them do not exceed, at most 1/64 too high; 0 if there are none. */
uint64_t latency_percentile(const struct latency *latency, unsigned int percent);

#endif
