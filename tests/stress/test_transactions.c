// SPDX-License-Identifier: MIT
/*
 * Two threads' transactions, one after the other, both with the same GSI among their changes: one frees it,
 * the other only clears its route. It is its own transaction that decides what becomes of it: until that is
 * committed nobody else gets it, and then it is free.
 */
#include "../support.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#define ROUNDS	    40
#define FIRST_OTHER 100000u
#define OTHERS	    20000u

/* Of a round. */
enum stage { DONE, COLLECT, DECIDE, OVER };

static struct vmirq_vm *vm;
/* The one that is freed. */
static _Atomic uint32_t freed;
static _Atomic int stage;
static bool aborts;
static int errors;

static void wait_while(int it_is)
{
	while (atomic_load(&stage) == it_is)
		sched_yield();
}

/* Of many changes, so that its end takes a while; what is freed comes last. */
static void *run_other(void *unused)
{
	(void)unused;
	for (wait_while(DONE); atomic_load(&stage) != OVER; wait_while(DONE)) {
		errors += vmirq_route_begin(vm) != 0;
		for (uint32_t i = 0; i < OTHERS; i++)
			errors += vmirq_route_set_msi(vm, FIRST_OTHER + i, 0xfee00000, 0x41) != 0;
		errors += vmirq_route_clear(vm, atomic_load(&freed)) != 0;
		atomic_store(&stage, DECIDE);
		errors += (aborts ? vmirq_route_abort(vm) : vmirq_route_commit(vm)) != 0;
		atomic_store(&stage, DONE);
	}
	return NULL;
}

/* The next to be freed: a GSI that was not taken before. */
static uint32_t free_in_a_transaction(uint32_t gsi)
{
	uint32_t next = 0;

	assert_int_equal(vmirq_route_set_msi(vm, gsi, 0xfee00000, 0x51), 0);
	atomic_store(&freed, gsi);
	atomic_store(&stage, COLLECT);
	wait_while(COLLECT);
	while (vmirq_route_begin(vm))
		sched_yield();
	assert_int_equal(vmirq_gsi_free(vm, gsi), 0);
	wait_while(DECIDE);
	assert_int_equal(vmirq_gsi_alloc(vm, &next), 0);
	assert_int_not_equal(next, gsi);
	assert_int_equal(vmirq_route_commit(vm), 0);
	/* It is nobody's. */
	assert_int_equal(vmirq_gsi_free(vm, gsi), -EINVAL);
	return next;
}

static void meet(bool by_abort)
{
	struct vmirq_vm_config config = { .size = sizeof(config), .max_vcpus = 1 };
	pthread_t other;
	uint32_t gsi;

	aborts = by_abort;
	atomic_store(&stage, DONE);
	assert_int_equal(vmirq_vm_create(&config, &vm), 0);
	assert_int_equal(vmirq_gsi_alloc(vm, &gsi), 0);
	assert_int_equal(pthread_create(&other, NULL, run_other, NULL), 0);
	for (int i = 0; i < ROUNDS; i++)
		gsi = free_in_a_transaction(gsi);
	atomic_store(&stage, OVER);
	pthread_join(other, NULL);
	assert_int_equal(errors, 0);
	assert_int_equal(vmirq_vm_destroy(vm), 0);
}

static void a_free_is_not_in_anothers_commit(void **state)
{
	(void)state;
	meet(false);
}

static void a_free_is_not_in_anothers_abort(void **state)
{
	(void)state;
	meet(true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_free_is_not_in_anothers_commit),
		cmocka_unit_test(a_free_is_not_in_anothers_abort),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
