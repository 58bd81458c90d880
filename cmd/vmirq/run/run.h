/* SPDX-License-Identifier: MIT */
/*
 * A run: one VM, its sources, and how it ends.
 */
#ifndef VMIRQ_RUN_H
#define VMIRQ_RUN_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <vmirq/vm.h>

#include "run_options.h"
#include "source.h"

struct vmm;

/* 0x20-0x2f are left to what a PC has there. */
#define RUN_FIRST_VECTOR 0x30u
/* Up to the spurious one, 0xff. */
#define RUN_VECTORS (0xffu - RUN_FIRST_VECTOR)

/* Why the sources are to stop before they are done. */
enum run_stop {
	RUN_GOES_ON = 0,
	RUN_INTERRUPTED, /* SIGINT or SIGTERM */
	RUN_TIMED_OUT,
	RUN_VCPU_FAILED,
};

struct run {
	const struct run_options *options;
	struct vmm *vmm;
	struct vmirq_vm *vm;
	/* "kvm" or "threads"; and why not kvm, "" = it was not a question. */
	const char *cpu;
	char cpu_note[200];

	struct source source[RUN_SOURCES_MAX];
	uint32_t sources;
	/* Kinds left out because the machine lacks what they need. */
	uint32_t skipped;
	struct {
		const char *kind;
		char why[200];
	} skip[RUN_SOURCES_MAX];

	/* What the next source gets. */
	uint32_t next_vector;
	uint32_t next_vcpu;
	uint64_t next_device_memory;
	uint32_t next_disk; /* of the guest's own */
	uint32_t next_card;

	_Atomic int stop; /* enum run_stop */
	/* Held by the source whose latency is being measured, so that it is alone. */
	pthread_mutex_t turn;
	/* How many sources have had theirs. */
	_Atomic uint32_t turns_done;

	/* --seconds: these have passed since the last source began its storm. */
	_Atomic bool time_is_up;
	struct run_rates {
		uint64_t began_ns; /* 0: not yet */
		/* Mean of the whole, over `seconds`. */
		double mean[RUN_UNITS];
		double seconds;
		/* Of the last second, and what there was at its end. */
		double last[RUN_UNITS];
		uint64_t seen[RUN_UNITS];
		uint64_t looked_ns;
	} rates;

	/* --churn. */
	pthread_t churn_thread;
	bool has_churn_thread;
	_Atomic bool churn_stop;
	char churn_error[300]; /* the thread's, "" = nothing */

	double seconds;
	/* Sums over the sources, and what came on vectors that are nobody's. */
	uint64_t lost;
	uint64_t extra;
	uint64_t pending;
	uint64_t stray;
	/* What failed that is no source's, "" = nothing. */
	char error[400];
};

static inline bool run_stops(const struct run *run)
{
	return atomic_load_explicit(&run->stop, memory_order_relaxed) != RUN_GOES_ON;
}

static inline bool run_goes_on(const struct run *run)
{
	return !atomic_load_explicit(&run->time_is_up, memory_order_relaxed);
}

/* The local APICs are the kernel's, which counts nothing by vector. */
static inline bool run_hides_vectors(const struct run *run)
{
	return run->options->irqchip != VMIRQ_IRQCHIP_SOFT;
}

/* run_wait.c */

/* CLOCK_MONOTONIC. */
uint64_t now_ns(void);

/* Waiting that takes the CPU for a moment only: spins, then yields, then sleeps. Zero to begin. */
struct backoff {
	uint32_t turns;
};
/* True on those turns that took long enough for a costly look elsewhere. */
bool backoff(struct backoff *b);

/* Wait until the guest's handler of this lane has run more often than `before`. -ETIMEDOUT after
 * `timeout_ns` (see watch_expired()), -ECANCELED when the run stops, or what kind->alive() says. */
int wait_handled(struct source *source, const struct lane *lane, uint64_t before,
		 uint64_t timeout_ns);

/* Wait, bounded, until all that the source has raised is taken and its handlers have run.
 * -ETIMEDOUT: the account will tell what is missing. */
int wait_settled(struct source *source);

