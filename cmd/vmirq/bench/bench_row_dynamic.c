// SPDX-License-Identifier: MIT
/*
 * dynamic_msi: messages where the kernel is without KVM_SIGNAL_MSI.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <vmirq/irqfd.h>
#include <vmirq/msi.h>
#include <vmirq/route.h>

#include "bench_flush.h"
#include "bench_rows.h"
#include "bench_soft.h"

#define GSIS	  256u
#define MESSAGES  (10 * GSIS)
#define CHURN	  512u
#define HITS	  64u
#define HOT	  16u
#define FIRST_GSI 24u
/* A route of the VMM's own, whose irqfd must not be touched. */
#define OWN_GSI	   40u
#define OWN_VECTOR 0xf0u

struct dynamic {
	struct bench_kvm own;  /* under libvmirq's split irqchip */
	struct bench_kvm peer; /* under the port */
	struct vmirq_vm *vm;
	struct vmirq_irqfd *irqfd;
	int eventfd;
	struct bench_flush flush;
	uint64_t random[2];
	struct kvm_msi hot[HOT]; /* made beforehand: the floor makes none */
	uint32_t refused;
};

static struct kvm_msi message(uint32_t n)
{
	/* Bits 31:16 of the data mean nothing to a local APIC, and make it another message. */
	return (struct kvm_msi){
		.address_lo = (uint32_t)bench_msi_address(0),
		.data = bench_vector(n) | (n / BENCH_VECTORS + 1) << 16,
	};
}

static void hit(void *opaque, uint32_t batch)
{
	struct dynamic *t = opaque;

	for (uint32_t i = 0; i < batch; i++) {
		if (vmirq_msi_send(t->vm, &t->hot[i % HOT]) <= 0)
			t->refused++;
	}
}

/* What a hit cannot do without. On the port's VM: libvmirq does not tell which GSIs of the kernel's it has
 * given its messages. */
static void raise_gsi(void *opaque, uint32_t batch)
{
	struct dynamic *t = opaque;

	for (uint32_t i = 0; i < batch; i++) {
		struct kvm_irq_level line = { .irq = FIRST_GSI + i % HOT, .level = 1 };

		if (ioctl(t->peer.vm, KVM_IRQ_LINE_STATUS, &line) < 0 || (int)line.status <= 0)
			t->refused++;
	}
}

/* So that they are on the first GSIs. */
static void make_hot(struct dynamic *t)
{
	for (uint32_t i = 0; i < HOT; i++) {
		t->hot[i] = message(i);
		if (bench_flush_send(&t->flush, &t->hot[i]))
			t->refused++;
	}
}

static void churn(void *opaque, uint32_t batch)
{
	struct dynamic *t = opaque;

	for (uint32_t i = 0; i < batch; i++) {
		struct kvm_msi msi =
			message((uint32_t)(bench_random(&t->random[0]) >> 32) % MESSAGES);

		if (vmirq_msi_send(t->vm, &msi) <= 0)
			t->refused++;
	}
}

static void churn_flush(void *opaque, uint32_t batch)
{
	struct dynamic *t = opaque;

	for (uint32_t i = 0; i < batch; i++) {
		struct kvm_msi msi =
			message((uint32_t)(bench_random(&t->random[1]) >> 32) % MESSAGES);

		if (bench_flush_send(&t->flush, &msi))
			t->refused++;
	}
}

static int open_split(struct bench_kvm *k)
{
	struct kvm_enable_cap split = { .cap = KVM_CAP_SPLIT_IRQCHIP, .args[0] = 24 };
	int ret = bench_kvm_open_bare(k);

	if (!ret && ioctl(k->vm, KVM_ENABLE_CAP, &split) < 0)
		ret = -errno;
	return ret ? ret : bench_kvm_add_vcpus(k, 1);
}

static int open_ours(struct dynamic *t)
{
	struct vmirq_vm_config config = {
		.size = sizeof(config),
		.irqchip = VMIRQ_IRQCHIP_SPLIT,
		.max_vcpus = 1,
		.without = VMIRQ_CAP_SIGNAL_MSI,
		.kernel_gsis = FIRST_GSI + GSIS,
	};
	struct vmirq_vcpu_config vcpu = { .size = sizeof(vcpu) };
	struct vmirq_irqfd_config irqfd = {
		.size = sizeof(irqfd),
		.gsi = OWN_GSI,
		.eventfd = t->eventfd,
	};
	struct vmirq_vcpu *made;
	int ret = bench_kvm_open_bare(&t->own);

	config.kvm_vm_fd = t->own.vm;
	if (!ret)
		ret = vmirq_vm_create(&config, &t->vm);
	if (!ret)
		ret = bench_kvm_add_vcpus(&t->own, 1);
	if (ret)
		return ret;
	vcpu.kvm_run = t->own.run[0];
	vcpu.kvm_vcpu_fd = t->own.vcpu[0];
	ret = vmirq_vcpu_create(t->vm, &vcpu, &made);
	if (!ret)
		ret = vmirq_route_set_msi(t->vm, OWN_GSI, bench_msi_address(0), OWN_VECTOR);
	return ret ? ret : vmirq_irqfd_assign(t->vm, &irqfd, &t->irqfd);
}

