// SPDX-License-Identifier: MIT
/* Sleeping until there is something to do. */
#include "../support.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <time.h>

#define LONG INT64_C(20000000000) /* a test that needs it has failed */

static int64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

/* What comes before the park is found by it. */
static void what_is_there_already(void **state)
{
	struct soft *s = soft_new(1);
	struct vmirq_vcpu *vcpu = s->vcpu[0];
	uint32_t vector;

	(void)state;
	send(s, msi_to(0, 0x41), VMIRQ_DELIVERED);
	assert_int_equal(vmirq_vcpu_park(vcpu, -1), VMIRQ_PARK_RUNNABLE);
	take_only(vcpu, 0x41);
	vmirq_vcpu_nmi(vcpu);
	assert_int_equal(vmirq_vcpu_park(vcpu, -1), VMIRQ_PARK_RUNNABLE);
	assert_int_equal(vmirq_vcpu_step(vcpu, 0, &vector), VMIRQ_STEP_NMI);
	vmirq_vcpu_interrupt(vcpu);
	assert_int_equal(vmirq_vcpu_park(vcpu, -1), VMIRQ_PARK_INTERRUPTED);
	/* Once. */
	assert_int_equal(vmirq_vcpu_park(vcpu, 0), VMIRQ_PARK_TIMEOUT);
	soft_free(s);
}

/* Something new that cannot be taken yet is not something to spin on: after the step that saw it, park
 * sleeps. */
static void what_cannot_be_taken_does_not_keep_it_awake(void **state)
{
	struct soft *s = soft_new(1);
	struct vmirq_vcpu *vcpu = s->vcpu[0];
	uint32_t vector;

	(void)state;
	assert_int_equal(vmirq_vcpu_set_cr8(vcpu, 15), 0);
	send(s, msi_to(0, 0x41), VMIRQ_DELIVERED);
	assert_int_equal(vmirq_vcpu_step(vcpu, VMIRQ_CPU_HALTED | VMIRQ_CPU_INTERRUPTIBLE, &vector),
			 VMIRQ_STEP_PARK);
	assert_int_equal(vmirq_vcpu_park(vcpu, 0), VMIRQ_PARK_TIMEOUT);
	vmirq_vcpu_nmi(vcpu);
	assert_int_equal(vmirq_vcpu_park(vcpu, -1), VMIRQ_PARK_RUNNABLE);
	assert_int_equal(vmirq_vcpu_step(vcpu, VMIRQ_CPU_HALTED, &vector), VMIRQ_STEP_NMI);
	assert_int_equal(vmirq_vcpu_set_cr8(vcpu, 0), 0);
	take_only(vcpu, 0x41);
	soft_free(s);
}

static void time_outs(void **state)
{
	struct soft *s = soft_new(1);
	int64_t before = now_ns();

	(void)state;
	assert_int_equal(vmirq_vcpu_park(s->vcpu[0], 0), VMIRQ_PARK_TIMEOUT);
	assert_int_equal(vmirq_vcpu_park(s->vcpu[0], 1), VMIRQ_PARK_TIMEOUT);
	assert_int_equal(vmirq_vcpu_park(s->vcpu[0], 20000000), VMIRQ_PARK_TIMEOUT);
	assert_true(now_ns() - before >= 20000000);
	/* The longest there is does not overflow into the past. */
	vmirq_vcpu_interrupt(s->vcpu[0]);
	assert_int_equal(vmirq_vcpu_park(s->vcpu[0], INT64_MAX), VMIRQ_PARK_INTERRUPTED);
	soft_free(s);
}

struct waker {
	struct soft *s;
	void (*what)(struct soft *s);
	pthread_t thread;
};

static void *wake_later(void *argument)
{
	const struct timespec nap = { .tv_nsec = 10000000 };
	struct waker *w = argument;

	nanosleep(&nap, NULL);
	w->what(w->s);
	return NULL;
}

