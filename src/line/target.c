/* SPDX-License-Identifier: MIT */
/* What the IOAPICs' RTEs resolved to last. A signal of an irqfd has a copy of its target; this is the same for a
 * pin's. */
#include "base/reader.h"
#include "base/vm.h"
#include "chip/ioapic_pin.h"
#include "line/line.h"

/* All that a message is; and the mask bit, so that no entry is one before it is written. */
static uint64_t key_of(uint64_t rte)
{
	return (rte & ~RTE_READ_ONLY) | RTE_MASKED;
}

/* False: not known, or the map is another by now. *posted NULL: not one descriptor. Inside a read section
 * that is fenced. */
static inline bool find(struct line_target *t, uint64_t key, const struct dest_map *map,
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

static struct posted *resolve(struct line_ioapic *io, struct line_target *t, uint64_t rte)
{
	struct interrupt irq;
	struct target target;

	vmirq_ioapic_decode(&io->ioapic, rte, &irq);
	target = vmirq_resolve(io->lines->vm->chip, &irq);
	keep(t, key_of(rte), &target);
	return target.kind == TARGET_POST ? target.posted : NULL;
}

struct delivery vmirq_line_post(void *opaque, uint32_t pin, uint64_t rte)
{
	struct line_ioapic *io = opaque;
	struct line_target *t = &io->target[pin % LINE_TARGETS];
	struct chip *chip = io->lines->vm->chip;
	struct delivery d = { .accepted = 0 };
	struct reader *section = line_enter();
	struct posted *posted;

	if (unlikely(!find(t, key_of(rte), &chip->map, &posted)))
		posted = resolve(io, t, rte);
	if (likely(posted)) {
		d.verdict = post_vector(chip, posted, rte & RTE_VECTOR, rte & RTE_LEVEL);
		d.accepted = 1;
		if (unlikely(d.verdict != VMIRQ_DELIVERED))
			counts_add(&chip->ioapic, d.verdict, 1);
	}
	reader_exit(section);
	return d;
}
