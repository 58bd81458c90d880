// SPDX-License-Identifier: MIT
/*
 * Routes that change under signals, by call and by eventfd: from message to pin to nothing, every other
 * message an NMI, alone and in transactions that are committed or aborted. Whatever was raised has one
 * outcome, whatever was delivered is taken by a handler, and once quiesce has returned nothing goes by the
 * old route.
 */
#include "busy_pc.h"

#include <sched.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define ROUNDS	       10000
#define ROUNDS_AT_MOST 200000
#define SOURCES	       4
#define CALLERS	       2
#define FIRST_GSI      40
#define FIRST_PIN      16
/* A source that changes its route, but never has none: nothing of it is lost. */
#define ALWAYS_ROUTED 0
#define NMI_DATA      0x400u

/* Where a GSI goes, each by a vector of its own; NMIs have none. */
enum way { NOWHERE, MESSAGE, OTHER_MESSAGE, NMI_MESSAGE, NMI_MESSAGE_2, PIN, NMI_PIN, WAYS };

static struct busy_pc *pc;
static struct vmirq_irqfd *by_call[SOURCES];
static int event[SOURCES];
static enum way way[SOURCES];
static _Atomic uint64_t called[SOURCES], written[SOURCES];
static _Atomic bool over;

static uint32_t vector_of(uint32_t source, enum way w)
{
	return w == MESSAGE	    ? 0x40 + source
	       : w == OTHER_MESSAGE ? 0x50 + source
	       : w == PIN	    ? 0x60 + source
				    : 0;
}

static void set_way(uint32_t source, enum way w)
{
	uint32_t gsi = FIRST_GSI + source, vcpu = source % BUSY_VCPUS;
	uint64_t address = 0xfee00000u | vcpu << 12;

	if (w == NOWHERE)
		busy_check(pc, vmirq_route_clear(pc->vm, gsi) == 0);
	else if (w == PIN || w == NMI_PIN)
		busy_pin(pc, gsi, FIRST_PIN + source + (w == PIN ? 0 : SOURCES));
	else
		busy_check(pc, vmirq_route_set_msi(pc->vm, gsi, address,
						   w < NMI_MESSAGE ? vector_of(source, w)
								   : NMI_DATA) == 0);
}

static void *run_caller(void *argument)
{
	uint32_t random = (uint32_t)(uintptr_t)argument;

	while (!atomic_load(&over)) {
		uint32_t i = next_random(&random) % SOURCES;

		vmirq_irqfd_signal(by_call[i]);
		atomic_fetch_add(&called[i], 1);
		if (next_random(&random) % 64 == 0)
			sched_yield();
	}
	return NULL;
}

static void *run_writer(void *unused)
{
	uint32_t random = 7;

	(void)unused;
	while (!atomic_load(&over)) {
		uint32_t i = next_random(&random) % SOURCES;
		uint64_t n = 1 + next_random(&random) % 3;

		busy_check(pc, eventfd_write(event[i], n) == 0);
		atomic_fetch_add(&written[i], n);
		if (next_random(&random) % 4 == 0)
			sched_yield();
	}
	return NULL;
}

static uint64_t taken_by_other_ways(uint32_t source)
{
	uint64_t n = 0;

	for (int w = 0; w < WAYS; w++)
		if (w != (int)way[source] && vector_of(source, (enum way)w))
			n += busy_handled(pc, vector_of(source, (enum way)w));
	return n;
}

/* Signals go on, and come by the present way only. */
static void only_the_present_way(uint32_t *random)
{
	uint64_t before[SOURCES], calls[SOURCES];

	assert_int_equal(vmirq_vm_quiesce(pc->vm), 0);
	busy_settle(pc);
	for (uint32_t i = 0; i < SOURCES; i++) {
		before[i] = taken_by_other_ways(i);
		calls[i] = atomic_load(&called[i]);
	}
	/* Some more of each. */
	for (uint32_t i = 0; i < SOURCES; i++)
		while (atomic_load(&called[i]) < calls[i] + 1 + next_random(random) % 4)
			sched_yield();
	busy_settle(pc);
	for (uint32_t i = 0; i < SOURCES; i++)
		assert_int_equal(taken_by_other_ways(i), before[i]);
}

static void one_more_signal(void)
{
	uint64_t n = atomic_load(&called[0]) + atomic_load(&called[1]);

	while (atomic_load(&called[0]) + atomic_load(&called[1]) == n)
		sched_yield();
}

