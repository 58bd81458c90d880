// SPDX-License-Identifier: MIT
/*
 * Rows in which somebody sleeps on another core: wake_parked, eventfd_path.
 */
#include <errno.h>
#include <linux/futex.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bench_pair.h"
#include "bench_rows.h"
#include "bench_silence.h"
#include "bench_soft.h"

#define WAKES 8u

struct wake {
	struct bench_partner partner;
	struct bench_soft soft;
	struct bench_kvm kvm;
	bool has_kvm;
	int fd;	     /* an eventfd */
	int epoll;   /* watches it */
	int foreign; /* an eventfd bound to irqfd `path` */
	struct vmirq_irqfd *path;
	_Atomic uint32_t futex;
	/* When the sleeper ran again, 0 = it has not. */
	_Alignas(64) _Atomic uint64_t woke;
	_Atomic uint32_t failed;
	pthread_t sleeper;
};

/* The sleeper's side of one kind of wake-up; returns when it runs. */
typedef void sleep_fn(struct wake *w);

static void woke_now(struct wake *w)
{
	/* Release: pairs with wake_slice()'s acquire. */
	atomic_store_explicit(&w->woke, bench_now(), memory_order_release);
}

static void failed(struct wake *w)
{
	atomic_fetch_add(&w->failed, 1);
	woke_now(w);
}

static void sleep_parked(void *opaque, uint32_t n)
{
	struct wake *w = opaque;
	struct vmirq_vcpu *vcpu = w->soft.vcpu[0];
	uint32_t vector;

	(void)n;
	if (vmirq_vcpu_step(vcpu, VMIRQ_CPU_INTERRUPTIBLE | VMIRQ_CPU_HALTED, &vector) !=
		    VMIRQ_STEP_PARK ||
	    vmirq_vcpu_park(vcpu, -1) != VMIRQ_PARK_RUNNABLE) {
		failed(w);
		return;
	}
	woke_now(w);
	if (vmirq_vcpu_step(vcpu, VMIRQ_CPU_INTERRUPTIBLE, &vector) != VMIRQ_STEP_INJECT)
		atomic_fetch_add(&w->failed, 1);
	bench_soft_drain(vcpu);
}

static void sleep_futex(void *opaque, uint32_t n)
{
	struct wake *w = opaque;

	(void)n;
	while (!atomic_load(&w->futex))
		syscall(SYS_futex, &w->futex, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0);
	woke_now(w);
	atomic_store(&w->futex, 0);
}

static void sleep_eventfd(void *opaque, uint32_t n)
{
	struct wake *w = opaque;
	uint64_t value;

	(void)n;
	if (read(w->fd, &value, sizeof(value)) != sizeof(value))
		atomic_fetch_add(&w->failed, 1);
	woke_now(w);
}

static void sleep_epoll(void *opaque, uint32_t n)
{
	struct wake *w = opaque;
	struct epoll_event event;
	uint64_t value;

	(void)n;
	if (epoll_wait(w->epoll, &event, 1, -1) != 1 ||
	    read(w->fd, &value, sizeof(value)) != sizeof(value))
		atomic_fetch_add(&w->failed, 1);
	woke_now(w);
}

/* The floor of eventfd_path: not even the read. */
static void sleep_hop(void *opaque, uint32_t n)
{
	struct wake *w = opaque;
	struct epoll_event event;
	uint64_t value;

	(void)n;
	if (epoll_wait(w->epoll, &event, 1, -1) != 1)
		atomic_fetch_add(&w->failed, 1);
	woke_now(w);
	if (read(w->fd, &value, sizeof(value)) != sizeof(value))
		atomic_fetch_add(&w->failed, 1);
}

static void sleep_pump(void *opaque, uint32_t n)
{
	struct wake *w = opaque;
	struct vmirq_vcpu *vcpu = w->soft.vcpu[0];
	uint32_t vector;
	int step;

	(void)n;
	w->sleeper = pthread_self();
	while ((step = vmirq_vcpu_step(vcpu, VMIRQ_CPU_INTERRUPTIBLE | VMIRQ_CPU_HALTED,
				       &vector)) == VMIRQ_STEP_PARK)
		vmirq_pump_dispatch(vmirq_vm_pump(w->soft.vm), -1);
	woke_now(w);
	if (step != VMIRQ_STEP_INJECT)
		atomic_fetch_add(&w->failed, 1);
	bench_soft_drain(vcpu);
}

/* Until the handler's first instruction leaves the guest. */
static void sleep_kvm(void *opaque, uint32_t n)
{
	struct wake *w = opaque;
	struct kvm_run *run = w->kvm.run[0];

	(void)n;
	if (ioctl(w->kvm.vcpu[0], KVM_RUN, 0) < 0 || run->exit_reason != KVM_EXIT_IO)
		atomic_fetch_add(&w->failed, 1);
	woke_now(w);
	bench_kvm_clean(&w->kvm, 0);
}

static void wake_parked(struct wake *w)
{
	vmirq_irqfd_signal(w->soft.irqfd[0]);
}

