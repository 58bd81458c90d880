// SPDX-License-Identifier: MIT
/*
 * Host timers, thousands of them, each a pirq. Without a rate a timer expires again as soon as its interrupt has been
 * delivered: `unmask` raises it, so that all are always waiting for their turn, and how often each has had
 * it is the worker's doing alone. The storm ends when all together have been raised so often; none has a share
 * of that. With a rate they are timerfds.
 */
#include "source_pirq_timer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "run.h"

#define PIRQS	 64
#define SLICE_NS 10000000
#define LOOK_NS	 500000

static uint32_t how_many(const struct run_options *options)
{
	return options->pirqs ? options->pirqs : PIRQS;
}

static uint32_t timer_lanes(const struct run_options *options)
{
	uint32_t n = how_many(options);

	return n < SOURCE_LANES_MAX ? n : SOURCE_LANES_MAX;
}

static enum exit_code timer_check(const struct run_options *options, const char *arg, char *why,
				  size_t size)
{
	if (arg && strcmp(arg, "handover") != 0) {
		snprintf(why, size, "'%.100s': must be handover", arg);
		return EXIT_USAGE;
	}
	if (options->rate && !timerfds_fit(options, how_many(options), why, size))
		return EXIT_LACKING;
	return EXIT_OK;
}

static int bind_all(struct timers *all)
{
	int ret = pirqs_open(all->source, &all->pirqs, all->n, true);

	for (uint32_t i = 0; i < all->n && !ret; i++) {
		struct timer *timer = &all->timer[i];
		const struct vmirq_pirq_config config = { .size = sizeof(config),
							  .eventfd = -1,
							  .unmask = timer_served,
							  .opaque = timer };

		timer->all = all;
		ret = pirqs_add(all->source, &all->pirqs, &config);
		timer->pirq = ret ? NULL : all->pirqs.pirq[i];
	}
	return ret;
}

static int timer_open(struct source *source)
{
	const struct run_options *options = source->run->options;
	struct timers *all = calloc(1, sizeof(*all));
	int ret;

	if (!all)
		return source_fail(source, -ENOMEM, "no memory");
	source->private = all;
	all->source = source;
	all->epoll = -1;
	all->hands_over = source->arg != NULL;
	all->n = how_many(options);
	all->timer = calloc(all->n, sizeof(*all->timer));
	if (!all->timer || services_init(&source->services, all->n))
		return source_fail(source, -ENOMEM, "no memory");
	if (all->n > source->lanes)
		snprintf(source->note, sizeof(source->note),
			 "%u pirqs share %u vectors: handlers are held against their sums", all->n,
			 source->lanes);
	/* With a rate it has its own measure. */
	source->bursts &= !options->rate;
	ret = bind_all(all);
	return ret || !options->rate ? ret : timerfds_open(all);
}

/* The next one of a lane. */
static int raise_alone(struct timers *all, const struct lane *lane)
{
	uint32_t l = (uint32_t)(lane - all->source->lane);
	uint32_t i = all->next[l]++ % pirqs_of_lane(all->source, &all->pirqs, lane);

	atomic_store_explicit(&all->storms, false, memory_order_relaxed);
	all->expirations++;
	timer_raise(&all->timer[l + i * all->source->lanes], now_ns());
	return 0;
}

/* Its handler has run, but the worker may not have told us yet that it delivered the last one raised alone. */
static void wait_served(struct timers *all)
{
	struct backoff b = { 0 };

	for (uint64_t end = now_ns() + LOST_NS; now_ns() < end && !run_stops(all->source->run);) {
		if (atomic_load_explicit(&all->services, memory_order_relaxed) >=
		    atomic_load_explicit(&all->raised, memory_order_relaxed))
			return;
		backoff(&b);
	}
}

static int start_storm(struct timers *all, uint64_t raises)
{
	int ret;

	wait_served(all);
	all->seen_at = now_ns();
	atomic_store_explicit(&all->tickets, (int64_t)raises, memory_order_relaxed);
	all->saturated = !all->fd && raises >= all->n;
	if (all->fd) {
		atomic_store_explicit(&all->storms, true, memory_order_relaxed);
		return timerfds_start(all);
	}
	/* Services count from where all are waiting: until then nobody serves. */
	vmirq_worker_stop(all->pirqs.worker);
	for (uint32_t i = 0; i < all->n && timers_take_ticket(all); i++)
		timer_raise(&all->timer[i], 0);
	atomic_store_explicit(&all->storms, true, memory_order_relaxed);
	ret = vmirq_worker_start(all->pirqs.worker, -1);
	return ret ? source_fail(all->source, ret, "no thread for the worker: %s", strerror(-ret))
		   : 0;
}

static bool has_tickets(struct timers *all)
{
	return atomic_load_explicit(&all->tickets, memory_order_relaxed) > 0;
}

/* A while of the storm, which goes on by itself. */
static int look_on(struct timers *all)
{
	const struct timespec pause = { .tv_nsec = LOOK_NS };
	uint64_t raised;

	for (uint64_t end = now_ns() + SLICE_NS; has_tickets(all) && now_ns() < end;)
		nanosleep(&pause, NULL);
	raised = atomic_load_explicit(&all->raised, memory_order_relaxed);
	if (raised != all->seen)
		all->seen_at = now_ns();
	all->seen = raised;
	if (now_ns() - all->seen_at > LOST_NS)
		return source_fail(all->source, -ETIMEDOUT,
				   "none of %u pirqs was delivered for 5 s", all->n);
	return 0;
}

