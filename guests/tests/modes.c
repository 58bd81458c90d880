// SPDX-License-Identifier: MIT
/* The local APIC's modes and what changes with them (SDM vol. 3A 11.4.3, 11.4.7, 11.12.5). */
#include "lib/apic.h"
#include "lib/interrupt.h"
#include "lib/smp.h"
#include "lib/test.h"

#define VECTOR	       0x61
#define CPUID_1_APIC   (1u << 9)
#define X2APIC(offset) (0x800 + ((offset) >> 4))
#define MMIO(offset)   (*(volatile uint32_t *)(APIC_PAGE + (offset)))
#define ELSEWHERE      0xfed40000ull
#define ENABLED	       (APIC_PAGE | APIC_BASE_EN)

const char test_name[] = "modes";

static uint64_t who; /* the BSP's bit, where it is that */

static bool cpuid_has_apic(void)
{
	uint32_t out[4];

	cpuid(1, 0, out);
	return out[3] & CPUID_1_APIC;
}

static void base(uint64_t bits)
{
	wrmsr(MSR_APIC_BASE, APIC_PAGE | who | bits);
	CHECK_EQ(rdmsr(MSR_APIC_BASE), APIC_PAGE | who | bits);
}

/* After INIT or hardware enable (11.4.7.1). */
static void check_power_up(void)
{
	CHECK_EQ(MMIO(APIC_ID) >> 24, this_cpu()->index);
	CHECK_EQ(MMIO(APIC_SVR), 0xff);
	CHECK_EQ(MMIO(APIC_TPR), 0);
	CHECK_EQ(MMIO(APIC_LDR), 0);
	CHECK_EQ(MMIO(APIC_DFR), DFR_FLAT);
	CHECK_EQ(MMIO(APIC_LVT_TIMER), LVT_MASKED);
	CHECK_EQ(MMIO(APIC_LVT_LINT1), LVT_MASKED);
	CHECK_EQ(MMIO(APIC_LVT_ERROR), LVT_MASKED);
	CHECK_EQ(MMIO(APIC_INITIAL_COUNT), 0);
}

static void disabled(void)
{
	interrupts_off();
	apic_write(APIC_TPR, 0x20);
	apic_write(APIC_LVT_ERROR, 0x55);
	apic_icr(ICR_SELF | ICR_ASSERT | VECTOR, 0);
	base(0);
	CHECK(!cpuid_has_apic());
	CHECK_EQ(MMIO(APIC_VERSION), ~0u); /* the page is nobody's */
	MMIO(APIC_TPR) = 0x40;
	base(APIC_BASE_EN);
	CHECK(cpuid_has_apic());
	check_power_up();
	CHECK_EQ(MMIO(APIC_IRR + VECTOR / 32 * 0x10), 0);
	apic_enable();
	interrupts_on();
	settle();
	CHECK_EQ(count_of(this_cpu()->index, VECTOR), 0);
	apic_icr(ICR_SELF | ICR_ASSERT | VECTOR, 0);
	CHECK_COMES(count_of(this_cpu()->index, VECTOR) == 1);
	forget_interrupts();
}

/* With no access in between that anybody would see. */
static void disabled_in_passing(void)
{
	apic_write(APIC_TPR, 0x20);
	wrmsr(MSR_APIC_BASE, APIC_PAGE | who | APIC_BASE_EN | APIC_BASE_EXTD);
	CHECK_EQ(rdmsr(X2APIC(APIC_ID)), this_cpu()->index);
	wrmsr(MSR_APIC_BASE, APIC_PAGE | who);
	wrmsr(MSR_APIC_BASE, APIC_PAGE | who | APIC_BASE_EN);
	check_power_up();
	apic_enable();
}

/* Software-disabled: keeps what is pending, takes nothing new but NMI and its like. */
static void software_disabled(void)
{
	apic_write(APIC_LVT_ERROR, 0x55);
	apic_write(APIC_SVR, SPURIOUS_VECTOR);
	CHECK_EQ(apic_read(APIC_LVT_ERROR), LVT_MASKED | 0x55);
	apic_write(APIC_LVT_ERROR, 0x55); /* cannot be unmasked */
	CHECK_EQ(apic_read(APIC_LVT_ERROR), LVT_MASKED | 0x55);
	apic_icr(ICR_FIXED | ICR_ASSERT | VECTOR, this_cpu()->index);
	settle();
	CHECK(!apic_bit(APIC_IRR, VECTOR));
	apic_enable();
	settle();
	CHECK_EQ(count_of(this_cpu()->index, VECTOR), 0);
	apic_write(APIC_LVT_ERROR, LVT_MASKED);
}

static void check_gp(uint64_t bits)
{
	uint64_t was = rdmsr(MSR_APIC_BASE);

	if (wrmsr_safe(MSR_APIC_BASE, bits))
		check_failed("modes.c", __LINE__, "no #GP for APIC base", bits, was);
	CHECK_EQ(rdmsr(MSR_APIC_BASE), was);
}

static void illegal_transitions(void)
{
	check_gp(APIC_PAGE | who | APIC_BASE_EXTD); /* from xAPIC: EXTD without EN */
	base(0);
	check_gp(APIC_PAGE | who | APIC_BASE_EN | APIC_BASE_EXTD); /* disabled to x2APIC */
	base(APIC_BASE_EN);
	base(APIC_BASE_EN | APIC_BASE_EXTD);
	check_gp(APIC_PAGE | who | APIC_BASE_EN); /* x2APIC to xAPIC */
	check_gp(APIC_PAGE | who | APIC_BASE_EXTD);
	base(0);
	base(APIC_BASE_EN);
	apic_enable();
}

