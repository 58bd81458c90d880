/* SPDX-License-Identifier: MIT */
/* The soft irqchip of one VM: its descriptors, its destination map, and what they are handed. */
#ifndef CHIP_CHIP_H
#define CHIP_CHIP_H

#include <stddef.h>

#include "base/counts.h"
#include "chip/dest_map.h"
#include "chip/host.h"
#include "chip/posted.h"
#include "msi/message.h"

struct chip {
	struct chip_host host;
	struct msi_format format;
	uint32_t vcpus;
	/* One a slot, never moved and never freed before the VM is. */
	struct posted *posted;
	struct dest_map map;
	void *map_mutex; /* writers of `map` */
	/* What the guest's ICR writes came to. */
	struct counts ipi;
};

/* Memory that init wants for so many vCPUs: zeroed, aligned to 64. */
size_t vmirq_chip_size(uint32_t vcpus);
void vmirq_chip_init(struct chip *chip, const struct chip_host *host, uint32_t vcpus,
		     struct msi_format format, void *map_mutex, void *memory);

#endif
