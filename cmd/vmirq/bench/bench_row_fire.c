// SPDX-License-Identifier: MIT
/*
 * route_update_fire: a route changes 100,000 times a second while another core signals through it.
 */
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <vmirq/observe.h>
#include <vmirq/route.h>

#include "bench_pair.h"
#include "bench_rows.h"
#include "bench_soft.h"

#define UPDATE_EVERY_NS 10000u
#define SLICE_NS	UINT64_C(5000000)
/* Of a batch: longer than an update's turn. */
#define SIGNALS_OURS 2048u
#define SIGNALS_KVM  128u
/* The route goes to one of these: vCPU 0 has only the first vector, vCPU 1 only the second. */
#define VECTOR(n) (0x40u + 0x11u * (n))

struct fire {
	struct bench_partner partner;
	struct bench_soft soft;
	struct bench_kvm kvm;
	bool has_kvm, use_kvm, updates;
	_Atomic bool stop;
	struct samples *signals;
	uint64_t signalled;
	_Atomic uint32_t turn;
	/* Batches beside which no update came, though there were to be some: the updating thread had no
	 * CPU. */
	uint32_t alone;
	uint64_t updating_ns;
};

static void signal_batch(struct fire *t, uint32_t n)
{
	const uint64_t one = 1;

	for (uint32_t i = 0; i < n; i++) {
		if (!t->use_kvm)
			vmirq_irqfd_signal(t->soft.irqfd[0]);
		else if (write(t->kvm.eventfd[0], &one, sizeof(one)) != sizeof(one))
			return;
	}
}

static void signal_main(void *opaque, uint32_t n)
{
	struct fire *t = opaque;

	while (!atomic_load_explicit(&t->stop, memory_order_relaxed)) {
		uint32_t before = atomic_load_explicit(&t->turn, memory_order_relaxed);
		uint64_t start = bench_now(), ns;

		signal_batch(t, n);
		ns = bench_now() - start;
		if (!t->use_kvm)
			t->signalled += n;
		if (t->updates && atomic_load_explicit(&t->turn, memory_order_relaxed) == before)
			t->alone++;
		else
			samples_add(t->signals, (double)ns / n);
	}
}

static int update(struct fire *t)
{
	uint32_t to = (atomic_fetch_add_explicit(&t->turn, 1, memory_order_relaxed) + 1) & 1;
	struct kvm_irq_routing_msi *msi;

	if (!t->use_kvm)
		return vmirq_route_set_msi(t->soft.vm, BENCH_FIRST_GSI, bench_msi_address(to),
					   VECTOR(to));
	msi = &t->kvm.table->entries[0].u.msi;
	msi->address_lo = (uint32_t)bench_msi_address(to);
	msi->data = VECTOR(to);
	return ioctl(t->kvm.vm, KVM_SET_GSI_ROUTING, t->kvm.table);
}

/* A slice in which the partner signals all the time, with updates or without. */
static int fire_slice(struct fire *t, struct samples *updates, struct samples *signals)
{
	uint64_t begin = bench_now(), next = begin, now, late = 0;
	int ret = 0;

	t->signals = signals;
	t->updates = updates;
	atomic_store(&t->stop, false);
	bench_partner_ask(&t->partner, signal_main, t, t->use_kvm ? SIGNALS_KVM : SIGNALS_OURS);
	while ((now = bench_now()) < begin + SLICE_NS && !ret) {
		if (!updates || now < next)
			continue;
		ret = update(t);
		samples_add(updates, (double)(bench_now() - now));
		next += UPDATE_EVERY_NS;
		late = bench_now();
		/* What was missed, preempted, is not made up for. */
		if (next < late)
			next = late;
	}
	if (updates && !t->use_kvm)
		t->updating_ns += bench_now() - begin;
	atomic_store(&t->stop, true);
	bench_partner_wait(&t->partner);
	return ret;
}

static uint64_t posted(struct fire *t, uint32_t vcpu, uint32_t vector)
{
	struct vmirq_vector_counts counts = { .size = sizeof(counts) };

	vmirq_vector_counts(t->soft.vcpu[vcpu], vector, &counts);
	return counts.posted;
}

