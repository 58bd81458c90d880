// SPDX-License-Identifier: MIT
#include "diff.h"

#include <errno.h>
#include <inttypes.h>
#include <sched.h>
#include <string.h>

#include "diff_shrink.h"
#include "streams.h"
#include "watchdog.h"

/* Of each area this many differences are shrunk and shown; after that many it is given up. */
#define SHOWN_MAX      6
#define MISMATCHES_MAX 40
#define SHRINK_SECONDS 30.0

/* Differences seen in an area, so that each is shown once. */
struct seen {
	size_t n;
	struct {
		enum object object;
		uint32_t reg;
		enum op_kind kind;
	} difference[SHOWN_MAX];
};

static bool seen_before(struct seen *seen, const struct difference *d, const struct op *op)
{
	for (size_t i = 0; i < seen->n; i++)
		if (seen->difference[i].object == d->object && seen->difference[i].reg == d->reg &&
		    seen->difference[i].kind == op->kind)
			return true;
	if (seen->n == SHOWN_MAX)
		return true;
	seen->difference[seen->n].object = d->object;
	seen->difference[seen->n].reg = d->reg;
	seen->difference[seen->n++].kind = op->kind;
	return false;
}

static void show(const struct script *script, const struct difference *d, const char *why)
{
	char text[300];

	difference_format(script, d, text, sizeof(text));
	fprintf(stderr, "# %s%s%s\n", text, why[0] ? "; " : "", why);
	op_format(&script->op[d->op], text, sizeof(text));
	fprintf(stderr, "# at operation %zu: %s\n", d->op + 1, text);
	script_print(script, stderr);
	fputc('\n', stderr);
}

/* A script's difference, shrunk and shown if it is a new one. */
static void explain(struct script *script, struct difference *d, struct seen *seen, const char *why)
{
	size_t before = script->n;

	if (seen_before(seen, d, &script->op[d->op]))
		return;
	script_shrink(script, d, SHRINK_SECONDS);
	diff_progress_clear();
	fprintf(stderr, "# a mismatch; %zu of %zu operations are left\n", script->n, before);
	show(script, d, why);
}

static int run_area(struct diff_run *run, size_t index, uint64_t ops)
{
	struct tally *tally = &run->tally[index];
	struct dice dice = { run->options->seed * DIFF_AREAS_MAX + index };
	struct seen seen = { .n = 0 };
	int ret = 0;

	while (tally->ops < ops && ret >= 0 && tally->mismatches < MISMATCHES_MAX) {
		uint64_t left = ops - tally->ops;
		struct script script = { .area = NULL };
		struct difference difference = { .op = 0 };

		run->why[0] = '\0';
		ret = area_throw(run->options->against->area[index], dice_roll(&dice),
				 left < DIFF_SCRIPT_OPS ? left : DIFF_SCRIPT_OPS, &script);
		if (!ret)
			ret = session_execute(&script, tally, &difference, run->why,
					      sizeof(run->why));
		if (ret == 1) {
			tally->mismatches++;
			explain(&script, &difference, &seen, run->why);
		}
		script_free(&script);
		diff_progress(run, index);
	}
	return ret < 0 ? ret : 0;
}

static bool enough_compared(const struct diff_run *run)
{
	for (size_t i = 0; i < run->options->against->n; i++)
		if (run->tally[i].compared * 2 < run->tally[i].ops)
			return false;
	return true;
}

static enum exit_code failed(int error, const char *why)
{
	diff_progress_clear();
	fprintf(stderr, "vmirq diff: %s\n", why[0] ? why : strerror(-error));
	return error == -ENODEV ? EXIT_LACKING : EXIT_FAILED;
}

static int write_json(const struct diff_run *run)
{
	FILE *out = strcmp(run->options->json, "-") == 0 ? stdout : fopen(run->options->json, "we");
	int ret = out ? diff_write_json(run, out) : -errno;

	if (out && out != stdout && fclose(out) == EOF && !ret)
		ret = -errno;
	if (ret && out == stdout)
		streams_failed("diff", ret);
	else if (ret)
		fprintf(stderr, "vmirq diff: --json %s: %s\n", run->options->json, strerror(-ret));
	return ret;
}

/* Found out before the work, not after. */
static bool can_write(const char *name)
{
	FILE *file;

	if (!name || strcmp(name, "-") == 0)
		return true;
	file = fopen(name, "we");
	if (!file) {
		fprintf(stderr, "vmirq diff: --json %s: %s\n", name, strerror(errno));
		return false;
	}
	fclose(file);
	return true;
}

static enum exit_code run_areas(struct diff_run *run)
{
	const struct diff_options *options = run->options;
	uint64_t start = diff_now(), areas_wanted = (uint64_t)__builtin_popcount(options->areas);
	struct tally sum;
	int ret = 0;

	if (!can_write(options->json))
		return EXIT_USAGE;
	for (size_t i = 0; i < options->against->n && ret >= 0; i++)
		if (diff_area_wanted(options, i))
			ret = run_area(run, i, (options->ops + areas_wanted - 1) / areas_wanted);
	if (ret < 0)
		return failed(ret, run->why);
	diff_progress_clear();
	run->seconds = (double)(diff_now() - start) / 1e9;
	if (!options->json || strcmp(options->json, "-") != 0)
		diff_print(run, stdout);
	if (options->json && write_json(run))
		return EXIT_FAILED;
	diff_sum(run, &sum);
	return sum.mismatches || !enough_compared(run) ? EXIT_FAILED : EXIT_OK;
}

static enum exit_code replay(const char *path)
{
	struct difference difference;
	struct script script;
	char why[300] = "";
	size_t line;
	int ret = script_read(&script, path, &line);

	if (ret) {
		if (line)
			fprintf(stderr, "vmirq diff: %s:%zu: not a line of a script\n", path, line);
		else
			fprintf(stderr, "vmirq diff: %s: %s\n", path, strerror(-ret));
		return EXIT_USAGE;
	}
	ret = session_execute(&script, NULL, &difference, why, sizeof(why));
	if (ret == 1)
		show(&script, &difference, why);
	script_free(&script);
	if (ret < 0)
		return failed(ret, why);
	if (!ret)
		printf("no difference\n");
	return ret ? EXIT_FAILED : EXIT_OK;
}

/* side_kernel.c counts on it; and a vCPU that moves between CPUs costs more. */
static int stay_on_this_cpu(void)
{
	int cpu = sched_getcpu();
	cpu_set_t set;

	if (cpu < 0)
		return -errno;
	CPU_ZERO(&set);
	CPU_SET((size_t)cpu, &set);
	return sched_setaffinity(0, sizeof(set), &set) < 0 ? -errno : 0;
}

enum exit_code command_diff(int argc, char **argv)
{
	struct diff_options options = { .against = &areas_kvm, .seed = 1 };
	struct diff_run run = { .options = &options };
	enum exit_code ret = diff_options_parse(&options, argc, argv);
	int error;

	if (ret != EXIT_OK)
		return ret;
	if (options.help) {
		diff_help();
		return EXIT_OK;
	}
	if (!streams_report("diff"))
		return EXIT_FAILED;
	if (options.against == &areas_kvm) {
		error = watchdog_open();
		if (!error)
			error = stay_on_this_cpu();
		if (error)
			return failed(error, "");
	}
	return options.replay ? replay(options.replay) : run_areas(&run);
}
