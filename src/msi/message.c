/* SPDX-License-Identifier: MIT */
#include "msi/message.h"

#include "base/bits.h"

#define ADDRESS_LOGICAL	   2
#define ADDRESS_REDIRECT   3
#define DATA_TRIGGER_LEVEL 15
#define DATA_LEVEL_ASSERT  14

void vmirq_msi_decode(const struct msi_message *msg, struct msi_format format,
		      struct interrupt *irq)
{
	uint32_t lo = msg->address_lo;

	*irq = (struct interrupt){
		.dest = bits32(lo, 19, 12),
		.vector = msi_vector(msg),
		.mode = msi_mode(msg),
		.logical = lo & bit32(ADDRESS_LOGICAL),
		.redirect = lo & bit32(ADDRESS_REDIRECT),
		.level = msg->data & bit32(DATA_TRIGGER_LEVEL),
		.interrupt = msi_is_interrupt(msg),
	};
	if (format.ids_32bit)
		irq->dest |= msg->address_hi & 0xffffff00u;
	else if (format.ext_dest_id)
		irq->dest |= bits32(lo, 11, 5) << 8;
}

void vmirq_msi_encode(const struct interrupt *irq, struct msi_format format,
		      struct msi_message *msg)
{
	msg->address_lo = MSI_ADDRESS_BASE | (irq->dest & 0xff) << 12 |
			  (irq->logical ? bit32(ADDRESS_LOGICAL) : 0) |
			  (irq->redirect ? bit32(ADDRESS_REDIRECT) : 0);
	msg->address_hi = 0;
	if (format.ids_32bit)
		msg->address_hi = irq->dest & 0xffffff00u;
	else if (format.ext_dest_id)
		msg->address_lo |= bits32(irq->dest, 14, 8) << 5;
	msg->data = irq->vector | (uint32_t)irq->mode << 8 |
		    (irq->level ? bit32(DATA_TRIGGER_LEVEL) | bit32(DATA_LEVEL_ASSERT) : 0);
}
