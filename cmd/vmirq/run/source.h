/* SPDX-License-Identifier: MIT */
/*
 * A source of interrupts in `vmirq run`, and what every kind of source must be able to do.
 *
 * A source has one or more lanes. A lane is one way to one handler: a vector of its own on one vCPU,
 * and with most kinds a GSI with an MSI route there and an irqfd bound to it. So what arrives by a
 * vector can have come from one lane only, and no account is shared.
 *
 * One thread drives a source; fields without a remark are its own while it runs. `main` below is the
 * thread that starts and joins it.
 */
#ifndef VMIRQ_SOURCE_H
#define VMIRQ_SOURCE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <vmirq/irqfd.h>
#include <vmirq/observe.h>

#include "command.h"
#include "latency.h"
#include "services.h"

/* Of most kinds, and of any. */
#define LANES_MAX	 4
#define SOURCE_LANES_MAX 64

struct run;
struct run_options;
struct source;

struct lane {
	uint32_t gsi;
	uint32_t vector;
	uint32_t vcpu;
	/* NULL with msi, which needs no GSI, and where kind->counts() knows. */
	struct vmirq_irqfd *irqfd;
	/* The GSI is the PC's and not ours to give back. */
	bool pin;
	/* Bound to the irqfd, or -1. */
	int eventfd;
	/* What the source itself counts: its calls, sends, or the sum it wrote. Read by main. */
	_Atomic uint64_t own;
	/* mailbox: how many of them the source itself saw joined with the one before, so that the library
	 * was not given them. */
	_Atomic uint64_t merged;
	/* msi: what the sends returned. */
	uint64_t returned[VMIRQ_VERDICTS];
};

/* What a source is doing; read by main. */
enum source_phase {
	SOURCE_STARTING,
	SOURCE_WAITING, /* for its turn, or for the others */
	SOURCE_PACED,
	SOURCE_STORM,
	SOURCE_SETTLING,
	SOURCE_DONE,
};

/* What is counted by the second: each kind of source raises one of these. */
enum run_unit {
	RUN_SIGNALS,
	RUN_IPIS,
	RUN_REQUESTS, /* of a disk */
	RUN_CHANGES,  /* of routes, --churn */
	RUN_UNITS,
};

struct source_kind {
	const char *name;
	/* The way its signals go. */
	const char *path;
	/* What may stand behind a colon, or NULL. */
	const char *arg;
	/* A line for the help. */
	const char *what;
	enum run_unit unit;
	/* Raises are capped at this, but for --seconds; 0 = not. */
	uint64_t count_max;
	uint32_t lanes_max;
	/* Its next raise waits for the guest's answer to the last ones. Such a source has higher vectors than those
	 * that raise as fast as they can, or it would wait behind them for ever. */
	bool waits;
	/* Optional. How many lanes it wants, up to SOURCE_LANES_MAX; else one for each vCPU, up to lanes_max. */
	uint32_t (*lanes)(const struct run_options *options);
	/* It knows itself how often it has raised. */
	bool counts_itself;
	/* Else: what its requests are, for the remark behind their number; and why it signals less often. */
	const char *requests;
	const char *joins;

