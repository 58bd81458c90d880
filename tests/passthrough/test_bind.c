// SPDX-License-Identifier: MIT
/* Binding, unbinding and ends of all kinds. */
#include "../line/pc_world.h"
#include "host.h"

#include "base/reader.h"

#include <malloc.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define GSI    9
#define OTHER  10
#define VECTOR 0x61
#define CYCLES 10000
#define MANY   32

static struct soft *pc(void)
{
	struct soft *s = pc_new(1, 0);

	out8(s, 0x21, 0xff);
	out8(s, 0xa1, 0xff);
	rte_put(s, GSI, RTE_TO(0) | RTE_LEVEL | VECTOR);
	return s;
}

static void errors(void **state)
{
	const uint32_t past[] = { GSI, SOFT_GSIS }, twice[] = { GSI, OTHER, GSI };
	const uint32_t gsi_edges[] = { SOFT_GSIS, UINT32_MAX };
	struct vmirq_pirq_binding b = { .size = sizeof(b), .type = VMIRQ_PIRQ_INTX, .n_gsis = 1 };
	struct soft *s = pc();
	struct vmirq_worker *w = worker_new();
	struct vmirq_pirq_counts counts = { .size = sizeof(counts) - 1 };
	struct host h;

	(void)state;
	host_open(&h, NULL);
	b.vm = s->vm;
	b.worker = w;
	/* GSIs and vectors out of range, and too many. */
	for (int i = 0; i < 2; i++) {
		assert_int_equal(bind_gsi(&h, s->vm, w, VMIRQ_PIRQ_INTX, gsi_edges[i], 0), -EINVAL);
		assert_int_equal(bind_gsi(&h, s->vm, w, VMIRQ_PIRQ_IDENTITY, gsi_edges[i], 0),
				 -EINVAL);
		assert_int_equal(bind_gsi(&h, s->vm, w, VMIRQ_PIRQ_MSI_TO_INTX, gsi_edges[i], 0),
				 -EINVAL);
	}
	assert_int_equal(bind_gsis(&h, s->vm, w, 2, past), -EINVAL);
	assert_int_equal(bind_gsis(&h, s->vm, w, 3, twice), -EINVAL);
	assert_int_equal(bind_gsis(&h, s->vm, w, 0, twice), -EINVAL);
	assert_int_equal(bind_gsis(&h, s->vm, w, VMIRQ_PIRQ_GSIS + 1, twice), -EINVAL);
	assert_int_equal(bind_gsis(&h, s->vm, w, 1, NULL), -EINVAL);
	assert_int_equal(bind_msi(&h, s->vm, w, 0, 15, 0), -EINVAL);
	assert_int_equal(bind_msi(&h, s->vm, w, 0, 0, 0), -EINVAL);
	assert_int_equal(bind_msi(&h, s->vm, w, 0, VECTOR, VMIRQ_PIRQ_NO_EOI), -EINVAL);
	assert_int_equal(bind_gsi(&h, s->vm, w, VMIRQ_PIRQ_INTX, GSI, VMIRQ_PIRQ_NO_EOI), -EINVAL);
	assert_int_equal(bind_gsi(&h, s->vm, w, (enum vmirq_pirq_type)4, GSI, 0), -EOPNOTSUPP);
	assert_int_equal(bind_gsi(&h, NULL, w, VMIRQ_PIRQ_INTX, GSI, 0), -EINVAL);
	assert_int_equal(bind_gsi(&h, s->vm, NULL, VMIRQ_PIRQ_INTX, GSI, 0), -EINVAL);
	b.size = sizeof(b) - 1;
	assert_int_equal(vmirq_pirq_bind(h.pirq, &b), -EINVAL);
	assert_int_equal(vmirq_pirq_bind(NULL, &b), -EINVAL);
	/* Nothing of all that is bound. */
	assert_int_equal(vmirq_pirq_unbind(h.pirq), -ENOENT);
	assert_int_equal(vmirq_pirq_retarget(h.pirq, 0xfee00000u, VECTOR), -ENOENT);
	assert_raise(&h, VMIRQ_NO_ROUTE);
	assert_int_equal(vmirq_pirq_counts(h.pirq, &counts), -EINVAL);
	/* Over another binding. */
	assert_int_equal(bind_gsi(&h, s->vm, w, VMIRQ_PIRQ_INTX, GSI, 0), 0);
	assert_int_equal(bind_msi(&h, s->vm, w, 0, VECTOR, 0), -EBUSY);
	assert_int_equal(bind_gsi(&h, s->vm, w, VMIRQ_PIRQ_INTX, GSI, 0), -EBUSY);
	assert_int_equal(vmirq_pirq_retarget(h.pirq, 0xfee00000u, VECTOR), -EBUSY);
	assert_true(vmirq_pirq_deadline(NULL) == UINT64_MAX);
	vmirq_pirq_expire(NULL);
	host_close(&h);
	pc_free(s);
	assert_int_equal(vmirq_worker_destroy(w, NULL), 0);
}

