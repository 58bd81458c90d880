// SPDX-License-Identifier: MIT
/* What came of it, for people and for programs. */
#include <inttypes.h>
#include <jansson.h>
#include <unistd.h>
#include <vmirq/version.h>

#include "diff.h"
#include "json.h"

static bool progress_shown;

bool diff_area_wanted(const struct diff_options *options, size_t area)
{
	return options->areas >> area & 1;
}

static void add(struct tally *to, const struct tally *from)
{
	to->ops += from->ops;
	to->compared += from->compared;
	to->not_comparable += from->not_comparable;
	to->mismatches += from->mismatches;
	to->known_ops += from->known_ops;
	for (size_t i = 0; i < DIFF_KNOWN_MAX; i++)
		to->known[i] += from->known[i];
	for (size_t i = 0; i < DIFF_REASONS_MAX; i++)
		to->reason[i] += from->reason[i];
}

void diff_sum(const struct diff_run *run, struct tally *sum)
{
	*sum = (struct tally){ .ops = 0 };
	for (size_t i = 0; i < run->options->against->n; i++)
		add(sum, &run->tally[i]);
}

void diff_progress(const struct diff_run *run, size_t area)
{
	struct tally sum;

	if (!isatty(STDERR_FILENO))
		return;
	diff_sum(run, &sum);
	fprintf(stderr,
		"\r\033[K%3" PRIu64 "%%  %s: %" PRIu64 " operations, %" PRIu64 " mismatches",
		sum.ops * 100 / run->options->ops, run->options->against->area[area]->name,
		run->tally[area].ops, sum.mismatches);
	fflush(stderr);
	progress_shown = true;
}

void diff_progress_clear(void)
{
	if (progress_shown)
		fputs("\r\033[K", stderr);
	progress_shown = false;
}

static void print_tally(const char *name, const struct tally *t, FILE *out)
{
	fprintf(out, "%-8s %9" PRIu64 " %9" PRIu64 " %15" PRIu64 " %7" PRIu64 " %10" PRIu64 "\n",
		name, t->ops, t->compared, t->not_comparable, t->known_ops, t->mismatches);
}

void diff_print(const struct diff_run *run, FILE *out)
{
	struct tally sum;

	diff_sum(run, &sum);
	fputs("area           ops  compared  not comparable   known mismatches\n", out);
	for (size_t i = 0; i < run->options->against->n; i++)
		if (diff_area_wanted(run->options, i))
			print_tally(run->options->against->area[i]->name, &run->tally[i], out);
	if (run->options->areas & (run->options->areas - 1))
		print_tally("all", &sum, out);
	for (size_t i = 0; i < known_count; i++)
		if (sum.known[i])
			fprintf(out, "known: %" PRIu64 " values, %s: %s\n", sum.known[i],
				known_differences[i].name, known_differences[i].reason);
	for (size_t i = 0; i < DIFF_REASONS_MAX; i++)
		if (sum.reason[i])
			fprintf(out, "not comparable: %" PRIu64 " times: %s\n", sum.reason[i],
				not_comparable_reasons[i]);
	fprintf(out, "%.1f s, seed %" PRIu64 "\n", run->seconds, run->options->seed);
}

static json_t *number(uint64_t n)
{
	return json_integer((json_int_t)n);
}

static json_t *tally_object(const struct tally *t)
{
	json_t *object = json_object(), *known = json_object(), *reasons = json_object();

	for (size_t i = 0; i < known_count; i++)
		json_object_set_new(known, known_differences[i].name, number(t->known[i]));
	for (size_t i = 0; i < DIFF_REASONS_MAX && not_comparable_reasons[i]; i++)
		json_object_set_new(reasons, not_comparable_reasons[i], number(t->reason[i]));
	json_object_set_new(object, "ops", number(t->ops));
	json_object_set_new(object, "compared", number(t->compared));
	json_object_set_new(object, "not_comparable", number(t->not_comparable));
	json_object_set_new(object, "mismatches", number(t->mismatches));
	json_object_set_new(object, "known_ops", number(t->known_ops));
	json_object_set_new(object, "known_differences", known);
	json_object_set_new(object, "not_comparable_reasons", reasons);
	return object;
}

static json_t *run_object(const struct diff_run *run)
{
	json_t *object, *by_area = json_object(), *reasons = json_object();
	struct tally sum;

	diff_sum(run, &sum);
	object = tally_object(&sum);
	for (size_t i = 0; i < run->options->against->n; i++)
		if (diff_area_wanted(run->options, i))
			json_object_set_new(by_area, run->options->against->area[i]->name,
					    tally_object(&run->tally[i]));
	for (size_t i = 0; i < known_count; i++)
		json_object_set_new(reasons, known_differences[i].name,
				    json_string(known_differences[i].reason));
	json_object_set_new(object, "version", json_string(vmirq_version()));
	json_object_set_new(object, "against", json_string(run->options->against->against));
	json_object_set_new(object, "seed", number(run->options->seed));
	json_object_set_new(object, "seconds", json_real(run->seconds));
	json_object_set_new(object, "known_reasons", reasons);
	json_object_set_new(object, "areas", by_area);
	return object;
}

int diff_write_json(const struct diff_run *run, FILE *out)
{
	return json_write(run_object(run), out);
}
