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

static __attribute__((noinline)) void send_any(struct lapic *l, uint32_t low, uint32_t dest)
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

static __attribute__((noinline)) void tell_and_count(struct lapic *l, struct posted *p,
						     uint8_t vector, bool pending)
{
	lapic_count(&l->ipi.verdict[tell_vcpu(l->chip, p, vector, pending)], 1);
}

/* Here only what most are: fixed, an edge, to one local APIC by its physical id, its vCPU outside the guest. No
 * stack frame: all else goes on elsewhere. */
void vmirq_lapic_send_ipi(struct lapic *l, uint32_t low, uint32_t dest)
{
	const uint32_t other = ICR_DELIVERY | bit32(ICR_LOGICAL) | bit32(ICR_LEVEL) | ICR_SHORTHAND;
	struct chip *chip = l->chip;
	uint8_t vector = (uint8_t)low;
	struct posted *p;
	bool pending;
	int32_t one = dest_map_direct(&chip->map, dest);

	if (unlikely((low & other) || vector < FIRST_LEGAL_VECTOR || one < 0 ||
		     dest_is_broadcast(dest))) {
		send_any(l, low, dest);
		return;
	}
	p = &chip->posted[one];
	pending = posted_set(p, vector, false);
	/* B in posted.h. */
	if (unlikely(atomic_load(&p->mode) != MODE_OUTSIDE))
		tell_and_count(l, p, vector, pending);
	else
		lapic_count(&l->ipi.verdict[pending ? VMIRQ_COALESCED : VMIRQ_DELIVERED], 1);
}
