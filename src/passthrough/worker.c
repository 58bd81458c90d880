/* SPDX-License-Identifier: MIT */
#include "defer/callers_worker.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/no_cancel.h"
#include "base/options.h"
#include "base/reader.h"
#include "passthrough/pirq.h"
#include "pump/pump.h"

/* vmirq_worker_config as it was in the first release. */
#define CONFIG_LEAST sizeof(struct vmirq_worker_config)
/* What one turn serves. */
#define RUN_AT_MOST 64u

/* Also in a signal handler. */
static void wake(void *opaque)
{
	struct vmirq_worker *worker = opaque;

	atomic_fetch_add_explicit(&worker->wakes, 1, memory_order_relaxed);
	vmirq_fd_ring(worker->fd);
}

static uint32_t serve(struct vmirq_worker *worker, uint32_t max, bool *more)
{
	uint32_t n = vmirq_defer_worker_run(worker->list, max, more);

	if (n)
		atomic_fetch_add_explicit(&worker->runs, n, memory_order_relaxed);
	return n;
}

static void *run_thread(void *argument)
{
	struct vmirq_worker *worker = argument;
	bool more = true;
	uint64_t n;

	/* Acquire: pairs with the release in vmirq_worker_stop(). */
	while (!atomic_load_explicit(&worker->ends, memory_order_acquire)) {
		serve(worker, RUN_AT_MOST, &more);
		/* It blocks where there is nothing; another server may have drained it. */
		if (!more && read(worker->fd, &n, sizeof(n)) < 0 && errno != EINTR)
			break;
	}
	/* For whoever serves it next. */
	vmirq_fd_ring(worker->fd);
	return NULL;
}

int vmirq_worker_create(const struct vmirq_worker_config *caller, struct vmirq_worker **out)
{
	struct vmirq_worker_config config;
	struct vmirq_worker *worker;
	int error;

	if (!caller || !out)
		return -EINVAL;
	error = options_copy(&config, sizeof(config), CONFIG_LEAST, caller, caller->size);
	if (error)
		return error;
	if (config.flags || config.unused)
		return -EINVAL;
	worker = calloc(1, sizeof(*worker));
	if (!worker)
		return -ENOMEM;
	/* Blocking, for the thread; vmirq_fd_drain() does not care. */
	worker->fd = eventfd(0, EFD_CLOEXEC);
	error = worker->fd < 0 ? -errno : vmirq_defer_worker_create(wake, worker, &worker->list);
	if (error) {
		if (worker->fd >= 0)
			no_cancel_close(worker->fd);
		free(worker);
		return error;
	}
	pthread_mutex_init(&worker->mutex, NULL);
	*out = worker;
	return 0;
}

static int start_thread(struct vmirq_worker *worker, int cpu)
{
	pthread_attr_t how;
	sigset_t all, old;
	cpu_set_t cpus;
	int error = pthread_attr_init(&how);

	if (error)
		return -error;
	if (cpu >= 0) {
		CPU_ZERO(&cpus);
		CPU_SET((size_t)cpu, &cpus);
		error = pthread_attr_setaffinity_np(&how, sizeof(cpus), &cpus);
	}
	if (!error) {
		sigfillset(&all);
		pthread_sigmask(SIG_SETMASK, &all, &old);
		error = pthread_create(&worker->thread, &how, run_thread, worker);
		pthread_sigmask(SIG_SETMASK, &old, NULL);
	}
	pthread_attr_destroy(&how);
	return -error;
}

int vmirq_worker_start(struct vmirq_worker *worker, int cpu)
{
	int error = -EALREADY;

	if (!worker || cpu < -1 || cpu >= CPU_SETSIZE)
		return -EINVAL;
	pthread_mutex_lock(&worker->mutex);
	if (!worker->has_thread) {
		atomic_store_explicit(&worker->ends, false, memory_order_relaxed);
		error = start_thread(worker, cpu);
		worker->has_thread = !error;
	}
	pthread_mutex_unlock(&worker->mutex);
	return error;
}

int vmirq_worker_stop(struct vmirq_worker *worker)
{
	int error = 0;

	if (!worker)
		return -EINVAL;
	if (pirq_must_not_wait())
		return -EDEADLK;
	pthread_mutex_lock(&worker->mutex);
	if (!worker->has_thread || worker->stopping)
		error = -EINVAL;
	else if (pthread_equal(worker->thread, pthread_self()))
		error = -EDEADLK;
	else
		worker->stopping = true;
	pthread_mutex_unlock(&worker->mutex);
	if (error)
		return error;
	/* Release: pairs with the acquire in run_thread(). */
	atomic_store_explicit(&worker->ends, true, memory_order_release);
	/* The VMM's own loop may drain what is meant for the thread. */
	for (unsigned int turn = 0; pthread_tryjoin_np(worker->thread, NULL); turn++) {
		vmirq_fd_ring(worker->fd);
		vmirq_back_off(turn);
	}
	pthread_mutex_lock(&worker->mutex);
	worker->stopping = false;
	worker->has_thread = false;
	pthread_mutex_unlock(&worker->mutex);
	return 0;
}

static bool is_own_thread(struct vmirq_worker *worker)
{
	bool own;

	pthread_mutex_lock(&worker->mutex);
	own = worker->has_thread && pthread_equal(worker->thread, pthread_self());
	pthread_mutex_unlock(&worker->mutex);
	return own;
}

int vmirq_worker_destroy(struct vmirq_worker *worker, struct vmirq_worker *heir)
{
	int error;

	if (!worker)
		return 0;
	if (worker == heir)
		return -EINVAL;
	if (pirq_must_not_wait() || is_own_thread(worker))
		return -EDEADLK;
	/* Asked first, so that the thread stays where it cannot be. Acquire: pairs with the release in
	 * vmirq_worker_run(). */
	if (atomic_load_explicit(&worker->callers, memory_order_acquire) ||
	    (!heir && vmirq_defer_worker_used(worker->list)))
		return -EBUSY;
	vmirq_worker_stop(worker);
	error = vmirq_defer_worker_destroy(worker->list, heir ? heir->list : NULL);
	if (error)
		return error;
	pthread_mutex_destroy(&worker->mutex);
	no_cancel_close(worker->fd);
	free(worker);
	return 0;
}

int vmirq_worker_fd(const struct vmirq_worker *worker)
{
	return worker ? worker->fd : -EINVAL;
}

int vmirq_worker_run(struct vmirq_worker *worker, uint32_t max)
{
	bool more;
	uint32_t n;

	if (!worker)
		return -EINVAL;
	atomic_fetch_add_explicit(&worker->callers, 1, memory_order_relaxed);
	vmirq_fd_drain(worker->fd);
	n = serve(worker, max ? max : RUN_AT_MOST, &more);
	if (more)
		vmirq_fd_ring(worker->fd);
	/* Release: pairs with the acquire in vmirq_worker_destroy(). */
	atomic_fetch_sub_explicit(&worker->callers, 1, memory_order_release);
	return (int)n;
}

int vmirq_worker_counts(const struct vmirq_worker *worker, struct vmirq_worker_counts *out)
{
	if (!worker || !out || out->size < sizeof(*out))
		return -EINVAL;
	out->runs = atomic_load_explicit(&worker->runs, memory_order_relaxed);
	out->wakes = atomic_load_explicit(&worker->wakes, memory_order_relaxed);
	return 0;
}
