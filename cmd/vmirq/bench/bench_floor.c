// SPDX-License-Identifier: MIT
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "bench_rows.h"

#define LINE_WORDS 8

void bench_floor_rmw(void *opaque, uint32_t batch)
{
	struct bench_floor *floor = opaque;

	for (uint32_t i = 0; i < batch; i++) {
		uint32_t bit = floor->next++ & 255;

		__atomic_fetch_or(&floor->word[bit / 64], UINT64_C(1) << bit % 64,
				  __ATOMIC_SEQ_CST);
	}
}

void bench_floor_copy(void *opaque, uint32_t batch)
{
	struct bench_floor *floor = opaque;

	for (uint32_t i = 0; i < batch; i++) {
		memcpy(floor->copy[1], floor->copy[0], sizeof(floor->copy[0]));
		/* Or the compiler would copy once. */
		__asm__ volatile("" : : "r"(floor->copy) : "memory");
		memcpy(floor->copy[2], floor->copy[1], sizeof(floor->copy[0]));
		__asm__ volatile("" : : "r"(floor->copy) : "memory");
	}
}

uint64_t bench_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

int bench_lines_open(struct bench_lines *lines, uint32_t n)
{
	size_t size = (size_t)n * 64;
	void *at = mmap(NULL, size, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	*lines = (struct bench_lines){ .n = n, .random = 0x9e3779b97f4a7c15 };
	if (at == MAP_FAILED)
		return -ENOMEM;
	lines->word = at;
	return 0;
}

void bench_lines_close(struct bench_lines *lines)
{
	if (lines->word)
		munmap(lines->word, (size_t)lines->n * 64);
	lines->word = NULL;
}

void bench_floor_miss(void *opaque, uint32_t batch)
{
	struct bench_lines *lines = opaque;
	uint64_t sum = lines->sum;

	for (uint32_t i = 0; i < batch; i++) {
		/* All words are 0: the sum is there to be waited for. */
		uint64_t line = (bench_random(&lines->random) + sum) % lines->n;

		sum += *(volatile uint64_t *)&lines->word[line * LINE_WORDS];
	}
	lines->sum = sum;
}
