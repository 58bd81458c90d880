/* SPDX-License-Identifier: MIT */
#include "chip/chip.h"

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
