// SPDX-License-Identifier: MIT
/* Deassign cannot fail: without memory for an irqfd's counts on its GSI they stay where they are. */
#include "../line/pc_world.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <time.h>

#include "base/reader.h"

#include "../failing_malloc.h"

static void deassign(struct vmirq_irqfd *irqfd)
{
	fail_after(0);
	assert_int_equal(vmirq_irqfd_deassign(irqfd), 0);
	fail_no_more();
}

static void counts_stay(void **state)
{
	struct soft *s = soft_new(1);
	struct vmirq_irqfd *first, *second;

	(void)state;
	route_to(s, 3, 0, 0x41);
	first = irqfd_call(s, 3);
	assert_signal(first, VMIRQ_DELIVERED);
	assert_signal(first, VMIRQ_COALESCED);
	take_only(s->vcpu[0], 0x41);
	deassign(first);
	assert_int_equal(counts_of_gsi(s, 3).raised, 2);
	second = irqfd_call(s, 3);
	assert_ptr_not_equal(second, first);
	assert_signal(second, VMIRQ_DELIVERED);
	/* What is gone follows no route. */
	route_to(s, 3, 0, 0x42);
	assert_signal(second, VMIRQ_DELIVERED);
	assert_int_equal(take_all(s->vcpu[0], NULL), 2);
	assert_int_equal(vmirq_irqfd_deassign(second), 0);
	assert_int_equal(gsi_verdict(s, 3, VMIRQ_DELIVERED), 3);
	assert_int_equal(gsi_verdict(s, 3, VMIRQ_COALESCED), 1);
	assert_int_equal(counts_of_gsi(s, 3).raised, 4);
	/* With memory it is used again, when it has rested. */
	for (int i = 0; i < 16; i++)
		assert_int_equal(vmirq_irqfd_deassign(irqfd_call(s, 3)), 0);
	assert_ptr_equal(irqfd_call(s, 3), second);
	soft_free(s);
}

#define GSI 40u

static _Atomic bool through;

static void *look_at_counts(void *soft)
{
	while (!atomic_load_explicit(&through, memory_order_relaxed))
		counts_of_gsi(soft, GSI);
	return NULL;
}

/* Deassign waits for it, a while. */
static void *stay_inside(void *inside)
{
	const struct timespec nap = { .tv_nsec = 50000000 };
	struct reader *section = reader_enter();

	sem_post(inside);
	nanosleep(&nap, NULL);
	reader_exit(section);
	return NULL;
}

/* Its counts can be read where they stay, also before deassign is through. ThreadSanitizer sees a look at
 * what else it had, and that goes. */
static void counts_are_read_meanwhile(void **state)
{
	struct soft *s = pc_new(1, 0);
	struct vmirq_irqfd *irqfd;
	pthread_t looks, stays;
	sem_t inside;

	(void)state;
	sem_init(&inside, 0, 0);
	route_pin(s, GSI, KVM_IRQCHIP_IOAPIC, 10);
	irqfd = irqfd_call(s, GSI);
	assert_signal(irqfd, VMIRQ_HELD);
	assert_int_equal(pthread_create(&looks, NULL, look_at_counts, s), 0);
	assert_int_equal(pthread_create(&stays, NULL, stay_inside, &inside), 0);
	sem_wait(&inside);
	deassign(irqfd);
	atomic_store_explicit(&through, true, memory_order_relaxed);
	pthread_join(looks, NULL);
	pthread_join(stays, NULL);
	assert_int_equal(counts_of_gsi(s, GSI).raised, 1);
	assert_int_equal(counts_of_gsi(s, GSI).held, 0);
	pc_free(s);
	sem_destroy(&inside);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(counts_stay),
		cmocka_unit_test(counts_are_read_meanwhile),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
