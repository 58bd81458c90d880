/* SPDX-License-Identifier: MIT */
/* An irqfd's eventfd: a descriptor that is ours to keep. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "irqfd/eventfd.h"
#include "irqfd/irqfd.h"

int vmirq_irqfd_adopt(int fd, bool take, uint64_t token, struct vmirq_pump *pump,
		      const struct eventfd_kernel *kernel, struct irqfd_source **out)
{
	struct irqfd_source *source = calloc(1, sizeof(*source));
	int error;

	if (!source)
		return -ENOMEM;
	source->pump = pump;
	source->fd = take ? fd : fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (source->fd < 0) {
		error = -errno;
		free(source);
		return error;
	}
	/* The duplicate is asked, not the caller's number, which may be closed and used again at any
	 * moment. */
	error = vmirq_eventfd_bind(&source->binding, source->fd, token, kernel);
	if (error) {
		if (!take)
			close(source->fd);
		free(source);
	} else {
		*out = source;
	}
	return error;
}

void vmirq_irqfd_give_back(struct irqfd_source *source)
{
	if (!source)
		return;
	vmirq_eventfd_unbind(&source->binding);
	free(source);
}

void vmirq_irqfd_drop(struct irqfd_source *source)
{
	int fd = source ? source->fd : -1;

	vmirq_irqfd_give_back(source);
	/* Last: its number is what it was known by. */
	if (fd >= 0)
		close(fd);
}
