// SPDX-License-Identifier: MIT
/*
 * cross_core: there and back between two cores that poll.
 */
#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "bench_rows.h"
#include "bench_two.h"

#define ROUND_TRIPS 8u

static uint32_t await_vector(struct vmirq_vcpu *vcpu)
{
	uint32_t turns = 0;
	int vector;

	while ((vector = vmirq_vcpu_next_vector(vcpu)) < 0)
		bench_spin(&turns);
	return (uint32_t)vector;
}

static void pong_ours(void *opaque, uint32_t n)
{
	struct two *t = opaque;

	bench_meet(&t->meeting);
	for (uint32_t i = 0; i < n; i++) {
		uint32_t vector = await_vector(t->soft.vcpu[1]);

		/* Just the one: the next may be there when this is ended. */
		vmirq_irqfd_signal(t->soft.irqfd[0]);
		bench_soft_take(t->soft.vcpu[1], vector);
	}
}

static void ping_ours(struct two *t, uint32_t n)
{
	/* Irqfd 0 is vCPU 0's, irqfd BENCH_VECTORS vCPU 1's. */
	vmirq_irqfd_signal(t->soft.irqfd[BENCH_VECTORS]);
	for (uint32_t i = 1; i <= n; i++) {
		uint32_t vector = await_vector(t->soft.vcpu[0]);

		if (i < n)
			vmirq_irqfd_signal(t->soft.irqfd[BENCH_VECTORS]);
		bench_soft_take(t->soft.vcpu[0], vector);
	}
}

static void pong_line(void *opaque, uint32_t n)
{
	struct two *t = opaque;
	uint64_t at = atomic_load(&t->pong.word);
	uint32_t turns = 0;

	bench_meet(&t->meeting);
	for (uint32_t i = 1; i <= n; i++) {
		while (atomic_load_explicit(&t->ping.word, memory_order_acquire) != at + i)
			bench_spin(&turns);
		atomic_store_explicit(&t->pong.word, at + i, memory_order_release);
	}
}

static void ping_line(struct two *t, uint32_t n)
{
	uint64_t at = atomic_load(&t->ping.word);
	uint32_t turns = 0;

	for (uint32_t i = 1; i <= n; i++) {
		atomic_store_explicit(&t->ping.word, at + i, memory_order_release);
		while (atomic_load_explicit(&t->pong.word, memory_order_acquire) != at + i)
			bench_spin(&turns);
	}
}

static void await_eventfd(int fd)
{
	uint32_t turns = 0;
	uint64_t n;

	while (read(fd, &n, sizeof(n)) != sizeof(n))
		bench_spin(&turns);
}

static void ring(int fd)
{
	const uint64_t one = 1;

	if (write(fd, &one, sizeof(one)) != sizeof(one))
		return;
}

static void pong_eventfd(void *opaque, uint32_t n)
{
	struct two *t = opaque;

	bench_meet(&t->meeting);
	for (uint32_t i = 0; i < n; i++) {
		await_eventfd(t->fd[0]);
		ring(t->fd[1]);
	}
}

static void ping_eventfd(struct two *t, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		ring(t->fd[0]);
		await_eventfd(t->fd[1]);
	}
}

static void await_irr(struct two *t, uint32_t vcpu)
{
	uint32_t turns = 0;

	while (!bench_kvm_pending_count(&t->kvm, vcpu))
		bench_spin(&turns);
}

static void pong_kvm(void *opaque, uint32_t n)
{
	struct two *t = opaque;

	bench_meet(&t->meeting);
	for (uint32_t i = 0; i < n; i++) {
		await_irr(t, 1);
		bench_kvm_clean(&t->kvm, 1);
		ring(t->kvm.eventfd[0]);
	}
}

static void ping_kvm(struct two *t, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		ring(t->kvm.eventfd[BENCH_VECTORS]);
		await_irr(t, 0);
		bench_kvm_clean(&t->kvm, 0);
	}
}

static void slice_two(struct two *t, struct bench_side *side, bench_job *pong,
		      void (*ping)(struct two *t, uint32_t n))
{
	uint64_t start;

	bench_partner_ask(&t->partner, pong, t, ROUND_TRIPS);
	bench_meet(&t->meeting);
	start = bench_now();
	ping(t, ROUND_TRIPS);
	samples_add(&side->samples, (double)(bench_now() - start) / 2 / ROUND_TRIPS);
	bench_partner_wait(&t->partner);
}

int bench_cross_core(struct bench *b)
{
	struct bench_case *c = bench_case(b, "", "ns");
	static struct two t;
	struct bench_side *ours, *line, *spin, *kvm = NULL;
	uint64_t start = bench_now(), signals = 0;
	int ret;

	if (!c)
		return -ENOMEM;
	bench_target(c, BENCH_FLOOR_MAX, "line_transfer", 1.5);
	bench_target(c, BENCH_PEER_MIN, "eventfd_spin", 4);
	ours = bench_side(c, BENCH_OURS, "vmirq_irqfd_signal");
	line = bench_side(c, BENCH_FLOOR, "line_transfer");
	spin = bench_side(c, BENCH_PEER, "eventfd_spin");
	t = (struct two){ 0 };
	ret = open_two(b, &t, 2, 2 * BENCH_VECTORS);
	for (int i = 0; i < 2; i++)
		t.fd[i] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (t.has_kvm)
		kvm = bench_side(c, BENCH_PEER, "kvm_irqfd_irr");
	for (; !ret && two_goes_on(b, &ours->samples, start); signals += 2 * ROUND_TRIPS) {
		slice_two(&t, ours, pong_ours, ping_ours);
		slice_two(&t, line, pong_line, ping_line);
		slice_two(&t, spin, pong_eventfd, ping_eventfd);
		if (kvm)
			slice_two(&t, kvm, pong_kvm, ping_kvm);
	}
	if (!ret)
		bench_lost(b, bench_soft_missing(&t.soft, signals), "signals unaccounted for");
	bench_note(
		c,
		"Half of a round trip between CPUs %d and %d, the mean of %u. Ours: a counted signal, and "
		"the other vCPU polls vmirq_vcpu_next_vector(); it answers, then takes and ends the "
		"vector, and polls again. The floor: a store that the other core sees. eventfd_spin: write, and read "
		"without blocking in a loop. kvm_irqfd_irr: write to an irqfd, KVM_GET_LAPIC until IRR "
		"has it, KVM_SET_LAPIC: there is no cheaper look into a kernel's LAPIC, so no target.",
		b->cpu[0], b->cpu[1], ROUND_TRIPS);
	if (!t.has_kvm)
		bench_no_kvm(c, &t.kvm);
	close(t.fd[0]);
	close(t.fd[1]);
	close_two(&t);
	return ret;
}
