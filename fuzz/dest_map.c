/* SPDX-License-Identifier: MIT */
/* The destination map against the rules of SDM vol. 3A 11.6.2 and 11.12.10, each APIC asked one by
 * one. */
#include <string.h>

#include "check.h"
#include "chip/dest_map.h"
#include "stream.h"

/* Operations. Their numbers stay: the corpus is written in them. */
enum op {
	OP_SET,	   /* slot, flags, id, ldr, dfr: an address */
	OP_REMOVE, /* slot */
	OP_MATCH,  /* way, id */
	OP_ALL,	   /* every present one */
	OP_NEAR,   /* slot, way, distance: match around the id that this slot has */
	OPS,
};

struct bench {
	struct dest_map map;
	uint32_t vcpus;
	struct apic_address apic[MAX_VCPUS]; /* what was set */
};

static bool answers(const struct apic_address *a, struct dest dest)
{
	if (!a->present)
		return false;
	if (a->x2apic) {
		if (dest.id == UINT32_MAX || (dest.id == 0xff && !dest.ipi))
			return true;
		if (!dest.logical)
			return dest.id == a->id;
		return a->id >> 4 == dest.id >> 16 && (dest.id & 1u << (a->id & 15));
	}
	if (dest.id == 0xff)
		return true;
	if (!dest.logical)
		return dest.id == a->id;
	if (a->dfr == 0xf)
		return a->ldr & dest.id & 0xff;
	return a->dfr == 0 && a->ldr >> 4 == dest.id >> 4 && (a->ldr & dest.id & 0xf);
}

static bool is_in(const struct vcpu_set *set, uint32_t i)
{
	return set->word[i / 64] >> i % 64 & 1;
}

/* dest NULL: every present one. */
static void compare(struct bench *b, const struct dest *dest)
{
	struct vcpu_set matched, enabled;
	uint64_t generation;

	/* What a set held before must not show. */
	memset(&matched, 0xff, sizeof(matched));
	memset(&enabled, 0xff, sizeof(enabled));
	generation = dest ? vmirq_dest_map_match(&b->map, *dest, &matched, &enabled)
			  : vmirq_dest_map_all(&b->map, &matched, &enabled);
	check(generation == dest_map_generation(&b->map));
	for (uint32_t i = 0; i < b->map.words * 64; i++) {
		bool expected = i < b->vcpus &&
				(dest ? answers(&b->apic[i], *dest) : b->apic[i].present);

		check(is_in(&matched, i) == expected);
		check(is_in(&enabled, i) == (expected && b->apic[i].enabled));
	}
}

/* In both copies: readers are sent to the other one only while a writer is between the two. */
static void compare_both(struct bench *b, const struct dest *dest)
{
	compare(b, dest);
	atomic_fetch_add(&b->map.latch, 1);
	compare(b, dest);
	atomic_fetch_sub(&b->map.latch, 1);
}

static void set(struct bench *b, uint32_t slot, const struct apic_address *address)
{
	uint64_t before = dest_map_generation(&b->map);
	struct apic_address back;

	b->apic[slot] = *address;
	vmirq_dest_map_set(&b->map, slot, address);
	check(dest_map_generation(&b->map) > before);
	vmirq_dest_map_get(&b->map, slot, &back);
	check(back.present == address->present && back.enabled == address->enabled);
	check(back.x2apic == address->x2apic && back.id == address->id);
	check(back.ldr == address->ldr && back.dfr == address->dfr);
}

/* Of the few interesting ones, or any. */
static uint32_t take_id(struct stream *s)
{
	uint8_t kind = take8(s);

	if (kind < 0x40)
		return kind;
	if (kind < 0x80)
		return (kind & 7u) * 255 + (kind >> 3 & 7);
	if (kind < 0xc0)
		return UINT32_MAX - (kind & 0x3f);
	return take32(s);
}

/* One after the other: in an initializer the order is the compiler's. */
static struct apic_address take_address(struct stream *s)
{
	struct apic_address a = { .present = false };
	uint8_t flags = take8(s), dfr;

	/* As a guest or a VMM can have it: an absent one is not enabled. */
	a.present = !(flags & 8);
	a.enabled = a.present && (flags & 1);
	a.x2apic = flags & 2;
	a.id = take_id(s);
	a.ldr = take8(s);
	dfr = take8(s);
	a.dfr = flags & 4 ? dfr & 0xf : dfr & 1 ? 0xf : 0;
	return a;
}

static struct dest take_dest(struct stream *s)
{
	uint8_t way = take8(s);

	return (struct dest){ .id = take_id(s), .logical = way & 1, .ipi = way & 2 };
}

static struct dest take_near(struct bench *b, struct stream *s)
{
	const struct apic_address *a = &b->apic[take16(s) % b->vcpus];
	uint8_t way = take8(s);
	int8_t distance = (int8_t)take8(s);

	return (struct dest){
		.id = (a->x2apic && (way & 1) ? a->id >> 4 << 16 | 1u << (a->id & 15) : a->id) +
		      (uint32_t)distance,
		.logical = way & 1,
		.ipi = way & 2,
	};
}

static void run(struct bench *b, struct stream *s)
{
	while (s->left) {
		uint8_t op = take8(s);
		struct apic_address address = { .present = false };
		struct dest dest;
		uint32_t slot;

		switch ((enum op)op) {
		case OP_SET:
			slot = take16(s) % b->vcpus;
			address = take_address(s);
			set(b, slot, &address);
			break;
		case OP_REMOVE:
			set(b, take16(s) % b->vcpus, &address);
			break;
		case OP_MATCH:
			dest = take_dest(s);
			compare_both(b, &dest);
			break;
		case OP_NEAR:
			dest = take_near(b, s);
			compare_both(b, &dest);
			break;
		case OP_ALL:
			compare_both(b, NULL);
			break;
		default:
			break;
		}
	}
	compare_both(b, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint32_t sizes[] = { 1, 2, 5, 8, 63, 64, 65, 130, 300, MAX_VCPUS };
	static struct bench bench;
	struct stream s = { .at = data, .left = size };
	size_t bytes;
	void *memory;

	bench.vcpus = sizes[take8(&s) % (sizeof(sizes) / sizeof(sizes[0]))];
	memset(bench.apic, 0, bench.vcpus * sizeof(bench.apic[0]));
	bytes = (vmirq_dest_map_size(bench.vcpus) + 63) & ~(size_t)63;
	memory = aligned_alloc(64, bytes);
	check(memory);
	memset(memory, 0, bytes);
	vmirq_dest_map_init(&bench.map, bench.vcpus, memory);
	run(&bench, &s);
	free(memory);
	return 0;
}
