// SPDX-License-Identifier: MIT
/* Whose thread runs a vCPU; stopping, starting and resetting it. */
#include "../support.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <time.h>

static int step(struct vmirq_vcpu *vcpu)
{
	uint32_t vector;

	return vmirq_vcpu_step(vcpu, VMIRQ_CPU_INTERRUPTIBLE, &vector);
}

/* A thread that binds the vCPU, does what it is told, and unbinds. */
struct owner {
	struct vmirq_vcpu *vcpu;
	pthread_t thread;
	sem_t told, done;
	int (*what)(struct vmirq_vcpu *vcpu);
	int result;
	bool end;
};

static void *own(void *argument)
{
	struct owner *o = argument;

	o->result = vmirq_vcpu_bind_thread(o->vcpu);
	sem_post(&o->done);
	for (;;) {
		sem_wait(&o->told);
		if (o->end)
			break;
		o->result = o->what(o->vcpu);
		sem_post(&o->done);
	}
	return (void *)(intptr_t)vmirq_vcpu_unbind_thread(o->vcpu);
}

static void owner_start(struct owner *o, struct vmirq_vcpu *vcpu)
{
	*o = (struct owner){ .vcpu = vcpu };
	sem_init(&o->told, 0, 0);
	sem_init(&o->done, 0, 0);
	assert_int_equal(pthread_create(&o->thread, NULL, own, o), 0);
	sem_wait(&o->done);
	assert_int_equal(o->result, 0);
}

static void owner_tell(struct owner *o, int (*what)(struct vmirq_vcpu *vcpu))
{
	o->what = what;
	sem_post(&o->told);
}

static int owner_does(struct owner *o, int (*what)(struct vmirq_vcpu *vcpu))
{
	owner_tell(o, what);
	sem_wait(&o->done);
	return o->result;
}

static void owner_end(struct owner *o)
{
	void *result;

	o->end = true;
	sem_post(&o->told);
	pthread_join(o->thread, &result);
	assert_null(result);
}

static void one_thread_at_a_time(void **state)
{
	struct soft *s = soft_new(2);
	struct vmirq_vcpu *vcpu = s->vcpu[0];
	struct owner o;

	(void)state;
	assert_int_equal(vmirq_vcpu_unbind_thread(vcpu), -EPERM);
	owner_start(&o, vcpu);
	assert_int_equal(vmirq_vcpu_bind_thread(vcpu), -EBUSY);
	assert_int_equal(vmirq_vcpu_unbind_thread(vcpu), -EPERM);
	assert_int_equal(vmirq_vcpu_destroy(vcpu), -EBUSY);
	/* One thread may run several. */
	assert_int_equal(vmirq_vcpu_bind_thread(s->vcpu[1]), 0);
	owner_end(&o);
	assert_int_equal(vmirq_vcpu_bind_thread(vcpu), 0);
	assert_int_equal(vmirq_vcpu_destroy(vcpu), -EBUSY);
	assert_int_equal(vmirq_vcpu_unbind_thread(vcpu), 0);
	assert_int_equal(vmirq_vcpu_unbind_thread(vcpu), -EPERM);
	assert_int_equal(vmirq_vcpu_unbind_thread(s->vcpu[1]), 0);
	assert_int_equal(vmirq_vcpu_destroy(vcpu), 0);
	soft_free(s);
}

static void stop_without_a_thread_is_at_once(void **state)
{
	struct soft *s = soft_new(1);

	(void)state;
	assert_int_equal(vmirq_vcpu_stop(s->vcpu[0]), 0);
	assert_int_equal(vmirq_vcpu_stop(s->vcpu[0]), 0);
	assert_int_equal(step(s->vcpu[0]), -ECANCELED);
	assert_int_equal(step(s->vcpu[0]), -ECANCELED);
	assert_int_equal(vmirq_vcpu_park(s->vcpu[0], -1), VMIRQ_PARK_INTERRUPTED);
	assert_int_equal(vmirq_vcpu_start(s->vcpu[0]), 0);
	assert_int_equal(step(s->vcpu[0]), VMIRQ_STEP_ENTER);
	vmirq_vcpu_leave(s->vcpu[0]);
	/* Nothing to take back: nothing. */
	assert_int_equal(vmirq_vcpu_start(s->vcpu[0]), 0);
	soft_free(s);
}

