// SPDX-License-Identifier: MIT
/* Raising: queued once, in order, by the worker or at once; eventfds; the storm limit; retargeting. */
#include "../line/pc_world.h"
#include "host.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define GSI	9
#define VECTOR	0x61
#define VECTOR2 0x71
#define SECOND	1000000000u

static void raised_twice_is_queued_once(void **state)
{
	struct soft *s = soft_new(1);
	struct vmirq_worker *worker = worker_new();
	struct vmirq_worker_counts wc = { .size = sizeof(wc) };
	struct host h;

	(void)state;
	host_open(&h, NULL);
	assert_int_equal(bind_msi(&h, s->vm, worker, 0, VECTOR, 0), 0);
	assert_raise(&h, VMIRQ_HELD);
	assert_raise(&h, VMIRQ_COALESCED);
	assert_raise(&h, VMIRQ_COALESCED);
	take_nothing(s->vcpu[0]);
	assert_int_equal(host_counts(&h).held, 1);
	assert_int_equal(host_verdict(&h, VMIRQ_COALESCED), 2);
	worker_serves(worker, 1);
	worker_serves(worker, 0);
	assert_int_equal(host_verdict(&h, VMIRQ_DELIVERED), 1);
	assert_int_equal(host_verdict(&h, VMIRQ_COALESCED), 2);
	assert_int_equal(host_counts(&h).held, 0);
	assert_int_equal(h.unmasked, 1);
	take_only(s->vcpu[0], VECTOR);
	/* It sleeps again: woken once more. */
	assert_raise(&h, VMIRQ_HELD);
	assert_int_equal(vmirq_worker_counts(worker, &wc), 0);
	assert_int_equal(wc.wakes, 2);
	worker_serves(worker, 1);
	take_only(s->vcpu[0], VECTOR);
	host_close(&h);
	soft_free(s);
	assert_int_equal(vmirq_worker_destroy(worker, NULL), 0);
}

/* First come, first served, whatever the numbers; a storm has one place. */
static void in_the_order_of_raising(void **state)
{
	static const unsigned int order[] = { 7, 0, 3, 7, 7, 1, 0, 5 };
	struct soft *s = soft_new(1);
	struct vmirq_worker *worker = worker_new();
	struct host h[8];
	unsigned int served = 0;

	(void)state;
	for (unsigned int i = 0; i < 8; i++) {
		host_open(&h[i], NULL);
		assert_int_equal(bind_msi(&h[i], s->vm, worker, 0, (uint8_t)(VECTOR + i), 0), 0);
	}
	for (unsigned int i = 0; i < 8; i++)
		host_raise(&h[order[i]]);
	for (unsigned int i = 0; i < 8; i++) {
		bool first = true;

		for (unsigned int j = 0; j < i; j++)
			first = first && order[j] != order[i];
		if (!first)
			continue;
		assert_int_equal(vmirq_worker_run(worker, 1), 1);
		take_only(s->vcpu[0], (uint8_t)(VECTOR + order[i]));
		served++;
	}
	assert_int_equal(served, 5);
	worker_serves(worker, 0);
	for (unsigned int i = 0; i < 8; i++)
		host_close(&h[i]);
	soft_free(s);
	assert_int_equal(vmirq_worker_destroy(worker, NULL), 0);
}

