// SPDX-License-Identifier: MIT
/* The posted descriptor's modes, and delivery where a vCPU is gone (posted.h, deliver.h). */
#include "../support.h"

#include <stdlib.h>

#include "chip/deliver.h"

struct bench {
	struct chip chip;
	void *memory;
	int wakes, kicks;
	uint32_t last;
	bool elsewhere;
};

static void wake(void *opaque, uint32_t vcpu, bool elsewhere)
{
	struct bench *b = opaque;

	b->wakes++;
	b->last = vcpu;
	b->elsewhere = elsewhere;
}

static void kick(void *opaque, uint32_t vcpu)
{
	struct bench *b = opaque;

	b->kicks++;
	b->last = vcpu;
}

static uint64_t no_time(void *opaque)
{
	(void)opaque;
	return 0;
}

static void no_lock(void *mutex)
{
	(void)mutex;
}

static struct bench *bench_new(uint32_t vcpus)
{
	struct bench *b = calloc(1, sizeof(*b));
	struct chip_host host = { .opaque = b,
				  .wake = wake,
				  .kick = kick,
				  .now = no_time,
				  .lock = no_lock,
				  .unlock = no_lock };
	size_t size = (vmirq_chip_size(vcpus) + 63) & ~(size_t)63;

	assert_non_null(b);
	b->memory = aligned_alloc(64, size);
	assert_non_null(b->memory);
	memset(b->memory, 0, size);
	vmirq_chip_init(&b->chip, &host, vcpus, (struct msi_format){ 0 }, NULL, b->memory);
	return b;
}

static void bench_free(struct bench *b)
{
	free(b->memory);
	free(b);
}

static void add_apic(struct bench *b, uint32_t index, bool enabled)
{
	struct apic_address a = {
		.present = true, .enabled = enabled, .id = index, .ldr = 1u << index % 8, .dfr = 0xf
	};

	atomic_store(&b->chip.posted[index].mode, MODE_OUTSIDE);
	vmirq_dest_map_set(&b->chip.map, index, &a);
}

static struct interrupt fixed_to(uint32_t dest, uint8_t vector)
{
	return (struct interrupt){ .dest = dest, .vector = vector, .interrupt = true };
}

static void what_a_poster_does_in_each_mode(void **state)
{
	static const struct {
		uint32_t mode, after;
		int wakes, kicks;
		enum vmirq_verdict verdict;
	} cases[] = {
		{ MODE_OUTSIDE, MODE_OUTSIDE, 0, 0, VMIRQ_DELIVERED },
		{ MODE_IN_GUEST, MODE_KICKED, 0, 1, VMIRQ_DELIVERED },
		{ MODE_KICKED, MODE_KICKED, 0, 0, VMIRQ_DELIVERED },
		{ MODE_PARKED, MODE_WAKING, 1, 0, VMIRQ_DELIVERED },
		{ MODE_PARKED_ELSEWHERE, MODE_WAKING, 1, 0, VMIRQ_DELIVERED },
		{ MODE_WAKING, MODE_WAKING, 0, 0, VMIRQ_DELIVERED },
		{ MODE_DEAD, MODE_DEAD, 0, 0, VMIRQ_NO_TARGET },
	};
	struct bench *b = bench_new(3);

	(void)state;
	add_apic(b, 2, true);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct posted *p = &b->chip.posted[2];
		struct interrupt irq = fixed_to(2, 0x41);

		/* A vector, and an event; each does its duty. */
		for (int event = 0; event < 2; event++) {
			b->wakes = b->kicks = 0;
			b->last = 99;
			irq.mode = event ? DELIVERY_NMI : DELIVERY_FIXED;
			atomic_store(&p->mode, cases[i].mode);
			assert_verdict(vmirq_deliver(&b->chip, &irq).verdict, cases[i].verdict);
			assert_int_equal(atomic_load(&p->mode), cases[i].after);
			assert_int_equal(b->wakes, cases[i].wakes);
			assert_int_equal(b->kicks, cases[i].kicks);
			if (b->wakes + b->kicks)
				assert_int_equal(b->last, 2);
			if (b->wakes)
				assert_int_equal(b->elsewhere,
						 cases[i].mode == MODE_PARKED_ELSEWHERE);
		}
		/* Only what is delivered lies there. */
		assert_int_equal(vecset_test(&p->vectors, 0x41),
				 cases[i].verdict == VMIRQ_DELIVERED);
		vecset_clear(&p->vectors, 0x41);
		atomic_store(&p->events, 0);
	}
	bench_free(b);
}

