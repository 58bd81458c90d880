/* SPDX-License-Identifier: MIT */
/* Host timers as pirqs, whether as fast as they can or at a rate. */
#ifndef VMIRQ_SOURCE_PIRQ_TIMER_H
#define VMIRQ_SOURCE_PIRQ_TIMER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "source_pirq.h"

/* The storm, one thread after the other: the source's, the worker's in unmask. */
struct timer {
	struct timers *all;
	struct vmirq_pirq *pirq;
	_Atomic uint64_t raised;
	/* In the storm. */
	_Atomic uint64_t services;
	/* When it was raised, in ns, and after how many services of all; 0: nobody waits. */
	_Atomic uint64_t raised_at, raised_after;
};

struct timers {
	struct source *source;
	struct pirqs pirqs;
	uint32_t n;
	struct timer *timer;
	/* The next of each lane that is raised alone. */
	uint32_t next[SOURCE_LANES_MAX];

	_Atomic uint64_t raised;   /* all */
	_Atomic uint64_t services; /* all, also alone */
	_Atomic int64_t tickets;   /* raises that the storm may still make */
	_Atomic bool storms;
	bool saturated; /* the storm began with all of them raised */
	_Atomic uint64_t worst_wait_runs, worst_wait_ns;

	/* The source's thread. */
	bool hands_over;
	uint64_t handovers;
	uint64_t seen, seen_at; /* `raised`, when it last moved */

	/* --rate: an epoll and a timerfd for each. */
	int epoll;
	int *fd;
	uint64_t expirations, merged;
};

/* source_pirq_timer_raise.c */
/* One is free: take it. */
bool timers_take_ticket(struct timers *all);
/* It has expired, its ticket is taken. `now` 0: how long it waits is of no interest, as where this thread may be
 * held up before it comes to raise it, while others are served. */
void timer_raise(struct timer *timer, uint64_t now);
/* Its `unmask`: the worker has delivered it. One thread at a time for each. */
void timer_served(void *timer);

/* source_pirq_timerfd.c */
/* Room for so many of each such source, and for the rest of the run? Else why not. */
bool timerfds_fit(const struct run_options *options, uint32_t n, char *why, size_t size);
int timerfds_open(struct timers *all);
/* Start them, one after the other; wait for some, for 10 ms at most, and raise those. */
int timerfds_start(struct timers *all);
int timerfds_wait(struct timers *all);
void timerfds_close(struct timers *all);

#endif
