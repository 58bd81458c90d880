// SPDX-License-Identifier: MIT
/*
 * The order of the callbacks, with each of them there or not, each failure, and either side first. The
 * words expected come from a plain rendering of the rule, and for the whole set from the rule as written.
 */
#include "recorder.h"

#include <stdio.h>
#include <string.h>

enum failure { NONE, ADD_CONSUMER, ADD_PRODUCER, FAILURES };

struct pair {
	struct side p, c;
	bool producer_last;
};

static char expected[256];

static void word(bool there, const char *text)
{
	size_t n = strlen(expected);

	if (there)
		snprintf(expected + n, sizeof(expected) - n, "%s ", text);
}

static void expect_around(const struct pair *pair, const char *first, const char *second,
			  const char *third)
{
	const char *between[] = { first, second, third };

	expected[0] = '\0';
	word(pair->p.has & HAS_STOP, "P.stop");
	word(pair->c.has & HAS_STOP, "C.stop");
	for (int i = 0; i < 3; i++)
		word(between[i] != NULL, between[i]);
	word(pair->c.has & HAS_START, "C.start");
	word(pair->p.has & HAS_START, "P.start");
	expect(expected);
}

static const char *if_has(const struct side *side, unsigned int which, const char *text)
{
	return side->has & which ? text : NULL;
}

static int register_first(struct pair *pair)
{
	return pair->producer_last ? register_consumer(&pair->c) : register_producer(&pair->p);
}

static int register_last(struct pair *pair)
{
	return pair->producer_last ? register_producer(&pair->p) : register_consumer(&pair->c);
}

static void connects(struct pair *pair)
{
	assert_int_equal(register_last(pair), 0);
	expect_around(pair, if_has(&pair->p, HAS_ADD, "P.add"), "C.add", NULL);
}

static void fails_to_connect(struct pair *pair, enum failure failure)
{
	int error;

	pair->p.fail = failure == ADD_CONSUMER ? -EIO : 0;
	pair->c.fail = failure == ADD_PRODUCER ? -ENODEV : 0;
	error = register_last(pair);
	if (failure == ADD_CONSUMER && !(pair->p.has & HAS_ADD)) {
		/* Cannot fail. */
		assert_int_equal(error, 0);
		expect_around(pair, "C.add", NULL, NULL);
		return;
	}
	if (failure == ADD_CONSUMER)
		expect_around(pair, "P.add", NULL, NULL);
	else
		expect_around(pair, if_has(&pair->p, HAS_ADD, "P.add"), "C.add",
			      if_has(&pair->p, HAS_DEL, "P.del"));
	assert_int_equal(error, failure == ADD_CONSUMER ? -EIO : -ENODEV);
	/* Not registered, no handle: it may try again, and fail again, and in the end succeed. */
	assert_null(pair->producer_last ? (void *)pair->p.producer : (void *)pair->c.consumer);
	assert_int_equal(register_last(pair), error);
	said[0] = '\0';
	pair->p.fail = 0;
	pair->c.fail = 0;
	connects(pair);
}

static void disconnects(struct pair *pair, bool producer_leaves)
{
	if (producer_leaves)
		assert_int_equal(unregister_producer(&pair->p), 0);
	else
		assert_int_equal(unregister_consumer(&pair->c), 0);
	expect_around(pair, "C.del", if_has(&pair->p, HAS_DEL, "P.del"), NULL);
	if (producer_leaves)
		assert_int_equal(unregister_consumer(&pair->c), 0);
	else
		assert_int_equal(unregister_producer(&pair->p), 0);
	expect("");
}

static void try_one(unsigned int p_has, unsigned int c_has, enum failure failure, int who)
{
	struct pair pair = {
		.p = { .has = p_has, .token = 9 },
		.c = { .has = c_has | HAS_ADD | HAS_DEL, .token = 9 },
		.producer_last = who & 1,
	};

	assert_int_equal(register_first(&pair), 0);
	expect("");
	if (failure == NONE)
		connects(&pair);
	else
		fails_to_connect(&pair, failure);
	disconnects(&pair, who & 2);
}

static void each_subset_each_failure_either_first(void **state)
{
	(void)state;
	for (unsigned int p_has = 0; p_has <= HAS_ALL; p_has++)
		for (unsigned int c_has = 0; c_has <= (HAS_STOP | HAS_START); c_has++)
			for (enum failure failure = NONE; failure < FAILURES; failure++)
				for (int who = 0; who < 4; who++)
					try_one(p_has, c_has, failure, who);
}

static void as_it_is_written(void **state)
{
	struct side p = { .has = HAS_ALL, .token = 1 }, c = p;

	(void)state;
	assert_int_equal(register_producer(&p), 0);
	expect("");
	assert_int_equal(register_consumer(&c), 0);
	expect("P.stop C.stop P.add C.add C.start P.start ");
	assert_int_equal(unregister_consumer(&c), 0);
	expect("P.stop C.stop C.del P.del C.start P.start ");
	p.fail = -ENOSPC;
	assert_int_equal(register_consumer(&c), -ENOSPC);
	expect("P.stop C.stop P.add C.start P.start ");
	p.fail = 0;
	c.fail = -ENOSPC;
	assert_int_equal(register_consumer(&c), -ENOSPC);
	expect("P.stop C.stop P.add C.add P.del C.start P.start ");
	/* A callback that has errno's sign wrong. */
	c.fail = ENOSPC;
	assert_int_equal(register_consumer(&c), -EIO);
	expect("P.stop C.stop P.add C.add P.del C.start P.start ");
	assert_int_equal(unregister_producer(&p), 0);
	expect("");
}

/* The side that was there stays, and is free for another. */
static void a_failure_is_the_new_ones(void **state)
{
	struct side p = { .has = HAS_ALL, .token = 1, .fail = -EPERM }, p2 = p, c = p;

	(void)state;
	c.fail = p2.fail = 0;
	assert_int_equal(register_consumer(&c), 0);
	assert_int_equal(register_producer(&p), -EPERM);
	said[0] = '\0';
	assert_int_equal(register_producer(&p2), 0);
	expect(CONNECTED);
	assert_ptr_equal(c.peer, p2.producer);
	assert_int_equal(unregister_consumer(&c), 0);
	expect(DISCONNECTED);
	assert_int_equal(unregister_producer(&p2), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(as_it_is_written, set_up, tear_down),
		cmocka_unit_test_setup_teardown(each_subset_each_failure_either_first, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(a_failure_is_the_new_ones, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
