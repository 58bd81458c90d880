// SPDX-License-Identifier: MIT
/*
 * How long a source waits for the guest. A local APIC serves the highest vector first (SDM vol. 3A 11.8.3), so one
 * that waits while its vCPU takes higher ones is starved, not lost: there is no end to that wait but the
 * run's own. One whose vCPU takes nothing, or none that goes before it, has got stuck.
 */
#include <stdio.h>

#include "run.h"
#include "vmm.h"

/* By how many handlers of its vCPU, of vectors from `first` on. */
static uint64_t taken_from(const struct source *source, const struct lane *lane, uint32_t first)
{
	const struct run *run = source->run;
	uint64_t n = 0;

	for (uint32_t v = first; v < RUN_FIRST_VECTOR + run->next_vector; v++)
		n += vmm_handled(run->vmm, lane->vcpu, v);
	return n;
}

static uint64_t taken_above(const struct source *source, const struct lane *lane)
{
	return taken_from(source, lane, lane->vector + 1);
}

static uint64_t taken(const struct source *source, const struct lane *lane)
{
	return taken_from(source, lane, RUN_FIRST_VECTOR);
}

static void look(struct source *source, const struct lane *only, uint64_t now)
{
	struct watch *w = &source->watch;

	w->since = now;
	for (uint32_t i = 0; i < source->lanes; i++) {
		const struct lane *lane = &source->lane[i];

		if (only && lane != only)
			continue;
		w->above[i] = taken_above(source, lane);
		w->all[i] = taken(source, lane);
	}
}

/* Higher ones have been taken since, and it is still to come. */
static bool starves(struct source *source, const struct lane *lane)
{
	struct watch *w = &source->watch;
	uint64_t n = taken_above(source, lane) - w->above[lane - source->lane];

	if (!n || !lane_may_be_pending(source, lane))
		return false;
	w->others += n;
	return true;
}

static bool all_starve(struct source *source, const struct lane *only)
{
	bool any = false;

	for (uint32_t i = 0; i < source->lanes; i++) {
		const struct lane *lane = &source->lane[i];

		if (only ? lane != only : lane_settled(source, lane))
			continue;
		if (!starves(source, lane))
			return false;
		any = true;
	}
	return any;
}

bool watch_expired(struct source *source, const struct lane *only, uint64_t limit_ns)
{
	struct watch *w = &source->watch;
	uint64_t now = now_ns();

	if (!w->began) {
		w->began = now;
		w->others = 0;
		look(source, only, now);
	}
	if (now - w->since <= limit_ns)
		return false;
	if (!all_starve(source, only))
		return true;
	if (now - w->began > source->starved_ns) {
		source->starved_ns = now - w->began;
		source->starved_by = w->others;
	}
	look(source, only, now);
	return false;
}

void watch_words(const struct source *source, const struct lane *lane, char *buf, size_t size)
{
	const struct watch *w = &source->watch;
	uint64_t n = taken(source, lane) - w->all[lane - source->lane];
	char where[300];

	lane_where(source, lane, where, sizeof(where));
	if (n)
		snprintf(buf, size, "%s; its vCPU took %llu others meanwhile", where,
			 (unsigned long long)n);
	else
		snprintf(buf, size, "%s; its vCPU took nothing meanwhile", where);
}
