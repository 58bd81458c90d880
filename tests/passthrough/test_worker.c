// SPDX-License-Identifier: MIT
/* Workers: of the library's own thread or the VMM's loop; taken away with interrupts queued; fair. */
#include "host.h"

#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>

#define VECTOR 0x61
#define MANY   512
#define VMS    4
#define ROUNDS 400

static bool readable(const struct vmirq_worker *worker)
{
	struct pollfd p = { .fd = vmirq_worker_fd(worker), .events = POLLIN };

	return poll(&p, 1, 0) == 1;
}

static uint64_t wakes_of(const struct vmirq_worker *worker)
{
	struct vmirq_worker_counts c = { .size = sizeof(c) };

	assert_int_equal(vmirq_worker_counts(worker, &c), 0);
	return c.wakes;
}

static void queued(struct host *h, struct soft *s, struct vmirq_worker *worker, uint8_t vector)
{
	host_open(h, NULL);
	assert_int_equal(bind_msi(h, s->vm, worker, 0, vector, 0), 0);
}

/* The descriptor is readable while there is work, however little of it is done at a time. */
static void the_vmms_own_loop(void **state)
{
	struct soft *s = soft_new(1);
	struct vmirq_worker *worker = worker_new();
	struct host h[10];

	(void)state;
	assert_false(readable(worker));
	for (unsigned int i = 0; i < 10; i++)
		queued(&h[i], s, worker, (uint8_t)(VECTOR + i));
	for (unsigned int i = 0; i < 10; i++)
		host_raise(&h[i]);
	/* It slept once. */
	assert_int_equal(wakes_of(worker), 1);
	assert_true(readable(worker));
	for (unsigned int i = 0; i < 3; i++) {
		assert_int_equal(vmirq_worker_run(worker, 3), 3);
		assert_true(readable(worker));
		/* While there is more it is awake: raising makes no system call. */
		host_raise(&h[i]);
	}
	assert_int_equal(wakes_of(worker), 1);
	assert_int_equal(vmirq_worker_run(worker, 0), 4);
	assert_false(readable(worker));
	assert_int_equal(vmirq_worker_run(worker, 3), 0);
	host_raise(&h[9]);
	assert_int_equal(wakes_of(worker), 2);
	assert_true(readable(worker));
	worker_serves(worker, 1);
	take_all(s->vcpu[0], NULL);
	for (unsigned int i = 0; i < 10; i++)
		host_close(&h[i]);
	soft_free(s);
	assert_int_equal(vmirq_worker_destroy(worker, NULL), 0);
}

/* Told by the worker's thread: the CPUs that it may be on, and whether a signal may be. */
struct whereabouts {
	pthread_t test;
	cpu_set_t cpus;
	bool signals;
};

static void look_around(struct host *h)
{
	struct whereabouts *w = h->opaque;
	sigset_t blocked;

	assert_false(pthread_equal(pthread_self(), w->test));
	assert_int_equal(sched_getaffinity(0, sizeof(w->cpus), &w->cpus), 0);
	assert_int_equal(pthread_sigmask(SIG_SETMASK, NULL, &blocked), 0);
	w->signals = !sigismember(&blocked, SIGUSR1) || !sigismember(&blocked, SIGINT);
}

