// SPDX-License-Identifier: MIT
#include "test.h"

#include <stdarg.h>

#include "pit.h"

#define SERIAL_PORT	0x3f8
#define DEBUG_EXIT_PORT 0xf4
#define INFO_CMDLINE	(1u << 2)

/* Of the structure that multiboot hands over (0.6.96, 3.3), what is used here. */
struct boot_information {
	uint32_t flags;
	uint32_t memory[2];
	uint32_t boot_device;
	uint32_t cmdline;
};

uint32_t boot_information; /* entry.S: its address */
uint64_t tsc_per_ms;

static uint32_t failures;

static void put(char c)
{
	outb(SERIAL_PORT, (uint8_t)c);
}

static void put_number(uint64_t n, uint32_t base)
{
	char digits[20];
	uint32_t count = 0;

	do {
		digits[count++] = "0123456789abcdef"[n % base];
		n /= base;
	} while (n);
	while (count)
		put(digits[--count]);
}

void print(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	for (; *format; format++) {
		if (*format != '%') {
			put(*format);
			continue;
		}
		format++;
		if (*format == 's') {
			for (const char *s = va_arg(args, const char *); *s; s++)
				put(*s);
		} else {
			put_number(va_arg(args, uint64_t), *format == 'x' ? 16 : 10);
		}
	}
	va_end(args);
}

static _Noreturn void end_machine(uint8_t value)
{
	for (;;)
		outb(DEBUG_EXIT_PORT, value);
}

_Noreturn void finish(void)
{
	print("%s %s\n", failures ? "FAIL" : "PASS", test_name);
	end_machine(failures ? EXIT_FAIL : EXIT_PASS);
}

_Noreturn void give_up(const char *why)
{
	print("FAIL %s: %s\n", test_name, why);
	end_machine(EXIT_FAIL);
}

_Noreturn void not_for_this_irqchip(const char *why)
{
	print("SKIP %s: not for this irqchip: %s\n", test_name, why);
	end_machine(EXIT_SKIP);
}

void check_failed(const char *file, uint32_t line, const char *what, uint64_t is, uint64_t wanted)
{
	/* Whatever is wrong may be wrong in a loop. */
	if (++failures > 20)
		give_up("too many failures");
	print("%s:%u: %s: is 0x%x, should be 0x%x\n", file, (uint64_t)line, what, is, wanted);
}

bool has_arg(const char *word)
{
	const struct boot_information *info = (const void *)(uintptr_t)boot_information;
	const char *at = info->flags & INFO_CMDLINE ? (const char *)(uintptr_t)info->cmdline : "";

	while (*at) {
		const char *w = word;

		while (*at && *at == *w) {
			at++;
			w++;
		}
		if (!*w && (!*at || *at == ' '))
			return true;
		while (*at && *at != ' ')
			at++;
		while (*at == ' ')
			at++;
	}
	return false;
}

void wait_us(uint64_t us)
{
	uint64_t start = rdtsc();

	while (rdtsc() - start < us * tsc_per_ms / 1000)
		pause();
}

void settle(void)
{
	wait_us(3000);
}
