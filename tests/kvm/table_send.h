/* SPDX-License-Identifier: MIT */
/* A message by a dynamic route, as the kernel's irqchip sends it. */
#ifndef TESTS_KVM_TABLE_SEND_H
#define TESTS_KVM_TABLE_SEND_H

#include "kvm/slots.h"

/* What `raise` said, or an error without it. */
static inline int table_send(struct kernel_table *t, const struct msi_message *msg,
			     int (*raise)(void *opaque, uint32_t gsi), void *opaque)
{
	struct reader *section = reader_enter_unfenced();
	struct reader *record = reader_record(section);
	const uint32_t *bucket = kernel_table_bucket(t, msg);
	uint32_t gsi;
	int result;

	vmirq_kernel_table_seek(t, record);
	fence_full();
	gsi = record ? kernel_table_find_now(t, bucket, msg) : NO_GSI;
	result = gsi != NO_GSI ? (int)gsi : vmirq_kernel_table_find(t, record, msg);
	if (result >= 0) {
		result = raise(opaque, (uint32_t)result);
		vmirq_kernel_table_found(t, record);
	}
	reader_exit(section);
	return result;
}

#endif
