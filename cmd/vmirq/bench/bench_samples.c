// SPDX-License-Identifier: MIT
#include "bench_samples.h"

#include <stdlib.h>

#define FIRST_ROOM 1024

void samples_add(struct samples *samples, double value)
{
	if (samples->n == samples->room) {
		size_t room = samples->room ? samples->room * 2 : FIRST_ROOM;
		float *more = realloc(samples->value, room * sizeof(*more));

		if (!more) {
			samples->dropped++;
			return;
		}
		samples->value = more;
		samples->room = room;
	}
	samples->value[samples->n++] = (float)value;
	samples->sorted = false;
}

static int compare(const void *a, const void *b)
{
	float x = *(const float *)a, y = *(const float *)b;

	return (x > y) - (x < y);
}

double samples_quantile(struct samples *samples, double q)
{
	size_t at;

	if (!samples->n)
		return 0;
	if (!samples->sorted)
		qsort(samples->value, samples->n, sizeof(*samples->value), compare);
	samples->sorted = true;
	at = (size_t)(q * (double)samples->n);
	return (double)samples->value[at < samples->n ? at : samples->n - 1];
}

double samples_max(struct samples *samples)
{
	return samples_quantile(samples, 1);
}

double samples_mean(const struct samples *samples)
{
	double sum = 0;

	for (size_t i = 0; i < samples->n; i++)
		sum += (double)samples->value[i];
	return samples->n ? sum / (double)samples->n : 0;
}

void samples_free(struct samples *samples)
{
	free(samples->value);
	*samples = (struct samples){ 0 };
}
