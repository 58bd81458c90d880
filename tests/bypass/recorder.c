// SPDX-License-Identifier: MIT
#include "recorder.h"

#include <stdio.h>
#include <string.h>

#include "bypass/table.h"

struct vmirq_bypass *manager;
char said[8192];

int set_up(void **state)
{
	(void)state;
	said[0] = '\0';
	assert_int_equal(vmirq_bypass_create(&manager), 0);
	return 0;
}

int tear_down(void **state)
{
	(void)state;
	assert_true(vmirq_bypass_validate(manager));
	assert_int_equal(vmirq_bypass_destroy(manager), 0);
	return 0;
}

static void say(struct side *side, const char *word)
{
	size_t n = strlen(said);

	assert_true(n + strlen(word) + 2 < sizeof(said));
	snprintf(said + n, sizeof(said) - n, "%s ", word);
	if (side->inside_of && !strcmp(side->inside_of, word))
		side->inside(side);
}

void expect(const char *words)
{
	assert_string_equal(said, words);
	said[0] = '\0';
	assert_true(vmirq_bypass_validate(manager));
}

static void producer_stop(void *opaque)
{
	say(opaque, "P.stop");
}

static void producer_start(void *opaque)
{
	say(opaque, "P.start");
}

static int add_consumer(void *opaque, struct vmirq_consumer *consumer)
{
	struct side *side = opaque;

	assert_int_equal(vmirq_consumer_token(consumer), side->token);
	side->peer = consumer;
	say(side, "P.add");
	return side->fail;
}

static void del_consumer(void *opaque, struct vmirq_consumer *consumer)
{
	struct side *side = opaque;

	if (side->has & HAS_ADD)
		assert_ptr_equal(side->peer, consumer);
	side->peer = NULL;
	say(side, "P.del");
}

static int set_target(void *opaque, void *target)
{
	struct side *side = opaque;

	say(side, target ? "P.target" : "P.fall_back");
	side->target = target;
	return 0;
}

static void consumer_stop(void *opaque)
{
	say(opaque, "C.stop");
}

static void consumer_start(void *opaque)
{
	say(opaque, "C.start");
}

static int add_producer(void *opaque, struct vmirq_producer *producer)
{
	struct side *side = opaque;

	assert_int_equal(vmirq_producer_token(producer), side->token);
	side->peer = producer;
	side->producer_met = producer;
	say(side, "C.add");
	return side->fail;
}

static void del_producer(void *opaque, struct vmirq_producer *producer)
{
	struct side *side = opaque;

	assert_ptr_equal(side->peer, producer);
	say(side, "C.del");
	side->peer = NULL;
}

int register_producer(struct side *side)
{
	struct vmirq_producer_config config = {
		.size = sizeof(config),
		.token = side->token,
		.opaque = side,
		.stop = side->has & HAS_STOP ? producer_stop : NULL,
		.start = side->has & HAS_START ? producer_start : NULL,
		.add_consumer = side->has & HAS_ADD ? add_consumer : NULL,
		.del_consumer = side->has & HAS_DEL ? del_consumer : NULL,
		.set_target = side->has & HAS_TARGET ? set_target : NULL,
	};

	return vmirq_producer_register(manager, &config, &side->producer);
}

int register_consumer(struct side *side)
{
	struct vmirq_consumer_config config = {
		.size = sizeof(config),
		.token = side->token,
		.opaque = side,
		.stop = side->has & HAS_STOP ? consumer_stop : NULL,
		.start = side->has & HAS_START ? consumer_start : NULL,
		.add_producer = side->has & HAS_ADD ? add_producer : NULL,
		.del_producer = side->has & HAS_DEL ? del_producer : NULL,
	};

	return vmirq_consumer_register(manager, &config, &side->consumer);
}

int unregister_producer(struct side *side)
{
	int error = vmirq_producer_unregister(side->producer);

	if (!error)
		side->producer = NULL;
	return error;
}

int unregister_consumer(struct side *side)
{
	int error = vmirq_consumer_unregister(side->consumer);

	if (!error)
		side->consumer = NULL;
	return error;
}
