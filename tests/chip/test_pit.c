// SPDX-License-Identifier: MIT
/* The 8254 at its ports: counters against a model that ticks, reads, latches, IRQ 0. */
#include <string.h>

#include "pit_bench.h"
#include "pit_model.h"

/* Does one random thing to both. Counts are small, so that much happens. */
static void random_access(struct pit_channel *c, struct pit_model *m, uint64_t t, uint64_t *seed)
{
	uint32_t what = bench_random(seed) % 8;
	uint32_t mode = bench_random(seed) % 6;
	bool bcd = bench_random(seed) & 1;
	uint16_t count = (uint16_t)(2 + bench_random(seed) % 12);

	if (what == 0) {
		vmirq_pit_channel_control(c, t, PIT_ACCESS_WORD, (uint8_t)mode, bcd);
		pit_model_control(m, (uint8_t)mode, bcd);
	} else if (what <= 3) {
		if (bench_random(seed) % 16 == 0)
			count = 0;
		else if (c->bcd && count >= 10)
			count = (uint16_t)(0x10 + count - 10);
		vmirq_pit_channel_load(c, t, count);
		if (c->mode != PIT_MODE_NONE)
			pit_model_write(m, vmirq_pit_pulses(count, c->bcd));
	} else if (what == 4) {
		vmirq_pit_channel_half(c, t);
		if (c->mode != PIT_MODE_NONE)
			pit_model_half(m);
	} else if (what <= 6) {
		bool gate = bench_random(seed) & 1;

		vmirq_pit_channel_gate(c, t, gate);
		pit_model_gate(m, gate);
	}
}

static uint16_t bcd_of(uint32_t n)
{
	return (uint16_t)(n / 1000 % 10 << 12 | n / 100 % 10 << 8 | n / 10 % 10 << 4 | n % 10);
}

static void assert_same(const struct pit_channel *c, const struct pit_model *m, uint64_t t)
{
	assert_int_equal(vmirq_pit_channel_out(c, t), m->out);
	assert_int_equal(vmirq_pit_channel_null_count(c, t), m->null_count);
	assert_int_equal(vmirq_pit_channel_count(c, t),
			 m->bcd ? bcd_of(m->element) : (uint16_t)m->element);
}

static void one_walk(uint64_t seed)
{
	struct pit_channel c;
	struct pit_model m = { .null_count = true };
	uint64_t edge = 0;
	uint64_t t = seed % 3;

	vmirq_pit_channel_init(&c, false);
	vmirq_pit_channel_control(&c, t, PIT_ACCESS_WORD, 0, false);
	pit_model_control(&m, 0, false);
	for (unsigned int i = 0; i < 3000; i++, t++) {
		bool out;
		bool strobe_cut;
		bool expected;

		if (bench_random(&seed) % 6 == 0)
			random_access(&c, &m, t, &seed);
		assert_true(vmirq_pit_channel_validate(&c));
		assert_same(&c, &m, t);

		out = m.out;
		/* A strobe that a new load ends: the one edge that is not counted. */
		strobe_cut = m.mode >= 4 && m.load && !m.out;
		expected = vmirq_pit_channel_edge(&c, t, 0, &edge) && edge == t + 1;
		pit_model_pulse(&m);
		assert_int_equal(vmirq_pit_channel_advance(&c, t, t + 1, 0), expected);
		if (!strobe_cut)
			assert_int_equal(expected, !out && m.out);
	}
}

static void counters_do_what_the_data_sheet_says(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 300; seed++)
		one_walk(seed);
}

/* A jump finds what single steps find. */
static void a_jump_is_many_steps(void **state)
{
	uint64_t seed = 7;

	(void)state;
	for (unsigned int i = 0; i < 2000; i++) {
		struct pit_channel slow;
		struct pit_channel fast;
		uint32_t shortest = bench_random(&seed) % 20;
		uint64_t steps = 1 + bench_random(&seed) % 500;
		uint64_t edges = 0;
		uint64_t t = bench_random(&seed);

		vmirq_pit_channel_init(&slow, true);
		vmirq_pit_channel_control(&slow, t, PIT_ACCESS_WORD,
					  (uint8_t)(bench_random(&seed) % 6), false);
		vmirq_pit_channel_load(&slow, t, (uint16_t)(1 + bench_random(&seed) % 30));
		vmirq_pit_channel_advance(&slow, t, t + 5, shortest);
		t += 5;
		vmirq_pit_channel_load(&slow, t, (uint16_t)(1 + bench_random(&seed) % 30));
		fast = slow;
		for (uint64_t s = 0; s < steps; s++)
			edges += vmirq_pit_channel_advance(&slow, t + s, t + s + 1, shortest);
		assert_int_equal(vmirq_pit_channel_advance(&fast, t, t + steps, shortest), edges);
		assert_memory_equal(&slow, &fast, sizeof(slow));
	}
}

