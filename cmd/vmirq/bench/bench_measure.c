// SPDX-License-Identifier: MIT
/*
 * Slices in turns.
 */
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"

#define TURNS_MIN 5

static bool shown;

uint64_t bench_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void prepare(struct bench_side *side)
{
	if (side->prepare)
		side->prepare(side->prepare_opaque ? side->prepare_opaque : side->opaque);
}

static void measure_slice(struct bench_side *side, bool warm)
{
	double weight = side->weight > 0 ? side->weight : 1;
	uint64_t start;

	prepare(side);
	if (warm) {
		side->slice(side->opaque, side->batch);
		prepare(side);
	}
	start = bench_now();
	side->slice(side->opaque, side->batch);
	samples_add(&side->samples, (double)(bench_now() - start) / (side->batch * weight));
}

void bench_measure(struct bench_case *c, uint64_t ns)
{
	uint64_t end = bench_now() + ns;

	/* Nobody is always behind the same other one, whose lines are then in the cache. */
	for (uint32_t turn = 0; turn < TURNS_MIN || bench_now() < end; turn++) {
		for (uint32_t i = 0; i < c->sides; i++) {
			struct bench_side *side = &c->side[(i + turn) % c->sides];

			if (side->slice)
				measure_slice(side, c->warm);
		}
	}
}

void bench_progress(const struct bench *b, const char *what)
{
	if (!isatty(STDERR_FILENO))
		return;
	fprintf(stderr, "\r\033[K%u/%u %s", b->done + 1, b->rows, what);
	fflush(stderr);
	shown = true;
}

void bench_progress_clear(void)
{
	if (shown)
		fputs("\r\033[K", stderr);
	shown = false;
}
