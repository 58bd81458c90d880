// SPDX-License-Identifier: MIT
/* The workers of host interrupts serve irqfds as well: those that are signalled by call and go to pins. */
#include "../line/pc_world.h"
#include "host.h"

#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

#define PIN	20 /* not the 8259s' */
#define VECTOR	0x61
#define MESSAGE 0x71

struct bench {
	struct soft *s;
	struct vmirq_worker *worker;
};

static struct bench bench_new(void)
{
	struct bench b = { .s = pc_new(1, 0), .worker = worker_new() };

	for (uint32_t i = 0; i < 3; i++)
		rte_put(b.s, PIN + i, RTE_TO(0) | (VECTOR + i));
	return b;
}

static void bench_free(struct bench *b)
{
	pc_free(b->s);
	assert_int_equal(vmirq_worker_destroy(b->worker, NULL), 0);
}

static struct vmirq_irqfd_config by(struct vmirq_worker *worker, uint32_t gsi)
{
	return (struct vmirq_irqfd_config){ .size = sizeof(struct vmirq_irqfd_config),
					    .gsi = gsi,
					    .eventfd = -1,
					    .worker = worker };
}

static struct vmirq_irqfd *assign(struct bench *b, uint32_t gsi)
{
	struct vmirq_irqfd_config config = by(b->worker, gsi);
	struct vmirq_irqfd *irqfd = NULL;

	assert_int_equal(vmirq_irqfd_assign(b->s->vm, &config, &irqfd), 0);
	return irqfd;
}

static void by_the_worker_alone(void **state)
{
	struct bench b = bench_new();
	struct vmirq_irqfd *irqfd = assign(&b, PIN);

	(void)state;
	for (int n = 0; n < 3; n++) {
		assert_signal(irqfd, VMIRQ_HELD);
		assert_signal(irqfd, VMIRQ_COALESCED);
		assert_int_equal(counts_of(irqfd).held, 1);
		/* The pump has nothing to do. */
		assert_int_equal(dispatch(b.s), 0);
		take_nothing(b.s->vcpu[0]);
		worker_serves(b.worker, 1);
		take_only(b.s->vcpu[0], VECTOR);
		/* A message needs nobody. */
		route_to(b.s, PIN, 0, MESSAGE);
		assert_signal(irqfd, VMIRQ_DELIVERED);
		take_only(b.s->vcpu[0], MESSAGE);
		route_pin(b.s, PIN, KVM_IRQCHIP_IOAPIC, PIN);
	}
	/* What was signalled before the deassign is delivered, by whoever deassigns. */
	assert_signal(irqfd, VMIRQ_HELD);
	assert_int_equal(vmirq_irqfd_deassign(irqfd), 0);
	take_only(b.s->vcpu[0], VECTOR);
	worker_serves(b.worker, 0);
	b.s->posted_beyond = 3; /* messages of a GSI that is a pin's now */
	bench_free(&b);
}

/* One that has no route yet, or a message for one, has its worker when it comes to pins. */
static void before_its_route(void **state)
{
	struct bench b = bench_new();
	struct vmirq_irqfd *irqfd = assign(&b, 100);

	(void)state;
	assert_signal(irqfd, VMIRQ_NO_ROUTE);
	route_pin(b.s, 100, KVM_IRQCHIP_IOAPIC, PIN + 1);
	assert_signal(irqfd, VMIRQ_HELD);
	assert_int_equal(dispatch(b.s), 0);
	worker_serves(b.worker, 1);
	take_only(b.s->vcpu[0], VECTOR + 1);
	assert_int_equal(vmirq_irqfd_deassign(irqfd), 0);
	bench_free(&b);
}

/* One queue: in the order of raising. */
static void beside_pirqs(void **state)
{
	struct bench b = bench_new();
	struct vmirq_irqfd *first = assign(&b, PIN), *last = assign(&b, PIN + 1);
	struct host h;

	(void)state;
	host_open(&h, NULL);
	assert_int_equal(bind_msi(&h, b.s->vm, b.worker, 0, MESSAGE, 0), 0);
	for (int n = 0; n < 3; n++) {
		static const uint8_t vector[] = { VECTOR + 1, MESSAGE, VECTOR };

		assert_signal(last, VMIRQ_HELD);
		assert_raise(&h, VMIRQ_HELD);
		assert_signal(first, VMIRQ_HELD);
		assert_signal(last, VMIRQ_COALESCED);
		for (int i = 0; i < 3; i++) {
			assert_int_equal(vmirq_worker_run(b.worker, 1), 1);
			take_only(b.s->vcpu[0], vector[i]);
		}
		worker_serves(b.worker, 0);
	}
	host_close(&h);
	assert_int_equal(vmirq_irqfd_deassign(first), 0);
	assert_int_equal(vmirq_irqfd_deassign(last), 0);
	bench_free(&b);
}

