// SPDX-License-Identifier: MIT
/* Set-up of the local APIC, in the mode the guest page asks for. EOI is in entry.S. */
#include "guest.h"

#define APIC_PAGE	0xfee00000ul
#define X2APIC_MSRS	0x800u
#define APIC_BASE_EXTD	(1u << 10)

#define APIC_TPR	0x080u
#define APIC_SVR	0x0f0u
#define APIC_SVR_ENABLE (1u << 8)
#define APIC_ICR	0x300u
#define APIC_ICR_HIGH	0x310u
#define APIC_ICR_ASSERT (1u << 14)

bool lapic_x2apic; /* entry.S reads it */

static void lapic_write(uint32_t reg, uint32_t value)
{
	/* An x2APIC register's MSR is a sixteenth of its xAPIC offset (SDM vol. 3A 11.12.1.2). */
	if (lapic_x2apic)
		wrmsr(X2APIC_MSRS + (reg >> 4), value);
	else
		*(volatile uint32_t *)(APIC_PAGE + reg) = value;
}

void lapic_select(bool x2apic)
{
	lapic_x2apic = x2apic;
}

void lapic_enable(void)
{
	if (lapic_x2apic)
		wrmsr(MSR_APIC_BASE, rdmsr(MSR_APIC_BASE) | APIC_BASE_EXTD);
	lapic_write(APIC_TPR, 0);
	lapic_write(APIC_SVR, APIC_SVR_ENABLE | GUEST_SPURIOUS_VECTOR);
}

/* Fixed, to one of them (SDM vol. 3A 11.6.1). Interrupts are off: in xAPIC mode it is two writes. */
void lapic_send_ipi(uint32_t apic_id, uint32_t vector)
{
	if (lapic_x2apic) {
		wrmsr(X2APIC_MSRS + (APIC_ICR >> 4),
		      (uint64_t)apic_id << 32 | APIC_ICR_ASSERT | vector);
		return;
	}
	lapic_write(APIC_ICR_HIGH, apic_id << 24);
	lapic_write(APIC_ICR, APIC_ICR_ASSERT | vector);
}
