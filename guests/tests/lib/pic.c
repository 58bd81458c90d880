// SPDX-License-Identifier: MIT
#include "pic.h"

#include "cpu.h"

#define ELCR_MASTER 0x4d0
#define ELCR_SLAVE  0x4d1

static void init(uint16_t chip, uint8_t vector, uint8_t icw3, uint8_t icw4)
{
	outb(chip, ICW1_INIT | ICW1_ICW4);
	outb(chip + 1, vector);
	outb(chip + 1, icw3);
	outb(chip + 1, icw4);
}

void pic_init(uint8_t icw4_master, uint8_t icw4_slave)
{
	init(PIC_MASTER, PIC_MASTER_VECTOR, 1 << PIC_CASCADE, icw4_master);
	init(PIC_SLAVE, PIC_SLAVE_VECTOR, PIC_CASCADE, icw4_slave);
	pic_mask(0xffff);
}

void pic_mask(uint16_t masked)
{
	outb(PIC_MASTER + 1, (uint8_t)(masked & ~(1u << PIC_CASCADE)));
	outb(PIC_SLAVE + 1, (uint8_t)(masked >> 8));
}

uint16_t pic_mask_read(void)
{
	uint8_t master = inb(PIC_MASTER + 1);

	return (uint16_t)(master | inb(PIC_SLAVE + 1) << 8);
}

void pic_command(uint16_t chip, uint8_t command)
{
	outb(chip, command);
}

uint8_t pic_irr(uint16_t chip)
{
	outb(chip, OCW3 | OCW3_READ_IRR);
	return inb(chip);
}

uint8_t pic_isr(uint16_t chip)
{
	outb(chip, OCW3 | OCW3_READ_ISR);
	return inb(chip);
}

void pic_elcr(uint16_t level)
{
	outb(ELCR_MASTER, (uint8_t)level);
	outb(ELCR_SLAVE, (uint8_t)(level >> 8));
}

uint16_t pic_elcr_read(void)
{
	uint8_t master = inb(ELCR_MASTER);

	return (uint16_t)(master | inb(ELCR_SLAVE) << 8);
}
