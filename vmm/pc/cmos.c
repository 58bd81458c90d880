// SPDX-License-Identifier: MIT
#include "cmos.h"

#include <string.h>
#include <time.h>

#define NS_PER_SECOND INT64_C(1000000000)
/* UIP rises this long before the time changes (MC146818A, "Update Cycle"). */
#define UPDATE_NS INT64_C(244000)

enum {
	SECONDS = 0x00,
	MINUTES = 0x02,
	HOURS = 0x04,
	DAY_OF_WEEK = 0x06,
	DAY = 0x07,
	MONTH = 0x08,
	YEAR = 0x09,
	REG_A = 0x0a,
	REG_B = 0x0b,
	REG_C = 0x0c,
	REG_D = 0x0d,
	CENTURY = 0x32,
};

#define A_UIP	 0x80u
#define B_SET	 0x80u
#define B_BINARY 0x04u
#define B_24	 0x02u
#define D_VALID	 0x80u

/* Where a PC's firmware leaves the sizes of memory; 0 to 640 KiB, from 1 MiB and from 16 MiB in KiB
 * and 64 KiB, from 4 GiB in 64 KiB. */
enum {
	BASE_KB = 0x15,
	ABOVE_1M_KB = 0x17,
	ABOVE_1M_KB_TOO = 0x30,
	ABOVE_16M = 0x34,
	ABOVE_4G = 0x5b
};
enum { CPUS_LESS_ONE = 0x5f };

#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)

static int64_t host_now(void *opaque)
{
	struct timespec t;

	(void)opaque;
	clock_gettime(CLOCK_REALTIME, &t);
	return (int64_t)t.tv_sec * NS_PER_SECOND + t.tv_nsec;
}

static void put(struct cmos *c, unsigned int reg, unsigned int bytes, uint64_t value)
{
	uint64_t largest = (UINT64_C(1) << 8 * bytes) - 1;

	if (value > largest)
		value = largest;
	for (unsigned int i = 0; i < bytes; i++)
		c->ram[reg + i] = (uint8_t)(value >> 8 * i);
}

static uint64_t above(uint64_t memory, uint64_t from)
{
	return memory > from ? memory - from : 0;
}

void cmos_init(struct cmos *c, uint32_t cpus, uint64_t memory, int64_t (*now)(void *opaque),
	       void *opaque)
{
	uint64_t low = memory < 4 * GIB ? memory : 4 * GIB;

	memset(c, 0, sizeof(*c));
	c->now = now ? now : host_now;
	c->opaque = opaque;
	c->ram[REG_A] = 0x26; /* 32768 Hz, a rate of 1024 Hz */
	c->ram[REG_B] = B_24;
	put(c, BASE_KB, 2, low / 1024 < 640 ? low / 1024 : 640);
	put(c, ABOVE_1M_KB, 2, above(low, MIB) / 1024);
	put(c, ABOVE_1M_KB_TOO, 2, above(low, MIB) / 1024);
	put(c, ABOVE_16M, 2, above(low, 16 * MIB) / 65536);
	put(c, ABOVE_4G, 3, above(memory, 4 * GIB) / 65536);
	put(c, CPUS_LESS_ONE, 1, cpus ? cpus - 1 : 0);
}

static int64_t seconds_of(int64_t ns)
{
	/* Before 1970 too. */
	return ns / NS_PER_SECOND - (ns % NS_PER_SECOND < 0);
}

static int64_t shown_seconds(const struct cmos *c)
{
	if (c->ram[REG_B] & B_SET)
		return c->frozen;
	return seconds_of(c->now(c->opaque)) + c->offset;
}

static bool in_update(const struct cmos *c)
{
	int64_t ns = c->now(c->opaque);

	return !(c->ram[REG_B] & B_SET) &&
	       ns - seconds_of(ns) * NS_PER_SECOND >= NS_PER_SECOND - UPDATE_NS;
}

static uint8_t encode(const struct cmos *c, int n)
{
	unsigned int value = n < 0 ? 0 : (unsigned int)n % 100;

	return (uint8_t)(c->ram[REG_B] & B_BINARY ? value : value / 10 << 4 | value % 10);
}

static int decode(const struct cmos *c, uint8_t value)
{
	return c->ram[REG_B] & B_BINARY ? value : (value >> 4) * 10 + (value & 0xf);
}

/* In the 12-hour form bit 7 says afternoon, and 0 is 12. */
static uint8_t encode_hour(const struct cmos *c, int hour)
{
	int twelfth = hour % 12 ? hour % 12 : 12;

	if (c->ram[REG_B] & B_24)
		return encode(c, hour);
	return (uint8_t)(encode(c, twelfth) | (hour >= 12 ? 0x80 : 0));
}