	/* Optional. Before anything starts: EXIT_OK, or EXIT_USAGE (the argument cannot work) or
	 * EXIT_LACKING (the machine) with a line in why. */
	enum exit_code (*check)(const struct run_options *options, const char *arg, char *why,
				size_t size);
	/* Optional. Main, before the guest starts: the lanes have vCPU and vector. -errno after
	 * source_fail(). */
	int (*prepare)(struct source *source);
	/* Main, before the thread starts. -errno after source_fail(). */
	int (*open)(struct source *source);
	/* Raise one. May wait for room, never for longer than a handler may take. -errno after
	 * source_fail(), or -ECANCELED: the run is ending. */
	int (*raise)(struct source *source, struct lane *lane);
	/* Optional. The handler has run: 1 if that ends the last raise, 0 to wait for it to run
	 * again, -errno after source_fail(). */
	int (*handled)(struct source *source);
	/* Optional, any thread. What the library has counted of a lane, and the source itself, where
	 * there is no one irqfd, and where lane->own does not say. */
	void (*counts)(const struct source *source, const struct lane *lane,
		       struct vmirq_route_counts *counts);
	uint64_t (*own)(const struct source *source, const struct lane *lane);
	/* Optional. How many were raised so far, where raise() does not make it one more. */
	uint64_t (*raised)(struct source *source);
	/* Optional. It is not its turn, or it is again; it begins with `rest`. What is raised already
	 * may still come. */
	void (*rest)(struct source *source, bool rest);
	/* Optional. Nothing is to be raised any more: complete and stop what may still signal. */
	int (*finish)(struct source *source);
	/* Optional, after finish(), when all that was raised has come to rest: how many interrupts the
	 * device's state shows to be missing; they are lost. */
	uint64_t (*missing)(struct source *source);
	/* Optional, at times while waiting. -errno after source_fail(): it cannot raise any more. */
	int (*alive)(struct source *source);
	/* Optional. By another thread while it raises: change the routes of its lanes. Turn n of lane
	 * n % lanes; those of the first round, and again after so many rounds as there are lanes, give it its
	 * own. -errno. */
	int (*churn)(struct source *source, uint64_t turn);
	/* Main, after the thread has ended and the vCPUs have stopped. */
	void (*close)(struct source *source);
};

/* What a kind counts besides. */
struct source_fact {
	const char *name;
	uint64_t n;
};
#define FACTS_MAX 8

/* The account of a source at its end; see run_account.c. */
struct account {
	/* Where the kernel's irqchip hides a stage: what came by vector, so that `merged` is unknown; and
	 * what eventfds were given, so that all the library's counts are. */
	bool hides_vectors;
	bool hides_raises;
	uint64_t raised;
	uint64_t delivered;
	uint64_t verdict[VMIRQ_VERDICTS];
	/* Part of verdict[VMIRQ_COALESCED]: joined with one that waited in the vCPU's IRR. */
	uint64_t merged;
	/* Part of verdict[VMIRQ_DELIVERED]: a level delivered at the end of the one before. */
	uint64_t redelivered;
	uint64_t held;
	uint64_t handled;
	/* Posted, and waiting in the vCPU's IRR to this very end. */
	uint64_t pending;
	uint64_t lost;
	uint64_t extra;
	/* The source's own count; kind->counts_itself. */
	uint64_t own;
};

struct source {
	struct run *run;
	const struct source_kind *kind;
	char name[48];
	/* As typed, or NULL. */
	const char *arg;
	/* Raises to do. */
	uint64_t count;
	/* The guest decides when the next one is: nothing is paced from here. Set by kind->open(). */
	bool drives_itself;
	/* With --bursts it raises in bursts; so many were handled, also read by the others. */
	bool bursts;
	_Atomic uint64_t bursts_done;
	uint32_t lanes;
	struct lane lane[SOURCE_LANES_MAX];
	/* How many raises were paced; behind it, their latency. */
	uint64_t paced;
	struct latency latency;
	/* Kind's own. */
	void *private;
	/* Completed and checked; kinds that do not count signals themselves. Read by main. */
	_Atomic uint64_t requests;
	/* What kind->missing() said. */
	uint64_t missing;
	/* The wait that it is in, began 0: none yet; see run_watch.c. By lane: what its vCPU had taken of higher
	 * vectors, and of all, when it was looked at last. */
	struct watch {
		uint64_t began, since;
		uint64_t others;
		uint64_t above[SOURCE_LANES_MAX], all[SOURCE_LANES_MAX];
	} watch;
	/* Its longest wait behind higher vectors, 0: none of note; and behind how many. */
	uint64_t starved_ns, starved_by;
	/* When the device began on the last raise, CLOCK_MONOTONIC in ns; 0: when it was asked to. */
	uint64_t began_at;
	/* The way its signals go, where it is not kind->path. */
	const char *path;
	/* Filled by kind->finish(), or by kind->close() where somebody still counts until then. */
	struct source_fact fact[FACTS_MAX];
	uint32_t facts;
	/* How often each of its pirqs was served, n = 0: it has none. Filled like the facts. */
	struct services services;
	/* A remark for the output, "" = none. */
	char note[600];
	/* Why it ended early, "" = it did not. Main reads it after the thread has ended. */
	char error[400];

