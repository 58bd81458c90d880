// SPDX-License-Identifier: MIT
/* EOI accounting (passthrough.h): what is asserted is pending until the guest has ended it; then the host is told,
 * once. */
#include "eoi_bench.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define FREE 30 /* not routed */

static void asserted_until_the_eoi(void **state)
{
	struct bench b = bench_new();
	struct host h;

	(void)state;
	intx(&b, &h, GSI);
	for (int i = 1; i <= 3; i++) {
		assert_raise(&h, VMIRQ_HELD);
		assert_int_equal(vmirq_line_level(b.s->vm, GSI), 0);
		assert_int_equal(host_counts(&h).held, 1);
		worker_serves(b.worker, 1);
		assert_int_equal(vmirq_line_level(b.s->vm, GSI), 1);
		assert_int_equal(host_counts(&h).pending, 1);
		begin_service(b.s->vcpu[0], VECTOR);
		assert_int_equal(h.unmasked, i - 1);
		end_service(b.s->vcpu[0]);
		assert_int_equal(vmirq_line_level(b.s->vm, GSI), 0);
		assert_int_equal(host_counts(&h).pending, 0);
		assert_int_equal(h.unmasked, i);
		take_nothing(b.s->vcpu[0]);
	}
	assert_int_equal(host_verdict(&h, VMIRQ_DELIVERED), 3);
	assert_int_equal(host_counts(&h).runs, 3);
	host_close(&h);
	bench_free(&b);
}

/* Unread, queued, and in service: what was signalled before arrives and is ended, and nothing comes after it. */
static void the_host_closes_its_source(void **state)
{
	for (int moment = 0; moment < 3; moment++) {
		struct vmirq_pirq_config how = { .eventfd = eventfd(0, EFD_NONBLOCK) };
		struct bench b = bench_new();
		struct host h;

		host_open(&h, &how);
		assert_int_equal(bind_gsi(&h, b.s->vm, b.worker, VMIRQ_PIRQ_INTX, GSI, 0), 0);
		assert_int_equal(eventfd_write(how.eventfd, 1), 0);
		h.raised++;
		if (moment == 0)
			close(how.eventfd);
		assert_int_equal(dispatch(b.s), 1);
		if (moment == 1)
			close(how.eventfd);
		worker_serves(b.worker, 1);
		begin_service(b.s->vcpu[0], VECTOR);
		if (moment == 2)
			close(how.eventfd);
		end_service(b.s->vcpu[0]);
		assert_int_equal(h.unmasked, 1);
		assert_int_equal(vmirq_line_level(b.s->vm, GSI), 0);
		assert_int_equal(dispatch(b.s), 0);
		worker_serves(b.worker, 0);
		take_nothing(b.s->vcpu[0]);
		/* Bound again it is as it was, raised by call. */
		assert_int_equal(vmirq_pirq_unbind(h.pirq), 0);
		assert_int_equal(bind_gsi(&h, b.s->vm, b.worker, VMIRQ_PIRQ_INTX, GSI, 0), 0);
		assert_raise(&h, VMIRQ_HELD);
		worker_serves(b.worker, 1);
		serve(&b, VECTOR);
		assert_int_equal(h.unmasked, 2);
		host_close(&h);
		bench_free(&b);
	}
	(void)state;
}

static void *ask(void *argument)
{
	const struct host *h = argument;
	struct vmirq_pirq_counts c = { .size = sizeof(c) };

	return (void *)(intptr_t)vmirq_pirq_counts(h->pirq, &c);
}

static void ask_elsewhere(struct host *h)
{
	pthread_t thread;
	void *error;

	assert_int_equal(pthread_create(&thread, NULL, ask, h), 0);
	pthread_join(thread, &error);
	assert_null(error);
}

