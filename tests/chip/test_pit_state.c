// SPDX-License-Identifier: MIT
/* Saved state of the 8254: struct kvm_pit_state2, and what it leaves out. */
#include <string.h>

#include "pit_bench.h"

/* Guest accesses of every kind and width, and time. */
static void random_steps(struct pit_bench *b, uint64_t *seed, unsigned int steps)
{
	static const uint16_t ports[] = { 0x40, 0x41, 0x42, 0x43, 0x43, 0x43, 0x61 };

	for (unsigned int i = 0; i < steps; i++) {
		uint32_t what = bench_random(seed) % 16;
		uint8_t data[16];

		for (size_t n = 0; n < sizeof(data); n++)
			data[n] = (uint8_t)bench_random(seed);
		if (bench_random(seed) % 3)
			data[0] &= 0xf3; /* small counts, and modes that use them */
		if (what < 12)
			vmirq_pit_pio(&b->pit, ports[bench_random(seed) % 7], data,
				      1u << bench_random(seed) % 4, what < 8);
		else if (what == 12)
			vmirq_pit_acked(&b->pit);
		else if (what == 13)
			vmirq_pit_expire(&b->pit, b->now);
		else
			b->now += bench_random(seed) % (bench_random(seed) % 8 ? 5000 : 100000000);
		assert_true(vmirq_pit_validate(&b->pit));
	}
}

/* Both show the same at their ports and on IRQ 0, from their own clock's time on. */
static void assert_run_alike(struct pit_bench *a, struct pit_bench *b)
{
	uint64_t tick_a = a->pit.tick;
	uint64_t tick_b = b->pit.tick;

	a->pulses = 0;
	b->pulses = 0;
	for (uint64_t i = 1; i < 300; i += 1 + i / 8) {
		bench_go(a, tick_a + i);
		bench_go(b, tick_b + i);
		vmirq_pit_expire(&a->pit, a->now);
		vmirq_pit_expire(&b->pit, b->now);
		vmirq_pit_acked(&a->pit);
		vmirq_pit_acked(&b->pit);
		assert_int_equal(a->pulses, b->pulses);
		if (i % 3 == 0) {
			bench_out(a, 0x43, 0xce);
			bench_out(b, 0x43, 0xce);
		}
		for (uint16_t port = 0x40; port <= 0x42; port++)
			assert_int_equal(bench_in(a, port), bench_in(b, port));
		assert_int_equal(bench_in(a, 0x61) & ~0x10, bench_in(b, 0x61) & ~0x10);
	}
	bench_out(a, 0x61, 1);
	bench_out(b, 0x61, 1);
	assert_int_equal(bench_in(a, 0x61) & ~0x10, bench_in(b, 0x61) & ~0x10);
}

static void a_saved_pit_goes_on(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 400; seed++) {
		uint64_t random = seed;
		struct kvm_pit_state2 saved;
		struct kvm_pit_state2 again;
		struct pit_extra extra;
		struct pit_extra extra_again;
		struct pit_bench a;
		struct pit_bench b;

		bench_init(&a, PIT_REINJECT, 0);
		bench_init(&b, PIT_REINJECT, 0);
		random_steps(&a, &random, 200);
		vmirq_pit_expire(&a.pit, a.now);
		vmirq_pit_save(&a.pit, &saved, &extra);
		/* Into a clock that is behind, or ahead. */
		b.now = seed & 1 ? seed * 100 : a.now + 12345678;
		if (seed % 3 == 0)
			random_steps(&b, &random, 20);
		assert_true(vmirq_pit_load(&b.pit, &saved, &extra));
		assert_true(vmirq_pit_validate(&b.pit));
		vmirq_pit_save(&b.pit, &again, &extra_again);
		for (unsigned int i = 0; i < 3; i++)
			saved.channels[i].count_load_time = again.channels[i].count_load_time;
		assert_memory_equal(&saved, &again, sizeof(saved));
		assert_memory_equal(&extra, &extra_again, sizeof(extra));
		assert_run_alike(&a, &b);
	}
}

static void without_more_each_count_starts_anew(void **state)
{
	struct kvm_pit_state2 saved;
	struct pit_bench b;

	(void)state;
	bench_init(&b, PIT_REINJECT, 0);
	bench_program(&b, 0, 2, 1000);
	bench_program(&b, 2, 0, 5000);
	bench_out(&b, 0x61, 3);
	bench_run(&b, 2500);
	vmirq_pit_save(&b.pit, &saved, NULL);
	assert_int_equal(saved.flags, KVM_PIT_FLAGS_SPEAKER_DATA_ON);
	assert_int_equal(saved.channels[0].count, 1000);
	assert_int_equal(saved.channels[0].mode, 2);
	assert_int_equal(saved.channels[1].mode, 0xff);
	assert_int_equal(saved.channels[1].count, 0x10000);
	bench_init(&b, PIT_REINJECT, 0);
	bench_go(&b, 10000);
	assert_true(vmirq_pit_load(&b.pit, &saved, NULL));
	assert_int_equal(b.moves, 1);
	assert_int_equal(vmirq_pit_deadline(&b.pit), vmirq_pit_time_of(11001));
	bench_go(&b, 10000 + 5001);
	assert_int_equal(bench_in(&b, 0x61) & ~0x10, 0x23);
}

