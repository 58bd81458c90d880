/* SPDX-License-Identifier: MIT */
/* What the IOAPICs' messages resolved to last. A signal of an irqfd has a copy of its target; this is the
 * same for a pin's, found by the message. */
#include "base/vm.h"
#include "line/line.h"

/* All that a message is; a bit more, so that no entry is one before it is written. */
static uint64_t key_of(const struct interrupt *irq)
{
	return irq->dest | (uint64_t)irq->vector << 32 | (uint64_t)irq->mode << 40 |
	       (uint64_t)irq->logical << 48 | (uint64_t)irq->level << 49 | UINT64_C(1) << 63;
}

/* False: not known, or the map is another by now. *posted NULL: not one descriptor. Inside a read section
 * that is fenced. */
static bool find(struct line_target *t, uint64_t key, const struct dest_map *map,
		 struct posted **posted)
{
	uint32_t seq = seq_peek(&t->seq);
	uint64_t generation = atomic_load_explicit(&t->generation, memory_order_relaxed);
	bool same = atomic_load_explicit(&t->key, memory_order_relaxed) == key;

	*posted = atomic_load_explicit(&t->posted, memory_order_relaxed);
	return same && !(seq & 1) && !seq_read_retry(&t->seq, seq) &&
	       dest_map_generation(map) == generation;
}

/* Only tries: whoever delivers waits for nobody. */
static void keep(struct line_target *t, uint64_t key, const struct target *target)
{
	uint32_t seq = seq_peek(&t->seq);

	if ((seq & 1) || !seq_write_try(&t->seq, seq))
		return;
	atomic_store_explicit(&t->key, key, memory_order_relaxed);
	atomic_store_explicit(&t->generation, target->generation, memory_order_relaxed);
	atomic_store_explicit(&t->posted, target->kind == TARGET_POST ? target->posted : NULL,
			      memory_order_relaxed);
	seq_write_end(&t->seq);
}

static struct posted *resolve(struct chip *chip, struct line_target *t, uint64_t key,
			      const struct interrupt *irq)
{
	struct target target = vmirq_resolve(chip, irq);

	keep(t, key, &target);
	return target.kind == TARGET_POST ? target.posted : NULL;
}

struct delivery vmirq_line_deliver(struct line_ioapic *io, const struct interrupt *irq)
{
	struct line_target *t = &io->target[irq->vector % LINE_TARGETS];
	struct chip *chip = io->lines->vm->chip;
	uint64_t key = key_of(irq);
	struct posted *posted;

	if (unlikely(!find(t, key, &chip->map, &posted)))
		posted = resolve(chip, t, key, irq);
	if (unlikely(!posted || irq->tick))
		return vmirq_deliver(chip, irq);
	return (struct delivery){ .verdict = post_vector(chip, posted, irq->vector, irq->level),
				  .accepted = 1 };
}