/* Pinned to each CPU that there is, and to none. */
static void pinned_or_not(void **state)
{
	struct soft *s = soft_new(1);
	struct vmirq_worker *worker = worker_new();
	struct whereabouts w = { .test = pthread_self() };
	cpu_set_t all;
	struct host h;

	(void)state;
	assert_int_equal(sched_getaffinity(0, sizeof(all), &all), 0);
	queued(&h, s, worker, VECTOR);
	h.then = look_around;
	h.opaque = &w;
	for (int cpu = -1; cpu < CPU_SETSIZE; cpu++) {
		if (cpu >= 0 && !CPU_ISSET((size_t)cpu, &all)) {
			/* Not ours. */
			if (cpu < 200)
				assert_int_equal(vmirq_worker_start(worker, cpu), -EINVAL);
			continue;
		}
		w.signals = true;
		assert_int_equal(vmirq_worker_start(worker, cpu), 0);
		host_raise(&h);
		while (atomic_load(&h.unmasked) < h.raised)
			sched_yield();
		assert_int_equal(vmirq_worker_stop(worker), 0);
		assert_false(w.signals);
		assert_int_equal(CPU_COUNT(&w.cpus), cpu < 0 ? CPU_COUNT(&all) : 1);
		assert_true(cpu < 0 || CPU_ISSET((size_t)cpu, &w.cpus));
		take_only(s->vcpu[0], VECTOR);
	}
	host_close(&h);
	soft_free(s);
	assert_int_equal(vmirq_worker_destroy(worker, NULL), 0);
}

static void a_thread(void **state)
{
	struct soft *s = soft_new(1);
	struct vmirq_worker *worker = worker_new();
	struct host h;

	(void)state;
	queued(&h, s, worker, VECTOR);
	/* What is queued before it starts, on a CPU and wherever. */
	for (int cpu = -1; cpu <= 0; cpu++) {
		host_raise(&h);
		assert_int_equal(vmirq_worker_start(worker, cpu), 0);
		assert_int_equal(vmirq_worker_start(worker, cpu), -EALREADY);
		for (int i = 0; i < 100; i++) {
			while (atomic_load(&h.unmasked) < h.raised)
				sched_yield();
			take_only(s->vcpu[0], VECTOR);
			host_raise(&h);
		}
		while (atomic_load(&h.unmasked) < h.raised)
			sched_yield();
		assert_int_equal(vmirq_worker_stop(worker), 0);
		assert_int_equal(vmirq_worker_stop(worker), -EINVAL);
		take_only(s->vcpu[0], VECTOR);
	}
	/* Stopped, it leaves the work to whoever comes. */
	host_raise(&h);
	assert_int_equal(host_counts(&h).held, 1);
	assert_true(readable(worker));
	worker_serves(worker, 1);
	take_only(s->vcpu[0], VECTOR);
	host_close(&h);
	soft_free(s);
	assert_int_equal(vmirq_worker_start(worker, -1), 0);
	assert_int_equal(vmirq_worker_destroy(worker, NULL), 0);
}

static void destroy_here(struct host *h)
{
	assert_int_equal(vmirq_worker_stop(h->opaque), -EDEADLK);
	assert_int_equal(vmirq_worker_destroy(h->opaque, NULL), -EDEADLK);
}

static void errors(void **state)
{
	struct vmirq_worker_config config = { .size = sizeof(config), .flags = 1 };
	struct vmirq_worker *worker;
	struct soft *s = soft_new(1);
	struct host h;

	(void)state;
	assert_int_equal(vmirq_worker_create(&config, &worker), -EINVAL);
	assert_int_equal(vmirq_worker_create(NULL, &worker), -EINVAL);
	worker = worker_new();
	assert_int_equal(vmirq_worker_start(worker, -2), -EINVAL);
	assert_int_equal(vmirq_worker_start(worker, 1000), -EINVAL);
	assert_int_equal(vmirq_worker_start(worker, 1000000), -EINVAL);
	assert_int_equal(vmirq_worker_stop(worker), -EINVAL);
	assert_int_equal(vmirq_worker_run(NULL, 1), -EINVAL);
	assert_int_equal(vmirq_worker_destroy(NULL, NULL), 0);
	assert_int_equal(vmirq_worker_destroy(worker, worker), -EINVAL);
	/* Its thread goes on where it cannot go. */
	queued(&h, s, worker, VECTOR);
	h.then = destroy_here;
	h.opaque = worker;
	assert_int_equal(vmirq_worker_start(worker, -1), 0);
	assert_int_equal(vmirq_worker_destroy(worker, NULL), -EBUSY);
	host_raise(&h);
	while (!atomic_load(&h.unmasked))
		sched_yield();
	take_only(s->vcpu[0], VECTOR);
	host_close(&h);
	soft_free(s);
	assert_int_equal(vmirq_worker_destroy(worker, NULL), 0);
}

