/* SPDX-License-Identifier: MIT */
/* Messages sent without a GSI. */
#include <vmirq/msi.h>

#include <errno.h>

#include "base/reader.h"
#include "base/vm.h"
#include "chip/deliver.h"
#include "route/table.h"

#define SECTION_MESSAGES 64u

struct delivery vmirq_route_send(struct vmirq_vm *vm, const struct msi_message *msg)
{
	struct delivery result = { .verdict = VMIRQ_NO_TARGET };
	struct interrupt irq;

	if (vm->irqchip) {
		const struct kvm_msi msi = { .address_lo = msg->address_lo,
					     .address_hi = msg->address_hi,
					     .data = msg->data };

		result.accepted =
			(uint32_t)vm->irqchip->ops->send(vm->irqchip, &msi, NULL, &result.verdict);
		return result;
	}
	vmirq_msi_decode(msg, vm->chip->format, &irq);
	return vmirq_deliver(vm->chip, &irq);
}

static inline bool valid(const struct vmirq_vm *vm, const struct kvm_msi *msi)
{
	const struct msi_message msg = { .address_hi = msi->address_hi };

	return likely(!(msi->flags & ~(uint32_t)KVM_MSI_VALID_DEVID)) &&
	       likely(msi_message_valid(&msg, vm->chip->format));
}

/* By our local APICs; inside a section. */
static int send_here(struct vmirq_vm *vm, const struct kvm_msi *msi, enum vmirq_verdict *verdict)
{
	const struct msi_message msg = { .address_lo = msi->address_lo,
					 .address_hi = msi->address_hi,
					 .data = msi->data };
	struct interrupt irq;
	struct delivery result;

	vmirq_msi_decode(&msg, vm->chip->format, &irq);
	result = vmirq_deliver(vm->chip, &irq);
	counts_add(vm->msi, result.verdict, 1);
	if (verdict)
		*verdict = result.verdict;
	return (int)result.accepted;
}

/* Apart, so that what goes to the kernel has no stack frame. */
static __attribute__((noinline)) int send_here_only(struct vmirq_vm *vm, const struct kvm_msi *msi,
						    enum vmirq_verdict *verdict)
{
	struct reader *section = reader_enter();
	int accepted = send_here(vm, msi, verdict);

	reader_exit(section);
	return accepted;
}

static inline int send(struct vmirq_vm *vm, const struct kvm_msi *msi, enum vmirq_verdict *verdict)
{
	if (!vm || !msi || !valid(vm, msi))
		return -EINVAL;
	/* The last thing here: a return that follows a system call costs as much as all of this. */
	if (vm->irqchip)
		return vm->irqchip->ops->send(vm->irqchip, msi, vm->msi, verdict);
	return send_here_only(vm, msi, verdict);
}

int vmirq_msi_send_verdict(struct vmirq_vm *vm, const struct kvm_msi *msi,
			   enum vmirq_verdict *verdict)
{
	return send(vm, msi, verdict);
}

int vmirq_msi_send(struct vmirq_vm *vm, const struct kvm_msi *msi)
{
	return send(vm, msi, NULL);
}

/* As many as are valid, from the first on. */
static size_t send_some(struct vmirq_vm *vm, const struct kvm_msi *msis, size_t n)
{
	struct reader *section = vm->irqchip ? NULL : reader_enter();
	size_t sent = 0;

	for (; sent < n && valid(vm, &msis[sent]); sent++) {
		if (vm->irqchip)
			vm->irqchip->ops->send(vm->irqchip, &msis[sent], vm->msi, NULL);
		else
			send_here(vm, &msis[sent], NULL);
	}
	if (!vm->irqchip)
		reader_exit(section);
	return sent;
}

int vmirq_msi_send_batch(struct vmirq_vm *vm, const struct kvm_msi *msis, size_t n)
{
	size_t sent = 0, some, now;

	if (!vm || (n && !msis) || n > INT32_MAX)
		return -EINVAL;
	/* A section is short: others wait for it. */
	do {
		some = n - sent < SECTION_MESSAGES ? n - sent : SECTION_MESSAGES;
		now = some ? send_some(vm, &msis[sent], some) : 0;
		sent += now;
	} while (some && now == some);
	return sent || !n ? (int)sent : -EINVAL;
}
