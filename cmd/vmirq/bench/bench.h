/* SPDX-License-Identifier: MIT */
/*
 * `vmirq bench`: rows, each of libvmirq, its peers and the floor, measured in turns.
 */
#ifndef VMIRQ_BENCH_H
#define VMIRQ_BENCH_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "bench_options.h"
#include "bench_samples.h"

#define BENCH_SIDES_MAX	  5
#define BENCH_TARGETS_MAX 4
#define BENCH_VALUES_MAX  6
#define BENCH_CASES_MAX	  12

enum bench_role { BENCH_OURS, BENCH_PEER, BENCH_FLOOR };

/* Who is measured. */
struct bench_side {
	const char *name;
	enum bench_role role;
	struct samples samples;
	/* What bench_measure() times: the whole of a slice; `batch` is what it divides by. */
	void (*slice)(void *opaque, uint32_t batch);
	/* What it does before each slice and does not time, or NULL. */
	void (*prepare)(void *opaque);
	void *opaque;
	void *prepare_opaque; /* NULL = the same */
	uint32_t batch;
	/* Operations of the row's unit in one of the batch; 0 = 1. */
	double weight;
};

/* What a target bounds. Ratios are of medians. */
enum bench_bound {
	BENCH_FLOOR_MAX, /* ours / floor */
	BENCH_PEER_MIN,	 /* peer / ours */
	BENCH_PEER_MAX,	 /* ours / peer */
	BENCH_P99_MAX,	 /* ours, in the row's unit */
	BENCH_VALUE_MAX,
};

struct bench_target {
	enum bench_bound bound;
	const char *of; /* the peer or the value */
	double limit;
};

/* A figure that is no duration. */
struct bench_value {
	const char *name;
	double value;
};

/* A row, or one of several sizes and kinds of one row. */
struct bench_case {
	const char *name;
	const char *unit;
	struct bench_side side[BENCH_SIDES_MAX];
	uint32_t sides;
	/* Each slice is also run once before it is measured. */
	bool warm;
	struct bench_target target[BENCH_TARGETS_MAX];
	uint32_t targets;
	struct bench_value value[BENCH_VALUES_MAX];
	uint32_t values;
	char note[1200];
};

struct bench;

struct bench_row {
	const char *name;
	const char *what;
	/* 0, or -errno: then what is there is shown with the error. */
	int (*run)(struct bench *b);
};

/* What came of a row. The first case is the row itself. */
struct bench_result {
	const struct bench_row *row;
	struct bench_case *cases[BENCH_CASES_MAX];
	uint32_t n;
	double seconds;
	/* An interrupt was lost, torn or unaccounted for. */
	uint64_t lost;
	/* What failed, "" = nothing. */
	char error[300];
};

struct bench {
	const struct bench_options *options;
	struct bench_result *result; /* of all rows; the present one is result[done] */
	uint32_t done;
	uint32_t rows;
	/* How long a case measures, about. */
	uint64_t case_ns;
	/* Where the two threads of a row run; the same twice where there is one CPU. */
	int cpu[2];
	double load_before[3];
};

extern const struct bench_row bench_rows[];
extern const uint32_t bench_rows_count;
const struct bench_row *bench_row_find(const char *name, size_t len);

/* bench_case.c */

/* NULL: no memory, or too many. */
struct bench_case *bench_case(struct bench *b, const char *name, const char *unit);
struct bench_side *bench_side(struct bench_case *c, enum bench_role role, const char *name);
void bench_target(struct bench_case *c, enum bench_bound bound, const char *of, double limit);
void bench_value(struct bench_case *c, const char *name, double value);
/* Appends. */
void bench_note(struct bench_case *c, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* What is missing: ours stays null. */
void bench_not_there(struct bench_case *c, const char *what);
/* Something that ought to be there is not, or was counted wrongly. */
void bench_lost(struct bench *b, uint64_t n, const char *what);

struct bench_side *bench_find(struct bench_case *c, enum bench_role role, const char *name);
/* False: one of the two has not been measured. */
bool bench_ratio(struct bench_side *above, struct bench_side *below, double *ratio);
/* True: it was measured, and this is what it came to. */
bool bench_target_value(struct bench_case *c, const struct bench_target *t, double *value);
bool bench_target_met(struct bench_case *c, const struct bench_target *t);
bool bench_case_met(struct bench_case *c);
bool bench_row_met(struct bench_result *r);

/* bench_measure.c */

/* CLOCK_MONOTONIC. */
uint64_t bench_now(void);
/* All sides that have a slice(), in turns, for `ns`; at least a few turns. */
void bench_measure(struct bench_case *c, uint64_t ns);
void bench_progress(const struct bench *b, const char *what);
void bench_progress_clear(void);

/* Output. */
void bench_print(struct bench *b, FILE *out);
int bench_write_json(struct bench *b, FILE *out); /* 0 or -errno */
/* Before anything is measured: make the directory. An error is said. */
int bench_plot_open(const char *dir);
int bench_plot(struct bench *b, const char *dir); /* 0, or what failed is said */

#endif