/* Nothing of it is under way, as far as can be seen at once. */
bool lane_settled(const struct source *source, const struct lane *lane);
bool all_settled(const struct source *source);

/* The vCPU has yet to take one, or where the kernel has its local APIC that cannot be told. */
bool lane_may_be_pending(const struct source *source, const struct lane *lane);

/* How often the handler of a lane has run, or of all. */
uint64_t all_handled(const struct source *source);
uint64_t lane_handled(const struct source *source, const struct lane *lane);

/* Where the lane's last interrupt has got stuck, in a line. False: it knows of none. */
bool lane_where(const struct source *source, const struct lane *lane, char *buf, size_t size);

/* A raise that is not handled in this time has got stuck, unless it is starved. A handler runs within a millisecond; but on a
 * crowded machine a thread has been seen to wait for a CPU for more than three seconds. */
#define LOST_NS UINT64_C(5000000000)

/* run_watch.c: the source's own, one wait at a time, which begins by setting source->watch.began to 0. */

/* It has lasted for longer than `limit_ns`, and what is waited for (on that lane; NULL: on those that are not
 * settled) is not just starved by higher vectors; while it is, the time begins anew. */
bool watch_expired(struct source *source, const struct lane *only, uint64_t limit_ns);
/* Then: where the lane's last interrupt has got stuck, and what its vCPU did meanwhile. */
void watch_words(const struct source *source, const struct lane *lane, char *buf, size_t size);

/* run_engine.c */

/* Where the kernel has the local APICs: how many of a source's last raises are made one at a time. */
uint64_t source_marks(const struct source *source);
/* The body of a source's thread. */
void *source_main(void *opaque);

/* run_bursts.c */

#define BURST_RAISES 100
/* What the source had raised before it, and how many handlers had run. */
struct burst {
	uint64_t raised, handled;
};
void burst_begin(struct source *source, struct burst *burst);
/* After each raise: at the end of a burst it waits for its turn, and begins the next. -errno after
 * source_fail(), or -ECANCELED. */
int burst_go_on(struct source *source, struct burst *burst);

/* run_churn.c */
int run_churn_start(struct run *run);
void run_churn_stop(struct run *run);
/* The source's storm: its routes may be changed, with --churn. */
void churn_begin(struct source *source);
/* No more, and they are its own again. */
void churn_end(struct source *source);

/* run_rates.c: main's. */
extern const char *const run_unit_names[RUN_UNITS];
/* At times: what there is in each second, and whether the time is up. */
void run_rates_look(struct run *run, uint64_t now);
/* All sources are done, perhaps before it is. */
void run_rates_end(struct run *run, uint64_t now);
/* In words, without an end of line. */
void run_rates_print(const double a_second[RUN_UNITS], FILE *out);

/* run_names.c */
/* By its kind and argument, and those before it. */
void run_name_source(const struct run *run, struct source *source);
/* Of the longest one, in columns; a table's first is no narrower than it always was. */
int run_name_width(const struct run *run);

/* run_sources.c */
enum exit_code run_choose_sources(struct run *run);
/* Before the guest starts. */
int run_prepare_sources(struct run *run);
int run_open_sources(struct run *run);
void run_close_sources(struct run *run);

/* run_account.c: after the last thread has ended, before the sources are closed. */
void run_account(struct run *run);
bool run_is_good(const struct run *run);

/* Output. */
/* What a raise costs beside it, where the guest runs in KVM: it must come out. NULL: it does not. */
const char *run_kick(const struct run *run);
void run_print_table(const struct run *run, FILE *out);
/* What went wrong only, a line each, where the table is not printed. */
void run_print_failures(const struct run *run, FILE *out);
/* 0 or -errno. */
int run_write_json(const struct run *run, FILE *out);
const char *run_stop_name(enum run_stop stop);
/* On a terminal: where the run is, in one line that is written over. */
void run_progress(const struct run *run, double seconds);
void run_progress_clear(void);
/* run_whereabouts.c: where everything is; looks for a second at most whether it gets on. */
void run_print_whereabouts(const struct run *run, FILE *out);

#endif
