/* SPDX-License-Identifier: MIT */
/*
 * Rows with two threads: the caller's and a partner, on a CPU each.
 */
#ifndef VMIRQ_BENCH_PAIR_H
#define VMIRQ_BENCH_PAIR_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct bench;

/* Both threads come here, in any order; nobody leaves before both are there. Zero to begin. */
struct bench_meeting {
	_Alignas(64) _Atomic uint32_t arrived;
};
void bench_meet(struct bench_meeting *meeting);

/* One turn of a wait that is expected to be short. Zero to begin. */
void bench_spin(uint32_t *turns);

typedef void bench_job(void *opaque, uint32_t n);

struct bench_partner {
	/* What the two write to each other is on a line of its own. */
	_Alignas(64) _Atomic uint32_t asked;
	_Atomic uint32_t done;
	_Atomic bool ends;
	bool started;
	/* Of the partner, set before bench_partner_open() returns. */
	_Atomic int tid;
	/* Written before `asked` goes up. */
	uint32_t n;
	bench_job *job;
	void *opaque;
	pthread_t thread;
	int cpu;
	int stat_fd;
};

/* Also binds the caller to its CPU, until close. */
int bench_partner_open(struct bench *b, struct bench_partner *partner);
void bench_partner_close(struct bench_partner *partner);
/* Have it do job(opaque, n); and wait until it has. */
void bench_partner_ask(struct bench_partner *partner, bench_job *job, void *opaque, uint32_t n);
void bench_partner_wait(struct bench_partner *partner);
/* Wait until it sleeps in a system call. False: not within 20 seconds. */
bool bench_partner_sleeps(struct bench_partner *partner);

/* The CPUs that the rows may use; once, at the start. */
void bench_choose_cpus(struct bench *b);

#endif
