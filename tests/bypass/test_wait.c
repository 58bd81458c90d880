// SPDX-License-Identifier: MIT
/* Other threads while a callback does not return: who waits for it, and who does not. */
#include "recorder.h"

#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <string.h>

#include "bypass/end.h"

#define TOKENS 1000

static struct side p, c;
static sem_t entered, go;

static int begin(void **state)
{
	p = (struct side){ .has = HAS_ALL, .token = 3 };
	c = p;
	sem_init(&entered, 0, 0);
	sem_init(&go, 0, 0);
	return set_up(state);
}

struct thread {
	pthread_t id;
	int (*call)(void);
	int result;
	_Atomic bool returned;
};

static void *call_it(void *argument)
{
	struct thread *thread = argument;

	thread->result = thread->call();
	atomic_store(&thread->returned, true);
	return NULL;
}

static void start(struct thread *thread, int (*call)(void))
{
	thread->call = call;
	thread->result = 1;
	atomic_store(&thread->returned, false);
	assert_int_equal(pthread_create(&thread->id, NULL, call_it, thread), 0);
}

static int join(struct thread *thread)
{
	pthread_join(thread->id, NULL);
	return thread->result;
}

static int consumer_in(void)
{
	return register_consumer(&c);
}

static int producer_out(void)
{
	return unregister_producer(&p);
}

static int producer_out_by_token(void)
{
	return vmirq_producer_unregister_token(manager, 3);
}

static void stay(struct side *side)
{
	sem_post(&entered);
	sem_wait(&go);
	side->inside_of = NULL;
}

static struct side *stay_in(const char *callback)
{
	struct side *side = callback[0] == 'P' ? &p : &c;

	side->inside_of = callback;
	side->inside = stay;
	return side;
}

/* The consumer's registration, on another thread, stands in this callback. */
static void connect_and_stay(struct thread *thread, const char *callback, int (*call)(void))
{
	stay_in(callback);
	assert_int_equal(register_producer(&p), 0);
	start(thread, call);
	sem_wait(&entered);
}

/* The unregistration on another thread has seen that it must wait. */
static void until_it_waits(struct thread *thread)
{
	struct bypass_shard *shard = bypass_shard(manager, bypass_hash(3));
	bool waits = false;

	while (!waits) {
		struct bypass_end *ends[BYPASS_KINDS];

		sched_yield();
		lock_take(&shard->lock);
		vmirq_bypass_find(shard, 3, ends);
		waits = ends[BYPASS_PRODUCER]->leaving;
		lock_give(&shard->lock);
	}
	for (int i = 0; i < 100; i++)
		sched_yield();
	assert_false(atomic_load(&thread->returned));
}

static void other_tokens_do_not_wait(void **state)
{
	struct side other_p = { .has = HAS_ADD | HAS_DEL }, other_c = other_p;
	struct thread in;

	(void)state;
	connect_and_stay(&in, "C.add", consumer_in);
	said[0] = '\0';
	/* So many that every shard has its share. */
	for (uint64_t token = 100; token < 100 + TOKENS; token++) {
		other_p.token = other_c.token = token;
		assert_int_equal(register_producer(&other_p), 0);
		assert_int_equal(register_consumer(&other_c), 0);
		assert_int_equal(unregister_producer(&other_p), 0);
		assert_int_equal(unregister_consumer(&other_c), 0);
		expect("P.add C.add C.del P.del ");
	}
	/* Nor does a registration of that token. */
	other_p.token = other_c.token = 3;
	assert_int_equal(register_producer(&other_p), -EBUSY);
	assert_int_equal(register_consumer(&other_c), -EBUSY);
	assert_int_equal(vmirq_bypass_destroy(manager), -EBUSY);
	sem_post(&go);
	assert_int_equal(join(&in), 0);
	expect("C.start P.start ");
	assert_int_equal(unregister_consumer(&c), 0);
	assert_int_equal(unregister_producer(&p), 0);
}

/* It returns after the last callback, its own disconnect included. */
static void unregistering_waits_for_each_callback(void **state)
{
	static const char *const callbacks[] = { "P.stop", "C.stop",  "P.add",
						 "C.add",  "C.start", "P.start" };
	struct thread in, out;

	(void)state;
	for (int i = 0; i < 6; i++) {
		connect_and_stay(&in, callbacks[i], consumer_in);
		start(&out, producer_out);
		until_it_waits(&out);
		sem_post(&go);
		assert_int_equal(join(&out), 0);
		assert_int_equal(join(&in), 0);
		expect(CONNECTED DISCONNECTED);
		assert_int_equal(unregister_consumer(&c), 0);
		expect("");
	}
}

static int consumer_out(void)
{
	return unregister_consumer(&c);
}

