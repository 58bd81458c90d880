// SPDX-License-Identifier: MIT
/* The kernel's routing table: the library's routes, split's pins and dynamic ones (kvm/table.h). */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fake_table.h"

/* One thread: the sanitizer for many has nothing to look for, and takes its time. */
#ifdef __SANITIZE_THREAD__
#define DISTINCT 5000u
#else
#define DISTINCT 100000u
#endif

#define LIBRARY 1000000u /* messages of its own routes count from here */

static struct fake_kernel k;

static struct kernel_table_counts counts(void)
{
	return vmirq_kernel_table_counts(k.table);
}

static int commit(struct kernel_route route)
{
	return vmirq_kernel_table_commit(k.table, &route, 1);
}

static int use(struct kernel_route route)
{
	return vmirq_kernel_table_use(k.table, &route);
}

static void assert_has(struct kernel_route route)
{
	assert_true(is_route(&k.route[route.gsi], &route));
}

/* This many tables were asked for since `before`. */
static void assert_sets(uint64_t before, uint64_t n)
{
	assert_int_equal(k.sets - before, n);
}

static void a_device_id_is_part_of_a_message(void **state)
{
	struct kernel_route route = message_route(30, LIBRARY);

	(void)state;
	fake_start(&k, 64, 24, 0);
	assert_int_equal(commit(route), 0);
	route.has.flags = KVM_MSI_VALID_DEVID;
	for (uint32_t id = 0; id < 3; id++) {
		route.has.word[3] = id;
		assert_int_equal(commit(route), 0);
		assert_sets(1, id + 1);
		assert_has(route);
		assert_int_equal(commit(route), 0);
		assert_sets(1, id + 1);
	}
	/* What was written for it does not stay behind in another's entry. */
	assert_int_equal(commit(pins_route(30)), 0);
	assert_has(pins_route(30));
	assert_int_equal(commit(message_route(30, LIBRARY)), 0);
	assert_has(message_route(30, LIBRARY));
	fake_end(&k);
}

static void one_table_a_commit_and_none_for_no_change(void **state)
{
	struct kernel_route changes[100];

	(void)state;
	fake_start(&k, 200, 24, 0);
	assert_int_equal(vmirq_kernel_table_commit(k.table, NULL, 0), 0);
	assert_sets(0, 0);
	for (uint32_t i = 0; i < 100; i++)
		changes[i] = message_route(24 + i, LIBRARY + i);
	assert_int_equal(vmirq_kernel_table_commit(k.table, changes, 100), 0);
	assert_sets(0, 1);
	for (uint32_t i = 0; i < 100; i++)
		assert_has(changes[i]);
	assert_int_equal(vmirq_kernel_table_commit(k.table, changes, 100), 0);
	assert_sets(0, 1);
	/* The last word on a GSI counts. */
	changes[0] = message_route(30, LIBRARY + 500);
	changes[1] = message_route(30, LIBRARY + 6);
	assert_int_equal(vmirq_kernel_table_commit(k.table, changes, 2), 0);
	assert_sets(0, 1);
	assert_int_equal(commit(no_route(150)), 0);
	assert_sets(0, 1);
	assert_int_equal(commit(no_route(30)), 0);
	assert_sets(0, 2);
	assert_has(no_route(30));
	assert_int_equal(counts().commits, 2);
	assert_int_equal(counts().entries, 99);
	assert_int_equal(counts().set_back, 0);
	fake_end(&k);
}

