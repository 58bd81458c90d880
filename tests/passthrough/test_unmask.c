// SPDX-License-Identifier: MIT
/* Unmask may wait for another thread that calls the library, as it does for a lock that this thread holds: whoever
 * calls unmask has nothing, and is in nothing, that such a call waits for. */
#include "../line/pc_world.h"
#include "host.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include <vmirq/state.h>

#define GSI	    9
#define VECTOR	    0x61
#define VECTOR2	    0x62
#define PATIENCE_MS 5000 /* where it fails */

struct scene {
	struct soft *s;
	struct vmirq_vm *another;
	struct vmirq_worker *worker;
	struct host h;
	/* What the other thread calls. */
	int (*ask)(struct scene *c);
	int answer, unbound;
	_Atomic bool inside, answered;
	bool seen;
};

static int counts(struct scene *c)
{
	struct vmirq_pirq_counts counts = { .size = sizeof(counts) };

	return vmirq_pirq_counts(c->h.pirq, &counts);
}

static int eoi(struct scene *c)
{
	return vmirq_pirq_eoi(c->h.pirq);
}

static int quiesce(struct scene *c)
{
	return vmirq_vm_quiesce(c->another);
}

static int (*const asks[])(struct scene *c) = { counts, eoi, quiesce };

static void *ask(void *opaque)
{
	struct scene *c = opaque;

	while (!atomic_load(&c->inside))
		sched_yield();
	c->answer = c->ask(c);
	atomic_store(&c->answered, true);
	return NULL;
}

/* In unmask. */
static void wait_for_answer(struct host *h)
{
	struct scene *c = h->opaque;

	atomic_store(&c->inside, true);
	for (int i = 0; i < PATIENCE_MS && !atomic_load(&c->answered); i++)
		usleep(1000);
	c->seen = atomic_load(&c->answered);
}

static void scene_new(struct scene *c, const struct vmirq_pirq_config *how)
{
	struct vmirq_vm_config config = { .size = sizeof(config), .flags = VMIRQ_VM_PC_CHIPS };

	memset(c, 0, sizeof(*c));
	c->s = pc_new(1, 0);
	rte_put(c->s, GSI, RTE_TO(0) | RTE_LEVEL | VECTOR);
	assert_int_equal(vmirq_vm_create(&config, &c->another), 0);
	c->worker = worker_new();
	host_open(&c->h, how);
	c->h.opaque = c;
	c->h.then = wait_for_answer;
}

static void scene_free(struct scene *c)
{
	c->h.then = NULL;
	host_close(&c->h);
	assert_int_equal(vmirq_vm_destroy(c->another), 0);
	/* What a reset or a load does to the vCPU is no part of the laws. */
	assert_int_equal(vmirq_vm_destroy(c->s->vm), 0);
	free(c->s);
	assert_int_equal(vmirq_worker_destroy(c->worker, NULL), 0);
}

static void bind(struct scene *c, enum vmirq_pirq_type type)
{
	assert_int_equal(type == VMIRQ_PIRQ_MSI
				 ? bind_msi(&c->h, c->s->vm, c->worker, 0, VECTOR, 0)
				 : bind_gsi(&c->h, c->s->vm, c->worker, type, GSI, 0),
			 0);
	assert_raise(&c->h, VMIRQ_HELD);
}

/* Each has unmask called, once. */
static void worker(struct scene *c)
{
	bind(c, VMIRQ_PIRQ_MSI);
	worker_serves(c->worker, 1);
}

static void retarget(struct scene *c)
{
	bind(c, VMIRQ_PIRQ_MSI);
	assert_int_equal(vmirq_pirq_retarget(c->h.pirq, 0xfee00000, VECTOR2), 0);
	take_only(c->s->vcpu[0], VECTOR);
	worker_serves(c->worker, 0);
}

static void bind_again(struct scene *c)
{
	bind(c, VMIRQ_PIRQ_MSI);
	assert_int_equal(bind_msi(&c->h, c->s->vm, c->worker, 0, VECTOR2, 0), 0);
	take_only(c->s->vcpu[0], VECTOR);
	worker_serves(c->worker, 0);
}

static void asserted(struct scene *c)
{
	bind(c, VMIRQ_PIRQ_INTX);
	worker_serves(c->worker, 1);
	assert_int_equal(c->h.unmasked, 0);
}

static void guest(struct scene *c)
{
	asserted(c);
	begin_service(c->s->vcpu[0], VECTOR);
	end_service(c->s->vcpu[0]);
}

static void by_eoi(struct scene *c)
{
	asserted(c);
	assert_int_equal(vmirq_pirq_eoi(c->h.pirq), 1);
}