/* No lock of the pirq's is held in its unmask: it may wait for another thread that asks of it. */
static void asked_about_in_its_unmask(void **state)
{
	struct bench b = bench_new();
	struct host h;

	(void)state;
	intx(&b, &h, GSI);
	h.then = ask_elsewhere;
	assert_raise(&h, VMIRQ_HELD);
	worker_serves(b.worker, 1);
	assert_int_equal(vmirq_pirq_eoi(h.pirq), 1);
	assert_int_equal(h.unmasked, 1);
	serve(&b, VECTOR);
	assert_int_equal(h.unmasked, 1);
	host_close(&h);
	bench_free(&b);
}

/* An EOI of an interrupt that is nobody's. */
static void not_pending(void **state)
{
	struct bench b = bench_new();
	struct host h;

	(void)state;
	intx(&b, &h, GSI);
	line(b.s, GSI, 0, true);
	begin_service(b.s->vcpu[0], VECTOR);
	line(b.s, GSI, 0, false);
	end_service(b.s->vcpu[0]);
	assert_int_equal(h.unmasked, 0);
	assert_int_equal(vmirq_pirq_eoi(h.pirq), 0);
	take_nothing(b.s->vcpu[0]);
	host_close(&h);
	bench_free(&b);
}

/* Two devices on one line: the guest's EOI ends both, each host is told, and one that was not raised is not. */
static void several_pirqs_on_one_gsi(void **state)
{
	struct bench b = bench_new();
	struct host h[3];

	(void)state;
	for (int i = 0; i < 3; i++)
		intx(&b, &h[i], GSI);
	assert_raise(&h[0], VMIRQ_HELD);
	assert_raise(&h[1], VMIRQ_HELD);
	worker_serves(b.worker, 2);
	assert_int_equal(host_verdict(&h[0], VMIRQ_DELIVERED), 1);
	assert_int_equal(host_verdict(&h[1], VMIRQ_COALESCED), 1);
	serve(&b, VECTOR);
	assert_int_equal(vmirq_line_level(b.s->vm, GSI), 0);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(host_counts(&h[i]).pending, 0);
		assert_int_equal(h[i].unmasked, i < 2);
	}
	/* One that leaves while it is pending lowers the line only if it was the last. */
	assert_raise(&h[0], VMIRQ_HELD);
	assert_raise(&h[2], VMIRQ_HELD);
	worker_serves(b.worker, 2);
	assert_int_equal(vmirq_pirq_unbind(h[0].pirq), 0);
	assert_int_equal(vmirq_line_level(b.s->vm, GSI), 1);
	assert_int_equal(vmirq_pirq_unbind(h[2].pirq), 0);
	assert_int_equal(vmirq_line_level(b.s->vm, GSI), 0);
	assert_int_equal(h[0].unmasked, 1);
	assert_int_equal(h[2].unmasked, 0);
	serve(&b, VECTOR);
	for (int i = 0; i < 3; i++)
		host_close(&h[i]);
	bench_free(&b);
}

static void *unbind_it(void *argument)
{
	const struct host *h = argument;

	return (void *)(intptr_t)vmirq_pirq_unbind(h->pirq);
}

static void unbind_the_other(struct host *h)
{
	pthread_t thread;
	void *error;

	assert_int_equal(pthread_create(&thread, NULL, unbind_it, h->opaque), 0);
	pthread_join(thread, &error);
	assert_null(error);
}

/* One EOI has ended both; the other's host is told, though it leaves before its turn has come. */
static void unbound_before_its_unmask(void **state)
{
	struct bench b = bench_new();
	struct host other, h;

	(void)state;
	intx(&b, &other, GSI);
	/* The newest is told first. */
	intx(&b, &h, GSI);
	h.then = unbind_the_other;
	h.opaque = &other;
	assert_raise(&other, VMIRQ_HELD);
	assert_raise(&h, VMIRQ_HELD);
	worker_serves(b.worker, 2);
	serve(&b, VECTOR);
	assert_int_equal(h.unmasked, 1);
	assert_int_equal(host_counts(&other).bound, 0);
	assert_int_equal(other.unmasked, 1);
	take_nothing(b.s->vcpu[0]);
	host_close(&other);
	host_close(&h);
	bench_free(&b);
}