	pthread_t thread;
	bool has_thread;
	_Atomic uint64_t raised; /* so far; read by main */
	_Atomic int phase;	 /* enum source_phase; read by main */
	/* May kind->churn() be called: by whoever holds the lock, if so. */
	pthread_mutex_t churn_lock;
	_Atomic bool churns;
	_Atomic uint64_t churned; /* turns so far; read by main */
	struct account account;	  /* main's, at the end */
};

extern const struct source_kind *const source_kinds[];
extern const uint32_t source_kind_count;
extern const struct source_kind source_call, source_eventfd, source_msi, source_vhost_user_blk;
extern const struct source_kind source_bypass;
extern const struct source_kind source_vhost_user_net, source_guest_blk, source_e1000;
extern const struct source_kind source_mailbox, source_ipi, source_msix;
extern const struct source_kind source_pirq_msi, source_pirq_intx, source_pirq_timer;

const struct source_kind *source_kind_find(const char *name, size_t len);

/* The way its signals went, at the end: kind->path, or where the kernel has a part in it. Returns buf. */
const char *source_path(const struct source *source, char *buf, size_t size);

/* Note why the source ends; the first reason stays. Returns `error`. */
int source_fail(struct source *source, int error, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* The same for a device in a process: the error, then that process's last words ("" = none); they come alone where
 * the error says no more than that it is gone. */
int source_fail_device(struct source *source, int error, const char *what, const char *words);

/* A GSI with an MSI route to the lane's vector, and an irqfd on it (eventfd may be -1, then it is
 * for vmirq_irqfd_signal()). */
int lane_bind(struct source *source, struct lane *lane, int eventfd);
/* A level: an irqfd with a resamplefd on GSI `gsi`, one of the PC's, whose pin the guest opens. */
int lane_bind_level(struct source *source, struct lane *lane, uint32_t gsi, int eventfd,
		    int resamplefd);
/* On a GSI that has been bound: again, after vmirq_irqfd_deassign(). */
int lane_bind_again(struct source *source, struct lane *lane);
/* What the library has counted of it, set `size` before; also of irqfds that are gone, on a GSI of its own. */
void lane_counts(const struct source *source, const struct lane *lane,
		 struct vmirq_route_counts *counts);
/* False: it cannot be asked. */
bool lane_is_counted(const struct source *source, const struct lane *lane);
void lane_unbind(struct source *source, struct lane *lane);
/* kind->churn() of sources whose lanes are bound by lane_bind(): each lane takes the others' routes in turn. */
int lanes_churn(struct source *source, uint64_t turn);
uint64_t lane_msi_address(const struct lane *lane);

/* What the source itself has counted. */
static inline uint64_t lane_own(const struct source *source, const struct lane *lane)
{
	return source->kind->own ? source->kind->own(source, lane)
				 : atomic_load_explicit(&lane->own, memory_order_relaxed);
}

/* How many the library was given, by the source's own count. */
static inline uint64_t lane_given(const struct source *source, const struct lane *lane)
{
	return lane_own(source, lane) - atomic_load_explicit(&lane->merged, memory_order_relaxed);
}

/* Note a count for the output. */
void source_add_fact(struct source *source, const char *name, uint64_t n);

/* One more raised by the source's own count. */
static inline void lane_count(struct lane *lane)
{
	/* One writer. */
	atomic_store_explicit(&lane->own,
			      atomic_load_explicit(&lane->own, memory_order_relaxed) + 1,
			      memory_order_relaxed);
}

#endif
