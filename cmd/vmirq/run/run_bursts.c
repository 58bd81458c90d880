// SPDX-License-Identifier: MIT
/*
 * --bursts: sources that raise without waiting for the guest take turns with it. Each raises a burst, waits until
 * nothing of it is under way, and goes on when the bursts of all others have come as far. So the guest
 * has handled everybody's before there is more of anybody's, and none is in another's way for longer.
 */
#include <errno.h>
#include <time.h>

#include "run.h"

/* Many wait at once, and the CPU is for the guest: unlike backoff() this is slow to look. */
#define LOOK_MIN_NS 50000
#define LOOK_MAX_NS 1000000

static void doze(long *ns)
{
	const struct timespec pause = { .tv_nsec = *ns };

	nanosleep(&pause, NULL);
	if (*ns < LOOK_MAX_NS)
		*ns *= 2;
}

static uint64_t bursts_done(const struct source *source)
{
	return atomic_load_explicit(&source->bursts_done, memory_order_relaxed);
}

void burst_begin(struct source *source, struct burst *burst)
{
	burst->raised = atomic_load_explicit(&source->raised, memory_order_relaxed);
	burst->handled = all_handled(source);
}

/* Where the kernel has the local APICs: at least one handler has run. */
static bool burst_handled(const struct source *source, const struct burst *burst)
{
	if (run_hides_vectors(source->run) && all_handled(source) == burst->handled)
		return false;
	return all_settled(source);
}

static int burst_stuck(struct source *source)
{
	char where[360] = "no handler has run";

	for (uint32_t i = 0; i < source->lanes; i++) {
		if (lane_settled(source, &source->lane[i]))
			continue;
		watch_words(source, &source->lane[i], where, sizeof(where));
		break;
	}
	return source_fail(source, -ETIMEDOUT, "a burst has not been handled for 5 s: %s", where);
}

static int wait_burst(struct source *source, const struct burst *burst)
{
	long pause = LOOK_MIN_NS;

	source->watch.began = 0;
	while (!burst_handled(source, burst) && run_goes_on(source->run)) {
		doze(&pause);
		if (run_stops(source->run))
			return -ECANCELED;
		if (watch_expired(source, NULL, LOST_NS))
			return burst_stuck(source);
	}
	return 0;
}

static bool is_behind(const struct source *other, uint64_t done)
{
	int phase = atomic_load_explicit(&other->phase, memory_order_relaxed);

	return other->bursts && phase < SOURCE_SETTLING && bursts_done(other) < done;
}

/* Who is stuck itself says so and is done. */
static int wait_others(struct source *source)
{
	struct run *run = source->run;
	uint64_t done = bursts_done(source);
	long pause = LOOK_MIN_NS;

	for (uint32_t i = 0; i < run->sources; i++) {
		while (is_behind(&run->source[i], done) && run_goes_on(run)) {
			if (run_stops(run))
				return -ECANCELED;
			doze(&pause);
		}
	}
	return 0;
}

int burst_go_on(struct source *source, struct burst *burst)
{
	int ret;

	if (atomic_load_explicit(&source->raised, memory_order_relaxed) - burst->raised <
	    BURST_RAISES)
		return 0;
	ret = wait_burst(source, burst);
	atomic_store_explicit(&source->bursts_done, bursts_done(source) + 1, memory_order_relaxed);
	if (!ret)
		ret = wait_others(source);
	burst_begin(source, burst);
	return ret;
}