static void each_call_writes_its_own_gsis(void **state)
{
	struct kernel_route changes[] = { message_route(23, LIBRARY + 23),
					  message_route(24, LIBRARY + 24),
					  message_route(64, LIBRARY + 64),
					  message_route(UINT32_MAX, LIBRARY) };

	(void)state;
	fake_start(&k, 64, 24, 0);
	assert_int_equal(vmirq_kernel_table_commit(k.table, changes, 4), 0);
	assert_has(no_route(23));
	assert_has(changes[1]);
	changes[1] = no_route(24);
	assert_int_equal(vmirq_kernel_table_commit_pins(k.table, changes, 4), 0);
	assert_has(changes[0]);
	assert_has(message_route(24, LIBRARY + 24));
	assert_sets(0, 2);
	assert_int_equal(vmirq_kernel_table_commit_pins(k.table, &changes[1], 3), 0);
	assert_sets(0, 2);
	assert_int_equal(use(changes[0]), -ENOSPC);
	assert_int_equal(use(changes[2]), -ENOSPC);
	assert_int_equal(use(changes[3]), -ENOSPC);
	vmirq_kernel_table_unuse(k.table, 64);
	vmirq_kernel_table_unuse(k.table, UINT32_MAX);
	assert_sets(0, 2);
	fake_end(&k);
}

static void a_message_has_one_route(void **state)
{
	(void)state;
	fake_start(&k, 64, 24, 0);
	for (uint32_t round = 0; round < 3; round++)
		for (uint32_t i = 0; i < 40; i++)
			fake_arrives(&k, message(i));
	assert_sets(0, 40);
	assert_int_equal(counts().dynamic, 40);
	assert_int_equal(counts().evicted, 0);
	/* From the top down. */
	assert_true(is_same_message(&k.route[63], message(0)));
	assert_true(is_same_message(&k.route[24], message(39)));
	fake_end(&k);
}

/* Differing in one bit they are different. */
static void every_bit_of_a_message_counts(void **state)
{
	struct msi_message msg = { 0 };
	uint32_t *word[] = { &msg.address_lo, &msg.address_hi, &msg.data };

	(void)state;
	fake_start(&k, 128, 0, 0);
	for (uint32_t round = 0; round < 2; round++)
		for (uint32_t bit = 0; bit < 96; bit++) {
			*word[bit / 32] ^= UINT32_C(1) << bit % 32;
			fake_arrives(&k, msg);
			*word[bit / 32] ^= UINT32_C(1) << bit % 32;
		}
	assert_sets(0, 96);
	fake_end(&k);
}

static void a_hundred_thousand_through_a_thousand(void **state)
{
	struct kernel_table_counts c;

	(void)state;
	fake_start(&k, 1000, 24, 0);
	for (uint32_t gsi = 24; gsi < 100; gsi++)
		assert_int_equal(use(message_route(gsi, LIBRARY + gsi)), 0);
	for (uint32_t i = 0; i < DISTINCT; i++) {
		fake_arrives(&k, message(i));
		if (i % 1000 == 0)
			for (uint32_t gsi = 24; gsi < 100; gsi++)
				assert_has(message_route(gsi, LIBRARY + gsi));
	}
	c = counts();
	/* One each: an eviction is never a table of its own. */
	assert_sets(0, DISTINCT + 76);
	assert_int_equal(c.commits, DISTINCT + 76);
	assert_int_equal(c.evicted + c.dynamic, DISTINCT);
	assert_true(c.dynamic <= 900);
	fake_end(&k);
}

/* Those in steady use outlive a stream of others. */
static void the_hot_ones_stay(void **state)
{
	uint64_t before;

	(void)state;
	fake_start(&k, 100, 0, 0);
	for (uint32_t hot = 0; hot < 20; hot++)
		fake_arrives(&k, message(LIBRARY + hot));
	before = k.sets;
	for (uint32_t i = 0; i < 5000; i++) {
		fake_arrives(&k, message(i));
		fake_arrives(&k, message(LIBRARY + i % 20));
	}
	assert_true(k.sets - before >= 5000);
	assert_true(k.sets - before < 5100);
	fake_end(&k);
}

