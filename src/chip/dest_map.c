/* SPDX-License-Identifier: MIT */
#include "chip/dest_map.h"

#define XAPIC_BROADCAST	 0xffu
#define X2APIC_BROADCAST 0xffffffffu
#define FLAT_BITS	 8
#define CLUSTERS	 16
#define CLUSTER_BITS	 4

enum { ADDR_PRESENT = 1, ADDR_ENABLED = 2, ADDR_X2APIC = 4, ADDR_DFR_SHIFT = 8 };

/* A slot's place in a copy. Indices are stored plus one: 0 is the end of a chain. */
struct map_slot {
	_Atomic uint32_t id;
	_Atomic uint32_t ldr;
	_Atomic uint32_t flags;
	_Atomic uint32_t next; /* in its bucket */
};

typedef _Atomic uint64_t set_word;

/* Everything is relaxed-atomic: a reader may look while it changes, and then looks again. */
struct dest_map_copy {
	struct map_slot *slot;	  /* [vcpus] */
	_Atomic uint32_t *bucket; /* [buckets], chains by id */
	_Atomic uint32_t *by_id;  /* [direct], DIRECT_* */
	_Atomic uint32_t xapics;  /* present ones in that mode */
	set_word *present;	  /* each of the following [words] */
	set_word *x2apic;	  /* present ones in x2APIC mode */
	set_word *enabled;
	set_word *flat;	   /* [FLAT_BITS][words]: xAPICs in the flat model by bit of LDR */
	set_word *cluster; /* [CLUSTERS][CLUSTER_BITS][words] */
};

#define SETS_PER_COPY (3 + FLAT_BITS + CLUSTERS * CLUSTER_BITS)

static uint32_t buckets_for(uint32_t vcpus)
{
	uint32_t n = 16;

	while (n < 2 * vcpus)
		n *= 2;
	return n;
}

/* As many ids as there are buckets: ids are mostly small, though with holes. */
static uint32_t direct_for(uint32_t vcpus)
{
	return buckets_for(vcpus);
}

static size_t align_line(size_t n)
{
	return (n + CACHE_LINE - 1) & ~(size_t)(CACHE_LINE - 1);
}

static size_t copy_size(uint32_t vcpus)
{
	return align_line(sizeof(struct dest_map_copy)) +
	       align_line(vcpus * sizeof(struct map_slot)) +
	       align_line(buckets_for(vcpus) * sizeof(uint32_t)) +
	       align_line(direct_for(vcpus) * sizeof(uint32_t)) +
	       align_line((size_t)SETS_PER_COPY * BITS_WORDS(vcpus) * sizeof(uint64_t));
}

size_t vmirq_dest_map_size(uint32_t vcpus)
{
	return 2 * copy_size(vcpus);
}

static struct dest_map_copy *lay_out(struct dest_map *map, unsigned char *memory)
{
	struct dest_map_copy *copy = (struct dest_map_copy *)memory;
	set_word *sets;

	memory += align_line(sizeof(*copy));
	copy->slot = (struct map_slot *)memory;
	memory += align_line(map->vcpus * sizeof(struct map_slot));
	copy->bucket = (_Atomic uint32_t *)memory;
	memory += align_line(map->buckets * sizeof(uint32_t));
	copy->by_id = (_Atomic uint32_t *)memory;
	memory += align_line(map->direct * sizeof(uint32_t));
	sets = (set_word *)memory;
	copy->present = sets;
	copy->x2apic = copy->present + map->words;
	copy->enabled = copy->x2apic + map->words;
	copy->flat = copy->enabled + map->words;
	copy->cluster = copy->flat + (size_t)FLAT_BITS * map->words;
	return copy;
}

void vmirq_dest_map_init(struct dest_map *map, uint32_t vcpus, void *memory)
{
	map->vcpus = vcpus;
	map->words = BITS_WORDS(vcpus);
	map->buckets = buckets_for(vcpus);
	map->direct = direct_for(vcpus);
	map->copy[0] = lay_out(map, memory);
	map->copy[1] = lay_out(map, (unsigned char *)memory + copy_size(vcpus));
	map->by_id[0] = map->copy[0]->by_id;
	map->by_id[1] = map->copy[1]->by_id;
	atomic_store_explicit(&map->latch, 0, memory_order_release);
}

