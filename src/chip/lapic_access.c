/* SPDX-License-Identifier: MIT */
/* What the guest sees: registers by MMIO (xAPIC) and by MSR (x2APIC), of any width at any offset
 * (SDM vol. 3A 11.4.1, 11.12.1). */
#include "chip/lapic.h"

#define TDCR_BITS 0xbu

/* #GP in x2APIC mode (11.12.9). Bit 12, once the delivery status, is not: /dev/kvm takes it too. */
#define X2APIC_ICR_RESERVED 0xfff32000u

/* ISR, TMR and IRR, eight registers each; ESR follows them. */
static bool is_vector_set(uint32_t reg)
{
	return reg >= LAPIC_ISR && reg < LAPIC_ESR && !(reg & 0xf);
}

static bool is_timer_or_lvt(uint32_t reg)
{
	return reg >= LAPIC_LVT_TIMER && reg <= LAPIC_TMCCT && !(reg & 0xf);
}

bool vmirq_lapic_read(const struct lapic *l, uint32_t reg, uint32_t *value)
{
	*value = 0;
	switch (reg) {
	case LAPIC_DFR:
	case LAPIC_ICR2:
	case LAPIC_APR:
		if (lapic_x2apic(l))
			return false;
		break;
	case LAPIC_ID:
	case LAPIC_VERSION:
	case LAPIC_TPR:
	case LAPIC_PPR:
	case LAPIC_LDR:
	case LAPIC_SVR:
	case LAPIC_ESR:
	case LAPIC_ICR:
	case LAPIC_TDCR:
		break;
	default:
		if (!is_vector_set(reg) && !is_timer_or_lvt(reg))
			return false;
		break;
	}
	*value = reg == LAPIC_TMCCT ? vmirq_lapic_timer_current(l) : lapic_get(l, reg);
	return true;
}

static void write_svr(struct lapic *l, uint32_t value)
{
	bool was = lapic_sw_enabled(l);

	lapic_put(l, LAPIC_SVR,
		  value & (SVR_MASK | (l->chip->directed_eoi ? SVR_SUPPRESS_EOI : 0)));
	/* Software-disabled, every LVT entry is masked and stays so (11.4.7.2). */
	if (!lapic_sw_enabled(l))
		for (uint32_t reg = LAPIC_LVT_TIMER; reg <= LAPIC_LVT_ERROR; reg += 0x10)
			lapic_put(l, reg, lapic_get(l, reg) | LVT_MASKED);
	if (was != lapic_sw_enabled(l))
		vmirq_lapic_update_map(l);
}

static void write_lvt(struct lapic *l, uint32_t reg, uint32_t value)
{
	value &= lapic_lvt_bits(reg);
	if (!lapic_sw_enabled(l))
		value |= LVT_MASKED;
	if (reg == LAPIC_LVT_TIMER)
		vmirq_lapic_timer_write_lvt(l, value);
	else
		lapic_put(l, reg, value);
	/* The 8259s may be waiting for somebody to take them. */
	if (reg == LAPIC_LVT_LINT0)
		vmirq_chip_pic_output(l->chip);
}

static void write_addressing(struct lapic *l, uint32_t reg, uint32_t value)
{
	if (lapic_get(l, reg) == value)
		return;
	lapic_put(l, reg, value);
	vmirq_lapic_update_map(l);
}

/* Registers that are only written in one mode; false: not in this one. */
static bool write_of_mode(struct lapic *l, uint32_t reg, uint32_t value, bool x2apic)
{
	if (x2apic != (reg == LAPIC_SELF_IPI))
		return false;
	switch (reg) {
	case LAPIC_ID:
	case LAPIC_LDR:
		write_addressing(l, reg, value & 0xff000000u);
		return true;
	case LAPIC_DFR:
		write_addressing(l, reg, value | 0x0fffffffu);
		return true;
	case LAPIC_ICR2:
		lapic_put(l, reg, value & 0xff000000u);
		return true;
	case LAPIC_SELF_IPI:
		if (value & ~0xffu)
			return false;
		vmirq_lapic_send_ipi(l, value | 1u << 18, 0);
		return true;
	default:
		return false;
	}
}

bool vmirq_lapic_write(struct lapic *l, uint32_t reg, uint32_t value)
{
	bool x2apic = lapic_x2apic(l);

	switch (reg) {
	case LAPIC_TPR:
		vmirq_lapic_set_tpr(l, value);
		return true;
	case LAPIC_EOI:
		vmirq_lapic_eoi(l);
		return true;
	case LAPIC_SVR:
		write_svr(l, value);
		return true;
	case LAPIC_ESR:
		/* What has happened since the last write is shown until the next. */
		lapic_put(l, LAPIC_ESR, l->errors);
		l->errors = 0;
		return true;
	case LAPIC_ICR:
		/* By MMIO; an x2APIC's is one 64-bit write, vmirq_lapic_wrmsr(). */
		lapic_put(l, LAPIC_ICR, value & ~ICR_BUSY);
		vmirq_lapic_send_ipi(l, value, lapic_get(l, LAPIC_ICR2) >> 24);
		return true;
	case LAPIC_LVT_TIMER:
	case LAPIC_LVT_THERMAL:
	case LAPIC_LVT_PMC:
	case LAPIC_LVT_LINT0:
	case LAPIC_LVT_LINT1:
	case LAPIC_LVT_ERROR:
		write_lvt(l, reg, value);
		return true;
	case LAPIC_TMICT:
		vmirq_lapic_timer_write_initial(l, value);
		return true;
	case LAPIC_TDCR:
		vmirq_lapic_timer_write_divide(l, value & TDCR_BITS);
		return true;
	default:
		return write_of_mode(l, reg, value, x2apic);
	}
}

