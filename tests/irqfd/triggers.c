// SPDX-License-Identifier: MIT
#include "triggers.h"

#include <sys/eventfd.h>
#include <unistd.h>

int new_eventfd(void)
{
	int fd = eventfd(0, EFD_NONBLOCK);

	assert_true(fd >= 0);
	return fd;
}

int create_trigger(struct vmirq_bypass *bypass, int fd, uint64_t token, struct vmirq_trigger **out)
{
	struct vmirq_trigger_config config = {
		.size = sizeof(config), .bypass = bypass, .eventfd = fd, .token = token
	};

	return vmirq_trigger_create(&config, out);
}

struct vmirq_trigger *trigger_on(struct vmirq_bypass *bypass, int fd)
{
	struct vmirq_trigger *trigger;

	assert_int_equal(create_trigger(bypass, fd, 0, &trigger), 0);
	return trigger;
}

struct vmirq_irqfd *assign(struct soft *s, uint32_t gsi, int fd, uint32_t flags)
{
	struct vmirq_irqfd_config config = {
		.size = sizeof(config), .gsi = gsi, .eventfd = fd, .flags = flags
	};
	struct vmirq_irqfd *irqfd;

	assert_int_equal(vmirq_irqfd_assign(s->vm, &config, &irqfd), 0);
	return irqfd;
}

struct vmirq_trigger_counts counts_by_way(const struct vmirq_trigger *trigger)
{
	struct vmirq_trigger_counts c = { .size = sizeof(c) };

	assert_int_equal(vmirq_trigger_counts(trigger, &c), 0);
	return c;
}

/* One more signal, which goes this way and comes to this. */
void goes(struct vmirq_trigger *trigger, enum vmirq_path path, enum vmirq_verdict verdict)
{
	struct vmirq_trigger_counts before = counts_by_way(trigger), after;

	assert_verdict(vmirq_trigger_signal(trigger), verdict);
	after = counts_by_way(trigger);
	for (int p = 0; p < VMIRQ_PATHS; p++)
		assert_int_equal(after.path[p] - before.path[p], p == (int)path);
}

bool readable(int fd)
{
	eventfd_t n;

	return eventfd_read(fd, &n) == 0;
}
