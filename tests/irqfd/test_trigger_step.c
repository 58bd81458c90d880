// SPDX-License-Identifier: MIT
/*
 * After the n-th instruction of a trigger's signal, for every n, its irqfd goes, comes, or has its route changed: the
 * signal comes once, or stands in the eventfd, and is nobody's that has gone. The signalling thread single-steps itself
 * (the trap flag, SDM vol. 3B 18.3.1.4) and lets another thread do it in between.
 */
#include "triggers.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <vmirq/bypass.h>

#include "../single_step.h"

#define PATIENCE 1000
#define GSI	 3

static struct soft *s;
static struct vmirq_trigger *trigger;
static struct vmirq_irqfd *irqfd;
static int fd;
static void (*change)(void);
static volatile sig_atomic_t steps, stop_at;
static _Atomic int turn; /* 1: the other thread's; 2: it is done; -1: no more */

static void stepped(int signal)
{
	(void)signal;
	if (++steps != stop_at)
		return;
	atomic_store(&turn, 1);
	/* Where the signal is in its section, who deassigns waits for it: not for ever, then. */
	for (int i = 0; i < PATIENCE && atomic_load(&turn) == 1; i++)
		sched_yield();
}

static void *run_owner(void *argument)
{
	int now;

	(void)argument;
	while ((now = atomic_load(&turn)) >= 0) {
		if (now == 1) {
			change();
			atomic_store(&turn, 2);
		}
		sched_yield();
	}
	return NULL;
}

static enum vmirq_verdict signal_in_steps(int at)
{
	enum vmirq_verdict verdict;

	steps = 0;
	stop_at = at;
	step_on();
	verdict = vmirq_trigger_signal(trigger);
	step_off();
	return verdict;
}

static void goes_away(void)
{
	assert_int_equal(vmirq_irqfd_deassign(irqfd), 0);
	irqfd = NULL;
}

static void comes(void)
{
	irqfd = assign(s, GSI, fd, 0);
}

static void goes_elsewhere(void)
{
	route_to(s, GSI, 1, 0x42);
}

static void goes_to_nobody(void)
{
	assert_int_equal(vmirq_route_clear(s->vm, GSI), 0);
}

/* As it was before a signal. */
static void put_back(bool bound)
{
	if (bound && !irqfd)
		comes();
	if (!bound && irqfd)
		goes_away();
	route_to(s, GSI, 0, 0x41);
}

/* Interrupts that came, and what is still in the eventfd. */
static unsigned int arrived(void)
{
	unsigned int n = 0;
	eventfd_t unread = 0;

	if (irqfd)
		dispatch(s);
	for (unsigned int i = 0; i < 2; i++)
		n += take_all(s->vcpu[i], NULL);
	if (!irqfd && !eventfd_read(fd, &unread))
		n += (unsigned int)unread;
	return n;
}

/* How many instructions there are, and how many of their signals came; the rest had no route. */
static void at_every_instruction(bool bound, void (*what)(void), unsigned int *instructions,
				 unsigned int *came)
{
	pthread_t owner;

	change = what;
	*instructions = *came = 0;
	atomic_store(&turn, 0);
	assert_int_equal(pthread_create(&owner, NULL, run_owner, NULL), 0);
	for (int at = 1;; at++) {
		enum vmirq_verdict verdict;
		unsigned int n;

		put_back(bound);
		atomic_store(&turn, 0);
		verdict = signal_in_steps(at);
		while (atomic_load(&turn) == 1)
			sched_yield();
		n = arrived();
		if (steps < at)
			break;
		assert_true(verdict == VMIRQ_DELIVERED || verdict == VMIRQ_HELD ||
			    verdict == VMIRQ_NO_ROUTE);
		assert_int_equal(n, verdict != VMIRQ_NO_ROUTE);
		assert_int_equal(counts_of_gsi(s, GSI).verdict[VMIRQ_DEASSIGNED], 0);
		*came += n;
		(*instructions)++;
	}
	atomic_store(&turn, -1);
	pthread_join(owner, NULL);
}

static void start(void)
{
	s = soft_new(2);
	fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	assert_true(fd >= 0);
	trigger = trigger_on(vmirq_vm_bypass(s->vm), fd);
}

static void end(void)
{
	put_back(false);
	assert_int_equal(vmirq_trigger_destroy(trigger), 0);
	close(fd);
	soft_free(s);
}

static void always_comes(bool bound, void (*what)(void))
{
	unsigned int instructions, came;

	start();
	at_every_instruction(bound, what, &instructions, &came);
	assert_true(instructions > 20);
	assert_int_equal(came, instructions);
	end();
}

static void the_irqfd_goes(void **state)
{
	(void)state;
	always_comes(true, goes_away);
}

static void the_irqfd_comes(void **state)
{
	(void)state;
	always_comes(false, comes);
}

static void the_route_goes_elsewhere(void **state)
{
	(void)state;
	always_comes(true, goes_elsewhere);
}

static void the_route_goes(void **state)
{
	unsigned int instructions, came;

	(void)state;
	start();
	at_every_instruction(true, goes_to_nobody, &instructions, &came);
	/* Both orders have come up. */
	assert_true(came > 5 && came + 5 < instructions);
	assert_int_equal(counts_of_gsi(s, GSI).verdict[VMIRQ_NO_ROUTE], instructions - came);
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_irqfd_goes),
		cmocka_unit_test(the_irqfd_comes),
		cmocka_unit_test(the_route_goes_elsewhere),
		cmocka_unit_test(the_route_goes),
	};
	struct sigaction action = { .sa_handler = stepped };

	if (!can_step(&action, &steps))
		return 77;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
