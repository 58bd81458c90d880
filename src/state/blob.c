/* SPDX-License-Identifier: MIT */
/* What both ways of a blob share. */
#include "state/blob.h"

#include "base/vm.h"
#include "line/line.h"

uint32_t vmirq_state_config(const struct vmirq_vm *vm)
{
	const struct line_domain *lines = vm->lines;

	return (lines->has_pic ? BLOB_PIC : 0u) | (lines->has_pit ? BLOB_PIT : 0u) |
	       (lines->has_pit && lines->pit.config.policy == PIT_DISCARD ? BLOB_PIT_DISCARD : 0u) |
	       (vm->chip->format.ids_32bit ? BLOB_IDS_32BIT : 0u) |
	       (vm->chip->format.ext_dest_id ? BLOB_EXT_DEST_ID : 0u) |
	       (vm->chip->profile_spec ? BLOB_SPEC : 0u);
}

bool vmirq_state_body_size(const struct vmirq_vm *vm, const struct blob_head *head, uint64_t *size)
{
	/* Products of 32 bits and a few thousand: no sum of them overflows. */
	*size = (uint64_t)head->vcpus * sizeof(struct blob_vcpu) +
		(uint64_t)head->routes * sizeof(struct kvm_irq_routing_entry) +
		(uint64_t)head->gsis * sizeof(struct blob_gsi) +
		(head->config & BLOB_PIC ? sizeof(struct blob_pic) : 0) +
		(head->config & BLOB_PIT ? sizeof(struct blob_pit) : 0);
	if (head->ioapics != vm->lines->ioapics)
		return false;
	for (uint32_t i = 0; i < head->ioapics; i++)
		*size += sizeof(struct blob_ioapic) +
			 vm->lines->ioapic[i]->ioapic.config.count * sizeof(struct blob_pin);
	return *size <= INT64_MAX - sizeof(*head);
}
