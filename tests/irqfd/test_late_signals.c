// SPDX-License-Identifier: MIT
/*
 * Signals by the handle of an irqfd that is being deassigned, or has been: each has one outcome, on its own GSI, and
 * is no other irqfd's. A thread single-steps itself (single_step.h) and stops after the n-th instruction, for every n.
 */
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <ucontext.h>

#include "../line/pc_world.h"
#include "../single_step.h"

#define PATIENCE 300
#define MESSAGE	 100
#define OTHER	 101
#define PIN	 20
/* irqfd.h says how many. */
#define RESTING 16

static struct soft *s;
static struct vmirq_irqfd *irqfd, *other;
static volatile sig_atomic_t steps, stop_at, signals;
static _Atomic int turn; /* 1: the other thread's; 2: it is done; -1: no more */

static void stepped(int signal, siginfo_t *info, void *context)
{
	(void)signal;
	(void)info;
	if (++steps != stop_at)
		return;
	/* The rest at full speed. */
	((ucontext_t *)context)->uc_mcontext.gregs[REG_EFL] &= ~0x100;
	if (signals) {
		vmirq_irqfd_signal(irqfd);
		return;
	}
	atomic_store(&turn, 1);
	/* Where the signal is in its section, the deassign waits for it. */
	for (int i = 0; i < PATIENCE && atomic_load(&turn) == 1; i++)
		sched_yield();
}

static void start(int at)
{
	steps = 0;
	stop_at = at;
}

/* One that interrupts the n-th instruction of the deassign. */
static void during(uint32_t gsi)
{
	unsigned int deassigned = 0, delivered = 0, before = 0;
	int at;

	s = pc_new(1, 0);
	route_to(s, MESSAGE, 0, 0x41);
	rte_put(s, PIN, RTE_TO(0) | 0x42);
	signals = 1;
	for (at = 1;; at++) {
		struct vmirq_route_counts counts;

		irqfd = irqfd_call(s, gsi);
		start(at);
		step_on();
		vmirq_irqfd_deassign(irqfd);
		step_off();
		counts = counts_of_gsi(s, gsi);
		if (steps < at)
			break;
		/* By the time that deassign has returned. */
		assert_int_equal(counts.raised, at);
		assert_int_equal(counts.held, 0);
		deassigned += counts.verdict[VMIRQ_DEASSIGNED] != before;
		before = (unsigned int)counts.verdict[VMIRQ_DEASSIGNED];
		delivered += take_all(s->vcpu[0], NULL);
	}
	assert_int_equal(deassigned + delivered, at - 1);
	assert_true(deassigned > 50 && delivered > 10);
	pc_free(s);
}

static void during_of_a_message(void **state)
{
	(void)state;
	during(MESSAGE);
}

static void during_of_a_pin(void **state)
{
	(void)state;
	during(PIN);
}

/* The deassign, and others; the last to be bound is another device's. */
static void *take_away(void *argument)
{
	(void)argument;
	while (atomic_load(&turn) >= 0) {
		if (atomic_load(&turn) == 1) {
			vmirq_irqfd_deassign(irqfd);
			for (int i = 1; i < RESTING; i++)
				vmirq_irqfd_deassign(irqfd_call(s, OTHER));
			other = irqfd_call(s, OTHER);
			atomic_store(&turn, 2);
		}
		sched_yield();
	}
	return NULL;
}

/* A signal that has begun, and goes on after the deassign, and after others are bound. */
static void begun_before(void **state)
{
	unsigned int waited = 0;
	pthread_t thread;
	int at;

	(void)state;
	s = pc_new(1, 0);
	route_to(s, MESSAGE, 0, 0x41);
	route_to(s, OTHER, 0, 0x42);
	signals = 0;
	atomic_store(&turn, 0);
	assert_int_equal(pthread_create(&thread, NULL, take_away, NULL), 0);
	for (at = 1;; at++) {
		enum vmirq_verdict verdict;

		irqfd = irqfd_call(s, MESSAGE);
		atomic_store(&turn, 0);
		start(at);
		step_on();
		verdict = vmirq_irqfd_signal(irqfd);
		step_off();
		if (steps < at)
			break;
		waited += atomic_load(&turn) == 1;
		while (atomic_load(&turn) == 1)
			sched_yield();
		assert_int_equal(counts_of_gsi(s, MESSAGE).raised, at);
		assert_int_equal(counts_of_gsi(s, OTHER).raised, 0);
		assert_int_equal(take_all(s->vcpu[0], NULL), verdict == VMIRQ_DELIVERED);
		vmirq_irqfd_deassign(other);
	}
	atomic_store(&turn, -1);
	pthread_join(thread, NULL);
	take_only(s->vcpu[0], 0x41);
	/* Both have come up. */
	assert_true(waited > 5 && (int)waited < at - 5);
	pc_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(during_of_a_message),
		cmocka_unit_test(during_of_a_pin),
		cmocka_unit_test(begun_before),
	};
	struct sigaction action = { .sa_sigaction = stepped, .sa_flags = SA_SIGINFO };

	if (!can_step(&action, &steps))
		return 77;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