static void account(struct bench *b, struct bench_case *c, struct fire *t)
{
	struct vmirq_route_counts counts = { .size = sizeof(counts) };
	uint64_t torn = posted(t, 0, VECTOR(1)) + posted(t, 1, VECTOR(0)), lost, whole;

	vmirq_irqfd_counts(t->soft.irqfd[0], &counts);
	whole = posted(t, 0, VECTOR(0)) + posted(t, 1, VECTOR(1)) +
		posted(t, 0, BENCH_FIRST_VECTOR);
	lost = bench_soft_missing(&t->soft, t->signalled) +
	       (counts.verdict[VMIRQ_DELIVERED] > whole ? counts.verdict[VMIRQ_DELIVERED] - whole
							: whole - counts.verdict[VMIRQ_DELIVERED]);
	bench_value(c, "torn", (double)torn);
	bench_value(c, "lost", (double)lost);
	bench_lost(b, torn + lost, "signals torn or lost");
}

static void add_slowdown(struct bench_case *c, const char *name, struct samples *alone,
			 struct samples *beside)
{
	double base = samples_quantile(alone, 0.5);

	if (base > 0)
		bench_value(c, name, samples_quantile(beside, 0.5) / base - 1);
}

static int open_fire(struct bench *b, struct fire *t)
{
	int ret = bench_soft_open(&t->soft, 2, 0);

	if (!ret)
		ret = bench_soft_add_irqfds(&t->soft, 1);
	t->has_kvm = !bench_kvm_open(&t->kvm, 2);
	if (!ret && t->has_kvm)
		ret = bench_kvm_add_irqfds(&t->kvm, 256);
	return ret ? ret : bench_partner_open(b, &t->partner);
}

int bench_route_update_fire(struct bench *b)
{
	struct bench_case *c = bench_case(b, "", "ns");
	struct samples signals[4] = { { 0 } };
	struct bench_side *ours, *peer = NULL;
	static struct fire t;
	uint64_t end;
	int ret;

	if (!c)
		return -ENOMEM;
	t = (struct fire){ 0 };
	ours = bench_side(c, BENCH_OURS, "vmirq_route_set_msi");
	bench_target(c, BENCH_P99_MAX, "", 1000);
	bench_target(c, BENCH_VALUE_MAX, "torn", 0);
	bench_target(c, BENCH_VALUE_MAX, "lost", 0);
	bench_target(c, BENCH_VALUE_MAX, "signaller_slowed", 0.2);
	ret = open_fire(b, &t);
	if (t.has_kvm)
		peer = bench_side(c, BENCH_PEER, "kvm_set_gsi_routing");
	for (end = bench_now() + b->case_ns; !ret && bench_now() < end;) {
		t.use_kvm = false;
		ret = fire_slice(&t, NULL, &signals[0]);
		if (!ret)
			ret = fire_slice(&t, &ours->samples, &signals[1]);
		bench_soft_drain(t.soft.vcpu[0]);
		bench_soft_drain(t.soft.vcpu[1]);
		t.use_kvm = true;
		if (!ret && peer)
			ret = fire_slice(&t, NULL, &signals[2]);
		if (!ret && peer)
			ret = fire_slice(&t, &peer->samples, &signals[3]);
	}
	if (!ret)
		account(b, c, &t);
	if (t.updating_ns)
		bench_value(c, "updates_per_second",
			    (double)ours->samples.n * 1e9 / (double)t.updating_ns);
	add_slowdown(c, "signaller_slowed", &signals[0], &signals[1]);
	add_slowdown(c, "kvm_signaller_slowed", &signals[2], &signals[3]);
	bench_note(
		c,
		"A sample is one update on CPU %d, one each 10 us, while CPU %d signals the route's irqfd "
		"without pause; slices with and without updates in turns. Torn: the vector of one "
		"setting on the vCPU of the other. signaller_slowed: the median of batches of %u "
		"signals with updates over that without, less 1; %u batches are left out, since no "
		"update came beside them. p99 and max hold what the machine does to the "
		"updating thread meanwhile. The peer: 256 routes; torn and lost are not looked for.",
		b->cpu[0], b->cpu[1], SIGNALS_OURS, t.alone);
	for (int i = 0; i < 4; i++)
		samples_free(&signals[i]);
	if (!t.has_kvm)
		bench_no_kvm(c, &t.kvm);
	bench_partner_close(&t.partner);
	if (t.has_kvm)
		bench_kvm_close(&t.kvm);
	bench_soft_close(&t.soft);
	return ret;
}
