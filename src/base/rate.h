/* SPDX-License-Identifier: MIT */
/* A bucket of signals: `rate` a second flow in, `burst` is what it holds. In billionths of a signal, so that
 * nothing is rounded: a burst is below 2^32, and its billionths below 2^62. */
#ifndef BASE_RATE_H
#define BASE_RATE_H

#include <stdint.h>

#define RATE_ONE UINT64_C(1000000000)

struct rate {
	uint32_t rate; /* 0: no limit */
	uint32_t burst;
	uint64_t level; /* at `since` */
	uint64_t since; /* ns */
};

static inline void rate_init(struct rate *r, uint32_t rate, uint32_t burst, uint64_t now)
{
	*r = (struct rate){ .rate = rate, .burst = burst, .level = burst * RATE_ONE, .since = now };
}

static inline void rate_flow(struct rate *r, uint64_t now)
{
	uint64_t full = r->burst * RATE_ONE;
	uint64_t passed = now > r->since ? now - r->since : 0;

	/* `rate` billionths flow in each ns. */
	if (passed > (full - r->level) / r->rate)
		r->level = full;
	else
		r->level += passed * r->rate;
	r->since = now > r->since ? now : r->since;
}

/* How many of `want` there are. */
static inline uint32_t rate_take(struct rate *r, uint64_t now, uint32_t want)
{
	uint64_t there;

	rate_flow(r, now);
	there = r->level / RATE_ONE;
	if (want > there)
		want = (uint32_t)there;
	r->level -= want * RATE_ONE;
	return want;
}

static inline void rate_give_back(struct rate *r, uint32_t n)
{
	uint64_t full = r->burst * RATE_ONE;

	r->level = n * RATE_ONE > full - r->level ? full : r->level + n * RATE_ONE;
}

/* When it is worth looking again: one signal is there, and a millisecond's worth. */
static inline uint64_t rate_resume(const struct rate *r, uint64_t now)
{
	uint32_t batch = r->rate / 1000;
	uint64_t wanted, at;

	if (batch > r->burst)
		batch = r->burst;
	wanted = (batch ? batch : 1) * RATE_ONE;
	if (r->level >= wanted)
		return now;
	at = now + (wanted - r->level + r->rate - 1) / r->rate;
	return at < now ? UINT64_MAX : at;
}

#endif