bool vmirq_lapic_claims(const struct lapic *l, uint64_t gpa)
{
	uint64_t base = lapic_base(l);

	return (base & (APIC_BASE_ENABLED | APIC_BASE_X2APIC)) == APIC_BASE_ENABLED &&
	       gpa - (base & ~UINT64_C(0xfff)) < LAPIC_PAGE_SIZE;
}

void vmirq_lapic_mmio(struct lapic *l, uint64_t gpa, void *data, uint32_t len, bool is_write)
{
	uint32_t offset = (uint32_t)(gpa & (LAPIC_PAGE_SIZE - 1));
	unsigned char *bytes = data;
	uint32_t value = 0;

	/* Registers are 32 bits wide on 16-byte boundaries; a write is taken whole or not at all. */
	if (is_write) {
		if (len != 4 || (offset & 0xf) || offset >= LAPIC_REGS_SIZE)
			return;
		for (uint32_t i = 0; i < 4; i++)
			value |= (uint32_t)bytes[i] << 8 * i;
		if (!vmirq_lapic_write(l, offset, value))
			vmirq_lapic_error(l, ESR_ILLEGAL_REGISTER);
		return;
	}
	if ((offset & 0xf) + (uint64_t)len <= 4 && offset < LAPIC_REGS_SIZE &&
	    !vmirq_lapic_read(l, offset & ~0xfu, &value))
		vmirq_lapic_error(l, ESR_ILLEGAL_REGISTER);
	/* Bytes past the register are 0. */
	for (uint32_t i = 0; i < len; i++) {
		uint64_t at = (uint64_t)(offset & 0xf) + i;

		bytes[i] = at < 4 ? (unsigned char)(value >> 8 * at) : 0;
	}
}

enum lapic_msr vmirq_lapic_rdmsr(const struct lapic *l, uint32_t msr, uint64_t *value)
{
	uint32_t reg, low;

	if (msr == MSR_APIC_BASE) {
		*value = lapic_base(l);
		return LAPIC_MSR_DONE;
	}
	if (msr == MSR_TSC_DEADLINE) {
		*value = vmirq_lapic_timer_tsc_deadline(l);
		return LAPIC_MSR_DONE;
	}
	if (msr < MSR_X2APIC_FIRST || msr > MSR_X2APIC_LAST)
		return LAPIC_MSR_NOT_OURS;
	reg = (msr - MSR_X2APIC_FIRST) * 0x10;
	if (!lapic_x2apic(l) || reg >= LAPIC_REGS_SIZE || !vmirq_lapic_read(l, reg, &low))
		return LAPIC_MSR_FAULT;
	*value = low;
	if (reg == LAPIC_ICR)
		*value |= (uint64_t)lapic_get(l, LAPIC_ICR2) << 32;
	return LAPIC_MSR_DONE;
}

static enum lapic_msr write_x2apic_icr(struct lapic *l, uint64_t value)
{
	if (value & X2APIC_ICR_RESERVED)
		return LAPIC_MSR_FAULT;
	lapic_put(l, LAPIC_ICR, (uint32_t)value & ~ICR_BUSY);
	lapic_put(l, LAPIC_ICR2, (uint32_t)(value >> 32));
	vmirq_lapic_send_ipi(l, (uint32_t)value, (uint32_t)(value >> 32));
	return LAPIC_MSR_DONE;
}

enum lapic_msr vmirq_lapic_wrmsr(struct lapic *l, uint32_t msr, uint64_t value)
{
	uint32_t reg;

	if (msr == MSR_X2APIC_ICR && likely(lapic_x2apic(l)))
		return write_x2apic_icr(l, value);
	if (msr == MSR_APIC_BASE)
		return vmirq_lapic_set_base(l, value) ? LAPIC_MSR_DONE : LAPIC_MSR_FAULT;
	if (msr == MSR_TSC_DEADLINE) {
		vmirq_lapic_timer_write_tsc_deadline(l, value);
		return LAPIC_MSR_DONE;
	}
	if (msr < MSR_X2APIC_FIRST || msr > MSR_X2APIC_LAST)
		return LAPIC_MSR_NOT_OURS;
	reg = (msr - MSR_X2APIC_FIRST) * 0x10;
	if (!lapic_x2apic(l) || reg >= LAPIC_REGS_SIZE)
		return LAPIC_MSR_FAULT;
	/* ESR takes 0 only, and EOI too (11.12.1.2), but for /dev/kvm. */
	if (value >> 32 || (reg == LAPIC_ESR && value) ||
	    (reg == LAPIC_EOI && value && l->chip->profile_spec) ||
	    !vmirq_lapic_write(l, reg, (uint32_t)value))
		return LAPIC_MSR_FAULT;
	return LAPIC_MSR_DONE;
}
