// SPDX-License-Identifier: MIT
/*
 * irqfds that are deassigned while they are signalled: by call and by eventfd, to a message and to a pin.
 * Each turn takes four away at once, from two threads.
 *
 * A signal by call that began after deassign had returned would be a misuse. So a third vCPU, which never
 * runs, has a kick callback that stays: it is inside a signal, for which every deassign waits, until the
 * caller has met the end of both of its irqfds and is out.
 */
#include "busy_pc.h"

#include <sched.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define ROUNDS 10000 /* of assign and deassign */

enum { MESSAGE_CALL, PIN_CALL, MESSAGE_EVENTFD, PIN_EVENTFD, SOURCES };

static const struct {
	uint32_t gsi, vector, vcpu;
} to[SOURCES] = { { 40, 0x41, 0 }, { 9, 0x52, 1 }, { 41, 0x43, 1 }, { 10, 0x54, 0 } };

#define TURNS (ROUNDS / SOURCES)

static struct busy_pc *pc;
static struct vmirq_vcpu *idle;
static struct vmirq_irqfd *irqfd[SOURCES];
static int event[SOURCES];
/* A turn's number, when the thread has come to that point of it. */
static _Atomic uint32_t begun, calling, calls_over, inside, deassigning, other_is_done,
	write_no_more, writing_is_over;
static uint64_t returned[2][VMIRQ_HELD + 1]; /* of the calls, by what they said */
static uint64_t written[SOURCES];

static void *run_caller(void *unused)
{
	(void)unused;
	for (uint32_t turn = 1; turn <= TURNS; turn++) {
		bool gone[2] = { false, false };

		wait_for(&begun, turn);
		while (!gone[0] || !gone[1])
			for (int i = 0; i < 2; i++) {
				enum vmirq_verdict verdict = vmirq_irqfd_signal(irqfd[i]);

				returned[i][verdict]++;
				gone[i] = verdict == VMIRQ_DEASSIGNED;
				atomic_store(&calling, turn);
			}
		atomic_store(&calls_over, turn);
	}
	return NULL;
}

static void *run_writer(void *unused)
{
	uint32_t random = 3;

	(void)unused;
	for (uint32_t turn = 1; turn <= TURNS; turn++) {
		wait_for(&begun, turn);
		do {
			uint32_t i = MESSAGE_EVENTFD + next_random(&random) % 2;
			uint64_t n = 1 + next_random(&random) % 3;

			busy_check(pc, eventfd_write(event[i], n) == 0);
			written[i] += n;
			sched_yield();
		} while (atomic_load(&write_no_more) != turn);
		atomic_store(&writing_is_over, turn);
	}
	return NULL;
}

/* The kick callback. */
static void stay(void *unused)
{
	uint32_t turn = atomic_load(&begun);

	(void)unused;
	atomic_store(&inside, turn);
	wait_for(&calls_over, turn);
}

static void *run_blocker(void *unused)
{
	const struct kvm_msi msi = { .address_lo = 0xfee00000 | BUSY_VCPUS << 12, .data = 0x61 };
	uint32_t vector;

	(void)unused;
	for (uint32_t turn = 1; turn <= TURNS; turn++) {
		wait_for(&begun, turn);
		busy_check(pc, vmirq_vcpu_step(idle, 0, &vector) == VMIRQ_STEP_ENTER);
		busy_check(pc, vmirq_msi_send(pc->vm, &msi) == 1);
		vmirq_vcpu_leave(idle);
		busy_check(pc, take_all(idle, NULL) == 1);
	}
	return NULL;
}

static void deassign(int i)
{
	busy_check(pc, vmirq_irqfd_deassign(irqfd[i]) == 0);
}

/* First those that are called: an eventfd's deassign would wait for who stays, before they are gone. */
static void *run_other(void *unused)
{
	(void)unused;
	for (uint32_t turn = 1; turn <= TURNS; turn++) {
		wait_for(&deassigning, turn);
		deassign(PIN_CALL);
		deassign(MESSAGE_EVENTFD);
		atomic_store(&other_is_done, turn);
	}
	return NULL;
}

/* One by one, or by one call. */
static void assign_all(bool by_one)
{
	struct vmirq_irqfd_config config[SOURCES];

	for (int i = 0; i < SOURCES; i++)
		config[i] = (struct vmirq_irqfd_config){ .size = sizeof(config[i]),
							 .gsi = to[i].gsi,
							 .eventfd = event[i] };
	if (by_one)
		assert_int_equal(vmirq_irqfd_assign_many(pc->vm, config, SOURCES, irqfd), 0);
	for (int i = 0; i < SOURCES && !by_one; i++)
		assert_int_equal(vmirq_irqfd_assign(pc->vm, &config[i], &irqfd[i]), 0);
}

