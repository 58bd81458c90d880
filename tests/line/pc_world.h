/* SPDX-License-Identifier: MIT */
/* A soft VM with a PC's chips, programmed as a guest does it. */
#ifndef TESTS_LINE_PC_WORLD_H
#define TESTS_LINE_PC_WORLD_H

#include "../support.h"

#include <vmirq/line.h>

#define IOAPIC_BASE UINT64_C(0xfec00000)

/* A redirection entry (82093AA 3.2.4). */
#define RTE_TO(id)	 ((uint64_t)(id) << 56)
#define RTE_MASKED	 0x10000u
#define RTE_LOGICAL	 0x800u
#define RTE_LEVEL	 0x8000u
#define RTE_REMOTE_IRR	 0x4000u

#define SVR_NO_BROADCAST (1u << 12)

/* What vmirq_line_set() says. */
#define NOBODY VMIRQ_LINE_NOBODY

struct soft *pc_new(unsigned int n, uint32_t flags);
/* With IOAPICs of the test's own. */
struct soft *pc_with_ioapics(unsigned int n, const struct vmirq_ioapic_config *ioapics,
			     uint32_t n_ioapics);
/* The laws; for chips: what chips sent and messages delivered is what vCPUs found posted. */
void pc_check(struct soft *s);
void pc_free(struct soft *s);

uint32_t ioapic_get(struct soft *s, uint64_t base, uint32_t reg);
void ioapic_put(struct soft *s, uint64_t base, uint32_t reg, uint32_t value);
/* The entry of the PC's one IOAPIC, or of the one at `base`: masked, destination, the rest. */
void rte_put(struct soft *s, uint32_t pin, uint64_t rte);
void rte_put_at(struct soft *s, uint64_t base, uint32_t pin, uint64_t rte);
uint64_t rte_get(struct soft *s, uint32_t pin);
bool remote_irr(struct soft *s, uint32_t pin);

void out8(struct soft *s, uint16_t port, uint8_t value);
uint8_t in8(struct soft *s, uint16_t port);
/* Both 8259s as a PC has them: vectors 0x20 and 0x28, these masks. */
void pics_start(struct soft *s, uint8_t master, uint8_t slave);

/* A line; not an error. */
int line(struct soft *s, uint32_t gsi, uint32_t source, bool level);
int pulse(struct soft *s, uint32_t gsi);
void route_pin(struct soft *s, uint32_t gsi, uint32_t irqchip, uint32_t pin);

/* Take this vector, which is the only one, and leave it in service. */
void begin_service(struct vmirq_vcpu *vcpu, uint8_t vector);
void end_service(struct vmirq_vcpu *vcpu);

#endif
