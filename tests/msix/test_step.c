// SPDX-License-Identifier: MIT
/*
 * The guest unmasks a vector after the n-th instruction of a signal to it, for every n: it is delivered, once.
 * The signalling thread single-steps itself (the trap flag, SDM vol. 3B 18.3.1.4) and lets another thread
 * unmask in between.
 */
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>

#include "../single_step.h"
#include "device.h"

#define PATIENCE 1000

static struct vmirq_msix *msix;
static volatile sig_atomic_t steps, stop_at;
static _Atomic int turn; /* 1: the other thread's; 2: it is done; -1: no more */

static void stepped(int signal)
{
	(void)signal;
	if (++steps != stop_at)
		return;
	atomic_store(&turn, 1);
	/* Where the signal is at the irqfd's copy, the unmask waits for it: not for ever, then. */
	for (int i = 0; i < PATIENCE && atomic_load(&turn) == 1; i++)
		sched_yield();
}

static void *run_guest(void *argument)
{
	int now;

	(void)argument;
	while ((now = atomic_load(&turn)) >= 0) {
		if (now == 1) {
			table_mask(msix, 0, false);
			atomic_store(&turn, 2);
		}
		sched_yield();
	}
	return NULL;
}

static enum vmirq_verdict trigger_in_steps(int at)
{
	enum vmirq_verdict verdict;

	steps = 0;
	stop_at = at;
	step_on();
	verdict = vmirq_msix_trigger(msix, 0);
	step_off();
	return verdict;
}

static void test_unmask_at_every_instruction(void **state)
{
	struct soft *s = soft_new(1);
	unsigned int held = 0, delivered = 0;
	pthread_t guest;
	int at;

	(void)state;
	msix = device_new(s->vm, 1);
	table_put(msix, 0, 0, 0x40, true);
	enable(msix);
	assert_int_equal(pthread_create(&guest, NULL, run_guest, NULL), 0);
	for (at = 1;; at++) {
		enum vmirq_verdict verdict;

		atomic_store(&turn, 0);
		verdict = trigger_in_steps(at);
		if (steps < at)
			break;
		while (atomic_load(&turn) == 1)
			sched_yield();
		held += verdict == VMIRQ_HELD;
		delivered += verdict == VMIRQ_DELIVERED;
		assert_int_equal(held + delivered, at);
		assert_int_equal(vector_counts(msix, 0).held, 0);
		take_only(s->vcpu[0], 0x40);
		table_mask(msix, 0, true);
	}
	atomic_store(&turn, -1);
	pthread_join(guest, NULL);
	/* Both orders have come up. */
	assert_true(held > 10 && delivered > 10);
	table_mask(msix, 0, false);
	take_only(s->vcpu[0], 0x40);
	device_free(msix);
	soft_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_unmask_at_every_instruction) };
	struct sigaction action = { .sa_handler = stepped };

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
	puts("SKIP: a sanitizer's own instructions are not to be stepped");
	return 77;
#endif
	sigaction(SIGTRAP, &action, NULL);
	step_on();
	__asm__ volatile("nop; nop");
	step_off();
	if (!steps) {
		puts("SKIP: the trap flag does not trap here");
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
