/* SPDX-License-Identifier: MIT */
/* A host's interrupt: raised by the test, told when it is unmasked. */
#ifndef TESTS_PASSTHROUGH_HOST_H
#define TESTS_PASSTHROUGH_HOST_H

#include "../support.h"

#include <vmirq/passthrough.h>

struct host {
	struct vmirq_pirq *pirq;
	uint64_t raised;
	_Atomic uint64_t unmasked;
	/* Called by its unmask. */
	void (*then)(struct host *h);
	void *opaque;
};

/* What differs from a pirq that is raised by call and has an unmask; NULL: nothing. */
void host_open(struct host *h, const struct vmirq_pirq_config *how);
/* One that nobody unmasks. */
void host_open_unmasked(struct host *h);
/* With its law. */
void host_close(struct host *h);
/* raised = sum + held, and is what the test raised. */
struct vmirq_pirq_counts host_counts(struct host *h);
uint64_t host_verdict(struct host *h, enum vmirq_verdict verdict);

struct vmirq_worker *worker_new(void);
/* Serve it: exactly so many. */
void worker_serves(struct vmirq_worker *worker, int expected);

int bind_msi(struct host *h, struct vmirq_vm *vm, struct vmirq_worker *worker, uint32_t dest,
	     uint8_t vector, uint32_t flags);
int bind_gsi(struct host *h, struct vmirq_vm *vm, struct vmirq_worker *worker,
	     enum vmirq_pirq_type type, uint32_t gsi, uint32_t flags);
int bind_gsis(struct host *h, struct vmirq_vm *vm, struct vmirq_worker *worker, uint32_t n,
	      const uint32_t *gsis);

/* Raise; what the call says. */
enum vmirq_verdict host_raise(struct host *h);
#define assert_raise(h, expected) assert_verdict(host_raise(h), expected)

#endif