static void taken_away(void **state)
{
	struct bench b = bench_new();
	struct vmirq_irqfd *irqfd = assign(&b, PIN), *idle = assign(&b, PIN + 1);
	struct vmirq_worker *heir = worker_new();

	(void)state;
	assert_int_equal(vmirq_worker_destroy(b.worker, NULL), -EBUSY);
	assert_signal(irqfd, VMIRQ_HELD);
	assert_int_equal(vmirq_worker_destroy(b.worker, heir), 0);
	b.worker = heir;
	assert_signal(irqfd, VMIRQ_COALESCED);
	assert_signal(idle, VMIRQ_HELD);
	worker_serves(heir, 2);
	assert_int_equal(take_all(b.s->vcpu[0], NULL), 2);
	assert_int_equal(vmirq_irqfd_deassign(irqfd), 0);
	assert_int_equal(vmirq_irqfd_deassign(idle), 0);
	bench_free(&b);
}

/* A VM that goes takes its irqfds along, queued or not. */
static void its_vm_goes(void **state)
{
	struct bench b = bench_new();
	struct vmirq_irqfd *irqfd = assign(&b, PIN);

	(void)state;
	assign(&b, PIN + 1);
	assert_signal(irqfd, VMIRQ_HELD);
	assert_int_equal(vmirq_vm_destroy(b.s->vm), 0);
	free(b.s);
	worker_serves(b.worker, 0);
	assert_int_equal(vmirq_worker_destroy(b.worker, NULL), 0);
}

static void many_at_once(void **state)
{
	struct bench b = bench_new();
	struct vmirq_irqfd_config config[3];
	struct vmirq_irqfd *irqfd[3];

	(void)state;
	for (uint32_t i = 0; i < 3; i++)
		config[i] = by(i == 1 ? NULL : b.worker, PIN + i);
	assert_int_equal(vmirq_irqfd_assign_many(b.s->vm, config, 3, irqfd), 0);
	for (uint32_t i = 0; i < 3; i++)
		assert_signal(irqfd[i], VMIRQ_HELD);
	worker_serves(b.worker, 2);
	assert_int_equal(take_all(b.s->vcpu[0], NULL), 2);
	assert_int_equal(dispatch(b.s), 1);
	take_only(b.s->vcpu[0], VECTOR + 1);
	for (uint32_t i = 0; i < 3; i++)
		assert_int_equal(vmirq_irqfd_deassign(irqfd[i]), 0);
	/* All or none: nothing stays with the worker. */
	config[2].gsi = UINT32_MAX;
	assert_int_equal(vmirq_irqfd_assign_many(b.s->vm, config, 3, irqfd), -EINVAL);
	bench_free(&b);
}

static void count(void *opaque)
{
	++*(_Atomic uint32_t *)opaque;
}

/* A level, and a thread of the worker's own. */
static void levels_by_its_thread(void **state)
{
	struct bench b = bench_new();
	struct vmirq_irqfd_config config = by(b.worker, PIN);
	struct vmirq_irqfd *irqfd;
	_Atomic uint32_t resampled = 0;

	(void)state;
	rte_put(b.s, PIN, RTE_TO(0) | RTE_LEVEL | VECTOR);
	config.flags = VMIRQ_IRQFD_RESAMPLE;
	config.resample = count;
	config.resample_opaque = &resampled;
	assert_int_equal(vmirq_irqfd_assign(b.s->vm, &config, &irqfd), 0);
	assert_int_equal(vmirq_worker_start(b.worker, -1), 0);
	for (uint32_t n = 1; n <= 100; n++) {
		assert_signal(irqfd, VMIRQ_HELD);
		while (counts_of(irqfd).held)
			sched_yield();
		begin_service(b.s->vcpu[0], VECTOR);
		end_service(b.s->vcpu[0]);
		assert_int_equal(resampled, n);
		assert_int_equal(vmirq_line_level(b.s->vm, PIN), 0);
	}
	assert_int_equal(vmirq_irqfd_deassign(irqfd), 0);
	bench_free(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(by_the_worker_alone),	cmocka_unit_test(before_its_route),
		cmocka_unit_test(beside_pirqs),		cmocka_unit_test(taken_away),
		cmocka_unit_test(its_vm_goes),		cmocka_unit_test(many_at_once),
		cmocka_unit_test(levels_by_its_thread),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
