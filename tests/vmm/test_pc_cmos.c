// SPDX-License-Identifier: MIT
/* The RTC and what firmware leaves beside it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "pc/cmos.h"

#define SECOND INT64_C(1000000000)
/* 2026-11-21 13:59:58 UTC, a Saturday. */
#define THEN (INT64_C(1795269598) * SECOND)

static int64_t clock_ns;

static int64_t now(void *opaque)
{
	(void)opaque;
	return clock_ns;
}

static uint8_t get(struct cmos *c, uint8_t reg)
{
	uint8_t value = 0xaa;

	assert_true(cmos_pio(c, 0x70, &reg, 1, true));
	assert_true(cmos_pio(c, 0x71, &value, 1, false));
	return value;
}

static void set(struct cmos *c, uint8_t reg, uint8_t value)
{
	assert_true(cmos_pio(c, 0x70, &reg, 1, true));
	assert_true(cmos_pio(c, 0x71, &value, 1, true));
}

/* Seconds, minutes, hours, day of the week, day, month, year, century. */
static void assert_time(struct cmos *c, const uint8_t expected[8])
{
	static const uint8_t registers[] = { 0, 2, 4, 6, 7, 8, 9, 0x32 };

	for (size_t i = 0; i < 8; i++)
		assert_int_equal(get(c, registers[i]), expected[i]);
}

static void time_in_every_form(void **state)
{
	struct cmos c;

	(void)state;
	clock_ns = THEN;
	cmos_init(&c, 1, 1 << 20, now, NULL);
	assert_int_equal(get(&c, 0x0b), 0x02);
	assert_time(&c, (uint8_t[]){ 0x58, 0x59, 0x13, 7, 0x21, 0x11, 0x26, 0x20 });
	clock_ns += 2 * SECOND;
	assert_time(&c, (uint8_t[]){ 0x00, 0x00, 0x14, 7, 0x21, 0x11, 0x26, 0x20 });
	set(&c, 0x0b, 0x06);
	assert_time(&c, (uint8_t[]){ 0, 0, 14, 7, 21, 11, 26, 20 });
	set(&c, 0x0b, 0x04);
	assert_int_equal(get(&c, 4), 0x82);
	set(&c, 0x0b, 0x00);
	assert_int_equal(get(&c, 4), 0x82);
	clock_ns += 10 * 3600 * SECOND;
	assert_int_equal(get(&c, 4), 0x12);
	assert_int_equal(get(&c, 7), 0x22);
}

static void time_is_set(void **state)
{
	struct cmos c;

	(void)state;
	clock_ns = THEN;
	cmos_init(&c, 1, 1 << 20, now, NULL);
	set(&c, 0x0b, 0x82);
	clock_ns += 100 * SECOND;
	assert_int_equal(get(&c, 0), 0x58); /* stands still */
	set(&c, 0x00, 0x57);
	set(&c, 0x02, 0x59);
	set(&c, 0x04, 0x23);
	set(&c, 0x07, 0x28);
	set(&c, 0x08, 0x02);
	set(&c, 0x09, 0x00);
	set(&c, 0x32, 0x20);
	clock_ns += 100 * SECOND;
	set(&c, 0x0b, 0x02);
	assert_time(&c, (uint8_t[]){ 0x57, 0x59, 0x23, 2, 0x28, 0x02, 0x00, 0x20 });
	clock_ns += 3 * SECOND; /* 2000 is a leap year */
	assert_time(&c, (uint8_t[]){ 0x00, 0x00, 0x00, 3, 0x29, 0x02, 0x00, 0x20 });
}

static void update_in_progress(void **state)
{
	struct cmos c;

	(void)state;
	clock_ns = THEN;
	cmos_init(&c, 1, 1 << 20, now, NULL);
	assert_int_equal(get(&c, 0x0a), 0x26);
	clock_ns = THEN + SECOND - 244001;
	assert_int_equal(get(&c, 0x0a), 0x26);
	clock_ns = THEN + SECOND - 244000;
	assert_int_equal(get(&c, 0x0a), 0xa6);
	clock_ns = THEN + SECOND - 1;
	assert_int_equal(get(&c, 0x0a), 0xa6);
	set(&c, 0x0b, 0x82);
	assert_int_equal(get(&c, 0x0a), 0x26);
	set(&c, 0x0a, 0xff);
	assert_int_equal(get(&c, 0x0a), 0x7f);
}

