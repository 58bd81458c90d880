// SPDX-License-Identifier: MIT
/*
 * A row's cases: who is in them, and whether their targets are met.
 */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

struct bench_case *bench_case(struct bench *b, const char *name, const char *unit)
{
	struct bench_result *r = &b->result[b->done];
	struct bench_case *c = r->n < BENCH_CASES_MAX ? calloc(1, sizeof(*c)) : NULL;

	if (!c)
		return NULL;
	c->name = name;
	c->unit = unit;
	r->cases[r->n++] = c;
	return c;
}

struct bench_side *bench_side(struct bench_case *c, enum bench_role role, const char *name)
{
	struct bench_side *side = &c->side[c->sides];

	if (c->sides == BENCH_SIDES_MAX)
		abort(); /* a row of ours that is wrong */
	c->sides++;
	*side = (struct bench_side){ .name = name, .role = role, .batch = 1 };
	return side;
}

void bench_target(struct bench_case *c, enum bench_bound bound, const char *of, double limit)
{
	if (c->targets == BENCH_TARGETS_MAX)
		abort();
	c->target[c->targets++] = (struct bench_target){ bound, of, limit };
}

void bench_value(struct bench_case *c, const char *name, double value)
{
	if (c->values == BENCH_VALUES_MAX)
		abort();
	c->value[c->values++] = (struct bench_value){ name, value };
}

void bench_note(struct bench_case *c, const char *format, ...)
{
	size_t at = strlen(c->note);
	va_list args;

	if (at && at + 1 < sizeof(c->note))
		c->note[at++] = ' ';
	va_start(args, format);
	vsnprintf(c->note + at, sizeof(c->note) - at, format, args);
	va_end(args);
}

void bench_not_there(struct bench_case *c, const char *what)
{
	bench_note(c, "Not measured: this release of libvmirq has no %s yet.", what);
}

void bench_lost(struct bench *b, uint64_t n, const char *what)
{
	struct bench_result *r = &b->result[b->done];

	if (!n)
		return;
	r->lost += n;
	snprintf(r->error, sizeof(r->error), "%s: %llu", what, (unsigned long long)n);
}

struct bench_side *bench_find(struct bench_case *c, enum bench_role role, const char *name)
{
	for (uint32_t i = 0; i < c->sides; i++) {
		if (c->side[i].role == role && (!name || strcmp(c->side[i].name, name) == 0))
			return &c->side[i];
	}
	return NULL;
}

bool bench_ratio(struct bench_side *above, struct bench_side *below, double *ratio)
{
	double divisor = below ? samples_quantile(&below->samples, 0.5) : 0;

	if (!above || !above->samples.n || divisor <= 0)
		return false;
	*ratio = samples_quantile(&above->samples, 0.5) / divisor;
	return true;
}

static bool find_value(const struct bench_case *c, const char *name, double *value)
{
	for (uint32_t i = 0; i < c->values; i++) {
		if (strcmp(c->value[i].name, name) == 0) {
			*value = c->value[i].value;
			return true;
		}
	}
	return false;
}

bool bench_target_value(struct bench_case *c, const struct bench_target *t, double *value)
{
	struct bench_side *ours = bench_find(c, BENCH_OURS, NULL);

	switch (t->bound) {
	case BENCH_FLOOR_MAX:
		return bench_ratio(ours, bench_find(c, BENCH_FLOOR, NULL), value);
	case BENCH_PEER_MIN:
		return bench_ratio(bench_find(c, BENCH_PEER, t->of), ours, value);
	case BENCH_PEER_MAX:
		return bench_ratio(ours, bench_find(c, BENCH_PEER, t->of), value);
	case BENCH_P99_MAX:
		if (!ours || !ours->samples.n)
			return false;
		*value = samples_quantile(&ours->samples, 0.99);
		return true;
	case BENCH_VALUE_MAX:
		return find_value(c, t->of, value);
	}
	return false;
}

bool bench_target_met(struct bench_case *c, const struct bench_target *t)
{
	double value;

	if (!bench_target_value(c, t, &value))
		return false;
	return t->bound == BENCH_PEER_MIN ? value >= t->limit : value <= t->limit;
}

bool bench_case_met(struct bench_case *c)
{
	struct bench_side *ours = bench_find(c, BENCH_OURS, NULL);

	if (!ours || !ours->samples.n)
		return false;
	for (uint32_t i = 0; i < c->targets; i++) {
		if (!bench_target_met(c, &c->target[i]))
			return false;
	}
	return true;
}

bool bench_row_met(struct bench_result *r)
{
	for (uint32_t i = 0; i < r->n; i++) {
		if (!bench_case_met(r->cases[i]))
			return false;
	}
	return r->n && !r->error[0];
}