/* Multiplicative hashing: ids are small and dense, or chosen by a guest that gains nothing by chains:
 * there are never more in one than vCPUs. */
static uint32_t bucket_of(const struct dest_map *map, uint32_t id)
{
	return (id * 0x9e3779b1u) >> 7 & (map->buckets - 1);
}

static uint32_t get32(const _Atomic uint32_t *v)
{
	return atomic_load_explicit(v, memory_order_relaxed);
}

static void put32(_Atomic uint32_t *v, uint32_t x)
{
	atomic_store_explicit(v, x, memory_order_relaxed);
}

static void set_put(set_word *set, uint32_t index, bool in)
{
	uint64_t word = atomic_load_explicit(&set[index / 64], memory_order_relaxed);

	word = in ? word | bit64(index) : word & ~bit64(index);
	atomic_store_explicit(&set[index / 64], word, memory_order_relaxed);
}

static void chain_remove(struct dest_map_copy *c, uint32_t bucket, uint32_t index)
{
	_Atomic uint32_t *at = &c->bucket[bucket];

	while (get32(at) && get32(at) != index + 1)
		at = &c->slot[get32(at) - 1].next;
	if (get32(at))
		put32(at, get32(&c->slot[index].next));
}

/* What the chains say of this id, for those who ask for it alone. */
static void direct_put(const struct dest_map *map, struct dest_map_copy *c, uint32_t id)
{
	uint32_t entry = 0;

	if (id >= map->direct)
		return;
	for (uint32_t at = get32(&c->bucket[bucket_of(map, id)]); at;
	     at = get32(&c->slot[at - 1].next)) {
		uint32_t flags = get32(&c->slot[at - 1].flags);

		if (get32(&c->slot[at - 1].id) != id)
			continue;
		entry = entry ? DIRECT_SEVERAL
			      : at | (flags & ADDR_ENABLED ? DIRECT_ENABLED : 0) |
					(flags & ADDR_X2APIC ? DIRECT_X2APIC : 0);
	}
	put32(&c->by_id[id], entry);
}

static bool is_xapic(const struct apic_address *a)
{
	return a->present && !a->x2apic;
}

/* Enter or remove a slot's logical id, in the model that it uses. */
static void logical_put(const struct dest_map *map, struct dest_map_copy *c, uint32_t index,
			const struct apic_address *a, bool in)
{
	size_t words = map->words;
	unsigned int bit;

	if (!a->present || a->x2apic)
		return;
	if (a->dfr == 0xf) {
		for_each_bit(bit, a->ldr & 0xff) set_put(c->flat + bit * words, index, in);
	} else if (a->dfr == 0) {
		for_each_bit(bit, a->ldr & 0xf) set_put(
			c->cluster + ((size_t)bits32(a->ldr, 7, 4) * CLUSTER_BITS + bit) * words,
			index, in);
	}
}

static void slot_read(const struct dest_map_copy *c, uint32_t index, struct apic_address *a)
{
	uint32_t flags = get32(&c->slot[index].flags);

	*a = (struct apic_address){
		.present = flags & ADDR_PRESENT,
		.enabled = flags & ADDR_ENABLED,
		.x2apic = flags & ADDR_X2APIC,
		.id = get32(&c->slot[index].id),
		.ldr = get32(&c->slot[index].ldr),
		.dfr = (uint8_t)(flags >> ADDR_DFR_SHIFT),
	};
}

