// SPDX-License-Identifier: MIT
/*
 * dirq: host interrupts, queued each in its own place.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>
#include <vmirq/passthrough.h>

#include "bench_rows.h"
#include "bench_scan.h"
#include "bench_soft.h"

/* Raised, each twice, and then served, lot by lot, in one slice. */
#define RAISED 64u
#define LOT    16u
/* Of the saturated ones, in the fairness case: raised all, and so many served, again and again. */
#define SATURATED 256u
#define SERVED	  64u
#define ROUNDS	  1000u

struct dirq {
	struct bench_soft soft;
	struct vmirq_worker *worker;
	struct vmirq_pirq **pirq;
	struct bench_scan scan;
	int *eventfd;
	int epoll;
	struct bench_floor floor;
	uint32_t n;
	uint32_t chosen[RAISED]; /* a lot's are different ones */
	bool chosen_anew;	 /* before each slice */
	uint64_t random;
	uint32_t failed;
};

static void choose(struct dirq *t)
{
	uint32_t stride = t->n / RAISED;

	for (uint32_t i = 0; i < RAISED; i++)
		t->chosen[i] =
			stride ? i * stride + (uint32_t)(bench_random(&t->random) >> 32) % stride
			       : i % t->n;
}

static void prepare(void *opaque)
{
	struct dirq *t = opaque;

	bench_soft_drain(t->soft.vcpu[0]);
	if (t->chosen_anew)
		choose(t);
}

static void run_ours(void *opaque, uint32_t batch)
{
	struct dirq *t = opaque;
	const uint32_t n = LOT;

	for (uint32_t i = 0; i < batch; i += n) {
		for (uint32_t j = i; j < i + n; j++)
			t->failed += vmirq_pirq_raise(t->pirq[t->chosen[j]]) != VMIRQ_HELD;
		for (uint32_t j = i; j < i + n; j++)
			t->failed += vmirq_pirq_raise(t->pirq[t->chosen[j]]) != VMIRQ_COALESCED;
		t->failed += vmirq_worker_run(t->worker, n) != (int)n;
	}
}

static void run_port(void *opaque, uint32_t batch)
{
	struct dirq *t = opaque;
	const uint32_t n = LOT;

	for (uint32_t i = 0; i < batch; i += n) {
		for (uint32_t j = i; j < i + n; j++)
			bench_scan_raise(&t->scan, t->chosen[j]);
		for (uint32_t j = i; j < i + n; j++)
			bench_scan_raise(&t->scan, t->chosen[j]);
		/* The work item does not know how many there are. */
		t->failed += bench_scan_run(&t->scan, UINT32_MAX, NULL) != n;
	}
}

static void raise_eventfds(struct dirq *t, uint32_t from, uint32_t n)
{
	const uint64_t one = 1;

	for (uint32_t j = from; j < from + n; j++)
		t->failed += write(t->eventfd[t->chosen[j]], &one, sizeof(one)) != sizeof(one);
}

static void run_eventfds(void *opaque, uint32_t batch)
{
	struct epoll_event ready[LOT];
	struct dirq *t = opaque;
	const uint32_t n = LOT;

	for (uint32_t i = 0; i < batch; i += n) {
		raise_eventfds(t, i, n);
		raise_eventfds(t, i, n);
		int found = epoll_wait(t->epoll, ready, (int)n, 0);

		t->failed += found != (int)n;
		for (int j = 0; j < found; j++) {
			uint64_t count;

			t->failed += read(ready[j].data.fd, &count, sizeof(count)) < 0;
			vmirq_irqfd_signal(t->soft.irqfd[0]);
		}
	}
}

static int open_pirqs(struct dirq *t)
{
	const struct vmirq_worker_config worker = { .size = sizeof(worker) };
	const struct vmirq_pirq_config pirq = { .size = sizeof(pirq), .eventfd = -1 };
	struct vmirq_pirq_binding binding = { .size = sizeof(binding),
					      .vm = t->soft.vm,
					      .type = VMIRQ_PIRQ_MSI,
					      .flags = VMIRQ_PIRQ_NO_FAST_PATH,
					      .address = bench_msi_address(0) };
	int ret = vmirq_worker_create(&worker, &t->worker);

	t->pirq = calloc(t->n, sizeof(struct vmirq_pirq *));
	if (!t->pirq)
		return -ENOMEM;
	binding.worker = t->worker;
	for (uint32_t i = 0; i < t->n && !ret; i++) {
		binding.data = bench_vector(i);
		ret = vmirq_pirq_create(&pirq, &t->pirq[i]);
		if (!ret)
			ret = vmirq_pirq_bind(t->pirq[i], &binding);
	}
	return ret;
}

