// SPDX-License-Identifier: MIT
#include "ioeventfd_cases.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Descriptors. */
enum { NONE, CLOSED, PIPE, DEVICE, PATH, ONE, TWIN, TWO, FDS };

struct descriptors {
	int fd[FDS];
	int pipe_end;
};

static void open_descriptors(struct descriptors *d)
{
	int ends[2];

	assert_int_equal(pipe(ends), 0);
	d->pipe_end = ends[0];
	d->fd[NONE] = -1;
	d->fd[PIPE] = ends[1];
	d->fd[DEVICE] = open("/dev/null", O_RDWR | O_CLOEXEC);
	d->fd[ONE] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	d->fd[TWIN] = dup(d->fd[ONE]);
	d->fd[TWO] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	d->fd[PATH] = open("/", O_PATH | O_CLOEXEC);
	/* Not a number that the library's own duplicates get. */
	d->fd[CLOSED] = fcntl(d->fd[ONE], F_DUPFD_CLOEXEC, 500);
	for (int i = NONE + 1; i < FDS; i++)
		assert_true(d->fd[i] >= 0);
	close(d->fd[CLOSED]);
}

static void close_descriptors(struct descriptors *d)
{
	for (int i = PIPE; i < FDS; i++)
		close(d->fd[i]);
	close(d->pipe_end);
}