static void not_from_its_own_thread(void **state)
{
	struct soft *s = soft_new(1);

	(void)state;
	assert_int_equal(vmirq_vcpu_bind_thread(s->vcpu[0]), 0);
	assert_int_equal(vmirq_vcpu_stop(s->vcpu[0]), -EDEADLK);
	assert_int_equal(step(s->vcpu[0]), VMIRQ_STEP_ENTER);
	assert_int_equal(vmirq_vcpu_unbind_thread(s->vcpu[0]), 0);
	soft_free(s);
}

struct stopper {
	struct vmirq_vcpu *vcpu;
	_Atomic bool through;
};

static void *stop_it(void *argument)
{
	struct stopper *stopper = argument;
	int error = vmirq_vcpu_stop(stopper->vcpu);

	atomic_store(&stopper->through, true);
	return (void *)(intptr_t)error;
}

static int park_long(struct vmirq_vcpu *vcpu)
{
	return vmirq_vcpu_park(vcpu, INT64_C(20000000000));
}

/* Stop comes back when the thread has seen it, not before. */
static void stop_waits_for_the_thread(void **state)
{
	const struct timespec nap = { .tv_nsec = 20000000 };
	struct soft *s = soft_new(1);
	struct stopper stopper = { .vcpu = s->vcpu[0] };
	struct owner o;
	pthread_t thread;
	void *result;

	(void)state;
	owner_start(&o, s->vcpu[0]);
	assert_int_equal(owner_does(&o, step), VMIRQ_STEP_ENTER);
	assert_int_equal(pthread_create(&thread, NULL, stop_it, &stopper), 0);
	nanosleep(&nap, NULL);
	assert_false(atomic_load(&stopper.through));
	assert_int_equal(owner_does(&o, step), -ECANCELED);
	pthread_join(thread, &result);
	assert_null(result);
	/* While it is stopped it may be reset, bound as it is. */
	assert_int_equal(vmirq_vcpu_reset(s->vcpu[0]), 0);
	assert_int_equal(owner_does(&o, step), -ECANCELED);
	assert_int_equal(vmirq_vcpu_start(s->vcpu[0]), 0);
	assert_int_equal(vmirq_vcpu_reset(s->vcpu[0]), -EBUSY);
	assert_int_equal(owner_does(&o, step), VMIRQ_STEP_ENTER);
	/* Out of a park. */
	owner_tell(&o, park_long);
	nanosleep(&nap, NULL);
	assert_int_equal(vmirq_vcpu_stop(s->vcpu[0]), 0);
	sem_wait(&o.done);
	assert_int_equal(o.result, VMIRQ_PARK_INTERRUPTED);
	owner_end(&o);
	soft_free(s);
}

/* A thread that leaves altogether ends the wait, too. */
static void stop_of_a_thread_that_unbinds(void **state)
{
	const struct timespec nap = { .tv_nsec = 20000000 };
	struct soft *s = soft_new(1);
	struct stopper stopper = { .vcpu = s->vcpu[0] };
	struct owner o;
	pthread_t thread;
	void *result;

	(void)state;
	owner_start(&o, s->vcpu[0]);
	assert_int_equal(pthread_create(&thread, NULL, stop_it, &stopper), 0);
	nanosleep(&nap, NULL);
	assert_false(atomic_load(&stopper.through));
	owner_end(&o);
	pthread_join(thread, &result);
	assert_null(result);
	soft_free(s);
}

