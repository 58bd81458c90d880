/* SPDX-License-Identifier: MIT */
/* Names of what diff touches in a local APIC (SDM vol. 3A table 11-1). */
#ifndef VMIRQ_DIFF_LAPIC_H
#define VMIRQ_DIFF_LAPIC_H

#define LAPIC_GPA	 0xfee00000u
#define LAPIC_ID	 0x020u
#define LAPIC_VERSION	 0x030u
#define LAPIC_TPR	 0x080u
#define LAPIC_APR	 0x090u
#define LAPIC_PPR	 0x0a0u
#define LAPIC_EOI	 0x0b0u
#define LAPIC_RRD	 0x0c0u
#define LAPIC_LDR	 0x0d0u
#define LAPIC_DFR	 0x0e0u
#define LAPIC_SVR	 0x0f0u
#define LAPIC_ISR	 0x100u
#define LAPIC_TMR	 0x180u
#define LAPIC_IRR	 0x200u
#define LAPIC_ESR	 0x280u
#define LAPIC_CMCI	 0x2f0u
#define LAPIC_ICR	 0x300u
#define LAPIC_ICR2	 0x310u
#define LAPIC_LVTT	 0x320u
#define LAPIC_LVT_LINT0	 0x350u
#define LAPIC_LVT_ERROR	 0x370u
#define LAPIC_TMICT	 0x380u
#define LAPIC_TMCCT	 0x390u
#define LAPIC_TDCR	 0x3e0u
#define LAPIC_SELF_IPI	 0x3f0u

#define MSR_APIC_BASE	 0x1bu
#define MSR_TSC_DEADLINE 0x6e0u
#define MSR_X2APIC	 0x800u
#define APIC_BSP	 0x100u
#define APIC_X2APIC	 0x400u
#define APIC_ENABLED	 0x800u

/* A timer's count that no script lives to see the end of: 2 s at the least, whatever the divider. */
#define LONG_COUNT    0x80000000u
#define LONG_DEADLINE (UINT64_C(1) << 61)

#endif
