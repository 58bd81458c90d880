// SPDX-License-Identifier: MIT
#include "bench_pair.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "bench.h"

#define TURNS_BEFORE_YIELD 64
/* On a crowded machine a thread has been seen to wait for a CPU for more than three seconds. */
#define SLEEP_LIMIT_NS UINT64_C(20000000000)

static cpu_set_t all_cpus;
static bool one_cpu;

void bench_choose_cpus(struct bench *b)
{
	int n = 0;

	CPU_ZERO(&all_cpus);
	sched_getaffinity(0, sizeof(all_cpus), &all_cpus);
	for (int i = 0; i < CPU_SETSIZE && n < 2; i++) {
		if (CPU_ISSET(i, &all_cpus))
			b->cpu[n++] = i;
	}
	one_cpu = n < 2;
	if (one_cpu)
		b->cpu[1] = b->cpu[0];
}

static void bind_to(int cpu)
{
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET((size_t)cpu, &one);
	sched_setaffinity(0, sizeof(one), &one);
}

void bench_spin(uint32_t *turns)
{
	/* With a CPU each, who yields to a third party is away when the other comes: on a crowded machine
	 * the two would hardly ever run at once. */
	if (++*turns % TURNS_BEFORE_YIELD == 0 && one_cpu)
		sched_yield();
}

void bench_meet(struct bench_meeting *meeting)
{
	uint32_t mine = atomic_fetch_add(&meeting->arrived, 1) + 1, turns = 0;
	uint32_t both = mine + (mine & 1);

	while ((int32_t)(atomic_load(&meeting->arrived) - both) < 0)
		bench_spin(&turns);
}

static void *partner_main(void *opaque)
{
	struct bench_partner *partner = opaque;
	uint32_t seen = 0, turns = 0;

	bind_to(partner->cpu);
	/* The kernel may lengthen a sleep otherwise. */
	prctl(PR_SET_TIMERSLACK, 1ul);
	atomic_store(&partner->tid, gettid());
	while (!atomic_load(&partner->ends)) {
		/* Pairs with bench_partner_ask(): the job is there. */
		if (atomic_load(&partner->asked) == seen) {
			bench_spin(&turns);
			continue;
		}
		seen++;
		partner->job(partner->opaque, partner->n);
		/* Pairs with bench_partner_wait(). */
		atomic_store(&partner->done, seen);
	}
	return NULL;
}

int bench_partner_open(struct bench *b, struct bench_partner *partner)
{
	char path[64];
	uint32_t turns = 0;
	int ret;

	memset(partner, 0, sizeof(*partner));
	partner->cpu = b->cpu[1];
	partner->stat_fd = -1;
	ret = -pthread_create(&partner->thread, NULL, partner_main, partner);
	if (ret)
		return ret;
	partner->started = true;
	bind_to(b->cpu[0]);
	while (!atomic_load(&partner->tid))
		bench_spin(&turns);
	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", atomic_load(&partner->tid));
	partner->stat_fd = open(path, O_RDONLY | O_CLOEXEC);
	return partner->stat_fd < 0 ? -errno : 0;
}

void bench_partner_close(struct bench_partner *partner)
{
	if (!partner->started)
		return;
	atomic_store(&partner->ends, true);
	pthread_join(partner->thread, NULL);
	if (partner->stat_fd >= 0)
		close(partner->stat_fd);
	partner->started = false;
	sched_setaffinity(0, sizeof(all_cpus), &all_cpus);
}

void bench_partner_ask(struct bench_partner *partner, bench_job *job, void *opaque, uint32_t n)
{
	partner->job = job;
	partner->opaque = opaque;
	partner->n = n;
	atomic_fetch_add(&partner->asked, 1);
}

void bench_partner_wait(struct bench_partner *partner)
{
	uint32_t turns = 0;

	while (atomic_load(&partner->done) != atomic_load(&partner->asked))
		bench_spin(&turns);
}

bool bench_partner_sleeps(struct bench_partner *partner)
{
	uint64_t end = bench_now() + SLEEP_LIMIT_NS;
	char stat[128];

	do {
		ssize_t n = pread(partner->stat_fd, stat, sizeof(stat) - 1, 0);
		const char *state;

		if (n <= 0)
			return false;
		stat[n] = 0;
		state = strrchr(stat, ')');
		if (state && state[1] && state[2] == 'S')
			return true;
	} while (bench_now() < end);
	return false;
}
