/* SPDX-License-Identifier: MIT */
/* Register offsets in the local APIC's page (SDM vol. 3A table 11-1) and the bits used of them. */
#ifndef CHIP_LAPIC_REGS_H
#define CHIP_LAPIC_REGS_H

enum lapic_reg {
	LAPIC_ID = 0x020,
	LAPIC_VERSION = 0x030,
	LAPIC_TPR = 0x080,
	LAPIC_APR = 0x090,
	LAPIC_PPR = 0x0a0,
	LAPIC_EOI = 0x0b0,
	LAPIC_LDR = 0x0d0,
	LAPIC_DFR = 0x0e0,
	LAPIC_SVR = 0x0f0,
	LAPIC_ISR = 0x100,
	LAPIC_TMR = 0x180,
	LAPIC_IRR = 0x200,
	LAPIC_ESR = 0x280,
	LAPIC_LVT_CMCI = 0x2f0,
	LAPIC_ICR = 0x300,
	LAPIC_ICR2 = 0x310,
	LAPIC_LVT_TIMER = 0x320,
	LAPIC_LVT_THERMAL = 0x330,
	LAPIC_LVT_PMC = 0x340,
	LAPIC_LVT_LINT0 = 0x350,
	LAPIC_LVT_LINT1 = 0x360,
	LAPIC_LVT_ERROR = 0x370,
	LAPIC_TMICT = 0x380,
	LAPIC_TMCCT = 0x390,
	LAPIC_TDCR = 0x3e0,
	LAPIC_SELF_IPI = 0x3f0, /* x2APIC only */
};

/* Of IRR, ISR and TMR. */
#define LAPIC_TOP_WORD	 7u

#define LAPIC_PAGE_SIZE	 0x1000u
#define LAPIC_REGS_SIZE	 0x400u

#define SVR_ENABLED	 (1u << 8)
#define SVR_MASK	 0x3ffu
#define SVR_SUPPRESS_EOI (1u << 12)

/* Version 0x14 with six LVT entries, as the kernel's. */
#define LAPIC_VERSION_VALUE	   0x00050014u
#define LAPIC_VERSION_DIRECTED_EOI (1u << 24)

#define TDCR_BITS		   0xbu

/* Error status (SDM vol. 3A 11.5.3). */
#define ESR_SEND_ILLEGAL     (1u << 5)
#define ESR_RECEIVE_ILLEGAL  (1u << 6)
#define ESR_ILLEGAL_REGISTER (1u << 7)

/* Bits an LVT entry keeps (11.5.1). */
#define LVT_BITS_TIMER	  0x700ffu
#define LVT_BITS_DELIVERY 0x107ffu
#define LVT_BITS_LINT	  0x1a7ffu
#define LVT_BITS_ERROR	  0x100ffu
#define LVT_MASKED	  (1u << 16)

#define ICR_DELIVERY	  (7u << 8)
#define ICR_LOGICAL	  11
#define ICR_BUSY	  (1u << 12)
#define ICR_ASSERT	  14
#define ICR_LEVEL	  15
#define ICR_SHORTHAND	  (3u << 18)

#define APIC_BASE_BSP	  (1u << 8)
#define APIC_BASE_X2APIC  (1u << 10)
#define APIC_BASE_ENABLED (1u << 11)
#define APIC_BASE_DEFAULT UINT64_C(0xfee00000)

#define MSR_APIC_BASE	  0x1bu
#define MSR_TSC_DEADLINE  0x6e0u
#define MSR_X2APIC_FIRST  0x800u
#define MSR_X2APIC_ICR	  0x830u
#define MSR_X2APIC_LAST	  0x8ffu

#endif
