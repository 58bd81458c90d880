// SPDX-License-Identifier: MIT
#include "bench_wake.h"

#include <errno.h>
#include <linux/futex.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bench.h"

#define WAKES 8u

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
	{ WAKE_PARKED, sleep_parked, wake_parked },
	{ WAKE_FUTEX, sleep_futex, wake_futex },
	{ WAKE_EVENTFD, sleep_eventfd, wake_eventfd },
	{ WAKE_EPOLL, sleep_epoll, wake_eventfd },
	{ WAKE_HOP, sleep_hop, wake_eventfd },
	{ WAKE_PUMP, sleep_pump, wake_foreign },
	{ WAKE_KVM, sleep_kvm, wake_kvm },
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

int wake_turns(struct bench *b, struct bench_case *c, struct wake *w)
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

int wake_open(struct bench *b, struct wake *w)
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

void wake_close(struct wake *w)
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