/* No side of that name where there may not be so many descriptors. */
static int open_eventfds(struct dirq *t, bool *there)
{
	struct rlimit limit = { 0 };

	*there = !getrlimit(RLIMIT_NOFILE, &limit) && limit.rlim_cur >= t->n + 64;
	if (!*there)
		return 0;
	t->eventfd = malloc(t->n * sizeof(*t->eventfd));
	if (!t->eventfd)
		return -ENOMEM;
	memset(t->eventfd, 0xff, t->n * sizeof(*t->eventfd));
	t->epoll = epoll_create1(EPOLL_CLOEXEC);
	for (uint32_t i = 0; i < t->n; i++) {
		struct epoll_event event = { .events = EPOLLIN };

		event.data.fd = t->eventfd[i] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
		if (event.data.fd < 0 || epoll_ctl(t->epoll, EPOLL_CTL_ADD, event.data.fd, &event))
			return -errno;
	}
	return 0;
}

static int open_dirq(struct dirq *t, bool *has_eventfds)
{
	int ret;

	t->epoll = -1;
	t->random = 88172645463325252u;
	ret = bench_soft_open(&t->soft, 1, 0);
	if (!ret)
		ret = bench_soft_add_irqfds(&t->soft, 1);
	if (!ret)
		ret = open_pirqs(t);
	if (!ret)
		ret = open_eventfds(t, has_eventfds);
	choose(t);
	t->scan.n = t->n;
	t->scan.pending = calloc(t->n, 1);
	if (!ret)
		t->scan.irqfd = t->soft.irqfd[0];
	return ret || t->scan.pending ? ret : -ENOMEM;
}

static void close_dirq(struct dirq *t)
{
	for (uint32_t i = 0; t->pirq && i < t->n; i++)
		vmirq_pirq_destroy(t->pirq[i]);
	for (uint32_t i = 0; t->eventfd && i < t->n; i++) {
		if (t->eventfd[i] >= 0)
			close(t->eventfd[i]);
	}
	if (t->epoll >= 0)
		close(t->epoll);
	free(t->pirq);
	free(t->eventfd);
	free(t->scan.pending);
	vmirq_worker_destroy(t->worker, NULL);
	bench_soft_close(&t->soft);
}

static void add(struct bench_case *c, enum bench_role role, const char *name,
		void (*slice)(void *opaque, uint32_t batch), struct dirq *t)
{
	struct bench_side *side = bench_side(c, role, name);

	side->slice = slice;
	side->prepare = prepare;
	side->opaque = t;
	side->batch = RAISED;
}

static int dirq_case(struct bench *b, const char *name, uint32_t n, bool anew,
		     struct bench_case **out)
{
	struct bench_case *c = bench_case(b, name, "ns");
	struct dirq *t = calloc(1, sizeof(*t));
	bool has_eventfds = false;
	struct bench_side *floor;
	int ret = -ENOMEM;

	if (c && t) {
		t->n = n;
		t->chosen_anew = anew;
		ret = open_dirq(t, &has_eventfds);
	}
	if (!ret) {
		add(c, BENCH_OURS, "vmirq_pirq_raise", run_ours, t);
		add(c, BENCH_PEER, "port_scan", run_port, t);
		if (has_eventfds) {
			add(c, BENCH_PEER, "eventfd_epoll", run_eventfds, t);
			bench_target(c, BENCH_PEER_MIN, "eventfd_epoll", 10);
		}
		floor = bench_side(c, BENCH_FLOOR, "two_rmw");
		floor->slice = bench_floor_rmw;
		floor->opaque = &t->floor;
		floor->batch = RAISED * 2;
		floor->weight = 0.5;
		bench_measure(c, b->case_ns / 2);
		bench_lost(b, t->failed, "interrupts not queued once, or not served");
		bench_note(
			c,
			"%u pirqs, of which %u anywhere among them%s are raised, %u at a time, raised "
			"again, and served, by one thread; for one. Ours: queued in a worker, which "
			"the first of each %u wakes by a write, and delivered as messages (not by the "
			"fast path). The port: a flag each, and a work item that looks at all.%s The "
			"floor: two locked ORs.",
			n, n < RAISED ? n : RAISED, anew ? ", others each time, in no cache," : "",
			LOT, LOT,
			has_eventfds ? " The eventfds: two writes, epoll, a read."
				     : " No eventfds: there may not be so many descriptors.");
		*out = c;
	}
	if (t)
		close_dirq(t);
	free(t);
	return ret;
}

