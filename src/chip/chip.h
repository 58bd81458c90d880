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

struct lapic;
struct i8259;

struct chip {
	struct chip_host host;
	struct msi_format format;
	uint32_t vcpus;
	/* One a slot, never moved and never freed before the VM is. */
	struct posted *posted;
	struct dest_map map;
	void *map_mutex; /* writers of `map` */
	/* Each slot's local APIC, once it was made. */
	struct lapic *_Atomic *lapic;
	/* The 8259s whose INT is wired to every LINT0, or NULL. */
	struct i8259 *pic;
	/* A local APIC has ended a vector: tell the IOAPICs. Called by the vCPU's thread, with no lock
	 * held and outside read sections. NULL: there are none. */
	void (*eoi)(void *opaque, uint32_t vcpu, uint8_t vector, bool level);
	/* A local APIC was loaded, or (gone) reset, disabled or destroyed. As above, but also inside read
	 * sections and with the vCPU's own lock held. */
	void (*lapic_replaced)(void *opaque, uint32_t vcpu, bool gone);
	void *eoi_opaque; /* of both */
	/* Guests may suppress EOI broadcasts: an IOAPIC has an EOI register (SDM vol. 3A 11.8.5). */
	bool directed_eoi;
	/* Where the specification and /dev/kvm differ, as the specification. */
	bool profile_spec;
	/* Local interrupts: timers, LINT pins, errors. */
	struct counts local;
	/* Messages of IOAPICs that were not delivered; each IOAPIC counts what it has sent. */
	struct counts ioapic;
};

/* Memory that init wants for so many vCPUs: zeroed, aligned to 64. */
size_t vmirq_chip_size(uint32_t vcpus);
void vmirq_chip_init(struct chip *chip, const struct chip_host *host, uint32_t vcpus,
		     struct msi_format format, void *map_mutex, void *memory);

#endif