static int parked_until(struct soft *s, void (*what)(struct soft *s), int64_t timeout_ns)
{
	struct waker w = { .s = s, .what = what };
	int result;

	assert_int_equal(pthread_create(&w.thread, NULL, wake_later, &w), 0);
	result = vmirq_vcpu_park(s->vcpu[0], timeout_ns);
	pthread_join(w.thread, NULL);
	return result;
}

static void send_vector(struct soft *s)
{
	struct kvm_msi msi = msi_to(0, 0x41);

	vmirq_msi_send(s->vm, &msi);
}

static void send_nmi(struct soft *s)
{
	vmirq_vcpu_nmi(s->vcpu[0]);
}

static void only_kick(struct soft *s)
{
	vmirq_vcpu_kick(s->vcpu[0]);
}

static void interrupt_it(struct soft *s)
{
	vmirq_vcpu_interrupt(s->vcpu[0]);
}

static void stop_it(struct soft *s)
{
	vmirq_vcpu_stop(s->vcpu[0]);
}

static void woken_from_sleep(void **state)
{
	struct soft *s = soft_new(1);
	uint32_t vector;

	(void)state;
	assert_int_equal(parked_until(s, send_vector, -1), VMIRQ_PARK_RUNNABLE);
	take_only(s->vcpu[0], 0x41);
	assert_int_equal(parked_until(s, send_vector, LONG), VMIRQ_PARK_RUNNABLE);
	take_only(s->vcpu[0], 0x41);
	assert_int_equal(parked_until(s, send_nmi, LONG), VMIRQ_PARK_RUNNABLE);
	assert_int_equal(vmirq_vcpu_step(s->vcpu[0], 0, &vector), VMIRQ_STEP_NMI);
	assert_int_equal(parked_until(s, only_kick, LONG), VMIRQ_PARK_RUNNABLE);
	assert_int_equal(parked_until(s, interrupt_it, LONG), VMIRQ_PARK_INTERRUPTED);
	assert_int_equal(parked_until(s, stop_it, LONG), VMIRQ_PARK_INTERRUPTED);
	/* Stopped stays stopped. */
	assert_int_equal(vmirq_vcpu_park(s->vcpu[0], -1), VMIRQ_PARK_INTERRUPTED);
	assert_int_equal(vmirq_vcpu_start(s->vcpu[0]), 0);
	assert_int_equal(vmirq_vcpu_park(s->vcpu[0], 0), VMIRQ_PARK_TIMEOUT);
	soft_free(s);
}

static int wakes;

static void count_wake(void *opaque)
{
	(void)opaque;
	__atomic_fetch_add(&wakes, 1, __ATOMIC_RELAXED);
}

/* With a wake callback of the VMM's, vmirq_vcpu_park() still ends. */
static void a_wake_callback(void **state)
{
	struct soft *s = soft_new(0);
	struct vmirq_vcpu_config config = { .size = sizeof(config), .wake = { .fn = count_wake } };

	(void)state;
	wakes = 0;
	assert_int_equal(vmirq_vcpu_create(s->vm, &config, &s->vcpu[0]), 0);
	s->n = 1;
	apic_enable(s->vcpu[0]);
	send(s, msi_to(0, 0x40), VMIRQ_DELIVERED);
	take_only(s->vcpu[0], 0x40);
	assert_int_equal(wakes, 0);
	assert_int_equal(parked_until(s, send_vector, LONG), VMIRQ_PARK_RUNNABLE);
	assert_int_equal(wakes, 1);
	take_only(s->vcpu[0], 0x41);
	soft_free(s);
}

/* A parked vCPU is not kicked. */
static void never_kicked_while_parked(void **state)
{
	struct soft *s = soft_new(0);
	struct vmirq_vcpu_config config = { .size = sizeof(config), .kick = { .fn = count_wake } };

	(void)state;
	wakes = 0;
	assert_int_equal(vmirq_vcpu_create(s->vm, &config, &s->vcpu[0]), 0);
	s->n = 1;
	apic_enable(s->vcpu[0]);
	assert_int_equal(parked_until(s, send_vector, LONG), VMIRQ_PARK_RUNNABLE);
	assert_int_equal(wakes, 0);
	take_only(s->vcpu[0], 0x41);
	soft_free(s);
}

