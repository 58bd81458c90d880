/* SPDX-License-Identifier: MIT */
/* Saving and loading a local APIC in the kernel's layout: a page of registers. */
#include "chip/lapic_state.h"

#include "chip/lapic.h"

/* Of the first word of IRR and ISR. */
#define LEGAL_VECTORS 0xffff0000u
#define STATE_WORDS   (LAPIC_REGS_SIZE / 4)

void vmirq_lapic_save(struct lapic *l, uint32_t *words)
{
	vmirq_lapic_fold(l);
	for (uint32_t i = 0; i < STATE_WORDS; i++)
		words[i] = atomic_load_explicit(&l->regs[i], memory_order_relaxed);
	words[LAPIC_TMCCT / 4] = vmirq_lapic_timer_current(l);
	/* Without 32-bit ids the kernel shows an x2APIC's id as an xAPIC's. */
	if (lapic_x2apic(l) && !l->chip->format.ids_32bit)
		words[LAPIC_ID / 4] = l->initial_id << 24;
}

bool vmirq_lapic_words_valid(const struct lapic *l, uint64_t base, const uint32_t *words)
{
	const uint64_t x2apic = APIC_BASE_ENABLED | APIC_BASE_X2APIC;
	uint32_t id = words[LAPIC_ID / 4];

	if ((base & x2apic) != x2apic)
		return true;
	return l->chip->format.ids_32bit ? id == l->initial_id : id >> 24 == (l->initial_id & 0xff);
}

/* What is pending in the state was posted somewhere else. */
static void count_loaded(struct lapic *l)
{
	for (unsigned int vector = 0; vector < 256; vector++)
		if (lapic_test(l, LAPIC_IRR, (uint8_t)vector))
			lapic_count(&l->count[vector].posted, 1);
}

/* Registers that a guest could not have written so are read as if it had tried. */
static void put_loaded(struct lapic *l, const uint32_t *words)
{
	for (uint32_t i = 0; i < STATE_WORDS; i++)
		if (i % 4 == 0)
			atomic_store_explicit(&l->regs[i], words[i], memory_order_relaxed);
	/* /dev/kvm latches vectors that are illegal, and never delivers them. */
	lapic_put(l, LAPIC_IRR, words[LAPIC_IRR / 4] & LEGAL_VECTORS);
	lapic_put(l, LAPIC_ISR, words[LAPIC_ISR / 4] & LEGAL_VECTORS);
	lapic_put(l, LAPIC_VERSION, vmirq_lapic_version(l));
	lapic_put(l, LAPIC_SVR, words[LAPIC_SVR / 4] & (SVR_MASK | SVR_SUPPRESS_EOI));
	lapic_put(l, LAPIC_TDCR, words[LAPIC_TDCR / 4] & TDCR_BITS);
	lapic_put(l, LAPIC_TMCCT, 0);
	for (uint32_t reg = LAPIC_LVT_TIMER; reg <= LAPIC_LVT_ERROR; reg += 0x10)
		lapic_put(l, reg, words[reg / 4] & vmirq_lapic_lvt_bits(reg));
}

bool vmirq_lapic_load(struct lapic *l, const uint32_t *words)
{
	uint64_t tsc_deadline;

	if (!vmirq_lapic_words_valid(l, lapic_base(l), words))
		return false;
	tsc_deadline = l->timer.tsc_deadline;
	vmirq_lapic_drop(l);
	vmirq_lapic_timer_reset(l);
	put_loaded(l, words);
	if (lapic_x2apic(l))
		vmirq_lapic_put_x2apic_id(l);
	vmirq_lapic_set_tpr(l, words[LAPIC_TPR / 4]);
	count_loaded(l);
	vmirq_lapic_timer_load(l, words[LAPIC_TMCCT / 4]);
	/* An MSR beside the registers: it stays, if the state is still of that mode. */
	if (tsc_deadline)
		vmirq_lapic_timer_write_tsc_deadline(l, tsc_deadline);
	vmirq_lapic_update_map(l);
	if (l->chip->lapic_replaced)
		l->chip->lapic_replaced(l->chip->eoi_opaque, l->index, false);
	return true;
}
