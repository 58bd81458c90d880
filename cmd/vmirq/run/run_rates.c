// SPDX-License-Identifier: MIT
/*
 * --seconds: how much of each kind there was a second.
 */
#include <inttypes.h>
#include <stdio.h>

#include "run.h"

#define SECOND_NS UINT64_C(1000000000)

const char *const run_unit_names[RUN_UNITS] = {
	[RUN_SIGNALS] = "signals",
	[RUN_IPIS] = "ipis",
	[RUN_REQUESTS] = "requests",
	[RUN_CHANGES] = "route_changes",
};

static const char *const words[RUN_UNITS] = {
	[RUN_SIGNALS] = "signals",
	[RUN_IPIS] = "IPIs",
	[RUN_REQUESTS] = "disk requests",
	[RUN_CHANGES] = "changes of routes",
};

static void sum_up(const struct run *run, uint64_t sums[RUN_UNITS])
{
	for (int u = 0; u < RUN_UNITS; u++)
		sums[u] = 0;
	for (uint32_t i = 0; i < run->sources; i++) {
		const struct source *source = &run->source[i];

		sums[source->kind->unit] +=
			atomic_load_explicit(&source->raised, memory_order_relaxed);
		sums[RUN_CHANGES] += atomic_load_explicit(&source->churned, memory_order_relaxed);
	}
}

static void tick(struct run *run, uint64_t now)
{
	struct run_rates *rates = &run->rates;
	uint64_t sums[RUN_UNITS];

	if (rates->looked_ns && now - rates->looked_ns < SECOND_NS)
		return;
	sum_up(run, sums);
	for (int u = 0; u < RUN_UNITS; u++) {
		uint64_t ns = now - rates->looked_ns;

		rates->last[u] = (double)(sums[u] - rates->seen[u]) * 1e9 / (double)(ns ? ns : 1);
		rates->seen[u] = sums[u];
	}
	rates->looked_ns = now;
}

void run_rates_end(struct run *run, uint64_t now)
{
	struct run_rates *rates = &run->rates;
	uint64_t sums[RUN_UNITS];

	if (!rates->began_ns || rates->seconds > 0)
		return;
	rates->seconds = (double)(now - rates->began_ns) / 1e9;
	sum_up(run, sums);
	for (int u = 0; u < RUN_UNITS; u++)
		rates->mean[u] = (double)sums[u] / rates->seconds;
}

void run_rates_look(struct run *run, uint64_t now)
{
	uint64_t ns = run->options->seconds * SECOND_NS;

	if (!ns || !run_goes_on(run) ||
	    atomic_load_explicit(&run->turns_done, memory_order_relaxed) < run->sources)
		return;
	if (!run->rates.began_ns)
		run->rates.began_ns = now;
	tick(run, now);
	if (now - run->rates.began_ns < ns && !run_stops(run))
		return;
	atomic_store_explicit(&run->time_is_up, true, memory_order_relaxed);
	run_rates_end(run, now);
}

void run_rates_print(const double a_second[RUN_UNITS], FILE *out)
{
	for (int u = 0; u < RUN_UNITS; u++)
		fprintf(out, "%s%.0f %s", u ? ", " : "", a_second[u], words[u]);
}
