// SPDX-License-Identifier: MIT
/*
 * A producer in this process that the bypass manager has joined to the irqfd of its eventfd: the twin of
 * source_eventfd.c, which writes to one. With "flip" the irqfd goes at times, a signal is written to the
 * eventfd, and the irqfd comes again.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <vmirq/bypass.h>
#include <vmirq/trigger.h>

#include "run.h"
#include "source.h"

/* Raises between two signals by the eventfd. */
#define FLIP_EVERY 64

struct bypass {
	bool flips;
	uint64_t raises;
	struct vmirq_trigger *trigger[LANES_MAX];
};

static enum exit_code bypass_check(const struct run_options *options, const char *arg, char *why,
				   size_t size)
{
	(void)options;
	if (!arg || strcmp(arg, "flip") == 0)
		return EXIT_OK;
	snprintf(why, size, "it is bypass or bypass:flip, not bypass:%s", arg);
	return EXIT_USAGE;
}

static int open_lane(struct source *source, uint32_t i)
{
	struct bypass *bypass = source->private;
	struct vmirq_trigger_config config = { .size = sizeof(config),
					       .bypass = vmirq_vm_bypass(source->run->vm) };
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	int ret;

	if (fd < 0)
		return source_fail(source, -errno, "no eventfd: %s", strerror(errno));
	ret = lane_bind(source, &source->lane[i], fd);
	if (ret) {
		close(fd);
		return ret;
	}
	config.eventfd = fd;
	ret = vmirq_trigger_create(&config, &bypass->trigger[i]);
	return ret ? source_fail(source, ret, "no trigger: %s", strerror(-ret)) : 0;
}

static int bypass_open(struct source *source)
{
	struct bypass *bypass = calloc(1, sizeof(*bypass));
	int ret = 0;

	if (!bypass)
		return source_fail(source, -ENOMEM, "no memory");
	bypass->flips = source->arg || source->run->options->churn;
	source->private = bypass;
	if (bypass->flips)
		source->path = "bypass or eventfd -> post";
	for (uint32_t i = 0; i < source->lanes && !ret; i++)
		ret = open_lane(source, i);
	return ret;
}

static int bypass_raise(struct source *source, struct lane *lane)
{
	struct bypass *bypass = source->private;
	bool flip = bypass->flips && ++bypass->raises % FLIP_EVERY == 0;

	if (flip)
		vmirq_irqfd_deassign(lane->irqfd);
	vmirq_trigger_signal(bypass->trigger[lane - source->lane]);
	lane_count(lane);
	return flip ? lane_bind_again(source, lane) : 0;
}

/* Which way they went. */
static int bypass_finish(struct source *source)
{
	static const char *const switched[] = {
		[VMIRQ_PATH_EVENTFD] = "switched_to_eventfd",
		[VMIRQ_PATH_IRQFD] = "switched_to_irqfd",
		[VMIRQ_PATH_BYPASS] = "switched_to_bypass",
	};
	const struct bypass *bypass = source->private;
	struct vmirq_trigger_counts sum = { .size = 0 };

	for (uint32_t i = 0; i < source->lanes; i++) {
		struct vmirq_trigger_counts c = { .size = sizeof(c) };

		vmirq_trigger_counts(bypass->trigger[i], &c);
		for (int p = 0; p < VMIRQ_PATHS; p++) {
			sum.path[p] += c.path[p];
			sum.switched_to[p] += c.switched_to[p];
		}
	}
	/* Nothing is posted from here where the irqchip is the kernel's. */
	if (!sum.path[VMIRQ_PATH_BYPASS])
		source->path = source_call.path;
	for (int p = VMIRQ_PATHS - 1; p >= 0; p--)
		source_add_fact(source, vmirq_path_name((enum vmirq_path)p), sum.path[p]);
	for (int p = VMIRQ_PATHS - 1; p >= 0; p--)
		source_add_fact(source, switched[p], sum.switched_to[p]);
	return 0;
}

static void bypass_close(struct source *source)
{
	struct bypass *bypass = source->private;

	for (uint32_t i = 0; bypass && i < source->lanes; i++) {
		struct lane *lane = &source->lane[i];

		vmirq_trigger_destroy(bypass->trigger[i]);
		lane_unbind(source, lane);
		if (lane->eventfd >= 0)
			close(lane->eventfd);
	}
	free(bypass);
}

const struct source_kind source_bypass = {
	.name = "bypass",
	.path = "bypass -> post",
	.arg = "flip",
	.what = "this process signals a trigger, which skips its eventfd; flip: its irqfd comes and goes",
	.lanes_max = LANES_MAX,
	.counts_itself = true,
	.check = bypass_check,
	.open = bypass_open,
	.raise = bypass_raise,
	.churn = lanes_churn,
	.finish = bypass_finish,
	.close = bypass_close,
};
