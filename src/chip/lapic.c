/* SPDX-License-Identifier: MIT */
/* Priorities, acceptance, service and reset (SDM vol. 3A 11.4.7, 11.8). */
#include "chip/lapic.h"

#define BASE_MODE (APIC_BASE_ENABLED | APIC_BASE_X2APIC)

/* The highest vector of IRR or ISR, or -1. */
static int highest(const struct lapic *l, uint32_t set)
{
	for (int word = set == LAPIC_IRR ? l->irr_top : l->isr_top; word >= 0; word--) {
		uint32_t bits = lapic_get_word(l, set, (uint32_t)word);

		/* 31 less that; as an exclusive or it is the processor's one instruction. */
		if (bits)
			return word * 32 + (31 ^ __builtin_clz(bits));
	}
	return -1;
}

static void raise_irr(struct lapic *l, uint8_t vector)
{
	lapic_assign(l, LAPIC_IRR, vector, true);
	if (vector / 32 > l->irr_top)
		l->irr_top = vector / 32;
}

/* PPR: the higher class of TPR and the highest vector in service (11.8.3.1). */
static uint32_t ppr_of(uint32_t tpr, int isr)
{
	uint32_t isrv = isr < 0 ? 0 : (uint32_t)isr;

	return (tpr & 0xf0) >= (isrv & 0xf0) ? tpr : isrv & 0xf0;
}

static void put_ppr(struct lapic *l, int isr)
{
	lapic_put(l, LAPIC_PPR, ppr_of(lapic_get(l, LAPIC_TPR), isr));
}

static void update_ppr(struct lapic *l)
{
	put_ppr(l, highest(l, LAPIC_ISR));
}

/* One vector that was posted, as a level or not; into an APIC that is on. */
static in_path void take_vector(struct lapic *l, uint32_t vector, bool level)
{
	_Atomic uint32_t *irr = lapic_word(l, LAPIC_IRR, vector / 32);
	uint32_t requests = atomic_load_explicit(irr, memory_order_relaxed);

	lapic_assign(l, LAPIC_TMR, vector, level);
	if (unlikely(requests & bit32(vector))) {
		lapic_count(&l->count[vector].merged, 1);
		return;
	}
	atomic_store_explicit(irr, requests | bit32(vector), memory_order_relaxed);
	if (vector / 32 > l->irr_top)
		l->irr_top = (uint8_t)(vector / 32);
}

static in_path void fold_word(struct lapic *l, struct posted *posted, unsigned int w)
{
	/* D in posted.h; also acquires what the poster's device wrote. */
	uint64_t taken = atomic_exchange(&posted->vectors.word[w], 0);
	uint64_t level = atomic_load_explicit(&posted->level.word[w], memory_order_relaxed);
	bool on = lapic_hw_enabled(l) && lapic_sw_enabled(l);
	unsigned int bit;

	for_each_bit(bit, taken)
	{
		uint32_t vector = w * 64 + bit;

		lapic_count(&l->count[vector].posted, 1);
		/* It was on its way when the APIC was disabled or reset. */
		if (unlikely(!on))
			lapic_count(&l->count[vector].reset, 1);
		else
			take_vector(l, vector, level >> bit & 1);
	}
}

void vmirq_lapic_fold(struct lapic *l)
{
	struct posted *posted = l->posted;

#pragma GCC unroll 4
	for (unsigned int w = 0; w < 4; w++)
		if (atomic_load_explicit(&posted->vectors.word[w], memory_order_relaxed))
			fold_word(l, posted, w);
}

int vmirq_lapic_next(const struct lapic *l)
{
	int irr;

	if (!lapic_hw_enabled(l))
		return -1;
	irr = highest(l, LAPIC_IRR);
	if (irr < 0 || ((uint32_t)irr & 0xf0) <= (lapic_get(l, LAPIC_PPR) & 0xf0))
		return -1;
	return irr;
}