/* Whatever was posted is taken; from then on nothing comes, though the eventfds are written. */
static void nothing_follows(uint32_t turn)
{
	uint64_t before[SOURCES];

	busy_settle(pc);
	for (int i = 0; i < SOURCES; i++)
		before[i] = busy_handled(pc, to[i].vector);
	atomic_store(&write_no_more, turn);
	wait_for(&writing_is_over, turn);
	busy_settle(pc);
	for (int i = 0; i < SOURCES; i++)
		assert_int_equal(busy_handled(pc, to[i].vector), before[i]);
}

static void one_turn(uint32_t turn)
{
	/* Every other turn nothing is written after deassign has begun. */
	bool all_written = turn % 2;

	assign_all(turn % 3 == 0);
	atomic_store(&begun, turn);
	wait_for(&calling, turn);
	wait_for(&inside, turn);
	if (all_written) {
		atomic_store(&write_no_more, turn);
		wait_for(&writing_is_over, turn);
	}
	atomic_store(&deassigning, turn);
	deassign(MESSAGE_CALL);
	deassign(PIN_EVENTFD);
	wait_for(&other_is_done, turn);
	if (turn % 16 == 0)
		nothing_follows(turn);
	atomic_store(&write_no_more, turn);
	wait_for(&writing_is_over, turn);
	for (int i = MESSAGE_EVENTFD; i < SOURCES; i++) {
		eventfd_t left = 0;

		/* What was not delivered was written late, and is the caller's own. */
		if (eventfd_read(event[i], &left) == 0)
			written[i] -= left;
		assert_true(!all_written || left == 0);
	}
}

static void balance_calls(void)
{
	for (int i = 0; i < 2; i++) {
		struct vmirq_route_counts c = busy_gsi_counts(pc, to[i].gsi);
		uint64_t calls = returned[i][VMIRQ_HELD];

		for (int v = 0; v < VMIRQ_VERDICTS; v++)
			calls += returned[i][v];
		assert_int_equal(c.raised, calls);
		assert_true(c.verdict[VMIRQ_DEASSIGNED] >= TURNS);
		/* To a message the answer is the outcome. */
		for (int v = 0; i == MESSAGE_CALL && v < VMIRQ_VERDICTS; v++)
			assert_int_equal(c.verdict[v], returned[i][v]);
	}
}

static void balance(void)
{
	assert_int_equal(busy_posted(pc), busy_delivered(pc));
	balance_calls();
	for (int i = 0; i < SOURCES; i++) {
		struct vmirq_route_counts c = busy_gsi_counts(pc, to[i].gsi);
		struct vmirq_vector_counts v =
			counts_of_vector(pc->vcpu[to[i].vcpu].vcpu, to[i].vector);

		assert_int_equal(c.held, 0);
		assert_int_equal(v.posted, c.verdict[VMIRQ_DELIVERED]);
		assert_true(v.taken > 0);
		if (i < MESSAGE_EVENTFD)
			continue;
		assert_int_equal(c.raised, written[i]);
		/* What is read is delivered, also on the way out. */
		assert_int_equal(c.verdict[VMIRQ_DEASSIGNED], 0);
		assert_int_equal(c.raised, c.verdict[VMIRQ_DELIVERED] + c.verdict[VMIRQ_COALESCED] +
						   c.verdict[VMIRQ_EVENTFD_MERGED]);
	}
}

static void start(void)
{
	struct vmirq_vcpu_config config = { .size = sizeof(config),
					    .index = BUSY_VCPUS,
					    .apic_id = BUSY_VCPUS,
					    .kick = { .fn = stay } };

	pc = busy_new();
	assert_int_equal(vmirq_vcpu_create(pc->vm, &config, &idle), 0);
	apic_enable(idle);
	for (int i = 0; i < SOURCES; i++) {
		event[i] = i < MESSAGE_EVENTFD ? -1 : eventfd(0, EFD_NONBLOCK);
		if (to[i].gsi < 24)
			busy_rte(pc, to[i].gsi, to[i].vcpu, to[i].vector);
		else
			assert_int_equal(vmirq_route_set_msi(pc->vm, to[i].gsi,
							     0xfee00000 | to[i].vcpu << 12,
							     to[i].vector),
					 0);
	}
}

static void deassigned_while_signalled(void **state)
{
	void *(*const run[])(void *) = { run_caller, run_writer, run_blocker, run_other };
	pthread_t thread[4];

	(void)state;
	start();
	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, run[i], NULL), 0);
	for (uint32_t turn = 1; turn <= TURNS; turn++)
		one_turn(turn);
	for (int i = 0; i < 4; i++)
		pthread_join(thread[i], NULL);
	busy_stop(pc);
	balance();
	for (int i = MESSAGE_EVENTFD; i < SOURCES; i++)
		close(event[i]);
	busy_free(pc);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(deassigned_while_signalled) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