/* The host is told once, at the last of its GSIs. */
static void several_gsis_of_one_pirq(void **state)
{
	const uint32_t gsis[] = { GSI, OTHER };
	struct bench b = bench_new();
	struct host h;

	(void)state;
	host_open(&h, NULL);
	assert_int_equal(bind_gsis(&h, b.s->vm, b.worker, 2, gsis), 0);
	assert_raise(&h, VMIRQ_HELD);
	worker_serves(b.worker, 1);
	assert_int_equal(host_counts(&h).pending, 2);
	assert_int_equal(vmirq_line_level(b.s->vm, GSI), 1);
	assert_int_equal(vmirq_line_level(b.s->vm, OTHER), 1);
	/* The higher vector first: its EOI is not the last. */
	begin_service(b.s->vcpu[0], VECTOR2);
	end_service(b.s->vcpu[0]);
	assert_int_equal(h.unmasked, 0);
	assert_int_equal(host_counts(&h).pending, 1);
	assert_int_equal(vmirq_line_level(b.s->vm, OTHER), 0);
	assert_int_equal(vmirq_line_level(b.s->vm, GSI), 1);
	serve(&b, VECTOR);
	assert_int_equal(h.unmasked, 1);
	assert_int_equal(host_counts(&h).pending, 0);
	assert_int_equal(vmirq_line_level(b.s->vm, GSI), 0);
	host_close(&h);
	bench_free(&b);
}

static void left_masked_by_the_guest(void **state)
{
	struct bench b = bench_new();
	struct host h;

	(void)state;
	intx(&b, &h, GSI);
	rte_put(b.s, GSI, RTE_TO(0) | RTE_LEVEL | RTE_MASKED | VECTOR);
	assert_raise(&h, VMIRQ_HELD);
	worker_serves(b.worker, 1);
	assert_int_equal(host_verdict(&h, VMIRQ_RTE_MASKED), 1);
	assert_int_equal(host_counts(&h).pending, 1);
	assert_int_equal(h.unmasked, 0);
	take_nothing(b.s->vcpu[0]);
	/* The guest opens it after all. */
	rte_put(b.s, GSI, RTE_TO(0) | RTE_LEVEL | VECTOR);
	serve(&b, VECTOR);
	assert_int_equal(h.unmasked, 1);
	/* And masks it for good: the end does not wait for it. */
	rte_put(b.s, GSI, RTE_TO(0) | RTE_LEVEL | RTE_MASKED | VECTOR);
	assert_raise(&h, VMIRQ_HELD);
	worker_serves(b.worker, 1);
	assert_int_equal(vmirq_pirq_unbind(h.pirq), 0);
	assert_int_equal(vmirq_line_level(b.s->vm, GSI), 0);
	assert_int_equal(h.unmasked, 1);
	assert_int_equal(host_counts(&h).pending, 0);
	host_close(&h);
	bench_free(&b);
}

static void raise_again(struct host *h)
{
	if (h->unmasked == 1)
		assert_raise(h, VMIRQ_HELD);
}

/* A device that still wants service raises in its unmask, as a level does. */
static void raised_again_by_the_unmask(void **state)
{
	struct bench b = bench_new();
	struct host h;

	(void)state;
	intx(&b, &h, GSI);
	h.then = raise_again;
	assert_raise(&h, VMIRQ_HELD);
	worker_serves(b.worker, 1);
	serve(&b, VECTOR);
	assert_int_equal(h.unmasked, 1);
	worker_serves(b.worker, 1);
	serve(&b, VECTOR);
	assert_int_equal(h.unmasked, 2);
	assert_int_equal(host_verdict(&h, VMIRQ_DELIVERED), 2);
	host_close(&h);
	bench_free(&b);
}

