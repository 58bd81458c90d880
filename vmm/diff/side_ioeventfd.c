// SPDX-License-Identifier: MIT
/* Doorbells of ours. */
#include <vmirq/ioeventfd.h>

#include "side.h"

/* Nobody else holds the eventfd, so the vCPU's thread may write to it: at once, as the kernel does. */
static int ioeventfd(struct side *side, const struct kvm_ioeventfd *args)
{
	const struct vmirq_ioeventfd_config config = {
		.size = sizeof(config),
		.kernel = *args,
		.flags = VMIRQ_IOEVENTFD_TRUSTED,
	};

	return vmirq_ioeventfd_config(side->vm, &config);
}

int (*const side_soft_ioeventfd)(struct side *side, const struct kvm_ioeventfd *args) = ioeventfd;
