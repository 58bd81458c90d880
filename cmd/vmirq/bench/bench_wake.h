/* SPDX-License-Identifier: MIT */
/*
 * A sleeper on another core, and the ways of waking it.
 */
#ifndef VMIRQ_BENCH_WAKE_H
#define VMIRQ_BENCH_WAKE_H

#include <stdatomic.h>

#include "bench_kvm.h"
#include "bench_pair.h"
#include "bench_soft.h"

struct bench;
struct bench_case;

/* Sides of these names are wake_turns()'s. */
#define WAKE_PARKED  "vmirq_irqfd_signal"
#define WAKE_FUTEX   "futex_wake"
#define WAKE_EVENTFD "eventfd_read"
#define WAKE_EPOLL   "epoll_wait"
#define WAKE_HOP     "epoll_hop"
#define WAKE_PUMP    "eventfd_to_pump"
#define WAKE_KVM     "kvm_irqfd"

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

int wake_open(struct bench *b, struct wake *w);
void wake_close(struct wake *w);
/* All sides in turns. */
int wake_turns(struct bench *b, struct bench_case *c, struct wake *w);

#endif
