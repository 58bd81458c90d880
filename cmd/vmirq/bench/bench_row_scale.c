// SPDX-License-Identifier: MIT
/*
 * scale: many VMs in one process.
 */
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <vmirq/route.h>

#include "bench_rows.h"
#include "bench_soft.h"

#define VMS	1000u
#define SOURCES 64u
#define SIGNALS 256u

/* The handles of a side lie alike: what is measured is what is behind them. */
struct scale_side {
	struct vmirq_irqfd *irqfd[VMS * SOURCES];
	uint64_t random;
	uint64_t signals;
};

struct scale {
	struct bench_soft many[VMS];
	struct bench_soft one;
	struct scale_side side[2]; /* of many, of one */
	double per_irqfd_and_route, per_irqfd, allocated;
};

static double resident(void)
{
	FILE *file = fopen("/proc/self/statm", "re");
	long pages = 0, all;

	if (file && fscanf(file, "%ld %ld", &all, &pages) != 2)
		pages = 0;
	if (file)
		fclose(file);
	return (double)pages * (double)sysconf(_SC_PAGESIZE);
}

static double allocated(void)
{
	struct mallinfo2 info = mallinfo2();

	return (double)info.uordblks + (double)info.hblkhd;
}

static int open_many(struct scale *t)
{
	double at[3], bytes[2], route;
	int ret = 0;

	for (uint32_t i = 0; i < VMS && !ret; i++)
		ret = bench_soft_open(&t->many[i], 1, 0);
	at[0] = resident();
	bytes[0] = allocated();
	for (uint32_t i = 0; i < VMS && !ret; i++)
		ret = bench_soft_set_routes(&t->many[i], SOURCES);
	at[1] = resident();
	bytes[1] = allocated();
	for (uint32_t i = 0; i < VMS && !ret; i++)
		ret = bench_soft_assign(&t->many[i], SOURCES);
	at[2] = resident();
	for (uint32_t i = 0; i < VMS * SOURCES && !ret; i++)
		t->side[0].irqfd[i] = t->many[i / SOURCES].irqfd[i % SOURCES];
	t->per_irqfd = (at[2] - at[1]) / (VMS * SOURCES);
	t->allocated = (allocated() - bytes[1]) / (VMS * SOURCES);
	route = at[1] - at[0] > bytes[1] - bytes[0] ? at[1] - at[0] : bytes[1] - bytes[0];
	t->per_irqfd_and_route = route / (VMS * SOURCES) +
				 (t->per_irqfd > t->allocated ? t->per_irqfd : t->allocated);
	return ret;
}

/* As many vCPUs and irqfds in one VM: what is slower with many VMs is the VMs' doing. */
static int open_one(struct scale *t)
{
	struct vmirq_irqfd_config config = { .size = sizeof(config), .eventfd = -1 };
	int ret = bench_soft_open(&t->one, VMS, 0);

	t->one.irqfd = calloc((size_t)VMS * SOURCES, sizeof(struct vmirq_irqfd *));
	if (!ret && !t->one.irqfd)
		ret = -ENOMEM;
	for (uint32_t i = 0; i < VMS * SOURCES && !ret; i++) {
		config.gsi = BENCH_FIRST_GSI + i;
		ret = vmirq_route_set_msi(t->one.vm, config.gsi, bench_msi_address(i / SOURCES),
					  bench_vector(i % SOURCES));
		if (!ret)
			ret = vmirq_irqfd_assign(t->one.vm, &config, &t->one.irqfd[i]);
		t->one.irqfds += !ret;
		t->side[1].irqfd[i] = t->one.irqfd[i];
	}
	return ret;
}

static void signal_any(void *opaque, uint32_t batch)
{
	struct scale_side *s = opaque;

	for (uint32_t i = 0; i < batch; i++)
		vmirq_irqfd_signal(
			s->irqfd[(uint32_t)(bench_random(&s->random) >> 32) % (VMS * SOURCES)]);
	s->signals += batch;
}

/* Jain's index over the VMs' rates: each VM's median of a few turns of all its sources. */
static double fairness(struct scale *t)
{
	double sum = 0, squares = 0;

	for (uint32_t vm = 0; vm < VMS; vm++) {
		struct samples turns = { 0 };
		double rate;

		for (int turn = 0; turn < 9; turn++) {
			uint64_t start = bench_now();

			for (uint32_t i = 0; i < SOURCES; i++)
				vmirq_irqfd_signal(t->many[vm].irqfd[i]);
			samples_add(&turns, (double)(bench_now() - start));
			t->side[0].signals += SOURCES;
		}
		rate = 1 / (samples_quantile(&turns, 0.5) + 1);
		sum += rate;
		squares += rate * rate;
		samples_free(&turns);
	}
	return sum * sum / (VMS * squares);
}

static uint64_t missing(struct scale *t)
{
	struct vmirq_route_counts counts = { .size = sizeof(counts) };
	uint64_t counted = 0;

	for (uint32_t vm = 0; vm < VMS; vm++) {
		for (uint32_t i = 0; i < t->many[vm].irqfds; i++) {
			vmirq_irqfd_counts(t->many[vm].irqfd[i], &counts);
			counted +=
				counts.verdict[VMIRQ_DELIVERED] + counts.verdict[VMIRQ_COALESCED];
		}
	}
	return counted > t->side[0].signals ? counted - t->side[0].signals
					    : t->side[0].signals - counted;
}

int bench_scale(struct bench *b)
{
	struct bench_case *c = bench_case(b, "", "ns");
	struct scale *t = calloc(1, sizeof(*t));
	struct bench_side *side;
	int ret = c && t ? 0 : -ENOMEM;

	if (ret) {
		free(t);
		return ret;
	}
	t->side[0].random = t->side[1].random = 88172645463325252u;
	bench_target(c, BENCH_FLOOR_MAX, "one_vm_same_footprint", 1.5);
	bench_target(c, BENCH_VALUE_MAX, "bytes_per_irqfd", 256);
	ret = open_many(t);
	if (!ret)
		ret = open_one(t);
	if (!ret) {
		side = bench_side(c, BENCH_OURS, "vmirq_irqfd_signal");
		side->slice = signal_any;
		side->opaque = &t->side[0];
		side->batch = SIGNALS;
		side = bench_side(c, BENCH_FLOOR, "one_vm_same_footprint");
		side->slice = signal_any;
		side->opaque = &t->side[1];
		side->batch = SIGNALS;
		bench_measure(c, b->case_ns);
		/* Pages that an earlier row has left are not seen to come; malloc's account is. */
		bench_value(c, "bytes_per_irqfd",
			    t->per_irqfd > t->allocated ? t->per_irqfd : t->allocated);
		bench_value(c, "bytes_per_irqfd_and_route", t->per_irqfd_and_route);
		bench_value(c, "jain_index_of_vms", fairness(t));
		bench_lost(b, missing(t), "signals unaccounted for");
	}
	bench_note(
		c,
		"%u VMs of one vCPU and %u in-process irqfds; the mean of %u signals, of any of them at "
		"random, from an array of all handles. The floor: the same in one VM of as many vCPUs and "
		"irqfds. bytes_per_irqfd: what "
		"the process has grown by, by malloc's account or in pages, whichever is more, when they "
		"were bound, their routes there already. Fairness: Jain's index over each VM's rate.",
		VMS, SOURCES, SIGNALS);
	for (uint32_t i = 0; i < VMS; i++)
		bench_soft_close(&t->many[i]);
	bench_soft_close(&t->one);
	free(t);
	return ret;
}
