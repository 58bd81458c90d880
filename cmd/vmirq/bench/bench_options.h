/* SPDX-License-Identifier: MIT */
#ifndef VMIRQ_BENCH_OPTIONS_H
#define VMIRQ_BENCH_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "command.h"

#define BENCH_ROWS_MAX 32

struct bench_options {
	/* Bit n: row n. */
	uint32_t rows;
	bool quick;
	bool help;
	const char *json;
	const char *plot;
};

enum exit_code bench_options_parse(struct bench_options *options, int argc, char **argv);
void bench_help(void);

/* bench_mixed.c; argv[0] is "--mixed". */
enum exit_code bench_mixed(int argc, char **argv);

#endif