static void no_room_only_when_irqfds_have_it_all(void **state)
{
	(void)state;
	fake_start(&k, 32, 8, 0);
	for (uint32_t gsi = 8; gsi < 31; gsi++)
		assert_int_equal(use(message_route(gsi, LIBRARY + gsi)), 0);
	for (uint32_t i = 0; i < 100; i++)
		fake_arrives(&k, message(i));
	/* The last one too: the dynamic route goes. */
	assert_int_equal(use(message_route(31, LIBRARY + 31)), 0);
	assert_int_equal(counts().dynamic, 0);
	assert_int_equal(fake_send(&k, message(0)), -ENOSPC);
	/* An irqfd keeps its number without a route, too. */
	assert_int_equal(commit(no_route(20)), 0);
	assert_int_equal(fake_send(&k, message(0)), -ENOSPC);
	/* Twice in use, twice to be left. */
	assert_int_equal(use(message_route(12, LIBRARY + 12)), 0);
	vmirq_kernel_table_unuse(k.table, 12);
	assert_int_equal(fake_send(&k, message(0)), -ENOSPC);
	vmirq_kernel_table_unuse(k.table, 12);
	fake_arrives(&k, message(0));
	assert_true(is_same_message(&k.route[12], message(0)));
	assert_int_equal(counts().set_back, 1);
	for (uint32_t gsi = 8; gsi < 32; gsi++)
		if (gsi != 12 && gsi != 20)
			assert_has(message_route(gsi, LIBRARY + gsi));
	/* And comes back. */
	assert_int_equal(use(message_route(12, LIBRARY + 12)), 0);
	assert_has(message_route(12, LIBRARY + 12));
	assert_int_equal(fake_send(&k, message(0)), -ENOSPC);
	fake_end(&k);
	fake_start(&k, 0, 0, 0);
	assert_int_equal(fake_send(&k, message(0)), -ENOSPC);
	fake_end(&k);
}

/* A few dynamic routes beside many idle messages of the library do not evict each other. */
static void idle_messages_make_room(void **state)
{
	struct kernel_route changes[100];
	uint64_t before;

	(void)state;
	fake_start(&k, 100, 0, 0);
	for (uint32_t gsi = 0; gsi < 100; gsi++)
		changes[gsi] = message_route(gsi, LIBRARY + gsi);
	assert_int_equal(vmirq_kernel_table_commit(k.table, changes, 99), 0);
	for (uint32_t i = 0; i < 1000; i++)
		fake_arrives(&k, message(i % 10));
	assert_sets(0, 11);
	assert_int_equal(counts().evicted, 0);
	assert_int_equal(counts().set_back, 50);
	/* Where there is a number again the next commit of it has it; else it stays away. */
	before = k.sets;
	assert_int_equal(vmirq_kernel_table_commit(k.table, changes, 100), 0);
	assert_sets(before, 1);
	for (uint32_t gsi = 0; gsi < 90; gsi++)
		assert_has(changes[gsi]);
	assert_int_equal(counts().dynamic, 10);
	assert_int_equal(counts().evicted, 0);
	fake_end(&k);
}

static void pins_stay_and_take_numbers_back(void **state)
{
	struct kernel_route changes[24];

	(void)state;
	fake_start(&k, 24, 0, 40);
	for (uint32_t i = 0; i < 24; i++)
		fake_arrives(&k, message(i));
	for (uint32_t gsi = 0; gsi < 24; gsi++)
		changes[gsi] = pins_route(gsi);
	assert_int_equal(vmirq_kernel_table_commit(k.table, changes, 23), 0);
	assert_sets(24, 1);
	assert_int_equal(counts().evicted, 23);
	for (uint32_t i = 0; i < 100; i++)
		fake_arrives(&k, message(i));
	for (uint32_t gsi = 0; gsi < 23; gsi++)
		assert_has(changes[gsi]);
	assert_int_equal(commit(changes[23]), 0);
	assert_int_equal(fake_send(&k, message(0)), -ENOSPC);
	/* A dynamic route's number is not taken from it for nothing. */
	assert_int_equal(commit(no_route(7)), 0);
	fake_arrives(&k, message(1));
	assert_int_equal(commit(message_route(7, LIBRARY)), 0);
	assert_int_equal(commit(no_route(7)), 0);
	assert_true(is_same_message(&k.route[7], message(1)));
	fake_end(&k);
}