static _Atomic bool entered, go_on;

static void hold_on(struct host *h)
{
	if (h->opaque)
		return;
	h->opaque = h; /* the first time only */
	atomic_store(&entered, true);
	while (!atomic_load(&go_on))
		sched_yield();
}

static void *serve_once(void *worker)
{
	assert_int_equal(vmirq_worker_run(worker, 1), 1);
	return NULL;
}

/* The VMM's loop is in it: it cannot go, and is served by its thread as before. */
static void refused_with_a_callers_thread_inside(void **state)
{
	struct soft *s = soft_new(1);
	struct vmirq_worker *worker = worker_new(), *heir = worker_new();
	struct host held, other;
	pthread_t server;

	(void)state;
	queued(&held, s, worker, VECTOR);
	queued(&other, s, worker, VECTOR + 1);
	held.then = hold_on;
	host_raise(&held);
	assert_int_equal(pthread_create(&server, NULL, serve_once, worker), 0);
	while (!atomic_load(&entered))
		sched_yield();
	assert_int_equal(vmirq_worker_start(worker, -1), 0);
	assert_int_equal(vmirq_worker_destroy(worker, NULL), -EBUSY);
	assert_int_equal(vmirq_worker_destroy(worker, heir), -EBUSY);
	assert_int_equal(vmirq_worker_start(worker, -1), -EALREADY);
	host_raise(&other);
	while (!atomic_load(&other.unmasked))
		sched_yield();
	atomic_store(&go_on, true);
	pthread_join(server, NULL);
	assert_int_equal(vmirq_worker_destroy(worker, heir), 0);
	host_raise(&held);
	worker_serves(heir, 1);
	assert_int_equal(take_all(s->vcpu[0], NULL), 2);
	host_close(&held);
	host_close(&other);
	soft_free(s);
	assert_int_equal(vmirq_worker_destroy(heir, NULL), 0);
}

/* The heir's own first, then those that came with the legacy, in their order; nothing is lost. */
static void taken_away_with_interrupts_queued(void **state)
{
	struct soft *s = soft_new(1), *other = soft_new(1);
	struct vmirq_worker *worker = worker_new(), *heir = worker_new();
	struct host h[6], own;

	(void)state;
	queued(&own, s, heir, VECTOR);
	for (unsigned int i = 0; i < 6; i++)
		queued(&h[i], i % 2 ? s : other, worker, (uint8_t)(VECTOR + 1 + i));
	for (unsigned int i = 0; i < 4; i++)
		host_raise(&h[3 - i]);
	host_raise(&own);
	assert_int_equal(vmirq_worker_destroy(worker, NULL), -EBUSY);
	assert_int_equal(vmirq_worker_destroy(worker, heir), 0);
	/* Those that were not queued are the heir's, too. */
	host_raise(&h[5]);
	host_raise(&h[0]);
	assert_int_equal(vmirq_worker_run(heir, 1), 1);
	take_only(s->vcpu[0], VECTOR);
	for (unsigned int i = 0; i < 4; i++) {
		assert_int_equal(vmirq_worker_run(heir, 1), 1);
		take_only((3 - i) % 2 ? s->vcpu[0] : other->vcpu[0], (uint8_t)(VECTOR + 4 - i));
	}
	assert_int_equal(vmirq_worker_run(heir, 2), 1);
	take_only(s->vcpu[0], VECTOR + 6);
	/* One is unbound by who never heard of the heir, one is retargeted. */
	host_raise(&h[0]);
	host_raise(&h[1]);
	assert_int_equal(vmirq_pirq_unbind(h[0].pirq), 0);
	assert_int_equal(vmirq_pirq_retarget(h[1].pirq, 0xfee00000u, VECTOR), 0);
	take_only(s->vcpu[0], VECTOR + 2);
	worker_serves(heir, 0);
	assert_int_equal(vmirq_worker_destroy(heir, NULL), -EBUSY);
	for (unsigned int i = 0; i < 6; i++)
		host_close(&h[i]);
	host_close(&own);
	soft_free(s);
	soft_free(other);
	assert_int_equal(vmirq_worker_destroy(heir, NULL), 0);
}

