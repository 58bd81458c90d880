/* SPDX-License-Identifier: MIT */
/* The local APIC of the CPU that calls, in either mode (SDM vol. 3A, chapter "APIC"). */
#ifndef APIC_H
#define APIC_H

#include <stdbool.h>
#include <stdint.h>

#define APIC_PAGE	   0xfee00000ull

#define APIC_ID		   0x020
#define APIC_VERSION	   0x030
#define APIC_TPR	   0x080
#define APIC_PPR	   0x0a0
#define APIC_EOI	   0x0b0
#define APIC_LDR	   0x0d0
#define APIC_DFR	   0x0e0
#define APIC_SVR	   0x0f0
#define APIC_ISR	   0x100
#define APIC_TMR	   0x180
#define APIC_IRR	   0x200
#define APIC_ESR	   0x280
#define APIC_ICR	   0x300
#define APIC_ICR_HIGH	   0x310
#define APIC_LVT_TIMER	   0x320
#define APIC_LVT_LINT0	   0x350
#define APIC_LVT_LINT1	   0x360
#define APIC_LVT_ERROR	   0x370
#define APIC_INITIAL_COUNT 0x380
#define APIC_CURRENT_COUNT 0x390
#define APIC_DIVIDE	   0x3e0
#define APIC_SELF_IPI	   0x3f0 /* x2APIC only */

#define ESR_SEND_ILLEGAL   (1u << 5)

#define APIC_BASE_BSP	   (1u << 8)
#define APIC_BASE_EXTD	   (1u << 10)
#define APIC_BASE_EN	   (1u << 11)

#define SVR_ENABLE	   (1u << 8)
#define SPURIOUS_VECTOR	   0xff

#define DFR_FLAT	   0xffffffffu
#define DFR_CLUSTER	   0x0fffffffu

#define ICR_FIXED	   (0u << 8)
#define ICR_LOWEST	   (1u << 8)
#define ICR_NMI		   (4u << 8)
#define ICR_INIT	   (5u << 8)
#define ICR_SIPI	   (6u << 8)
#define ICR_LOGICAL	   (1u << 11)
#define ICR_PENDING	   (1u << 12)
#define ICR_ASSERT	   (1u << 14)
#define ICR_LEVEL	   (1u << 15)
#define ICR_SELF	   (1u << 18)
#define ICR_ALL		   (2u << 18)
#define ICR_ALL_BUT_SELF   (3u << 18)

#define LVT_MASKED	   (1u << 16)
#define LVT_NMI		   (4u << 8)
#define LVT_EXTINT	   (7u << 8)
#define LVT_TIMER_ONE_SHOT (0u << 17)
#define LVT_TIMER_PERIODIC (1u << 17)
#define LVT_TIMER_DEADLINE (2u << 17)

uint32_t apic_read(uint32_t offset);
void apic_write(uint32_t offset, uint32_t value);
void apic_eoi(void);
/* The id as the mode gives it. */
uint32_t apic_id(void);
/* Of IRR, ISR, TMR. */
bool apic_bit(uint32_t set, uint32_t vector);

/* `destination` as the mode's ICR takes it: 8 bits or 32. Waits until it is sent. */
void apic_icr(uint32_t low, uint32_t destination);

/* Software-enable it and take every priority. */
void apic_enable(void);
bool has_x2apic(void);
/* arg is not used: for on_all_cpus(). */
void apic_to_x2apic(void *arg);
/* Through disabled, the only way (SDM vol. 3A 11.12.5). */
void apic_to_xapic(void *arg);

#endif
