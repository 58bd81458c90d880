// SPDX-License-Identifier: MIT
#include "bench_two.h"

#include "bench.h"

#define SLICES_MIN 20u
#define PATIENCE   8u

int open_two(struct bench *b, struct two *t, uint32_t vcpus, uint32_t irqfds)
{
	int ret = bench_soft_open(&t->soft, vcpus, 0);

	if (!ret)
		ret = bench_soft_add_irqfds(&t->soft, irqfds);
	t->has_kvm = !bench_kvm_open(&t->kvm, 2);
	if (!ret && t->has_kvm)
		ret = bench_kvm_add_irqfds(&t->kvm, irqfds);
	return ret ? ret : bench_partner_open(b, &t->partner);
}

void close_two(struct two *t)
{
	bench_partner_close(&t->partner);
	if (t->has_kvm)
		bench_kvm_close(&t->kvm);
	bench_soft_close(&t->soft);
}

bool two_goes_on(struct bench *b, const struct samples *ours, uint64_t start)
{
	uint64_t ns = bench_now() - start;

	return ns < b->case_ns || (ours->n < SLICES_MIN && ns < PATIENCE * b->case_ns);
}