/* Nobody rings for what it has queued already. */
static void the_heir_sleeps(void **state)
{
	struct soft *s = soft_new(1);
	struct vmirq_worker *worker = worker_new(), *heir = worker_new();
	struct host h;

	(void)state;
	queued(&h, s, worker, VECTOR);
	host_raise(&h);
	worker_serves(heir, 0);
	assert_false(readable(heir));
	assert_int_equal(vmirq_worker_destroy(worker, heir), 0);
	assert_true(readable(heir));
	worker_serves(heir, 1);
	take_only(s->vcpu[0], VECTOR);
	host_close(&h);
	soft_free(s);
	assert_int_equal(vmirq_worker_destroy(heir, NULL), 0);
}

/* Jain's index of n shares, in millionths. */
static uint64_t jain(const uint64_t *share, unsigned int n)
{
	uint64_t sum = 0, squares = 0;

	for (unsigned int i = 0; i < n; i++) {
		sum += share[i];
		squares += share[i] * share[i];
	}
	return squares ? sum * sum * 1000000 / (n * squares) : 0;
}

/* Each is raised again as soon as it was served: more than the worker is given time for. */
static void again(struct host *h)
{
	host_raise(h);
}

static void fair_under_saturation(void **state)
{
	struct vmirq_worker *worker = worker_new();
	struct soft *s[VMS];
	struct host *h = calloc(MANY, sizeof(*h));
	uint64_t share[MANY], of_vm[VMS] = { 0 };

	(void)state;
	assert_non_null(h);
	for (unsigned int v = 0; v < VMS; v++)
		s[v] = soft_new(1);
	/* The VMs have 1/2, 1/4, ... of them: served by pirq, not by VM. */
	for (unsigned int i = 0; i < MANY; i++) {
		unsigned int v = i < MANY / 2 ? 0 : i < MANY * 3 / 4 ? 1 : i < MANY * 7 / 8 ? 2 : 3;

		queued(&h[i], s[v], worker, (uint8_t)(0x20 + i % 0xd0));
		h[i].then = again;
		h[i].opaque = &of_vm[v];
	}
	for (unsigned int i = 0; i < MANY; i++)
		host_raise(&h[MANY - 1 - i]);
	for (unsigned int i = 0; i < ROUNDS * MANY / 32; i++) {
		assert_int_equal(vmirq_worker_run(worker, 32), 32);
		/* The lowest number storms. */
		for (int n = 0; n < 100; n++)
			host_raise(&h[0]);
	}
	for (unsigned int i = 0; i < MANY; i++) {
		share[i] = host_counts(&h[i]).runs;
		*(uint64_t *)h[i].opaque += share[i];
		assert_int_equal(share[i], ROUNDS);
	}
	assert_true(jain(share, MANY) >= 999000);
	print_message("Jain's index of %u pirqs: %lu millionths\n", MANY, jain(share, MANY));
	assert_int_equal(of_vm[0], of_vm[1] * 2);
	assert_int_equal(of_vm[1], of_vm[2] * 2);
	assert_int_equal(of_vm[2], of_vm[3]);
	for (unsigned int i = 0; i < MANY; i++)
		host_close(&h[i]);
	for (unsigned int v = 0; v < VMS; v++)
		soft_free(s[v]);
	free(h);
	assert_int_equal(vmirq_worker_destroy(worker, NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_vmms_own_loop),
		cmocka_unit_test(a_thread),
		cmocka_unit_test(pinned_or_not),
		cmocka_unit_test(errors),
		cmocka_unit_test(refused_with_a_callers_thread_inside),
		cmocka_unit_test(taken_away_with_interrupts_queued),
		cmocka_unit_test(the_heir_sleeps),
		cmocka_unit_test(fair_under_saturation),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
