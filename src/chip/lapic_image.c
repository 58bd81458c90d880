/* SPDX-License-Identifier: MIT */
/* All of a local APIC. What is pending is in IRR: the descriptor is folded in first. */
#include "chip/lapic.h"
#include "chip/lapic_state.h"

void vmirq_lapic_get_image(struct lapic *l, struct lapic_image *image)
{
	vmirq_lapic_timer_run(l);
	*image = (struct lapic_image){ .apic_base = lapic_base(l), .errors = l->errors };
	vmirq_lapic_save(l, image->words);
	image->timer_left = vmirq_lapic_timer_left(l);
	image->tsc_deadline = vmirq_lapic_timer_tsc_deadline(l);
}

bool vmirq_lapic_image_valid(const struct lapic *l, const struct lapic_image *image)
{
	uint32_t lvt = image->words[LAPIC_LVT_TIMER / 4];
	bool enabled = image->apic_base & APIC_BASE_ENABLED;

	return vmirq_lapic_base_possible(image->apic_base) && !image->reserved &&
	       vmirq_lapic_page_valid(l, image->apic_base, image->words) &&
	       vmirq_lapic_timer_can_have(lvt, image->words[LAPIC_TMICT / 4], image->timer_left) &&
	       (enabled || (image->timer_left == TIMER_NEVER && !image->tsc_deadline));
}

void vmirq_lapic_put_image(struct lapic *l, const struct lapic_image *image)
{
	vmirq_lapic_load_base(l, image->apic_base);
	vmirq_lapic_load(l, image->words);
	l->errors = image->errors;
	vmirq_lapic_timer_put(l, image->timer_left);
	vmirq_lapic_timer_write_tsc_deadline(l, image->tsc_deadline);
}
