// SPDX-License-Identifier: MIT
#include "source_pirq.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "run.h"

static int start_worker(struct vmirq_worker **out)
{
	const struct vmirq_worker_config config = { .size = sizeof(config) };
	struct vmirq_worker *worker;
	int ret = vmirq_worker_create(&config, &worker);

	if (ret)
		return ret;
	ret = vmirq_worker_start(worker, -1);
	if (ret)
		vmirq_worker_destroy(worker, NULL);
	else
		*out = worker;
	return ret;
}

int pirqs_open(struct source *source, struct pirqs *pirqs, uint32_t most, bool queued)
{
	int ret;

	*pirqs = (struct pirqs){ .pirq = calloc(most, sizeof(struct vmirq_pirq *)),
				 .queued = queued };
	if (!pirqs->pirq)
		return source_fail(source, -ENOMEM, "no memory");
	ret = start_worker(&pirqs->worker);
	return ret ? source_fail(source, ret, "no worker: %s", strerror(-ret)) : 0;
}

int pirqs_add(struct source *source, struct pirqs *pirqs, const struct vmirq_pirq_config *config)
{
	const struct lane *lane = &source->lane[pirqs->n % source->lanes];
	const struct vmirq_pirq_binding binding = {
		.size = sizeof(binding),
		.vm = source->run->vm,
		.worker = pirqs->worker,
		.type = VMIRQ_PIRQ_MSI,
		.flags = pirqs->queued ? VMIRQ_PIRQ_NO_FAST_PATH : 0,
		.address = lane_msi_address(lane),
		.data = lane->vector,
	};
	struct vmirq_pirq *pirq;
	int ret = vmirq_pirq_create(config, &pirq);

	if (ret)
		return source_fail(source, ret, "no pirq after %u: %s", pirqs->n, strerror(-ret));
	ret = vmirq_pirq_bind(pirq, &binding);
	if (ret) {
		vmirq_pirq_destroy(pirq);
		return source_fail(source, ret, "no more than %u pirqs can be bound: %s", pirqs->n,
				   strerror(-ret));
	}
	pirqs->pirq[pirqs->n++] = pirq;
	return 0;
}

int pirqs_hand_over(struct source *source, struct pirqs *pirqs)
{
	struct vmirq_worker *heir;
	int ret = start_worker(&heir);

	if (ret)
		return source_fail(source, ret, "no worker: %s", strerror(-ret));
	ret = vmirq_worker_destroy(pirqs->worker, heir);
	if (ret) {
		vmirq_worker_destroy(heir, NULL);
		return source_fail(source, ret, "the worker does not go: %s", strerror(-ret));
	}
	pirqs->worker = heir;
	return 0;
}

uint32_t pirqs_of_lane(const struct source *source, const struct pirqs *pirqs,
		       const struct lane *lane)
{
	uint32_t first = (uint32_t)(lane - source->lane);

	return first < pirqs->n ? (pirqs->n - first - 1) / source->lanes + 1 : 0;
}

void pirq_counts(struct vmirq_pirq *pirq, struct vmirq_pirq_counts *counts)
{
	*counts = (struct vmirq_pirq_counts){ .size = sizeof(*counts) };
	vmirq_pirq_counts(pirq, counts);
}

void pirq_add_counts(struct vmirq_pirq *pirq, struct vmirq_route_counts *counts)
{
	struct vmirq_pirq_counts c;

	pirq_counts(pirq, &c);
	counts->raised += c.raised;
	counts->held += c.held;
	counts->unobserved += c.unobserved;
	for (int v = 0; v < VMIRQ_VERDICTS; v++)
		counts->verdict[v] += c.verdict[v];
}

void pirqs_lane_counts(const struct source *source, const struct pirqs *pirqs,
		       const struct lane *lane, struct vmirq_route_counts *counts)
{
	*counts = (struct vmirq_route_counts){ .size = sizeof(*counts) };
	for (uint32_t i = (uint32_t)(lane - source->lane); i < pirqs->n; i += source->lanes)
		pirq_add_counts(pirqs->pirq[i], counts);
}

uint64_t pirqs_runs(const struct pirqs *pirqs)
{
	struct vmirq_pirq_counts c;
	uint64_t runs = 0;

	for (uint32_t i = 0; i < pirqs->n; i++) {
		pirq_counts(pirqs->pirq[i], &c);
		runs += c.runs;
	}
	return runs;
}

void pirqs_close(struct pirqs *pirqs)
{
	for (uint32_t i = 0; i < pirqs->n; i++)
		vmirq_pirq_destroy(pirqs->pirq[i]);
	vmirq_worker_destroy(pirqs->worker, NULL);
	free(pirqs->pirq);
	*pirqs = (struct pirqs){ .n = 0 };
}
