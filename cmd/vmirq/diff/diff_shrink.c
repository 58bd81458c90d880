// SPDX-License-Identifier: MIT
#include "diff_shrink.h"

#include <stdlib.h>
#include <string.h>

static bool same(const struct script *a, const struct difference *x, const struct script *b,
		 const struct difference *y)
{
	return x->object == y->object && x->reg == y->reg && a->op[x->op].kind == b->op[y->op].kind;
}

/* Without [from, from + n). True: it still differs so, and `script` is the shorter one now. */
static bool try_without(struct script *script, size_t from, size_t n, struct difference *difference)
{
	struct script shorter = *script;
	struct difference found;
	char why[300];

	shorter.room = shorter.n = script->n - n;
	shorter.op = malloc((shorter.n + 1) * sizeof(*shorter.op));
	if (!shorter.op)
		return false;
	memcpy(shorter.op, script->op, from * sizeof(*shorter.op));
	memcpy(shorter.op + from, script->op + from + n, (shorter.n - from) * sizeof(*shorter.op));
	if (session_execute(&shorter, NULL, &found, why, sizeof(why)) != 1 ||
	    !same(script, difference, &shorter, &found)) {
		script_free(&shorter);
		return false;
	}
	script_free(script);
	*script = shorter;
	*difference = found;
	return true;
}

void script_shrink(struct script *script, struct difference *difference, double seconds)
{
	uint64_t until = diff_now() + (uint64_t)(seconds * 1e9);
	size_t chunk;

	/* What comes after it does not matter, but for the batch it was seen at the end of. */
	if (difference->op + 1 < script->n)
		try_without(script, difference->op + 1, script->n - difference->op - 1, difference);
	for (chunk = script->n / 2; chunk >= 1 && diff_now() < until; chunk /= 2) {
		size_t from = script->n;

		/* From the end: what is near the difference decides what is needed before it. */
		while (from > 0 && diff_now() < until) {
			size_t n = from < chunk ? from : chunk;

			from -= n;
			if (from + n <= script->n)
				try_without(script, from, n, difference);
		}
	}
}