bool vmirq_lapic_held_by_tpr(const struct lapic *l)
{
	uint32_t tpr = lapic_get(l, LAPIC_TPR) & 0xf0;
	int irr = tpr ? highest(l, LAPIC_IRR) : -1, isr;

	if (irr < 0 || ((uint32_t)irr & 0xf0) > tpr)
		return false;
	isr = highest(l, LAPIC_ISR);
	return isr < 0 || (irr & 0xf0) > (isr & 0xf0);
}

uint32_t vmirq_lapic_service_class(const struct lapic *l)
{
	uint32_t tpr = lapic_get(l, LAPIC_TPR) >> 4, ppr = lapic_ppr_class(l);
	int isr;

	if (likely(ppr > tpr || !tpr))
		return ppr;
	isr = highest(l, LAPIC_ISR);
	return isr < 0 ? 0 : class_of((uint8_t)isr);
}

void vmirq_lapic_ack(struct lapic *l, uint8_t vector)
{
	lapic_assign(l, LAPIC_IRR, vector, false);
	lapic_assign(l, LAPIC_ISR, vector, true);
	lapic_count(&l->count[vector].taken, 1);
	/* It was the next one, so it is above all in IRR and its class above all that are in service. */
	l->irr_top = l->isr_top = vector / 32;
	put_ppr(l, vector);
}

bool vmirq_lapic_unack(struct lapic *l, uint8_t vector)
{
	if (!lapic_test(l, LAPIC_ISR, vector))
		return false;
	lapic_count(&l->count[vector].taken, (uint64_t)-1);
	/* It may have been posted again since: then the two are one now. */
	if (lapic_test(l, LAPIC_IRR, vector))
		lapic_count(&l->count[vector].merged, 1);
	lapic_assign(l, LAPIC_ISR, vector, false);
	raise_irr(l, vector);
	update_ppr(l);
	return true;
}

void vmirq_lapic_eoi(struct lapic *l)
{
	int isr = highest(l, LAPIC_ISR);

	if (isr < 0)
		return;
	lapic_assign(l, LAPIC_ISR, (uint8_t)isr, false);
	l->isr_top = (uint8_t)(isr / 32);
	update_ppr(l);
	l->ended = (int16_t)isr;
}

void vmirq_lapic_broadcast_eoi(struct lapic *l)
{
	struct chip *chip = l->chip;
	int vector = l->ended;
	bool level;

	l->ended = -1;
	if (!chip->eoi)
		return;
	level = lapic_test(l, LAPIC_TMR, (uint8_t)vector);
	/* 11.8.5: the guest tells the IOAPIC itself. */
	if (!level || !(lapic_get(l, LAPIC_SVR) & SVR_SUPPRESS_EOI))
		chip->eoi(chip->eoi_opaque, l->index, (uint8_t)vector, level);
}

void vmirq_lapic_set_tpr(struct lapic *l, uint32_t tpr)
{
	lapic_put(l, LAPIC_TPR, tpr & 0xff);
	update_ppr(l);
}

void vmirq_lapic_update_map(struct lapic *l)
{
	struct chip *chip = l->chip;
	bool x2apic = lapic_x2apic(l);
	uint32_t id = lapic_get(l, LAPIC_ID);
	struct apic_address old, a = {
		.present = lapic_hw_enabled(l),
		.enabled = lapic_hw_enabled(l) && lapic_sw_enabled(l),
		.x2apic = x2apic,
		.id = x2apic ? id : id >> 24,
		.ldr = lapic_get(l, LAPIC_LDR) >> 24,
		.dfr = (uint8_t)(lapic_get(l, LAPIC_DFR) >> 28),
	};

	/* Eight bits cannot name it; it is reached by its whole id until it is in x2APIC mode. */
	if (!x2apic && l->initial_id > 0xff)
		a.id = l->initial_id;
	/* Only its own local APIC sets a slot. Where nothing changes nobody has to resolve anew. */
	vmirq_dest_map_get(&chip->map, l->index, &old);
	if (apic_address_equal(&old, &a))
		return;
	chip->host.lock(chip->map_mutex);
	vmirq_dest_map_set(&chip->map, l->index, &a);
	chip->host.unlock(chip->map_mutex);
}