static void copy_set(const struct dest_map *map, struct dest_map_copy *c, uint32_t index,
		     const struct apic_address *new)
{
	struct apic_address old;
	struct map_slot *slot = &c->slot[index];

	slot_read(c, index, &old);
	logical_put(map, c, index, &old, false);
	if (old.present)
		chain_remove(c, bucket_of(map, old.id), index);

	put32(&slot->id, new->id);
	put32(&slot->ldr, new->ldr);
	put32(&slot->flags,
	      (new->present ? ADDR_PRESENT : 0u) | (new->enabled ? ADDR_ENABLED : 0u) |
		      (new->x2apic ? ADDR_X2APIC : 0u) | (uint32_t) new->dfr << ADDR_DFR_SHIFT);
	set_put(c->present, index, new->present);
	set_put(c->enabled, index, new->present &&new->enabled);
	set_put(c->x2apic, index, new->present &&new->x2apic);
	logical_put(map, c, index, new, true);
	if (new->present) {
		_Atomic uint32_t *head = &c->bucket[bucket_of(map, new->id)];

		put32(&slot->next, get32(head));
		put32(head, index + 1);
	}
	if (old.present)
		direct_put(map, c, old.id);
	direct_put(map, c, new->id);
	put32(&c->xapics, get32(&c->xapics) + is_xapic(new) - is_xapic(&old));
}

void vmirq_dest_map_set(struct dest_map *map, uint32_t index, const struct apic_address *address)
{
	/* Odd: readers use copy 1, even: copy 0. Release: the copy that readers are sent to is whole;
	 * pairs with the acquire in dest_map_generation(). The fence: the stores to the other copy come
	 * after; pairs with the fence in match_consistent(). */
	for (int i = 0; i < 2; i++) {
		atomic_fetch_add(&map->latch, 1);
		atomic_thread_fence(memory_order_release);
		copy_set(map, map->copy[i], index, address);
	}
}

void vmirq_dest_map_get(const struct dest_map *map, uint32_t index, struct apic_address *address)
{
	slot_read(map->copy[0], index, address);
}

static void add_set(const struct dest_map *map, const set_word *from, struct vcpu_set *to)
{
	for (uint32_t w = 0; w < map->words; w++)
		to->word[w] |= atomic_load_explicit(&from[w], memory_order_relaxed);
}

static inline void set_add(struct vcpu_set *set, uint32_t index)
{
	set->word[index / 64] |= bit64(index);
}

/* Those whose id is `id`; where `x2apic_only`, in that mode. A chain that changes under us may lead
 * anywhere in the array, but not out of it, and the walk is bounded. */
static inline void add_by_id(const struct dest_map *map, const struct dest_map_copy *c, uint32_t id,
			     bool x2apic_only, struct vcpu_set *to)
{
	uint32_t at, entry;

	if (likely(id < map->direct)) {
		entry = get32(&c->by_id[id]);
		if (likely(!(entry & DIRECT_SEVERAL))) {
			if (entry && (!x2apic_only || (entry & DIRECT_X2APIC)))
				set_add(to, (entry & DIRECT_SLOT) - 1);
			return;
		}
	}
	at = get32(&c->bucket[bucket_of(map, id)]);
	for (uint32_t n = 0; at && n < map->vcpus; n++) {
		const struct map_slot *slot = &c->slot[at - 1];

		if (get32(&slot->id) == id && (!x2apic_only || (get32(&slot->flags) & ADDR_X2APIC)))
			set_add(to, at - 1);
		at = get32(&slot->next);
	}
}

static void match_xapics(const struct dest_map *map, const struct dest_map_copy *c, uint32_t id,
			 struct vcpu_set *to)
{
	size_t words = map->words;
	unsigned int bit;

	for_each_bit(bit, id & 0xff) add_set(map, c->flat + bit * words, to);
	if (id <= 0xff)
		for_each_bit(bit, id & 0xf) add_set(
			map, c->cluster + ((size_t)(id >> 4) * CLUSTER_BITS + bit) * words, to);
}

static void match_logical(const struct dest_map *map, const struct dest_map_copy *c, uint32_t id,
			  struct vcpu_set *to)
{
	unsigned int bit;

	if (get32(&c->xapics))
		match_xapics(map, c, id, to);
	/* SDM vol. 3A 11.12.10.2: logical x2APIC id = id[31:4] << 16 | 1 << id[3:0]. */
	for_each_bit(bit, id & 0xffff) add_by_id(map, c, (id >> 16) << 4 | bit, true, to);
}