static void the_fast_path(void **state)
{
	struct soft *s = soft_new(2);
	struct vmirq_worker *worker = worker_new();
	struct host fast, queued;

	(void)state;
	host_open_unmasked(&fast);
	host_open_unmasked(&queued);
	/* It needs no worker. */
	assert_int_equal(bind_msi(&fast, s->vm, NULL, 0, VECTOR, 0), 0);
	assert_int_equal(bind_msi(&queued, s->vm, NULL, 0, VECTOR, VMIRQ_PIRQ_NO_FAST_PATH),
			 -EINVAL);
	assert_int_equal(bind_msi(&queued, s->vm, worker, 0, VECTOR2, VMIRQ_PIRQ_NO_FAST_PATH), 0);
	assert_raise(&fast, VMIRQ_DELIVERED);
	assert_raise(&fast, VMIRQ_COALESCED);
	assert_raise(&queued, VMIRQ_HELD);
	take_only(s->vcpu[0], VECTOR);
	worker_serves(worker, 1);
	take_only(s->vcpu[0], VECTOR2);
	assert_int_equal(host_counts(&fast).runs, 0);
	assert_int_equal(host_counts(&queued).runs, 1);
	/* Several targets, and none: at once, too. */
	assert_int_equal(vmirq_pirq_retarget(fast.pirq, 0xfee00000u | 0xff000, VECTOR), 0);
	assert_raise(&fast, VMIRQ_DELIVERED);
	s->posted_beyond = 1;
	take_only(s->vcpu[0], VECTOR);
	take_only(s->vcpu[1], VECTOR);
	assert_int_equal(vmirq_pirq_retarget(fast.pirq, 0xfee00000u | 7u << 12, VECTOR), 0);
	assert_raise(&fast, VMIRQ_NO_TARGET);
	assert_int_equal(host_verdict(&fast, VMIRQ_DELIVERED), 2);
	host_close(&fast);
	host_close(&queued);
	soft_free(s);
	assert_int_equal(vmirq_worker_destroy(worker, NULL), 0);
}

static struct host *in_handler;

static void handler(int signal)
{
	(void)signal;
	host_raise(in_handler);
}

static void in_a_signal_handler(void **state)
{
	struct sigaction action = { .sa_handler = handler }, old;
	struct bench {
		struct soft *s;
	} b = { .s = pc_new(1, 0) };
	struct vmirq_worker *worker = worker_new();
	struct host h;

	(void)state;
	rte_put(b.s, GSI, RTE_TO(0) | RTE_LEVEL | VECTOR);
	host_open(&h, NULL);
	assert_int_equal(bind_gsi(&h, b.s->vm, worker, VMIRQ_PIRQ_INTX, GSI, 0), 0);
	in_handler = &h;
	assert_int_equal(sigaction(SIGUSR2, &action, &old), 0);
	assert_int_equal(raise(SIGUSR2), 0);
	assert_int_equal(sigaction(SIGUSR2, &old, NULL), 0);
	worker_serves(worker, 1);
	begin_service(b.s->vcpu[0], VECTOR);
	end_service(b.s->vcpu[0]);
	assert_int_equal(h.unmasked, 1);
	host_close(&h);
	pc_free(b.s);
	assert_int_equal(vmirq_worker_destroy(worker, NULL), 0);
}

/* What is raised goes by the old message, and the host is told, before the new one counts. */
static void retargeting_eois_first(void **state)
{
	struct soft *s = soft_new(2);
	struct vmirq_worker *worker = worker_new();
	struct host h;

	(void)state;
	host_open(&h, NULL);
	assert_int_equal(bind_msi(&h, s->vm, worker, 0, VECTOR, 0), 0);
	assert_raise(&h, VMIRQ_HELD);
	assert_int_equal(vmirq_pirq_retarget(h.pirq, 0xfee01000u, VECTOR2), 0);
	assert_int_equal(h.unmasked, 1);
	take_only(s->vcpu[0], VECTOR);
	worker_serves(worker, 0);
	assert_raise(&h, VMIRQ_HELD);
	worker_serves(worker, 1);
	take_nothing(s->vcpu[0]);
	take_only(s->vcpu[1], VECTOR2);
	/* A bind over it is the same. */
	assert_raise(&h, VMIRQ_HELD);
	assert_int_equal(bind_msi(&h, s->vm, worker, 0, VECTOR, 0), 0);
	take_only(s->vcpu[1], VECTOR2);
	assert_int_equal(h.unmasked, 3);
	/* A message that is none leaves all as it was. */
	assert_int_equal(vmirq_pirq_retarget(h.pirq, 0xfee00000u, 15), -EINVAL);
	assert_int_equal(vmirq_pirq_retarget(h.pirq, 0xfed00000u, VECTOR), -EINVAL);
	assert_int_equal(vmirq_pirq_retarget(h.pirq, 0xfee00000u, 3u << 8 | VECTOR), -EINVAL);
	assert_raise(&h, VMIRQ_HELD);
	worker_serves(worker, 1);
	take_only(s->vcpu[0], VECTOR);
	host_close(&h);
	soft_free(s);
	assert_int_equal(vmirq_worker_destroy(worker, NULL), 0);
}

