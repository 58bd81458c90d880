// SPDX-License-Identifier: MIT
/*
 * The rows for people.
 */
#include <stdio.h>
#include <string.h>

#include "bench.h"
#include "bench_machine.h"

#define WIDTH  100
#define INDENT 4

static void print_wrapped(FILE *out, const char *text)
{
	int column = 0;

	while (*text) {
		int len = (int)strcspn(text, " ");

		if (column == 0 || column + 1 + len > WIDTH) {
			fprintf(out, "%s%*s", column ? "\n" : "", INDENT, "");
			column = INDENT;
		} else {
			fputc(' ', out);
			column++;
		}
		fprintf(out, "%.*s", len, text);
		column += len;
		text += len;
		text += strspn(text, " ");
	}
	if (column)
		fputc('\n', out);
}

static void print_number(FILE *out, double value)
{
	fprintf(out, " %11.*f", value < 100 ? 2 : value < 10000 ? 1 : 0, value);
}

static void print_side(struct bench_case *c, struct bench_side *side, FILE *out)
{
	static const char *const roles[] = { "ours", "peer", "floor" };
	struct bench_side *ours = bench_find(c, BENCH_OURS, NULL);
	double ratio;

	fprintf(out, "    %-5s %-24s", roles[side->role], side->name);
	if (!side->samples.n) {
		fputs("  not measured\n", out);
		return;
	}
	print_number(out, samples_quantile(&side->samples, 0.5));
	print_number(out, samples_quantile(&side->samples, 0.99));
	print_number(out, samples_max(&side->samples));
	fprintf(out, " %9zu", side->samples.n);
	if (side->role == BENCH_FLOOR && bench_ratio(ours, side, &ratio))
		fprintf(out, "   ours is %.2f times it", ratio);
	if (side->role == BENCH_PEER && bench_ratio(side, ours, &ratio))
		fprintf(out, "   ours is %.2f times as fast", ratio);
	fputc('\n', out);
	if (side->samples.dropped)
		fprintf(out, "    %zu samples dropped for want of memory\n", side->samples.dropped);
}

static void print_target(struct bench_case *c, const struct bench_target *t, FILE *out)
{
	static const char *const words[] = {
		[BENCH_FLOOR_MAX] = "times the floor, at most",
		[BENCH_PEER_MIN] = "times as fast, at least",
		[BENCH_PEER_MAX] = "times as slow, at most",
		[BENCH_P99_MAX] = "p99, at most",
		[BENCH_VALUE_MAX] = "at most",
	};
	double value;

	fprintf(out, "    target %s%s%s %g: ", t->of, t->of[0] ? " " : "", words[t->bound],
		t->limit);
	if (bench_target_value(c, t, &value))
		fprintf(out, "%.4g, %s\n", value, bench_target_met(c, t) ? "met" : "MISSED");
	else
		fputs("MISSED, not measured\n", out);
}

static void print_case(struct bench_case *c, FILE *out)
{
	if (c->name[0])
		fprintf(out, "  %s\n", c->name);
	for (uint32_t i = 0; i < c->sides; i++)
		print_side(c, &c->side[i], out);
	for (uint32_t i = 0; i < c->values; i++)
		fprintf(out, "    %s %.6g\n", c->value[i].name, c->value[i].value);
	for (uint32_t i = 0; i < c->targets; i++)
		print_target(c, &c->target[i], out);
	print_wrapped(out, c->note);
}

static void print_row(struct bench_result *r, FILE *out)
{
	fprintf(out, "\n%-18s %s (%s): %s\n", r->row->name, r->row->what,
		r->n ? r->cases[0]->unit : "-", bench_row_met(r) ? "met" : "MISSED");
	for (uint32_t i = 0; i < r->n; i++)
		print_case(r->cases[i], out);
	if (r->error[0])
		fprintf(out, "    FAILED: %s\n", r->error);
}

void bench_print(struct bench *b, FILE *out)
{
	struct bench_machine machine;
	uint32_t met = 0;

	bench_machine_look(&machine);
	fprintf(out, "%s, %s, %d CPUs, load %.1f at the start, %.1f at the end%s\n", machine.kernel,
		machine.processor, machine.cpus, b->load_before[0], machine.load[0],
		b->options->quick ? ", quick" : "");
	fprintf(out, "%-34s %11s %11s %11s %9s\n", "", "p50", "p99", "max", "samples");
	for (uint32_t i = 0; i < b->rows; i++) {
		print_row(&b->result[i], out);
		met += bench_row_met(&b->result[i]);
	}
	fprintf(out,
		"\n%u of %u rows meet their targets. Ratios are of medians taken in turns in this run; a "
		"time alone\nmeans nothing here%s.\n",
		met, b->rows,
		machine.load[0] > machine.cpus ? ", and less while others use this machine" : "");
}
