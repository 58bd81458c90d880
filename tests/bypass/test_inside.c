// SPDX-License-Identifier: MIT
/* Calls from inside callbacks. */
#include "recorder.h"

#include <string.h>

static struct side p, c, other_p, other_c;
static int from_inside[4];
static const char *const callbacks[] = {
	"P.stop", "C.stop", "P.add", "C.add", "C.start", "P.start", "C.del", "P.del",
};

static int begin(void **state)
{
	p = (struct side){ .has = HAS_ALL, .token = 3 };
	c = p;
	other_p = (struct side){ .has = HAS_ALL, .token = 4 };
	other_c = other_p;
	memset(from_inside, 0, sizeof(from_inside));
	return set_up(state);
}

static struct side *speaker(const char *callback)
{
	return callback[0] == 'P' ? &p : &c;
}

static void try_own_token(struct side *side)
{
	struct side again_p = { .has = HAS_ALL, .token = 3 }, again_c = again_p;

	(void)side;
	from_inside[0] = register_producer(&again_p);
	from_inside[1] = register_consumer(&again_c);
	from_inside[2] = vmirq_producer_unregister_token(manager, 3);
	from_inside[3] = vmirq_consumer_unregister_token(manager, 3);
}

static void own_token_says_so(void)
{
	assert_int_equal(from_inside[0], -EBUSY);
	assert_int_equal(from_inside[1], -EBUSY);
	assert_int_equal(from_inside[2], -EDEADLK);
	assert_int_equal(from_inside[3], -EDEADLK);
	memset(from_inside, 0, sizeof(from_inside));
}

/* And it changes nothing: the connect goes on, and both can leave afterwards. */
static void its_own_token_from_each_callback(void **state)
{
	(void)state;
	for (int i = 0; i < 8; i++) {
		bool when_connecting = i < 6;
		bool when_disconnecting = i != 2 && i != 3;

		speaker(callbacks[i])->inside_of = callbacks[i];
		speaker(callbacks[i])->inside = try_own_token;
		assert_int_equal(register_producer(&p), 0);
		assert_int_equal(register_consumer(&c), 0);
		expect(CONNECTED);
		if (when_connecting)
			own_token_says_so();
		assert_int_equal(unregister_consumer(&c), 0);
		expect(DISCONNECTED);
		if (when_disconnecting)
			own_token_says_so();
		assert_int_equal(unregister_producer(&p), 0);
		speaker(callbacks[i])->inside_of = NULL;
	}
}

static void try_own_handle(struct side *side)
{
	from_inside[0] = vmirq_producer_unregister(side->producer);
}

static void its_own_handle(void **state)
{
	(void)state;
	p.inside_of = "P.start";
	p.inside = try_own_handle;
	assert_int_equal(register_producer(&p), 0);
	assert_int_equal(register_consumer(&c), 0);
	expect(CONNECTED);
	assert_int_equal(from_inside[0], -EDEADLK);
	from_inside[0] = 0;
	assert_int_equal(unregister_producer(&p), 0);
	assert_int_equal(from_inside[0], -EDEADLK);
	expect(DISCONNECTED);
	assert_int_equal(unregister_consumer(&c), 0);
}

static void register_the_others(struct side *side)
{
	(void)side;
	assert_int_equal(register_producer(&other_p), 0);
	assert_int_equal(register_consumer(&other_c), 0);
}

static void unregister_the_others(struct side *side)
{
	(void)side;
	assert_int_equal(unregister_consumer(&other_c), 0);
	assert_int_equal(unregister_producer(&other_p), 0);
}

static void another_token_from_inside(void **state)
{
	(void)state;
	c.inside_of = "C.add";
	c.inside = register_the_others;
	assert_int_equal(register_producer(&p), 0);
	assert_int_equal(register_consumer(&c), 0);
	expect("P.stop C.stop P.add C.add " CONNECTED "C.start P.start ");
	c.inside_of = "C.del";
	c.inside = unregister_the_others;
	assert_int_equal(unregister_producer(&p), 0);
	expect("P.stop C.stop C.del " DISCONNECTED "P.del C.start P.start ");
	assert_int_equal(unregister_consumer(&c), 0);
	expect("");
}

/* Inside out: the inner callback is also one of the outer token's. */
static void its_own_token_through_another(void **state)
{
	(void)state;
	c.inside_of = "C.add";
	c.inside = register_the_others;
	other_p.inside_of = "P.add";
	other_p.inside = try_own_token;
	assert_int_equal(register_producer(&p), 0);
	assert_int_equal(register_consumer(&c), 0);
	own_token_says_so();
	unregister_the_others(NULL);
	assert_int_equal(unregister_consumer(&c), 0);
	assert_int_equal(unregister_producer(&p), 0);
}

static int target;

static void give_target(struct side *side)
{
	assert_int_equal(vmirq_producer_set_target(side->producer_met, &target), 0);
}

static void fall_back(struct side *side)
{
	assert_int_equal(vmirq_producer_set_target(side->producer_met, NULL), 0);
}

/* As an irqfd will do it. */
static void a_target_is_given_in_add_and_taken_back_in_del(void **state)
{
	(void)state;
	c.inside_of = "C.add";
	c.inside = give_target;
	assert_int_equal(register_consumer(&c), 0);
	assert_int_equal(register_producer(&p), 0);
	expect("P.stop C.stop P.add C.add P.target C.start P.start ");
	assert_ptr_equal(p.target, &target);
	fall_back(&c);
	assert_null(p.target);
	give_target(&c);
	expect("P.fall_back P.target ");
	c.inside_of = "C.del";
	c.inside = fall_back;
	assert_int_equal(unregister_producer(&p), 0);
	expect("P.stop C.stop C.del P.fall_back P.del C.start P.start ");
	assert_null(p.target);
	assert_int_equal(unregister_consumer(&c), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(its_own_token_from_each_callback, begin, tear_down),
		cmocka_unit_test_setup_teardown(its_own_handle, begin, tear_down),
		cmocka_unit_test_setup_teardown(another_token_from_inside, begin, tear_down),
		cmocka_unit_test_setup_teardown(its_own_token_through_another, begin, tear_down),
		cmocka_unit_test_setup_teardown(a_target_is_given_in_add_and_taken_back_in_del,
						begin, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
