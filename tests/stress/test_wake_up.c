/* SPDX-License-Identifier: MIT */
/*
 * One signal at a time, and no other comes to the rescue: the vCPU must take each, whether it meets the
 * post before it looks, between its look and its entry or park, or inside. A look left out, in the
 * poster or in the vCPU, ends this test in a time-out.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>

#include <vmirq/irqfd.h>
#include <vmirq/route.h>
#include <vmirq/vcpu.h>
#include <vmirq/vm.h>

#define ROUNDS	  200000
#define LOST_S	  5
#define VECTOR	  0x41
#define LAPIC_EOI 0xfee000b0u
#define LAPIC_SVR 0xfee000f0u

static struct vmirq_vcpu *vcpu;
static _Atomic bool kicked;
static _Atomic uint32_t handled;
static _Atomic bool parks; /* the vCPU halts; otherwise it stays in the guest until it is kicked */

static void kick(void *opaque)
{
	(void)opaque;
	atomic_store(&kicked, true);
}

static void write_reg(uint64_t gpa, uint32_t value)
{
	vmirq_vcpu_mmio(vcpu, gpa, &value, sizeof(value), true);
}

/* The other may be off the processor: do not keep it off. */
static void relax(unsigned int turn)
{
	if (turn % 256 == 255)
		sched_yield();
}

static bool stopped;

/* Nothing but a kick ends it. */
static void run_guest(void)
{
	for (unsigned int turn = 0; !atomic_load(&kicked); turn++)
		relax(turn);
	atomic_store(&kicked, false);
}

static void *run_vcpu(void *unused)
{
	uint32_t vector;

	(void)unused;
	vmirq_vcpu_bind_thread(vcpu);
	for (;;) {
		unsigned int flags = VMIRQ_CPU_INTERRUPTIBLE |
				     (atomic_load(&parks) ? VMIRQ_CPU_HALTED : 0);
		int step = vmirq_vcpu_step(vcpu, flags, &vector);

		if (step == -ECANCELED)
			break;
		if (step == VMIRQ_STEP_INJECT) {
			vmirq_vcpu_ack(vcpu, vector);
			write_reg(LAPIC_EOI, 0);
			atomic_fetch_add(&handled, 1);
		} else if (step == VMIRQ_STEP_PARK) {
			vmirq_vcpu_park(vcpu, -1);
		} else {
			run_guest();
			vmirq_vcpu_leave(vcpu);
		}
	}
	stopped = true;
	vmirq_vcpu_unbind_thread(vcpu);
	return NULL;
}

static bool taken(uint32_t n)
{
	time_t start = time(NULL);

	for (unsigned int turn = 1; atomic_load(&handled) != n; turn++) {
		relax(turn);
		if (turn % 65536 == 0 && time(NULL) - start > LOST_S)
			return false;
	}
	return true;
}

static void each_is_taken(void **state)
{
	struct vmirq_vm_config config = { .size = sizeof(config), .max_vcpus = 1 };
	struct vmirq_vcpu_config cpu = { .size = sizeof(cpu), .kick = { .fn = kick } };
	struct vmirq_irqfd_config source = { .size = sizeof(source), .gsi = 24, .eventfd = -1 };
	struct vmirq_irqfd *irqfd;
	struct vmirq_vm *vm;
	pthread_t thread;

	(void)state;
	assert_int_equal(vmirq_vm_create(&config, &vm), 0);
	assert_int_equal(vmirq_vcpu_create(vm, &cpu, &vcpu), 0);
	write_reg(LAPIC_SVR, 0x1ff);
	assert_int_equal(vmirq_route_set_msi(vm, 24, 0xfee00000u, VECTOR), 0);
	assert_int_equal(vmirq_irqfd_assign(vm, &source, &irqfd), 0);
	assert_int_equal(pthread_create(&thread, NULL, run_vcpu, NULL), 0);
	for (uint32_t i = 1; i <= ROUNDS; i++) {
		/* Parking costs a system call at each end: fewer of those. */
		atomic_store(&parks, i % 16 == 0);
		assert_int_equal(vmirq_irqfd_signal(irqfd), VMIRQ_DELIVERED);
		if (!taken(i))
			fail_msg("signal %u was not taken within %d s", i, LOST_S);
	}
	assert_int_equal(vmirq_vcpu_stop(vcpu), 0);
	pthread_join(thread, NULL);
	assert_true(stopped);
	assert_int_equal(vmirq_vm_destroy(vm), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(each_is_taken) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
