// SPDX-License-Identifier: MIT
/*
 * The account of a run for people.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "run.h"

/* Outcomes that have no column of their own. */
static uint64_t other_verdicts(const struct account *a)
{
	uint64_t n = 0;

	for (int i = VMIRQ_COALESCED + 1; i < VMIRQ_VERDICTS; i++)
		n += a->verdict[i];
	return n;
}

static void print_us(FILE *out, const struct latency *latency, uint64_t ns)
{
	if (latency->n)
		fprintf(out, " %7.1f", (double)ns / 1000);
	else
		fprintf(out, " %7s", "-");
}

static void print_count(FILE *out, int width, bool seen, uint64_t n)
{
	if (seen)
		fprintf(out, " %*" PRIu64, width, n);
	else
		fprintf(out, " %*s", width, "-");
}

static void print_row(const struct source *source, int width, FILE *out)
{
	const struct account *a = &source->account;
	const struct latency *l = &source->latency;

	char path[60];

	fprintf(out, "%-*s %-32s", width, source->name, source_path(source, path, sizeof(path)));
	print_count(out, 9, !a->hides_raises, a->raised);
	print_count(out, 9, !a->hides_raises, a->delivered);
	print_count(out, 9, !a->hides_raises, a->verdict[VMIRQ_COALESCED]);
	print_count(out, 8, !a->hides_raises, other_verdicts(a));
	print_count(out, 4, !a->hides_raises, a->held);
	fprintf(out, " %9" PRIu64 " %4" PRIu64 " %5" PRIu64, a->handled, a->lost, a->extra);
	print_us(out, l, latency_percentile(l, 50));
	print_us(out, l, latency_percentile(l, 99));
	print_us(out, l, l->max);
	fputc('\n', out);
}

static void print_services(const struct source *source, FILE *out)
{
	const struct services *s = &source->services;
	struct services_sum sum;

	if (!s->n)
		return;
	services_sum(s, &sum);
	if (!sum.max) {
		fprintf(out, "  %s: %u pirqs, none of which was served beyond the paced raises\n",
			source->name, s->n);
		return;
	}
	fprintf(out,
		"  %s: %u pirqs%s, each served %" PRIu64 " to %" PRIu64
		" times, mean %.1f; fairness %.6f;\n    the first %" PRIu64 ", the last %" PRIu64,
		source->name, s->n, s->saturated ? ", saturated" : "", sum.min, sum.max, sum.mean,
		sum.fairness, s->of[0], s->of[s->n - 1]);
	if (s->waits)
		fprintf(out, "; longest wait: %" PRIu64 " other deliveries, %.1f us",
			s->worst_wait_runs, (double)s->worst_wait_ns / 1000);
	fputc('\n', out);
}

/* A line for each of its parts. */
static void print_note(const struct source *source, FILE *out)
{
	const char *note = source->note, *end;

	if (!note[0])
		return;
	fprintf(out, "  %s: ", source->name);
	for (; (end = strstr(note, "; ")); note = end + 2)
		fprintf(out, "%.*s;\n    ", (int)(end - note), note);
	fprintf(out, "%s\n", note);
}

/* Names what is behind the column "other", and what else is to be said of a source. */
static void print_remarks(const struct source *source, FILE *out)
{
	const struct account *a = &source->account;
	uint64_t requests = atomic_load_explicit(&source->requests, memory_order_relaxed);

	if (other_verdicts(a)) {
		fprintf(out, "  %s, other:", source->name);
		for (int i = VMIRQ_COALESCED + 1; i < VMIRQ_VERDICTS; i++) {
			if (a->verdict[i])
				fprintf(out, " %s %" PRIu64,
					vmirq_verdict_name((enum vmirq_verdict)i), a->verdict[i]);
		}
		fputc('\n', out);
	}
	if (!source->kind->counts_itself)
		fprintf(out,
			"  %s: %" PRIu64
			" %s. The device decides how often it signals\n    (it may once "
			"at start-up); its own count cannot be seen from outside.\n",
			source->name, requests,
			requests ? source->kind->requests : "requests, nothing read");
	if (source->facts) {
		fprintf(out, "  %s:", source->name);
		for (uint32_t i = 0; i < source->facts; i++)
			fprintf(out, " %s %" PRIu64 "%s", source->fact[i].name, source->fact[i].n,
				i + 1 < source->facts ? "," : "\n");
	}
	print_services(source, out);
	if (source->starved_ns)
		fprintf(out,
			"  %s: starved: it has waited for %.0f s, while its vCPU took %" PRIu64
			" others, of higher vectors\n",
			source->name, (double)source->starved_ns / 1e9, source->starved_by);
	if (a->pending)
		fprintf(out,
			"  %s: PENDING %" PRIu64
			": posted, and not taken by the vCPU until the end\n",
			source->name, a->pending);
	print_note(source, out);
	if (source->error[0])
		fprintf(out, "  %s: FAILED: %s\n", source->name, source->error);
}