static void expire(struct scene *c)
{
	asserted(c);
	c->s->now += 1000;
	vmirq_pirq_expire(c->s->vm);
}

static void reset(struct scene *c)
{
	asserted(c);
	assert_int_equal(vmirq_vm_reset(c->s->vm), 0);
}

static void load(struct scene *c)
{
	int64_t n = vmirq_vm_save(c->s->vm, NULL, 0);
	void *blob = malloc((size_t)n);

	assert_int_equal(vmirq_vm_save(c->s->vm, blob, (size_t)n), n);
	asserted(c);
	assert_int_equal(vmirq_vm_load(c->s->vm, blob, (size_t)n), 0);
	free(blob);
}

/* A VM with the real clock, whose pump barks for the watchdog: it is the worker's thread that calls. */
static void on_the_pump(void **state)
{
	const struct vmirq_pirq_config how = { .eventfd = -1, .watchdog_ns = 1000000 };

	(void)state;
	for (size_t i = 0; i < sizeof(asks) / sizeof(asks[0]); i++) {
		struct scene c;
		pthread_t thread;

		scene_new(&c, &how);
		c.ask = asks[i];
		assert_int_equal(pthread_create(&thread, NULL, ask, &c), 0);
		assert_int_equal(bind_gsi(&c.h, c.another, c.worker, VMIRQ_PIRQ_INTX, GSI, 0), 0);
		assert_int_equal(vmirq_pump_start(vmirq_vm_pump(c.another)), 0);
		assert_int_equal(vmirq_worker_start(c.worker, -1), 0);
		assert_raise(&c.h, VMIRQ_HELD);
		pthread_join(thread, NULL);
		assert_int_equal(vmirq_worker_stop(c.worker), 0);
		assert_true(c.seen);
		assert_int_equal(c.answer, 0);
		assert_int_equal(c.h.unmasked, 1);
		assert_int_equal(host_counts(&c.h).watchdogs, 1);
		scene_free(&c);
	}
}

/* What the pump's watchdog has ended, and the worker has not come to. */
static void barked(struct scene *c)
{
	const struct vmirq_pirq_config how = { .eventfd = -1, .watchdog_ns = 1000000 };

	scene_new(c, &how);
	c->h.then = NULL;
	assert_int_equal(bind_gsi(&c->h, c->another, c->worker, VMIRQ_PIRQ_INTX, GSI, 0), 0);
	assert_raise(&c->h, VMIRQ_HELD);
	worker_serves(c->worker, 1);
	while (!host_counts(&c->h).watchdogs)
		vmirq_pump_dispatch(vmirq_vm_pump(c->another), 100);
	assert_int_equal(host_counts(&c->h).pending, 0);
	assert_int_equal(vmirq_line_level(c->another, GSI), 0);
	assert_int_equal(c->h.unmasked, 0);
}

static void nothing_is_left(struct scene *c)
{
	worker_serves(c->worker, 0);
	assert_int_equal(c->h.unmasked, 1);
	scene_free(c);
}

/* Called once, by whoever comes first: the worker, its heir, or who unbinds. */
static void what_the_watchdog_leaves_to_the_worker(void **state)
{
	struct vmirq_worker *heir = worker_new();
	struct scene c;

	(void)state;
	barked(&c);
	worker_serves(c.worker, 1);
	nothing_is_left(&c);
	/* An interrupt of its own, beside it. */
	barked(&c);
	assert_raise(&c.h, VMIRQ_HELD);
	worker_serves(c.worker, 2);
	assert_int_equal(host_counts(&c.h).runs, 2);
	nothing_is_left(&c);
	barked(&c);
	assert_int_equal(vmirq_worker_destroy(c.worker, heir), 0);
	c.worker = heir;
	worker_serves(c.worker, 1);
	nothing_is_left(&c);
	for (int destroys = 0; destroys < 2; destroys++) {
		barked(&c);
		if (destroys) {
			assert_int_equal(vmirq_vm_destroy(c.another), 0);
			c.another = NULL;
		} else {
			assert_int_equal(vmirq_pirq_unbind(c.h.pirq), 0);
		}
		assert_int_equal(c.h.unmasked, 1);
		assert_int_equal(host_counts(&c.h).bound, 0);
		nothing_is_left(&c);
	}
}

/* Until the other thread is in unbind. */
static void wait_for_unbind(struct host *h)
{
	struct scene *c = h->opaque;

	atomic_store(&c->inside, true);
	while (host_raise(h) != VMIRQ_NO_ROUTE)
		sched_yield();
}

static void *unbind(void *opaque)
{
	struct scene *c = opaque;

	while (!atomic_load(&c->inside))
		sched_yield();
	c->unbound = vmirq_pirq_unbind(c->h.pirq);
	return NULL;
}

