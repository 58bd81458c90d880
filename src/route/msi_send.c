/* SPDX-License-Identifier: MIT */
/* Messages sent without a GSI. */
#include <vmirq/msi.h>

#include <errno.h>

#include "base/reader.h"
#include "base/vm.h"
#include "chip/deliver.h"
#include "route/table.h"

#define SECTION_MESSAGES 64u

/* The kernel says how many took it, never what was wrong: that can be seen on the message. */
static enum vmirq_verdict verdict_of(const struct interrupt *irq, int accepted)
{
	if (!irq->interrupt || irq->mode == DELIVERY_RESERVED || irq->mode == DELIVERY_SIPI)
		return VMIRQ_BAD_MESSAGE;
	if (irq->vector < FIRST_LEGAL_VECTOR &&
	    (irq->mode == DELIVERY_FIXED || irq->mode == DELIVERY_LOWEST))
		return VMIRQ_BAD_VECTOR;
	return accepted > 0 ? VMIRQ_DELIVERED : VMIRQ_NO_TARGET;
}

struct delivery vmirq_route_send(struct vmirq_vm *vm, const struct msi_message *msg)
{
	struct interrupt irq;
	int accepted;

	vmirq_msi_decode(msg, vm->chip->format, &irq);
	if (!vm->irqchip)
		return vmirq_deliver(vm->chip, &irq);
	accepted = vm->irqchip->ops->send(vm->irqchip, msg);
	return (struct delivery){ .verdict = verdict_of(&irq, accepted),
				  .accepted = accepted > 0 ? (uint32_t)accepted : 0 };
}

static int send_one(struct vmirq_vm *vm, const struct kvm_msi *msi, struct delivery *result)
{
	struct msi_message msg = { .address_lo = msi->address_lo,
				   .address_hi = msi->address_hi,
				   .data = msi->data };

	if ((msi->flags & ~(uint32_t)KVM_MSI_VALID_DEVID) ||
	    !vmirq_msi_valid(&msg, vm->chip->format))
		return -EINVAL;
	*result = vmirq_route_send(vm, &msg);
	counts_add(vm->msi, result->verdict, 1);
	return (int)result->accepted;
}

int vmirq_msi_send_verdict(struct vmirq_vm *vm, const struct kvm_msi *msi,
			   enum vmirq_verdict *verdict)
{
	struct delivery result = { .verdict = VMIRQ_DELIVERED };
	struct reader *section;
	int accepted;

	if (!vm || !msi)
		return -EINVAL;
	section = reader_enter();
	accepted = send_one(vm, msi, &result);
	reader_exit(section);
	if (verdict && accepted >= 0)
		*verdict = result.verdict;
	return accepted;
}

int vmirq_msi_send(struct vmirq_vm *vm, const struct kvm_msi *msi)
{
	return vmirq_msi_send_verdict(vm, msi, NULL);
}

int vmirq_msi_send_batch(struct vmirq_vm *vm, const struct kvm_msi *msis, size_t n)
{
	struct delivery result;
	struct reader *section;
	size_t sent = 0;
	bool ok = true;

	if (!vm || (n && !msis) || n > INT32_MAX)
		return -EINVAL;
	/* A section is short: others wait for it. */
	while (sent < n && ok) {
		section = reader_enter();
		for (size_t end = sent + SECTION_MESSAGES; ok && sent < n && sent < end; sent += ok)
			ok = send_one(vm, &msis[sent], &result) >= 0;
		reader_exit(section);
	}
	return sent || !n ? (int)sent : -EINVAL;
}