/* Set already: coalesced, and still whoever sleeps is woken - the one who set it may have been stopped
 * before it looked. */
static void a_set_bit_still_wakes(void **state)
{
	struct bench *b = bench_new(1);
	struct interrupt irq = fixed_to(0, 0x41);

	(void)state;
	add_apic(b, 0, true);
	vecset_test_and_set(&b->chip.posted[0].vectors, 0x41);
	atomic_store(&b->chip.posted[0].mode, MODE_PARKED);
	assert_verdict(vmirq_deliver(&b->chip, &irq).verdict, VMIRQ_COALESCED);
	assert_int_equal(b->wakes, 1);
	atomic_store(&b->chip.posted[0].mode, MODE_IN_GUEST);
	assert_verdict(vmirq_deliver(&b->chip, &irq).verdict, VMIRQ_COALESCED);
	assert_int_equal(b->kicks, 1);
	bench_free(b);
}

static void levels_lie_beside_the_vector(void **state)
{
	struct bench *b = bench_new(1);
	struct posted *p = &b->chip.posted[0];

	(void)state;
	assert_false(posted_set(p, 0x41, true));
	assert_true(vecset_test(&p->level, 0x41));
	assert_false(posted_set(p, 0x42, false));
	assert_false(vecset_test(&p->level, 0x42));
	assert_true(posted_set(p, 0x41, false));
	assert_false(vecset_test(&p->level, 0x41));
	bench_free(b);
}

/* The best outcome of several: delivered, then coalesced, then why not. */
static void outcomes_of_several(void **state)
{
	struct bench *b = bench_new(4);
	struct interrupt irq = fixed_to(0xff, 0x41);
	struct delivery got;

	(void)state;
	for (uint32_t i = 0; i < 3; i++)
		add_apic(b, i, true);
	add_apic(b, 3, false);
	got = vmirq_deliver(&b->chip, &irq);
	assert_verdict(got.verdict, VMIRQ_DELIVERED);
	assert_int_equal(got.accepted, 3);
	assert_verdict(vmirq_deliver(&b->chip, &irq).verdict, VMIRQ_COALESCED);
	vecset_clear(&b->chip.posted[2].vectors, 0x41);
	assert_verdict(vmirq_deliver(&b->chip, &irq).verdict, VMIRQ_DELIVERED);
	assert_false(vecset_test(&b->chip.posted[3].vectors, 0x41));
	/* Gone between the look at the map and the post. */
	atomic_store(&b->chip.posted[0].mode, MODE_DEAD);
	assert_verdict(vmirq_deliver(&b->chip, &irq).verdict, VMIRQ_COALESCED);
	for (uint32_t i = 1; i < 3; i++)
		atomic_store(&b->chip.posted[i].mode, MODE_DEAD);
	assert_verdict(vmirq_deliver(&b->chip, &irq).verdict, VMIRQ_NO_TARGET);
	bench_free(b);
}