/* In this order, each after the ones before it. */
static const struct answer {
	uint64_t addr;
	uint32_t len, flags;
	uint64_t data;
	int fd;
	int answer;
} answers[] = {
	/* Lengths. */
	{ 0x1000, 3, 0, 0, ONE, -EINVAL },
	{ 0x1000, 5, 0, 0, ONE, -EINVAL },
	{ 0x1000, 6, PIO, 0, ONE, -EINVAL },
	{ 0x1000, 7, DATAMATCH, 0, ONE, -EINVAL },
	{ 0x1000, 9, 0, 0, ONE, -EINVAL },
	{ 0x1000, 16, PIO, 0, ONE, -EINVAL },
	{ 0x1000, 0x80000000u, 0, 0, ONE, -EINVAL },
	{ 0x1000, UINT32_MAX, 0, 0, ONE, -EINVAL },
	{ 0x1000, 0, DATAMATCH, 0, ONE, -EINVAL },
	{ 0x1000, 0, DATAMATCH | PIO, 5, ONE, -EINVAL },
	/* addr + len past 2^64, and to it. */
	{ UINT64_MAX, 1, 0, 0, ONE, -EINVAL },
	{ UINT64_MAX, 1, PIO, 0, ONE, -EINVAL },
	{ UINT64_MAX - 3, 4, 0, 0, ONE, -EINVAL },
	{ UINT64_MAX - 3, 8, DATAMATCH, 1, ONE, -EINVAL },
	{ UINT64_MAX - 4, 4, 0, 0, ONE, 0 },
	{ UINT64_MAX - 4, 4, DEASSIGN, 0, ONE, 0 },
	{ UINT64_MAX, 0, 0, 0, ONE, 0 },
	{ UINT64_MAX, 0, DEASSIGN, 0, ONE, 0 },
	{ 0, 0, 0, 0, ONE, 0 },
	{ 0, 0, DEASSIGN, 0, ONE, 0 },
	/* Ports that there are not. */
	{ 0x10000, 1, PIO, 0, ONE, 0 },
	{ 0x10000, 1, PIO | DEASSIGN, 0, ONE, 0 },
	{ UINT64_C(0x123456789), 4, PIO, 0, ONE, 0 },
	{ UINT64_C(0x123456789), 4, PIO | DEASSIGN, 0, ONE, 0 },
	/* The rest before the descriptor. */
	{ 0x1000, 3, 0, 0, NONE, -EINVAL },
	{ 0x1000, 4, 0x20, 0, NONE, -EINVAL },
	{ 0x1000, 0, DATAMATCH, 0, NONE, -EINVAL },
	{ UINT64_MAX, 4, 0, 0, NONE, -EINVAL },
	{ 0x1000, 4, 0, 0, NONE, -EBADF },
	{ 0x1000, 4, 0, 0, CLOSED, -EBADF },
	{ 0x1000, 4, 0, 0, PATH, -EBADF },
	{ 0x1000, 4, 0, 0, PIPE, -EINVAL },
	{ 0x1000, 4, 0, 0, DEVICE, -EINVAL },
	{ 0x1000, 4, PIO | DATAMATCH, 0, DEVICE, -EINVAL },
	/* The descriptor before what is there. */
	{ 0x1000, 4, 0, 0, ONE, 0 },
	{ 0x1000, 4, 0, 0, NONE, -EBADF },
	{ 0x1000, 4, 0, 0, PIPE, -EINVAL },
	{ 0x1000, 3, 0, 0, ONE, -EINVAL },
	{ 0x1000, 4, 0, 0, ONE, -EEXIST },
	{ 0x1000, 4, 0, 0, TWO, -EEXIST },
	{ 0x1000, 4, 0, 99, TWIN, -EEXIST },
	/* Another bus, another address, overlapping. */
	{ 0x1000, 4, PIO, 0, ONE, 0 },
	{ 0x1002, 2, 0, 0, ONE, 0 },
	{ 0x1001, 0, 0, 0, TWO, 0 },
	{ 0xffe, 4, 0, 0, ONE, 0 },
	/* Deassign wants all of it. */
	{ 0x1000, 4, DEASSIGN, 0, NONE, -EBADF },
	{ 0x1000, 4, DEASSIGN, 0, CLOSED, -EBADF },
	{ 0x1000, 4, DEASSIGN, 0, PIPE, -EINVAL },
	{ 0x1000, 4, DEASSIGN, 0, TWO, -ENOENT },
	{ 0x1004, 4, DEASSIGN, 0, ONE, -ENOENT },
	{ 0x1000, 2, DEASSIGN, 0, ONE, -ENOENT },
	{ 0x1000, 0, DEASSIGN, 0, ONE, -ENOENT },
	{ 0x1000, 4, DEASSIGN | DATAMATCH, 0, ONE, -ENOENT },
	{ 0x1000, 4, DEASSIGN | CCW, 0, ONE, -ENOENT },
	{ 0x1000, 4, DEASSIGN | PIO, 0, ONE, 0 },
	{ 0x1000, 4, DEASSIGN | PIO, 0, ONE, -ENOENT },
	{ 0x1000, 4, DEASSIGN, 77, TWIN, 0 },
	{ 0x1000, 4, DEASSIGN, 0, ONE, -ENOENT },
	/* But nothing else of it is looked at. */
	{ 0x1000, 3, DEASSIGN, 0, ONE, -ENOENT },
	{ 0x1000, 3, DEASSIGN, 0, NONE, -EBADF },
	{ UINT64_MAX, 4, DEASSIGN, 0, ONE, -ENOENT },
	{ 0x1000, 0, DEASSIGN | DATAMATCH, 0, ONE, -ENOENT },
	{ 0x1000, 4, DEASSIGN | 0x80, 0, ONE, -ENOENT },
	{ 0x1002, 2, DEASSIGN | 0x80, 0, ONE, 0 },
	{ 0x1001, 0, DEASSIGN | 0xffffffe0u, 0, TWO, 0 },
	{ 0xffe, 4, DEASSIGN, 0, ONE, 0 },
	/* Data count with DATAMATCH only, and then all 64 bits. */
	{ 0x2000, 4, 0, 5, ONE, 0 },
	{ 0x2000, 4, 0, 6, ONE, -EEXIST },
	{ 0x2000, 4, DEASSIGN, 7, ONE, 0 },
	{ 0x2000, 1, DATAMATCH, 0x141, ONE, 0 },
	{ 0x2000, 1, DATAMATCH, 0x41, ONE, 0 },
	{ 0x2000, 1, DATAMATCH, 0x141, TWO, -EEXIST },
	{ 0x2000, 1, DEASSIGN | DATAMATCH, 0x42, ONE, -ENOENT },
	{ 0x2000, 1, DEASSIGN | DATAMATCH, 0x141, TWO, -ENOENT },
	{ 0x2000, 1, DEASSIGN, 0x141, ONE, -ENOENT },
	{ 0x2000, 1, DEASSIGN | DATAMATCH, 0x141, ONE, 0 },
	{ 0x2000, 1, DEASSIGN | DATAMATCH, 0x41, ONE, 0 },
	/* Another machine's bus, which PIO goes before; and a flag that says nothing. */
	{ 0x3000, 4, CCW, 0, ONE, 0 },
	{ 0x3000, 4, CCW, 0, TWO, -EEXIST },
	{ 0x3000, 4, CCW | PIO, 0, ONE, 0 },
	{ 0x3000, 4, PIO, 0, ONE, -EEXIST },
	{ 0x3000, 4, FAST_MMIO, 0, ONE, 0 },
	{ 0x3000, 4, 0, 0, ONE, -EEXIST },
	{ 0x3000, 4, DEASSIGN | CCW, 0, ONE, 0 },
	{ 0x3000, 4, DEASSIGN | CCW, 0, ONE, -ENOENT },
	{ 0x3000, 4, DEASSIGN | PIO, 0, ONE, 0 },
	{ 0x3000, 4, DEASSIGN, 0, ONE, 0 },
	{ 0x3000, 0, CCW | DATAMATCH, 0, ONE, -EINVAL },
	{ 0x3000, 0, CCW, 0, ONE, 0 },
	{ 0x3000, 4, CCW, 0, ONE, -EEXIST },
	{ 0x3000, 0, DEASSIGN | CCW | FAST_MMIO, 0, ONE, 0 },
};

