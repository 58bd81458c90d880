/* SPDX-License-Identifier: MIT */
/* An MSI message and its fields (SDM vol. 3A 11.11; KVM API 4.52 for the 32-bit ids; the extended
 * destination id of KVM_FEATURE_MSI_EXT_DEST_ID). */
#ifndef MSI_MESSAGE_H
#define MSI_MESSAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bits.h"

/* As a device writes it. */
struct msi_message {
	uint32_t address_lo;
	uint32_t address_hi;
	uint32_t data;
};

/* Delivery modes, as they are encoded in messages, RTEs, LVTs and the ICR. */
enum delivery_mode {
	DELIVERY_FIXED = 0,
	DELIVERY_LOWEST = 1,
	DELIVERY_SMI = 2,
	DELIVERY_RESERVED = 3,
	DELIVERY_NMI = 4,
	DELIVERY_INIT = 5,
	DELIVERY_SIPI = 6, /* reserved in a message */
	DELIVERY_EXTINT = 7,
};

struct rtc_tick;

/* An interrupt on its way to local APICs, wherever it comes from. */
struct interrupt {
	uint32_t dest;
	uint8_t vector;
	uint8_t mode; /* enum delivery_mode */
	bool logical;
	bool level;	/* trigger mode */
	bool redirect;	/* redirection hint */
	bool interrupt; /* the address is one of an interrupt message */
	bool ipi;	/* from an ICR: 0xff is no broadcast to x2APICs */
	/* Who gets it is noted there first: chip/rtc_tick.h. Or NULL. */
	struct rtc_tick *tick;
};

/* How wide destination ids are in this VM's messages. */
struct msi_format {
	bool ids_32bit;
	bool ext_dest_id;
};

#define MSI_ADDRESS_BASE 0xfee00000u
#define MSI_ADDRESS_MASK 0xfff00000u
/* Bits of the address, and of the data. */
#define MSI_ADDRESS_LOGICAL    2
#define MSI_ADDRESS_REDIRECT   3
#define MSI_DATA_TRIGGER_LEVEL 15
#define MSI_DATA_LEVEL_ASSERT  14

static inline uint8_t msi_vector(const struct msi_message *msg)
{
	return (uint8_t)msg->data;
}

/* enum delivery_mode */
static inline uint8_t msi_mode(const struct msi_message *msg)
{
	return msg->data >> 8 & 7;
}

static inline bool msi_is_interrupt(const struct msi_message *msg)
{
	return (msg->address_lo & MSI_ADDRESS_MASK) == MSI_ADDRESS_BASE;
}

/* Can this message be sent at all in this format? */
static inline bool msi_message_valid(const struct msi_message *msg, struct msi_format format)
{
	return (msg->address_hi & 0xff) == 0 || !format.ids_32bit;
}

static inline void vmirq_msi_decode(const struct msi_message *msg, struct msi_format format,
				    struct interrupt *irq)
{
	uint32_t lo = msg->address_lo;

	*irq = (struct interrupt){
		.dest = bits32(lo, 19, 12),
		.vector = msi_vector(msg),
		.mode = msi_mode(msg),
		.logical = lo & bit32(MSI_ADDRESS_LOGICAL),
		.redirect = lo & bit32(MSI_ADDRESS_REDIRECT),
		.level = msg->data & bit32(MSI_DATA_TRIGGER_LEVEL),
		.interrupt = msi_is_interrupt(msg),
	};
	if (format.ids_32bit)
		irq->dest |= msg->address_hi & 0xffffff00u;
	else if (format.ext_dest_id)
		irq->dest |= bits32(lo, 11, 5) << 8;
}

/* The message that decodes to `irq`: what an IOAPIC with this in its RTE sends. */
void vmirq_msi_encode(const struct interrupt *irq, struct msi_format format,
		      struct msi_message *msg);

#endif