/* What a resolved target says is what delivery does. */
static void resolve_and_deliver_agree(void **state)
{
	struct bench *b = bench_new(8);
	uint32_t seed = 3;

	(void)state;
	for (uint32_t i = 0; i < 8; i++)
		if (i != 6)
			add_apic(b, i, i != 5);
	for (int turn = 0; turn < 20000; turn++) {
		struct interrupt irq;
		struct target t;
		struct delivery d;

		seed = seed * 1664525 + 1013904223;
		irq = (struct interrupt){ .dest = seed >> 24 & 0xf,
					  .vector = (uint8_t)(seed >> 16 & 0x3f),
					  .mode = (uint8_t)(seed >> 13 & 7),
					  .logical = seed >> 12 & 1,
					  .redirect = seed >> 11 & 1,
					  .level = seed >> 10 & 1,
					  .interrupt = seed >> 5 & 31 };
		if (seed >> 30 == 3)
			irq.dest = 0xff;
		t = vmirq_resolve(&b->chip, &irq);
		assert_int_equal(t.generation, dest_map_generation(&b->chip.map));
		d = vmirq_deliver(&b->chip, &irq);
		switch (t.kind) {
		case TARGET_POST:
			assert_int_equal(d.accepted, 1);
			assert_verdict(d.verdict, VMIRQ_DELIVERED);
			assert_true(vecset_test(&t.posted->vectors, irq.vector));
			assert_int_equal(t.vector, irq.vector);
			assert_int_equal(t.level, irq.level);
			assert_int_equal(vecset_test(&t.posted->level, irq.vector), irq.level);
			break;
		case TARGET_VERDICT:
			assert_verdict(d.verdict, t.verdict);
			assert_true(t.verdict > VMIRQ_COALESCED);
			break;
		case TARGET_DELIVER:
			assert_true(irq.mode > DELIVERY_LOWEST || d.accepted > 1);
			break;
		}
		for (uint32_t i = 0; i < 8; i++) {
			vecset_clear(&b->chip.posted[i].vectors, irq.vector);
			atomic_store(&b->chip.posted[i].events, 0);
		}
	}
	for (uint32_t i = 0; i < 8; i++)
		for (int w = 0; w < 4; w++)
			assert_int_equal(atomic_load(&b->chip.posted[i].vectors.word[w]), 0);
	bench_free(b);
}

/* INIT drops a SIPI that was not taken; a SIPI brings its page. */
static void init_and_sipi_share_a_word(void **state)
{
	struct bench *b = bench_new(1);
	struct interrupt init = { .mode = DELIVERY_INIT, .interrupt = true, .ipi = true };
	struct interrupt sipi = {
		.mode = DELIVERY_SIPI, .vector = 0x9a, .interrupt = true, .ipi = true
	};
	_Atomic uint32_t *events = &b->chip.posted[0].events;

	(void)state;
	add_apic(b, 0, false);
	assert_verdict(vmirq_deliver(&b->chip, &sipi).verdict, VMIRQ_DELIVERED);
	assert_int_equal(atomic_load(events), bit32(EVENT_SIPI) | 0x9au << EVENT_SIPI_SHIFT);
	sipi.vector = 0x11;
	assert_verdict(vmirq_deliver(&b->chip, &sipi).verdict, VMIRQ_COALESCED);
	assert_int_equal(atomic_load(events), bit32(EVENT_SIPI) | 0x11u << EVENT_SIPI_SHIFT);
	assert_verdict(vmirq_deliver(&b->chip, &init).verdict, VMIRQ_DELIVERED);
	assert_int_equal(atomic_load(events), bit32(EVENT_INIT));
	assert_verdict(vmirq_deliver(&b->chip, &init).verdict, VMIRQ_COALESCED);
	/* No message brings a SIPI. */
	sipi.ipi = false;
	assert_verdict(vmirq_deliver(&b->chip, &sipi).verdict, VMIRQ_BAD_MESSAGE);
	bench_free(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_a_poster_does_in_each_mode),
		cmocka_unit_test(a_set_bit_still_wakes),
		cmocka_unit_test(levels_lie_beside_the_vector),
		cmocka_unit_test(outcomes_of_several),
		cmocka_unit_test(resolve_and_deliver_agree),
		cmocka_unit_test(init_and_sipi_share_a_word),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
