/* SPDX-License-Identifier: MIT */
/* Inside the kernel's routing table, for table.c and dynamic.c, and for what a message that has its route looks
 * at. */
#ifndef KVM_SLOTS_H
#define KVM_SLOTS_H

#include <stdatomic.h>
#include <stdbool.h>

#include "base/lock.h"
#include "base/reader.h"
#include "kvm/table.h"
#include "msi/message.h"

#define NO_GSI UINT32_MAX

/* What the kernel has for a GSI. A dynamic route's message and chain are written under the
 * lock and with the hash closed; all else under the lock. What a hit touches is in one line. */
struct kernel_slot {
	struct kernel_entries has;
	uint32_t users; /* irqfds */
	uint32_t chain; /* the next dynamic one of its bucket, or NO_GSI */
	bool dynamic;
	_Atomic bool hit; /* since the hand last went by */
} __attribute__((aligned(CACHE_LINE / 2)));

struct kernel_table {
	/* Dynamic routes by message. The keys are random: a guest chooses its messages. The line that a
	 * hit touches. */
	uint64_t key[4];
	uint32_t *bucket;
	struct kernel_slot *slot;
	uint32_t bucket_shift;
	/* Odd: the hash is closed, its buckets being written; only with the lock, and never over a
	 * `set`. A send holds the table (reader_hold()) from before its search until it has raised, so
	 * that the route stays meanwhile, and closing waits for those. */
	_Atomic uint32_t closed;

	struct kernel_table_config config;
	/* Of whoever changes the table; `set` is called under it. */
	struct lock lock;
	uint32_t hand; /* second chance goes down from here */

	/* The change under way: what each GSI is to have, NULL where it stays as it is. */
	const struct kernel_route **staged;
	uint32_t *changed; /* the GSIs that are staged */
	uint32_t n_changed;
	uint32_t n_entries; /* in the kernel's table, with what is staged */
	struct kvm_irq_routing *flat;

	struct kernel_table_counts counts;
} __attribute__((aligned(CACHE_LINE)));

/* Nothing: what an evicted GSI is to have. */
extern const struct kernel_route vmirq_kernel_route_none;

/* Multiply-shift over a vector (Dietzfelbinger): two messages share a bucket by chance of the
 * keys only. The bucket is to be looked into with the mutex or the table held. */
static inline uint32_t *kernel_table_bucket(const struct kernel_table *t,
					    const struct msi_message *msg)
{
	uint64_t h = t->key[0] + t->key[1] * msg->address_lo + t->key[2] * msg->address_hi +
		     t->key[3] * msg->data;

	return &t->bucket[h >> t->bucket_shift];
}

/* The mutex is held, or the table, for these two. The message's GSI, from this one of its bucket on; or
 * NO_GSI. */
static inline uint32_t kernel_table_look(const struct kernel_table *t, uint32_t gsi,
					 const struct msi_message *msg)
{
	for (; gsi != NO_GSI; gsi = t->slot[gsi].chain) {
		const uint32_t *word = t->slot[gsi].has.word;

		if (likely(word[0] == msg->address_lo && word[1] == msg->address_hi &&
			   word[2] == msg->data))
			break;
	}
	return gsi;
}

/* Only once a round of the hand: the line stays shared. */
static inline void kernel_slot_note_hit(struct kernel_slot *slot)
{
	if (unlikely(!atomic_load_explicit(&slot->hit, memory_order_relaxed)))
		atomic_store_explicit(&slot->hit, true, memory_order_relaxed);
}

/* The table is held: is the hash not being written? */
static inline bool kernel_table_is_open(const struct kernel_table *t)
{
	/* Acquire: what was written while it was closed is seen; pairs with vmirq_dynamic_open(). */
	return !(atomic_load_explicit(&t->closed, memory_order_acquire) & 1);
}

/* The table is held and the fence was: the GSI of a message that has its route, whose bucket this is. NO_GSI: ask
 * vmirq_kernel_table_find(). */
static inline uint32_t kernel_table_find_now(struct kernel_table *t, const uint32_t *bucket,
					     const struct msi_message *msg)
{
	uint32_t gsi = NO_GSI;

	if (likely(kernel_table_is_open(t)))
		gsi = kernel_table_look(t, *bucket, msg);
	if (likely(gsi != NO_GSI))
		kernel_slot_note_hit(&t->slot[gsi]);
	return gsi;
}

static inline bool is_message(const struct kernel_entries *has)
{
	return has->type == KVM_IRQ_ROUTING_MSI;
}

/* The lock is held for all of these. Stage a GSI's route, which must stay where it is until the
 * transaction's end; a GSI may be staged again. */
void vmirq_kernel_table_stage(struct kernel_table *t, uint32_t gsi,
			      const struct kernel_route *route);
/* Have the kernel take what is staged; `dynamic` (or NO_GSI) is the GSI that is staged a dynamic
 * route. On error all is as it was. Nothing is staged afterwards. */
int vmirq_kernel_table_transact(struct kernel_table *t, uint32_t dynamic);
/* Forget what is staged. */
void vmirq_kernel_table_unstage(struct kernel_table *t);
/* Stage the eviction of a batch: false if there was nothing to evict. */
bool vmirq_kernel_table_evict(struct kernel_table *t);

int vmirq_dynamic_create(struct kernel_table *t);
/* The lock is held. Whoever has found something in the hash is done when it is closed. */
void vmirq_dynamic_close(struct kernel_table *t);
void vmirq_dynamic_open(struct kernel_table *t);
/* The hash is closed. */
void vmirq_dynamic_link(struct kernel_table *t, uint32_t gsi);
void vmirq_dynamic_unlink(struct kernel_table *t, uint32_t gsi);

#endif
