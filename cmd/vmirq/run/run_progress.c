// SPDX-License-Identifier: MIT
/*
 * Where a run is, while it runs and when it does not end.
 */
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>
#include <vmirq/observe.h>
#include <vmirq/vm.h>

#include "run.h"
#include "vmm.h"

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

static const char *phase_name(int phase)
{
	static const char *const names[] = {
		[SOURCE_STARTING] = "starting",
		[SOURCE_WAITING] = "waiting for the other sources",
		[SOURCE_PACED] = "raising, paced",
		[SOURCE_STORM] = "raising",
		[SOURCE_SETTLING] = "waiting for the handlers of what was raised",
		[SOURCE_DONE] = "done",
	};

	return names[phase];
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

static void print_vcpu(const struct run *run, uint32_t cpu, FILE *out)
{
	struct vmirq_vector_counts counts = { .size = sizeof(counts) };
	uint64_t taken = 0, handled = 0, pending = 0;

	for (uint32_t v = RUN_FIRST_VECTOR; v < RUN_FIRST_VECTOR + run->next_vector; v++) {
		vmirq_vector_counts(vmirq_vm_vcpu(run->vm, cpu), v, &counts);
		taken += counts.taken;
		pending += counts.pending;
		handled += vmm_handled(run->vmm, cpu, v);
	}
	if (run_hides_vectors(run)) {
		fprintf(out, "  vCPU %u: handled %" PRIu64 "\n", cpu, handled);
		return;
	}
	fprintf(out, "  vCPU %u: taken %" PRIu64 ", handled %" PRIu64 ", pending %" PRIu64 "\n",
		cpu, taken, handled, pending);
}

void run_print_whereabouts(const struct run *run, FILE *out)
{
	char where[300];

	for (uint32_t i = 0; i < run->sources; i++) {
		const struct source *source = &run->source[i];
		uint64_t raised = atomic_load_explicit(&source->raised, memory_order_relaxed);
		int phase = atomic_load_explicit(&source->phase, memory_order_relaxed);

		fprintf(out, "  %s: %s, %" PRIu64 " of %" PRIu64 " raised\n", source->name,
			phase_name(phase), raised, source->count);
		for (uint32_t j = 0; j < source->lanes && phase != SOURCE_DONE; j++) {
			lane_where(source, &source->lane[j], where, sizeof(where));
			fprintf(out, "    %s\n", where);
		}
	}
	for (uint32_t cpu = 0; cpu < run->options->vcpus; cpu++)
		print_vcpu(run, cpu, out);
}