static void wake_futex(struct wake *w)
{
	atomic_store(&w->futex, 1);
	syscall(SYS_futex, &w->futex, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static void ring(struct wake *w, int fd)
{
	const uint64_t one = 1;

	if (write(fd, &one, sizeof(one)) != sizeof(one))
		atomic_fetch_add(&w->failed, 1);
}

static void wake_eventfd(struct wake *w)
{
	ring(w, w->fd);
}

static void wake_foreign(struct wake *w)
{
	ring(w, w->foreign);
}

static void wake_kvm(struct wake *w)
{
	ring(w, w->kvm.eventfd[0]);
}

static const struct kind {
	const char *name;
	bench_job *sleeps;
	void (*wakes)(struct wake *w);
} kinds[] = {
	{ "vmirq_irqfd_signal", sleep_parked, wake_parked },
	{ "futex_wake", sleep_futex, wake_futex },
	{ "eventfd_read", sleep_eventfd, wake_eventfd },
	{ "epoll_wait", sleep_epoll, wake_eventfd },
	{ "epoll_hop", sleep_hop, wake_eventfd },
	{ "eventfd_to_pump", sleep_pump, wake_foreign },
	{ "kvm_irqfd", sleep_kvm, wake_kvm },
};

static const struct kind *kind_of(const struct bench_side *side)
{
	const struct kind *kind = kinds;

	while (strcmp(kind->name, side->name) != 0)
		kind++;
	return kind;
}

static int wake_slice(struct wake *w, struct bench_side *side)
{
	const struct kind *kind = kind_of(side);

	for (uint32_t i = 0; i < WAKES; i++) {
		uint64_t start, woke;
		uint32_t turns = 0;

		atomic_store(&w->woke, 0);
		bench_partner_ask(&w->partner, kind->sleeps, w, 1);
		if (!bench_partner_sleeps(&w->partner) && !atomic_load(&w->woke)) {
			kind->wakes(w); /* or it would sleep for ever */
			bench_partner_wait(&w->partner);
			return -ETIMEDOUT;
		}
		start = bench_now();
		kind->wakes(w);
		/* Acquire: pairs with woke_now(). */
		while (!(woke = atomic_load_explicit(&w->woke, memory_order_acquire)))
			bench_spin(&turns);
		samples_add(&side->samples, woke > start ? (double)(woke - start) : 0);
		bench_partner_wait(&w->partner);
	}
	return 0;
}

static int wake_turns(struct bench *b, struct bench_case *c, struct wake *w)
{
	uint64_t end = bench_now() + b->case_ns;
	int ret = 0;

	do {
		for (uint32_t i = 0; i < c->sides && !ret; i++)
			ret = wake_slice(w, &c->side[i]);
	} while (!ret && bench_now() < end);
	bench_lost(b, atomic_load(&w->failed), "sleepers woken by something else");
	return ret;
}

static int wake_open(struct bench *b, struct wake *w)
{
	struct epoll_event event = { .events = EPOLLIN };
	int ret;

	memset(w, 0, sizeof(*w));
	w->fd = eventfd(0, EFD_CLOEXEC);
	w->epoll = epoll_create1(EPOLL_CLOEXEC);
	w->foreign = eventfd(0, EFD_CLOEXEC);
	if (w->fd < 0 || w->epoll < 0 || w->foreign < 0 ||
	    epoll_ctl(w->epoll, EPOLL_CTL_ADD, w->fd, &event) < 0)
		return -errno;
	ret = bench_soft_open(&w->soft, 1, 0);
	if (!ret)
		ret = bench_soft_add_irqfds(&w->soft, 1);
	return ret ? ret : bench_partner_open(b, &w->partner);
}

static void wake_close(struct wake *w)
{
	bench_partner_close(&w->partner);
	vmirq_irqfd_deassign(w->path);
	if (w->has_kvm)
		bench_kvm_close(&w->kvm);
	bench_soft_close(&w->soft);
	close(w->fd);
	close(w->epoll);
	close(w->foreign);
}

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
	bench_target(c, BENCH_FLOOR_MAX, "futex_wake", 1.1);
	bench_target(c, BENCH_VALUE_MAX, "system_calls_not_parked", 0);
	bench_side(c, BENCH_OURS, kinds[0].name);
	bench_side(c, BENCH_FLOOR, kinds[1].name);
	bench_side(c, BENCH_PEER, kinds[2].name);
	bench_side(c, BENCH_PEER, kinds[3].name);
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
	bench_target(c, BENCH_FLOOR_MAX, "epoll_hop", 1.2);
	bench_side(c, BENCH_OURS, "eventfd_to_pump");
	bench_side(c, BENCH_FLOOR, "epoll_hop");
	ret = wake_open(b, &w);
	if (!ret)
		ret = path_ours(&w);
	if (path_kvm(&w))
		bench_no_kvm(c, &w.kvm);
	else
		bench_side(c, BENCH_PEER, "kvm_irqfd");
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
