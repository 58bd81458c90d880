// SPDX-License-Identifier: MIT
/*
 * The ends of a VM and of its pirqs meet: while the one is destroyed the others are unbound, destroyed, ended and
 * retargeted by another thread, and raised by a third. In the end each has its books in order and none is bound.
 */
#include "../passthrough/host.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

#define ROUNDS 400
#define PIRQS  12
#define GSI    9

static struct vmirq_vm *vm;
static struct host host[PIRQS];
static struct vmirq_worker *worker;
static pthread_barrier_t start, done;
static _Atomic uint32_t wrong;

static void check(bool right)
{
	if (!right)
		atomic_fetch_add(&wrong, 1);
}

static void *run_raiser(void *unused)
{
	for (int n = 0; n < ROUNDS; n++) {
		pthread_barrier_wait(&start);
		/* The last ones are destroyed by the other. */
		for (int i = 0; i < 40 * PIRQS; i++)
			host_raise(&host[i % (PIRQS / 2)]);
		pthread_barrier_wait(&done);
	}
	return unused;
}

static void end_one(struct host *h, unsigned int how)
{
	int error;

	if (how % 3 == 0)
		check(vmirq_pirq_eoi(h->pirq) >= 0);
	if (how % 5 == 0) {
		error = vmirq_pirq_retarget(h->pirq, 0xfee00000u, 0x71);
		check(error == 0 || error == -EBUSY || error == -ENOENT);
	}
	if (h < &host[PIRQS / 2]) {
		error = vmirq_pirq_unbind(h->pirq);
		check(error == 0 || error == -ENOENT);
	} else {
		check(vmirq_pirq_destroy(h->pirq) == 0);
		h->pirq = NULL;
	}
}

static void *run_ender(void *unused)
{
	for (unsigned int n = 0; n < ROUNDS; n++) {
		pthread_barrier_wait(&start);
		for (unsigned int i = 0; i < PIRQS; i++)
			end_one(&host[(i + n) % PIRQS], i + n);
		pthread_barrier_wait(&done);
	}
	return unused;
}

static void begin(unsigned int n)
{
	struct vmirq_vm_config config = { .size = sizeof(config), .flags = VMIRQ_VM_PC_CHIPS };

	assert_int_equal(vmirq_vm_create(&config, &vm), 0);
	for (unsigned int i = 0; i < PIRQS; i++) {
		host_open(&host[i],
			  &(struct vmirq_pirq_config){ .eventfd = -1,
						       .rate = i % 4 ? 0 : 1000,
						       .watchdog_ns = i % 3 ? 0 : 100000 });
		assert_int_equal(
			(i + n) % 3 ? bind_gsi(&host[i], vm, worker,
					       i % 2 ? VMIRQ_PIRQ_INTX : VMIRQ_PIRQ_MSI_TO_INTX,
					       GSI + i % 2, 0)
				    : bind_msi(&host[i], vm, worker, 0, 0x61, 0),
			0);
	}
	assert_int_equal(vmirq_pump_start(vmirq_vm_pump(vm)), 0);
}

static void finish(void)
{
	for (unsigned int i = 0; i < PIRQS; i++)
		if (host[i].pirq) {
			struct vmirq_pirq_counts c = host_counts(&host[i]);

			assert_int_equal(c.held + c.pending + c.bound, 0);
			host_close(&host[i]);
		}
}

static void the_vm_and_its_pirqs(void **state)
{
	pthread_t raiser, ender;

	(void)state;
	worker = worker_new();
	assert_int_equal(vmirq_worker_start(worker, -1), 0);
	pthread_barrier_init(&start, NULL, 3);
	pthread_barrier_init(&done, NULL, 3);
	assert_int_equal(pthread_create(&raiser, NULL, run_raiser, NULL), 0);
	assert_int_equal(pthread_create(&ender, NULL, run_ender, NULL), 0);
	for (unsigned int n = 0; n < ROUNDS; n++) {
		begin(n);
		pthread_barrier_wait(&start);
		for (unsigned int i = 0; i < n % 4; i++)
			sched_yield();
		check(vmirq_vm_destroy(vm) == 0);
		pthread_barrier_wait(&done);
		finish();
	}
	pthread_join(raiser, NULL);
	pthread_join(ender, NULL);
	pthread_barrier_destroy(&start);
	pthread_barrier_destroy(&done);
	assert_int_equal(vmirq_worker_destroy(worker, NULL), 0);
	assert_int_equal(atomic_load(&wrong), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(the_vm_and_its_pirqs) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
