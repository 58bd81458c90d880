// SPDX-License-Identifier: MIT
/*
 * What became of every interrupt. Three counts are taken independently - the source's own, the
 * library's, the guest handlers' - and `lost` and `extra` are only ever a difference of two of them.
 *
 *	source's own count	= raised			the library's, by irqfd or for messages
 *	raised			= delivered + verdicts + held	the library's law, checked here too
 *	delivered by the route	= posted to the vector		the library's, by vCPU and vector
 *	posted - merged - pending = handled			the guest's own count
 *
 * Where the kernel has the local APICs the last two are hidden, and with eventfds that it reads by
 * itself the others, too; what is left is that handlers are no more than raises, and with pacing no
 * fewer.
 *
 * `merged` is a second interrupt that reached the vCPU while the first still waited in its IRR. The
 * route could not know and says delivered; the guest sees one interrupt for both. Since a vector has
 * one lane only, the account moves it to where it belongs, from delivered to coalesced.
 */
#include <stdio.h>
#include <string.h>
#include <vmirq/observe.h>
#include <vmirq/vm.h>

#include "run.h"
#include "vmm.h"

static uint64_t above(uint64_t a, uint64_t b)
{
	return a > b ? a - b : 0;
}

static void differ(struct account *a, uint64_t expected, uint64_t found)
{
	a->lost += above(expected, found);
	a->extra += above(found, expected);
}

/* Sums what the routes say. */
static void add_route(struct account *a, const struct vmirq_route_counts *route)
{
	a->raised += route->raised;
	a->held += route->held;
	for (int i = 0; i < VMIRQ_VERDICTS; i++)
		a->verdict[i] += route->verdict[i];
}

/* The library counts messages for the whole VM. Where several sources send some, each but the first
 * is given what its sends returned, and the first one bears whatever is left. */
static void add_messages(struct run *run)
{
	struct vmirq_route_counts left = { .size = sizeof(left) };
	struct source *first = NULL;

	vmirq_msi_counts(run->vm, &left);
	for (uint32_t i = 0; i < run->sources; i++) {
		struct source *source = &run->source[i];
		struct account *a = &source->account;

		if (source->kind != &source_msi)
			continue;
		if (!first) {
			first = source;
			continue;
		}
		for (uint32_t j = 0; j < source->lanes * VMIRQ_VERDICTS; j++) {
			uint32_t v = j % VMIRQ_VERDICTS;
			uint64_t n = source->lane[j / VMIRQ_VERDICTS].returned[v];

			n = n < left.verdict[v] ? n : left.verdict[v];
			left.verdict[v] -= n;
			left.raised -= n < left.raised ? n : left.raised;
			a->verdict[v] += n;
			a->raised += n;
		}
	}
	if (first)
		add_route(&first->account, &left);
}

/* What arrived by a lane's vector, and what its handlers counted. Returns how many were posted. */
static uint64_t add_lane(const struct source *source, const struct lane *lane, struct account *a)
{
	struct vmirq_vector_counts vector = { .size = sizeof(vector) };
	uint64_t handled = lane_handled(source, lane);

	a->handled += handled;
	if (!a->hides_vectors) {
		vmirq_vector_counts(vmirq_vm_vcpu(source->run->vm, lane->vcpu), lane->vector,
				    &vector);
		a->merged += vector.merged;
		a->pending += vector.pending;
		differ(a, vector.posted - vector.merged - vector.pending, handled);
	}
	/* What came to another vCPU is extra there, and is missing here already. */
	for (uint32_t cpu = 0; cpu < source->run->options->vcpus; cpu++) {
		uint64_t n = vmm_handled(source->run->vmm, cpu, lane->vector);

		if (cpu == lane->vcpu)
			continue;
		a->handled += n;
		a->extra += n;
	}
	return vector.posted;
}

/* A level that was asserted while the one before was in service is remote_irr to its route, and is
 * delivered when that one ends: it is moved, too, as far as something was posted for it. */
