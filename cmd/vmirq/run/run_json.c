// SPDX-License-Identifier: MIT
/*
 * The account of a run for programs. Fields are only ever added.
 */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <vmirq/version.h>

#include "json.h"
#include "run.h"

static json_t *number(uint64_t n)
{
	return json_integer((json_int_t)n);
}

static json_t *text_or_null(const char *text)
{
	return text[0] ? json_string(text) : json_null();
}

/* What was typed; where that is no text (a file's name may be any bytes), so much of it as is ASCII. */
static json_t *argument(const char *arg)
{
	json_t *text = arg ? json_string(arg) : json_null();
	char *copy;

	if (text || !arg)
		return text;
	copy = strdup(arg);
	for (char *at = copy; at && *at; at++)
		*at = (char)(*at > 0 ? *at : '?');
	text = copy ? json_string(copy) : NULL;
	free(copy);
	return text;
}

/* All of them, so that a reader need not ask which are there. */
static json_t *verdicts(const struct account *a)
{
	json_t *object = json_object();

	for (int i = VMIRQ_DELIVERED + 1; i < VMIRQ_VERDICTS; i++)
		json_object_set_new(object, vmirq_verdict_name((enum vmirq_verdict)i),
				    number(a->verdict[i]));
	return object;
}

static json_t *latency(const struct latency *l)
{
	json_t *object;

	/* Nothing was paced, so nothing was measured. */
	if (!l->n)
		return json_null();
	object = json_object();
	json_object_set_new(object, "p50", number(latency_percentile(l, 50)));
	json_object_set_new(object, "p99", number(latency_percentile(l, 99)));
	json_object_set_new(object, "max", number(l->max));
	json_object_set_new(object, "samples", number(l->n));
	return object;
}

static json_t *seen(bool seen, uint64_t n)
{
	return seen ? number(n) : json_null();
}

/* The fields that are null because the kernel's irqchip hides that stage. */
static json_t *unobserved(const struct account *a)
{
	static const char *const raises[] = { "raised", "delivered", "verdicts", "held" };
	static const char *const vectors[] = { "merged", "redelivered", "pending" };
	json_t *names = json_array();

	for (size_t i = 0; a->hides_raises && i < sizeof(raises) / sizeof(raises[0]); i++)
		json_array_append_new(names, json_string(raises[i]));
	for (size_t i = 0; a->hides_vectors && i < sizeof(vectors) / sizeof(vectors[0]); i++)
		json_array_append_new(names, json_string(vectors[i]));
	return names;
}

/* What the kind counts besides. */
static json_t *facts(const struct source *source)
{
	json_t *object = json_object();

	for (uint32_t i = 0; i < source->facts; i++)
		json_object_set_new(object, source->fact[i].name, number(source->fact[i].n));
	return object;
}

/* How fairly the source's pirqs were served. */
static json_t *pirqs(const struct services *s)
{
	json_t *object, *each;
	struct services_sum sum;

	if (!s->n)
		return json_null();
	object = json_object();
	each = json_array();
	services_sum(s, &sum);
	for (uint32_t i = 0; i < s->n; i++)
		json_array_append_new(each, number(s->of[i]));
	json_object_set_new(object, "n", number(s->n));
	json_object_set_new(object, "saturated", json_boolean(s->saturated));
	/* Nobody was served: there is nothing to compare. */
	json_object_set_new(object, "fairness", sum.max ? json_real(sum.fairness) : json_null());
	json_object_set_new(object, "min", number(sum.min));
	json_object_set_new(object, "mean", json_real(sum.mean));
	json_object_set_new(object, "max", number(sum.max));
	json_object_set_new(object, "first", number(s->of[0]));
	json_object_set_new(object, "last", number(s->of[s->n - 1]));
	json_object_set_new(object, "worst_wait_runs", seen(s->waits, s->worst_wait_runs));
	json_object_set_new(object, "worst_wait_ns", seen(s->waits, s->worst_wait_ns));
	json_object_set_new(object, "services", each);
	return object;
}

