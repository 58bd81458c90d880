// SPDX-License-Identifier: MIT
/* A thread that writes to eventfds, which the VM's pump reads. */
#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "run.h"
#include "source.h"

static int eventfd_open(struct source *source)
{
	int ret = 0;

	for (uint32_t i = 0; i < source->lanes && !ret; i++) {
		int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

		if (fd < 0)
			return source_fail(source, -errno, "no eventfd: %s", strerror(errno));
		ret = lane_bind(source, &source->lane[i], fd);
		if (ret)
			close(fd);
	}
	return ret;
}

static int eventfd_raise(struct source *source, struct lane *lane)
{
	const uint64_t one = 1;

	for (;;) {
		if (write(lane->eventfd, &one, sizeof(one)) == sizeof(one)) {
			lane_count(lane);
			return 0;
		}
		if (errno != EINTR)
			return source_fail(source, -errno, "writing to an eventfd: %s",
					   strerror(errno));
	}
}

static void eventfd_close(struct source *source)
{
	for (uint32_t i = 0; i < source->lanes; i++) {
		struct lane *lane = &source->lane[i];

		lane_unbind(source, lane);
		if (lane->eventfd >= 0)
			close(lane->eventfd);
	}
}

const struct source_kind source_eventfd = {
	.name = "eventfd",
	.path = "pump -> post",
	.what = "a thread writes to eventfds that are bound as irqfds",
	.lanes_max = LANES_MAX,
	.counts_itself = true,
	.open = eventfd_open,
	.raise = eventfd_raise,
	.churn = lanes_churn,
	.close = eventfd_close,
};
