// SPDX-License-Identifier: MIT
/* The destination map against the rules of SDM vol. 3A 11.6.2 and 11.12.10, each APIC asked one by one. */
#include "../support.h"

#include <stdlib.h>

#include "chip/dest_map.h"

struct bench {
	struct dest_map map;
	void *memory;
	uint32_t vcpus;
	struct apic_address *apic; /* what was set */
};

static struct bench *bench_new(uint32_t vcpus)
{
	struct bench *b = calloc(1, sizeof(*b));
	size_t size = (vmirq_dest_map_size(vcpus) + 63) & ~(size_t)63;

	assert_non_null(b);
	b->vcpus = vcpus;
	b->apic = calloc(vcpus, sizeof(*b->apic));
	b->memory = aligned_alloc(64, size);
	assert_true(b->apic && b->memory);
	memset(b->memory, 0, size);
	vmirq_dest_map_init(&b->map, vcpus, b->memory);
	return b;
}

static void bench_free(struct bench *b)
{
	free(b->memory);
	free(b->apic);
	free(b);
}

static void set(struct bench *b, uint32_t index, struct apic_address a)
{
	uint64_t before = dest_map_generation(&b->map);
	struct apic_address back;

	b->apic[index] = a;
	vmirq_dest_map_set(&b->map, index, &a);
	assert_true(dest_map_generation(&b->map) > before);
	vmirq_dest_map_get(&b->map, index, &back);
	assert_int_equal(back.present, a.present);
	assert_int_equal(back.id, a.id);
	assert_int_equal(back.ldr, a.ldr);
	assert_int_equal(back.dfr, a.dfr);
}

/* Does this one answer to that destination? */
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
	if (a->dfr == 0)
		return a->ldr >> 4 == dest.id >> 4 && (a->ldr & dest.id & 0xf);
	return false;
}

static bool is_in(const struct vcpu_set *set, uint32_t i)
{
	return set->word[i / 64] >> i % 64 & 1;
}

static void check(struct bench *b, struct dest dest)
{
	struct vcpu_set matched, enabled;
	uint64_t generation;

	memset(&matched, 0xff, sizeof(matched));
	memset(&enabled, 0xff, sizeof(enabled));
	generation = vmirq_dest_map_match(&b->map, dest, &matched, &enabled);
	assert_int_equal(generation, dest_map_generation(&b->map));
	for (uint32_t i = 0; i < b->vcpus; i++) {
		bool expected = answers(&b->apic[i], dest);

		if (is_in(&matched, i) != expected)
			print_error(
				"dest %#x logical %d ipi %d, slot %u: id %#x ldr %#x dfr %x x2apic %d\n",
				dest.id, dest.logical, dest.ipi, i, b->apic[i].id, b->apic[i].ldr,
				b->apic[i].dfr, b->apic[i].x2apic);
		assert_int_equal(is_in(&matched, i), expected);
		assert_int_equal(is_in(&enabled, i), expected && b->apic[i].enabled);
	}
}

/* The one who answers, if it is one and enabled; small ids are known at once. */
static void check_one(struct bench *b, uint32_t id)
{
	int32_t one = -1;
	uint32_t n = 0;

	if (dest_is_broadcast(id))
		return;
	for (uint32_t i = 0; i < b->vcpus; i++) {
		if (!answers(&b->apic[i], (struct dest){ .id = id }))
			continue;
		one = b->apic[i].enabled ? (int32_t)i : -1;
		n++;
	}
	one = n == 1 ? one : -1;
	assert_int_equal(vmirq_dest_map_one(&b->map, id), one);
	if (id < b->vcpus || dest_map_direct(&b->map, id) >= 0)
		assert_int_equal(dest_map_direct(&b->map, id), one);
}

static void check_all_ways(struct bench *b, uint32_t id)
{
	for (int way = 0; way < 4; way++)
		check(b, (struct dest){ .id = id, .logical = way & 1, .ipi = way & 2 });
	check_one(b, id);
}

static void an_empty_map_matches_nobody(void **state)
{
	struct bench *b = bench_new(1);
	struct vcpu_set all, enabled;

	(void)state;
	for (uint32_t id = 0; id < 256; id++)
		check_all_ways(b, id);
	check_all_ways(b, UINT32_MAX);
	vmirq_dest_map_all(&b->map, &all, &enabled);
	assert_int_equal(all.word[0], 0);
	assert_int_equal(enabled.word[0], 0);
	bench_free(b);
}

