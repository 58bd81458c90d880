/* SPDX-License-Identifier: MIT */
/* Saving and loading a local APIC in the kernel's layout: a page of registers. */
#include "chip/lapic_state.h"

#include "chip/lapic.h"

/* Of the first word of IRR and ISR. */
#define LEGAL_VECTORS	0xffff0000u
#define REGISTER_STRIDE 0x10u

/* A register in a saved page, which may stand at any address. */
static uint32_t page_get(const void *page, size_t reg)
{
	uint32_t value;

	__builtin_memcpy(&value, (const unsigned char *)page + reg, sizeof(value));
	return value;
}

static void page_put(void *page, uint32_t reg, uint32_t value)
{
	__builtin_memcpy((unsigned char *)page + reg, &value, sizeof(value));
}

/* In pieces that become a few moves; of a whole page GCC makes a string instruction, which is slower. */
static void copy_registers(unsigned char *page, const unsigned char *regs)
{
	for (uint32_t at = 0; at < LAPIC_REGS_SIZE; at += CACHE_LINE)
		__builtin_memcpy(page + at, regs + at, CACHE_LINE);
}

void vmirq_lapic_save(struct lapic *l, void *page)
{
	lapic_fold(l);
	/* Others only read the registers, so their writer may read them as plain memory. */
	copy_registers(page, (const unsigned char *)l->regs);
	page_put(page, LAPIC_TMCCT, vmirq_lapic_timer_current(l));
	/* Without 32-bit ids the kernel shows an x2APIC's id as an xAPIC's. */
	if (lapic_x2apic(l) && !l->chip->format.ids_32bit)
		page_put(page, LAPIC_ID, l->initial_id << 24);
}

bool vmirq_lapic_page_valid(const struct lapic *l, uint64_t base, const void *page)
{
	const uint64_t x2apic = APIC_BASE_ENABLED | APIC_BASE_X2APIC;
	uint32_t id = page_get(page, LAPIC_ID);

	if ((base & x2apic) != x2apic)
		return true;
	return l->chip->format.ids_32bit ? id == l->initial_id : id >> 24 == (l->initial_id & 0xff);
}

/* Most states have no vector pending, and none in service. */
static bool any_vector(const struct lapic *l, uint32_t set)
{
	uint32_t bits = 0;

#pragma GCC unroll 8
	for (unsigned int w = 0; w <= LAPIC_TOP_WORD; w++)
		bits |= lapic_get(l, set + w * REGISTER_STRIDE);
	return bits;
}

/* What is pending in the state was posted somewhere else. */
static void count_loaded(struct lapic *l)
{
	if (!l->irr_top)
		return;
	for (unsigned int w = 0; w < 8; w++) {
		unsigned int bit;

		for_each_bit(bit, lapic_get(l, LAPIC_IRR + w * REGISTER_STRIDE))
			lapic_count(&l->count[w * 32 + bit].posted, 1);
	}
}

/* Registers that a guest could not have written so are read as if it had tried. */
static void put_loaded(struct lapic *l, const void *page)
{
#pragma GCC unroll 16
	for (size_t i = 0; i < LAPIC_REGS_SIZE / REGISTER_STRIDE; i++)
		atomic_store_explicit(&l->regs[i * (REGISTER_STRIDE / 4)],
				      page_get(page, i * REGISTER_STRIDE), memory_order_relaxed);
	/* /dev/kvm latches vectors that are illegal, and never delivers them. */
	lapic_put(l, LAPIC_IRR, page_get(page, LAPIC_IRR) & LEGAL_VECTORS);
	lapic_put(l, LAPIC_ISR, page_get(page, LAPIC_ISR) & LEGAL_VECTORS);
	l->irr_top = any_vector(l, LAPIC_IRR) ? LAPIC_TOP_WORD : 0;
	l->isr_top = any_vector(l, LAPIC_ISR) ? LAPIC_TOP_WORD : 0;
	lapic_put(l, LAPIC_VERSION, vmirq_lapic_version(l));
	lapic_put(l, LAPIC_SVR, page_get(page, LAPIC_SVR) & (SVR_MASK | SVR_SUPPRESS_EOI));
	lapic_put(l, LAPIC_TDCR, page_get(page, LAPIC_TDCR) & TDCR_BITS);
	lapic_put(l, LAPIC_TMCCT, 0);
#pragma GCC unroll 6
	for (uint32_t reg = LAPIC_LVT_TIMER; reg <= LAPIC_LVT_ERROR; reg += REGISTER_STRIDE)
		lapic_put(l, reg, page_get(page, reg) & lapic_lvt_bits(reg));
}

bool vmirq_lapic_load(struct lapic *l, const void *page)
{
	uint64_t tsc_deadline;

	if (!vmirq_lapic_page_valid(l, lapic_base(l), page))
		return false;
	tsc_deadline = l->timer.tsc_deadline;
	vmirq_lapic_drop(l);
	vmirq_lapic_timer_reset(l);
	put_loaded(l, page);
	if (lapic_x2apic(l))
		vmirq_lapic_put_x2apic_id(l);
	vmirq_lapic_set_tpr(l, page_get(page, LAPIC_TPR));
	count_loaded(l);
	vmirq_lapic_timer_load(l, page_get(page, LAPIC_TMCCT));
	/* An MSR beside the registers: it stays, if the state is still of that mode. */
	if (tsc_deadline)
		vmirq_lapic_timer_write_tsc_deadline(l, tsc_deadline);
	vmirq_lapic_update_map(l);
	if (l->chip->lapic_replaced)
		l->chip->lapic_replaced(l->chip->eoi_opaque, l->index, false);
	return true;
}
