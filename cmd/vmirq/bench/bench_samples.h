/* SPDX-License-Identifier: MIT */
/*
 * Durations as they were measured, all of them.
 */
#ifndef VMIRQ_BENCH_SAMPLES_H
#define VMIRQ_BENCH_SAMPLES_H

#include <stdbool.h>
#include <stddef.h>

struct samples {
	float *value;
	size_t n;
	size_t room;
	bool sorted;
	/* For want of memory; told in the output. */
	size_t dropped;
};

void samples_add(struct samples *samples, double value);
/* 0..1; 0 of an empty set is 0. */
double samples_quantile(struct samples *samples, double q);
double samples_max(struct samples *samples);
double samples_mean(const struct samples *samples);
void samples_free(struct samples *samples);

#endif
