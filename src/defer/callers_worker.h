/* SPDX-License-Identifier: MIT */
/* A worker that callers may have (passthrough/worker.c): a list, who wakes its server, and perhaps a thread. */
#ifndef DEFER_CALLERS_WORKER_H
#define DEFER_CALLERS_WORKER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "defer/defer.h"

#include <vmirq/passthrough.h>

struct vmirq_worker {
	struct defer_worker *list;
	int fd; /* eventfd: there may be work */
	_Atomic bool ends;
	_Atomic uint32_t callers; /* in vmirq_worker_run() */
	pthread_mutex_t mutex;	  /* of the next three */
	bool has_thread;
	bool stopping;
	pthread_t thread;
	_Atomic uint64_t runs, wakes; /* relaxed */
};

#endif
