// SPDX-License-Identifier: MIT
/* A thread that waits for another's config.masked, and is cancelled there, ends its own access first. */
#include "device.h"

#include <pthread.h>
#include <semaphore.h>
#include <time.h>
#include <unistd.h>

struct back_end {
	struct vmirq_msix *msix;
	sem_t inside, go;
	int masked[2]; /* -1: nothing said */
	bool returned;
};

static void told(void *opaque, uint32_t vector, bool masked)
{
	struct back_end *b = opaque;

	b->masked[vector] = masked;
	if (vector)
		return;
	sem_post(&b->inside);
	sem_wait(&b->go);
}

static void *open_0(void *argument)
{
	struct back_end *b = argument;

	table_mask(b->msix, 0, false);
	return NULL;
}

static void *open_1(void *argument)
{
	struct back_end *b = argument;

	table_mask(b->msix, 1, false);
	b->returned = true;
	pthread_testcancel();
	return NULL;
}

static void cancelled_while_it_waits(void **state)
{
	struct soft *s = soft_new(1);
	struct back_end b = { .masked = { -1, -1 } };
	struct vmirq_msix_config config = {
		.size = sizeof(config), .vectors = 2, .masked = told, .opaque = &b
	};
	const struct timespec nap = { .tv_nsec = 100000000 };
	pthread_t first, second;
	void *result = NULL;

	(void)state;
	alarm(10);
	sem_init(&b.inside, 0, 0);
	sem_init(&b.go, 0, 0);
	assert_int_equal(vmirq_msix_create(s->vm, &config, &b.msix), 0);
	table_put(b.msix, 0, 0, 0x40, true);
	table_put(b.msix, 1, 0, 0x41, true);
	enable(b.msix);
	assert_int_equal(pthread_create(&first, NULL, open_0, &b), 0);
	sem_wait(&b.inside);
	assert_int_equal(pthread_create(&second, NULL, open_1, &b), 0);
	/* For long enough that it most likely waits. */
	nanosleep(&nap, NULL);
	pthread_cancel(second);
	nanosleep(&nap, NULL);
	sem_post(&b.go);
	pthread_join(first, NULL);
	pthread_join(second, &result);
	assert_ptr_equal(result, PTHREAD_CANCELED);
	assert_true(b.returned);
	assert_int_equal(b.masked[0], 0);
	assert_int_equal(b.masked[1], 0);
	assert_trigger(b.msix, 1, VMIRQ_DELIVERED);
	take_only(s->vcpu[0], 0x41);
	alarm(0);
	device_free(b.msix);
	soft_free(s);
	sem_destroy(&b.inside);
	sem_destroy(&b.go);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cancelled_while_it_waits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