static int decode_hour(const struct cmos *c, uint8_t value)
{
	if (c->ram[REG_B] & B_24)
		return decode(c, value);
	return decode(c, value & 0x7f) % 12 + (value & 0x80 ? 12 : 0);
}

static bool is_time(uint8_t reg)
{
	return reg == SECONDS || reg == MINUTES || reg == HOURS ||
	       (reg >= DAY_OF_WEEK && reg <= YEAR) || reg == CENTURY;
}

static uint8_t read_time(const struct cmos *c, uint8_t reg)
{
	time_t seconds = (time_t)shown_seconds(c);
	struct tm tm;

	if (!gmtime_r(&seconds, &tm))
		return 0;
	switch (reg) {
	case SECONDS:
		return encode(c, tm.tm_sec);
	case MINUTES:
		return encode(c, tm.tm_min);
	case HOURS:
		return encode_hour(c, tm.tm_hour);
	case DAY_OF_WEEK:
		return encode(c, tm.tm_wday + 1);
	case DAY:
		return encode(c, tm.tm_mday);
	case MONTH:
		return encode(c, tm.tm_mon + 1);
	case YEAR:
		return encode(c, (tm.tm_year + 1900) % 100);
	default:
		return encode(c, (tm.tm_year + 1900) / 100);
	}
}

static void change(const struct cmos *c, struct tm *tm, uint8_t reg, uint8_t value)
{
	int n = decode(c, value);
	int year = tm->tm_year + 1900;

	switch (reg) {
	case SECONDS:
		tm->tm_sec = n;
		break;
	case MINUTES:
		tm->tm_min = n;
		break;
	case HOURS:
		tm->tm_hour = decode_hour(c, value);
		break;
	case DAY:
		tm->tm_mday = n;
		break;
	case MONTH:
		tm->tm_mon = n - 1;
		break;
	case YEAR:
		tm->tm_year = year - year % 100 + n - 1900;
		break;
	case CENTURY:
		tm->tm_year = n * 100 + year % 100 - 1900;
		break;
	default: /* the day of the week follows from the date here */
		break;
	}
}

static void write_time(struct cmos *c, uint8_t reg, uint8_t value)
{
	time_t seconds = (time_t)shown_seconds(c);
	struct tm tm;

	if (!gmtime_r(&seconds, &tm))
		return;
	change(c, &tm, reg, value);
	/* A date that is none, as the 31st of a short month, is carried on into the next. */
	c->frozen = (int64_t)timegm(&tm);
	c->offset = c->frozen - seconds_of(c->now(c->opaque));
}

static uint8_t read_register(struct cmos *c, uint8_t reg)
{
	if (is_time(reg))
		return read_time(c, reg);
	switch (reg) {
	case REG_A:
		return (uint8_t)(c->ram[REG_A] | (in_update(c) ? A_UIP : 0));
	case REG_C: /* nothing has interrupted */
		return 0;
	case REG_D:
		return D_VALID;
	default:
		return c->ram[reg];
	}
}

static void write_register_b(struct cmos *c, uint8_t value)
{
	int64_t shown = shown_seconds(c);

	c->frozen = shown;
	c->offset = shown - seconds_of(c->now(c->opaque));
	c->ram[REG_B] = value;
}

static void write_register(struct cmos *c, uint8_t reg, uint8_t value)
{
	if (is_time(reg))
		write_time(c, reg, value);
	else if (reg == REG_A)
		c->ram[reg] = value & 0x7f;
	else if (reg == REG_B)
		write_register_b(c, value);
	else if (reg != REG_C && reg != REG_D)
		c->ram[reg] = value;
}

static void access_byte(struct cmos *c, uint16_t port, uint8_t *byte, bool is_write)
{
	if (port == CMOS_PORT && is_write)
		c->index = *byte & 0x7f; /* bit 7 masks NMI, which no device here raises */
	else if (port == CMOS_PORT)
		*byte = 0xff;
	else if (is_write)
		write_register(c, c->index, *byte);
	else
		*byte = read_register(c, c->index);
}

bool cmos_pio(struct cmos *c, uint16_t port, void *data, uint32_t len, bool is_write)
{
	uint8_t *byte = data;

	if (port != CMOS_PORT && port != CMOS_PORT + 1)
		return false;
	for (uint32_t i = 0; i < len; i++) {
		if (port + i <= CMOS_PORT + 1)
			access_byte(c, (uint16_t)(port + i), &byte[i], is_write);
		else if (!is_write)
			byte[i] = 0xff;
	}
	return true;
}
