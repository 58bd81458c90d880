// SPDX-License-Identifier: MIT
#include "ioapic.h"

#include "cpu.h"

#define IOAPIC_PAGE   0xfec00000ull
#define SELECT	      (*(volatile uint32_t *)IOAPIC_PAGE)
#define WINDOW	      (*(volatile uint32_t *)(IOAPIC_PAGE + 0x10))
#define TESTDEV_LINES 0x2000

uint32_t ioapic_read(uint32_t reg)
{
	SELECT = reg;
	return WINDOW;
}

void ioapic_write(uint32_t reg, uint32_t value)
{
	SELECT = reg;
	WINDOW = value;
}

uint32_t rte_low(uint32_t pin)
{
	return ioapic_read(0x10 + 2 * pin);
}

uint32_t rte_high(uint32_t pin)
{
	return ioapic_read(0x11 + 2 * pin);
}

void rte_set_low(uint32_t pin, uint32_t low)
{
	ioapic_write(0x10 + 2 * pin, low);
}

void rte_set(uint32_t pin, uint32_t low, uint32_t destination)
{
	rte_set_low(pin, RTE_MASKED);
	ioapic_write(0x11 + 2 * pin, destination << 24);
	rte_set_low(pin, low);
}

void ioapic_mask_all(void)
{
	for (uint32_t pin = 0; pin < IOAPIC_PINS; pin++)
		rte_set_low(pin, RTE_MASKED);
}

void line_set(uint32_t gsi, bool level)
{
	outb((uint16_t)(TESTDEV_LINES + gsi), level);
}

void line_pulse(uint32_t gsi)
{
	line_set(gsi, true);
	line_set(gsi, false);
}
