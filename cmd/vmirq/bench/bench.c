// SPDX-License-Identifier: MIT
/*
 * `vmirq bench` from its options to its exit code.
 */
#include "bench.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

#include "bench_machine.h"
#include "bench_pair.h"
#include "command.h"
#include "streams.h"

#define QUICK_NS UINT64_C(900000000)
#define FULL_NS	 UINT64_C(8000000000)

static void run_row(struct bench *b, const struct bench_row *row)
{
	struct bench_result *r = &b->result[b->done];
	uint64_t start = bench_now();
	int ret;

	r->row = row;
	bench_progress(b, row->name);
	ret = row->run(b);
	if (ret && !r->error[0])
		snprintf(r->error, sizeof(r->error), "%s", strerror(ret < 0 ? -ret : EIO));
	r->seconds = (double)(bench_now() - start) / 1e9;
	b->done++;
}

static int run_rows(struct bench *b)
{
	b->rows = (uint32_t)__builtin_popcount(b->options->rows);
	b->result = calloc(b->rows, sizeof(*b->result));
	if (!b->result)
		return -ENOMEM;
	for (uint32_t i = 0; i < bench_rows_count; i++) {
		if (b->options->rows >> i & 1)
			run_row(b, &bench_rows[i]);
	}
	bench_progress_clear();
	return 0;
}

static void free_rows(struct bench *b)
{
	for (uint32_t i = 0; i < b->rows; i++) {
		for (uint32_t j = 0; j < b->result[i].n; j++) {
			struct bench_case *c = b->result[i].cases[j];

			for (uint32_t k = 0; k < c->sides; k++)
				samples_free(&c->side[k].samples);
			free(c);
		}
	}
	free(b->result);
}

static bool all_good(const struct bench *b)
{
	bool good = true;

	for (uint32_t i = 0; i < b->rows; i++) {
		const struct bench_result *r = &b->result[i];

		if (!r->error[0])
			continue;
		good = false;
		fprintf(stderr, "vmirq bench: %s: %s\n", r->row->name, r->error);
	}
	return good;
}

static enum exit_code report(struct bench *b, FILE *json)
{
	int ret = 0, plotted = 0;

	if (json != stdout)
		bench_print(b, stdout);
	if (json) {
		ret = bench_write_json(b, json);
		if (json != stdout && fclose(json) == EOF && !ret)
			ret = -errno;
		if (ret && json == stdout)
			streams_failed("bench", ret);
		else if (ret)
			fprintf(stderr, "vmirq bench: --json %s: %s\n", b->options->json,
				strerror(-ret));
	}
	if (b->options->plot)
		plotted = bench_plot(b, b->options->plot);
	if (!all_good(b) || ret || (plotted && plotted != -ENOENT))
		return EXIT_FAILED;
	return plotted ? EXIT_LACKING : EXIT_OK;
}

enum exit_code command_bench(int argc, char **argv)
{
	struct bench_options options = { 0 };
	struct bench b = { .options = &options };
	enum exit_code ret;
	struct bench_machine machine;
	FILE *json = NULL;

	if (argc > 1 && strcmp(argv[1], "--mixed") == 0)
		return bench_mixed(argc - 1, argv + 1);
	ret = bench_options_parse(&options, argc, argv);
	if (ret != EXIT_OK)
		return ret;
	if (options.help) {
		bench_help();
		return EXIT_OK;
	}
	if (!streams_report("bench"))
		return EXIT_FAILED;
	/* A name that cannot be written is better known before the run than after it. */
	if (options.json) {
		json = strcmp(options.json, "-") == 0 ? stdout : fopen(options.json, "we");
		if (!json) {
			fprintf(stderr, "vmirq bench: --json %s: %s\n", options.json,
				strerror(errno));
			return EXIT_USAGE;
		}
	}
	if (options.plot && bench_plot_open(options.plot))
		return EXIT_USAGE;
	bench_machine_look(&machine);
	memcpy(b.load_before, machine.load, sizeof(b.load_before));
	bench_machine_raise_limit();
	bench_choose_cpus(&b);
	prctl(PR_SET_TIMERSLACK, 1ul);
	b.case_ns = options.quick ? QUICK_NS : FULL_NS;
	if (run_rows(&b)) {
		fputs("vmirq bench: no memory\n", stderr);
		return EXIT_FAILED;
	}
	ret = report(&b, json);
	free_rows(&b);
	return ret;
}
