// SPDX-License-Identifier: MIT
/* The 16550A. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "pc/serial.h"

static void out(struct serial *s, uint16_t port, uint8_t value)
{
	assert_true(serial_pio(s, port, &value, 1, true));
}

static uint8_t in(struct serial *s, uint16_t port)
{
	uint8_t value = 0xaa;

	assert_true(serial_pio(s, port, &value, 1, false));
	return value;
}

static void say(struct serial *s, const char *text)
{
	for (; *text; text++) {
		assert_int_equal(in(s, 0x3fd) & 0x60, 0x60);
		out(s, 0x3f8, (uint8_t)*text);
	}
}

static void assert_said(int fd, const char *text)
{
	char got[2048];
	ssize_t n = read(fd, got, sizeof(got));

	assert_int_equal(n < 0 ? 0 : n, strlen(text));
	assert_memory_equal(got, text, strlen(text));
}

static void text_goes_out_by_line(void **state)
{
	char long_line[SERIAL_BUFFER + 1] = "";
	struct serial s;
	int pipe_fd[2];

	(void)state;
	assert_int_equal(pipe2(pipe_fd, O_NONBLOCK | O_CLOEXEC), 0);
	serial_init(&s, pipe_fd[1]);
	say(&s, "one");
	assert_said(pipe_fd[0], "");
	say(&s, "\ntwo");
	assert_said(pipe_fd[0], "one\n");
	serial_flush(&s);
	assert_said(pipe_fd[0], "two");
	memset(long_line, 'x', SERIAL_BUFFER);
	say(&s, long_line);
	assert_said(pipe_fd[0], long_line);
	close(pipe_fd[0]);
	close(pipe_fd[1]);

	/* Nobody to say it to: the guest goes on. */
	say(&s, "lost\n");
	say(&s, "lost\n");
	serial_init(&s, -1);
	say(&s, "lost\n");
	serial_flush(&s);
}

static void registers(void **state)
{
	struct serial s;

	(void)state;
	serial_init(&s, -1);
	/* The divisor hides behind DLAB. */
	out(&s, 0x3fb, 0x80);
	out(&s, 0x3f8, 0x01);
	out(&s, 0x3f9, 0x02);
	assert_int_equal(in(&s, 0x3f8), 0x01);
	assert_int_equal(in(&s, 0x3f9), 0x02);
	out(&s, 0x3fb, 0x03);
	assert_int_equal(in(&s, 0x3fb), 0x03);
	assert_int_equal(in(&s, 0x3f9), 0x00);
	assert_int_equal(in(&s, 0x3f8), 0x00);
	assert_int_equal(s.used, 0);
	out(&s, 0x3ff, 0x5a);
	assert_int_equal(in(&s, 0x3ff), 0x5a);
	out(&s, 0x3f9, 0xff);
	assert_int_equal(in(&s, 0x3f9), 0x0f);
	out(&s, 0x3f9, 0);
	assert_int_equal(in(&s, 0x3fa), 0x01);
	out(&s, 0x3fa, 0x07);
	assert_int_equal(in(&s, 0x3fa), 0xc1);
	assert_int_equal(in(&s, 0x3fe), 0xb0);
	out(&s, 0x3fd, 0xff);
	assert_int_equal(in(&s, 0x3fd), 0x60);
}

static void the_loop_shows_itself(void **state)
{
	struct serial s;

	(void)state;
	serial_init(&s, -1);
	for (uint8_t mcr = 0; mcr < 16; mcr++) {
		out(&s, 0x3fc, 0x10 | mcr);
		assert_int_equal(in(&s, 0x3fe), (mcr & 2 ? 0x10 : 0) | (mcr & 1 ? 0x20 : 0) |
							(mcr & 4 ? 0x40 : 0) |
							(mcr & 8 ? 0x80 : 0));
		assert_false(serial_irq(&s));
	}
	out(&s, 0x3f8, 'x');
	assert_int_equal(s.used, 0);
	assert_int_equal(in(&s, 0x3fd), 0x61);
	assert_int_equal(in(&s, 0x3f8), 'x');
	assert_int_equal(in(&s, 0x3fd), 0x60);
}

static void an_empty_transmitter_interrupts(void **state)
{
	struct serial s;

	(void)state;
	serial_init(&s, -1);
	out(&s, 0x3f9, 0x02);
	assert_false(serial_irq(&s)); /* OUT2 is its gate on a PC */
	out(&s, 0x3fc, 0x08);
	assert_true(serial_irq(&s));
	assert_int_equal(in(&s, 0x3fa), 0x02);
	assert_false(serial_irq(&s));
	assert_int_equal(in(&s, 0x3fa), 0x01);
	out(&s, 0x3f8, 'x');
	assert_true(serial_irq(&s));
	out(&s, 0x3f9, 0);
	assert_false(serial_irq(&s));
}

static void ports_and_lengths(void **state)
{
	struct serial s;

	(void)state;
	serial_init(&s, -1);
	for (uint32_t port = 0x3f0; port < 0x410; port++) {
		for (uint32_t len = 1; len <= 8; len++) {
			bool ours = port >= 0x3f8 && port <= 0x3ff;
			uint8_t data[16];

			memset(data, 0xa5, sizeof(data));
			assert_int_equal(serial_pio(&s, (uint16_t)port, data, len, true), ours);
			assert_int_equal(serial_pio(&s, (uint16_t)port, data, len, false), ours);
			for (size_t i = ours ? len : 0; i < sizeof(data); i++)
				assert_int_equal(data[i], 0xa5);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(text_goes_out_by_line),
		cmocka_unit_test(registers),
		cmocka_unit_test(the_loop_shows_itself),
		cmocka_unit_test(an_empty_transmitter_interrupts),
		cmocka_unit_test(ports_and_lengths),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
