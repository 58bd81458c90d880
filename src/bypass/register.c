/* SPDX-License-Identifier: MIT */
#include <errno.h>

#include "base/options.h"
#include "bypass/end.h"
#include "bypass/manager.h"

/* As they were in the first release. */
#define PRODUCER_LEAST sizeof(struct vmirq_producer_config)
#define CONSUMER_LEAST sizeof(struct vmirq_consumer_config)

int vmirq_producer_register(struct vmirq_bypass *bypass, const struct vmirq_producer_config *caller,
			    struct vmirq_producer **out)
{
	struct vmirq_producer_config config;
	struct vmirq_producer producer;
	struct bypass_end *end;
	int error;

	if (!bypass || !caller)
		return -EINVAL;
	error = options_copy(&config, sizeof(config), PRODUCER_LEAST, caller, caller->size);
	if (error)
		return error;
	if (!config.token)
		return -EINVAL;
	producer = (struct vmirq_producer){
		.end = { .token = config.token, .kind = BYPASS_PRODUCER },
		.opaque = config.opaque,
		.stop = config.stop,
		.start = config.start,
		.add_consumer = config.add_consumer,
		.del_consumer = config.del_consumer,
		.set_target = config.set_target,
	};
	error = vmirq_bypass_enter(bypass, &producer.end, &end);
	if (!error && out)
		*out = (struct vmirq_producer *)end;
	return error;
}

int vmirq_consumer_register(struct vmirq_bypass *bypass, const struct vmirq_consumer_config *caller,
			    struct vmirq_consumer **out)
{
	struct vmirq_consumer_config config;
	struct vmirq_consumer consumer;
	struct bypass_end *end;
	int error;

	if (!bypass || !caller)
		return -EINVAL;
	error = options_copy(&config, sizeof(config), CONSUMER_LEAST, caller, caller->size);
	if (error)
		return error;
	if (!config.token || !config.add_producer || !config.del_producer)
		return -EINVAL;
	consumer = (struct vmirq_consumer){
		.end = { .token = config.token, .kind = BYPASS_CONSUMER },
		.opaque = config.opaque,
		.stop = config.stop,
		.start = config.start,
		.add_producer = config.add_producer,
		.del_producer = config.del_producer,
	};
	error = vmirq_bypass_enter(bypass, &consumer.end, &end);
	if (!error && out)
		*out = (struct vmirq_consumer *)end;
	return error;
}

int vmirq_producer_unregister(struct vmirq_producer *producer)
{
	return producer ? vmirq_bypass_leave(&producer->end) : 0;
}

int vmirq_consumer_unregister(struct vmirq_consumer *consumer)
{
	return consumer ? vmirq_bypass_leave(&consumer->end) : 0;
}

int vmirq_producer_unregister_token(struct vmirq_bypass *bypass, uint64_t token)
{
	return bypass ? vmirq_bypass_leave_token(bypass, BYPASS_PRODUCER, token) : -EINVAL;
}

int vmirq_consumer_unregister_token(struct vmirq_bypass *bypass, uint64_t token)
{
	return bypass ? vmirq_bypass_leave_token(bypass, BYPASS_CONSUMER, token) : -EINVAL;
}

int vmirq_producer_set_target(struct vmirq_producer *producer, void *target)
{
	int error;

	if (!producer)
		return -EINVAL;
	if (!producer->set_target)
		return -EOPNOTSUPP;
	error = producer->set_target(producer->opaque, target);
	return error > 0 ? -EIO : error;
}

uint64_t vmirq_producer_token(const struct vmirq_producer *producer)
{
	return producer->end.token;
}

uint64_t vmirq_consumer_token(const struct vmirq_consumer *consumer)
{
	return consumer->end.token;
}