static void redeliver(struct account *a, uint64_t posted)
{
	uint64_t n = above(posted, a->verdict[VMIRQ_DELIVERED]);

	n = n < a->verdict[VMIRQ_REMOTE_IRR] ? n : a->verdict[VMIRQ_REMOTE_IRR];
	a->verdict[VMIRQ_REMOTE_IRR] -= n;
	a->verdict[VMIRQ_DELIVERED] += n;
	a->redelivered = n;
}

/* The two sides of the vCPU; and what is two to the route but one to the guest goes to `coalesced`. */
static void match_vectors(struct account *a, uint64_t posted)
{
	redeliver(a, posted);
	differ(a, a->verdict[VMIRQ_DELIVERED], posted);
	a->merged = a->merged < a->verdict[VMIRQ_DELIVERED] ? a->merged
							    : a->verdict[VMIRQ_DELIVERED];
	a->verdict[VMIRQ_DELIVERED] -= a->merged;
	a->verdict[VMIRQ_COALESCED] += a->merged;
}

/* What can be said where the kernel hides a stage: there are no more handlers than raises, and with
 * pacing, where nothing merges, no fewer. A level may be delivered again by the kernel's local APIC. */
static void match_handlers(const struct source *source, struct account *a)
{
	bool known = !a->hides_raises || source->kind->counts_itself;
	uint64_t given;

	if (!known)
		return;
	redeliver(a, a->handled);
	given = a->hides_raises ? a->own : a->verdict[VMIRQ_DELIVERED];
	a->extra += above(a->handled, given);
	if (source->run->options->paced)
		a->lost += above(given, a->handled);
}

/* IPIs, too, and one source at most sends some. A kernel's local APICs do not tell. */
static void add_ipis(struct source *source)
{
	struct vmirq_route_counts ipis = { .size = sizeof(ipis) };

	if (source->kind != &source_ipi)
		return;
	vmirq_ipi_counts(source->run->vm, &ipis);
	add_route(&source->account, &ipis);
	source->account.hides_raises = run_hides_vectors(source->run);
}

static void check_laws(struct source *source, const struct account *a)
{
	uint64_t sum = 0;

	for (int i = 0; i < VMIRQ_VERDICTS; i++)
		sum += a->verdict[i];
	if (a->raised != sum + a->held)
		source_fail(source, -1,
			    "the library's counts do not add up: raised %llu, "
			    "outcomes %llu, held %llu",
			    (unsigned long long)a->raised, (unsigned long long)sum,
			    (unsigned long long)a->held);
	if (source->kind->counts_itself && a->own != a->raised)
		source_fail(source, -1, "raised %llu, of which the library knows %llu",
			    (unsigned long long)a->own, (unsigned long long)a->raised);
}

/* Several pirqs have one vector: none may be delivered by another's. */
static void misdelivered(struct source *source, const struct lane *lane, uint64_t delivered,
			 uint64_t arrived)
{
	source_fail(source, -1,
		    "vector 0x%x: %llu were delivered by its pirqs' counts, %llu posted",
		    lane->vector, (unsigned long long)delivered, (unsigned long long)arrived);
}

static void add_source(struct source *source)
{
	struct account *a = &source->account;
	uint64_t posted = 0;

	a->hides_vectors = run_hides_vectors(source->run);
	add_ipis(source);
	for (uint32_t i = 0; i < source->lanes; i++) {
		const struct lane *lane = &source->lane[i];
		struct vmirq_route_counts route = { .size = sizeof(route) };
		uint64_t arrived;
		uint64_t merged = atomic_load_explicit(&lane->merged, memory_order_relaxed);

		/* The library knows of one only; the source's other count says of how many. */
		a->raised += merged;
		a->verdict[VMIRQ_COALESCED] += merged;
		if (lane_is_counted(source, lane)) {
			lane_counts(source, lane, &route);
			add_route(a, &route);
			a->hides_raises |= route.unobserved != 0;
		}
		a->own += lane_own(source, lane);
		arrived = add_lane(source, lane, a);
		posted += arrived;
		if (source->kind->counts && !lane->pin && !a->hides_vectors &&
		    arrived != route.verdict[VMIRQ_DELIVERED])
			misdelivered(source, lane, route.verdict[VMIRQ_DELIVERED], arrived);
	}
	if (a->hides_vectors)
		match_handlers(source, a);
	else
		match_vectors(a, posted);
	if (!a->hides_raises) {
		if (source->kind->counts_itself)
			differ(a, a->own, a->raised);
		check_laws(source, a);
	}
	a->lost += source->missing;
	a->delivered = a->verdict[VMIRQ_DELIVERED];
}

