/* SPDX-License-Identifier: MIT */
#include <errno.h>

#include "bypass/end.h"
#include "bypass/manager.h"

__thread const struct bypass_call *vmirq_bypass_calls;

static void stop_both(struct vmirq_producer *producer, struct vmirq_consumer *consumer)
{
	if (producer->stop)
		producer->stop(producer->opaque);
	if (consumer->stop)
		consumer->stop(consumer->opaque);
}

static void start_both(struct vmirq_producer *producer, struct vmirq_consumer *consumer)
{
	if (consumer->start)
		consumer->start(consumer->opaque);
	if (producer->start)
		producer->start(producer->opaque);
}

static int add_both(struct vmirq_producer *producer, struct vmirq_consumer *consumer)
{
	int error = 0;

	if (producer->add_consumer)
		error = producer->add_consumer(producer->opaque, consumer);
	if (error)
		return error;
	error = consumer->add_producer(consumer->opaque, producer);
	if (error && producer->del_consumer)
		producer->del_consumer(producer->opaque, consumer);
	return error;
}

int vmirq_bypass_connect(struct vmirq_producer *producer, struct vmirq_consumer *consumer)
{
	const struct bypass_call call = { .consumer = consumer, .outer = vmirq_bypass_calls };
	int error;

	vmirq_bypass_calls = &call;
	stop_both(producer, consumer);
	error = add_both(producer, consumer);
	start_both(producer, consumer);
	vmirq_bypass_calls = call.outer;
	return error > 0 ? -EIO : error;
}

void vmirq_bypass_disconnect(struct vmirq_producer *producer, struct vmirq_consumer *consumer)
{
	const struct bypass_call call = { .consumer = consumer, .outer = vmirq_bypass_calls };

	vmirq_bypass_calls = &call;
	stop_both(producer, consumer);
	consumer->del_producer(consumer->opaque, producer);
	if (producer->del_consumer)
		producer->del_consumer(producer->opaque, consumer);
	start_both(producer, consumer);
	vmirq_bypass_calls = call.outer;
}