static void match(const struct dest_map *map, const struct dest_map_copy *c, struct dest dest,
		  struct vcpu_set *to)
{
	if (dest.id == X2APIC_BROADCAST)
		add_set(map, c->x2apic, to);
	if (dest.logical)
		match_logical(map, c, dest.id, to);
	else
		add_by_id(map, c, dest.id, false, to);
	if (dest.id != XAPIC_BROADCAST || dest.from_x2apic)
		return;
	for (uint32_t w = 0; w < map->words; w++) {
		uint64_t present = atomic_load_explicit(&c->present[w], memory_order_relaxed);
		uint64_t x2apic = atomic_load_explicit(&c->x2apic[w], memory_order_relaxed);

		to->word[w] |= dest.ipi ? present & ~x2apic : present;
	}
}

static void clear_set(const struct dest_map *map, struct vcpu_set *set)
{
	for (uint32_t w = 0; w < map->words; w++)
		set->word[w] = 0;
}

/* `dest` NULL: every present one. */
static uint64_t match_consistent(const struct dest_map *map, const struct dest *dest,
				 struct vcpu_set *matched, struct vcpu_set *enabled)
{
	for (;;) {
		uint64_t gen = dest_map_generation(map);
		const struct dest_map_copy *c = map->copy[gen & 1];

		clear_set(map, matched);
		if (dest)
			match(map, c, *dest, matched);
		else
			add_set(map, c->present, matched);
		for (uint32_t w = 0; w < map->words; w++)
			enabled->word[w] =
				matched->word[w] &
				atomic_load_explicit(&c->enabled[w], memory_order_relaxed);
		/* The loads above before the look; pairs with the fence in vmirq_dest_map_set(). */
		atomic_thread_fence(memory_order_acquire);
		if (atomic_load_explicit(&map->latch, memory_order_relaxed) == gen)
			return gen;
		cpu_relax();
	}
}

uint64_t vmirq_dest_map_match(const struct dest_map *map, struct dest dest,
			      struct vcpu_set *matched, struct vcpu_set *enabled)
{
	return match_consistent(map, &dest, matched, enabled);
}

uint64_t vmirq_dest_map_all(const struct dest_map *map, struct vcpu_set *matched,
			    struct vcpu_set *enabled)
{
	return match_consistent(map, NULL, matched, enabled);
}

/* These as in match_consistent(). */

static inline int32_t find_one(const struct dest_map *map, const struct dest_map_copy *c,
			       uint32_t id)
{
	uint32_t at = get32(&c->bucket[bucket_of(map, id)]), found = 0;

	for (uint32_t n = 0; at && n < map->vcpus; n++) {
		if (get32(&c->slot[at - 1].id) == id) {
			if (found || !(get32(&c->slot[at - 1].flags) & ADDR_ENABLED))
				return -1;
			found = at;
		}
		at = get32(&c->slot[at - 1].next);
	}
	return (int32_t)found - 1;
}

static inline int32_t one_in(const struct dest_map *map, uint32_t id, uint64_t *generation)
{
	for (;;) {
		uint64_t gen = dest_map_generation(map);
		int32_t one = find_one(map, map->copy[gen & 1], id);

		atomic_thread_fence(memory_order_acquire);
		*generation = gen;
		if (likely(atomic_load_explicit(&map->latch, memory_order_relaxed) == gen))
			return one;
		cpu_relax();
	}
}

int32_t vmirq_dest_map_one(const struct dest_map *map, uint32_t id)
{
	uint64_t unused;

	return one_in(map, id, &unused);
}

int32_t vmirq_dest_map_one_in(const struct dest_map *map, uint32_t id, uint64_t *generation)
{
	return one_in(map, id, generation);
}

bool vmirq_dest_map_enabled(const struct dest_map *map, uint32_t index)
{
	for (;;) {
		uint64_t gen = dest_map_generation(map);
		uint64_t word = atomic_load_explicit(&map->copy[gen & 1]->enabled[index / 64],
						     memory_order_relaxed);

		atomic_thread_fence(memory_order_acquire);
		if (likely(atomic_load_explicit(&map->latch, memory_order_relaxed) == gen))
			return word & bit64(index);
		cpu_relax();
	}
}
