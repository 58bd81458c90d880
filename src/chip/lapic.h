/* SPDX-License-Identifier: MIT */
/*
 * One vCPU's local APIC. Only the vCPU's own thread writes it (or whoever holds the vCPU stopped);
 * everybody else writes to the posted descriptor. The registers are relaxed-atomic words laid out as
 * in struct kvm_lapic_state, so that a diagnosis from another thread may look.
 */
#ifndef CHIP_LAPIC_H
#define CHIP_LAPIC_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "chip/chip.h"
#include "chip/lapic_regs.h"
#include "chip/lapic_timer.h"

/* Counts of one vector. One writer, so plain adds of relaxed atomics. */
struct vector_count {
	_Atomic uint64_t posted;
	_Atomic uint64_t merged;
	_Atomic uint64_t taken;
	_Atomic uint64_t reset;
};

struct lapic {
	_Atomic uint32_t regs[LAPIC_REGS_SIZE / 4];
	_Atomic uint64_t apic_base;
	struct chip *chip;
	struct posted *posted;
	uint32_t index;
	uint32_t initial_id;
	bool bsp;
	int16_t ended; /* a vector whose EOI is still to be told, or -1 */
	/* No word of IRR or ISR above these has a bit: where a look for the highest begins. */
	uint8_t irr_top, isr_top;
	uint32_t errors; /* since the last write of ESR, which shows them */
	struct lapic_timer timer;
	/* What its ICR writes came to. One writer: plain adds. */
	struct counts ipi;
	struct vector_count count[256];
};

/* A debug check of what must always hold; the tests, fuzzers and debug builds call it. */
bool vmirq_lapic_validate(const struct lapic *l);

/* Create, in the state after power-up, and enter the destination map. */
void vmirq_lapic_init(struct lapic *l, struct chip *chip, uint32_t index, uint32_t id, bool x2apic);
/* Leave the destination map. */
void vmirq_lapic_leave_map(struct lapic *l);
/* Power-up or INIT state: what was pending is counted as reset. INIT keeps the id and APIC base. */
void vmirq_lapic_reset(struct lapic *l, bool init);
/* All that was pending is counted as reset. */
void vmirq_lapic_drop(struct lapic *l);
/* The vCPU is gone and nobody posts any more: all that was pending is counted as reset. */
void vmirq_lapic_end(struct lapic *l);

/* Move what was posted into IRR and TMR; lapic_fold() where there may be nothing. */
void vmirq_lapic_fold(struct lapic *l);
/* The vector to inject now, or -1. */
int vmirq_lapic_next(const struct lapic *l);
/* Something is pending that only TPR holds back. */
bool vmirq_lapic_held_by_tpr(const struct lapic *l);
/* The class of the highest vector in service, 0 for none: PPR's without TPR. */
uint32_t vmirq_lapic_service_class(const struct lapic *l);
/* `vector` is vmirq_lapic_next(). */
void vmirq_lapic_ack(struct lapic *l, uint8_t vector);
/* False: not in service. */
bool vmirq_lapic_unack(struct lapic *l, uint8_t vector);
void vmirq_lapic_eoi(struct lapic *l);
/* After an access, outside read sections: tell the IOAPICs of the EOI that it was; lapic_broadcast_eoi() where it
 * may be none. */
void vmirq_lapic_broadcast_eoi(struct lapic *l);
/* Does this vCPU take the 8259s' interrupts? Any thread. */
bool vmirq_lapic_accepts_pic(const struct lapic *l);
/* The 8259s' output has risen: wake or kick whoever takes it. Inside a read section. */
void vmirq_chip_pic_output(struct chip *chip);
void vmirq_lapic_set_tpr(struct lapic *l, uint32_t tpr);

/* The x2APIC's id and the logical id that follows from it (SDM vol. 3A 11.12.10.2). */
void vmirq_lapic_put_x2apic_id(struct lapic *l);
uint32_t vmirq_lapic_version(const struct lapic *l);
/* IA32_APIC_BASE, from any mode to any but the one there is not. */
bool vmirq_lapic_load_base(struct lapic *l, uint64_t value);
/* Is there such a value at all? */
bool vmirq_lapic_base_possible(uint64_t value);

/* Tell the destination map how this APIC is addressed now. */
void vmirq_lapic_update_map(struct lapic *l);

/* Registers, by offset; lapic_access.c. A 32-bit access at a register's own offset; false: there is
 * no such register, or not for that. */
bool vmirq_lapic_read(const struct lapic *l, uint32_t reg, uint32_t *value);
bool vmirq_lapic_write(struct lapic *l, uint32_t reg, uint32_t value);
/* ICR written: send the IPI; ipi.c. */
void vmirq_lapic_send_ipi(struct lapic *l, uint32_t low, uint32_t dest);

