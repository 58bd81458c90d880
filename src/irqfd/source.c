/* SPDX-License-Identifier: MIT */
/* An irqfd's eventfd: a duplicate that is ours to keep. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "irqfd/eventfd.h"
#include "irqfd/irqfd.h"

static int bind(struct irqfd_source *source)
{
	int error = 0;

	/* The duplicate is asked, not the caller's number, which may be closed and used again at any
	 * moment. */
	if (!source->callers_token)
		error = vmirq_eventfd_token(source->fd, &source->token);
	return error ? error : vmirq_eventfd_bind(source->token);
}

int vmirq_irqfd_adopt(int fd, uint64_t token, struct vmirq_pump *pump, struct irqfd_source **out)
{
	struct irqfd_source *source = malloc(sizeof(*source));
	int error;

	if (!source)
		return -ENOMEM;
	*source = (struct irqfd_source){
		.fd = fcntl(fd, F_DUPFD_CLOEXEC, 0),
		.pump = pump,
		.token = token,
		.callers_token = token != 0,
	};
	if (source->fd < 0) {
		error = -errno;
		free(source);
		return error;
	}
	error = bind(source);
	if (error) {
		close(source->fd);
		free(source);
	} else {
		*out = source;
	}
	return error;
}

void vmirq_irqfd_drop(struct irqfd_source *source)
{
	if (!source)
		return;
	vmirq_eventfd_unbind(source->token);
	close(source->fd);
	free(source);
}
