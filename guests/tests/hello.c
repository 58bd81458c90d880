// SPDX-License-Identifier: MIT
/* The way here and out: multiboot, long mode, serial port, debug exit, arguments. */
#include "lib/apic.h"
#include "lib/smp.h"
#include "lib/test.h"

const char test_name[] = "hello";

/* Deaf to an interrupt that is pending. */
static void hang(void)
{
	interrupts_off();
	apic_icr(ICR_SELF | ICR_ASSERT | 0x61, 0);
	for (;;)
		__asm__ volatile("hlt");
}

void test_main(void)
{
	print("hello from CPU %u of %u\n", (uint64_t)this_cpu()->index, (uint64_t)cpu_count);
	CHECK(tsc_per_ms > 1000);
	if (has_arg("args"))
		CHECK(has_arg("first") && has_arg("second=2") && !has_arg("sec"));
	/* For the test of the command: how it ends that way. */
	if (has_arg("fail"))
		CHECK(!has_arg("fail"));
	if (has_arg("hang"))
		hang();
	while (has_arg("spin"))
		pause();
	while (has_arg("flood"))
		print("a line that somebody has to read, or the pipe is full some day\n");
	if (has_arg("crash"))
		__asm__ volatile("lidt %0; ud2" : : "m"(*(const char(*)[10]) "\0\0\0\0\0\0\0\0\0"));
}