/* Over a message only a message goes, of the same VM and with the same flags; what is refused leaves it as it was. */
static void over_a_message(void **state)
{
	struct soft *s = pc(), *other = pc();
	struct vmirq_worker *w = worker_new();
	struct host h;

	(void)state;
	host_open(&h, NULL);
	assert_int_equal(bind_msi(&h, s->vm, w, 0, VECTOR, 0), 0);
	assert_int_equal(bind_gsi(&h, s->vm, w, VMIRQ_PIRQ_INTX, GSI, 0), -EBUSY);
	assert_int_equal(bind_gsi(&h, s->vm, w, VMIRQ_PIRQ_MSI_TO_INTX, GSI, 0), -EBUSY);
	assert_int_equal(bind_gsi(&h, s->vm, w, VMIRQ_PIRQ_IDENTITY, GSI, 0), -EBUSY);
	assert_int_equal(bind_msi(&h, other->vm, w, 0, VECTOR + 1, 0), -EBUSY);
	assert_int_equal(bind_msi(&h, s->vm, w, 0, VECTOR + 1, VMIRQ_PIRQ_NO_FAST_PATH), -EBUSY);
	assert_int_equal(bind_msi(&h, s->vm, w, 0, 15, 0), -EINVAL);
	assert_raise(&h, VMIRQ_HELD);
	worker_serves(w, 1);
	take_only(s->vcpu[0], VECTOR);
	take_nothing(other->vcpu[0]);
	assert_int_equal(bind_msi(&h, s->vm, w, 0, VECTOR + 1, 0), 0);
	assert_raise(&h, VMIRQ_HELD);
	worker_serves(w, 1);
	take_only(s->vcpu[0], VECTOR + 1);
	host_close(&h);
	pc_free(s);
	pc_free(other);
	assert_int_equal(vmirq_worker_destroy(w, NULL), 0);
}

static void errors_of_create(void **state)
{
	struct vmirq_pirq_config c = { .size = sizeof(c), .eventfd = -1, .burst = 1 };
	struct vmirq_pirq *pirq;
	int file = eventfd(0, 0), pipes[2];

	(void)state;
	assert_int_equal(vmirq_pirq_create(&c, &pirq), -EINVAL);
	c.burst = 0;
	c.flags = 1;
	assert_int_equal(vmirq_pirq_create(&c, &pirq), -EINVAL);
	c.flags = 0;
	c.eventfd = -2;
	assert_int_equal(vmirq_pirq_create(&c, &pirq), -EBADF);
	close(file);
	c.eventfd = file;
	assert_int_equal(vmirq_pirq_create(&c, &pirq), -EBADF);
	assert_int_equal(pipe(pipes), 0);
	c.eventfd = pipes[0];
	assert_int_equal(vmirq_pirq_create(&c, &pirq), -EINVAL);
	close(pipes[0]);
	close(pipes[1]);
	assert_int_equal(vmirq_pirq_create(NULL, &pirq), -EINVAL);
	assert_int_equal(vmirq_pirq_destroy(NULL), 0);
	assert_int_equal(vmirq_pirq_unbind(NULL), -EINVAL);
}

static void never_used_after_set_up(void **state)
{
	struct soft *s = pc();
	struct vmirq_worker *w = worker_new();
	struct host h[4];

	(void)state;
	for (int i = 0; i < 4; i++)
		host_open(&h[i], NULL);
	assert_int_equal(bind_msi(&h[0], s->vm, w, 0, VECTOR, 0), 0);
	assert_int_equal(bind_gsi(&h[1], s->vm, w, VMIRQ_PIRQ_INTX, GSI, 0), 0);
	assert_int_equal(bind_gsi(&h[2], s->vm, w, VMIRQ_PIRQ_MSI_TO_INTX, GSI, 0), 0);
	for (int i = 0; i < 4; i++)
		host_close(&h[i]);
	take_nothing(s->vcpu[0]);
	pc_free(s);
	assert_int_equal(vmirq_worker_destroy(w, NULL), 0);
}

