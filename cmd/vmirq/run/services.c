// SPDX-License-Identifier: MIT
#include "services.h"

#include <errno.h>
#include <stdlib.h>

int services_init(struct services *s, uint32_t n)
{
	s->of = calloc(n, sizeof(*s->of));
	if (!s->of)
		return -ENOMEM;
	s->n = n;
	return 0;
}

void services_free(struct services *s)
{
	free(s->of);
	s->of = NULL;
	s->n = 0;
}

void services_sum(const struct services *s, struct services_sum *out)
{
	double sum = 0, squares = 0;

	*out = (struct services_sum){ .min = UINT64_MAX };
	for (uint32_t i = 0; i < s->n; i++) {
		double x = (double)s->of[i];

		out->min = s->of[i] < out->min ? s->of[i] : out->min;
		out->max = s->of[i] > out->max ? s->of[i] : out->max;
		sum += x;
		squares += x * x;
	}
	out->mean = sum / s->n;
	out->fairness = squares > 0 ? sum * sum / (s->n * squares) : 0;
}
