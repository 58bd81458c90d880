/* SPDX-License-Identifier: MIT */
/*
 * vmirq diff: random operations on two irqchips side by side.
 */
#ifndef VMIRQ_DIFF_H
#define VMIRQ_DIFF_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "command.h"
#include "diff_area.h"
#include "diff_session.h"

#define DIFF_AREAS_MAX 8
/* Of a script: VMs are made anew for each. */
#define DIFF_SCRIPT_OPS 1000

struct diff_options {
	const struct area_set *against;
	const char *area; /* as it was said */
	uint32_t areas;	  /* of it: a bit each */
	const char *json;
	const char *replay;
	uint64_t ops; /* 0 = the usual number */
	uint64_t seed;
	bool help;
};

struct diff_run {
	const struct diff_options *options;
	struct tally tally[DIFF_AREAS_MAX]; /* as in options->against */
	double seconds;
	char why[300];
};

/* diff_options.c. Not EXIT_OK: said why. */
enum exit_code diff_options_parse(struct diff_options *options, int argc, char **argv);
void diff_help(void);

/* diff_report.c */
bool diff_area_wanted(const struct diff_options *options, size_t area);
void diff_sum(const struct diff_run *run, struct tally *sum);
void diff_print(const struct diff_run *run, FILE *out);
/* -errno */
int diff_write_json(const struct diff_run *run, FILE *out);
void diff_progress(const struct diff_run *run, size_t area);
void diff_progress_clear(void);

#endif
