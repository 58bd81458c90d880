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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_end_is_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
