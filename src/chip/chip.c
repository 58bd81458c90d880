/* SPDX-License-Identifier: MIT */
#include "chip/chip.h"

#include "chip/deliver.h"
#include "chip/lapic.h"

size_t vmirq_chip_size(uint32_t vcpus)
{
	return vcpus * (sizeof(struct posted) + sizeof(struct lapic *)) +
	       vmirq_dest_map_size(vcpus);
}

void vmirq_chip_init(struct chip *chip, const struct chip_host *host, uint32_t vcpus,
		     struct msi_format format, void *map_mutex, void *memory)
{
	chip->host = *host;
	chip->format = format;
	chip->vcpus = vcpus;
	chip->map_mutex = map_mutex;
	chip->posted = memory;
	for (uint32_t i = 0; i < vcpus; i++)
		chip->posted[i].index = i;
	/* The pointers last: the map wants to be aligned. */
	vmirq_dest_map_init(&chip->map, vcpus, chip->posted + vcpus);
	chip->lapic = (struct lapic * _Atomic *)((unsigned char *)(chip->posted + vcpus) +
						 vmirq_dest_map_size(vcpus));
}

static bool means(const struct chip *chip, uint32_t vcpu, const struct interrupt *irq)
{
	struct vcpu_set matched, enabled;

	vmirq_dest_map_match(&chip->map, (struct dest){ .id = irq->dest, .logical = irq->logical },
			     &matched, &enabled);
	return matched.word[vcpu / 64] & bit64(vcpu);
}

enum holding vmirq_chip_holds(const struct chip *chip, uint32_t vcpu, const struct interrupt *irq)
{
	/* Acquire: pairs with the release in vmirq_lapic_init(). */
	const struct lapic *l = atomic_load_explicit(&chip->lapic[vcpu], memory_order_acquire);

	if (!l || !means(chip, vcpu, irq))
		return HOLDS_UNMEANT;
	/* In the order that it moves in. */
	return vecset_test(&l->posted->vectors, irq->vector) ||
			       lapic_test(l, LAPIC_IRR, irq->vector) ||
			       lapic_test(l, LAPIC_ISR, irq->vector)
		       ? HOLDS
		       : HOLDS_NOT;
}
