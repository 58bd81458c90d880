// SPDX-License-Identifier: MIT
/*
 * Level irqfds that come and go on two GSIs, while a vCPU ends their interrupts and a guest masks and
 * unmasks their pins. On one GSI a device stays: each time that it has asked, it is told, or the test ends
 * in a time-out. The other GSI is left by its last one again and again: its line is low then.
 */
#include "busy_pc.h"

#include <sched.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define ROUNDS	10000
#define SHARED	9  /* where a device stays */
#define EMPTIED 10 /* whose last one leaves */
#define VECTOR	0x61
#define VECTOR2 0x71
#define LEVEL	(1u << 15)
#define MASKED	(1u << 16)

struct device {
	struct vmirq_irqfd *irqfd;
	uint32_t gsi;
	int event, resample; /* -1: by call, and told by callback */
	_Atomic bool gone;
	_Atomic uint32_t told;
	uint64_t asked;
};

static struct busy_pc *pc;
static _Atomic bool over;
static uint64_t asked_on[2];

static void told(void *opaque)
{
	struct device *d = opaque;

	busy_check(pc, !atomic_load(&d->gone));
	atomic_fetch_add(&d->told, 1);
}

static void plug(struct device *d, uint32_t gsi, bool by_eventfd)
{
	struct vmirq_irqfd_config config = { .size = sizeof(config),
					     .gsi = gsi,
					     .flags = VMIRQ_IRQFD_RESAMPLE };

	d->gsi = gsi;
	d->asked = 0;
	atomic_store(&d->gone, false);
	config.eventfd = d->event = by_eventfd ? eventfd(0, EFD_NONBLOCK) : -1;
	config.resamplefd = d->resample = by_eventfd ? eventfd(0, EFD_NONBLOCK) : -1;
	if (!by_eventfd) {
		config.resample = told;
		config.resample_opaque = d;
	}
	busy_check(pc, vmirq_irqfd_assign(pc->vm, &config, &d->irqfd) == 0);
}

static void ask(struct device *d)
{
	if (d->event < 0)
		vmirq_irqfd_signal(d->irqfd);
	else
		busy_check(pc, eventfd_write(d->event, 1) == 0);
	d->asked++;
}

/* Once it has returned the device is not told. */
static void unplug(struct device *d)
{
	eventfd_t n;

	busy_check(pc, vmirq_irqfd_deassign(d->irqfd) == 0);
	atomic_store(&d->gone, true);
	asked_on[d->gsi - SHARED] += d->asked;
	if (d->event < 0)
		return;
	eventfd_read(d->resample, &n);
	if (d->asked % 16 == 0)
		busy_settle(pc);
	busy_check(pc, eventfd_read(d->resample, &n) != 0);
	close(d->event);
	close(d->resample);
}

/* Asks, waits until it is told, asks again. */
static void *run_steady(void *argument)
{
	struct device *d = argument;

	for (uint32_t i = 1; i <= ROUNDS; i++) {
		uint32_t before = atomic_load(&d->told);

		ask(d);
		/* Also where the interrupt before this one was ended after it had asked: then it is
		 * told once for both, and asks again. */
		wait_for(&d->told, before + 1);
	}
	atomic_store(&over, true);
	return NULL;
}

static void *run_masker(void *unused)
{
	static const uint32_t pins[] = { SHARED, EMPTIED }, vectors[] = { VECTOR, VECTOR2 };
	uint32_t random = 8;

	(void)unused;
	while (!atomic_load(&over)) {
		uint32_t i = next_random(&random) % 2;

		/* Masked, and unmasked. */
		busy_rte(pc, pins[i], i, LEVEL | vectors[i]);
		for (uint32_t n = next_random(&random) % 8; n; n--)
			sched_yield();
	}
	return NULL;
}

static void churn(struct device *d, uint32_t *random)
{
	uint32_t gsi = next_random(random) % 2 ? SHARED : EMPTIED;

	/* The emptied one is emptied by the caller. */
	plug(&d[0], gsi, next_random(random) % 2);
	plug(&d[1], gsi, next_random(random) % 2);
	for (uint32_t n = next_random(random) % 4; n; n--) {
		ask(&d[next_random(random) % 2]);
		if (next_random(random) % 2)
			sched_yield();
	}
	unplug(&d[0]);
	unplug(&d[1]);
	if (gsi == EMPTIED)
		busy_check(pc, vmirq_line_level(pc->vm, EMPTIED) == 0);
}

static void *run_churner(void *unused)
{
	static struct device d[2];
	uint32_t random = 6;
	uint32_t rounds = 0;

	(void)unused;
	while (rounds < ROUNDS / 2 || !atomic_load(&over)) {
		churn(d, &random);
		rounds++;
	}
	return NULL;
}

static void balance(void)
{
	static const uint32_t vectors[] = { VECTOR, VECTOR2 };
	uint64_t posted = busy_posted(pc);

	assert_int_equal(posted, busy_ioapic_delivered(pc));
	assert_true(busy_delivered(pc) <= posted);
	for (uint32_t i = 0; i < 2; i++) {
		struct vmirq_route_counts c = busy_gsi_counts(pc, SHARED + i);

		assert_int_equal(c.raised, asked_on[i]);
		assert_int_equal(c.held, 0);
		/* Nobody signals while it is deassigned. */
		assert_int_equal(c.verdict[VMIRQ_DEASSIGNED], 0);
		assert_true(c.verdict[VMIRQ_DELIVERED] > 0);
		assert_true(busy_handled(pc, vectors[i]) > 0);
		assert_int_equal(vmirq_line_level(pc->vm, SHARED + i), 0);
	}
}

/* The level is high when it leaves, and what it leaves behind is ended. */
static void last_one_leaves(struct device *steady)
{
	busy_rte(pc, SHARED, 0, MASKED | LEVEL | VECTOR);
	busy_settle(pc);
	ask(steady);
	unplug(steady);
	busy_rte(pc, SHARED, 0, LEVEL | VECTOR);
}

static void resampled_while_they_come_and_go(void **state)
{
	static struct device steady;
	pthread_t thread[3];

	(void)state;
	pc = busy_new();
	busy_rte(pc, SHARED, 0, LEVEL | VECTOR);
	busy_rte(pc, EMPTIED, 1, LEVEL | VECTOR2);
	plug(&steady, SHARED, false);
	assert_int_equal(pthread_create(&thread[0], NULL, run_steady, &steady), 0);
	assert_int_equal(pthread_create(&thread[1], NULL, run_masker, NULL), 0);
	assert_int_equal(pthread_create(&thread[2], NULL, run_churner, NULL), 0);
	for (int i = 0; i < 3; i++)
		pthread_join(thread[i], NULL);
	last_one_leaves(&steady);
	busy_stop(pc);
	balance();
	busy_free(pc);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(resampled_while_they_come_and_go) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
