// SPDX-License-Identifier: MIT
/* A thread that is cancelled in a call about a vCPU ends the call first. */
#include "../support.h"

#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

struct call {
	struct vmirq_vcpu *vcpu;
	int (*what)(struct vmirq_vcpu *vcpu);
	int result;
};

static void *make_cancelled(void *argument)
{
	struct call *c = argument;

	pthread_cancel(pthread_self());
	c->result = c->what(c->vcpu);
	pthread_testcancel();
	return NULL;
}

/* The descriptor that the next one will be: the library's timer that was left open has taken it. */
static int next_descriptor(void)
{
	int fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0);

	close(fd);
	return fd;
}

static struct vmirq_vcpu *new_vcpu(struct vmirq_vm *vm)
{
	struct vmirq_vcpu_config config = { .size = sizeof(config) };
	struct vmirq_vcpu *vcpu;

	assert_int_equal(vmirq_vcpu_create(vm, &config, &vcpu), 0);
	apic_enable(vcpu);
	return vcpu;
}

/* With its timer's descriptor, which is made when it first enters the guest with a timer that runs: on the
 * host's clock. */
static void an_end_is_whole(void **state)
{
	struct vmirq_vm_config config = { .size = sizeof(config) };
	struct call c = { .what = vmirq_vcpu_destroy, .result = -1 };
	struct vmirq_vm *vm;
	void *result = NULL;
	pthread_t thread;
	uint32_t vector;
	int next;

	(void)state;
	alarm(10);
	assert_int_equal(vmirq_vm_create(&config, &vm), 0);
	next = next_descriptor();
	c.vcpu = new_vcpu(vm);
	apic_write(c.vcpu, APIC_LVT_TIMER, 0x40);
	apic_write(c.vcpu, APIC_TMICT, UINT32_MAX);
	assert_int_equal(vmirq_vcpu_step(c.vcpu, VMIRQ_CPU_INTERRUPTIBLE, &vector),
			 VMIRQ_STEP_ENTER);
	vmirq_vcpu_leave(c.vcpu);
	assert_int_not_equal(next_descriptor(), next);
	assert_int_equal(pthread_create(&thread, NULL, make_cancelled, &c), 0);
	pthread_join(thread, &result);
	assert_ptr_equal(result, PTHREAD_CANCELED);
	/* Nobody has the vCPUs locked. */
	new_vcpu(vm);
	assert_int_equal(c.result, 0);
	assert_int_equal(next_descriptor(), next);
	assert_int_equal(vmirq_vm_destroy(vm), 0);
	alarm(0);
}

static void *stop_it(void *argument)
{
	struct call *c = argument;

	c->result = vmirq_vcpu_stop(c->vcpu);
	pthread_testcancel();
	return NULL;
}

/* It waits on until the vCPU's thread, which is this one, has seen that it is to stop. */
static void a_stop_is_whole(void **state)
{
	struct soft *s = soft_new(1);
	struct call c = { .vcpu = s->vcpu[0], .result = -1 };
	void *result = NULL;
	pthread_t thread;
	uint32_t vector;

	(void)state;
	alarm(10);
	assert_int_equal(vmirq_vcpu_bind_thread(c.vcpu), 0);
	assert_int_equal(pthread_create(&thread, NULL, stop_it, &c), 0);
	/* For long enough that it most likely waits. */
	usleep(20000);
	assert_int_equal(pthread_cancel(thread), 0);
	usleep(20000);
	assert_int_equal(pthread_tryjoin_np(thread, &result), EBUSY);
	/* Nobody has its state locked. It may not have been told to stop as yet. */
	while (vmirq_vcpu_step(c.vcpu, VMIRQ_CPU_INTERRUPTIBLE, &vector) != -ECANCELED)
		vmirq_vcpu_leave(c.vcpu);
	assert_int_equal(pthread_join(thread, &result), 0);
	assert_ptr_equal(result, PTHREAD_CANCELED);
	assert_int_equal(c.result, 0);
	assert_int_equal(vmirq_vcpu_start(c.vcpu), 0);
	assert_int_equal(vmirq_vcpu_unbind_thread(c.vcpu), 0);
	alarm(0);
	soft_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_end_is_whole),
		cmocka_unit_test(a_stop_is_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