/* CVE-2015-7513. */
static void count_0_is_the_largest(void **state)
{
	(void)state;
	for (uint8_t mode = 0; mode <= 5; mode++) {
		struct kvm_pit_state2 saved;
		struct pit_bench b;

		bench_init(&b, PIT_REINJECT, 0);
		vmirq_pit_save(&b.pit, &saved, NULL);
		for (unsigned int i = 0; i < 3; i++) {
			saved.channels[i].count = 0;
			saved.channels[i].mode = mode;
			saved.channels[i].rw_mode = 3;
			saved.channels[i].read_state = 3;
			saved.channels[i].write_state = 3;
		}
		assert_true(vmirq_pit_load(&b.pit, &saved, NULL));
		if (mode == 0 || mode == 2 || mode == 3)
			assert_int_equal(vmirq_pit_deadline(&b.pit), vmirq_pit_time_of(65537));
		bench_run(&b, 300000);
		for (uint16_t port = 0x40; port <= 0x42; port++)
			bench_in(&b, port);
		vmirq_pit_save(&b.pit, &saved, NULL);
		assert_int_equal(saved.channels[0].count, 0x10000);
	}
}

static void a_state_no_pit_can_be_in_is_refused(void **state)
{
	static const struct {
		size_t offset;
		uint8_t value;
	} cases[] = {
#define CASE(field, value) { offsetof(struct kvm_pit_state2, field), (value) }
		{ offsetof(struct kvm_pit_state2, channels[0].count) + 2, 2 },
		CASE(channels[1].count_latched, 4),
		CASE(channels[0].mode, 6),
		CASE(channels[2].mode, 0xfe),
		CASE(channels[0].bcd, 2),
		CASE(channels[0].gate, 0),
		CASE(channels[1].gate, 0),
		CASE(channels[2].gate, 2),
		CASE(channels[0].read_state, 5),
		CASE(channels[0].write_state, 5),
		CASE(channels[0].rw_mode, 4),
		CASE(channels[0].status_latched, 2),
		CASE(flags, 4),
		{ offsetof(struct kvm_pit_state2, flags) + 3, 0x80 },
		CASE(reserved[0], 1),
		CASE(reserved[8], 1),
#undef CASE
	};
	struct pit_bench b;
	struct pit before;

	(void)state;
	bench_init(&b, PIT_REINJECT, 0);
	bench_program(&b, 0, 2, 1000);
	bench_go(&b, 5000);
	before = b.pit;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct kvm_pit_state2 saved;

		vmirq_pit_save(&b.pit, &saved, NULL);
		((uint8_t *)&saved)[cases[i].offset] = cases[i].value;
		assert_false(vmirq_pit_load(&b.pit, &saved, NULL));
		assert_memory_equal(&b.pit, &before, sizeof(before));
	}
	/* Nor did the ticks get lost that were due. */
	vmirq_pit_expire(&b.pit, b.now);
	assert_int_equal(b.pit.pending, 4);
}

static void fuzz(void *blob, size_t size, uint64_t *seed)
{
	uint8_t *byte = blob;
	uint32_t n = bench_random(seed) % 6;

	for (uint32_t i = 0; i < n; i++)
		byte[bench_random(seed) % size] = bench_random(seed) & 1
							  ? (uint8_t)(bench_random(seed) % 6)
							  : (uint8_t)bench_random(seed);
	/* Now and then nothing is right. */
	if (bench_random(seed) % 64 == 0)
		for (size_t i = 0; i < size; i++)
			byte[i] = (uint8_t)bench_random(seed);
}

static void any_blob_is_loaded_or_refused(void **state)
{
	uint64_t seed = 42;
	unsigned int loaded = 0;
	struct pit_bench b;

	(void)state;
	bench_init(&b, PIT_REINJECT, PIT_SHORTEST_KVM);
	for (unsigned int i = 0; i < 30000; i++) {
		struct kvm_pit_state2 saved;
		struct pit_extra extra;

		if (i % 64 == 0)
			bench_init(&b, i & 64 ? PIT_REINJECT : PIT_DISCARD, i & 128 ? 200000 : 0);
		random_steps(&b, &seed, 8);
		vmirq_pit_save(&b.pit, &saved, &extra);
		fuzz(&saved, sizeof(saved), &seed);
		if (bench_random(&seed) & 1)
			fuzz(&extra, sizeof(extra), &seed);
		loaded += vmirq_pit_load(&b.pit, &saved, bench_random(&seed) & 1 ? &extra : NULL);
		assert_true(vmirq_pit_validate(&b.pit));
		vmirq_pit_deadline(&b.pit);
		b.now += bench_random(&seed) % 1000000;
		vmirq_pit_expire(&b.pit, b.now);
		assert_true(vmirq_pit_validate(&b.pit));
	}
	/* The fuzzer gets somewhere, and not everywhere. */
	assert_in_range(loaded, 1000, 29000);
}

static void the_hpet_takes_irq0(void **state)
{
	struct kvm_pit_state2 saved;
	struct pit_bench b;

	(void)state;
	bench_init(&b, PIT_DISCARD, 0);
	bench_program(&b, 0, 2, 1000);
	vmirq_pit_save(&b.pit, &saved, NULL);
	saved.flags = KVM_PIT_FLAGS_HPET_LEGACY;
	assert_true(vmirq_pit_load(&b.pit, &saved, NULL));
	assert_true(vmirq_pit_deadline(&b.pit) == UINT64_MAX);
	vmirq_pit_expire(&b.pit, vmirq_pit_time_of(5000));
	assert_int_equal(b.pulses, 0);
	vmirq_pit_save(&b.pit, &saved, NULL);
	assert_int_equal(saved.flags, KVM_PIT_FLAGS_HPET_LEGACY);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_saved_pit_goes_on),
		cmocka_unit_test(without_more_each_count_starts_anew),
		cmocka_unit_test(count_0_is_the_largest),
		cmocka_unit_test(a_state_no_pit_can_be_in_is_refused),
		cmocka_unit_test(any_blob_is_loaded_or_refused),
		cmocka_unit_test(the_hpet_takes_irq0),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