static double jain(const uint64_t *served, uint32_t n)
{
	double sum = 0, squares = 0;

	for (uint32_t i = 0; i < n; i++) {
		sum += (double)served[i];
		squares += (double)served[i] * (double)served[i];
	}
	return squares > 0 ? sum * sum / (n * squares) : 0;
}

static void raise_all(struct dirq *t, bool ours)
{
	for (uint32_t i = 0; i < t->n; i++) {
		if (ours)
			vmirq_pirq_raise(t->pirq[i]);
		else
			bench_scan_raise(&t->scan, i);
	}
}

static int fairness_case(struct bench *b)
{
	struct bench_case *c = bench_case(b, "fairness", "ns");
	struct dirq *t = calloc(1, sizeof(*t));
	uint64_t served[2][SATURATED] = { { 0 } };
	struct bench_side *ours = NULL, *port = NULL;
	bool unused;
	int ret = -ENOMEM;

	if (c && t) {
		ours = bench_side(c, BENCH_OURS, "vmirq_worker_run");
		port = bench_side(c, BENCH_PEER, "port_scan");
		t->n = SATURATED;
		ret = open_dirq(t, &unused);
	}
	for (uint32_t round = 0; !ret && round < ROUNDS; round++) {
		uint64_t start = bench_now(), between;

		raise_all(t, true);
		vmirq_worker_run(t->worker, SERVED);
		between = bench_now();
		raise_all(t, false);
		bench_scan_run(&t->scan, SERVED, served[1]);
		samples_add(&ours->samples, (double)(between - start) / SERVED);
		samples_add(&port->samples, (double)(bench_now() - between) / SERVED);
	}
	for (uint32_t i = 0; !ret && i < SATURATED; i++) {
		struct vmirq_pirq_counts counts = { .size = sizeof(counts) };

		ret = vmirq_pirq_counts(t->pirq[i], &counts);
		served[0][i] = counts.runs;
	}
	if (!ret) {
		bench_value(c, "jain", jain(served[0], SATURATED));
		bench_value(c, "port_jain", jain(served[1], SATURATED));
		bench_value(c, "jain_short_of_1", 1 - jain(served[0], SATURATED));
		bench_target(c, BENCH_VALUE_MAX, "jain_short_of_1", 0.001);
		bench_note(
			c,
			"%u pirqs, all raised again before each %u are served, %u times. Jain's index "
			"of how often each was served: 1 = alike; 1/%u = only one. The port of the "
			"scan begins at the lowest each time. A sample is such a round, for one served.",
			SATURATED, SERVED, ROUNDS, SATURATED);
	}
	if (t)
		close_dirq(t);
	free(t);
	return ret;
}

int bench_dirq(struct bench *b)
{
	struct bench_case *c[4] = { NULL };
	double growth;
	int ret = dirq_case(b, "", 16, false, &c[0]);

	if (!ret)
		ret = dirq_case(b, "1024", 1024, false, &c[1]);
	if (!ret)
		ret = dirq_case(b, "65536", 65536, false, &c[2]);
	if (!ret)
		ret = dirq_case(b, "65536_cold", 65536, true, &c[3]);
	if (!ret && bench_ratio(&c[2]->side[0], &c[0]->side[0], &growth)) {
		bench_value(c[2], "growth_from_16", growth);
		bench_target(c[2], BENCH_VALUE_MAX, "growth_from_16", 2);
	}
	if (!ret && bench_ratio(&c[3]->side[0], &c[0]->side[0], &growth))
		bench_value(c[3], "growth_from_16", growth);
	return ret ? ret : fairness_case(b);
}
