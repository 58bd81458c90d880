// SPDX-License-Identifier: MIT
/* A VM with fifty thousand host interrupts: what goes by all of them costs by their number, not by its square, or this
 * ends in a time-out. */
#include "../line/pc_world.h"
#include "host.h"

#include <stdlib.h>

#define MANY   50000
#define LINES  16 /* GSIs 8..23, of every other pirq */
#define VECTOR 0x61

static struct host host[MANY];

static uint64_t hand_turned(void *opaque)
{
	return ((struct soft *)opaque)->now;
}

static bool has_line(unsigned int i)
{
	return i % 2;
}

static void bind_all(struct soft *s, struct vmirq_worker *worker)
{
	const struct vmirq_pirq_config how = { .eventfd = -1, .watchdog_ns = 1000 };

	for (unsigned int i = 0; i < MANY; i++) {
		host_open(&host[i], &how);
		assert_int_equal(has_line(i) ? bind_gsi(&host[i], s->vm, worker, VMIRQ_PIRQ_INTX,
							8 + i / 2 % LINES, 0)
					     : bind_msi(&host[i], s->vm, worker, 0, VECTOR, 0),
				 0);
	}
}

static void raise_all(struct vmirq_worker *worker)
{
	for (unsigned int i = 0; i < MANY; i++)
		assert_raise(&host[i], VMIRQ_HELD);
	for (unsigned int served = 0; served < MANY; served += 1000)
		worker_serves(worker, 1000);
	worker_serves(worker, 0);
}

static void all_were_unmasked(uint64_t times)
{
	for (unsigned int i = 0; i < MANY; i++) {
		assert_int_equal(host[i].unmasked, times);
		assert_int_equal(host_counts(&host[i]).pending, 0);
	}
}

static void overdue_reset_and_destroyed(void **state)
{
	struct soft soft = { .n = 0 }, *s = &soft;
	struct vmirq_clock clock = { .now = hand_turned, .opaque = s };
	/* As many GSIs as there may be. */
	struct vmirq_vm_config config = {
		.size = sizeof(config), .max_vcpus = 1, .flags = VMIRQ_VM_PC_CHIPS, .clock = &clock
	};
	struct vmirq_worker *worker = worker_new();

	(void)state;
	assert_int_equal(vmirq_vm_create(&config, &s->vm), 0);
	soft_add(s, 0, 0, 0);
	out8(s, 0x21, 0xff);
	out8(s, 0xa1, 0xff);
	bind_all(s, worker);
	/* The guest ends none: all are overdue at once. */
	raise_all(worker);
	for (unsigned int i = 0; i < MANY; i++)
		assert_int_equal(host[i].unmasked, !has_line(i));
	s->now = 1000;
	vmirq_pirq_expire(s->vm);
	all_were_unmasked(1);
	assert_int_equal(host_counts(&host[1]).watchdogs, 1);
	assert_int_equal(vmirq_pirq_deadline(s->vm), UINT64_MAX);
	/* Or it is reset. */
	raise_all(worker);
	assert_int_equal(vmirq_vm_reset(s->vm), 0);
	all_were_unmasked(2);
	assert_int_equal(host_counts(&host[MANY - 1]).watchdogs, 1);
	/* Or it is gone. */
	raise_all(worker);
	assert_int_equal(vmirq_vm_destroy(s->vm), 0);
	for (unsigned int i = 0; i < MANY; i++) {
		assert_int_equal(host[i].unmasked, has_line(i) ? 2 : 3);
		host_close(&host[i]);
	}
	assert_int_equal(vmirq_worker_destroy(worker, NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(overdue_reset_and_destroyed) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