static struct vmirq_vcpu *polling_vcpu(struct soft *s, uint32_t poll_ns)
{
	struct vmirq_vcpu_config config = { .size = sizeof(config),
					    .flags = VMIRQ_VCPU_X2APIC,
					    .poll_ns = poll_ns };

	assert_int_equal(vmirq_vcpu_destroy(s->vcpu[0]), 0);
	config.unused = 1;
	assert_int_equal(vmirq_vcpu_create(s->vm, &config, &s->vcpu[0]), -EINVAL);
	config.unused = 0;
	assert_int_equal(vmirq_vcpu_create(s->vm, &config, &s->vcpu[0]), 0);
	return s->vcpu[0];
}

struct ping {
	struct vmirq_vcpu *vcpu;
	_Atomic uint32_t seen;
	uint32_t rounds;
};

static void *park_and_take(void *argument)
{
	struct ping *p = argument;
	uint32_t vector;

	for (uint32_t i = 0; i < p->rounds;) {
		int step = vmirq_vcpu_step(p->vcpu, VMIRQ_CPU_HALTED, &vector);

		if (step == VMIRQ_STEP_NMI)
			atomic_store(&p->seen, ++i);
		else if (step == VMIRQ_STEP_PARK)
			vmirq_vcpu_park(p->vcpu, -1);
	}
	return NULL;
}

/* Whether it is still looking, about to sleep or asleep: each is found, and the next comes after it. */
static void one_that_looks_before_it_sleeps(void **state)
{
	static const uint32_t polls[] = { 1, 20000, 500000 };
	struct soft *s = soft_new(1);

	(void)state;
	for (size_t i = 0; i < sizeof(polls) / sizeof(polls[0]); i++) {
		struct ping p = { .vcpu = polling_vcpu(s, polls[i]), .rounds = 1000 };
		pthread_t thread;

		assert_int_equal(pthread_create(&thread, NULL, park_and_take, &p), 0);
		for (uint32_t n = 1; n <= p.rounds; n++) {
			const struct timespec nap = { .tv_nsec = n % 64 * 1000 };
			int64_t end = now_ns() + LONG;

			if (n % 16 == 0)
				nanosleep(&nap, NULL);
			vmirq_vcpu_nmi(p.vcpu);
			while (atomic_load(&p.seen) != n) {
				assert_true(now_ns() < end);
				sched_yield();
			}
		}
		pthread_join(thread, NULL);
	}
	soft_free(s);
}

/* It looks no longer than it may sleep, and is ended as one that sleeps is. */
static void looking_ends_in_time(void **state)
{
	struct soft *s = soft_new(1);
	struct vmirq_vcpu *vcpu = polling_vcpu(s, UINT32_MAX);

	(void)state;
	assert_int_equal(vmirq_vcpu_park(vcpu, 0), VMIRQ_PARK_TIMEOUT);
	/* Now it looks: for 4 seconds, if it were not for the time-out. */
	for (int i = 0; i < 20; i++)
		assert_int_equal(vmirq_vcpu_park(vcpu, 1000), VMIRQ_PARK_TIMEOUT);
	vmirq_vcpu_interrupt(vcpu);
	assert_int_equal(vmirq_vcpu_park(vcpu, -1), VMIRQ_PARK_INTERRUPTED);
	assert_int_equal(vmirq_vcpu_park(vcpu, 0), VMIRQ_PARK_TIMEOUT);
	soft_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_that_looks_before_it_sleeps),
		cmocka_unit_test(looking_ends_in_time),
		cmocka_unit_test(what_is_there_already),
		cmocka_unit_test(what_cannot_be_taken_does_not_keep_it_awake),
		cmocka_unit_test(time_outs),
		cmocka_unit_test(woken_from_sleep),
		cmocka_unit_test(a_wake_callback),
		cmocka_unit_test(never_kicked_while_parked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