/* Queued and not run: nothing is posted, the host's source stays masked, and it may be bound again at once. */
static void unbound_while_queued(void **state)
{
	struct soft *s = pc();
	struct vmirq_worker *w = worker_new();
	struct host h;

	(void)state;
	host_open(&h, NULL);
	for (uint64_t i = 1; i <= 3; i++) {
		assert_int_equal(bind_gsi(&h, s->vm, w, VMIRQ_PIRQ_INTX, GSI, 0), 0);
		assert_raise(&h, VMIRQ_HELD);
		assert_raise(&h, VMIRQ_COALESCED);
		assert_int_equal(vmirq_pirq_unbind(h.pirq), 0);
		worker_serves(w, 0);
		assert_int_equal(vmirq_line_level(s->vm, GSI), 0);
		assert_int_equal(h.unmasked, 0);
		assert_int_equal(host_verdict(&h, VMIRQ_DEASSIGNED), i);
		assert_int_equal(host_verdict(&h, VMIRQ_COALESCED), i);
		assert_raise(&h, VMIRQ_NO_ROUTE);
		assert_int_equal(host_verdict(&h, VMIRQ_NO_ROUTE), i);
	}
	/* Bound at once to something else, what was queued does not come back. */
	assert_int_equal(bind_msi(&h, s->vm, w, 0, VECTOR, 0), 0);
	worker_serves(w, 0);
	take_nothing(s->vcpu[0]);
	assert_raise(&h, VMIRQ_HELD);
	worker_serves(w, 1);
	take_only(s->vcpu[0], VECTOR);
	host_close(&h);
	pc_free(s);
	assert_int_equal(vmirq_worker_destroy(w, NULL), 0);
}

/* From one VM to the next, which has the interrupt alone. */
static void rebound_to_another_vm(void **state)
{
	struct soft *first = pc(), *second = pc();
	struct vmirq_worker *w = worker_new();
	struct host h;

	(void)state;
	host_open(&h, NULL);
	assert_int_equal(bind_gsi(&h, first->vm, w, VMIRQ_PIRQ_INTX, GSI, 0), 0);
	assert_raise(&h, VMIRQ_HELD);
	worker_serves(w, 1);
	begin_service(first->vcpu[0], VECTOR);
	assert_raise(&h, VMIRQ_HELD);
	assert_int_equal(vmirq_pirq_unbind(h.pirq), 0);
	assert_int_equal(bind_gsi(&h, second->vm, w, VMIRQ_PIRQ_INTX, GSI, 0), 0);
	/* The first guest's EOI is not the second's. */
	assert_raise(&h, VMIRQ_HELD);
	worker_serves(w, 1);
	end_service(first->vcpu[0]);
	assert_int_equal(h.unmasked, 0);
	assert_int_equal(host_counts(&h).pending, 1);
	take_nothing(first->vcpu[0]);
	begin_service(second->vcpu[0], VECTOR);
	end_service(second->vcpu[0]);
	assert_int_equal(h.unmasked, 1);
	host_close(&h);
	pc_free(first);
	pc_free(second);
	assert_int_equal(vmirq_worker_destroy(w, NULL), 0);
}