/* The kernel counts entries: pins of two chips leave room for fewer messages. */
static void the_kernel_counts_entries(void **state)
{
	struct kernel_route changes[24];

	(void)state;
	fake_start(&k, 60, 0, 0);
	for (uint32_t gsi = 0; gsi < 24; gsi++)
		changes[gsi] = pins_route(gsi);
	assert_int_equal(vmirq_kernel_table_commit(k.table, changes, 12), 0);
	for (uint32_t i = 0; i < 500; i++)
		fake_arrives(&k, message(i));
	assert_true(counts().entries <= 60);
	assert_int_equal(vmirq_kernel_table_commit(k.table, changes, 24), 0);
	for (uint32_t gsi = 24; gsi < 44; gsi++)
		assert_int_equal(use(message_route(gsi, LIBRARY + gsi)), 0);
	assert_int_equal(counts().entries, 60);
	assert_int_equal(use(message_route(44, LIBRARY)), -ENOSPC);
	assert_int_equal(commit(pins_route(44)), -ENOSPC);
	assert_int_equal(fake_send(&k, message(0)), -ENOSPC);
	/* Not being there is no failure for one without an irqfd. */
	assert_int_equal(commit(message_route(44, LIBRARY)), 0);
	assert_has(no_route(44));
	vmirq_kernel_table_unuse(k.table, 43);
	assert_int_equal(use(message_route(44, LIBRARY)), 0);
	assert_has(message_route(44, LIBRARY));
	fake_end(&k);
}

static void *send_from_elsewhere(void *fake)
{
	fake_arrives(fake, message(0));
	return NULL;
}

static void send_meanwhile(struct fake_kernel *kernel)
{
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, send_from_elsewhere, kernel), 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
}

static void a_message_with_a_route_waits_for_no_commit(void **state)
{
	(void)state;
	fake_start(&k, 64, 24, 0);
	fake_arrives(&k, message(0));
	k.meanwhile = send_meanwhile;
	fake_arrives(&k, message(1));
	assert_int_equal(commit(message_route(24, LIBRARY)), 0);
	assert_int_equal(use(message_route(25, LIBRARY)), 0);
	/* Evictions are no reason either: this one is in use. */
	for (uint32_t i = 2; i < 200; i++)
		fake_arrives(&k, message(i));
	assert_int_equal(k.sets, 202);
	assert_true(counts().evicted > 0);
	fake_end(&k);
}

static void a_table_must_fit(void **state)
{
	struct kernel_table_config config = { .limit = 8, .reserved = 9 };
	struct kernel_table *t = NULL;

	(void)state;
	assert_int_equal(vmirq_kernel_table_create(&config, &t), -EINVAL);
	assert_null(t);
	vmirq_kernel_table_destroy(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_table_a_commit_and_none_for_no_change),
		cmocka_unit_test(a_device_id_is_part_of_a_message),
		cmocka_unit_test(each_call_writes_its_own_gsis),
		cmocka_unit_test(a_message_has_one_route),
		cmocka_unit_test(every_bit_of_a_message_counts),
		cmocka_unit_test(a_hundred_thousand_through_a_thousand),
		cmocka_unit_test(the_hot_ones_stay),
		cmocka_unit_test(no_room_only_when_irqfds_have_it_all),
		cmocka_unit_test(idle_messages_make_room),
		cmocka_unit_test(pins_stay_and_take_numbers_back),
		cmocka_unit_test(the_kernel_counts_entries),
		cmocka_unit_test(a_message_with_a_route_waits_for_no_commit),
		cmocka_unit_test(a_table_must_fit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