/* Asked while another thread's unbind waits for this unmask. */
static int during_unbind(struct scene *c)
{
	struct vmirq_pirq_counts now = { .size = sizeof(now) };
	uint64_t raised = c->h.raised;

	while (host_raise(&c->h) != VMIRQ_NO_ROUTE)
		sched_yield();
	if (vmirq_pirq_counts(c->h.pirq, &now) || vmirq_pirq_eoi(c->h.pirq))
		return -1;
	/* One delivered, then one queued, if any; and the one that came too late. */
	return now.bound == 1 && now.raised == c->h.raised && now.verdict[VMIRQ_NO_ROUTE] == 1 &&
			       now.held == (c->h.raised - raised > 1)
		       ? 0
		       : -1;
}

static void asked_during_unbind(void **state)
{
	struct scene c;
	pthread_t asker, unbinder;

	(void)state;
	scene_new(&c, NULL);
	c.ask = during_unbind;
	bind(&c, VMIRQ_PIRQ_MSI);
	assert_int_equal(pthread_create(&asker, NULL, ask, &c), 0);
	assert_int_equal(pthread_create(&unbinder, NULL, unbind, &c), 0);
	worker_serves(c.worker, 1);
	pthread_join(asker, NULL);
	pthread_join(unbinder, NULL);
	assert_true(c.seen);
	assert_int_equal(c.answer, 0);
	assert_int_equal(c.unbound, 0);
	take_only(c.s->vcpu[0], VECTOR);
	assert_int_equal(host_counts(&c.h).bound, 0);
	assert_int_equal(host_verdict(&c.h, VMIRQ_NO_ROUTE), 1);
	scene_free(&c);
}

static void tried(void (*unmasks)(struct scene *c), const struct vmirq_pirq_config *how)
{
	for (size_t i = 0; i < sizeof(asks) / sizeof(asks[0]); i++) {
		struct scene c;
		pthread_t thread;

		scene_new(&c, how);
		c.ask = asks[i];
		assert_int_equal(pthread_create(&thread, NULL, ask, &c), 0);
		unmasks(&c);
		pthread_join(thread, NULL);
		assert_true(c.seen);
		/* 0, and nothing to end. */
		assert_int_equal(c.answer, 0);
		assert_int_equal(c.h.unmasked, 1);
		scene_free(&c);
	}
}

static void by_the_worker(void **state)
{
	(void)state;
	tried(worker, NULL);
}

static void by_who_retargets(void **state)
{
	(void)state;
	tried(retarget, NULL);
	tried(bind_again, NULL);
}

static void by_the_guest(void **state)
{
	(void)state;
	tried(guest, NULL);
}

static void in_the_guests_stead(void **state)
{
	const struct vmirq_pirq_config how = { .eventfd = -1, .watchdog_ns = 1000 };

	(void)state;
	tried(by_eoi, NULL);
	tried(expire, &how);
	tried(reset, NULL);
	tried(load, NULL);
}

/* There is nothing left to retarget; but a bind binds it. */
static void unbound_while_it_is_retargeted(void **state)
{
	(void)state;
	for (int binds = 0; binds < 2; binds++) {
		struct scene c;
		pthread_t thread;

		scene_new(&c, NULL);
		c.h.then = wait_for_unbind;
		bind(&c, VMIRQ_PIRQ_MSI);
		assert_int_equal(pthread_create(&thread, NULL, unbind, &c), 0);
		if (binds)
			assert_int_equal(bind_msi(&c.h, c.s->vm, c.worker, 0, VECTOR2, 0), 0);
		else
			assert_int_equal(vmirq_pirq_retarget(c.h.pirq, 0xfee00000, VECTOR2),
					 -ENOENT);
		pthread_join(thread, NULL);
		assert_int_equal(c.unbound, 0);
		assert_int_equal(c.h.unmasked, 1);
		take_only(c.s->vcpu[0], VECTOR);
		c.h.then = NULL;
		assert_raise(&c.h, binds ? VMIRQ_HELD : VMIRQ_NO_ROUTE);
		worker_serves(c.worker, binds);
		if (binds)
			take_only(c.s->vcpu[0], VECTOR2);
		scene_free(&c);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(by_the_worker),
		cmocka_unit_test(by_who_retargets),
		cmocka_unit_test(unbound_while_it_is_retargeted),
		cmocka_unit_test(asked_during_unbind),
		cmocka_unit_test(by_the_guest),
		cmocka_unit_test(in_the_guests_stead),
		cmocka_unit_test(on_the_pump),
		cmocka_unit_test(what_the_watchdog_leaves_to_the_worker),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
