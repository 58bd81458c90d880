// SPDX-License-Identifier: MIT
/*
 * A device in a process of its own, which raises its interrupts by setting bits of a page that it shares with us.
 * Who looks at them: a thread that polls while they come and sleeps when they do not, or the VM's pump when
 * the doorbell has been rung. Beside it, to compare with, the same process with eventfds.
 */
#include "source_mailbox.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <vmirq/mailbox.h>

#include "mailbox_orders.h"
#include "run.h"

static bool has_arg(const struct source *source, const char *arg)
{
	return source->arg && strcmp(source->arg, arg) == 0;
}

static enum exit_code mailbox_check(const struct run_options *options, const char *arg, char *why,
				    size_t size)
{
	(void)options;
	if (!arg || strcmp(arg, "poll") == 0 || strcmp(arg, "pump") == 0 ||
	    strcmp(arg, "eventfd") == 0)
		return EXIT_OK;
	snprintf(why, size, "'%.100s': must be poll, pump or eventfd", arg);
	return EXIT_USAGE;
}

static int bind_eventfds(struct source *source)
{
	int ret = 0;

	source->path = "eventfd -> pump -> post";
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

static int bind_mailbox(struct source *source)
{
	struct mailbox *m = source->private;
	struct vmirq_mailbox_config config = { .size = sizeof(config), .count = source->lanes };
	int ret = 0;

	if (has_arg(source, "pump"))
		source->path = "mailbox -> pump -> post";
	else
		ret = vmirq_pump_create(&m->pump);
	config.pump = m->pump;
	if (!ret)
		ret = vmirq_mailbox_create(source->run->vm, &config, &m->mailbox);
	if (ret)
		return source_fail(source, ret, "no mailbox: %s", strerror(-ret));
	for (uint32_t i = 0; i < source->lanes && !ret; i++) {
		ret = lane_bind(source, &source->lane[i], -1);
		if (!ret)
			ret = vmirq_mailbox_bind_irqfd(m->mailbox, i, source->lane[i].irqfd);
	}
	return ret ? source_fail(source, ret, "binding: %s", strerror(-ret)) : 0;
}

static int mailbox_open(struct source *source)
{
	struct mailbox *m = calloc(1, sizeof(*m));
	int ret;

	if (!m)
		return source_fail(source, -ENOMEM, "no memory");
	source->private = m;
	m->child = (struct child)CHILD_NONE;
	m->socket = -1;
	m->by_eventfd = has_arg(source, "eventfd");
	ret = m->by_eventfd ? bind_eventfds(source) : bind_mailbox(source);
	if (!ret)
		ret = mailbox_device_start(source);
	if (ret || !m->mailbox)
		return ret;
	/* What it raised last, before it died, is then looked for. */
	ret = vmirq_mailbox_watch(m->mailbox, m->socket, NULL, NULL);
	if (!ret && m->pump)
		ret = mailbox_looker_start(&m->looker, m->mailbox, m->pump);
	return ret ? source_fail(source, ret, "looking: %s", strerror(-ret)) : 0;
}

/* With --seconds so many at a time, so that none is left when the time is up. */
#define ORDER_MAX 16384

/* One when it is paced; in the storm all there are to come, at the device's own speed. */
static uint64_t next_order(const struct source *source, uint64_t raised)
{
	uint64_t left = source->count - raised, marks = source_marks(source);

	if (atomic_load_explicit(&source->phase, memory_order_relaxed) != SOURCE_STORM)
		return 1;
	left = left > marks ? left - marks : 1;
	if (source->bursts && left > BURST_RAISES)
		left = BURST_RAISES;
	return source->run->options->seconds && left > ORDER_MAX ? ORDER_MAX : left;
}

static int mailbox_raise(struct source *source, struct lane *lane)
{
	struct mailbox *m = source->private;
	/* In a storm it may have done more since, even all. */
	uint64_t seen = atomic_load_explicit(&source->raised, memory_order_relaxed);
	/* Then all that was ordered is done. */
	bool bounded = source->run->options->seconds || source->bursts;
	int ret;

	(void)lane;
	if (seen == m->ordered)
		mailbox_device_order(m, next_order(source, seen));
	ret = mailbox_device_wait(source, bounded ? m->ordered - 1 : seen);
	source->began_at = atomic_load_explicit(&m->orders->began_at, memory_order_relaxed);
	return ret;
}

static uint64_t mailbox_raised(struct source *source)
{
	uint64_t done = mailbox_device_done(source->private);

	/* After it: of all that are done, and perhaps of more. */
	mailbox_device_counts(source);
	return done;
}

static int mailbox_finish(struct source *source)
{
	struct mailbox *m = source->private;
	uint64_t merged = 0;

	mailbox_device_stop(source);
	for (uint32_t i = 0; i < source->lanes; i++)
		merged += atomic_load_explicit(&source->lane[i].merged, memory_order_relaxed);
	if (m->mailbox)
		source_add_fact(source, "coalesced_in_page", merged);
	return 0;
}

/* How the signals went. The looker has stopped. */
static void tell(struct source *source)
{
	const struct mailbox *m = source->private;
	struct vmirq_mailbox_counts counts = { .size = sizeof(counts) };

	if (!m->mailbox || !m->orders || vmirq_mailbox_counts(m->mailbox, &counts))
		return;
	source_add_fact(source, "swept", counts.raised);
	source_add_fact(source, "rings", counts.doorbells);
	if (m->pump) {
		source_add_fact(source, "sweeps", m->looker.sweeps);
		source_add_fact(source, "parks", m->looker.parks);
	}
}

static void mailbox_close(struct source *source)
{
	struct mailbox *m = source->private;

	if (m) {
		/* Its counts do not include the ring that ends the looker, which comes after its end. */
		mailbox_looker_stop(&m->looker);
		tell(source);
		vmirq_mailbox_destroy(m->mailbox);
		vmirq_pump_destroy(m->pump);
	}
	for (uint32_t i = 0; i < source->lanes; i++) {
		struct lane *lane = &source->lane[i];

		lane_unbind(source, lane);
		if (lane->eventfd >= 0)
			close(lane->eventfd);
	}
	if (m)
		mailbox_device_free(m);
	free(m);
}

const struct source_kind source_mailbox = {
	.name = "mailbox",
	.path = "mailbox -> poll -> post",
	.arg = "HOW",
	.what = "a device process raises by bits of a shared page, without a system call while\n"
		"                           a thread here polls, which it does while they come (HOW poll,\n"
		"                           the default). pump: no such thread, the device rings for the\n"
		"                           VM's pump; eventfd: the same process, but it writes eventfds",
	.lanes_max = LANES_MAX,
	.counts_itself = true,
	.check = mailbox_check,
	.open = mailbox_open,
	.raise = mailbox_raise,
	.churn = lanes_churn,
	.raised = mailbox_raised,
	.finish = mailbox_finish,
	.alive = mailbox_device_alive,
	.close = mailbox_close,
};