static json_t *source_object(const struct source *source)
{
	const struct account *a = &source->account;
	json_t *object = json_object();
	char path[60];

	json_object_set_new(object, "name", json_string(source->name));
	json_object_set_new(object, "kind", json_string(source->kind->name));
	json_object_set_new(object, "arg", argument(source->arg));
	json_object_set_new(object, "path", json_string(source_path(source, path, sizeof(path))));
	json_object_set_new(object, "count", seen(!source->run->options->seconds, source->count));
	json_object_set_new(object, "raised", seen(!a->hides_raises, a->raised));
	json_object_set_new(object, "delivered", seen(!a->hides_raises, a->delivered));
	json_object_set_new(object, "verdicts", a->hides_raises ? json_null() : verdicts(a));
	json_object_set_new(object, "merged", seen(!a->hides_vectors, a->merged));
	json_object_set_new(object, "redelivered", seen(!a->hides_vectors, a->redelivered));
	json_object_set_new(object, "held", seen(!a->hides_raises, a->held));
	json_object_set_new(object, "handled", number(a->handled));
	json_object_set_new(object, "pending", seen(!a->hides_vectors, a->pending));
	json_object_set_new(object, "lost", number(a->lost));
	json_object_set_new(object, "extra", number(a->extra));
	json_object_set_new(object, "unobserved", unobserved(a));
	json_object_set_new(object, "latency_ns", latency(&source->latency));
	if (source->kind->counts_itself) {
		json_object_set_new(object, "own", number(a->own));
		json_object_set_new(object, "requests", json_null());
	} else {
		/* When the device signals is its own affair, and what it wrote cannot be seen. */
		json_object_set_new(object, "own", json_null());
		json_object_set_new(object, "requests", number(atomic_load(&source->requests)));
	}
	json_object_set_new(object, "paced", number(source->paced));
	json_object_set_new(object, "churned", number(atomic_load(&source->churned)));
	json_object_set_new(object, "facts", facts(source));
	json_object_set_new(object, "pirqs", pirqs(&source->services));
	json_object_set_new(object, "starved_ns", number(source->starved_ns));
	json_object_set_new(object, "note", text_or_null(source->note));
	json_object_set_new(object, "error", text_or_null(source->error));
	return object;
}

static json_t *without(uint32_t bits)
{
	json_t *names = json_array();

	for (uint32_t i = 0; i < 32; i++) {
		if (bits & UINT32_C(1) << i)
			json_array_append_new(names, json_string(run_capability_name(i)));
	}
	return names;
}

/* By the second. */
static json_t *rates(const struct run *run)
{
	json_t *object;

	if (!run->rates.seconds)
		return json_null();
	object = json_object();
	json_object_set_new(object, "seconds", json_real(run->rates.seconds));
	for (int u = 0; u < RUN_UNITS; u++)
		json_object_set_new(object, run_unit_names[u], json_real(run->rates.mean[u]));
	return object;
}

static json_t *run_object(const struct run *run)
{
	const struct run_options *options = run->options;
	enum run_stop stop = (enum run_stop)atomic_load(&run->stop);
	json_t *object = json_object(), *sources = json_array(), *skipped = json_array();

	for (uint32_t i = 0; i < run->sources; i++)
		json_array_append_new(sources, source_object(&run->source[i]));
	for (uint32_t i = 0; i < run->skipped; i++) {
		json_t *skip = json_object();

		json_object_set_new(skip, "kind", json_string(run->skip[i].kind));
		json_object_set_new(skip, "why", json_string(run->skip[i].why));
		json_array_append_new(skipped, skip);
	}
	json_object_set_new(object, "version", json_string(vmirq_version()));
	json_object_set_new(object, "cpu", json_string(run->cpu));
	json_object_set_new(object, "cpu_note", text_or_null(run->cpu_note));
	json_object_set_new(object, "kick",
			    run_kick(run) ? json_string(run_kick(run)) : json_null());
	json_object_set_new(object, "without", without(options->without));
	json_object_set_new(object, "irqchip", json_string(run_irqchip_name(options->irqchip)));
	json_object_set_new(object, "vcpus", number(options->vcpus));
	json_object_set_new(object, "paced", json_boolean(options->paced));
	json_object_set_new(object, "x2apic", json_boolean(options->x2apic));
	json_object_set_new(object, "busy", json_boolean(options->busy));
	json_object_set_new(object, "halt_poll_ns", json_integer(options->poll_ns));
	json_object_set_new(object, "churn", json_boolean(options->churn));
	json_object_set_new(object, "bursts", json_boolean(options->bursts));
	json_object_set_new(object, "seconds", json_real(run->seconds));
	json_object_set_new(object, "rates", rates(run));
	json_object_set_new(object, "pending", number(run->pending));
	json_object_set_new(object, "lost", number(run->lost));
	json_object_set_new(object, "extra", number(run->extra));
	json_object_set_new(object, "stray", number(run->stray));
	json_object_set_new(object, "stopped",
			    stop == RUN_GOES_ON ? json_null() : json_string(run_stop_name(stop)));
	json_object_set_new(object, "error", text_or_null(run->error));
	json_object_set_new(object, "sources", sources);
	json_object_set_new(object, "skipped", skipped);
	return object;
}

int run_write_json(const struct run *run, FILE *out)
{
	return json_write(run_object(run), out);
}
