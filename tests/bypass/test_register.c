// SPDX-License-Identifier: MIT
/* What is refused, and that what was refused has left nothing behind. */
#include "recorder.h"

#include <string.h>

static const struct side whole = { .has = HAS_ALL, .token = 42 };

static int add_nothing(void *opaque, struct vmirq_producer *producer)
{
	(void)opaque;
	(void)producer;
	return 0;
}

static void del_nothing(void *opaque, struct vmirq_producer *producer)
{
	(void)opaque;
	(void)producer;
}

static void null_is_einval(void **state)
{
	struct vmirq_producer_config producer = { .size = sizeof(producer), .token = 1 };
	struct vmirq_consumer_config consumer = { .size = sizeof(consumer),
						  .token = 1,
						  .add_producer = add_nothing,
						  .del_producer = del_nothing };

	(void)state;
	assert_int_equal(vmirq_bypass_create(NULL), -EINVAL);
	assert_int_equal(vmirq_producer_register(NULL, &producer, NULL), -EINVAL);
	assert_int_equal(vmirq_producer_register(manager, NULL, NULL), -EINVAL);
	assert_int_equal(vmirq_consumer_register(NULL, &consumer, NULL), -EINVAL);
	assert_int_equal(vmirq_consumer_register(manager, NULL, NULL), -EINVAL);
	assert_int_equal(vmirq_producer_unregister_token(NULL, 1), -EINVAL);
	assert_int_equal(vmirq_consumer_unregister_token(NULL, 1), -EINVAL);
	assert_int_equal(vmirq_producer_set_target(NULL, &producer), -EINVAL);
	/* Nothing to unregister, nothing to destroy. */
	assert_int_equal(vmirq_producer_unregister(NULL), 0);
	assert_int_equal(vmirq_consumer_unregister(NULL), 0);
	assert_int_equal(vmirq_bypass_destroy(NULL), 0);
}

static void token_0_is_einval(void **state)
{
	struct side p = whole, c = whole;

	(void)state;
	p.token = c.token = 0;
	assert_int_equal(register_producer(&p), -EINVAL);
	assert_int_equal(register_consumer(&c), -EINVAL);
	assert_null(p.producer);
	assert_null(c.consumer);
	assert_int_equal(vmirq_producer_unregister_token(manager, 0), 0);
	assert_int_equal(vmirq_consumer_unregister_token(manager, 0), 0);
	expect("");
}

static void a_consumer_adds_and_deletes(void **state)
{
	(void)state;
	for (unsigned int has = 0; has <= HAS_ALL; has++) {
		struct side c = { .has = has, .token = 7 };
		bool enough = has & HAS_ADD && has & HAS_DEL;

		assert_int_equal(register_consumer(&c), enough ? 0 : -EINVAL);
		assert_int_equal(unregister_consumer(&c), 0);
	}
}

/* A struct of a later release's. */
struct longer {
	struct vmirq_producer_config known;
	uint64_t tail;
};

struct longer_consumer {
	struct vmirq_consumer_config known;
	uint64_t tail;
};

static void sizes(void **state)
{
	struct longer p = { .known = { .token = 5 }, .tail = 1 };
	struct longer_consumer c = {
		.known = { .token = 5, .add_producer = add_nothing, .del_producer = del_nothing },
		.tail = 1,
	};

	(void)state;
	p.known.size = sizeof(p.known) - 1;
	assert_int_equal(vmirq_producer_register(manager, &p.known, NULL), -EINVAL);
	c.known.size = sizeof(c.known) - 1;
	assert_int_equal(vmirq_consumer_register(manager, &c.known, NULL), -EINVAL);
	p.known.size = sizeof(p);
	assert_int_equal(vmirq_producer_register(manager, &p.known, NULL), -E2BIG);
	c.known.size = sizeof(c);
	assert_int_equal(vmirq_consumer_register(manager, &c.known, NULL), -E2BIG);
	p.tail = c.tail = 0;
	assert_int_equal(vmirq_producer_register(manager, &p.known, NULL), 0);
	assert_int_equal(vmirq_consumer_register(manager, &c.known, NULL), 0);
	assert_int_equal(vmirq_producer_unregister_token(manager, 5), 0);
	assert_int_equal(vmirq_consumer_unregister_token(manager, 5), 0);
}