void vmirq_lapic_leave_map(struct lapic *l)
{
	struct chip *chip = l->chip;

	chip->host.lock(chip->map_mutex);
	vmirq_dest_map_set(&chip->map, l->index, &(struct apic_address){ .present = false });
	chip->host.unlock(chip->map_mutex);
}

static void drop_posted(struct lapic *l)
{
	for (unsigned int w = 0; w < 4 && !vecset_empty(&l->posted->vectors); w++) {
		_Atomic uint64_t *word = &l->posted->vectors.word[w];
		uint64_t dropped;
		unsigned int bit;

		if (!atomic_load_explicit(word, memory_order_relaxed))
			continue;
		dropped = atomic_exchange(word, 0);
		for_each_bit(bit, dropped)
		{
			lapic_count(&l->count[w * 64 + bit].posted, 1);
			lapic_count(&l->count[w * 64 + bit].reset, 1);
		}
	}
}

/* IRR bits end here: they were posted and will not be taken. */
static void drop_irr(struct lapic *l)
{
	for (int v = highest(l, LAPIC_IRR); v >= 0; v = highest(l, LAPIC_IRR)) {
		lapic_assign(l, LAPIC_IRR, (uint8_t)v, false);
		lapic_count(&l->count[v].reset, 1);
	}
}

void vmirq_lapic_drop(struct lapic *l)
{
	drop_posted(l);
	drop_irr(l);
}

/* Nobody ends any more what it had. */
static void tell_gone(struct lapic *l)
{
	if (l->chip->lapic_replaced)
		l->chip->lapic_replaced(l->chip->eoi_opaque, l->index, true);
}

void vmirq_lapic_end(struct lapic *l)
{
	vmirq_lapic_drop(l);
	tell_gone(l);
}

void vmirq_lapic_put_x2apic_id(struct lapic *l)
{
	lapic_put(l, LAPIC_ID, l->initial_id);
	lapic_put(l, LAPIC_LDR, (l->initial_id >> 4) << 16 | bit32(l->initial_id & 0xf));
}

uint32_t vmirq_lapic_version(const struct lapic *l)
{
	return LAPIC_VERSION_VALUE | (l->chip->directed_eoi ? LAPIC_VERSION_DIRECTED_EOI : 0);
}

static void put_registers(struct lapic *l)
{
	static const uint16_t lvt[] = { LAPIC_LVT_TIMER, LAPIC_LVT_THERMAL, LAPIC_LVT_PMC,
					LAPIC_LVT_LINT0, LAPIC_LVT_LINT1,   LAPIC_LVT_ERROR };
	uint32_t id = lapic_get(l, LAPIC_ID);

	for (uint32_t i = 0; i < LAPIC_REGS_SIZE / 4; i++)
		atomic_store_explicit(&l->regs[i], 0, memory_order_relaxed);
	l->irr_top = l->isr_top = 0;
	lapic_put(l, LAPIC_ID, id);
	lapic_put(l, LAPIC_VERSION, vmirq_lapic_version(l));
	lapic_put(l, LAPIC_DFR, 0xffffffffu);
	lapic_put(l, LAPIC_SVR, 0xff);
	for (unsigned int i = 0; i < sizeof(lvt) / sizeof(lvt[0]); i++)
		lapic_put(l, lvt[i], LVT_MASKED);
	vmirq_lapic_timer_reset(l);
	l->errors = 0;
	/* The bootstrap processor starts with the 8259s wired through (as /dev/kvm). */
	if (l->bsp)
		lapic_put(l, LAPIC_LVT_LINT0, DELIVERY_EXTINT << 8);
	if (lapic_x2apic(l))
		vmirq_lapic_put_x2apic_id(l);
}

void vmirq_lapic_reset(struct lapic *l, bool init)
{
	vmirq_lapic_end(l);
	if (!init) {
		atomic_store_explicit(&l->apic_base,
				      APIC_BASE_DEFAULT | APIC_BASE_ENABLED |
					      (l->bsp ? APIC_BASE_BSP : 0),
				      memory_order_relaxed);
		lapic_put(l, LAPIC_ID, l->initial_id << 24);
	}
	put_registers(l);
	vmirq_lapic_update_map(l);
}