/* An eventfd, read by the VM's pump: at once, or by the worker; and nobody reads it while it is unbound. */
static void by_eventfd(void **state)
{
	const uint32_t flags[] = { 0, VMIRQ_PIRQ_NO_FAST_PATH };
	struct vmirq_pirq_config how = { .size = sizeof(how), .eventfd = eventfd(0, EFD_NONBLOCK) };
	struct soft *s = soft_new(1);
	struct vmirq_worker *worker = worker_new();
	struct host h = { .raised = 0 };

	(void)state;
	assert_int_equal(vmirq_pirq_create(&how, &h.pirq), 0);
	for (unsigned int i = 0; i < 2; i++) {
		/* Before it is bound. */
		assert_int_equal(eventfd_write(how.eventfd, 3), 0);
		assert_int_equal(dispatch(s), 0);
		assert_int_equal(bind_msi(&h, s->vm, worker, 0, VECTOR, flags[i]), 0);
		assert_int_equal(dispatch(s), 1);
		worker_serves(worker, i);
		h.raised += 3;
		take_only(s->vcpu[0], VECTOR);
		assert_int_equal(host_verdict(&h, VMIRQ_EVENTFD_MERGED), 2 + 2 * i);
		/* It is bound once in the process. */
		struct host twice = { .raised = 0 };

		assert_int_equal(vmirq_pirq_create(&how, &twice.pirq), 0);
		assert_int_equal(bind_msi(&twice, s->vm, worker, 0, VECTOR, flags[i]), -EBUSY);
		assert_int_equal(bind_msi(&twice, s->vm, worker, 0, VECTOR, flags[!i]), -EBUSY);
		host_close(&twice);
		assert_int_equal(vmirq_pirq_unbind(h.pirq), 0);
		assert_int_equal(host_verdict(&h, VMIRQ_DELIVERED), 1 + i);
	}
	/* Raised by call as well. */
	assert_int_equal(bind_msi(&h, s->vm, worker, 0, VECTOR, 0), 0);
	assert_raise(&h, VMIRQ_DELIVERED);
	take_only(s->vcpu[0], VECTOR);
	/* The caller's copy may go. */
	assert_int_equal(eventfd_write(how.eventfd, 1), 0);
	close(how.eventfd);
	h.raised++;
	assert_int_equal(dispatch(s), 1);
	take_only(s->vcpu[0], VECTOR);
	host_close(&h);
	soft_free(s);
	assert_int_equal(vmirq_worker_destroy(worker, NULL), 0);
}