/* Handlers that ran for vectors which no source has. */
static uint64_t strays(const struct run *run)
{
	uint64_t n = 0;

	for (uint32_t vector = 0; vector < 256; vector++) {
		if (vector >= RUN_FIRST_VECTOR && vector < RUN_FIRST_VECTOR + run->next_vector)
			continue;
		for (uint32_t cpu = 0; cpu < run->options->vcpus; cpu++)
			n += vmm_handled(run->vmm, cpu, vector);
	}
	return n;
}

/* Why it has raised fewer than it was asked for; before what else is noted. */
static void note_fewer(struct source *source)
{
	const struct account *a = &source->account;
	const struct source_kind *kind = source->kind;
	uint64_t wanted = source->run->options->count;
	uint64_t seen = atomic_load_explicit(&source->raised, memory_order_relaxed);
	/* One that counts itself may have raised more since it was last looked at. */
	uint64_t asked = kind->counts_itself && a->own > seen ? a->own : seen;
	enum run_stop stop = (enum run_stop)atomic_load(&source->run->stop);
	char rest[sizeof(source->note)], *note = source->note;
	size_t size = sizeof(source->note), n = 0;

	if (source->run->options->seconds ||
	    (source->count >= wanted && (a->hides_raises ? asked : a->raised) >= wanted))
		return;
	memcpy(rest, note, size);
	if (!a->hides_raises)
		n += (size_t)snprintf(note, size, "raised %llu: ", (unsigned long long)a->raised);
	n += (size_t)snprintf(note + n, size - n, "--count is %llu", (unsigned long long)wanted);
	if (source->count < wanted)
		n += (size_t)snprintf(note + n, size - n, ", capped at %llu for this kind",
				      (unsigned long long)source->count);
	if (asked < source->count && (a->hides_raises || asked != a->raised))
		n += (size_t)snprintf(note + n, size - n, ", and it ended after %llu",
				      (unsigned long long)asked);
	if (asked < source->count && stop != RUN_GOES_ON)
		n += (size_t)snprintf(note + n, size - n, ": %s", run_stop_name(stop));
	if (kind->joins && !a->hides_raises && a->raised < asked)
		n += (size_t)snprintf(note + n, size - n, "; %s", kind->joins);
	if (rest[0])
		snprintf(note + n, size - n, "; %.200s", rest);
}

void run_account(struct run *run)
{
	/* No signal is half done behind our backs. */
	vmirq_vm_quiesce(run->vm);
	add_messages(run);
	for (uint32_t i = 0; i < run->sources; i++) {
		add_source(&run->source[i]);
		note_fewer(&run->source[i]);
		run->lost += run->source[i].account.lost;
		run->extra += run->source[i].account.extra;
		run->pending += run->source[i].account.pending;
	}
	run->stray = strays(run);
	run->extra += run->stray;
}

/* A level that the kernel's local APIC delivered once more than it was asked for harms nobody. */
static bool extra_is_bad(const struct run *run)
{
	uint64_t allowed = 0;

	for (uint32_t i = 0; i < run->sources; i++) {
		if (run->source[i].lane[0].pin && run_hides_vectors(run))
			allowed += run->source[i].account.extra;
	}
	return run->extra > allowed;
}

bool run_is_good(const struct run *run)
{
	for (uint32_t i = 0; i < run->sources; i++) {
		if (run->source[i].error[0])
			return false;
	}
	return !run->lost && !run->pending && !extra_is_bad(run) && !run->error[0] &&
	       !run_stops(run);
}