static int storm(struct timers *all, uint64_t left)
{
	int ret = 0;

	if (!atomic_load_explicit(&all->storms, memory_order_relaxed))
		ret = start_storm(all, left);
	if (!ret)
		ret = all->fd ? timerfds_wait(all) : look_on(all);
	if (!ret && all->hands_over) {
		ret = pirqs_hand_over(all->source, &all->pirqs);
		all->handovers++;
	}
	return ret;
}

static int timer_raise_next(struct source *source, struct lane *lane)
{
	struct timers *all = source->private;
	uint64_t left = source->count - atomic_load_explicit(&source->raised, memory_order_relaxed);
	uint64_t marks = source_marks(source);
	bool storms = atomic_load_explicit(&source->phase, memory_order_relaxed) == SOURCE_STORM;

	if (storms && source->bursts && all->hands_over && left % BURST_RAISES == 0) {
		int ret = pirqs_hand_over(source, &all->pirqs);

		all->handovers++;
		if (ret)
			return ret;
	}
	/* The marks come alone, behind the storm, and what is in bursts does not go on by itself. */
	if (!storms || source->bursts || left <= marks)
		return raise_alone(all, lane);
	return storm(all, left - marks);
}

static uint64_t timer_raised(struct source *source)
{
	const struct timers *all = source->private;

	return atomic_load_explicit(&all->raised, memory_order_relaxed);
}

static int timer_finish(struct source *source)
{
	struct timers *all = source->private;

	/* Whoever has taken one before raises it yet. */
	atomic_store_explicit(&all->tickets, 0, memory_order_relaxed);
	return 0;
}

static void timer_counts(const struct source *source, const struct lane *lane,
			 struct vmirq_route_counts *counts)
{
	const struct timers *all = source->private;

	pirqs_lane_counts(source, &all->pirqs, lane, counts);
}

static uint64_t timer_own(const struct source *source, const struct lane *lane)
{
	const struct timers *all = source->private;
	uint64_t n = 0;

	for (uint32_t i = (uint32_t)(lane - source->lane); i < all->n; i += source->lanes)
		n += atomic_load_explicit(&all->timer[i].raised, memory_order_relaxed);
	return n;
}

/* In the storm, or else what there was. */
static void tell_services(struct timers *all, struct services *s)
{
	bool stormed = all->saturated || all->fd;

	for (uint32_t i = 0; i < all->n; i++)
		s->of[i] = stormed ? atomic_load(&all->timer[i].services)
				   : atomic_load(&all->timer[i].raised);
	s->saturated = all->saturated;
	s->waits = stormed;
	s->worst_wait_runs = atomic_load(&all->worst_wait_runs);
	s->worst_wait_ns = atomic_load(&all->worst_wait_ns);
}

/* Nobody raises or serves any more. */
static void tell(struct source *source)
{
	struct timers *all = source->private;
	struct services *s = &source->services;
	uint64_t runs = pirqs_runs(&all->pirqs), services = atomic_load(&all->services);
	uint64_t raised = atomic_load(&all->raised);

	tell_services(all, s);
	if (services != runs)
		source_fail(source, -EPROTO, "%llu deliveries by the library's count, %llu by ours",
			    (unsigned long long)runs, (unsigned long long)services);
	source_add_fact(source, "runs", runs);
	if (all->hands_over)
		source_add_fact(source, "handovers", all->handovers);
	if (!all->fd)
		return;
	if (all->expirations != raised + all->merged)
		source_fail(source, -EPROTO, "%llu expirations, but %llu raised and %llu merged",
			    (unsigned long long)all->expirations, (unsigned long long)raised,
			    (unsigned long long)all->merged);
	source_add_fact(source, "expirations", all->expirations);
	source_add_fact(source, "expirations_merged", all->merged);
}

static void timer_close(struct source *source)
{
	struct timers *all = source->private;

	if (!all)
		return;
	/* Where it did not get that far there is nothing to tell. */
	if (all->pirqs.n == all->n && source->has_thread)
		tell(source);
	else
		services_free(&source->services);
	timerfds_close(all);
	pirqs_close(&all->pirqs);
	free(all->timer);
	free(all);
}

const struct source_kind source_pirq_timer = {
	.name = "pirq-timer",
	.path = "pirq -> worker -> post",
	.arg = "handover",
	.what = "host timers (--pirqs of them), each of which expires again as soon as a worker has\n"
		"                           delivered it, or --rate times a second; handover: the worker is\n"
		"                           taken away all the time, and another has its place",
	.lanes_max = SOURCE_LANES_MAX,
	.lanes = timer_lanes,
	.counts_itself = true,
	.check = timer_check,
	.open = timer_open,
	.raise = timer_raise_next,
	.counts = timer_counts,
	.own = timer_own,
	.raised = timer_raised,
	.finish = timer_finish,
	.close = timer_close,
};
