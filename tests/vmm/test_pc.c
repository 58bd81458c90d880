// SPDX-License-Identifier: MIT
/* The PC's devices together, as vCPUs use them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "pc/pc.h"

struct seen {
	struct pc *pc;
	_Atomic uint32_t calls;
	_Atomic int line[24];
	_Atomic int status;
};

static void set_gsi(void *opaque, uint32_t gsi, bool level)
{
	struct seen *seen = opaque;
	uint8_t byte;

	assert_true(gsi < 24);
	seen->line[gsi] = level;
	seen->calls++;
	/* No lock is held: a callback may come back. */
	assert_true(pc_pio(seen->pc, 0x3fd, &byte, 1, false));
}

static void on_exit_status(void *opaque, int status)
{
	struct seen *seen = opaque;

	seen->status = status;
	pc_flush(seen->pc);
}

static void start(struct seen *seen, int output)
{
	const struct pc_config config = {
		.memory = 64 << 20,
		.vcpus = 4,
		.output = output,
		.opaque = seen,
		.set_gsi = set_gsi,
		.exit = on_exit_status,
	};

	memset(seen, 0, sizeof(*seen));
	seen->status = -1;
	assert_int_equal(pc_create(&config, &seen->pc), 0);
}

static void out(struct seen *seen, uint16_t port, uint8_t value)
{
	assert_true(pc_pio(seen->pc, port, &value, 1, true));
}

static void configuration_is_checked(void **state)
{
	struct pc_config config = { .vcpus = 0, .output = -1 };
	struct pc *pc;
	uint8_t byte = 1;

	(void)state;
	assert_int_equal(pc_create(&config, &pc), -EINVAL);
	assert_null(pc);
	config.vcpus = 65536;
	assert_int_equal(pc_create(&config, &pc), -EINVAL);
	config.vcpus = 1;
	assert_int_equal(pc_create(&config, &pc), 0);
	/* Callbacks are not needed. */
	assert_true(pc_pio(pc, 0x2005, &byte, 1, true));
	assert_true(pc_pio(pc, 0xf4, &byte, 1, true));
	pc_destroy(pc);
	pc_destroy(NULL);
}

static void each_device_is_there(void **state)
{
	static const struct {
		uint16_t port;
		uint32_t len;
		uint32_t value; /* as read after creation */
	} cases[] = {
		{ 0x3fd, 1, 0x60 },	  { 0xf4, 1, 0 },	    { 0x2000, 1, 0 },
		{ 0xe0, 4, 0 },		  { 0x511, 4, 0x554d4551 }, { 0xcf8, 4, 0 },
		{ 0xcfc, 4, 0xffffffff }, { 0x70, 1, 0xff },	    { 0xe8, 2, 0 },
	};
	static const uint16_t nobodys[] = { 0x40, 0x43,	 0x61,	 0x20,	   0xa1,
					    0x80, 0xcf9, 0x2018, 0x510 - 1 };
	uint32_t value;
	struct seen seen;

	(void)state;
	start(&seen, -1);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		value = 0;
		assert_true(pc_pio(seen.pc, cases[i].port, &value, cases[i].len, false));
		assert_int_equal(value, cases[i].value);
	}
	for (size_t i = 0; i < sizeof(nobodys) / sizeof(nobodys[0]); i++)
		assert_false(pc_pio(seen.pc, nobodys[i], &value, 1, false));
	assert_false(pc_pio(seen.pc, 0x3f8, &value, 0, true));
	assert_false(pc_pio(seen.pc, 0x3f8, &value, 3, true));
	assert_true(pc_mmio(seen.pc, 0xff00fffc, &value, 4, false));
	assert_false(pc_mmio(seen.pc, 0xfee00000, &value, 4, false));
	assert_false(pc_mmio(seen.pc, 0xff000000, &value, 0, false));
	assert_false(pc_mmio(seen.pc, 0xff000000, &value, 9, false));
	assert_int_equal(seen.calls, 0);
	pc_destroy(seen.pc);
}

static void lines_text_and_exit_come_out(void **state)
{
	struct seen seen;
	char text[16] = "";
	int fd[2];

	(void)state;
	assert_int_equal(pipe2(fd, O_NONBLOCK | O_CLOEXEC), 0);
	start(&seen, fd[1]);
	out(&seen, 0x2009, 1);
	assert_int_equal(seen.line[9], 1);
	out(&seen, 0x2009, 0);
	assert_int_equal(seen.line[9], 0);
	out(&seen, 0x3fc, 8);
	out(&seen, 0x3f9, 2);
	assert_int_equal(seen.line[4], 1);
	out(&seen, 0x3f9, 0);
	assert_int_equal(seen.line[4], 0);
	out(&seen, 0x3f8, 'h');
	out(&seen, 0x3f8, 'i');
	out(&seen, 0xf4, 5);
	assert_int_equal(seen.status, 11);
	assert_int_equal(read(fd[0], text, sizeof(text)), 2);
	assert_string_equal(text, "hi");
	out(&seen, 0x3f8, '!');
	pc_destroy(seen.pc);
	assert_int_equal(read(fd[0], text, sizeof(text)), 1);
	close(fd[0]);
	close(fd[1]);
}

#define ROUNDS 3000

static void *one_vcpu(void *opaque)
{
	struct seen *seen = opaque;

	for (unsigned int i = 0; i < ROUNDS; i++) {
		uint32_t value = i;

		out(seen, 0x3f8, 'x');
		out(seen, 0x3f9, i & 2);
		out(seen, (uint16_t)(0x2000 + i % 24), i & 1);
		pc_pio(seen->pc, 0xcf8, &value, 4, true);
		pc_mmio(seen->pc, 0xff000000 + i * 4, &value, 4, true);
		pc_pio(seen->pc, 0x71, &value, 1, false);
	}
	return NULL;
}

static void vcpus_run_together(void **state)
{
	pthread_t threads[4];
	struct seen seen;
	FILE *file = tmpfile();

	(void)state;
	assert_non_null(file);
	start(&seen, fileno(file));
	out(&seen, 0x3fc, 8);
	for (unsigned int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, one_vcpu, &seen), 0);
	for (unsigned int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	/* The serial line is told last what it is. */
	out(&seen, 0x2004, 0);
	out(&seen, 0x3f9, 2);
	out(&seen, 0x3f8, 'x');
	out(&seen, 0x3f9, 0);
	assert_int_equal(seen.line[4], 0);
	pc_destroy(seen.pc);
	/* No byte is lost. */
	assert_int_equal(lseek(fileno(file), 0, SEEK_END), 4 * ROUNDS + 1);
	fclose(file);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(configuration_is_checked),
		cmocka_unit_test(each_device_is_there),
		cmocka_unit_test(lines_text_and_exit_come_out),
		cmocka_unit_test(vcpus_run_together),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
