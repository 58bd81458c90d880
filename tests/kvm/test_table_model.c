// SPDX-License-Identifier: MIT
/* Random operations on the kernel's routing table beside a model of it; and with a kernel that refuses. */
#include <errno.h>
#include <string.h>

#include "fake_table.h"

/* The model: what the library wants for each GSI, and how many irqfds are on it. */
#define GSIS	 96u
#define RESERVED 12u
#define LIBRARY	 1000000u /* messages of its own routes count from here */

static struct fake_kernel k;
static struct kernel_route wanted[GSIS];
static uint32_t users[GSIS];
static uint64_t seed;

static struct kernel_table_counts counts(void)
{
	return vmirq_kernel_table_counts(k.table);
}

static uint32_t any(uint32_t n)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (uint32_t)(seed >> 20) % n;
}

static bool is_message_of_library(const struct kernel_route *route)
{
	return route->has.n == 1 && route->has.type == KVM_IRQ_ROUTING_MSI;
}

static void assert_model(void)
{
	uint32_t others = 0, entries = 0;

	for (uint32_t gsi = 0; gsi < GSIS; gsi++) {
		const struct kernel_route *has = &k.route[gsi];
		bool is_own = is_route(has, &wanted[gsi]);

		entries += has->has.n;
		if (is_own)
			continue;
		assert_true(gsi >= RESERVED);
		assert_int_equal(users[gsi], 0);
		/* The library's own is away, or there is nothing of its own. */
		assert_true(wanted[gsi].has.n == 0 || is_message_of_library(&wanted[gsi]));
		if (!has->has.n)
			continue;
		assert_true(is_message_of_library(has));
		others++;
	}
	assert_int_equal(counts().dynamic, others);
	assert_int_equal(counts().entries, entries);
}

static struct kernel_route any_route(uint32_t gsi)
{
	uint32_t what = any(8);

	if (what == 0)
		return no_route(gsi);
	return what == 1 ? pins_route(gsi) : message_route(gsi, LIBRARY + any(1000));
}

/* The entries that may not be evicted. */
static uint32_t fixed_entries(void)
{
	uint32_t n = 0;

	for (uint32_t gsi = 0; gsi < GSIS; gsi++)
		if (gsi < RESERVED || users[gsi] || !is_message_of_library(&wanted[gsi]))
			n += wanted[gsi].has.n;
	return n;
}

static bool has_room(void)
{
	for (uint32_t gsi = RESERVED; gsi < GSIS; gsi++)
		if (!users[gsi] && (wanted[gsi].has.n == 0 || is_message_of_library(&wanted[gsi])))
			return fixed_entries() < GSIS;
	return false;
}

static int any_commit(bool pins)
{
	uint32_t n = any(8) + 1, from = pins ? 0 : RESERVED, to = pins ? RESERVED : GSIS;
	struct kernel_route changes[8], before[GSIS];
	int error;

	memcpy(before, wanted, sizeof(before));
	for (uint32_t i = 0; i < n; i++) {
		changes[i] = pins ? message_route(any(GSIS), LIBRARY + any(1000))
				  : any_route(any(GSIS));
		if (changes[i].gsi >= from && changes[i].gsi < to)
			wanted[changes[i].gsi] = changes[i];
	}
	error = (pins ? vmirq_kernel_table_commit_pins : vmirq_kernel_table_commit)(k.table,
										    changes, n);
	assert_int_equal(error == -ENOSPC, fixed_entries() > GSIS);
	if (error)
		memcpy(wanted, before, sizeof(before));
	return error;
}

static int any_use(void)
{
	uint32_t gsi = RESERVED + any(GSIS - RESERVED);
	int error = vmirq_kernel_table_use(k.table, &wanted[gsi]);

	users[gsi]++;
	assert_int_equal(error == -ENOSPC, fixed_entries() > GSIS);
	users[gsi] -= error != 0;
	return error;
}

static void any_unuse(void)
{
	uint32_t gsi = RESERVED + any(GSIS - RESERVED);

	if (users[gsi]) {
		users[gsi]--;
		vmirq_kernel_table_unuse(k.table, gsi);
	}
}

static int any_send(uint32_t messages)
{
	int n = fake_send(&k, message(any(messages)));

	assert_int_equal(n == -ENOSPC, !has_room());
	return n < 0 ? n : 0;
}

/* `leaving`: of 4 times that irqfds come or go, how often they go. */
static int any_operation(uint32_t messages, uint32_t leaving)
{
	switch (any(16)) {
	case 0:
		return any_commit(false);
	case 1:
		return any_commit(true);
	case 2:
	case 3:
	case 4:
	case 5:
		if (any(4) >= leaving)
			return any_use();
		any_unuse();
		return 0;
	default:
		return any_send(messages);
	}
}

static void begin_model(uint32_t round)
{
	fake_start(&k, GSIS, RESERVED, 0);
	seed = 88172645463325252u + round;
	memset(users, 0, sizeof(users));
	for (uint32_t gsi = 0; gsi < GSIS; gsi++)
		wanted[gsi] = no_route(gsi);
}

static void as_the_model_says(void **state)
{
	uint32_t full = 0;

	(void)state;
	for (uint32_t round = 0; round < 20; round++) {
		begin_model(round);
		for (uint32_t i = 0; i < 3000; i++) {
			uint64_t before = k.sets;
			int error = any_operation(round % 2 ? 300 : 60, 1 + round % 3);

			assert_true(k.sets - before <= 1);
			if (error) {
				assert_int_equal(error, -ENOSPC);
				assert_int_equal(k.sets, before);
				full++;
			}
			assert_model();
		}
		assert_int_equal(counts().commits, k.sets);
		fake_end(&k);
	}
	assert_true(full > 100);
}

/* Now and then the kernel refuses. Then nothing has changed: not its table, and a message that
 * had a route has it still, which is seen by its asking for none. */
static void a_refusal_changes_nothing(void **state)
{
	struct kernel_route before[GSIS];
	uint32_t refused = 0;

	(void)state;
	for (uint32_t round = 0; round < 10; round++) {
		begin_model(round);
		for (uint32_t i = 0; i < 3000; i++) {
			struct kernel_table_counts c = counts();
			uint64_t sets = k.sets;
			int error;

			memcpy(before, k.route, sizeof(before));
			fake_refuse(&k, any(3) == 0);
			error = any_operation(200, 2);
			if (error != -ENOMEM)
				continue;
			refused++;
			assert_int_equal(k.sets, sets + 1);
			assert_memory_equal(before, k.route, sizeof(before));
			assert_int_equal(counts().commits, c.commits);
			assert_int_equal(counts().dynamic, c.dynamic);
			assert_int_equal(counts().evicted, c.evicted);
			assert_int_equal(counts().set_back, c.set_back);
			assert_model();
			sets = k.sets;
			for (uint32_t gsi = RESERVED; gsi < GSIS; gsi++)
				if (k.route[gsi].has.n && !is_route(&k.route[gsi], &wanted[gsi]))
					fake_arrives(&k, (struct msi_message){
								 k.route[gsi].has.word[0],
								 k.route[gsi].has.word[1],
								 k.route[gsi].has.word[2] });
			assert_int_equal(k.sets, sets);
		}
		fake_end(&k);
	}
	assert_true(refused > 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(as_the_model_says),
		cmocka_unit_test(a_refusal_changes_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
