/* SPDX-License-Identifier: MIT */
/* All of an IOAPIC, as it stands and without effects. */
#include "chip/ioapic_pin.h"

void vmirq_ioapic_get_image(struct ioapic *a, struct ioapic_image *image)
{
	ioapic_lock(a);
	image->base = a->base;
	image->ioregsel = a->ioregsel;
	image->id = a->id;
	image->endless_ticks = a->rtc.endless;
	image->count = a->config.count;
	for (uint32_t n = 0; n < a->config.count; n++) {
		const struct ioapic_pin *p = &a->config.pins[n];

		image->pin[n] = (struct ioapic_pin_image){
			.rte = p->rte,
			.eois = p->eois,
			.irr = p->irr,
			.delivered = p->delivered,
		};
	}
	ioapic_unlock(a);
}

static bool pin_valid(const struct ioapic_pin_image *p)
{
	return rte_valid(p->rte) && p->eois < STORM_EOIS && p->irr <= 1 && p->delivered <= 1 &&
	       !p->reserved[0] && !p->reserved[1];
}

bool vmirq_ioapic_image_valid(const struct ioapic *a, const struct ioapic_image *image)
{
	if (image->count != a->config.count || image->id > IOAPIC_ID_MAX ||
	    image->ioregsel > ioapic_select_bits(a) || !ioapic_base_valid(image->base) ||
	    (image->endless_ticks && a->config.rtc_pin >= a->config.count))
		return false;
	for (uint32_t n = 0; n < image->count; n++)
		if (!pin_valid(&image->pin[n]))
			return false;
	return true;
}

void vmirq_ioapic_put_image(struct ioapic *a, const struct ioapic_image *image,
			    const uint32_t *asserters)
{
	ioapic_lock(a);
	atomic_store_explicit(&a->base, image->base, memory_order_relaxed);
	a->ioregsel = image->ioregsel;
	a->id = (uint8_t)image->id;
	rtc_tick_clear(&a->rtc);
	a->rtc.endless = image->endless_ticks;
	for (uint32_t n = 0; n < image->count; n++)
		a->config.pins[n] = (struct ioapic_pin){
			.rte = image->pin[n].rte,
			.episode = ioapic_next_episode(a),
			.generation = a->config.pins[n].generation + 1,
			.asserters = asserters[n],
			.eois = image->pin[n].eois,
			.irr = image->pin[n].irr,
			.delivered = image->pin[n].delivered,
		};
	vmirq_ioapic_update_vectors(a);
	ioapic_unlock(a);
	for (uint32_t n = 0; n < image->count; n++)
		ioapic_tell_changed(a, n);
}