static int ask(const struct asked *asked, const struct answer *a, const struct descriptors *d)
{
	struct kvm_ioeventfd args = {
		.datamatch = a->data,
		.addr = a->addr,
		.len = a->len,
		.fd = d->fd[a->fd],
		.flags = a->flags,
	};

	memset(args.pad, 0xa5, sizeof(args.pad));
	return asked->ioeventfd(asked->opaque, &args);
}

static void expect(const struct asked *asked, const struct answer *a, const struct descriptors *d)
{
	int got = ask(asked, a, d);

	if (got != a->answer)
		fail_msg("addr %#llx len %u flags %#x data %#llx descriptor %d: %d, not %d",
			 (unsigned long long)a->addr, a->len, a->flags, (unsigned long long)a->data,
			 a->fd, got, a->answer);
}

void check_answers(const struct asked *asked)
{
	struct descriptors d;

	open_descriptors(&d);
	for (size_t i = 0; i < COUNT(answers); i++)
		expect(asked, &answers[i], &d);
	for (unsigned int bit = kvm_ioeventfd_flag_nr_max; bit < 32; bit++) {
		struct answer unknown = { 0x4000, 4, 1u << bit, 0, ONE, -EINVAL };

		expect(asked, &unknown, &d);
		unknown.flags |= DEASSIGN;
		unknown.answer = -ENOENT;
		expect(asked, &unknown, &d);
	}
	close_descriptors(&d);
}

/* Of every length, with any data and with some; wider than the length, too. */
static const struct kind {
	uint32_t len, flags;
	uint64_t data;
} kinds[] = {
	{ 0, 0, 0 },
	{ 1, 0, 0 },
	{ 2, 0, 0 },
	{ 4, 0, 0 },
	{ 8, 0, 0 },
	{ 1, DATAMATCH, 0x41 },
	{ 1, DATAMATCH, 0xff },
	{ 1, DATAMATCH, 0x141 },
	{ 2, DATAMATCH, 0 },
	{ 2, DATAMATCH, 0x141 },
	{ 2, DATAMATCH, 0x10141 },
	{ 4, DATAMATCH, 0x41 },
	{ 4, DATAMATCH, 0xffffffffu },
	{ 4, DATAMATCH, UINT64_MAX },
	{ 8, DATAMATCH, 0x41 },
	{ 8, DATAMATCH, UINT64_MAX },
	{ 8, DATAMATCH, UINT64_C(0x4100000000) },
};

