/* SPDX-License-Identifier: MIT */
/* A local APIC's saved state: a page of registers as in struct kvm_lapic_state, at any address. */
#ifndef CHIP_LAPIC_STATE_H
#define CHIP_LAPIC_STATE_H

#include <stdbool.h>
#include <stdint.h>

#include "chip/lapic_regs.h"

struct lapic;

/* Under this IA32_APIC_BASE. */
bool vmirq_lapic_page_valid(const struct lapic *l, uint64_t base, const void *page);
void vmirq_lapic_save(struct lapic *l, void *page);
/* False: no state a LAPIC can be in; nothing has changed. */
bool vmirq_lapic_load(struct lapic *l, const void *page);

/* The whole of it, for a local APIC that goes on elsewhere: also what the page does not hold. */
struct lapic_image {
	uint64_t apic_base;
	uint64_t tsc_deadline;
	uint64_t timer_left; /* ns; TIMER_NEVER: it does not count, or TSC-deadline mode */
	uint32_t errors;
	uint32_t reserved;
	uint32_t words[LAPIC_REGS_SIZE / 4];
};

/* What has run out is posted first: inside a read section. */
void vmirq_lapic_get_image(struct lapic *l, struct lapic_image *image);
bool vmirq_lapic_image_valid(const struct lapic *l, const struct lapic_image *image);
/* A valid one. */
void vmirq_lapic_put_image(struct lapic *l, const struct lapic_image *image);

#endif