/* What the guest does: lapic_access.c. */
bool vmirq_lapic_claims(const struct lapic *l, uint64_t gpa);
void vmirq_lapic_mmio(struct lapic *l, uint64_t gpa, void *data, uint32_t len, bool is_write);
/* 0, -ENOENT (no APIC register: as numbers below, the chip has no errno.h) */
enum lapic_msr { LAPIC_MSR_DONE, LAPIC_MSR_NOT_OURS, LAPIC_MSR_FAULT };
enum lapic_msr vmirq_lapic_rdmsr(const struct lapic *l, uint32_t msr, uint64_t *value);
enum lapic_msr vmirq_lapic_wrmsr(struct lapic *l, uint32_t msr, uint64_t value);
/* False: the CPU would raise #GP. */
bool vmirq_lapic_set_base(struct lapic *l, uint64_t value);

/* Profile spec: note an error, and raise the LVT's error entry; lvt.c. Its own thread. */
void vmirq_lapic_error(struct lapic *l, uint32_t esr_bit);

/* A local interrupt: what the LVT entry says (11.5.1), to this vCPU. Any thread; lvt.c. */
void vmirq_lapic_local(struct lapic *l, uint32_t lvt);

/* One writer: a plain add. */
static inline void lapic_count(_Atomic uint64_t *counter, uint64_t n)
{
	atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n,
			      memory_order_relaxed);
}

static inline uint32_t lapic_get(const struct lapic *l, uint32_t reg)
{
	return atomic_load_explicit(&l->regs[reg / 4], memory_order_relaxed);
}

static inline void lapic_put(struct lapic *l, uint32_t reg, uint32_t value)
{
	atomic_store_explicit(&l->regs[reg / 4], value, memory_order_relaxed);
}

static inline uint32_t lapic_lvt_bits(uint32_t reg)
{
	static const uint32_t bits[] = { LVT_BITS_TIMER, LVT_BITS_DELIVERY, LVT_BITS_DELIVERY,
					 LVT_BITS_LINT,	 LVT_BITS_LINT,	    LVT_BITS_ERROR };

	return bits[(reg - LAPIC_LVT_TIMER) / 0x10];
}

/* IRR, ISR and TMR are eight 32-bit registers each, 16 bytes apart. */
static inline _Atomic uint32_t *lapic_word(struct lapic *l, uint32_t set, uint32_t word)
{
	return &l->regs[set / 4 + word * 4];
}

static inline uint32_t lapic_get_word(const struct lapic *l, uint32_t set, uint32_t word)
{
	return atomic_load_explicit(&l->regs[set / 4 + word * 4], memory_order_relaxed);
}

static inline bool lapic_test(const struct lapic *l, uint32_t set, uint32_t vector)
{
	return lapic_get_word(l, set, vector / 32) & bit32(vector);
}

/* What it takes a higher class than to be the next. */
static inline uint32_t lapic_ppr_class(const struct lapic *l)
{
	return lapic_get(l, LAPIC_PPR) >> 4;
}

static inline void lapic_assign(struct lapic *l, uint32_t set, uint32_t vector, bool value)
{
	_Atomic uint32_t *word = lapic_word(l, set, vector / 32);
	uint32_t old = atomic_load_explicit(word, memory_order_relaxed);

	atomic_store_explicit(word, value ? old | bit32(vector) : old & ~bit32(vector),
			      memory_order_relaxed);
}

static inline void lapic_fold(struct lapic *l)
{
	if (unlikely(!vecset_empty(&l->posted->vectors)))
		vmirq_lapic_fold(l);
}

static inline void lapic_broadcast_eoi(struct lapic *l)
{
	if (unlikely(l->ended >= 0))
		vmirq_lapic_broadcast_eoi(l);
}

static inline uint64_t lapic_base(const struct lapic *l)
{
	return atomic_load_explicit(&l->apic_base, memory_order_relaxed);
}

static inline bool lapic_x2apic(const struct lapic *l)
{
	return (lapic_base(l) & (APIC_BASE_ENABLED | APIC_BASE_X2APIC)) ==
	       (APIC_BASE_ENABLED | APIC_BASE_X2APIC);
}

static inline bool lapic_hw_enabled(const struct lapic *l)
{
	return lapic_base(l) & APIC_BASE_ENABLED;
}

static inline bool lapic_sw_enabled(const struct lapic *l)
{
	return lapic_get(l, LAPIC_SVR) & SVR_ENABLED;
}

#endif
