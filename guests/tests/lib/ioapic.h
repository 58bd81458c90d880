/* SPDX-License-Identifier: MIT */
/* The IOAPIC (82093AA, 290566) and pc-testdev's lines to it. */
#ifndef IOAPIC_H
#define IOAPIC_H

#include <stdbool.h>
#include <stdint.h>

#define IOAPIC_ID      0
#define IOAPIC_VERSION 1
#define IOAPIC_ARB     2
#define IOAPIC_PINS    24

#define RTE_FIXED      (0u << 8)
#define RTE_LOWEST     (1u << 8)
#define RTE_NMI	       (4u << 8)
#define RTE_INIT       (5u << 8)
#define RTE_EXTINT     (7u << 8)
#define RTE_LOGICAL    (1u << 11)
#define RTE_STATUS     (1u << 12)
#define RTE_LOW_ACTIVE (1u << 13)
#define RTE_REMOTE_IRR (1u << 14)
#define RTE_LEVEL      (1u << 15)
#define RTE_MASKED     (1u << 16)

uint32_t ioapic_read(uint32_t reg);
void ioapic_write(uint32_t reg, uint32_t value);

uint32_t rte_low(uint32_t pin);
uint32_t rte_high(uint32_t pin);
/* Masked while it changes. */
void rte_set(uint32_t pin, uint32_t low, uint32_t destination);
void rte_set_low(uint32_t pin, uint32_t low);
void ioapic_mask_all(void);

/* The level of a GSI, by pc-testdev. */
void line_set(uint32_t gsi, bool level);
/* An edge. */
void line_pulse(uint32_t gsi);

#endif