static uint64_t first_reserved_bit(void)
{
	uint32_t out[4];

	cpuid(0x80000008, 0, out);
	return 1ull << (out[0] & 0xff);
}

/* Bits that have to be 0 (figure 11-5). */
static void reserved_bits(void)
{
	check_gp(ENABLED | who | 1);
	check_gp(ENABLED | who | 1u << 9);
	check_gp(ENABLED | who | first_reserved_bit());
	CHECK_EQ(MMIO(APIC_ID) >> 24, this_cpu()->index);
}

/* The page goes where the base says (11.4.5). */
static void moved(void)
{
	uint32_t version = MMIO(APIC_VERSION);

	wrmsr(MSR_APIC_BASE, ELSEWHERE | who | APIC_BASE_EN);
	CHECK_EQ(*(volatile uint32_t *)(ELSEWHERE + APIC_VERSION), version);
	CHECK_EQ(MMIO(APIC_VERSION), ~0u);
	*(volatile uint32_t *)(ELSEWHERE + APIC_TPR) = 0x30;
	CHECK_EQ(read_cr8(), 3);
	*(volatile uint32_t *)(ELSEWHERE + APIC_TPR) = 0;
	base(APIC_BASE_EN);
	CHECK_EQ(MMIO(APIC_VERSION), version);
}

static void x2apic_registers(void)
{
	uint32_t index = this_cpu()->index;
	uint64_t value;

	apic_to_xapic(0);
	CHECK(!rdmsr_safe(X2APIC(APIC_ID), &value)); /* no MSRs in xAPIC mode */
	CHECK(!wrmsr_safe(X2APIC(APIC_EOI), 0));
	apic_write(APIC_TPR, 0x20);
	apic_write(APIC_ICR_HIGH, 0x12000000);
	apic_to_x2apic(0);
	CHECK_EQ(MMIO(APIC_VERSION), ~0u); /* and no page in x2APIC mode */
	CHECK_EQ(rdmsr(X2APIC(APIC_ID)), index);
	CHECK_EQ(rdmsr(X2APIC(APIC_LDR)), (index >> 4) << 16 | 1u << (index & 15));
	CHECK(!wrmsr_safe(X2APIC(APIC_ID), 1)); /* read only */
	CHECK(!wrmsr_safe(X2APIC(APIC_LDR), 1));
	CHECK(!rdmsr_safe(X2APIC(APIC_DFR), &value)); /* gone */
	CHECK(!rdmsr_safe(X2APIC(APIC_ICR_HIGH), &value));
	CHECK(!rdmsr_safe(X2APIC(APIC_EOI), &value)); /* write only */
	CHECK(!wrmsr_safe(X2APIC(APIC_EOI), 1));      /* 0 only */
	CHECK(!wrmsr_safe(X2APIC(APIC_TPR), 1ull << 32));
	CHECK(!rdmsr_safe(0x840, &value)); /* past the last register */
	wrmsr(X2APIC(APIC_TPR), 0x3c);
	CHECK_EQ(rdmsr(X2APIC(APIC_TPR)), 0x3c);
	CHECK_EQ(read_cr8(), 3);
	wrmsr(X2APIC(APIC_TPR), 0);
	interrupts_off();
	wrmsr(X2APIC(APIC_ICR), (uint64_t)index << 32 | ICR_ASSERT | VECTOR);
	CHECK_EQ(rdmsr(X2APIC(APIC_ICR)), (uint64_t)index << 32 | ICR_ASSERT | VECTOR);
	CHECK(apic_bit(APIC_IRR, VECTOR));
	interrupts_on();
	CHECK_COMES(count_of(index, VECTOR) == 1);
	forget_interrupts();
	apic_to_xapic(0);
	CHECK_EQ(MMIO(APIC_SVR), SVR_ENABLE | SPURIOUS_VECTOR);
	CHECK_EQ(MMIO(APIC_ID) >> 24, index);
}

/* What is pending or programmed survives the change to x2APIC (11.12.5.1). */
static void kept_into_x2apic(void)
{
	interrupts_off();
	apic_write(APIC_TPR, 0x20);
	apic_write(APIC_LVT_ERROR, 0x55);
	apic_icr(ICR_SELF | ICR_ASSERT | VECTOR, 0);
	base(APIC_BASE_EN | APIC_BASE_EXTD);
	CHECK_EQ(rdmsr(X2APIC(APIC_TPR)), 0x20);
	CHECK_EQ(rdmsr(X2APIC(APIC_LVT_ERROR)), 0x55);
	CHECK_EQ(rdmsr(X2APIC(APIC_SVR)), SVR_ENABLE | SPURIOUS_VECTOR);
	this_cpu()->x2apic = true;
	CHECK(apic_bit(APIC_IRR, VECTOR));
	interrupts_on();
	CHECK_COMES(count_of(this_cpu()->index, VECTOR) == 1);
	forget_interrupts();
	apic_to_xapic(0);
}

static void all(void *arg)
{
	(void)arg;
	who = this_cpu()->index == 0 ? APIC_BASE_BSP : 0;
	CHECK_EQ(rdmsr(MSR_APIC_BASE), ENABLED | who);
	disabled();
	software_disabled();
	if (!has_x2apic())
		return;
	disabled_in_passing();
	illegal_transitions();
	reserved_bits();
	moved();
	x2apic_registers();
	kept_into_x2apic();
}

void test_main(void)
{
	if (has_arg("kvm"))
		not_for_this_irqchip("a disabled APIC keeps its registers and takes interrupts");
	interrupts_on();
	smp_start();
	for (uint32_t cpu = 0; cpu < cpu_count; cpu++)
		on_cpu(cpu, all, 0);
	if (!has_x2apic())
		print("x2APIC left out: the CPU has none\n");
}
