/* SPDX-License-Identifier: MIT */
#include "msi/message.h"

#include "base/bits.h"

void vmirq_msi_encode(const struct interrupt *irq, struct msi_format format,
		      struct msi_message *msg)
{
	msg->address_lo = MSI_ADDRESS_BASE | (irq->dest & 0xff) << 12 |
			  (irq->logical ? bit32(MSI_ADDRESS_LOGICAL) : 0) |
			  (irq->redirect ? bit32(MSI_ADDRESS_REDIRECT) : 0);
	msg->address_hi = 0;
	if (format.ids_32bit)
		msg->address_hi = irq->dest & 0xffffff00u;
	else if (format.ext_dest_id)
		msg->address_lo |= bits32(irq->dest, 14, 8) << 5;
	msg->data = irq->vector | (uint32_t)irq->mode << 8 |
		    (irq->level ? bit32(MSI_DATA_TRIGGER_LEVEL) | bit32(MSI_DATA_LEVEL_ASSERT) : 0);
}
