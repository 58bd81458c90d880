// SPDX-License-Identifier: MIT
/* Level-triggered sources: the IOAPIC's entries for them. */
#include "guest.h"

/* 82093AA, 3.1 and 3.2.4. */
#define IOAPIC_SELECT 0xfec00000ul
#define IOAPIC_WINDOW 0xfec00010ul
#define IOAPIC_RTE    0x10

static void ioapic_write(uint32_t reg, uint32_t value)
{
	*(volatile uint32_t *)IOAPIC_SELECT = reg;
	*(volatile uint32_t *)IOAPIC_WINDOW = value;
}

void level_open_pins(const struct guest_page *page)
{
	for (uint32_t pin = 0; pin < GUEST_IOAPIC_PINS; pin++) {
		if (!page->rte[pin])
			continue;
		ioapic_write(IOAPIC_RTE + 2 * pin + 1, (uint32_t)(page->rte[pin] >> 32));
		ioapic_write(IOAPIC_RTE + 2 * pin, (uint32_t)page->rte[pin]);
	}
}