/* The host side of a message that became a line is ended at once; what comes before the guest's EOI is not lost. */
static void message_to_line(void **state)
{
	struct bench b = bench_new();
	struct host h;

	(void)state;
	host_open(&h, NULL);
	assert_int_equal(bind_gsi(&h, b.s->vm, b.worker, VMIRQ_PIRQ_MSI_TO_INTX, GSI, 0), 0);
	assert_raise(&h, VMIRQ_HELD);
	worker_serves(b.worker, 1);
	assert_int_equal(h.unmasked, 1);
	assert_int_equal(host_counts(&h).pending, 1);
	begin_service(b.s->vcpu[0], VECTOR);
	assert_raise(&h, VMIRQ_HELD);
	worker_serves(b.worker, 1);
	assert_int_equal(h.unmasked, 2);
	assert_int_equal(host_verdict(&h, VMIRQ_COALESCED), 1);
	end_service(b.s->vcpu[0]);
	assert_int_equal(host_counts(&h).reasserted, 1);
	assert_int_equal(host_counts(&h).pending, 1);
	serve(&b, VECTOR);
	take_nothing(b.s->vcpu[0]);
	assert_int_equal(host_counts(&h).pending, 0);
	assert_int_equal(vmirq_line_level(b.s->vm, GSI), 0);
	assert_int_equal(h.unmasked, 2);
	host_close(&h);
	bench_free(&b);
}

/* Two lines of one message: the host is told once, at once, and not again at the EOIs. */
static void message_to_lines(void **state)
{
	const uint32_t gsis[] = { GSI, OTHER };
	struct bench b = bench_new();
	struct vmirq_pirq_binding binding = { .size = sizeof(binding),
					      .vm = b.s->vm,
					      .worker = b.worker,
					      .type = VMIRQ_PIRQ_MSI_TO_INTX,
					      .n_gsis = 2,
					      .gsis = gsis };
	struct host h;

	(void)state;
	host_open(&h, NULL);
	assert_int_equal(vmirq_pirq_bind(h.pirq, &binding), 0);
	assert_raise(&h, VMIRQ_HELD);
	worker_serves(b.worker, 1);
	assert_int_equal(h.unmasked, 1);
	assert_int_equal(host_counts(&h).pending, 2);
	serve(&b, VECTOR2);
	/* Of the line that is still up it is raised again, of the other it is new. */
	assert_raise(&h, VMIRQ_HELD);
	worker_serves(b.worker, 1);
	assert_int_equal(h.unmasked, 2);
	assert_int_equal(host_counts(&h).pending, 2);
	serve(&b, VECTOR2);
	serve(&b, VECTOR);
	assert_int_equal(host_counts(&h).reasserted, 1);
	serve(&b, VECTOR);
	assert_int_equal(host_counts(&h).pending, 0);
	assert_int_equal(h.unmasked, 2);
	take_nothing(b.s->vcpu[0]);
	host_close(&h);
	bench_free(&b);
}

/* Nobody would raise again what a shared line had swallowed. */
static void without_unmask(void **state)
{
	struct bench b = bench_new();
	struct host first, second;

	(void)state;
	host_open_unmasked(&first);
	host_open_unmasked(&second);
	assert_int_equal(bind_gsi(&first, b.s->vm, b.worker, VMIRQ_PIRQ_INTX, GSI, 0), 0);
	assert_int_equal(bind_gsi(&second, b.s->vm, b.worker, VMIRQ_PIRQ_INTX, GSI, 0), 0);
	assert_raise(&first, VMIRQ_HELD);
	worker_serves(b.worker, 1);
	begin_service(b.s->vcpu[0], VECTOR);
	/* The handler has asked the second device already. */
	assert_raise(&second, VMIRQ_HELD);
	worker_serves(b.worker, 1);
	end_service(b.s->vcpu[0]);
	assert_int_equal(host_counts(&first).pending, 0);
	assert_int_equal(host_counts(&second).pending, 1);
	serve(&b, VECTOR);
	assert_int_equal(host_counts(&second).pending, 0);
	take_nothing(b.s->vcpu[0]);
	host_close(&first);
	host_close(&second);
	bench_free(&b);
}

