// SPDX-License-Identifier: MIT
/*
 * Where a run is, while it runs.
 */
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "run.h"

static bool shown;

const char *run_stop_name(enum run_stop stop)
{
	static const char *const names[] = {
		[RUN_GOES_ON] = "",
		[RUN_INTERRUPTED] = "interrupted",
		[RUN_TIMED_OUT] = "timed out",
		[RUN_VCPU_FAILED] = "a vCPU failed",
	};

	return names[stop];
}

void run_progress(const struct run *run, double seconds)
{
	if (!isatty(STDERR_FILENO))
		return;
	fprintf(stderr, "\r\033[K%4.1f s ", seconds);
	if (run->options->seconds) {
		run_rates_print(run->rates.last, stderr);
		fputs(" a second", stderr);
		fflush(stderr);
		shown = true;
		return;
	}
	for (uint32_t i = 0; i < run->sources; i++) {
		const struct source *source = &run->source[i];
		uint64_t raised = atomic_load_explicit(&source->raised, memory_order_relaxed);
		uint64_t percent = source->count ? raised * 100 / source->count : 100;
		int phase = atomic_load_explicit(&source->phase, memory_order_relaxed);

		/* A line that wraps cannot be written over. */
		if (i == 5) {
			fprintf(stderr, " ...");
			break;
		}
		fprintf(stderr, " %.20s %3" PRIu64 "%%%s", source->name, percent,
			phase == SOURCE_DONE ? "." : "");
	}
	fflush(stderr);
	shown = true;
}

void run_progress_clear(void)
{
	if (shown)
		fputs("\r\033[K", stderr);
	shown = false;
}