/* Ids far past 8 bits and past the number of slots: CVE-2016-9777. */
static void sparse_ids(void **state)
{
	static const uint32_t ids[] = { 0,	 1,	  254,	      255,	  256,	     4095,
					0x10000, 0xfffff, 0x7fffffff, 0x80000000, 0xfffffffe };
	enum { N = sizeof(ids) / sizeof(ids[0]) };
	struct bench *b = bench_new(N);

	(void)state;
	for (uint32_t i = 0; i < N; i++)
		set(b, i,
		    (struct apic_address){
			    .present = true, .enabled = i % 2, .x2apic = true, .id = ids[i] });
	for (uint32_t i = 0; i < N; i++)
		for (uint32_t near = 0; near < 3; near++) {
			check(b, (struct dest){ .id = ids[i] + near - 1 });
			check_one(b, ids[i] + near - 1);
		}
	bench_free(b);
}

/* All the slots there can be, in every logical model. */
static void the_biggest_map(void **state)
{
	struct bench *b = bench_new(MAX_VCPUS);

	(void)state;
	for (uint32_t i = 0; i < MAX_VCPUS; i++)
		set(b, i,
		    (struct apic_address){
			    .present = true, .enabled = true, .x2apic = true, .id = i });
	for (uint32_t id = 0; id < MAX_VCPUS; id += 511) {
		check(b, (struct dest){ .id = id });
		check_one(b, id);
	}
	check(b, (struct dest){ .id = 255u << 16 | 0xffff, .logical = true });
	check(b, (struct dest){ .id = UINT32_MAX });
	check(b, (struct dest){ .id = 0xff });
	check(b, (struct dest){ .id = 0xff, .ipi = true });
	bench_free(b);
}

/* Two may have the same id by the guest's doing: both answer, and go one by one. */
static void a_shared_id(void **state)
{
	struct bench *b = bench_new(4);
	struct apic_address a = { .present = true, .enabled = true, .id = 7, .ldr = 1, .dfr = 0xf };

	(void)state;
	for (uint32_t i = 0; i < 4; i++)
		set(b, i, a);
	check_all_ways(b, 7);
	check_all_ways(b, 1);
	for (uint32_t i = 0; i < 4; i++) {
		set(b, (i + 2) % 4, (struct apic_address){ .present = false });
		check_all_ways(b, 7);
		check_all_ways(b, 1);
		check_all_ways(b, 0xff);
	}
	bench_free(b);
}

static uint32_t seed = 99;

static uint32_t random32(void)
{
	seed = seed * 1664525 + 1013904223;
	return seed >> 8 | seed << 24;
}

/* A small world of ids, so that much collides. */
static uint32_t random_id(void)
{
	switch (random32() % 8) {
	case 0:
		return random32();
	case 1:
		return random32() % 0x40000;
	case 2:
		return random32() % 2 ? 0xff : UINT32_MAX;
	default:
		return random32() % 256;
	}
}

static void random_changes(void **state)
{
	struct bench *b = bench_new(70);

	(void)state;
	for (int turn = 0; turn < 4000; turn++) {
		struct apic_address a = {
			.present = random32() % 8,
			.enabled = random32() % 4,
			.x2apic = random32() % 2,
			.ldr = random32() % 256,
			.dfr = (uint8_t)((const uint8_t[]){ 0xf, 0, 0xf, 0, 7 }[random32() % 5]),
		};

		a.id = a.x2apic ? random_id() % 0xffffffff : random32() % 256;
		set(b, random32() % 70, a);
		for (int i = 0; i < 4; i++)
			check_all_ways(b, random_id());
	}
	bench_free(b);
}

static void all_are_those_present(void **state)
{
	struct bench *b = bench_new(130);
	struct vcpu_set all, enabled;

	(void)state;
	for (uint32_t i = 0; i < 130; i++)
		set(b, i,
		    (struct apic_address){ .present = i % 3, .enabled = i % 2, .id = i % 256 });
	vmirq_dest_map_all(&b->map, &all, &enabled);
	for (uint32_t i = 0; i < 130; i++) {
		assert_int_equal(is_in(&all, i), i % 3 != 0);
		assert_int_equal(is_in(&enabled, i), i % 3 != 0 && i % 2);
	}
	bench_free(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_empty_map_matches_nobody),
		cmocka_unit_test(sparse_ids),
		cmocka_unit_test(the_biggest_map),
		cmocka_unit_test(a_shared_id),
		cmocka_unit_test(random_changes),
		cmocka_unit_test(all_are_those_present),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
