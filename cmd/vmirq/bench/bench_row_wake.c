// SPDX-License-Identifier: MIT
/*
 * Rows in which somebody sleeps on another core: wake_parked, eventfd_path.
 */
#include <errno.h>

#include "bench_rows.h"
#include "bench_silence.h"
#include "bench_wake.h"

static uint32_t post_in_silence(void *opaque)
{
	struct wake *w = opaque;

	return vmirq_irqfd_signal(w->soft.irqfd[0]) == VMIRQ_DELIVERED;
}

/* The other half of the row's target. */
static void count_calls(struct bench_case *c, struct wake *w)
{
	uint32_t delivered = 0;
	int calls = bench_silence(post_in_silence, w, &delivered);

	bench_soft_drain(w->soft.vcpu[0]);
	if (calls < 0 || !delivered) {
		bench_note(c,
			   "System calls of a post to a vCPU that is not parked: not counted, the "
			   "kernel has no system call user dispatch.");
		return;
	}
	bench_value(c, "system_calls_not_parked", calls);
}

int bench_wake_parked(struct bench *b)
{
	struct bench_case *c = bench_case(b, "", "ns");
	static struct wake w;
	int ret;

	if (!c)
		return -ENOMEM;
	bench_target(c, BENCH_FLOOR_MAX, WAKE_FUTEX, 1.1);
	bench_target(c, BENCH_VALUE_MAX, "system_calls_not_parked", 0);
	bench_side(c, BENCH_OURS, WAKE_PARKED);
	bench_side(c, BENCH_FLOOR, WAKE_FUTEX);
	bench_side(c, BENCH_PEER, WAKE_EVENTFD);
	bench_side(c, BENCH_PEER, WAKE_EPOLL);
	ret = wake_open(b, &w);
	if (!ret)
		ret = wake_turns(b, c, &w);
	if (!ret)
		count_calls(c, &w);
	bench_note(
		c,
		"A sample is one wake-up, from before the call on CPU %d until the sleeper's clock is "
		"read on CPU %d; each begins once the sleeper is asleep (/proc says S). Ours: post, "
		"counted, and vmirq_vcpu_park() returns. The floor: FUTEX_WAKE and FUTEX_WAIT. The "
		"peers: write to an eventfd that is read, or watched by epoll and then read; they carry "
		"no vector.",
		b->cpu[0], b->cpu[1]);
	wake_close(&w);
	return ret;
}

static void on_wake(void *opaque)
{
	struct wake *w = opaque;

	/* Nobody posts but the pump, which is the vCPU's own thread. */
	if (!pthread_equal(w->sleeper, pthread_self()))
		atomic_fetch_add(&w->failed, 1);
}

/* A vCPU that parks in the pump's dispatch, and an irqfd that the pump reads. */
static int path_ours(struct wake *w)
{
	struct vmirq_irqfd_config irqfd = {
		.size = sizeof(irqfd),
		.gsi = BENCH_FIRST_GSI,
		.eventfd = w->foreign,
	};
	struct vmirq_vcpu_config vcpu = {
		.size = sizeof(vcpu),
		.flags = VMIRQ_VCPU_X2APIC,
		.wake = { .fn = on_wake, .opaque = w },
	};
	int ret = vmirq_vcpu_destroy(w->soft.vcpu[0]);

	if (!ret)
		ret = vmirq_vcpu_create(w->soft.vm, &vcpu, &w->soft.vcpu[0]);
	if (!ret)
		ret = bench_soft_enable(w->soft.vcpu[0]);
	return ret ? ret : vmirq_irqfd_assign(w->soft.vm, &irqfd, &w->path);
}

static int path_kvm(struct wake *w)
{
	/* sti; hlt; jmp to the hlt */
	static const uint8_t code[] = { 0xfb, 0xf4, 0xeb, 0xfd };
	/* out 0x80, al; iret */
	static const uint8_t handler[] = { 0xe6, 0x80, 0xcf };
	int ret = bench_kvm_open(&w->kvm, 1);

	w->has_kvm = !ret;
	if (ret)
		return ret;
	ret = bench_kvm_add_irqfds(&w->kvm, 1);
	return ret ? ret : bench_kvm_load(&w->kvm, code, sizeof(code), handler, sizeof(handler));
}

int bench_eventfd_path(struct bench *b)
{
	struct bench_case *c = bench_case(b, "", "ns");
	static struct wake w;
	int ret;

	if (!c)
		return -ENOMEM;
	bench_target(c, BENCH_FLOOR_MAX, WAKE_HOP, 1.2);
	bench_side(c, BENCH_OURS, WAKE_PUMP);
	bench_side(c, BENCH_FLOOR, WAKE_HOP);
	ret = wake_open(b, &w);
	if (!ret)
		ret = path_ours(&w);
	if (path_kvm(&w))
		bench_no_kvm(c, &w.kvm);
	else
		bench_side(c, BENCH_PEER, WAKE_KVM);
	if (!ret)
		ret = wake_turns(b, c, &w);
	bench_note(
		c,
		"A sample is one write, from before it on CPU %d until the vCPU's thread on CPU %d knows "
		"its vector; each begins once that sleeps. Ours: the vCPU parks in "
		"vmirq_pump_dispatch(), which reads the eventfd and posts; vmirq_vcpu_step() says INJECT. "
		"The floor: epoll_wait() returns, nothing is read. The peer: a vCPU of the kernel's "
		"halts in KVM_RUN; its time ends when the first instruction of the handler, an OUT, has "
		"left the guest, so it holds an entry, an injection and an exit.",
		b->cpu[0], b->cpu[1]);
	wake_close(&w);
	return ret;
}
