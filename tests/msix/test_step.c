// SPDX-License-Identifier: MIT
/*
 * The guest unmasks a vector after the n-th instruction of a signal to it, for every n: it is delivered, once.
 * The signalling thread single-steps itself (the trap flag, SDM vol. 3B 18.3.1.4) and lets another thread
 * unmask in between. And the other way round: a signal after each instruction of the guest's access, by the same
 * thread, as a signal handler may.
 */
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <ucontext.h>

#include "../single_step.h"
#include "device.h"

#define PATIENCE 1000

static struct vmirq_msix *msix;
static volatile sig_atomic_t steps, stop_at;
static volatile sig_atomic_t interrupts; /* the n-th instruction, by a signal of its own */
static _Atomic int turn;		 /* 1: the other thread's; 2: it is done; -1: no more */

static void stepped(int signal, siginfo_t *info, void *context)
{
	(void)signal;
	(void)info;
	if (++steps != stop_at)
		return;
	/* The rest at full speed. */
	((ucontext_t *)context)->uc_mcontext.gregs[REG_EFL] &= ~0x100;
	if (interrupts) {
		vmirq_msix_trigger(msix, 0);
		return;
	}
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

/* An access of the guest's, of which a signal interrupts the n-th instruction; false: it has not so many. */
static bool access_in_steps(int at, unsigned int word, uint32_t value)
{
	int error;

	steps = 0;
	stop_at = at;
	step_on();
	error = vmirq_msix_table_access(msix, word * 4, &value, 4, true);
	step_off();
	assert_int_equal(error, 0);
	return steps >= at;
}

static void start_accesses(struct soft *s)
{
	msix = device_new(s->vm, 1);
	table_put(msix, 0, 0, 0x40, false);
	enable(msix);
	interrupts = true;
}

static void end_accesses(struct soft *s, int instructions)
{
	interrupts = false;
	assert_true(instructions > 100);
	assert_int_equal(vector_counts(msix, 0).raised, (uint64_t)instructions - 1);
	device_free(msix);
	soft_free(s);
}

/* Where the vector opens it comes at once; where it closes now, or when it opens again; and once. */
static void test_signal_at_every_instruction_of_a_mask(void **state)
{
	struct soft *s = soft_new(1);
	unsigned int held = 0, delivered = 0;
	int at;

	(void)state;
	start_accesses(s);
	for (at = 1;; at++) {
		bool more = access_in_steps(at, ENTRY_CONTROL, 1);
		uint64_t pending = vector_counts(msix, 0).held;

		assert_int_equal(take_all(s->vcpu[0], NULL), more - (int)pending);
		table_mask(msix, 0, false);
		assert_int_equal(take_all(s->vcpu[0], NULL), pending);
		if (!more)
			break;
		held += pending;
		delivered += !pending;
	}
	assert_true(held > 10 && delivered > 10);
	end_accesses(s, at);
}

static void test_signal_at_every_instruction_of_an_unmask(void **state)
{
	struct soft *s = soft_new(1);
	bool more = true;
	int at;

	(void)state;
	start_accesses(s);
	for (at = 0; more;) {
		table_mask(msix, 0, true);
		more = access_in_steps(++at, ENTRY_CONTROL, 0);
		assert_int_equal(vector_counts(msix, 0).held, 0);
		assert_int_equal(take_all(s->vcpu[0], NULL), more);
	}
	end_accesses(s, at);
}

/* By the old message or by the new. */
static void test_signal_at_every_instruction_of_a_change(void **state)
{
	struct soft *s = soft_new(2);
	unsigned int old = 0, new = 0;
	bool more = true;
	int at;

	(void)state;
	start_accesses(s);
	for (at = 0; more;) {
		unsigned int here, there;

		table_write(msix, 0, ENTRY_ADDRESS, 0xfee00000);
		more = access_in_steps(++at, ENTRY_ADDRESS, 0xfee01000);
		here = take_all(s->vcpu[0], NULL);
		there = take_all(s->vcpu[1], NULL);
		assert_int_equal(here + there, more);
		old += here;
		new += there;
	}
	assert_true(old > 10 && new > 10);
	end_accesses(s, at);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_unmask_at_every_instruction),
		cmocka_unit_test(test_signal_at_every_instruction_of_a_mask),
		cmocka_unit_test(test_signal_at_every_instruction_of_an_unmask),
		cmocka_unit_test(test_signal_at_every_instruction_of_a_change),
	};
	struct sigaction action = { .sa_sigaction = stepped, .sa_flags = SA_SIGINFO };

	if (!can_step(&action, &steps))
		return 77;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