/* A guest that has crashed: everything pending, queued, over the rate, at once. */
static void destroyed_with_everything_pending(void **state)
{
	const struct vmirq_pirq_config limited = { .eventfd = -1,
						   .rate = 1,
						   .watchdog_ns = 1000000 };
	struct soft *s = pc(), *other = pc();
	struct vmirq_worker *w = worker_new();
	struct host h[MANY], bystander;
	uint64_t delivered;

	(void)state;
	host_open(&bystander, NULL);
	assert_int_equal(bind_msi(&bystander, other->vm, w, 0, VECTOR, 0), 0);
	for (unsigned int i = 0; i < MANY; i++) {
		host_open(&h[i], i % 4 ? NULL : &limited);
		assert_int_equal(bind_gsi(&h[i], s->vm, w,
					  i % 2 ? VMIRQ_PIRQ_INTX : VMIRQ_PIRQ_MSI_TO_INTX,
					  i % 3 ? GSI : OTHER, 0),
				 0);
		host_raise(&h[i]);
	}
	worker_serves(w, MANY);
	for (unsigned int i = 0; i < MANY; i++)
		host_raise(&h[i]);
	worker_serves(w, MANY);
	for (unsigned int i = 0; i < MANY / 2; i++)
		host_raise(&h[i]);
	host_raise(&bystander);
	begin_service(s->vcpu[0], VECTOR);
	assert_int_equal(vmirq_vm_destroy(s->vm), 0);
	free(s);
	delivered = bystander.raised;
	worker_serves(w, 1);
	take_only(other->vcpu[0], VECTOR);
	assert_int_equal(delivered, 1);
	for (unsigned int i = 0; i < MANY; i++) {
		struct vmirq_pirq_counts c = host_counts(&h[i]);

		assert_int_equal(c.pending, 0);
		assert_int_equal(c.held, 0);
		assert_int_equal(c.bound, 0);
		assert_int_equal(vmirq_pirq_unbind(h[i].pirq), -ENOENT);
		/* The pirq outlives the VM. */
		assert_int_equal(bind_msi(&h[i], other->vm, w, 0, VECTOR, 0), 0);
		host_close(&h[i]);
	}
	host_close(&bystander);
	pc_free(other);
	assert_int_equal(vmirq_worker_destroy(w, NULL), 0);
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
	vmirq_worker_run(worker, 1);
	return NULL;
}

static void *let_go(void *unused)
{
	for (int i = 0; i < 1000; i++)
		sched_yield();
	atomic_store(&go_on, true);
	return unused;
}

/* XSA-395: the clean-up of several, one of which is being delivered, must come back for it. */
static void one_of_many_in_flight(void **state)
{
	(void)state;
	for (unsigned int flying = 0; flying < 8; flying++) {
		struct soft *s = pc();
		struct vmirq_worker *w = worker_new();
		pthread_t server, opener;
		struct host h[8];

		atomic_store(&entered, false);
		atomic_store(&go_on, false);
		for (unsigned int i = 0; i < 8; i++) {
			host_open(&h[i], NULL);
			assert_int_equal(bind_gsi(&h[i], s->vm, w, VMIRQ_PIRQ_MSI_TO_INTX, GSI, 0),
					 0);
		}
		h[flying].then = hold_on;
		host_raise(&h[flying]);
		for (unsigned int i = 0; i < 8; i++)
			host_raise(&h[i]);
		assert_int_equal(pthread_create(&server, NULL, serve_once, w), 0);
		while (!atomic_load(&entered))
			sched_yield();
		/* It has begun: raised once more, it is queued behind itself. */
		host_raise(&h[flying]);
		assert_int_equal(pthread_create(&opener, NULL, let_go, NULL), 0);
		assert_int_equal(vmirq_vm_destroy(s->vm), 0);
		/* It was waited for. */
		assert_true(atomic_load(&go_on));
		free(s);
		pthread_join(opener, NULL);
		pthread_join(server, NULL);
		worker_serves(w, 0);
		for (unsigned int i = 0; i < 8; i++) {
			assert_int_equal(host_verdict(&h[i], VMIRQ_DEASSIGNED), 1);
			assert_int_equal(h[i].unmasked, i == flying);
			host_close(&h[i]);
		}
		assert_int_equal(vmirq_worker_destroy(w, NULL), 0);
	}
}

static void *end_it(void *vcpu)
{
	end_service(vcpu);
	return NULL;
}

/* The guest's EOI is telling the host: unbind and destroy wait for it. */
static void an_eoi_under_way(void **state)
{
	struct soft *s = pc();
	struct vmirq_worker *w = worker_new();
	pthread_t guest, opener;
	struct host h[3];

	(void)state;
	atomic_store(&entered, false);
	atomic_store(&go_on, false);
	for (unsigned int i = 0; i < 3; i++) {
		host_open(&h[i], NULL);
		assert_int_equal(bind_gsi(&h[i], s->vm, w, VMIRQ_PIRQ_INTX, GSI, 0), 0);
		h[i].then = hold_on;
	}
	host_raise(&h[0]);
	worker_serves(w, 1);
	begin_service(s->vcpu[0], VECTOR);
	assert_int_equal(pthread_create(&guest, NULL, end_it, s->vcpu[0]), 0);
	while (!atomic_load(&entered))
		sched_yield();
	/* What is not told is not waited for; and the GSI has others still. */
	assert_int_equal(vmirq_pirq_unbind(h[1].pirq), 0);
	assert_false(atomic_load(&go_on));
	assert_int_equal(pthread_create(&opener, NULL, let_go, NULL), 0);
	assert_int_equal(vmirq_pirq_destroy(h[0].pirq), 0);
	assert_true(atomic_load(&go_on));
	pthread_join(opener, NULL);
	pthread_join(guest, NULL);
	assert_int_equal(h[0].unmasked, 1);
	assert_int_equal(vmirq_line_level(s->vm, GSI), 0);
	host_close(&h[1]);
	host_close(&h[2]);
	pc_free(s);
	assert_int_equal(vmirq_worker_destroy(w, NULL), 0);
}

