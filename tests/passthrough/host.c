// SPDX-License-Identifier: MIT
#include "host.h"

static void unmask(void *opaque)
{
	struct host *h = opaque;

	h->unmasked++;
	if (h->then)
		h->then(h);
}

static void open_as(struct host *h, struct vmirq_pirq_config *config)
{
	memset(h, 0, sizeof(*h));
	config->size = sizeof(*config);
	assert_int_equal(vmirq_pirq_create(config, &h->pirq), 0);
}

void host_open(struct host *h, const struct vmirq_pirq_config *how)
{
	struct vmirq_pirq_config config = { .eventfd = -1 };

	if (how)
		config = *how;
	config.unmask = unmask;
	config.opaque = h;
	open_as(h, &config);
}

void host_open_unmasked(struct host *h)
{
	open_as(h, &(struct vmirq_pirq_config){ .eventfd = -1 });
}

struct vmirq_pirq_counts host_counts(struct host *h)
{
	struct vmirq_pirq_counts c = { .size = sizeof(c) };
	uint64_t sum;

	assert_int_equal(vmirq_pirq_counts(h->pirq, &c), 0);
	sum = c.held;
	for (int i = 0; i < VMIRQ_VERDICTS; i++)
		sum += c.verdict[i];
	assert_int_equal(c.raised, sum);
	assert_int_equal(c.raised, h->raised);
	assert_int_equal(c.unmasks, h->unmasked);
	return c;
}

void host_close(struct host *h)
{
	host_counts(h);
	assert_int_equal(vmirq_pirq_destroy(h->pirq), 0);
}

uint64_t host_verdict(struct host *h, enum vmirq_verdict verdict)
{
	return host_counts(h).verdict[verdict];
}

struct vmirq_worker *worker_new(void)
{
	struct vmirq_worker_config config = { .size = sizeof(config) };
	struct vmirq_worker *worker;

	assert_int_equal(vmirq_worker_create(&config, &worker), 0);
	return worker;
}

void worker_serves(struct vmirq_worker *worker, int expected)
{
	assert_int_equal(vmirq_worker_run(worker, 1000), expected);
}

int bind_msi(struct host *h, struct vmirq_vm *vm, struct vmirq_worker *worker, uint32_t dest,
	     uint8_t vector, uint32_t flags)
{
	struct vmirq_pirq_binding b = { .size = sizeof(b),
					.vm = vm,
					.worker = worker,
					.type = VMIRQ_PIRQ_MSI,
					.flags = flags,
					.address = 0xfee00000u | dest << 12,
					.data = vector };

	return vmirq_pirq_bind(h->pirq, &b);
}

int bind_gsi(struct host *h, struct vmirq_vm *vm, struct vmirq_worker *worker,
	     enum vmirq_pirq_type type, uint32_t gsi, uint32_t flags)
{
	struct vmirq_pirq_binding b = { .size = sizeof(b),
					.vm = vm,
					.worker = worker,
					.type = type,
					.flags = flags,
					.n_gsis = 1,
					.gsis = &gsi };

	return vmirq_pirq_bind(h->pirq, &b);
}

int bind_gsis(struct host *h, struct vmirq_vm *vm, struct vmirq_worker *worker, uint32_t n,
	      const uint32_t *gsis)
{
	struct vmirq_pirq_binding b = { .size = sizeof(b),
					.vm = vm,
					.worker = worker,
					.type = VMIRQ_PIRQ_INTX,
					.n_gsis = n,
					.gsis = gsis };

	return vmirq_pirq_bind(h->pirq, &b);
}

enum vmirq_verdict host_raise(struct host *h)
{
	h->raised++;
	return vmirq_pirq_raise(h->pirq);
}
