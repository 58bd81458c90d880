/* SPDX-License-Identifier: MIT */
/* The local vector table (SDM vol. 3A 11.5.1): interrupts that arise at one local APIC. */
#include "chip/deliver.h"
#include "chip/i8259.h"
#include "chip/lapic.h"

void vmirq_lapic_local(struct lapic *l, uint32_t lvt)
{
	uint32_t entry = lapic_get(l, lvt);
	struct chip *chip = l->chip;
	/* The timer and the error entry have no delivery mode: fixed. */
	uint32_t mode = lvt == LAPIC_LVT_TIMER || lvt == LAPIC_LVT_ERROR ? DELIVERY_FIXED
									 : bits32(entry, 10, 8);
	enum vmirq_verdict verdict = VMIRQ_BAD_MESSAGE;

	if (entry & LVT_MASKED)
		return;
	switch (mode) {
	case DELIVERY_FIXED:
		verdict = (entry & 0xff) < FIRST_LEGAL_VECTOR
				  ? VMIRQ_BAD_VECTOR
				  : post_vector(chip, l->posted, (uint8_t)entry, false);
		break;
	case DELIVERY_NMI:
		verdict = vmirq_post_nmi(chip, l->posted);
		break;
	case DELIVERY_SMI:
		verdict = vmirq_post_event(chip, l->posted, EVENT_SMI);
		break;
	case DELIVERY_INIT:
		verdict = vmirq_post_event(chip, l->posted, EVENT_INIT);
		break;
	case DELIVERY_EXTINT:
		verdict = vmirq_post_event(chip, l->posted, EVENT_EXTINT);
		break;
	default:
		break;
	}
	counts_add(&chip->local, verdict, 1);
}

void vmirq_lapic_error(struct lapic *l, uint32_t esr_bit)
{
	if (!l->chip->profile_spec)
		return;
	/* An error entry whose own vector is illegal notes nothing more (XSA-462): LVT interrupts are
	 * posted by vmirq_lapic_local(), which sets no error. */
	l->errors |= esr_bit;
	vmirq_lapic_local(l, LAPIC_LVT_ERROR);
}

bool vmirq_lapic_accepts_pic(const struct lapic *l)
{
	uint32_t lint0 = lapic_get(l, LAPIC_LVT_LINT0);

	/* A disabled local APIC leaves the INTR pin to the processor (11.4.3). */
	return !lapic_hw_enabled(l) ||
	       (!(lint0 & LVT_MASKED) && bits32(lint0, 10, 8) == DELIVERY_EXTINT);
}

void vmirq_chip_pic_output(struct chip *chip)
{
	if (!chip->pic || !vmirq_i8259_output(chip->pic))
		return;
	for (uint32_t i = 0; i < chip->vcpus; i++) {
		/* Acquire: pairs with the release in vmirq_lapic_init(). */
		struct lapic *l = atomic_load_explicit(&chip->lapic[i], memory_order_acquire);

		if (l && vmirq_lapic_accepts_pic(l) &&
		    vmirq_post_event(chip, l->posted, EVENT_EXTINT) != VMIRQ_NO_TARGET)
			return;
	}
}
