/* SPDX-License-Identifier: MIT */
/*
 * The destination map: which vCPUs a destination id means (SDM vol. 3A 11.6.2).
 *
 * Two copies under a latch: the writer changes one while readers use the other, so readers never
 * wait, nothing is freed, and one vCPU's change costs the same however many there are. The latch's
 * counter is the map's generation: what was resolved under another one is stale.
 *
 * Readers: any thread, lock-free (they go again when the map changed under them), async-signal-safe.
 * Writers: the caller's lock.
 */
#ifndef CHIP_DEST_MAP_H
#define CHIP_DEST_MAP_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arch.h"
#include "base/bits.h"

#define MAX_VCPUS 4096

/* How a local APIC takes part in addressing. */
struct apic_address {
	bool present; /* there is a vCPU, and IA32_APIC_BASE enables its APIC */
	bool enabled; /* and SVR does */
	bool x2apic;
	uint32_t id;  /* what a physical destination is compared with */
	uint32_t ldr; /* xAPIC: the 8 bits of the logical id; x2APIC derives it from the id */
	uint8_t dfr;  /* xAPIC: 0xf flat, 0 cluster */
};

/* vCPUs by slot. Only the first words that the map's size needs are used. */
struct vcpu_set {
	uint64_t word[BITS_WORDS(MAX_VCPUS)];
};

static inline bool apic_address_equal(const struct apic_address *a, const struct apic_address *b)
{
	return a->present == b->present && a->enabled == b->enabled && a->x2apic == b->x2apic &&
	       a->id == b->id && a->ldr == b->ldr && a->dfr == b->dfr;
}

struct dest_map_copy;

/* What one physical id means, where it is known at once. 0: nobody. */
#define DIRECT_SLOT    0xffffu /* plus one */
#define DIRECT_ENABLED (1u << 16)
#define DIRECT_X2APIC  (1u << 17)
#define DIRECT_SEVERAL (1u << 18) /* and nothing else of this */

_Static_assert(MAX_VCPUS < DIRECT_SLOT, "a slot plus one");

struct dest_map {
	_Atomic uint64_t latch; /* 64 bits: a guest cannot turn it over */
	uint32_t vcpus;
	uint32_t words; /* of a vcpu_set */
	uint32_t buckets;
	uint32_t direct; /* ids below it are in `by_id` */
	struct dest_map_copy *copy[2];
	_Atomic uint32_t *by_id[2]; /* of each copy: [direct] */
};

/* Memory that init wants, zeroed and aligned to 64, for so many slots. */
size_t vmirq_dest_map_size(uint32_t vcpus);
void vmirq_dest_map_init(struct dest_map *map, uint32_t vcpus, void *memory);

/* Slot `index` is addressed so from now on. The map's lock is held. */
void vmirq_dest_map_set(struct dest_map *map, uint32_t index, const struct apic_address *address);

/* As it stands; the map's lock is held, or nobody else may set this slot. */
void vmirq_dest_map_get(const struct dest_map *map, uint32_t index, struct apic_address *address);

static inline uint64_t dest_map_generation(const struct dest_map *map)
{
	/* Acquire: a vCPU's change of address is seen by what comes after; pairs with the
	 * sequentially consistent adds in vmirq_dest_map_set(). */
	return atomic_load_explicit(&map->latch, memory_order_acquire);
}

/* A destination as it stands in a message or an ICR. */
struct dest {
	uint32_t id;
	bool logical;
	bool ipi;	  /* 0xff in one does not mean every x2APIC too */
	bool from_x2apic; /* an IPI of one: 0xff is an id like others */
};

/* Who matches, and who of them is enabled. Returns the generation this is true of. */
uint64_t vmirq_dest_map_match(const struct dest_map *map, struct dest dest,
			      struct vcpu_set *matched, struct vcpu_set *enabled);

/* The slot of the one APIC with this physical id, no broadcast's, which is enabled. -1: none, or several, or
 * it is not. */
int32_t vmirq_dest_map_one(const struct dest_map *map, uint32_t id);
/* And the generation that this is true of. */
int32_t vmirq_dest_map_one_in(const struct dest_map *map, uint32_t id, uint64_t *generation);

/* The same, where it is known at once; -1 may also mean that it is not. */
static inline int32_t dest_map_direct(const struct dest_map *map, uint32_t id)
{
	uint64_t generation = dest_map_generation(map);
	uint32_t entry;

	if (unlikely(id >= map->direct))
		return -1;
	entry = atomic_load_explicit(&map->by_id[generation & 1][id], memory_order_relaxed);
	/* The load above before the look; pairs with the fence in vmirq_dest_map_set(). */
	atomic_thread_fence(memory_order_acquire);
	if (unlikely(atomic_load_explicit(&map->latch, memory_order_relaxed) != generation))
		return -1;
	return entry & DIRECT_ENABLED ? (int32_t)(entry & DIRECT_SLOT) - 1 : -1;
}

/* A physical destination that means many. */
static inline bool dest_is_broadcast(uint32_t id)
{
	return id == 0xff || id == 0xffffffff;
}

/* Is the APIC in this slot present and enabled? */
bool vmirq_dest_map_enabled(const struct dest_map *map, uint32_t index);

/* Every present APIC, for the shorthands. */
uint64_t vmirq_dest_map_all(const struct dest_map *map, struct vcpu_set *matched,
			    struct vcpu_set *enabled);

#endif