const char *run_kick(const struct run *run)
{
	if (strcmp(run->cpu, "kvm") != 0)
		return NULL;
	if (run_hides_vectors(run))
		return "each raise is a system call, and the kernel kicks the vCPU";
	return "a vCPU inside the guest is kicked by a signal, a system call of whoever raises";
}

static void print_meaning(const struct run *run, FILE *out)
{
	fputs(run_hides_vectors(run)
		      ? "\n-: hidden by the kernel's irqchip; also how many joined in a vCPU's IRR, so "
			"that without --paced\nhandled may be less than delivered. Then the last raise of "
			"each vector is alone, and must be handled.\n"
		      : "",
	      out);
	fputs("\nraised = delivered + coalesced + other + held, by the library's counts. coalesced: the "
	      "guest sees one\ninterrupt for several. handled: what the guest's own handlers counted",
	      out);
	fputs(run_hides_vectors(run) ? "." : "; it must equal delivered.", out);
	fputs("\nLatency in microseconds, from the raise to the handler's count being seen to move",
	      out);
}

static void print_rates(const struct run *run, FILE *out)
{
	if (!run->rates.seconds)
		return;
	fprintf(out, "A second, of %.1f s: ", run->rates.seconds);
	run_rates_print(run->rates.mean, out);
	fputs(".\n", out);
}

static void print_verdict(const struct run *run, FILE *out)
{
	enum run_stop stop = (enum run_stop)atomic_load(&run->stop);

	if (stop != RUN_GOES_ON)
		fprintf(out, "NOT FINISHED: %s.\n", run_stop_name(stop));
	if (run->error[0])
		fprintf(out, "FAILED: %s\n", run->error);
	if (run->stray)
		fprintf(out, "%" PRIu64 " handlers ran for vectors that no source has.\n",
			run->stray);
	if (run->pending)
		fprintf(out, "PENDING %" PRIu64 ": not lost, but not taken either.\n",
			run->pending);
	if (run->lost || run->extra)
		fprintf(out, "LOST %" PRIu64 ", EXTRA %" PRIu64 ".\n", run->lost, run->extra);
	else if (run_is_good(run) && run_hides_vectors(run))
		fputs("Nothing lost, nothing extra, as far as can be seen.\n", out);
	else if (run_is_good(run))
		fputs("Nothing lost, nothing extra: every interrupt is accounted for.\n", out);
	else
		fputs("Of what was raised, nothing is lost and nothing extra.\n", out);
}

void run_print_failures(const struct run *run, FILE *out)
{
	enum run_stop stop = (enum run_stop)atomic_load(&run->stop);

	if (stop != RUN_GOES_ON)
		fprintf(out, "vmirq run: not finished: %s\n", run_stop_name(stop));
	if (run->error[0])
		fprintf(out, "vmirq run: %s\n", run->error);
	for (uint32_t i = 0; i < run->sources; i++) {
		if (run->source[i].error[0])
			fprintf(out, "vmirq run: %s: %s\n", run->source[i].name,
				run->source[i].error);
	}
	if (run->pending)
		fprintf(out, "vmirq run: pending %" PRIu64 "\n", run->pending);
	if (run->lost || run->extra)
		fprintf(out, "vmirq run: lost %" PRIu64 ", extra %" PRIu64 "\n", run->lost,
			run->extra);
}

void run_print_table(const struct run *run, FILE *out)
{
	const struct run_options *options = run->options;
	int width = run_name_width(run);

	fprintf(out, "cpu %s%s%s%s, irqchip %s, %u vCPU%s%s%s%s%s, %.1f s\n\n", run->cpu,
		run->cpu_note[0] ? " (" : "", run->cpu_note, run->cpu_note[0] ? ")" : "",
		run_irqchip_name(options->irqchip), options->vcpus, options->vcpus == 1 ? "" : "s",
		options->x2apic ? ", x2APIC" : "", options->busy ? ", busy" : "",
		options->paced ? ", paced" : (options->churn ? ", routes churned" : ""),
		options->bursts ? ", in bursts" : "", run->seconds);
	fprintf(out, "%-*s %-32s %9s %9s %9s %8s %4s %9s %4s %5s %7s %7s %7s\n", width, "source",
		"path", "raised", "delivered", "coalesced", "other", "held", "handled", "lost",
		"extra", "p50 us", "p99 us", "max us");
	for (uint32_t i = 0; i < run->sources; i++)
		print_row(&run->source[i], width, out);
	for (uint32_t i = 0; i < run->sources; i++)
		print_remarks(&run->source[i], out);
	for (uint32_t i = 0; i < run->skipped; i++)
		fprintf(out, "  %s: skipped, %s\n", run->skip[i].kind, run->skip[i].why);
	if (run_kick(run))
		fprintf(out, "  cpu kvm: %s; with --cpu threads none is kicked\n", run_kick(run));
	print_meaning(run, out);
	if (options->paced)
		fputs(", all sources at once.\n", out);
	else if (options->seconds)
		fputs(" (with --paced only).\n", out);
	else
		fputs(", of at most 10000 raises\nmade before the rest, one source at a time.\n",
		      out);
	print_rates(run, out);
	print_verdict(run, out);
}
