/* SPDX-License-Identifier: MIT */
#include "chip/deliver.h"

/* A in posted.h for a word of vectors. Returns those that were not set. `here`: the line has been written; until
 * then it is not looked at first, so that it comes once: another core has it. */
static inline uint64_t set_word(_Atomic uint64_t *word, uint64_t vectors, bool here)
{
	uint64_t old = here ? atomic_load_explicit(word, memory_order_relaxed) : 0;

	if (!vectors)
		return 0;
	while (unlikely(!atomic_compare_exchange_weak(word, &old, old | vectors)))
		;
	return vectors & ~old;
}

static uint64_t levels(const struct vecset *s, const uint64_t vectors[4])
{
	return (atomic_load_explicit(&s->word[0], memory_order_relaxed) & vectors[0]) |
	       (atomic_load_explicit(&s->word[1], memory_order_relaxed) & vectors[1]) |
	       (atomic_load_explicit(&s->word[2], memory_order_relaxed) & vectors[2]) |
	       (atomic_load_explicit(&s->word[3], memory_order_relaxed) & vectors[3]);
}

static void make_edges(struct vecset *s, const uint64_t vectors[4])
{
	for (unsigned int w = 0; w < 4; w++)
		atomic_fetch_and(&s->word[w], ~vectors[w]);
}

/* Not posted then, but for what the vCPU has found in its last moment, and has counted. */
static void take_back(struct vecset *s, uint64_t fresh[4])
{
	for (unsigned int w = 0; w < 4; w++)
		if (fresh[w])
			fresh[w] &= ~atomic_fetch_and(&s->word[w], ~fresh[w]);
}

/* That of the highest. There is one. */
static uint32_t highest_class(const uint64_t vectors[4])
{
	uint32_t class = 15;

	while (!(vectors[class / 4] >> class % 4 * 16 & 0xffff))
		class --;
	return class;
}

bool vmirq_post_mask(struct chip *chip, struct posted *p, const uint64_t vectors[4],
		     uint64_t fresh[4])
{
	const uint64_t v0 = vectors[0], v1 = vectors[1], v2 = vectors[2], v3 = vectors[3];
	_Atomic uint64_t *word = p->vectors.word;
	uint64_t f0, f1, f2, f3;
	bool outside;

	if (unlikely(levels(&p->level, vectors)))
		make_edges(&p->level, vectors);
	/* No store between these, which each would wait for. */
	f0 = set_word(&word[0], v0, false);
	f1 = set_word(&word[1], v1, v0);
	f2 = set_word(&word[2], v2, v0 | v1);
	f3 = set_word(&word[3], v3, v0 | v1 | v2);
	/* B in posted.h, once for all: it comes after the last. */
	outside = atomic_load(&p->mode) == MODE_OUTSIDE;
	fresh[0] = f0;
	fresh[1] = f1;
	fresh[2] = f2;
	fresh[3] = f3;
	if (likely(outside) || vmirq_notify(chip, p, highest_class(vectors)))
		return true;
	take_back(&p->vectors, fresh);
	return false;
}