static bool are_exclusive(const struct kind *a, const struct kind *b)
{
	if (!a->len || !b->len)
		return true;
	return a->len == b->len && (!(a->flags & b->flags & DATAMATCH) || a->data == b->data);
}

void check_collisions(const struct asked *asked)
{
	struct descriptors d;

	open_descriptors(&d);
	for (size_t i = 0; i < COUNT(kinds); i++) {
		struct answer first = {
			0x1000, kinds[i].len, kinds[i].flags, kinds[i].data, ONE, 0
		};

		expect(asked, &first, &d);
		for (size_t k = 0; k < COUNT(kinds); k++) {
			struct answer second = { 0x1000,	kinds[k].len, kinds[k].flags,
						 kinds[k].data, TWO,	      0 };

			if (are_exclusive(&kinds[i], &kinds[k]))
				second.answer = -EEXIST;
			expect(asked, &second, &d);
			second.flags |= DEASSIGN;
			second.answer = second.answer ? -ENOENT : 0;
			expect(asked, &second, &d);
		}
		first.flags |= DEASSIGN;
		expect(asked, &first, &d);
	}
	close_descriptors(&d);
}

uint64_t take_rings(int fd, uint64_t expected)
{
	uint64_t rings = 0, n;

	do {
		struct pollfd ready = { .fd = fd, .events = POLLIN };

		if (rings < expected)
			poll(&ready, 1, -1);
		while (read(fd, &n, sizeof(n)) == (ssize_t)sizeof(n))
			rings += n;
	} while (rings < expected);
	return rings;
}

static bool is_match(const struct kind *kind, uint32_t len, uint64_t data)
{
	if (!kind->len)
		return true;
	return kind->len == len && (!(kind->flags & DATAMATCH) || kind->data == data);
}

static uint64_t cut(uint64_t data, uint32_t len)
{
	return len < 8 ? data & ((UINT64_C(1) << len * 8) - 1) : data;
}

#define MEMORY	UINT64_C(0xd0000100)
#define IO_PORT UINT64_C(0x600)
#define AROUND	2

/* Every write around this doorbell. How many rang it. */
static uint64_t write_around(const struct asked *asked, const struct kind *kind, bool pio)
{
	static const uint64_t values[] = { 0,	      0x41, 0x141, 0x10141, UINT64_C(0x4100000000),
					   UINT64_MAX };
	uint64_t addr = pio ? IO_PORT : MEMORY, rings = 0;

	for (const uint32_t *len = asked->lengths[!pio]; *len; len++)
		for (size_t i = 0; i < COUNT(values) * (2 * AROUND + 1); i++) {
			uint64_t data = cut(values[i % COUNT(values)], *len);
			uint64_t to = addr - AROUND + i / COUNT(values);
			bool rang = asked->write(asked->opaque, pio, to, *len, data);

			if (rang != (to == addr && is_match(kind, *len, data)))
				fail_msg(
					"%s len %u flags %#x data %#llx: write of %#llx, %u to %+d",
					pio ? "pio" : "mmio", kind->len, kind->flags,
					(unsigned long long)kind->data, (unsigned long long)data,
					*len, (int)(to - addr));
			rings += rang;
		}
	return rings;
}

void check_matches(const struct asked *asked)
{
	struct descriptors d;

	open_descriptors(&d);
	for (size_t i = 0; i < COUNT(kinds) * 2; i++) {
		const struct kind *kind = &kinds[i / 2];
		bool pio = i % 2;
		struct answer bell = { pio ? IO_PORT : MEMORY,
				       kind->len,
				       kind->flags | (pio ? PIO : 0),
				       kind->data,
				       ONE,
				       0 };
		uint64_t rings;

		expect(asked, &bell, &d);
		rings = write_around(asked, kind, pio);
		assert_int_equal(take_rings(d.fd[ONE], 0), rings);
		bell.flags |= DEASSIGN;
		expect(asked, &bell, &d);
		assert_int_equal(write_around(asked, &(struct kind){ .len = UINT32_MAX }, pio), 0);
		assert_int_equal(take_rings(d.fd[ONE], 0), 0);
	}
	close_descriptors(&d);
}
