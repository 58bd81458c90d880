// SPDX-License-Identifier: MIT
/*
 * Host interrupts that become MSIs of the guest: a pirq for each lane, raised by an eventfd as VFIO's triggers are, or
 * by call, or by a trigger that skips the eventfd; posted at once, or delivered by a worker, to which nobody can skip it.
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
#include "source_pirq.h"

struct how {
	bool worker;
	bool call;
	bool bypass;
};

struct pirq_msi {
	struct pirqs pirqs;
	struct how how;
	struct vmirq_trigger *trigger[LANES_MAX];
};

static bool is_word(const char *arg, size_t len, const char *word)
{
	return len == strlen(word) && !memcmp(arg, word, len);
}

/* Words with commas between them. False: there is another one, or one twice. */
static bool parse(const char *arg, struct how *how)
{
	*how = (struct how){ .worker = false };
	while (arg) {
		const char *comma = strchr(arg, ',');
		size_t len = comma ? (size_t)(comma - arg) : strlen(arg);
		bool *word = is_word(arg, len, "worker")   ? &how->worker
			     : is_word(arg, len, "call")   ? &how->call
			     : is_word(arg, len, "bypass") ? &how->bypass
							   : NULL;

		if (!word || *word)
			return false;
		*word = true;
		arg = comma ? comma + 1 : NULL;
	}
	return !how->call || !how->bypass;
}

static enum exit_code check(const struct run_options *options, const char *arg, char *why,
			    size_t size)
{
	struct how how;

	(void)options;
	if (parse(arg, &how))
		return EXIT_OK;
	snprintf(why, size, "'%.100s': must be worker, call, bypass, worker,call or worker,bypass",
		 arg);
	return EXIT_USAGE;
}

static int open_lane(struct source *source, struct lane *lane)
{
	struct pirq_msi *p = source->private;
	struct vmirq_pirq_config config = { .size = sizeof(config), .eventfd = -1 };

	if (!p->how.call) {
		lane->eventfd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (lane->eventfd < 0)
			return source_fail(source, -errno, "no eventfd: %s", strerror(errno));
		config.eventfd = lane->eventfd;
	}
	return pirqs_add(source, &p->pirqs, &config);
}

static int open_trigger(struct source *source, const struct lane *lane)
{
	struct pirq_msi *p = source->private;
	const struct vmirq_trigger_config config = { .size = sizeof(config),
						     .bypass = vmirq_vm_bypass(source->run->vm),
						     .eventfd = lane->eventfd };
	int ret = vmirq_trigger_create(&config, &p->trigger[lane - source->lane]);

	return ret ? source_fail(source, ret, "no trigger: %s", strerror(-ret)) : 0;
}

static const char *path(const struct how *how)
{
	if (how->bypass)
		return how->worker ? "trigger -> pump -> worker -> post"
				   : "trigger -> pirq -> post";
	if (how->call)
		return how->worker ? "pirq -> worker -> post" : "pirq -> post";
	return how->worker ? "pump -> worker -> post" : "pump -> pirq -> post";
}

static int open_all(struct source *source)
{
	struct pirq_msi *p = calloc(1, sizeof(*p));
	int ret;

	if (!p)
		return source_fail(source, -ENOMEM, "no memory");
	source->private = p;
	parse(source->arg, &p->how);
	source->path = path(&p->how);
	ret = pirqs_open(source, &p->pirqs, source->lanes, p->how.worker);
	for (uint32_t i = 0; i < source->lanes && !ret; i++)
		ret = open_lane(source, &source->lane[i]);
	for (uint32_t i = 0; i < source->lanes && p->how.bypass && !ret; i++)
		ret = open_trigger(source, &source->lane[i]);
	return ret;
}

static int write_one(struct source *source, const struct lane *lane)
{
	const uint64_t one = 1;

	while (write(lane->eventfd, &one, sizeof(one)) != sizeof(one))
		if (errno != EINTR)
			return source_fail(source, -errno, "writing to an eventfd: %s",
					   strerror(errno));
	return 0;
}

static int raise_one(struct source *source, struct lane *lane)
{
	struct pirq_msi *p = source->private;
	int ret = 0;

	if (p->how.call)
		vmirq_pirq_raise(p->pirqs.pirq[lane - source->lane]);
	else if (p->how.bypass)
		vmirq_trigger_signal(p->trigger[lane - source->lane]);
	else
		ret = write_one(source, lane);
	if (!ret)
		lane_count(lane);
	return ret;
}

static void counts(const struct source *source, const struct lane *lane,
		   struct vmirq_route_counts *counts)
{
	const struct pirq_msi *p = source->private;

	pirqs_lane_counts(source, &p->pirqs, lane, counts);
}

static void tell(struct source *source)
{
	struct pirq_msi *p = source->private;
	struct vmirq_worker_counts worker = { .size = sizeof(worker) };

	uint64_t runs = pirqs_runs(&p->pirqs);

	if (p->pirqs.n < source->lanes || (!runs && !p->how.worker) ||
	    services_init(&source->services, source->lanes))
		return;
	/* Also where it was to be posted at once and could not be. */
	p->how.worker = true;
	source->path = path(&p->how);
	for (uint32_t i = 0; i < p->pirqs.n; i++) {
		struct vmirq_pirq_counts c;

		pirq_counts(p->pirqs.pirq[i], &c);
		source->services.of[i] = c.runs;
	}
	vmirq_worker_counts(p->pirqs.worker, &worker);
	source_add_fact(source, "runs", runs);
	source_add_fact(source, "wakes", worker.wakes);
}

/* Which way they went. */
static void tell_paths(struct source *source)
{
	const struct pirq_msi *p = source->private;

	for (int path = VMIRQ_PATHS - 1; path >= 0; path--) {
		uint64_t sum = 0;

		for (uint32_t i = 0; i < source->lanes && p->trigger[i]; i++) {
			struct vmirq_trigger_counts c = { .size = sizeof(c) };

			vmirq_trigger_counts(p->trigger[i], &c);
			sum += c.path[path];
		}
		source_add_fact(source, vmirq_path_name((enum vmirq_path)path), sum);
	}
}

static void close_all(struct source *source)
{
	struct pirq_msi *p = source->private;

	if (!p)
		return;
	tell(source);
	if (p->how.bypass)
		tell_paths(source);
	for (uint32_t i = 0; i < source->lanes; i++)
		vmirq_trigger_destroy(p->trigger[i]);
	pirqs_close(&p->pirqs);
	for (uint32_t i = 0; i < source->lanes; i++) {
		if (source->lane[i].eventfd >= 0)
			close(source->lane[i].eventfd);
	}
	free(p);
}

const struct source_kind source_pirq_msi = {
	.name = "pirq-msi",
	.path = "pump -> pirq -> post",
	.arg = "HOW",
	.what = "host interrupts (eventfds, as VFIO's triggers) that are bound to MSIs of the\n"
		"                           guest, and posted at once. HOW worker: queued, and delivered by a\n"
		"                           thread; call: raised by call; bypass: by a trigger, which skips the\n"
		"                           eventfd; worker,call: both; worker,bypass: both, and nothing skips the worker",
	.lanes_max = LANES_MAX,
	.counts_itself = true,
	.check = check,
	.open = open_all,
	.raise = raise_one,
	.counts = counts,
	.close = close_all,
};
