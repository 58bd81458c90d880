/* SPDX-License-Identifier: MIT */
/*
 * One signal and one change of the mask, begun at the same moment, as often as it takes for every order of
 * their steps to come up; and signals that are under way for as long as the test likes, which a mask and an
 * unmask must wait for.
 */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "../msix/device.h"

#define ROUNDS 20000

struct meeting {
	struct soft *s;
	struct vmirq_msix *msix;
	_Atomic uint32_t round; /* the signaller's turn; 0: no more */
	_Atomic uint32_t done;
	uint32_t random;
};

/* Some nanoseconds, so that the two meet everywhere. */
static void dally(uint32_t *random)
{
	*random = *random * 1664525u + 1013904223u;
	/* By powers of two: nobody knows how long the other takes. */
	for (volatile uint32_t i = (*random >> 16 & 1023) >> (*random >> 28); i; i--)
		;
}

static void *run_signaller(void *argument)
{
	struct meeting *m = argument;
	uint32_t random = 5, last = 1, idle = 0, round;

	while ((round = atomic_load(&m->round)) != 0) {
		if (round == last) {
			/* Awake where there is a processor for it. */
			if (++idle % 256 == 0)
				sched_yield();
			continue;
		}
		last = round;
		dally(&random);
		vmirq_msix_trigger(m->msix, 0);
		atomic_store(&m->done, round);
	}
	return NULL;
}

/* The signaller signals, and the entry is written meanwhile. */
static void meet(struct meeting *m, uint32_t round, bool masked)
{
	atomic_store(&m->round, round);
	/* Often enough the other thread runs by now. */
	if (round & 1)
		sched_yield();
	dally(&m->random);
	table_mask(m->msix, 0, masked);
	while (atomic_load(&m->done) != round)
		sched_yield();
}

static void test_meet(void **state)
{
	struct meeting m = { .s = soft_new(1), .round = 1 };
	uint64_t held_first = 0;
	pthread_t thread;

	(void)state;
	m.msix = device_new(m.s->vm, 1);
	table_put(m.msix, 0, 0, 0x40, true);
	enable(m.msix);
	assert_int_equal(pthread_create(&thread, NULL, run_signaller, &m), 0);
	for (uint32_t i = 2; i < ROUNDS; i++) {
		/* It opens: whichever was first, it is delivered, and once. */
		meet(&m, 2 * i, false);
		assert_int_equal(vector_counts(m.msix, 0).held, 0);
		take_only(m.s->vcpu[0], 0x40);
		/* It closes: delivered now, or once when it opens again. */
		meet(&m, 2 * i + 1, true);
		held_first = vector_counts(m.msix, 0).held;
		assert_int_equal(take_all(m.s->vcpu[0], NULL), !held_first);
		table_mask(m.msix, 0, false);
		assert_int_equal(take_all(m.s->vcpu[0], NULL), held_first);
		table_mask(m.msix, 0, true);
	}
	atomic_store(&m.round, 0);
	pthread_join(thread, NULL);
	device_free(m.msix);
	soft_free(m.s);
}

/* A signal whose kick lasts until it is let go. */
struct slow {
	struct vmirq_msix *msix;
	_Atomic bool inside, go, returned;
	bool mask;
};

static void slow_kick(void *opaque)
{
	struct slow *slow = opaque;

	atomic_store(&slow->inside, true);
	while (!atomic_load(&slow->go))
		sched_yield();
}

static void *run_trigger(void *argument)
{
	struct slow *slow = argument;

	vmirq_msix_trigger(slow->msix, 0);
	return NULL;
}

static void *run_access(void *argument)
{
	struct slow *slow = argument;

	/* Vector 0 is what is under way; vector 1 has an eventfd, of which the pump might have the count. */
	table_mask(slow->msix, slow->mask ? 0 : 1, slow->mask);
	atomic_store(&slow->returned, true);
	return NULL;
}

static void waits(bool mask)
{
	struct soft *s = soft_new(0);
	struct slow slow = { .mask = mask };
	struct vmirq_vcpu_config config = { .size = sizeof(config),
					    .kick = { .fn = slow_kick, .opaque = &slow } };
	pthread_t trigger, access;
	uint32_t vector;
	int fd;

	assert_int_equal(vmirq_vcpu_create(s->vm, &config, &s->vcpu[0]), 0);
	s->n = 1;
	apic_enable(s->vcpu[0]);
	slow.msix = device_new(s->vm, 2);
	fd = vmirq_msix_lend_eventfd(slow.msix, 1);
	table_put(slow.msix, 0, 0, 0x40, false);
	table_put(slow.msix, 1, 0, 0x41, true);
	enable(slow.msix);
	/* In the guest, so that it is kicked. */
	assert_int_equal(vmirq_vcpu_bind_thread(s->vcpu[0]), 0);
	assert_int_equal(vmirq_vcpu_step(s->vcpu[0], VMIRQ_CPU_INTERRUPTIBLE, &vector),
			 VMIRQ_STEP_ENTER);
	assert_int_equal(pthread_create(&trigger, NULL, run_trigger, &slow), 0);
	while (!atomic_load(&slow.inside))
		sched_yield();
	assert_int_equal(pthread_create(&access, NULL, run_access, &slow), 0);
	/* Time for it to be wrong in; none is too short for it to be right. */
	nanosleep(&(struct timespec){ .tv_nsec = 50000000 }, NULL);
	assert_false(atomic_load(&slow.returned));
	atomic_store(&slow.go, true);
	pthread_join(access, NULL);
	pthread_join(trigger, NULL);
	vmirq_vcpu_leave(s->vcpu[0]);
	assert_int_equal(vmirq_vcpu_unbind_thread(s->vcpu[0]), 0);
	take_only(s->vcpu[0], 0x40);
	close(fd);
	device_free(slow.msix);
	soft_free(s);
}

static void test_mask_waits(void **state)
{
	(void)state;
	waits(true);
}

static void test_unmask_waits(void **state)
{
	(void)state;
	waits(false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_meet),
		cmocka_unit_test(test_mask_waits),
		cmocka_unit_test(test_unmask_waits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
