/* SPDX-License-Identifier: MIT */
/* A pirq's beginning, its end, its counters. */
#include "passthrough/pirq.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/no_cancel.h"
#include "base/options.h"
#include "irqfd/eventfd.h"
#include "route/table.h"

/* vmirq_pirq_config as it was in the first release. */
#define CONFIG_LEAST sizeof(struct vmirq_pirq_config)

/* The duplicate is asked: the caller's number may be closed at any moment. */
static int adopt(struct vmirq_pirq *pirq, const struct vmirq_pirq_config *config)
{
	int error;

	if (config->eventfd < 0)
		return 0;
	pirq->eventfd = fcntl(config->eventfd, F_DUPFD_CLOEXEC, 0);
	if (pirq->eventfd < 0)
		return -errno;
	error = vmirq_eventfd_token(pirq->eventfd, &pirq->token);
	if (!config->token)
		return error;
	pirq->callers_token = config->token;
	pirq->token = config->token;
	/* Without /proc it is taken at its word. */
	return error == -ENOSYS ? 0 : error;
}

static int check_config(const struct vmirq_pirq_config *config)
{
	if (config->eventfd < -1)
		return -EBADF;
	if (config->flags || (config->token & KERNELS_TOKEN) || (config->burst && !config->rate))
		return -EINVAL;
	return 0;
}

static void free_pirq(struct vmirq_pirq *pirq)
{
	if (pirq->eventfd >= 0)
		no_cancel_close(pirq->eventfd);
	pthread_mutex_destroy(&pirq->state_mutex);
	pthread_mutex_destroy(&pirq->mutex);
	free(pirq);
}

int vmirq_pirq_create(const struct vmirq_pirq_config *caller, struct vmirq_pirq **out)
{
	struct vmirq_pirq_config config;
	struct vmirq_pirq *pirq;
	int error;

	if (!caller || !out)
		return -EINVAL;
	error = options_copy(&config, sizeof(config), CONFIG_LEAST, caller, caller->size);
	if (!error)
		error = check_config(&config);
	if (error)
		return error;
	pirq = aligned_alloc(CACHE_LINE, (sizeof(*pirq) + CACHE_LINE - 1) & ~(CACHE_LINE - 1ul));
	if (!pirq)
		return -ENOMEM;
	memset(pirq, 0, sizeof(*pirq));
	pthread_mutex_init(&pirq->mutex, NULL);
	pthread_mutex_init(&pirq->state_mutex, NULL);
	pirq->eventfd = -1;
	pirq->own_pump = config.pump;
	pirq->unmask = config.unmask;
	pirq->opaque = config.opaque;
	pirq->rate_limit = config.rate;
	pirq->burst = config.burst ? config.burst : 1;
	pirq->watchdog_ns = config.watchdog_ns;
	error = adopt(pirq, &config);
	if (error)
		free_pirq(pirq);
	else
		*out = pirq;
	return error;
}

int vmirq_pirq_destroy(struct vmirq_pirq *pirq)
{
	int error;

	if (!pirq)
		return 0;
	error = vmirq_pirq_unbind(pirq);
	if (error == -EDEADLK)
		return error;
	/* A raise that came while it was bound to nothing may be on its way out. */
	vmirq_reader_wait();
	free_pirq(pirq);
	return 0;
}

int vmirq_pirq_eoi(struct vmirq_pirq *pirq)
{
	bool pending, bound;

	if (!pirq)
		return -EINVAL;
	if (pirq_must_not_wait_for(pirq))
		return -EDEADLK;
	/* Counted before unbind closes it, which then waits: `unmask` is called with no lock held. */
	pthread_mutex_lock(&pirq->state_mutex);
	bound = pirq->open;
	if (bound)
		atomic_fetch_add_explicit(&pirq->calls, 1, memory_order_relaxed);
	pthread_mutex_unlock(&pirq->state_mutex);
	if (!bound)
		return 0;
	pending = vmirq_pirq_end(pirq, UINT64_MAX, false);
	/* Release: pairs with the acquire in wait_for_calls(). */
	atomic_fetch_sub_explicit(&pirq->calls, 1, memory_order_release);
	return pending;
}

static void add(struct vmirq_pirq_counts *out, enum vmirq_verdict verdict, uint64_t n)
{
	out->verdict[verdict] += n;
	out->raised += n;
}

/* What no run has served yet is one interrupt, and the rest coalesced. The state_mutex is held, here and below. */
static void add_unserved(const struct vmirq_pirq *pirq, struct vmirq_pirq_counts *out)
{
	/* This first: it is never past the other. Acquire, so that it stays first. */
	uint64_t served = atomic_load_explicit(&pirq->served, memory_order_acquire);
	uint64_t word = pirq->open ? atomic_load_explicit(&pirq->word, memory_order_relaxed)
				   : pirq->last_word;
	uint64_t n = word / PIRQ_RAISE - served;

	out->throttled = !!(word & PIRQ_THROTTLED);
	if (pirq->fast || !n)
		return;
	out->held = 1;
	out->raised++;
	add(out, VMIRQ_COALESCED, n - 1);
}

static void add_irqfd(const struct vmirq_pirq *pirq, struct vmirq_pirq_counts *out)
{
	struct vmirq_route_counts now = { .size = sizeof(now) };

	vmirq_gsi_counts(pirq->vm, pirq->msi_slot->gsi, &now);
	for (int i = 0; i < VMIRQ_VERDICTS; i++)
		add(out, (enum vmirq_verdict)i, now.verdict[i] - pirq->msi_before.verdict[i]);
	out->unobserved = !!now.unobserved;
}

static void read_counts(const struct vmirq_pirq *pirq, struct vmirq_pirq_counts *out)
{
	for (int i = 0; i < VMIRQ_VERDICTS; i++)
		add(out, (enum vmirq_verdict)i,
		    atomic_load_explicit(&pirq->counts.verdict[i], memory_order_relaxed));
	out->runs = atomic_load_explicit(&pirq->runs, memory_order_relaxed);
	out->unmasks = atomic_load_explicit(&pirq->unmasks, memory_order_relaxed);
	out->reasserted = atomic_load_explicit(&pirq->reasserted, memory_order_relaxed);
	out->storms = atomic_load_explicit(&pirq->storms, memory_order_relaxed);
	out->watchdogs = atomic_load_explicit(&pirq->watchdogs, memory_order_relaxed);
	out->pending = atomic_load_explicit(&pirq->pending, memory_order_relaxed);
}

int vmirq_pirq_counts(struct vmirq_pirq *pirq, struct vmirq_pirq_counts *out)
{
	size_t size;

	if (!pirq || !out || out->size < sizeof(*out))
		return -EINVAL;
	if (pirq_must_not_wait_for(pirq))
		return -EDEADLK;
	/* What is longer than ours stays as it is. */
	size = out->size;
	memset(out, 0, sizeof(*out));
	out->size = size;
	pthread_mutex_lock(&pirq->state_mutex);
	read_counts(pirq, out);
	out->bound = pirq->vm != NULL;
	if (pirq->vm)
		add_unserved(pirq, out);
	if (pirq->vm && pirq->irqfd)
		add_irqfd(pirq, out);
	pthread_mutex_unlock(&pirq->state_mutex);
	return 0;
}