static void *unbind_it(void *pirq)
{
	assert_int_equal(vmirq_pirq_unbind(pirq), 0);
	return NULL;
}

/* It is off the VM's list and has not gone: the VM stays until it has. */
static void unbound_beside_the_end_of_its_vm(void **state)
{
	struct soft *s = pc();
	struct vmirq_worker *w = worker_new();
	pthread_t server, unbinder, opener;
	struct host h;

	(void)state;
	atomic_store(&entered, false);
	atomic_store(&go_on, false);
	host_open(&h, NULL);
	h.then = hold_on;
	assert_int_equal(bind_gsi(&h, s->vm, w, VMIRQ_PIRQ_MSI_TO_INTX, GSI, 0), 0);
	host_raise(&h);
	assert_int_equal(pthread_create(&server, NULL, serve_once, w), 0);
	while (!atomic_load(&entered))
		sched_yield();
	assert_int_equal(pthread_create(&unbinder, NULL, unbind_it, h.pirq), 0);
	while (host_raise(&h) != VMIRQ_NO_ROUTE)
		sched_yield();
	for (int i = 0; i < 1000; i++)
		sched_yield();
	assert_int_equal(pthread_create(&opener, NULL, let_go, NULL), 0);
	assert_int_equal(vmirq_vm_destroy(s->vm), 0);
	assert_true(atomic_load(&go_on));
	free(s);
	pthread_join(opener, NULL);
	pthread_join(unbinder, NULL);
	pthread_join(server, NULL);
	assert_int_equal(h.unmasked, 1);
	host_close(&h);
	assert_int_equal(vmirq_worker_destroy(w, NULL), 0);
}

static void *unbind_after(void *pirq)
{
	assert_int_equal(vmirq_pirq_unbind(pirq), 0);
	assert_true(atomic_load(&go_on));
	return NULL;
}

/* A raiser that has found it bound is waited for; what the worker finds meanwhile is thrown away already. */
static void a_raise_under_way(void **state)
{
	struct soft *s = pc();
	struct vmirq_worker *w = worker_new();
	struct reader *section;
	pthread_t unbinder;
	struct host h;

	(void)state;
	atomic_store(&go_on, false);
	host_open(&h, NULL);
	assert_int_equal(bind_msi(&h, s->vm, w, 0, VECTOR, 0), 0);
	assert_raise(&h, VMIRQ_HELD);
	section = reader_enter();
	assert_int_equal(pthread_create(&unbinder, NULL, unbind_after, h.pirq), 0);
	while (host_raise(&h) != VMIRQ_NO_ROUTE)
		sched_yield();
	worker_serves(w, 1);
	take_nothing(s->vcpu[0]);
	for (int i = 0; i < 1000; i++)
		sched_yield();
	atomic_store(&go_on, true);
	reader_exit(section);
	pthread_join(unbinder, NULL);
	assert_int_equal(h.unmasked, 0);
	assert_int_equal(host_verdict(&h, VMIRQ_DEASSIGNED), 1);
	host_close(&h);
	pc_free(s);
	assert_int_equal(vmirq_worker_destroy(w, NULL), 0);
}

static void try_to_wait(struct host *h)
{
	struct soft *s = h->opaque;
	struct vmirq_pirq_counts counts = { .size = sizeof(counts) };

	assert_int_equal(vmirq_pirq_unbind(h->pirq), -EDEADLK);
	assert_int_equal(vmirq_pirq_destroy(h->pirq), -EDEADLK);
	assert_int_equal(vmirq_pirq_retarget(h->pirq, 0xfee00000u, VECTOR), -EDEADLK);
	assert_int_equal(vmirq_pirq_eoi(h->pirq), -EDEADLK);
	assert_int_equal(vmirq_pirq_counts(h->pirq, &counts), -EDEADLK);
	assert_int_equal(bind_msi(h, s->vm, NULL, 0, VECTOR, 0), -EDEADLK);
	assert_int_equal(vmirq_vm_destroy(s->vm), -EDEADLK);
}

