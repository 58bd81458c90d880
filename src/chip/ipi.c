/* SPDX-License-Identifier: MIT */
/* The interrupt command register (SDM vol. 3A 11.6.1). */
#include "chip/deliver.h"
#include "chip/lapic.h"

enum shorthand { TO_DEST, TO_SELF, TO_ALL, TO_OTHERS };

static void set_only(const struct chip *chip, struct vcpu_set *set, uint32_t index)
{
	for (uint32_t w = 0; w < chip->map.words; w++)
		set->word[w] &= w == index / 64 ? bit64(index) : 0;
}

static struct delivery deliver_to_set(const struct lapic *l, uint32_t low,
				      const struct interrupt *irq)
{
	struct chip *chip = l->chip;
	struct vcpu_set to, enabled;

	switch (bits32(low, 19, 18)) {
	case TO_SELF:
		vmirq_dest_map_all(&chip->map, &to, &enabled);
		set_only(chip, &to, l->index);
		set_only(chip, &enabled, l->index);
		break;
	case TO_ALL:
		vmirq_dest_map_all(&chip->map, &to, &enabled);
		break;
	case TO_OTHERS:
		vmirq_dest_map_all(&chip->map, &to, &enabled);
		to.word[l->index / 64] &= ~bit64(l->index);
		enabled.word[l->index / 64] &= ~bit64(l->index);
		break;
	default:
		vmirq_dest_map_match(&chip->map,
				     (struct dest){ .id = irq->dest,
						    .logical = irq->logical,
						    .ipi = true,
						    .from_x2apic = lapic_x2apic(l) },
				     &to, &enabled);
		break;
	}
	return vmirq_deliver_set(chip, irq, &to, &enabled);
}

void vmirq_lapic_send_ipi(struct lapic *l, uint32_t low, uint32_t dest)
{
	struct chip *chip = l->chip;
	struct delivery result;
	struct interrupt irq = {
		.dest = dest,
		.vector = (uint8_t)low,
		.mode = (uint8_t)bits32(low, 10, 8),
		.logical = low & bit32(ICR_LOGICAL),
		.level = low & bit32(ICR_LEVEL),
		.interrupt = true,
		.ipi = true,
	};

	/* A de-assertion: only ever meant for INIT, and nothing to any APIC since the Pentium 4. NMI, SMI
	 * and SIPI have no level (as /dev/kvm). */
	if (irq.level && !(low & bit32(ICR_ASSERT)) &&
	    (irq.mode == DELIVERY_FIXED || irq.mode == DELIVERY_LOWEST ||
	     irq.mode == DELIVERY_INIT))
		return;
	/* With a shorthand the destination mode means nothing. */
	if (bits32(low, 19, 18) != TO_DEST)
		irq.logical = false;
	if (bits32(low, 19, 18) != TO_DEST || !vmirq_deliver_to_one(chip, &irq, &result))
		result = deliver_to_set(l, low, &irq);
	lapic_count(&l->ipi.verdict[result.verdict], 1);
	if (result.verdict == VMIRQ_BAD_VECTOR)
		vmirq_lapic_error(l, ESR_SEND_ILLEGAL);
}
