// SPDX-License-Identifier: MIT
/*
 * IPIs that the guest's vCPUs send each other, by their local APICs' ICRs: a ring, in which the handler of
 * each lane's vector sends the next lane's. This process raises the first of them and watches.
 *
 * The accounts: lane 0 has the first one, raised by its irqfd; lane 1 all that the guest has sent.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <vmirq/vcpu.h>

#include "guest_page.h"
#include "run.h"
#include "source.h"
#include "vmm.h"

/* SDM vol. 3A 11.6.1 and 11.12.9. */
#define APIC_ICR	0xfee00300u
#define APIC_ICR_HIGH	0xfee00310u
#define X2APIC_ICR	0x830u
#define APIC_ICR_ASSERT (1u << 14)

struct ring {
	struct run *run;
	uint32_t lanes;
	struct ring_lane {
		struct ring *ring;
		struct guest_ipi *ipi;
	} lane[LANES_MAX];
};

static enum exit_code ipi_check(const struct run_options *options, const char *arg, char *why,
				size_t size)
{
	uint32_t rings = 0;

	(void)arg;
	for (uint32_t i = 0; i < options->sources; i++)
		rings += options->source[i].kind == &source_ipi;
	if (rings > 1)
		snprintf(why, size, "once only: the library counts a VM's IPIs together");
	else if (options->vcpus < 2)
		snprintf(why, size, "one vCPU has nobody to send to");
	else
		return EXIT_OK;
	return EXIT_USAGE;
}

static int send_ipi(const struct ring *ring, uint32_t vcpu, const struct guest_ipi *ipi)
{
	struct vmirq_vcpu *from = vmirq_vm_vcpu(ring->run->vm, vcpu);
	uint32_t low = APIC_ICR_ASSERT | ipi->vector, high = ipi->cpu << 24;
	int ret;

	if (ring->run->options->x2apic)
		return vmirq_vcpu_wrmsr(from, X2APIC_ICR, (uint64_t)ipi->cpu << 32 | low);
	ret = vmirq_vcpu_mmio(from, APIC_ICR_HIGH, &high, sizeof(high), true);
	return ret ? ret : vmirq_vcpu_mmio(from, APIC_ICR, &low, sizeof(low), true);
}

static uint64_t load(const _Atomic uint64_t *n)
{
	return atomic_load_explicit(n, memory_order_relaxed);
}

/* The handler's part where no code runs in the guest. One that is not sent is missed. */
static void pass_on(void *opaque, uint32_t vcpu)
{
	struct ring_lane *lane = opaque;

	if (load(&lane->ipi->sent) >= load(&lane->ipi->limit))
		return;
	/* One writer. */
	atomic_store_explicit(&lane->ipi->sent, load(&lane->ipi->sent) + 1, memory_order_relaxed);
	send_ipi(lane->ring, vcpu, lane->ipi);
}

/* How many of the `n` that the guest is to send are lane i's. */
static uint64_t share(uint64_t n, uint32_t i, uint32_t lanes)
{
	return n > i ? (n - i - 1) / lanes + 1 : 0;
}

static int ipi_prepare(struct source *source)
{
	struct guest_page *page = vmm_guest_page(source->run->vmm);
	struct ring *ring = calloc(1, sizeof(*ring));

	if (!ring)
		return source_fail(source, -ENOMEM, "no memory");
	source->private = ring;
	source->drives_itself = true;
	ring->run = source->run;
	ring->lanes = source->lanes;
	for (uint32_t i = 0; i < source->lanes; i++) {
		const struct lane *next = &source->lane[(i + 1) % source->lanes];
		struct ring_lane *lane = &ring->lane[i];

		lane->ring = ring;
		lane->ipi = &page->ipi[source->lane[i].vector];
		lane->ipi->cpu = next->vcpu;
		lane->ipi->vector = next->vector;
		if (source->count)
			lane->ipi->limit = share(source->count - 1, i, source->lanes);
		vmm_set_handler(source->run->vmm, source->lane[i].vector, pass_on, lane);
	}
	return 0;
}

static int ipi_open(struct source *source)
{
	return lane_bind(source, &source->lane[0], -1);
}

static uint64_t sent(const struct source *source)
{
	const struct ring *ring = source->private;
	uint64_t n = 0;

	for (uint32_t i = 0; i < ring->lanes; i++)
		n += load(&ring->lane[i].ipi->sent);
	return n;
}

static uint64_t ipi_raised(struct source *source)
{
	return load(&source->lane[0].own) + sent(source);
}

/* Where the one that is under way goes to. */
static const struct lane *ipi_at(const struct source *source)
{
	return &source->lane[sent(source) % source->lanes];
}

static int ipi_stuck(struct source *source)
{
	uint64_t n = sent(source);
	char where[360];

	watch_words(source, ipi_at(source), where, sizeof(where));
	return source_fail(source, -ETIMEDOUT, "no handler within 5 s of IPI %llu: %s",
			   (unsigned long long)n, where);
}

/* Until there are more of them than the run has seen. */
static int ipi_raise(struct source *source, struct lane *lane)
{
	uint64_t before = load(&source->raised);
	struct backoff b = { 0 };

	(void)lane;
	source->watch.began = 0;
	if (!before) {
		vmirq_irqfd_signal(source->lane[0].irqfd);
		lane_count(&source->lane[0]);
	}
	while (ipi_raised(source) <= before) {
		if (!backoff(&b))
			continue;
		if (run_stops(source->run))
			return -ECANCELED;
		if (watch_expired(source, ipi_at(source), LOST_NS))
			return ipi_stuck(source);
	}
	return 0;
}

static int ipi_finish(struct source *source)
{
	struct ring *ring = source->private;

	/* A run that ends early: no more from here on. */
	for (uint32_t i = 0; i < ring->lanes; i++)
		atomic_store_explicit(&ring->lane[i].ipi->limit, 0, memory_order_relaxed);
	wait_settled(source);
	atomic_store_explicit(&source->lane[1].own, sent(source), memory_order_relaxed);
	return 0;
}

/* One is under way at a time, so that nothing coalesces: a local APIC of the kernel's may hide what it
 * counts, but not that. */
static uint64_t ipi_missing(struct source *source)
{
	uint64_t handled = 0, all = ipi_raised(source);

	for (uint32_t i = 0; i < source->lanes; i++)
		handled += lane_handled(source, &source->lane[i]);
	return run_hides_vectors(source->run) && all > handled ? all - handled : 0;
}

static void ipi_close(struct source *source)
{
	lane_unbind(source, &source->lane[0]);
	free(source->private);
}

const struct source_kind source_ipi = {
	.name = "ipi",
	.path = "ICR -> post",
	.what = "vCPUs send each other IPIs, in a ring, by their ICRs; with two vCPUs or more",
	.unit = RUN_IPIS,
	.waits = true,
	.lanes_max = LANES_MAX,
	.counts_itself = true,
	.check = ipi_check,
	.prepare = ipi_prepare,
	.open = ipi_open,
	.raise = ipi_raise,
	.raised = ipi_raised,
	.finish = ipi_finish,
	.missing = ipi_missing,
	.close = ipi_close,
};
