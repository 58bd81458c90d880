// SPDX-License-Identifier: MIT
/* The local APIC's timer (SDM vol. 3A 11.5.4), on every CPU. Times are measured with the TSC. */
#include "lib/apic.h"
#include "lib/interrupt.h"
#include "lib/smp.h"
#include "lib/test.h"

#define VECTOR		     0x61
#define DIVIDE_BY_1	     0xb
#define DIVIDE_BY_16	     0x3

#define CPUID_1_TSC_DEADLINE (1u << 24)

const char test_name[] = "timer";

/* Timer ticks of a millisecond, undivided. */
static uint32_t per_ms;

static uint32_t mine(void)
{
	return count_of(this_cpu()->index, VECTOR);
}

static void set(uint32_t lvt, uint32_t divide, uint32_t count)
{
	apic_write(APIC_LVT_TIMER, lvt);
	apic_write(APIC_DIVIDE, divide);
	apic_write(APIC_INITIAL_COUNT, count);
}

static void stop(void)
{
	set(LVT_MASKED | VECTOR, DIVIDE_BY_1, 0);
	settle();
	forget_interrupts();
}

static void measure(void)
{
	uint64_t start;

	set(LVT_MASKED | VECTOR, DIVIDE_BY_1, ~0u);
	start = rdtsc();
	wait_us(5000);
	per_ms = (uint32_t)((~0u - apic_read(APIC_CURRENT_COUNT)) * tsc_per_ms / (rdtsc() - start));
	CHECK(per_ms > 1000);
	stop();
}

static void one_shot(void)
{
	uint64_t start = rdtsc();

	set(LVT_TIMER_ONE_SHOT | VECTOR, DIVIDE_BY_1, 4 * per_ms);
	CHECK(apic_read(APIC_CURRENT_COUNT) <= 4 * per_ms);
	CHECK_COMES(mine() == 1);
	/* Not early; a fifth for what the measuring was off. */
	CHECK(rdtsc() - start >= 32 * tsc_per_ms / 10);
	CHECK_EQ(apic_read(APIC_CURRENT_COUNT), 0);
	CHECK_EQ(apic_read(APIC_INITIAL_COUNT), 4 * per_ms);
	wait_us(8000);
	CHECK_EQ(mine(), 1);
	stop();
}

static void divided(void)
{
	uint64_t start = rdtsc();

	set(LVT_TIMER_ONE_SHOT | VECTOR, DIVIDE_BY_16, 80 * per_ms / 16);
	CHECK_COMES(mine() == 1);
	CHECK(rdtsc() - start >= 64 * tsc_per_ms);
	/* Divided twice it would be 1280; the rest is for a host that has no time for this CPU. */
	CHECK(rdtsc() - start < 1200 * tsc_per_ms);
	stop();
}

static void counts_down(void)
{
	uint32_t last = ~0u;

	set(LVT_MASKED | VECTOR, DIVIDE_BY_1, ~0u);
	for (uint32_t i = 0; i < 20; i++) {
		uint32_t now = apic_read(APIC_CURRENT_COUNT);

		CHECK(now <= last);
		last = now;
	}
	CHECK(last < ~0u);
	apic_write(APIC_INITIAL_COUNT, 0);
	CHECK_EQ(apic_read(APIC_CURRENT_COUNT), 0);
	stop();
}

static void masked(void)
{
	set(LVT_MASKED | VECTOR, DIVIDE_BY_1, per_ms);
	wait_us(3000);
	/* Over while masked: unmasking does not bring it back, but on KVM. */
	apic_write(APIC_LVT_TIMER, VECTOR);
	settle();
	if (!has_arg("kvm"))
		CHECK_EQ(mine(), 0);
	forget_interrupts();
	/* Unmasked in time. */
	set(LVT_MASKED | VECTOR, DIVIDE_BY_1, 20 * per_ms);
	apic_write(APIC_LVT_TIMER, VECTOR);
	CHECK_COMES(mine() == 1);
	stop();
}

static void periodic(void)
{
	uint64_t start = rdtsc();

	set(LVT_TIMER_PERIODIC | VECTOR, DIVIDE_BY_1, 2 * per_ms);
	CHECK_COMES(mine() >= 10);
	CHECK(rdtsc() - start >= 18 * tsc_per_ms);
	CHECK(apic_read(APIC_CURRENT_COUNT) <= 2 * per_ms);
	/* To one-shot: the period under way is the last. */
	apic_write(APIC_LVT_TIMER, LVT_TIMER_ONE_SHOT | VECTOR);
	wait_us(12000);
	forget_interrupts();
	wait_us(6000);
	CHECK_EQ(mine(), 0);
	stop();
}

