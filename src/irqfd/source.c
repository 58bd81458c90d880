/* SPDX-License-Identifier: MIT */
/* An irqfd's eventfd: a descriptor that is ours to keep. */
#include <errno.h>
#include <fcntl.h>

#include "base/no_cancel.h"
#include "irqfd/eventfd.h"
#include "irqfd/irqfd.h"

int vmirq_irqfd_open_source(struct irqfd_source *source, int fd, bool take, struct vmirq_pump *pump)
{
	/* All but its lists' links: whoever enters it in one stores those. */
	source->pump = pump;
	source->joined = false;
	source->entering = false;
	source->bound = false;
	source->no_bypass = false;
	source->consumer = NULL;
	source->link = NULL;
	source->taken = take;
	source->fd = take ? fd : fcntl(fd, F_DUPFD_CLOEXEC, 0);
	return source->fd < 0 ? -errno : 0;
}

int vmirq_irqfd_adopt(struct irqfd_source *source, int fd, bool take, uint64_t token,
		      struct vmirq_pump *pump, struct eventfd_kernel *kernel)
{
	int error = vmirq_irqfd_open_source(source, fd, take, pump);

	/* The duplicate is asked, not the caller's number, which may be closed and used again at any
	 * moment. */
	if (!error)
		error = vmirq_eventfd_bind(&source->binding, source->fd, token, kernel);
	source->bound = !error;
	return error;
}

/* Its number is what it was known by: closed last. */
static void end_source(struct irqfd_source *source, bool closes)
{
	if (!source)
		return;
	if (source->bound)
		vmirq_eventfd_unbind(&source->binding);
	source->bound = false;
	if (closes && source->fd >= 0)
		no_cancel_close(source->fd);
	source->fd = -1;
}

void vmirq_irqfd_drop(struct irqfd_source *source)
{
	end_source(source, true);
}

void vmirq_irqfd_give_back(struct irqfd_source *source)
{
	end_source(source, source && !source->taken);
}