static void add_side(struct bench_case *c, enum bench_role role, const char *name,
		     struct dynamic *t, void (*slice)(void *opaque, uint32_t batch), uint32_t batch)
{
	struct bench_side *side = bench_side(c, role, name);

	side->slice = slice;
	side->opaque = t;
	side->batch = batch;
}

/* The irqfd's own route: does it still bring its vector? */
static bool is_touched(struct dynamic *t)
{
	const uint64_t one = 1;

	bench_kvm_clean(&t->own, 0);
	return write(t->eventfd, &one, sizeof(one)) != sizeof(one) ||
	       !bench_kvm_pending(&t->own, 0, OWN_VECTOR);
}

static void measure(struct bench *b, struct bench_case *hits, struct bench_case *c,
		    struct dynamic *t)
{
	double mean[2], ours, floor;
	uint32_t touched = 0;

	make_hot(t);
	add_side(hits, BENCH_OURS, "vmirq_msi_send", t, hit, HITS);
	add_side(hits, BENCH_FLOOR, "kvm_irq_line_status", t, raise_gsi, HITS);
	bench_measure(hits, b->case_ns);
	ours = samples_quantile(&hits->side[0].samples, 0.5);
	floor = samples_quantile(&hits->side[1].samples, 0.5);
	bench_value(hits, "over_floor_ns", ours - floor);

	add_side(c, BENCH_OURS, "vmirq_msi_send", t, churn, CHURN);
	add_side(c, BENCH_PEER, "port_flush_everything", t, churn_flush, CHURN);
	for (uint64_t end = bench_now() + b->case_ns; bench_now() < end;) {
		bench_measure(c, b->case_ns / 8);
		touched += is_touched(t);
	}
	mean[0] = samples_mean(&c->side[0].samples);
	mean[1] = samples_mean(&c->side[1].samples);
	bench_value(c, "mean", mean[0]);
	bench_value(c, "port_mean", mean[1]);
	bench_value(c, "mean_over_port", mean[0] / mean[1]);
	bench_value(c, "irqfd_routes_touched", touched);
	bench_lost(b, t->refused + touched, "messages that were not taken, or irqfds touched");
}

int bench_dynamic_msi(struct bench *b)
{
	struct bench_case *hits = bench_case(b, "", "ns"), *c = bench_case(b, "churn", "ns");
	struct dynamic t = { .random = { 88172645463325252u, 88172645463325252u }, .eventfd = -1 };
	int ret = 0;

	if (!hits || !c)
		return -ENOMEM;
	bench_target(hits, BENCH_VALUE_MAX, "over_floor_ns", 20);
	bench_target(c, BENCH_VALUE_MAX, "mean_over_port", 1.5);
	bench_target(c, BENCH_VALUE_MAX, "irqfd_routes_touched", 0);
	bench_note(
		hits,
		"split, without KVM_SIGNAL_MSI, %u GSIs; the mean of %u messages that have their "
		"routes. Ours: the route is found and its GSI raised. The floor: KVM_IRQ_LINE_STATUS on "
		"a GSI that is known.",
		GSIS, HITS);
	bench_note(
		c,
		"%u messages at random, each as likely as another, on %u GSIs; the mean of %u. Ours: "
		"cold routes are evicted some at a time, and an irqfd's never. The peer, a port: the "
		"lowest free GSI, and when there is none all are flushed.",
		MESSAGES, GSIS, CHURN);
	t.eventfd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (bench_kvm_open_bare(&t.own)) {
		bench_note(hits, "Not measured: %s.", t.own.why);
		bench_note(c, "Not measured: %s.", t.own.why);
	} else {
		bench_kvm_close(&t.own);
		ret = open_ours(&t);
		if (!ret)
			ret = open_split(&t.peer);
		if (!ret)
			ret = bench_flush_open(&t.flush, t.peer.vm, FIRST_GSI, GSIS);
		if (!ret)
			measure(b, hits, c, &t);
		bench_flush_close(&t.flush);
		vmirq_vm_destroy(t.vm);
		if (t.peer.vm > 0)
			bench_kvm_close(&t.peer);
	}
	bench_kvm_close(&t.own);
	if (t.eventfd >= 0)
		close(t.eventfd);
	return ret;
}
