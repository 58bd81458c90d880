// SPDX-License-Identifier: MIT
#include "latency.h"

#define STEPS (1u << LATENCY_STEP_BITS)

/* Values below STEPS have a bucket each; above, each power of two is cut into STEPS buckets. */
static uint32_t bucket_of(uint64_t ns)
{
	uint32_t shift;

	if (ns < STEPS)
		return (uint32_t)ns;
	shift = 63u - (uint32_t)__builtin_clzll(ns) - LATENCY_STEP_BITS;
	return ((shift + 1) << LATENCY_STEP_BITS) + (uint32_t)((ns >> shift) - STEPS);
}

/* The largest value that falls into it. */
static uint64_t bucket_end(uint32_t bucket)
{
	uint32_t shift;

	if (bucket < STEPS)
		return bucket;
	shift = (bucket >> LATENCY_STEP_BITS) - 1;
	return ((uint64_t)(STEPS + bucket % STEPS + 1) << shift) - 1;
}

void latency_add(struct latency *latency, uint64_t ns)
{
	latency->n++;
	if (ns > latency->max)
		latency->max = ns;
	latency->bucket[bucket_of(ns)]++;
}

uint64_t latency_percentile(const struct latency *latency, unsigned int percent)
{
	uint64_t seen = 0, wanted = (latency->n * percent + 99) / 100;

	for (uint32_t i = 0; i < LATENCY_BUCKETS && wanted; i++) {
		seen += latency->bucket[i];
		if (seen >= wanted)
			return bucket_end(i) < latency->max ? bucket_end(i) : latency->max;
	}
	return latency->max;
}