static void reset_is_power_up(void **state)
{
	struct soft *s = soft_new(2);
	struct vmirq_vcpu *vcpu = s->vcpu[1];

	(void)state;
	send(s, msi_to(1, 0x41), VMIRQ_DELIVERED);
	send(s, msi_to(1, 0x61), VMIRQ_DELIVERED);
	assert_int_equal(vmirq_vcpu_next_vector(vcpu), 0x61);
	assert_int_equal(vmirq_vcpu_ack(vcpu, 0x61), 0);
	send(s, msi_to(1, 0x51), VMIRQ_DELIVERED);
	apic_write(vcpu, APIC_ID, 9u << 24);
	apic_write(vcpu, APIC_LDR, 0x04000000);
	apic_write(vcpu, APIC_DFR, 0x0fffffff);
	apic_write(vcpu, APIC_TPR, 0x31);
	assert_int_equal(vmirq_vcpu_reset(vcpu), 0);
	assert_int_equal(apic_read(vcpu, APIC_ID), 1u << 24);
	assert_int_equal(apic_read(vcpu, APIC_LDR), 0);
	assert_int_equal(apic_read(vcpu, APIC_DFR), 0xffffffff);
	assert_int_equal(apic_read(vcpu, APIC_TPR), 0);
	assert_int_equal(apic_read(vcpu, APIC_PPR), 0);
	assert_int_equal(apic_read(vcpu, APIC_SVR), 0xff);
	for (uint32_t i = 0; i < 8; i++) {
		assert_int_equal(apic_read(vcpu, APIC_IRR + 16 * i), 0);
		assert_int_equal(apic_read(vcpu, APIC_ISR + 16 * i), 0);
	}
	assert_int_equal(apic_read(vcpu, APIC_LVT_ERROR), 0x10000);
	assert_int_equal(vmirq_vcpu_apic_base(vcpu), APIC_PAGE | 1u << 11);
	assert_int_equal(counts_of_vector(vcpu, 0x41).reset, 1);
	assert_int_equal(counts_of_vector(vcpu, 0x51).reset, 1);
	assert_int_equal(counts_of_vector(vcpu, 0x61).taken, 1);
	assert_int_equal(counts_of_vector(vcpu, 0x61).reset, 0);
	assert_int_equal(send(s, msi_to(1, 0x41), VMIRQ_APIC_DISABLED), 0);
	apic_enable(vcpu);
	take_nothing(vcpu);
	assert_int_equal(send(s, msi_to(1, 0x41), VMIRQ_DELIVERED), 1);
	take_only(vcpu, 0x41);
	soft_free(s);
}

static void reset_leaves_x2apic_mode(void **state)
{
	struct soft *s = soft_new_flags(1, 0, VMIRQ_VCPU_X2APIC);

	(void)state;
	assert_int_equal(vmirq_vcpu_apic_base(s->vcpu[0]),
			 APIC_PAGE | 1u << 11 | 1u << 10 | 1u << 8);
	assert_int_equal(vmirq_vcpu_reset(s->vcpu[0]), 0);
	assert_int_equal(vmirq_vcpu_apic_base(s->vcpu[0]), APIC_PAGE | 1u << 11 | 1u << 8);
	apic_enable(s->vcpu[0]);
	send(s, msi_to(0, 0x41), VMIRQ_DELIVERED);
	take_only(s->vcpu[0], 0x41);
	soft_free(s);
}

/* XSA-360, XSA-343: ten thousand resets, and every count says so. */
static void ten_thousand_resets(void **state)
{
	struct soft *s = soft_new(1);
	struct vmirq_vector_counts c;

	(void)state;
	for (int i = 0; i < 10000; i++) {
		send(s, msi_to(0, 0x41), VMIRQ_DELIVERED);
		if (i % 3 == 0)
			vmirq_vcpu_next_vector(s->vcpu[0]);
		if (i % 3 == 1)
			send(s, msi_to(0, 0x41), VMIRQ_COALESCED);
		assert_int_equal(vmirq_vcpu_reset(s->vcpu[0]), 0);
		apic_enable(s->vcpu[0]);
	}
	c = counts_of_vector(s->vcpu[0], 0x41);
	assert_int_equal(c.posted, 10000);
	assert_int_equal(c.reset, 10000);
	assert_int_equal(c.pending, 0);
	soft_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_thread_at_a_time),
		cmocka_unit_test(stop_without_a_thread_is_at_once),
		cmocka_unit_test(not_from_its_own_thread),
		cmocka_unit_test(stop_waits_for_the_thread),
		cmocka_unit_test(stop_of_a_thread_that_unbinds),
		cmocka_unit_test(reset_is_power_up),
		cmocka_unit_test(reset_leaves_x2apic_mode),
		cmocka_unit_test(ten_thousand_resets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