static void memory_and_cpus(void **state)
{
	static const struct {
		uint64_t memory;
		uint32_t cpus;
		uint16_t base;
		uint16_t above_1m;
		uint16_t above_16m;
		uint32_t above_4g;
	} cases[] = {
		{ UINT64_C(512) << 10, 1, 512, 0, 0, 0 },
		{ UINT64_C(1) << 20, 1, 640, 0, 0, 0 },
		{ UINT64_C(16) << 20, 4, 640, 15360, 0, 0 },
		{ UINT64_C(128) << 20, 255, 640, 65535, 1792, 0 },
		{ UINT64_C(1) << 30, 256, 640, 65535, 16128, 0 },
		{ UINT64_C(6) << 30, 1000, 640, 65535, 65280, 32768 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint32_t cpus = cases[i].cpus - 1 > 255 ? 255 : cases[i].cpus - 1;
		struct cmos c;

		cmos_init(&c, cases[i].cpus, cases[i].memory, now, NULL);
		assert_int_equal(get(&c, 0x15) | get(&c, 0x16) << 8, cases[i].base);
		assert_int_equal(get(&c, 0x17) | get(&c, 0x18) << 8, cases[i].above_1m);
		assert_int_equal(get(&c, 0x30) | get(&c, 0x31) << 8, cases[i].above_1m);
		assert_int_equal(get(&c, 0x34) | get(&c, 0x35) << 8, cases[i].above_16m);
		assert_int_equal(get(&c, 0x5b) | get(&c, 0x5c) << 8 | get(&c, 0x5d) << 16,
				 cases[i].above_4g);
		assert_int_equal(get(&c, 0x5f), cpus);
	}
}

static void every_register_takes_every_value(void **state)
{
	struct cmos c;

	(void)state;
	clock_ns = THEN;
	cmos_init(&c, 1, 1 << 20, now, NULL);
	for (unsigned int b = 0; b < 8; b++) {
		for (unsigned int reg = 0; reg < 256; reg++) {
			for (unsigned int value = 0; value < 256; value += 5) {
				set(&c, (uint8_t)reg, (uint8_t)value);
				get(&c, (uint8_t)reg);
				set(&c, 0x0b, (uint8_t)(b << 1 | (b & 1) << 7));
				clock_ns += SECOND / 3;
			}
		}
	}
	set(&c, 0x0f, 0x0a);
	assert_int_equal(get(&c, 0x0f), 0x0a);
	assert_int_equal(get(&c, 0x8f), 0x0a); /* bit 7 is not of the index */
	set(&c, 0x0d, 0);
	assert_int_equal(get(&c, 0x0d), 0x80);
	set(&c, 0x0c, 0xff);
	assert_int_equal(get(&c, 0x0c), 0);
}

static void ports_and_lengths(void **state)
{
	uint8_t data[8] = { 0x0d, 0x12, 0x34, 0x56, 0xa5, 0xa5 };
	struct cmos c;

	(void)state;
	cmos_init(&c, 1, 1 << 20, NULL, NULL);
	assert_false(cmos_pio(&c, 0x6f, data, 2, true));
	assert_false(cmos_pio(&c, 0x72, data, 1, true));
	assert_true(cmos_pio(&c, 0x70, data, 4, true));
	assert_true(cmos_pio(&c, 0x70, data, 4, false));
	assert_memory_equal(data, "\xff\x80\xff\xff\xa5\xa5", 6);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(time_in_every_form),
		cmocka_unit_test(time_is_set),
		cmocka_unit_test(update_in_progress),
		cmocka_unit_test(memory_and_cpus),
		cmocka_unit_test(every_register_takes_every_value),
		cmocka_unit_test(ports_and_lengths),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
