/* SPDX-License-Identifier: MIT */
/* The pair of 8259As (231468), and their edge/level registers (82371AB, 4.2). */
#ifndef PIC_H
#define PIC_H

#include <stdint.h>

#define PIC_MASTER	  0x20
#define PIC_SLAVE	  0xa0
#define PIC_MASTER_VECTOR 0x40
#define PIC_SLAVE_VECTOR  0x48
#define PIC_CASCADE	  2

#define ICW1_INIT	  0x10
#define ICW1_ICW4	  0x01
#define ICW4_8086	  0x01
#define ICW4_AUTO_EOI	  0x02
#define ICW4_SFNM	  0x10

#define OCW2_EOI	  0x20
#define OCW2_SPECIFIC	  0x60
#define OCW2_ROTATE_EOI	  0xa0
#define OCW2_SET_PRIORITY 0xc0
#define OCW2_ROTATE_AUTO  0x80

#define OCW3		  0x08
#define OCW3_READ_IRR	  0x02
#define OCW3_READ_ISR	  0x03
#define OCW3_POLL	  0x04
#define OCW3_SMM_OFF	  0x40
#define OCW3_SMM_ON	  0x60

/* Both, at their vectors, every line masked but the cascade. */
void pic_init(uint8_t icw4_master, uint8_t icw4_slave);
void pic_mask(uint16_t masked);
uint16_t pic_mask_read(void);
void pic_command(uint16_t chip, uint8_t command);
uint8_t pic_irr(uint16_t chip);
uint8_t pic_isr(uint16_t chip);
void pic_elcr(uint16_t level);
uint16_t pic_elcr_read(void);

#endif