void vmirq_lapic_init(struct lapic *l, struct chip *chip, uint32_t index, uint32_t id, bool x2apic)
{
	l->chip = chip;
	l->posted = &chip->posted[index];
	l->index = index;
	l->initial_id = id;
	l->bsp = index == 0;
	l->ended = -1;
	atomic_store_explicit(&l->apic_base,
			      APIC_BASE_DEFAULT | APIC_BASE_ENABLED |
				      (x2apic ? APIC_BASE_X2APIC : 0) |
				      (l->bsp ? APIC_BASE_BSP : 0),
			      memory_order_relaxed);
	lapic_put(l, LAPIC_ID, id << 24);
	put_registers(l);
	vmirq_lapic_update_map(l);
	/* Release: pairs with the acquire in vmirq_chip_pic_output(). */
	atomic_store_explicit(&chip->lapic[index], l, memory_order_release);
}

/* Reserved: bits 7:0, 9, and above a 52-bit address; and x2APIC needs the enable bit (11.12.5). */
bool vmirq_lapic_base_possible(uint64_t value)
{
	return !(value & UINT64_C(0xfff00000000002ff)) && (value & BASE_MODE) != APIC_BASE_X2APIC;
}

/* `value` is possible, and reachable where a guest wrote it. */
static void put_base(struct lapic *l, uint64_t value)
{
	uint64_t old = lapic_base(l);

	atomic_store_explicit(&l->apic_base, value, memory_order_relaxed);
	if ((old & BASE_MODE) == (value & BASE_MODE))
		return;
	if (!(value & APIC_BASE_ENABLED)) {
		/* Disabled and enabled again it is as after power-up (11.4.3). */
		vmirq_lapic_fold(l);
		drop_irr(l);
		tell_gone(l);
		lapic_put(l, LAPIC_ID, l->initial_id << 24);
		put_registers(l);
	} else if (value & APIC_BASE_X2APIC) {
		vmirq_lapic_put_x2apic_id(l);
		/* The ICR's upper half is not preserved (11.12.5.1). */
		lapic_put(l, LAPIC_ICR2, 0);
	} else if (!(old & APIC_BASE_ENABLED)) {
		/* A state that was loaded while disabled may have another. */
		lapic_put(l, LAPIC_ID, l->initial_id << 24);
	}
	vmirq_lapic_update_map(l);
}

bool vmirq_lapic_set_base(struct lapic *l, uint64_t value)
{
	uint64_t old = lapic_base(l) & BASE_MODE, new = value &BASE_MODE;

	/* x2APIC is entered from xAPIC only, and left by disabling. */
	if (!vmirq_lapic_base_possible(value) || (old == BASE_MODE && new == APIC_BASE_ENABLED) ||
	    (!(old & APIC_BASE_ENABLED) && new == BASE_MODE))
		return false;
	put_base(l, value);
	return true;
}

bool vmirq_lapic_load_base(struct lapic *l, uint64_t value)
{
	if (!vmirq_lapic_base_possible(value))
		return false;
	if ((lapic_base(l) & BASE_MODE) == BASE_MODE && (value & BASE_MODE) == APIC_BASE_ENABLED)
		lapic_put(l, LAPIC_ID, l->initial_id << 24);
	put_base(l, value);
	return true;
}

bool vmirq_lapic_validate(const struct lapic *l)
{
	int isr = highest(l, LAPIC_ISR);
	uint32_t tpr = lapic_get(l, LAPIC_TPR);

	for (uint32_t word = 0; word <= LAPIC_TOP_WORD; word++)
		if ((word > l->irr_top && lapic_get(l, LAPIC_IRR + word * 0x10)) ||
		    (word > l->isr_top && lapic_get(l, LAPIC_ISR + word * 0x10)))
			return false;
	/* No vector below 16 anywhere, and PPR follows from TPR and ISR. */
	return !(lapic_get(l, LAPIC_IRR) & 0xffff) && !(lapic_get(l, LAPIC_ISR) & 0xffff) &&
	       (tpr & ~0xffu) == 0 && lapic_get(l, LAPIC_PPR) == ppr_of(tpr, isr);
}