static void identity(void **state)
{
	struct bench b = bench_new();
	struct host h;

	(void)state;
	host_open(&h, NULL);
	assert_int_equal(bind_gsi(&h, b.s->vm, b.worker, VMIRQ_PIRQ_IDENTITY, GSI, 0), 0);
	assert_raise(&h, VMIRQ_HELD);
	worker_serves(b.worker, 1);
	assert_int_equal(host_counts(&h).pending, 1);
	assert_int_equal(h.unmasked, 0);
	serve(&b, VECTOR);
	assert_int_equal(h.unmasked, 1);
	assert_int_equal(vmirq_pirq_unbind(h.pirq), 0);
	/* The same without EOI: an edge. */
	rte_put(b.s, GSI, RTE_TO(0) | VECTOR);
	assert_int_equal(
		bind_gsi(&h, b.s->vm, b.worker, VMIRQ_PIRQ_IDENTITY, GSI, VMIRQ_PIRQ_NO_EOI), 0);
	for (int i = 0; i < 2; i++) {
		assert_raise(&h, VMIRQ_HELD);
		worker_serves(b.worker, 1);
		assert_int_equal(host_counts(&h).pending, 0);
		assert_int_equal(vmirq_line_level(b.s->vm, GSI), 0);
		assert_int_equal(h.unmasked, 2 + i);
		take_only(b.s->vcpu[0], VECTOR);
	}
	assert_int_equal(host_verdict(&h, VMIRQ_DELIVERED), 3);
	host_close(&h);
	bench_free(&b);
}

/* Where there is no EOI to wait for: a GSI that goes to a message. One without a route holds its line. */
static void routes_that_are_no_pins(void **state)
{
	struct bench b = bench_new();
	struct host h;

	(void)state;
	intx(&b, &h, FREE);
	route_to(b.s, FREE, 0, VECTOR);
	assert_raise(&h, VMIRQ_HELD);
	worker_serves(b.worker, 1);
	take_only(b.s->vcpu[0], VECTOR);
	assert_int_equal(host_counts(&h).pending, 0);
	assert_int_equal(h.unmasked, 1);
	assert_int_equal(vmirq_route_clear(b.s->vm, FREE), 0);
	assert_raise(&h, VMIRQ_HELD);
	worker_serves(b.worker, 1);
	assert_int_equal(host_verdict(&h, VMIRQ_NO_ROUTE), 1);
	assert_int_equal(host_counts(&h).pending, 1);
	route_pin(b.s, FREE, KVM_IRQCHIP_IOAPIC, GSI);
	serve(&b, VECTOR);
	assert_int_equal(host_counts(&h).pending, 0);
	assert_int_equal(h.unmasked, 2);
	host_close(&h);
	assert_int_equal(vmirq_route_clear(b.s->vm, FREE), 0);
	b.s->posted_beyond = 1; /* of the pin, by a line that was high before */
	assert_int_equal(vmirq_vm_destroy(b.s->vm), 0);
	free(b.s);
	assert_int_equal(vmirq_worker_destroy(b.worker, NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(asserted_until_the_eoi),
		cmocka_unit_test(the_host_closes_its_source),
		cmocka_unit_test(asked_about_in_its_unmask),
		cmocka_unit_test(not_pending),
		cmocka_unit_test(several_pirqs_on_one_gsi),
		cmocka_unit_test(unbound_before_its_unmask),
		cmocka_unit_test(several_gsis_of_one_pirq),
		cmocka_unit_test(left_masked_by_the_guest),
		cmocka_unit_test(raised_again_by_the_unmask),
		cmocka_unit_test(message_to_line),
		cmocka_unit_test(message_to_lines),
		cmocka_unit_test(without_unmask),
		cmocka_unit_test(identity),
		cmocka_unit_test(routes_that_are_no_pins),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