static void from_its_own_unmask(void **state)
{
	struct soft *s = pc();
	struct vmirq_worker *w = worker_new();
	struct host h;

	(void)state;
	host_open(&h, NULL);
	h.then = try_to_wait;
	h.opaque = s;
	assert_int_equal(bind_gsi(&h, s->vm, w, VMIRQ_PIRQ_INTX, GSI, 0), 0);
	host_raise(&h);
	worker_serves(w, 1);
	begin_service(s->vcpu[0], VECTOR);
	end_service(s->vcpu[0]);
	assert_int_equal(h.unmasked, 1);
	assert_int_equal(vmirq_pirq_unbind(h.pirq), 0);
	assert_int_equal(bind_msi(&h, s->vm, w, 0, VECTOR, 0), 0);
	host_raise(&h);
	worker_serves(w, 1);
	assert_int_equal(h.unmasked, 2);
	take_only(s->vcpu[0], VECTOR);
	host_close(&h);
	pc_free(s);
	assert_int_equal(vmirq_worker_destroy(w, NULL), 0);
}

static void cycle(struct soft *s, struct vmirq_worker *w, struct host *h, unsigned int i)
{
	const uint32_t gsis[] = { GSI, OTHER };

	assert_int_equal(i % 2 ? bind_gsis(h, s->vm, w, 1 + i / 2 % 2, gsis)
			       : bind_msi(h, s->vm, w, 0, VECTOR, 0),
			 0);
	host_raise(h);
	if (i % 3)
		worker_serves(w, 1);
	if (i % 2 && i % 3 && i % 5) {
		begin_service(s->vcpu[0], VECTOR);
		end_service(s->vcpu[0]);
	}
	assert_int_equal(vmirq_pirq_unbind(h->pirq), 0);
	take_all(s->vcpu[0], NULL);
}

static void ten_thousand_cycles(void **state)
{
	struct soft *s = pc();
	struct vmirq_worker *w = worker_new();
	struct vmirq_pirq_counts c;
	struct host h;
	size_t before;
	uint32_t gsi;

	(void)state;
	host_open(&h, NULL);
	for (unsigned int i = 0; i < 60; i++)
		cycle(s, w, &h, i);
	assert_int_equal(vmirq_gsi_alloc(s->vm, &gsi), 0);
	assert_int_equal(gsi, 24);
	assert_int_equal(vmirq_gsi_free(s->vm, gsi), 0);
	before = mallinfo2().uordblks;
	for (unsigned int i = 0; i < CYCLES; i++)
		cycle(s, w, &h, i);
	/* Nothing has been left behind: no memory, no GSI, no line. */
	assert_int_equal(mallinfo2().uordblks, before);
	assert_int_equal(vmirq_gsi_alloc(s->vm, &gsi), 0);
	assert_int_equal(gsi, 24);
	assert_int_equal(vmirq_line_level(s->vm, GSI), 0);
	c = host_counts(&h);
	assert_int_equal(c.raised, CYCLES + 60);
	assert_int_equal(c.held + c.pending + c.bound, 0);
	assert_int_equal(c.verdict[VMIRQ_DEASSIGNED], (CYCLES + 60 + 2) / 3);
	host_close(&h);
	pc_free(s);
	assert_int_equal(vmirq_worker_destroy(w, NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(errors),
		cmocka_unit_test(over_a_message),
		cmocka_unit_test(errors_of_create),
		cmocka_unit_test(never_used_after_set_up),
		cmocka_unit_test(unbound_while_queued),
		cmocka_unit_test(rebound_to_another_vm),
		cmocka_unit_test(destroyed_with_everything_pending),
		cmocka_unit_test(one_of_many_in_flight),
		cmocka_unit_test(an_eoi_under_way),
		cmocka_unit_test(unbound_beside_the_end_of_its_vm),
		cmocka_unit_test(a_raise_under_way),
		cmocka_unit_test(from_its_own_unmask),
		cmocka_unit_test(ten_thousand_cycles),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
