// SPDX-License-Identifier: MIT
#include "pit_bench.h"

static void lock(void *mutex)
{
	struct pit_bench *b = mutex;

	assert_false(b->locked);
	b->locked = true;
}

static void unlock(void *mutex)
{
	struct pit_bench *b = mutex;

	assert_true(b->locked);
	b->locked = false;
}

static uint64_t now(void *opaque)
{
	return ((struct pit_bench *)opaque)->now;
}

static void set_irq(void *opaque, bool level)
{
	struct pit_bench *b = opaque;

	assert_false(b->locked);
	assert_int_equal(level, !b->level);
	b->level = level;
	if (level)
		return;
	b->pulses++;
	if (b->ack)
		vmirq_pit_acked(&b->pit);
}

static void deadline_changed(void *opaque)
{
	struct pit_bench *b = opaque;

	assert_false(b->locked);
	b->moves++;
}

void bench_init(struct pit_bench *b, enum pit_policy policy, uint64_t shortest)
{
	const struct chip_host host = { .opaque = b, .now = now, .lock = lock, .unlock = unlock };
	const struct pit_config config = {
		.policy = policy,
		.shortest = shortest,
		.opaque = b,
		.set_irq = set_irq,
		.deadline_changed = deadline_changed,
	};

	*b = (struct pit_bench){ .now = 0 };
	vmirq_pit_init(&b->pit, &host, b, &config);
	assert_true(vmirq_pit_validate(&b->pit));
}

void bench_out(struct pit_bench *b, uint16_t port, uint8_t value)
{
	assert_true(vmirq_pit_pio(&b->pit, port, &value, 1, true));
}

uint8_t bench_in(struct pit_bench *b, uint16_t port)
{
	uint8_t value = 0xaa;

	assert_true(vmirq_pit_pio(&b->pit, port, &value, 1, false));
	return value;
}

void bench_program(struct pit_bench *b, unsigned int counter, unsigned int mode, uint16_t count)
{
	bench_out(b, 0x43, (uint8_t)(counter << 6 | 3 << 4 | mode << 1));
	bench_out(b, (uint16_t)(0x40 + counter), (uint8_t)count);
	bench_out(b, (uint16_t)(0x40 + counter), (uint8_t)(count >> 8));
}

void bench_go(struct pit_bench *b, uint64_t tick)
{
	b->now = vmirq_pit_time_of(tick);
}

void bench_run(struct pit_bench *b, uint64_t tick)
{
	uint64_t end = vmirq_pit_time_of(tick);
	uint64_t at;

	while ((at = vmirq_pit_deadline(&b->pit)) <= end) {
		assert_true(at >= b->now);
		b->now = at;
		vmirq_pit_expire(&b->pit, at);
	}
	b->now = end;
}
