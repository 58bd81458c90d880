// SPDX-License-Identifier: MIT
/*
 * Which sources a run has, and what each is given.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "run.h"
#include "vmm.h"

static uint32_t least(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

/* Each has a vector, and those that are still to come get theirs. */
static uint32_t lanes(const struct run *run, const struct source_kind *kind)
{
	const struct run_options *options = run->options;
	uint32_t all = options->sources ? options->sources : source_kind_count;
	uint32_t later = (all - run->sources - 1) * LANES_MAX;

	if (!kind->lanes)
		return least(options->vcpus, kind->lanes_max);
	return least(kind->lanes(options), RUN_VECTORS - run->next_vector - later);
}

static void add_source(struct run *run, const struct source_kind *kind, const char *arg)
{
	const struct run_options *options = run->options;
	struct source *source = &run->source[run->sources];

	source->run = run;
	source->kind = kind;
	source->arg = arg;
	source->count = options->count;
	source->bursts = options->bursts && !kind->waits;
	run_name_source(run, source);
	pthread_mutex_init(&source->churn_lock, NULL);
	if (kind->count_max && source->count > kind->count_max && !options->seconds)
		source->count = kind->count_max;
	source->lanes = lanes(run, kind);
	run->next_vector += source->lanes;
	for (uint32_t i = 0; i < source->lanes; i++) {
		source->lane[i].eventfd = -1;
		source->lane[i].vcpu = run->next_vcpu++ % options->vcpus;
	}
	/* Fewer lanes than vCPUs, or as many: the next source begins on another vCPU either way. */
	if (source->lanes == options->vcpus)
		run->next_vcpu++;
	run->sources++;
}

/* The local APIC serves the highest first. */
static void assign_vectors(struct run *run)
{
	uint32_t vector = RUN_FIRST_VECTOR;

	for (int waits = 0; waits <= 1; waits++) {
		for (uint32_t i = 0; i < run->sources; i++) {
			struct source *source = &run->source[i];

			for (uint32_t j = 0; j < source->lanes && source->kind->waits == waits; j++)
				source->lane[j].vector = vector++;
		}
	}
}

static enum exit_code check(const struct run *run, const struct source_kind *kind, const char *arg,
			    char *why, size_t size)
{
	return kind->check ? kind->check(run->options, arg, why, size) : EXIT_OK;
}

static enum exit_code choose_named(struct run *run)
{
	const struct run_options *options = run->options;
	char why[200];

	for (uint32_t i = 0; i < options->sources; i++) {
		const struct source_kind *kind = options->source[i].kind;
		const char *arg = options->source[i].arg;
		enum exit_code ret = check(run, kind, arg, why, sizeof(why));

		if (ret != EXIT_OK) {
			fprintf(stderr, "vmirq run: --source %s: %s\n", kind->name, why);
			return ret;
		}
		add_source(run, kind, arg);
	}
	assign_vectors(run);
	return EXIT_OK;
}

enum exit_code run_choose_sources(struct run *run)
{
	if (run->options->sources)
		return choose_named(run);
	for (uint32_t i = 0; i < source_kind_count; i++) {
		const struct source_kind *kind = source_kinds[i];
		char *why = run->skip[run->skipped].why;

		if (check(run, kind, NULL, why, sizeof(run->skip[0].why)) == EXIT_OK) {
			add_source(run, kind, NULL);
			continue;
		}
		run->skip[run->skipped++].kind = kind->name;
		fprintf(stderr, "vmirq run: source %s is skipped: %s\n", kind->name, why);
	}
	assign_vectors(run);
	return EXIT_OK;
}

/* It is the run's, which then does not begin. */
static int failed(struct run *run, struct source *source, int error)
{
	if (error) {
		snprintf(run->error, sizeof(run->error), "%.47s: %.350s", source->name,
			 source->error);
		source->error[0] = '\0';
	}
	return error;
}

int run_prepare_sources(struct run *run)
{
	int ret = 0;

	for (uint32_t i = 0; i < run->sources && !ret; i++) {
		struct source *source = &run->source[i];

		if (source->kind->prepare)
			ret = failed(run, source, source->kind->prepare(source));
	}
	return ret;
}

int run_open_sources(struct run *run)
{
	int ret = 0;

	run->next_device_memory = vmm_device_memory(run->vmm);
	for (uint32_t i = 0; i < run->sources && !ret; i++) {
		struct source *source = &run->source[i];

		ret = failed(run, source, source->kind->open(source));
	}
	return ret;
}

void run_close_sources(struct run *run)
{
	for (uint32_t i = 0; i < run->sources; i++)
		run->source[i].kind->close(&run->source[i]);
}