static void irq0_rises_when_the_mode_says(void **state)
{
	/* Pulses from the write to the first and the second edge; 0: there is none. The load takes
	 * the first pulse; a strobe ends one pulse after it began. */
	static const struct {
		unsigned int mode;
		uint16_t count;
		uint64_t first;
		uint64_t second;
	} cases[] = {
		{ 0, 100, 101, 0 },
		{ 1, 100, 0, 0 },
		{ 2, 100, 101, 201 },
		{ 3, 100, 101, 201 },
		{ 3, 101, 102, 203 },
		{ 4, 100, 102, 0 },
		{ 5, 100, 0, 0 },
		{ 0, 0, 65537, 0 },
		{ 2, 0, 65537, 131073 },
		{ 2, 2, 3, 5 },
		{ 3, 2, 3, 5 },
		{ 2, 1, 0, 0 },
		{ 3, 1, 0, 0 },
		{ 0, 1, 2, 0 },
		{ 6, 100, 101, 201 },
		{ 7, 100, 101, 201 },
		{ 2, 0xffff, 65536, 131071 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct pit_bench b;
		uint64_t first = cases[i].first ? vmirq_pit_time_of(1000 + cases[i].first)
						: UINT64_MAX;
		uint64_t second = cases[i].second ? vmirq_pit_time_of(1000 + cases[i].second)
						  : UINT64_MAX;

		bench_init(&b, PIT_DISCARD, 0);
		bench_go(&b, 1000);
		bench_program(&b, 0, cases[i].mode, cases[i].count);
		assert_int_equal(b.moves, first != UINT64_MAX);
		assert_int_equal(vmirq_pit_deadline(&b.pit), first);
		if (first == UINT64_MAX)
			continue;
		vmirq_pit_expire(&b.pit, first - 1);
		assert_int_equal(b.pulses, 0);
		vmirq_pit_expire(&b.pit, first);
		assert_int_equal(b.pulses, 1);
		assert_int_equal(vmirq_pit_deadline(&b.pit), second);
		vmirq_pit_expire(&b.pit, first);
		assert_int_equal(b.pulses, 1);
		assert_true(vmirq_pit_validate(&b.pit));
	}
}

static void time_does_not_drift(void **state)
{
	struct pit_bench b;

	(void)state;
	bench_init(&b, PIT_REINJECT, 0);
	b.ack = true;
	bench_program(&b, 0, 2, 1193);
	/* An hour of it, deadline by deadline. */
	bench_run(&b, 3600 * (uint64_t)PIT_FREQUENCY);
	assert_int_equal(b.pulses, 3600 * (uint64_t)PIT_FREQUENCY / 1193);
	assert_int_equal(b.pit.ticks, b.pit.raised);
	/* As far as 64 bits of nanoseconds go. */
	b.ack = false;
	b.now = UINT64_MAX;
	vmirq_pit_expire(&b.pit, b.now);
	assert_true(vmirq_pit_deadline(&b.pit) == UINT64_MAX);
	assert_true(vmirq_pit_validate(&b.pit));
}

static void missed_ticks_are_raised_at_each_ack(void **state)
{
	struct pit_bench b;

	(void)state;
	bench_init(&b, PIT_REINJECT, 0);
	bench_program(&b, 0, 2, 1000);
	bench_go(&b, 5 * 1000 + 500);
	vmirq_pit_expire(&b.pit, b.now);
	assert_int_equal(b.pulses, 1);
	assert_int_equal(b.pit.pending, 5);
	vmirq_pit_expire(&b.pit, vmirq_pit_time_of(6500));
	assert_int_equal(b.pulses, 1);
	for (unsigned int i = 2; i <= 6; i++) {
		vmirq_pit_acked(&b.pit);
		assert_int_equal(b.pulses, i);
	}
	vmirq_pit_acked(&b.pit);
	vmirq_pit_acked(&b.pit);
	assert_int_equal(b.pulses, 6);
	vmirq_pit_expire(&b.pit, vmirq_pit_time_of(7500));
	assert_int_equal(b.pulses, 7);

	/* Raised while masked: no ack will come. */
	vmirq_pit_expire(&b.pit, vmirq_pit_time_of(9500));
	assert_int_equal(b.pulses, 7);
	vmirq_pit_unmasked(&b.pit);
	vmirq_pit_expire(&b.pit, vmirq_pit_time_of(10500));
	assert_int_equal(b.pulses, 8);

	/* A new count owes nothing of the old one. */
	bench_go(&b, 20000);
	bench_program(&b, 0, 2, 1000);
	vmirq_pit_acked(&b.pit);
	assert_int_equal(b.pit.pending, 0);
	assert_true(vmirq_pit_validate(&b.pit));
}

static void discarded_ticks_are_gone(void **state)
{
	struct pit_bench b;

	(void)state;
	bench_init(&b, PIT_DISCARD, 0);
	bench_program(&b, 0, 2, 1000);
	vmirq_pit_expire(&b.pit, vmirq_pit_time_of(5500));
	vmirq_pit_acked(&b.pit);
	assert_int_equal(b.pulses, 1);
	assert_int_equal(b.pit.ticks, 5);
	vmirq_pit_set_policy(&b.pit, PIT_REINJECT);
	vmirq_pit_expire(&b.pit, vmirq_pit_time_of(7500));
	vmirq_pit_acked(&b.pit);
	assert_int_equal(b.pulses, 3);
	assert_true(vmirq_pit_validate(&b.pit));
}

/* CVE-2025-71104's kind: the clock goes on by an hour, with the fastest timer there is. */
static void an_hour_costs_what_a_step_does(void **state)
{
	struct pit_bench b;

	(void)state;
	for (unsigned int mode = 2; mode <= 3; mode++) {
		bench_init(&b, PIT_REINJECT, 0);
		bench_program(&b, 0, mode, 2);
		vmirq_pit_expire(&b.pit, UINT64_C(3600000000000));
		assert_int_equal(b.pulses, 1);
		assert_int_equal(b.pit.pending, (3600 * (uint64_t)PIT_FREQUENCY - 1) / 2);
		/* More than can be counted stays counted as that. */
		vmirq_pit_expire(&b.pit, UINT64_MAX);
		assert_int_equal(b.pit.pending, UINT32_MAX);
		assert_true(vmirq_pit_validate(&b.pit));
	}
}

static void a_timer_too_fast_is_slowed(void **state)
{
	struct pit_bench b;

	(void)state;
	bench_init(&b, PIT_DISCARD, PIT_SHORTEST_KVM);
	bench_program(&b, 0, 2, 2);
	bench_run(&b, PIT_FREQUENCY);
	assert_in_range(b.pulses, 4900, 5000);
	/* What software reads does not change. */
	assert_in_range(bench_in(&b, 0x40), 1, 2);
	bench_init(&b, PIT_DISCARD, PIT_SHORTEST_KVM);
	bench_program(&b, 0, 2, 1193);
	bench_run(&b, PIT_FREQUENCY);
	assert_int_equal(b.pulses, 1000);
}

static void the_deadline_is_announced_when_it_moves(void **state)
{
	struct pit_bench b;

	(void)state;
	bench_init(&b, PIT_DISCARD, 0);
	bench_program(&b, 1, 2, 18);
	bench_program(&b, 2, 3, 1000);
	bench_out(&b, 0x61, 3);
	bench_out(&b, 0x43, 0xc2);
	assert_int_equal(b.moves, 0);
	assert_true(vmirq_pit_deadline(&b.pit) == UINT64_MAX);
	bench_program(&b, 0, 2, 1000);
	assert_int_equal(b.moves, 1);
	bench_in(&b, 0x40);
	assert_int_equal(b.moves, 1);
	bench_out(&b, 0x43, 0x30);
	assert_int_equal(b.moves, 2);
	assert_true(vmirq_pit_deadline(&b.pit) == UINT64_MAX);

	/* An access that comes before the owner's timer raises what is due; nothing is lost. */
	bench_program(&b, 0, 0, 10);
	bench_go(&b, 500);
	bench_program(&b, 0, 0, 1000);
	assert_int_equal(b.pulses, 1);
	bench_run(&b, 5000);
	assert_int_equal(b.pulses, 2);
	vmirq_pit_reset(&b.pit);
	assert_true(vmirq_pit_deadline(&b.pit) == UINT64_MAX);
}

static void counts_are_read_as_programmed(void **state)
{
	struct pit_bench b;

	(void)state;
	bench_init(&b, PIT_DISCARD, 0);
	bench_program(&b, 1, 2, 0x1234);
	bench_go(&b, 1);
	assert_int_equal(bench_in(&b, 0x41), 0x34);
	assert_int_equal(bench_in(&b, 0x41), 0x12);
	/* Low byte only, high byte only; the other byte of the count is 0. */
	bench_out(&b, 0x43, 0x54);
	bench_out(&b, 0x41, 0x80);
	bench_go(&b, 3);
	assert_int_equal(bench_in(&b, 0x41), 0x7f);
	assert_int_equal(bench_in(&b, 0x41), 0x7f);
	bench_out(&b, 0x43, 0x64);
	bench_out(&b, 0x41, 0x80);
	bench_go(&b, 4);
	assert_int_equal(bench_in(&b, 0x41), 0x80);
	/* BCD, from 10000 down. */
	bench_out(&b, 0x43, 0x75);
	bench_out(&b, 0x41, 0);
	bench_out(&b, 0x41, 0);
	bench_go(&b, 5 + 2345);
	assert_int_equal(bench_in(&b, 0x41), 0x55);
	assert_int_equal(bench_in(&b, 0x41), 0x76);
	/* Reading and writing take turns of their own ("Read Operations"). */
	bench_program(&b, 1, 2, 0x5678);
	bench_go(&b, 2351);
	assert_int_equal(bench_in(&b, 0x41), 0x78);
	bench_out(&b, 0x41, 0xcd);
	assert_int_equal(bench_in(&b, 0x41), 0x56);
	bench_out(&b, 0x41, 0xab);
	assert_int_equal(b.pit.channel[1].count_register, 0xabcd);
}

static void latches_hold(void **state)
{
	struct pit_bench b;

	(void)state;
	bench_init(&b, PIT_DISCARD, 0);
	bench_program(&b, 0, 2, 0x1000);
	bench_program(&b, 2, 0, 0x2000);
	/* Written, not loaded before the next pulse: null count. */
	bench_out(&b, 0x43, 0xe2);
	assert_int_equal(bench_in(&b, 0x40), 0xf4);
	bench_go(&b, 0x101);
	bench_out(&b, 0x43, 0x00);
	bench_go(&b, 0x201);
	bench_out(&b, 0x43, 0x00); /* held already: ignored */
	bench_out(&b, 0x43, 0xca); /* status and count, counters 0 and 2 */
	bench_go(&b, 0x301);
	bench_out(&b, 0x43, 0xca);
	assert_int_equal(bench_in(&b, 0x40), 0xb4); /* status first */
	assert_int_equal(bench_in(&b, 0x40), 0x00);
	assert_int_equal(bench_in(&b, 0x40), 0x0f);
	assert_int_equal(bench_in(&b, 0x40), 0x00); /* live */
	assert_int_equal(bench_in(&b, 0x40), 0x0d);
	assert_int_equal(bench_in(&b, 0x42), 0x30); /* out low; the gate holds it */
	assert_int_equal(bench_in(&b, 0x42), 0x00);
	assert_int_equal(bench_in(&b, 0x42), 0x20);
	/* Reprogrammed: the latch is open. */
	bench_out(&b, 0x43, 0xce);
	bench_program(&b, 0, 2, 0x4000);
	bench_go(&b, 0x302);
	assert_int_equal(bench_in(&b, 0x40), 0x00);
	assert_int_equal(bench_in(&b, 0x40), 0x40);
	/* Half read, the other half stays latched. */
	bench_out(&b, 0x43, 0x00);
	bench_go(&b, 0x500);
	bench_in(&b, 0x40);
	bench_go(&b, 0x900);
	assert_int_equal(bench_in(&b, 0x40), 0x40);
}

static void port_61_has_gate_speaker_refresh_and_out(void **state)
{
	struct pit_bench b;
	unsigned int toggles = 0;
	uint8_t last;

	(void)state;
	bench_init(&b, PIT_DISCARD, 0);
	bench_out(&b, 0x61, 0xfe);
	assert_int_equal(bench_in(&b, 0x61) & ~0x10, 0x02);
	bench_program(&b, 2, 0, 100);
	bench_out(&b, 0x61, 0x01);
	assert_int_equal(bench_in(&b, 0x61) & ~0x10, 0x01);
	bench_go(&b, 100);
	assert_int_equal(bench_in(&b, 0x61) & ~0x10, 0x01);
	bench_go(&b, 101);
	assert_int_equal(bench_in(&b, 0x61) & ~0x10, 0x21);

	/* The gate stops counter 2 where it is. */
	bench_program(&b, 2, 0, 100);
	bench_go(&b, 152);
	bench_out(&b, 0x61, 0);
	bench_go(&b, 5000);
	assert_int_equal(bench_in(&b, 0x61) & ~0x10, 0);
	assert_int_equal(bench_in(&b, 0x42), 50);
	bench_out(&b, 0x61, 1);
	bench_go(&b, 5049);
	assert_int_equal(bench_in(&b, 0x61) & 0x20, 0);
	bench_go(&b, 5050);
	assert_int_equal(bench_in(&b, 0x61) & 0x20, 0x20);

	/* 15.085 us apart. */
	last = bench_in(&b, 0x61);
	for (uint64_t ns = 0; ns < 1000000; ns += 1000) {
		uint8_t next;

		b.now += 1000;
		next = bench_in(&b, 0x61);
		toggles += (next ^ last) >> 4 & 1;
		last = next;
	}
	assert_in_range(toggles, 66, 67);
}

/* CVE-2015-3214's kind. What of an access is claimed is what /dev/kvm claims. */
static void every_port_and_length(void **state)
{
	(void)state;
	for (uint32_t port = 0; port < 0x10000; port += port == 0x80 ? 0xff00 : 1) {
		for (uint32_t len = 0; len <= 16; len++) {
			bool counter = port >= 0x40 && port + len <= 0x44;
			bool expected = len && (counter || (port == 0x61 && len <= 4));
			uint8_t data[32];
			uint8_t guard[32];
			struct pit_bench b;

			memset(guard, 0xa5, sizeof(guard));
			memset(data, 0xa5, sizeof(data));
			bench_init(&b, PIT_DISCARD, 0);
			assert_int_equal(vmirq_pit_pio(&b.pit, (uint16_t)port, data, len, true),
					 expected);
			assert_memory_equal(data, guard, sizeof(data));
			assert_int_equal(vmirq_pit_pio(&b.pit, (uint16_t)port, data, len, false),
					 expected);
			assert_memory_equal(data + (expected ? len : 0), guard, 16);
			for (uint32_t i = 1; i < len && expected; i++)
				assert_int_equal(data[i], 0);
			if (port == 0x43 && expected)
				assert_int_equal(data[0], 0);
			assert_true(vmirq_pit_validate(&b.pit));
		}
	}
}

static void late_clocks_are_no_harm(void **state)
{
	struct pit_bench b;

	(void)state;
	bench_init(&b, PIT_DISCARD, 0);
	bench_go(&b, 100000);
	bench_program(&b, 0, 2, 1000);
	/* Another thread read the clock before and comes after. */
	vmirq_pit_expire(&b.pit, vmirq_pit_time_of(50));
	bench_go(&b, 70);
	bench_in(&b, 0x40);
	assert_int_equal(b.pulses, 0);
	assert_int_equal(vmirq_pit_deadline(&b.pit), vmirq_pit_time_of(101001));
	assert_true(vmirq_pit_validate(&b.pit));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(counters_do_what_the_data_sheet_says),
		cmocka_unit_test(a_jump_is_many_steps),
		cmocka_unit_test(irq0_rises_when_the_mode_says),
		cmocka_unit_test(time_does_not_drift),
		cmocka_unit_test(missed_ticks_are_raised_at_each_ack),
		cmocka_unit_test(discarded_ticks_are_gone),
		cmocka_unit_test(an_hour_costs_what_a_step_does),
		cmocka_unit_test(a_timer_too_fast_is_slowed),
		cmocka_unit_test(the_deadline_is_announced_when_it_moves),
		cmocka_unit_test(counts_are_read_as_programmed),
		cmocka_unit_test(latches_hold),
		cmocka_unit_test(port_61_has_gate_speaker_refresh_and_out),
		cmocka_unit_test(every_port_and_length),
		cmocka_unit_test(late_clocks_are_no_harm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