/* Three at once, then two a second; what is over it is held, and nothing is lost. */
static void storm(void **state)
{
	const struct vmirq_pirq_config how = { .eventfd = -1, .rate = 2, .burst = 3 };
	struct soft *s = soft_new(1);
	struct vmirq_worker *worker = worker_new();
	struct vmirq_worker_counts wc = { .size = sizeof(wc) };
	struct vmirq_pirq_counts c;
	struct host h;
	uint64_t wakes;

	(void)state;
	host_open(&h, &how);
	assert_int_equal(bind_msi(&h, s->vm, worker, 0, VECTOR, 0), 0);
	for (int i = 0; i < 3; i++) {
		assert_raise(&h, VMIRQ_HELD);
		worker_serves(worker, 1);
		take_only(s->vcpu[0], VECTOR);
	}
	assert_raise(&h, VMIRQ_HELD);
	worker_serves(worker, 1);
	take_nothing(s->vcpu[0]);
	c = host_counts(&h);
	assert_int_equal(c.held, 1);
	assert_int_equal(c.storms, 1);
	assert_int_equal(c.throttled, 1);
	assert_int_equal(vmirq_worker_counts(worker, &wc), 0);
	wakes = wc.wakes;
	/* The storm goes on, and costs no worker anything. */
	for (int i = 0; i < 1000; i++)
		assert_raise(&h, VMIRQ_COALESCED);
	worker_serves(worker, 0);
	assert_int_equal(vmirq_worker_counts(worker, &wc), 0);
	assert_int_equal(wc.wakes, wakes);
	assert_int_equal(vmirq_pirq_deadline(s->vm), SECOND / 2);
	s->now = SECOND / 2 - 1;
	vmirq_pirq_expire(s->vm);
	worker_serves(worker, 0);
	s->now = SECOND / 2;
	vmirq_pirq_expire(s->vm);
	worker_serves(worker, 1);
	take_only(s->vcpu[0], VECTOR);
	c = host_counts(&h);
	assert_int_equal(c.held, 0);
	assert_int_equal(c.throttled, 0);
	assert_int_equal(c.verdict[VMIRQ_DELIVERED], 4);
	assert_int_equal(c.verdict[VMIRQ_COALESCED], 1000);
	assert_int_equal(h.unmasked, 4);
	/* Unbound while it is held: what was raised is accounted for, and a new binding starts afresh. */
	assert_raise(&h, VMIRQ_HELD);
	worker_serves(worker, 1);
	assert_int_equal(vmirq_pirq_unbind(h.pirq), 0);
	assert_int_equal(host_verdict(&h, VMIRQ_DEASSIGNED), 1);
	assert_int_equal(vmirq_pirq_deadline(s->vm), UINT64_MAX);
	assert_int_equal(bind_msi(&h, s->vm, worker, 0, VECTOR, 0), 0);
	assert_raise(&h, VMIRQ_HELD);
	worker_serves(worker, 1);
	take_only(s->vcpu[0], VECTOR);
	host_close(&h);
	soft_free(s);
	assert_int_equal(vmirq_worker_destroy(worker, NULL), 0);
}

/* On CLOCK_MONOTONIC the VM's pump ends the storm and barks for the watchdog. */
static void by_the_pumps_timer(void **state)
{
	const struct vmirq_pirq_config storms = { .eventfd = -1, .rate = 100 };
	const struct vmirq_pirq_config watched = { .eventfd = -1, .watchdog_ns = 1000000 };
	struct vmirq_vm_config config = { .size = sizeof(config), .flags = VMIRQ_VM_PC_CHIPS };
	struct vmirq_worker *worker = worker_new();
	struct vmirq_vm *vm;
	struct host h, w;

	(void)state;
	assert_int_equal(vmirq_vm_create(&config, &vm), 0);
	host_open(&h, &storms);
	host_open(&w, &watched);
	assert_int_equal(bind_msi(&h, vm, worker, 0, VECTOR, 0), 0);
	assert_int_equal(bind_gsi(&w, vm, worker, VMIRQ_PIRQ_INTX, GSI, 0), 0);
	for (int i = 0; i < 2; i++) {
		assert_raise(&h, VMIRQ_HELD);
		worker_serves(worker, 1);
	}
	assert_raise(&w, VMIRQ_HELD);
	worker_serves(worker, 1);
	while (host_counts(&h).throttled || !host_counts(&w).watchdogs)
		vmirq_pump_dispatch(vmirq_vm_pump(vm), 100);
	assert_int_equal(w.unmasked, 0);
	worker_serves(worker, 2);
	assert_int_equal(w.unmasked, 1);
	assert_int_equal(host_verdict(&h, VMIRQ_NO_TARGET), 2);
	assert_int_equal(host_counts(&w).watchdogs, 1);
	host_close(&h);
	host_close(&w);
	assert_int_equal(vmirq_vm_destroy(vm), 0);
	assert_int_equal(vmirq_worker_destroy(worker, NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(raised_twice_is_queued_once),
		cmocka_unit_test(in_the_order_of_raising),
		cmocka_unit_test(the_fast_path),
		cmocka_unit_test(in_a_signal_handler),
		cmocka_unit_test(retargeting_eois_first),
		cmocka_unit_test(by_eventfd),
		cmocka_unit_test(storm),
		cmocka_unit_test(by_the_pumps_timer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
