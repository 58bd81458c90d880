// SPDX-License-Identifier: MIT
#include "apic.h"

#include "cpu.h"
#include "smp.h"

#define X2APIC_MSRS    0x800
#define CPUID_1_X2APIC (1u << 21)
#define MMIO(offset)   (*(volatile uint32_t *)(APIC_PAGE + (offset)))

uint32_t apic_read(uint32_t offset)
{
	if (this_cpu()->x2apic)
		return (uint32_t)rdmsr(X2APIC_MSRS + (offset >> 4));
	return MMIO(offset);
}

void apic_write(uint32_t offset, uint32_t value)
{
	if (this_cpu()->x2apic)
		wrmsr(X2APIC_MSRS + (offset >> 4), value);
	else
		MMIO(offset) = value;
}

void apic_eoi(void)
{
	apic_write(APIC_EOI, 0);
}

uint32_t apic_id(void)
{
	uint32_t id = apic_read(APIC_ID);

	return this_cpu()->x2apic ? id : id >> 24;
}

bool apic_bit(uint32_t set, uint32_t vector)
{
	return apic_read(set + vector / 32 * 0x10) >> vector % 32 & 1;
}

void apic_icr(uint32_t low, uint32_t destination)
{
	if (this_cpu()->x2apic) {
		/* One write, and no delivery status. */
		wrmsr(X2APIC_MSRS + (APIC_ICR >> 4), (uint64_t)destination << 32 | low);
		return;
	}
	MMIO(APIC_ICR_HIGH) = destination << 24;
	MMIO(APIC_ICR) = low;
	while (MMIO(APIC_ICR) & ICR_PENDING)
		pause();
}

void apic_enable(void)
{
	apic_write(APIC_SVR, SVR_ENABLE | SPURIOUS_VECTOR);
	apic_write(APIC_TPR, 0);
}

bool has_x2apic(void)
{
	uint32_t out[4];

	cpuid(1, 0, out);
	return out[2] & CPUID_1_X2APIC;
}

void apic_to_x2apic(void *arg)
{
	(void)arg;
	wrmsr(MSR_APIC_BASE, rdmsr(MSR_APIC_BASE) | APIC_BASE_EXTD);
	this_cpu()->x2apic = true;
	apic_enable();
}

void apic_to_xapic(void *arg)
{
	uint64_t base = rdmsr(MSR_APIC_BASE) & ~(uint64_t)(APIC_BASE_EN | APIC_BASE_EXTD);

	(void)arg;
	wrmsr(MSR_APIC_BASE, base);
	this_cpu()->x2apic = false;
	wrmsr(MSR_APIC_BASE, base | APIC_BASE_EN);
	apic_enable();
}
