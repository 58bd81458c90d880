/* SPDX-License-Identifier: MIT */
/* irqfds in the kernel's own words. */
#include "irqfd/irqfd.h"

#include <errno.h>
#include <limits.h>

#include "base/vm.h"

int vmirq_irqfd(struct vmirq_vm *vm, const struct kvm_irqfd *args)
{
	struct vmirq_irqfd *irqfd;
	struct vmirq_irqfd_config config = { .size = sizeof(config) };

	if (!vm || !args ||
	    (args->flags & ~(uint32_t)(KVM_IRQFD_FLAG_DEASSIGN | KVM_IRQFD_FLAG_RESAMPLE)))
		return -EINVAL;
	if (args->flags & KVM_IRQFD_FLAG_DEASSIGN)
		return vmirq_irqfd_deassign_matching(vm, (int)args->fd, args->gsi);
	config.gsi = args->gsi;
	/* Not "none", which -1 would be. */
	config.eventfd = (int)args->fd < 0 ? INT_MIN : (int)args->fd;
	if (args->flags & KVM_IRQFD_FLAG_RESAMPLE) {
		config.flags = VMIRQ_IRQFD_RESAMPLE;
		config.resamplefd = (int)args->resamplefd;
	}
	return vmirq_irqfd_assign(vm, &config, &irqfd);
}

uint32_t vmirq_irqfd_gsi(const struct vmirq_irqfd *irqfd)
{
	uint32_t gsi;

	pthread_mutex_lock(&irqfd->table->mutex);
	gsi = irqfd->slot->gsi;
	pthread_mutex_unlock(&irqfd->table->mutex);
	return gsi;
}
