// SPDX-License-Identifier: MIT
/*
 * Where a run is that does not end: which of its vectors get on, and where the others have got stuck.
 */
#include <inttypes.h>
#include <stdio.h>
#include <time.h>
#include <vmirq/observe.h>
#include <vmirq/vm.h>

#include "run.h"
#include "vmm.h"

#define RUN_VECTORS_END (RUN_FIRST_VECTOR + RUN_VECTORS)
/* A handler runs within a millisecond, but where the machine is crowded. */
#define LOOK_NS 10000000
#define LOOKS	100
/* Of a source. */
#define SHOWN_MAX 8

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

static void look(const struct run *run, uint64_t handled[])
{
	for (uint32_t i = 0; i < run->sources; i++) {
		const struct source *source = &run->source[i];

		for (uint32_t j = 0; j < source->lanes; j++)
			handled[source->lane[j].vector] = lane_handled(source, &source->lane[j]);
	}
}

static bool has_moved(const struct source *source, const struct lane *lane, const uint64_t before[])
{
	return lane_handled(source, lane) != before[lane->vector];
}

static bool all_get_on(const struct run *run, const uint64_t before[])
{
	for (uint32_t i = 0; i < run->sources; i++) {
		const struct source *source = &run->source[i];

		for (uint32_t j = 0; j < source->lanes; j++)
			if (!has_moved(source, &source->lane[j], before) &&
			    !lane_settled(source, &source->lane[j]))
				return false;
	}
	return true;
}

static void print_lanes(const struct source *source, const uint64_t before[], FILE *out)
{
	uint32_t moved = 0, stuck = 0;
	char where[300];

	for (uint32_t i = 0; i < source->lanes; i++) {
		const struct lane *lane = &source->lane[i];

		if (has_moved(source, lane, before)) {
			moved++;
			continue;
		}
		if (lane_settled(source, lane) || stuck++ >= SHOWN_MAX)
			continue;
		lane_where(source, lane, where, sizeof(where));
		fprintf(out, "    %s\n", where);
	}
	if (stuck > SHOWN_MAX)
		fprintf(out, "    and %u more vectors that do not get on\n", stuck - SHOWN_MAX);
	fprintf(out, "    of %u vector%s %u get on, %u have nothing under way\n", source->lanes,
		source->lanes == 1 ? "" : "s", moved, source->lanes - moved - stuck);
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
	uint64_t before[RUN_VECTORS_END];

	look(run, before);
	for (int i = 0; i < LOOKS && !all_get_on(run, before); i++)
		nanosleep(&(struct timespec){ .tv_nsec = LOOK_NS }, NULL);
	for (uint32_t i = 0; i < run->sources; i++) {
		const struct source *source = &run->source[i];
		uint64_t raised = atomic_load_explicit(&source->raised, memory_order_relaxed);
		int phase = atomic_load_explicit(&source->phase, memory_order_relaxed);

		fprintf(out, "  %s: %s, %" PRIu64 " of %" PRIu64 " raised\n", source->name,
			phase_name(phase), raised, source->count);
		if (phase != SOURCE_DONE)
			print_lanes(source, before, out);
	}
	for (uint32_t cpu = 0; cpu < run->options->vcpus; cpu++)
		print_vcpu(run, cpu, out);
}
