/* SPDX-License-Identifier: MIT */
/*
 * What sources of host interrupts have in common: many pirqs, each bound to the message of a lane (pirq i to lane
 * i % lanes), and the worker that delivers them.
 */
#ifndef VMIRQ_SOURCE_PIRQ_H
#define VMIRQ_SOURCE_PIRQ_H

#include <stdbool.h>
#include <stdint.h>
#include <vmirq/passthrough.h>

#include "source.h"

struct pirqs {
	uint32_t n; /* of them that are there */
	struct vmirq_pirq **pirq;
	struct vmirq_worker *worker;
	bool queued; /* also what could be posted at once */
};

/* Room for `most`, and a worker with a thread, which the fast path needs only on a kernel without KVM_SIGNAL_MSI.
 * -errno after source_fail(); pirqs_close() in any case. */
int pirqs_open(struct source *source, struct pirqs *pirqs, uint32_t most, bool queued);
/* One more. */
int pirqs_add(struct source *source, struct pirqs *pirqs, const struct vmirq_pirq_config *config);
/* The worker is taken away and another has its place. */
int pirqs_hand_over(struct source *source, struct pirqs *pirqs);

/* How many of them a lane has. */
uint32_t pirqs_of_lane(const struct source *source, const struct pirqs *pirqs,
		       const struct lane *lane);
/* Of one pirq, and summed over a lane's. */
void pirq_counts(struct vmirq_pirq *pirq, struct vmirq_pirq_counts *counts);
void pirqs_lane_counts(const struct source *source, const struct pirqs *pirqs,
		       const struct lane *lane, struct vmirq_route_counts *counts);
/* Over all: how often they were delivered by the worker. */
uint64_t pirqs_runs(const struct pirqs *pirqs);

/* Unbinds and frees them. */
void pirqs_close(struct pirqs *pirqs);

/* Add a pirq's counts to those of a route. */
void pirq_add_counts(struct vmirq_pirq *pirq, struct vmirq_route_counts *counts);

#endif