static void change_some(uint32_t *random)
{
	/* Half of the messages are NMIs. */
	uint32_t n = 1 + next_random(random) % SOURCES, first = next_random(random) % SOURCES;
	bool together = next_random(random) % 2, kept = next_random(random) % 8 != 0;

	if (together)
		assert_int_equal(vmirq_route_begin(pc->vm), 0);
	else
		n = 1;
	for (uint32_t k = 0; k < n; k++) {
		uint32_t i = (first + k) % SOURCES;
		enum way next = (enum way)(next_random(random) % WAYS);

		if (next == NOWHERE && i == ALWAYS_ROUTED)
			next = NMI_MESSAGE;
		set_way(i, next);
		if (!together || kept)
			way[i] = next;
	}
	if (together)
		assert_int_equal(kept ? vmirq_route_commit(pc->vm) : vmirq_route_abort(pc->vm), 0);
}

static struct vmirq_irqfd *assign(uint32_t gsi, int fd)
{
	struct vmirq_irqfd_config config = { .size = sizeof(config), .gsi = gsi, .eventfd = fd };
	struct vmirq_irqfd *irqfd;

	assert_int_equal(vmirq_irqfd_assign(pc->vm, &config, &irqfd), 0);
	return irqfd;
}

static void start(void)
{
	pc = busy_new();
	for (uint32_t i = 0; i < SOURCES; i++) {
		/* The GSI that goes to the pin otherwise. */
		assert_int_equal(vmirq_route_clear(pc->vm, FIRST_PIN + i), 0);
		busy_rte(pc, FIRST_PIN + i, i % BUSY_VCPUS, vector_of(i, PIN));
		busy_rte(pc, FIRST_PIN + SOURCES + i, i % BUSY_VCPUS, NMI_DATA);
		event[i] = eventfd(0, EFD_NONBLOCK);
		way[i] = MESSAGE;
		set_way(i, MESSAGE);
		by_call[i] = assign(FIRST_GSI + i, -1);
		assign(FIRST_GSI + i, event[i]);
	}
}

/* Deassign everything, so that nothing is on its way. */
static void stop(void)
{
	for (uint32_t i = 0; i < SOURCES; i++) {
		struct kvm_irqfd args = { .fd = (uint32_t)event[i],
					  .gsi = FIRST_GSI + i,
					  .flags = KVM_IRQFD_FLAG_DEASSIGN };

		assert_int_equal(vmirq_irqfd_deassign(by_call[i]), 0);
		assert_int_equal(vmirq_irqfd(pc->vm, &args), 0);
		close(event[i]);
	}
	busy_stop(pc);
}

/* Has every source had an interrupt by every way? Its threads may not have run while it had one. */
static bool every_way_was_gone(void)
{
	for (uint32_t i = 0; i < SOURCES; i++)
		for (int w = 0; w < WAYS; w++)
			if (vector_of(i, (enum way)w) &&
			    !busy_handled(pc, vector_of(i, (enum way)w)))
				return false;
	return true;
}

static void balance(void)
{
	uint64_t nmis = 0;

	for (uint32_t i = 0; i < SOURCES; i++) {
		struct vmirq_route_counts c = busy_gsi_counts(pc, FIRST_GSI + i);

		assert_int_equal(c.raised, called[i] + written[i]);
		assert_int_equal(c.held, 0);
		assert_int_equal(c.verdict[VMIRQ_DEASSIGNED], 0);
		assert_int_equal(c.verdict[VMIRQ_NO_ROUTE] > 0, i != ALWAYS_ROUTED);
	}
	assert_true(every_way_was_gone());
	for (uint32_t i = 0; i < BUSY_VCPUS; i++)
		nmis += pc->vcpu[i].nmis;
	assert_true(nmis > 0);
	assert_int_equal(busy_posted(pc), busy_delivered(pc));
}

static void rerouted_while_signalled(void **state)
{
	pthread_t thread[CALLERS + 1];
	uint32_t random = 5;

	(void)state;
	start();
	for (uintptr_t i = 0; i < CALLERS; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, run_caller, (void *)(i + 9)), 0);
	assert_int_equal(pthread_create(&thread[CALLERS], NULL, run_writer, NULL), 0);
	for (int round = 0; round < ROUNDS || (round < ROUNDS_AT_MOST && !every_way_was_gone());
	     round++) {
		change_some(&random);
		if (round % 16 == 0)
			only_the_present_way(&random);
		else if (round % 8 == 0)
			one_more_signal();
	}
	atomic_store(&over, true);
	for (int i = 0; i <= CALLERS; i++)
		pthread_join(thread[i], NULL);
	stop();
	balance();
	busy_free(pc);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(rerouted_while_signalled) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
