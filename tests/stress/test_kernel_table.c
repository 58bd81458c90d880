/* SPDX-License-Identifier: MIT */
/*
 * The kernel's routing table with everybody at it: messages from several threads, routes that change, irqfds
 * that come and go, a kernel that refuses now and then. Whatever arrives is what was sent, and a route that
 * an irqfd is on stands in every table that the kernel is given.
 */
#include <errno.h>
#include <stdlib.h>

#include "../kvm/fake_table.h"

#define GSIS	 64u
#define PINS	 8u  /* reserved */
#define CHANGING 24u /* PINS .. CHANGING - 1: routes that change, no irqfd */
#define USED	 40u /* CHANGING .. USED - 1: irqfds */
#define LIBRARY	 1000000u

#define SENDERS	 3
#define ROUNDS	 6000u
#define MESSAGES 90u

static struct fake_kernel k;
static _Atomic uint32_t in_use[GSIS]; /* what stands there, 0 = nobody is on it */
static _Atomic uint64_t arrived, refused;

static uint32_t next_random(uint32_t *state)
{
	*state = *state * 1664525u + 1013904223u;
	return *state >> 8;
}

static void used_ones_stand(const struct fake_kernel *kernel)
{
	for (uint32_t gsi = CHANGING; gsi < USED; gsi++) {
		uint32_t n = atomic_load(&in_use[gsi]);
		struct kernel_route wanted = message_route(gsi, n);

		assert_true(!n || is_route(&kernel->route[gsi], &wanted));
	}
}

static void done(int error)
{
	assert_true(!error || error == -ENOMEM);
	if (error)
		atomic_fetch_add(&refused, 1);
}

static void *run_sender(void *argument)
{
	uint32_t random = (uint32_t)(uintptr_t)argument;

	for (uint32_t i = 0; i < ROUNDS; i++) {
		int n = fake_send(&k, message(next_random(&random) % MESSAGES));

		done(n < 0 ? n : 0);
		if (n > 0)
			atomic_fetch_add(&arrived, 1);
	}
	return NULL;
}

static void *run_routes(void *argument)
{
	uint32_t random = (uint32_t)(uintptr_t)argument;

	for (uint32_t i = 0; i < ROUNDS / 10; i++) {
		struct kernel_route changes[4];
		struct kernel_route pin = message_route(next_random(&random) % PINS, LIBRARY + i);

		for (uint32_t c = 0; c < 4; c++) {
			uint32_t gsi = PINS + next_random(&random) % (CHANGING - PINS);

			switch (next_random(&random) % 4) {
			case 0:
				changes[c] = no_route(gsi);
				break;
			case 1:
				changes[c] = pins_route(gsi);
				break;
			default:
				changes[c] = message_route(gsi, LIBRARY + i);
			}
		}
		done(vmirq_kernel_table_commit(k.table, changes, 4));
		done(vmirq_kernel_table_commit_pins(k.table, &pin, 1));
		if (i % 16 == 0) {
			pthread_mutex_lock(&k.mutex);
			fake_refuse(&k, 3);
			pthread_mutex_unlock(&k.mutex);
		}
	}
	return NULL;
}

static void *run_irqfds(void *argument)
{
	uint32_t random = (uint32_t)(uintptr_t)argument;

	for (uint32_t i = 1; i < ROUNDS / 10; i++) {
		uint32_t gsi = CHANGING + next_random(&random) % (USED - CHANGING);
		struct kernel_route route = message_route(gsi, LIBRARY + i);

		if (atomic_load(&in_use[gsi])) {
			atomic_store(&in_use[gsi], 0);
			vmirq_kernel_table_unuse(k.table, gsi);
		} else {
			int error = vmirq_kernel_table_use(k.table, &route);

			done(error);
			if (!error)
				atomic_store(&in_use[gsi], LIBRARY + i);
		}
	}
	return NULL;
}

static void everybody_at_it(void **state)
{
	void *(*const run[])(void *) = { run_sender, run_sender, run_sender, run_routes,
					 run_irqfds };
	pthread_t thread[SENDERS + 2];
	struct kernel_table_counts c;

	(void)state;
	/* Pins of two chips may come together on 16 GSIs. */
	fake_start(&k, GSIS, PINS, GSIS + 16);
	k.slow = true;
	k.look = used_ones_stand;
	for (uint32_t i = 0; i < SENDERS + 2; i++)
		assert_int_equal(
			pthread_create(&thread[i], NULL, run[i], (void *)(uintptr_t)(i + 1)), 0);
	for (uint32_t i = 0; i < SENDERS + 2; i++)
		assert_int_equal(pthread_join(thread[i], NULL), 0);
	c = vmirq_kernel_table_counts(k.table);
	assert_true(atomic_load(&refused) > 0);
	assert_true(c.evicted > 0);
	assert_true(atomic_load(&arrived) <= SENDERS * (uint64_t)ROUNDS);
	assert_true(atomic_load(&arrived) + atomic_load(&refused) >= SENDERS * (uint64_t)ROUNDS);
	/* A refused table is asked for, and not made. */
	assert_int_equal(c.commits + atomic_load(&refused), k.sets);
	fake_end(&k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(everybody_at_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
