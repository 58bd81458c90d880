// SPDX-License-Identifier: MIT
/*
 * --churn: a thread that changes routes while interrupts go by them. A source lets it from the beginning of
 * its storm to the end; its lanes then have their own routes again.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <vmirq/route.h>

#include "run.h"

#define IDLE_NS 1000000
/* With --bursts, between one change of each source's and the next: a CPU is for others, too. */
#define BURSTS_NS 50000

static int set_route(struct source *source, const struct lane *lane, const struct lane *to)
{
	return vmirq_route_set_msi(source->run->vm, lane->gsi, lane_msi_address(to), to->vector);
}

int lanes_churn(struct source *source, uint64_t turn)
{
	uint64_t i = turn % source->lanes, to = (i + turn / source->lanes) % source->lanes;

	return set_route(source, &source->lane[i], &source->lane[to]);
}

static uint64_t churned(const struct source *source)
{
	return atomic_load_explicit(&source->churned, memory_order_relaxed);
}

/* A round gives each lane one other route; after the first of as many rounds as lanes, it is its own. */
static bool is_home(const struct source *source)
{
	uint64_t lanes = source->lanes;

	return churned(source) % (lanes * lanes) == lanes % (lanes * lanes);
}

static int churn(struct source *source)
{
	uint64_t turn = churned(source);
	int ret = source->kind->churn(source, turn);

	/* One writer at a time, under the lock. */
	atomic_store_explicit(&source->churned, turn + 1, memory_order_relaxed);
	return ret;
}

static void fail(struct source *source, int error)
{
	struct run *run = source->run;

	if (!run->churn_error[0])
		snprintf(run->churn_error, sizeof(run->churn_error),
			 "%s: change %llu of its routes: %s", source->name,
			 (unsigned long long)churned(source), strerror(-error));
}

static bool churns(struct source *source)
{
	return atomic_load_explicit(&source->churns, memory_order_relaxed);
}

void churn_begin(struct source *source)
{
	if (source->run->options->churn && source->kind->churn)
		atomic_store_explicit(&source->churns, true, memory_order_relaxed);
}

void churn_end(struct source *source)
{
	int ret = 0;

	if (!churns(source))
		return;
	/* First, so that the thread does not want the lock for long. */
	atomic_store_explicit(&source->churns, false, memory_order_relaxed);
	pthread_mutex_lock(&source->churn_lock);
	while (!ret && !is_home(source))
		ret = churn(source);
	if (ret)
		source_fail(source, ret, "its routes: %s", strerror(-ret));
	pthread_mutex_unlock(&source->churn_lock);
}

static bool churn_turn(struct source *source)
{
	int ret;

	if (!churns(source))
		return false;
	pthread_mutex_lock(&source->churn_lock);
	ret = churns(source) ? churn(source) : 0;
	if (ret) {
		fail(source, ret);
		atomic_store_explicit(&source->churns, false, memory_order_relaxed);
	}
	pthread_mutex_unlock(&source->churn_lock);
	return true;
}

static void *churn_main(void *opaque)
{
	const struct timespec idle = { .tv_nsec = IDLE_NS }, bursts = { .tv_nsec = BURSTS_NS };
	struct run *run = opaque;

	while (!atomic_load_explicit(&run->churn_stop, memory_order_relaxed)) {
		bool any = false;

		for (uint32_t i = 0; i < run->sources; i++)
			any |= churn_turn(&run->source[i]);
		if (!any)
			nanosleep(&idle, NULL);
		else if (run->options->bursts)
			nanosleep(&bursts, NULL);
	}
	return NULL;
}

int run_churn_start(struct run *run)
{
	int ret;

	if (!run->options->churn)
		return 0;
	ret = -pthread_create(&run->churn_thread, NULL, churn_main, run);
	run->has_churn_thread = !ret;
	return ret;
}

void run_churn_stop(struct run *run)
{
	if (!run->has_churn_thread)
		return;
	atomic_store_explicit(&run->churn_stop, true, memory_order_relaxed);
	pthread_join(run->churn_thread, NULL);
	run->has_churn_thread = false;
	if (run->churn_error[0] && !run->error[0])
		snprintf(run->error, sizeof(run->error), "%s", run->churn_error);
}
