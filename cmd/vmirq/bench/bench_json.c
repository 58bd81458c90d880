// SPDX-License-Identifier: MIT
/*
 * The rows for programs. Fields are only ever added.
 */
#include <jansson.h>
#include <string.h>
#include <vmirq/version.h>

#include "bench.h"
#include "bench_machine.h"
#include "json.h"

static json_t *side_object(struct bench_side *side)
{
	json_t *object;

	if (!side || !side->samples.n)
		return json_null();
	object = json_object();
	json_object_set_new(object, "name", json_string(side->name));
	json_object_set_new(object, "p50", json_real(samples_quantile(&side->samples, 0.5)));
	json_object_set_new(object, "p99", json_real(samples_quantile(&side->samples, 0.99)));
	json_object_set_new(object, "max", json_real(samples_max(&side->samples)));
	json_object_set_new(object, "runs", json_integer((json_int_t)side->samples.n));
	json_object_set_new(object, "per_sample", json_integer(side->batch));
	json_object_set_new(object, "dropped", json_integer((json_int_t)side->samples.dropped));
	return object;
}

static json_t *ratio_or_null(struct bench_side *above, struct bench_side *below)
{
	double ratio;

	return bench_ratio(above, below, &ratio) ? json_real(ratio) : json_null();
}

static void set_in(json_t *object, const char *outer, const char *name, double value)
{
	json_t *in = json_object_get(object, outer);

	if (!in) {
		in = json_object();
		json_object_set_new(object, outer, in);
	}
	json_object_set_new(in, name, json_real(value));
}

static json_t *target_object(const struct bench_case *c)
{
	json_t *object = json_object();

	for (uint32_t i = 0; i < c->targets; i++) {
		const struct bench_target *t = &c->target[i];

		switch (t->bound) {
		case BENCH_FLOOR_MAX:
			json_object_set_new(object, "ratio_floor_max", json_real(t->limit));
			break;
		case BENCH_PEER_MIN:
			set_in(object, "ratio_peer_min", t->of, t->limit);
			break;
		case BENCH_PEER_MAX:
			set_in(object, "ours_over_peer_max", t->of, t->limit);
			break;
		case BENCH_P99_MAX:
			json_object_set_new(object, "p99_max", json_real(t->limit));
			break;
		case BENCH_VALUE_MAX:
			set_in(object, "values_max", t->of, t->limit);
			break;
		}
	}
	return object;
}

static json_t *case_object(struct bench_case *c, const char *name)
{
	struct bench_side *ours = bench_find(c, BENCH_OURS, NULL);
	struct bench_side *floor = bench_find(c, BENCH_FLOOR, NULL);
	json_t *object = json_object(), *peers = json_object(), *ratios = json_object();
	json_t *values = json_object();

	for (uint32_t i = 0; i < c->sides; i++) {
		struct bench_side *side = &c->side[i];

		if (side->role != BENCH_PEER)
			continue;
		json_object_set_new(peers, side->name, side_object(side));
		json_object_set_new(ratios, side->name, ratio_or_null(side, ours));
	}
	for (uint32_t i = 0; i < c->values; i++)
		json_object_set_new(values, c->value[i].name, json_real(c->value[i].value));
	json_object_set_new(object, "name", json_string(name));
	json_object_set_new(object, "unit", json_string(c->unit));
	json_object_set_new(object, "ours", side_object(ours));
	json_object_set_new(object, "peers", peers);
	json_object_set_new(object, "floor", side_object(floor));
	json_object_set_new(object, "ratio_floor", ratio_or_null(ours, floor));
	json_object_set_new(object, "ratio_peer", ratios);
	json_object_set_new(object, "values", values);
	json_object_set_new(object, "target", target_object(c));
	json_object_set_new(object, "met", json_boolean(bench_case_met(c)));
	json_object_set_new(object, "note", json_string(c->note));
	return object;
}

static json_t *row_object(struct bench_result *r)
{
	json_t *object, *cases = json_array();

	/* It failed before it had a case. */
	if (!r->n) {
		static struct bench_case none = { .unit = "ns" };

		object = case_object(&none, r->row->name);
	} else {
		object = case_object(r->cases[0], r->row->name);
	}
	for (uint32_t i = 1; i < r->n; i++)
		json_array_append_new(cases, case_object(r->cases[i], r->cases[i]->name));
	json_object_set_new(object, "what", json_string(r->row->what));
	json_object_set_new(object, "cases", cases);
	json_object_set_new(object, "met", json_boolean(bench_row_met(r)));
	json_object_set_new(object, "lost", json_integer((json_int_t)r->lost));
	json_object_set_new(object, "error", r->error[0] ? json_string(r->error) : json_null());
	json_object_set_new(object, "seconds", json_real(r->seconds));
	return object;
}

static json_t *loads(const double load[3])
{
	return json_pack("[f, f, f]", load[0], load[1], load[2]);
}

static json_t *machine_object(const struct bench *b)
{
	struct bench_machine machine;
	json_t *object = json_object(), *cpus = json_array();

	bench_machine_look(&machine);
	for (int i = 0; i < 2; i++)
		json_array_append_new(cpus, json_integer(b->cpu[i]));
	json_object_set_new(object, "kernel", json_string(machine.kernel));
	json_object_set_new(object, "processor", json_string(machine.processor));
	json_object_set_new(object, "cpus", json_integer(machine.cpus));
	json_object_set_new(object, "pair", cpus);
	json_object_set_new(object, "kvm", json_boolean(machine.kvm));
	json_object_set_new(object, "load_before", loads(b->load_before));
	json_object_set_new(object, "load_after", loads(machine.load));
	return object;
}

int bench_write_json(struct bench *b, FILE *out)
{
	json_t *object = json_object(), *rows = json_array();

	for (uint32_t i = 0; i < b->rows; i++)
		json_array_append_new(rows, row_object(&b->result[i]));
	json_object_set_new(object, "version", json_string(vmirq_version()));
	json_object_set_new(object, "quick", json_boolean(b->options->quick));
	json_object_set_new(object, "machine", machine_object(b));
	json_object_set_new(object, "rows", rows);
	return json_write(object, out);
}