static void unregistering_waits_for_the_other_sides(void **state)
{
	static const char *const callbacks[] = { "P.stop", "C.stop",  "C.del",
						 "P.del",  "C.start", "P.start" };
	struct thread first, second;

	(void)state;
	for (int i = 0; i < 6; i++) {
		assert_int_equal(register_producer(&p), 0);
		assert_int_equal(register_consumer(&c), 0);
		expect(CONNECTED);
		stay_in(callbacks[i]);
		start(&first, consumer_out);
		sem_wait(&entered);
		start(&second, producer_out);
		until_it_waits(&second);
		sem_post(&go);
		assert_int_equal(join(&second), 0);
		assert_int_equal(join(&first), 0);
		expect(DISCONNECTED);
	}
}

static void it_waits_for_a_connect_that_fails(void **state)
{
	struct thread in, out;

	(void)state;
	c.fail = -EIO;
	connect_and_stay(&in, "C.add", consumer_in);
	start(&out, producer_out);
	until_it_waits(&out);
	sem_post(&go);
	assert_int_equal(join(&out), 0);
	assert_int_equal(join(&in), -EIO);
	expect("P.stop C.stop P.add C.add P.del C.start P.start ");
}

/* The one whose registration fails is gone when the other comes to look. */
static int consumer_out_by_token(void)
{
	return vmirq_consumer_unregister_token(manager, 3);
}

static void out_by_token_while_it_fails_to_come_in(void **state)
{
	struct bypass_shard *shard = bypass_shard(manager, bypass_hash(3));
	struct thread in, out;
	uint32_t waiters = 0;

	(void)state;
	c.fail = -EIO;
	connect_and_stay(&in, "C.add", consumer_in);
	start(&out, consumer_out_by_token);
	while (!waiters) {
		sched_yield();
		lock_take(&shard->lock);
		waiters = shard->ended.n;
		lock_give(&shard->lock);
	}
	sem_post(&go);
	assert_int_equal(join(&out), 0);
	assert_int_equal(join(&in), -EIO);
	expect("P.stop C.stop P.add C.add P.del C.start P.start ");
	assert_int_equal(unregister_producer(&p), 0);
}

static void two_by_token_and_one_disconnect(void **state)
{
	struct thread in, out[3];

	(void)state;
	connect_and_stay(&in, "P.start", consumer_in);
	for (int i = 0; i < 3; i++)
		start(&out[i], producer_out_by_token);
	until_it_waits(&out[0]);
	sem_post(&go);
	for (int i = 0; i < 3; i++)
		assert_int_equal(join(&out[i]), 0);
	assert_int_equal(join(&in), 0);
	expect(CONNECTED DISCONNECTED);
	assert_int_equal(unregister_consumer(&c), 0);
	expect("");
}

#define TIMES 50

static int consumer_in_and_out(void)
{
	for (int i = 0; i < TIMES; i++) {
		int error = register_consumer(&c);

		if (!error)
			error = unregister_consumer(&c);
		if (error)
			return error;
	}
	return 0;
}

/* A consumer that comes and goes is not connected again to a producer that wants to leave. */
static void who_leaves_is_not_kept(void **state)
{
	struct thread in_and_out, out;

	(void)state;
	connect_and_stay(&in_and_out, "C.add", consumer_in_and_out);
	start(&out, producer_out);
	until_it_waits(&out);
	sem_post(&go);
	assert_int_equal(join(&out), 0);
	assert_int_equal(join(&in_and_out), 0);
	expect(CONNECTED DISCONNECTED);
}

/* The same without a race: the producer as it stands when it has asked to leave and not yet woken up. */
static void who_comes_meanwhile_is_not_connected(void **state)
{
	(void)state;
	assert_int_equal(register_producer(&p), 0);
	p.producer->end.leaving = true;
	assert_int_equal(register_consumer(&c), 0);
	expect("");
	assert_int_equal(unregister_producer(&p), 0);
	expect("");
	/* Its successor is. */
	assert_int_equal(register_producer(&p), 0);
	expect(CONNECTED);
	assert_int_equal(unregister_consumer(&c), 0);
	assert_int_equal(unregister_producer(&p), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(other_tokens_do_not_wait, begin, tear_down),
		cmocka_unit_test_setup_teardown(unregistering_waits_for_each_callback, begin,
						tear_down),
		cmocka_unit_test_setup_teardown(unregistering_waits_for_the_other_sides, begin,
						tear_down),
		cmocka_unit_test_setup_teardown(it_waits_for_a_connect_that_fails, begin,
						tear_down),
		cmocka_unit_test_setup_teardown(out_by_token_while_it_fails_to_come_in, begin,
						tear_down),
		cmocka_unit_test_setup_teardown(two_by_token_and_one_disconnect, begin, tear_down),
		cmocka_unit_test_setup_teardown(who_leaves_is_not_kept, begin, tear_down),
		cmocka_unit_test_setup_teardown(who_comes_meanwhile_is_not_connected, begin,
						tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