static void a_token_once_per_side(void **state)
{
	struct side p = whole, c = whole, p2 = whole, c2 = whole;

	(void)state;
	assert_int_equal(register_producer(&p), 0);
	assert_int_equal(register_producer(&p2), -EBUSY);
	assert_null(p2.producer);
	expect("");
	assert_int_equal(register_consumer(&c), 0);
	expect(CONNECTED);
	assert_int_equal(register_consumer(&c2), -EBUSY);
	assert_int_equal(register_producer(&p2), -EBUSY);
	expect("");
	/* Those that were refused took nothing with them. */
	assert_int_equal(unregister_producer(&p2), 0);
	assert_int_equal(unregister_consumer(&c2), 0);
	expect("");
	assert_int_equal(unregister_producer(&p), 0);
	expect(DISCONNECTED);
	assert_int_equal(register_producer(&p2), 0);
	expect(CONNECTED);
	assert_ptr_equal(c.peer, p2.producer);
	assert_int_equal(unregister_consumer(&c), 0);
	expect(DISCONNECTED);
	assert_int_equal(unregister_producer(&p2), 0);
	expect("");
}

static void other_tokens_and_managers_do_not_meet(void **state)
{
	struct side p = whole, c = whole, elsewhere = whole;
	struct vmirq_bypass *first = manager, *second;

	(void)state;
	c.token = 43;
	assert_int_equal(register_producer(&p), 0);
	assert_int_equal(register_consumer(&c), 0);
	assert_int_equal(vmirq_bypass_create(&second), 0);
	manager = second;
	assert_int_equal(register_consumer(&elsewhere), 0);
	expect("");
	assert_int_equal(vmirq_bypass_destroy(second), -EBUSY);
	assert_int_equal(vmirq_bypass_destroy(first), -EBUSY);
	assert_int_equal(unregister_consumer(&elsewhere), 0);
	assert_int_equal(vmirq_bypass_destroy(second), 0);
	manager = first;
	assert_int_equal(unregister_consumer(&c), 0);
	assert_int_equal(vmirq_bypass_destroy(first), -EBUSY);
	assert_int_equal(unregister_producer(&p), 0);
	expect("");
}

static void unregistering_twice_is_nothing(void **state)
{
	struct side p = whole, c = whole;

	(void)state;
	assert_int_equal(vmirq_producer_unregister_token(manager, 42), 0);
	assert_int_equal(vmirq_consumer_unregister_token(manager, 42), 0);
	assert_int_equal(register_producer(&p), 0);
	/* Of the other side. */
	assert_int_equal(vmirq_consumer_unregister_token(manager, 42), 0);
	assert_int_equal(register_consumer(&c), 0);
	expect(CONNECTED);
	assert_int_equal(vmirq_consumer_unregister_token(manager, 42), 0);
	expect(DISCONNECTED);
	assert_int_equal(vmirq_consumer_unregister_token(manager, 42), 0);
	assert_int_equal(unregister_producer(&p), 0);
	assert_int_equal(unregister_producer(&p), 0);
	assert_int_equal(vmirq_producer_unregister_token(manager, 42), 0);
	expect("");
}

static void a_consumer_gives_and_takes_back_its_target(void **state)
{
	struct side p = whole, c = whole;
	int target;

	(void)state;
	assert_int_equal(register_producer(&p), 0);
	assert_int_equal(vmirq_producer_set_target(p.producer, &target), 0);
	assert_ptr_equal(p.target, &target);
	assert_int_equal(vmirq_producer_set_target(p.producer, NULL), 0);
	assert_null(p.target);
	expect("P.target P.fall_back ");
	assert_int_equal(unregister_producer(&p), 0);
	p.has &= ~(unsigned int)HAS_TARGET;
	assert_int_equal(register_producer(&p), 0);
	assert_int_equal(vmirq_producer_set_target(p.producer, &target), -EOPNOTSUPP);
	assert_int_equal(register_consumer(&c), 0);
	expect(CONNECTED);
	assert_int_equal(unregister_producer(&p), 0);
	expect(DISCONNECTED);
	assert_int_equal(unregister_consumer(&c), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(null_is_einval, set_up, tear_down),
		cmocka_unit_test_setup_teardown(token_0_is_einval, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_consumer_adds_and_deletes, set_up, tear_down),
		cmocka_unit_test_setup_teardown(sizes, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_token_once_per_side, set_up, tear_down),
		cmocka_unit_test_setup_teardown(other_tokens_and_managers_do_not_meet, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(unregistering_twice_is_nothing, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_consumer_gives_and_takes_back_its_target, set_up,
						tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