static void no_count_no_timer(void)
{
	set(LVT_TIMER_PERIODIC | VECTOR, DIVIDE_BY_1, 2 * per_ms);
	CHECK_COMES(mine() >= 2);
	apic_write(APIC_INITIAL_COUNT, 0);
	settle();
	forget_interrupts();
	wait_us(6000);
	CHECK_EQ(mine(), 0);
	stop();
}

static void wakes_from_halt(void)
{
	interrupts_off();
	set(LVT_TIMER_ONE_SHOT | VECTOR, DIVIDE_BY_1, 2 * per_ms);
	interrupts_on_and_halt();
	CHECK_EQ(mine(), 1);
	stop();
}

/* Software-disabling the APIC masks the timer's entry for good (11.4.7.2). */
static void disabled(void)
{
	set(LVT_TIMER_PERIODIC | VECTOR, DIVIDE_BY_1, per_ms);
	CHECK_COMES(mine() >= 1);
	apic_write(APIC_SVR, SPURIOUS_VECTOR);
	CHECK(apic_read(APIC_LVT_TIMER) & LVT_MASKED);
	apic_enable();
	CHECK(apic_read(APIC_LVT_TIMER) & LVT_MASKED);
	settle();
	forget_interrupts();
	wait_us(3000);
	CHECK_EQ(mine(), 0);
	stop();
}

static void deadline(void)
{
	uint64_t at;

	set(LVT_TIMER_DEADLINE | VECTOR, DIVIDE_BY_1, per_ms);
	wait_us(3000);
	CHECK_EQ(mine(), 0); /* the initial count starts nothing in this mode */
	CHECK_EQ(rdmsr(MSR_TSC_DEADLINE), 0);
	at = rdtsc() + 4 * tsc_per_ms;
	wrmsr(MSR_TSC_DEADLINE, at);
	CHECK_COMES(mine() == 1);
	CHECK(rdtsc() >= at);
	CHECK_EQ(rdmsr(MSR_TSC_DEADLINE), 0);
	wait_us(6000);
	CHECK_EQ(mine(), 1);
	/* Read back while armed; disarmed by 0. */
	at = rdtsc() + 1000 * tsc_per_ms;
	wrmsr(MSR_TSC_DEADLINE, at);
	CHECK_EQ(rdmsr(MSR_TSC_DEADLINE), at);
	wrmsr(MSR_TSC_DEADLINE, rdtsc() + 30 * tsc_per_ms);
	wrmsr(MSR_TSC_DEADLINE, 0);
	wait_us(35000);
	CHECK_EQ(mine(), 1);
	/* In the past: at once. */
	wrmsr(MSR_TSC_DEADLINE, rdtsc() - 1);
	CHECK_COMES(mine() == 2);
	/* Leaving the mode disarms (11.5.4.1). */
	wrmsr(MSR_TSC_DEADLINE, rdtsc() + 30 * tsc_per_ms);
	apic_write(APIC_LVT_TIMER, LVT_TIMER_ONE_SHOT | VECTOR);
	wait_us(35000);
	CHECK_EQ(mine(), 2);
	/* And outside of it nothing arms. */
	wrmsr(MSR_TSC_DEADLINE, rdtsc() + tsc_per_ms);
	CHECK_EQ(rdmsr(MSR_TSC_DEADLINE), 0);
	wait_us(3000);
	CHECK_EQ(mine(), 2);
	stop();
}

static bool has_deadline(void)
{
	uint32_t out[4];

	cpuid(1, 0, out);
	return out[2] & CPUID_1_TSC_DEADLINE;
}

static void all(void *arg)
{
	(void)arg;
	measure();
	one_shot();
	divided();
	counts_down();
	masked();
	periodic();
	no_count_no_timer();
	wakes_from_halt();
	/* QEMU 7.2's stays unmasked. */
	if (!has_arg("qemu"))
		disabled();
	if (has_deadline())
		deadline();
}

void test_main(void)
{
	interrupts_on();
	smp_start();
	for (uint32_t cpu = 0; cpu < cpu_count; cpu++)
		on_cpu(cpu, all, 0);
	if (has_x2apic()) {
		apic_to_x2apic(0);
		all(0);
		apic_to_xapic(0);
	}
	if (!has_deadline())
		print("TSC deadline left out: the CPU has none\n");
}
