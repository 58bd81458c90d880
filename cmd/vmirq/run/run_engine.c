// SPDX-License-Identifier: MIT
/*
 * What a source's thread does: measure alone, wait for the others, raise, settle.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>

#include "run.h"
#include "vmm.h"

/* Without --paced, so many raises at most and so long at most are used for the latency. */
#define SAMPLE_RAISES 10000
#define SAMPLE_NS     UINT64_C(2000000000)

static void enter(struct source *source, enum source_phase phase)
{
	atomic_store_explicit(&source->phase, phase, memory_order_relaxed);
}

static uint64_t raised_so_far(struct source *source)
{
	return atomic_load_explicit(&source->raised, memory_order_relaxed);
}

static int raise_next(struct source *source)
{
	uint64_t n = raised_so_far(source);
	int ret = source->kind->raise(source, &source->lane[n % source->lanes]);

	if (!ret)
		atomic_store_explicit(&source->raised,
				      source->kind->raised ? source->kind->raised(source) : n + 1,
				      memory_order_relaxed);
	return ret;
}

/* Nothing has come of the last raise in time. */
static int no_handler(struct source *source, const struct lane *lane)
{
	char where[360];

	watch_words(source, lane, where, sizeof(where));
	/* Where a raise asks a device to do something, the device may be what is late. */
	if (source->kind->handled && source->kind->handled(source) == 0)
		return source_fail(source, -ETIMEDOUT,
				   "the device has not answered request %llu within 5 s",
				   (unsigned long long)raised_so_far(source));
	return source_fail(source, -ETIMEDOUT, "no handler within 5 s of raise %llu: %s",
			   (unsigned long long)raised_so_far(source), where);
}

/* Raise one and wait for its handler. */
static int raise_paced(struct source *source)
{
	struct lane *lane = &source->lane[raised_so_far(source) % source->lanes];
	uint64_t before = lane_handled(source, lane), start = now_ns(), end;
	int ret = raise_next(source);

	while (!ret) {
		ret = wait_handled(source, lane, before, LOST_NS);
		if (ret)
			break;
		end = now_ns();
		before = lane_handled(source, lane);
		ret = source->kind->handled ? source->kind->handled(source) : 1;
		if (ret == 1) {
			/* Amid the crowd, a latency is the crowd's. */
			if (atomic_load_explicit(&source->phase, memory_order_relaxed) ==
			    SOURCE_PACED) {
				source->paced++;
				/* What a device says of itself is not believed blindly. */
				if (source->began_at > start && source->began_at < end)
					start = source->began_at;
				latency_add(&source->latency, end - start);
			}
			return 0;
		}
	}
	return ret == -ETIMEDOUT ? no_handler(source, lane) : ret;
}

static void rest(struct source *source, bool rests)
{
	if (source->kind->rest)
		source->kind->rest(source, rests);
}

static int paced(struct source *source, uint64_t raises, uint64_t limit_ns)
{
	uint64_t start = now_ns();
	int ret = 0;

	enter(source, SOURCE_PACED);
	rest(source, false);
	for (uint64_t i = 0; i < raises && !ret && run_goes_on(source->run); i++) {
		if (run_stops(source->run))
			return -ECANCELED;
		if (limit_ns && now_ns() - start > limit_ns)
			break;
		ret = raise_paced(source);
	}
	return ret;
}

/* Where the kernel has the local APICs, what has been merged cannot be told from what is lost. But the
 * last raise of a lane, alone, must bring its handler. */
uint64_t source_marks(const struct source *source)
{
	bool marks = run_hides_vectors(source->run) && source->kind->counts_itself &&
		     !source->drives_itself;

	return marks ? source->lanes : 0;
}

static int raise_freely(struct source *source, uint64_t count)
{
	struct burst burst;
	int ret = 0;

	burst_begin(source, &burst);
	while (raised_so_far(source) < count && !ret && run_goes_on(source->run)) {
		if (run_stops(source->run))
			return -ECANCELED;
		ret = raise_next(source);
		if (!ret && source->bursts)
			ret = burst_go_on(source, &burst);
	}
	return ret;
}

static int storm(struct source *source)
{
	uint64_t marks = source_marks(source), end;
	int ret;

	enter(source, SOURCE_STORM);
	rest(source, false);
	churn_begin(source);
	ret = raise_freely(source, source->count > marks ? source->count - marks : 0);
	churn_end(source);
	if (!ret && marks)
		ret = wait_settled(source);
	end = raised_so_far(source) + marks;
	while (raised_so_far(source) < (end < source->count ? end : source->count) && !ret)
		ret = raise_paced(source);
	return ret;
}

/* For --seconds, too, which begin when all have. */
static void wait_for_others(struct source *source)
{
	struct run *run = source->run;
	struct backoff b = { 0 };

	enter(source, SOURCE_WAITING);
	atomic_fetch_add_explicit(&run->turns_done, 1, memory_order_relaxed);
	while (atomic_load_explicit(&run->turns_done, memory_order_relaxed) < run->sources &&
	       !run_stops(run))
		backoff(&b);
}

/* A part of the raises, one source at a time, so that a latency is the path's and not the crowd's;
 * then all at once. */
static int sample_and_storm(struct source *source)
{
	struct run *run = source->run;
	uint64_t raises = source->drives_itself ? 0 : (source->count + 1) / 2;
	int ret;

	enter(source, SOURCE_WAITING);
	pthread_mutex_lock(&run->turn);
	ret = paced(source, raises < SAMPLE_RAISES ? raises : SAMPLE_RAISES, SAMPLE_NS);
	rest(source, true);
	pthread_mutex_unlock(&run->turn);

	wait_for_others(source);
	return ret ? ret : storm(source);
}

/* All at once, from the first raise to the last: with --paced, and with --seconds. */
static int all_at_once(struct source *source)
{
	bool waits = source->run->options->paced && !source->drives_itself;

	wait_for_others(source);
	return waits ? paced(source, source->count, 0) : storm(source);
}

static void settle(struct source *source)
{
	char where[300];

	enter(source, SOURCE_SETTLING);
	if (wait_settled(source) != -ETIMEDOUT)
		return;
	for (uint32_t i = 0; i < source->lanes; i++) {
		if (lane_where(source, &source->lane[i], where, sizeof(where)))
			source_fail(source, -ETIMEDOUT, "did not come to rest: %s", where);
	}
}

void *source_main(void *opaque)
{
	struct source *source = opaque;
	int ret;

	/* The kernel may lengthen a sleep by 50 us otherwise, which is longer than what we wait for. */
	prctl(PR_SET_TIMERSLACK, 1ul);
	/* A device may signal once when it is set up; that must not pass for the first handler. */
	settle(source);
	if (source->run->options->paced || source->run->options->seconds)
		ret = all_at_once(source);
	else
		ret = sample_and_storm(source);
	rest(source, false);
	if (source->kind->finish) {
		int error = source->kind->finish(source);

		ret = ret ? ret : error;
	}
	if (ret && ret != -ECANCELED)
		source_fail(source, ret, "%s", strerror(-ret));
	settle(source);
	if (source->kind->missing)
		source->missing = source->kind->missing(source);
	/* Release: pairs with main's acquire; the error and the counts are there. */
	atomic_store_explicit(&source->phase, SOURCE_DONE, memory_order_release);
	return NULL;
}
