/* SPDX-License-Identifier: MIT */
/*
 * Each irqfd with an eventfd is a consumer of its VM's bypass manager, by the eventfd's token. To a
 * producer it gives itself, never a raw target: whether a signal then posts or goes the irqfd's longer
 * way is decided by its copy of the route at each signal, so a route that stops being postable needs no
 * word to the producer, and one that becomes so again neither. Where the kernel reads the eventfd the producer
 * keeps to that: the kernel's way is shorter. Who reads it the producer sees in the irqfd, at each signal, too.
 */
#include "irqfd/bypass.h"

#include <vmirq/bypass.h>

#include "base/reader.h"
#include "base/vm.h"
#include "bypass/end.h"
#include "bypass/manager.h"
#include "irqfd/irqfd.h"

static int add_producer(void *opaque, struct vmirq_producer *producer)
{
	struct vmirq_irqfd *irqfd = opaque;

	if (!vmirq_producer_set_target(producer, irqfd))
		irqfd->source->joined = true;
	return 0;
}

static void del_producer(void *opaque, struct vmirq_producer *producer)
{
	(void)opaque;
	vmirq_producer_set_target(producer, NULL);
}

/* Those whose pair this is; NULL: it is no irqfd's. It does not go while its callback runs. */
static const struct vmirq_irqfd *called_for(const struct bypass_call *call)
{
	return call->consumer->add_producer == add_producer ? call->consumer->opaque : NULL;
}

bool vmirq_irqfd_in_callback(const struct vmirq_irqfd *irqfd)
{
	for (const struct bypass_call *c = vmirq_bypass_calls; c; c = c->outer)
		if (called_for(c) == irqfd)
			return true;
	return false;
}

bool vmirq_irqfd_in_callback_of_token(uint64_t token)
{
	for (const struct bypass_call *c = vmirq_bypass_calls; c; c = c->outer)
		if (called_for(c) && vmirq_consumer_token(c->consumer) == token)
			return true;
	return false;
}

bool vmirq_irqfd_in_callback_of_table(const struct irqfd_table *table)
{
	for (const struct bypass_call *c = vmirq_bypass_calls; c; c = c->outer)
		if (called_for(c) && called_for(c)->table == table)
			return true;
	return false;
}

static void enter(struct vmirq_irqfd *irqfd)
{
	struct irqfd_source *source = irqfd->source;
	struct vmirq_consumer_config config = {
		.size = sizeof(config),
		.opaque = irqfd,
		.add_producer = add_producer,
		.del_producer = del_producer,
	};

	/* Whatever it fails with, the eventfd goes on. */
	if (vmirq_eventfd_name(&source->binding, &config.token) ||
	    vmirq_consumer_register(irqfd->table->bypass, &config, &source->consumer))
		source->consumer = NULL;
}

/* These hold the table's mutex. */

static void put_apart(struct irqfd_table *table, struct vmirq_irqfd *irqfd)
{
	struct irqfd_source *source = irqfd->source;

	source->irqfd = irqfd;
	source->next = table->apart;
	source->link = &table->apart;
	if (table->apart)
		table->apart->link = &source->next;
	table->apart = source;
}

static void take_from_apart(struct irqfd_source *source)
{
	*source->link = source->next;
	if (source->next)
		source->next->link = source->link;
	source->link = NULL;
}

/* Those that were bound before there was a manager. Callbacks run: the mutex is not held meanwhile, and
 * who deassigns one of them waits. */
static void enter_all(struct irqfd_table *table)
{
	while (table->apart) {
		struct irqfd_source *source = table->apart;

		take_from_apart(source);
		source->entering = true;
		pthread_mutex_unlock(&table->mutex);
		enter(source->irqfd);
		pthread_mutex_lock(&table->mutex);
		source->entering = false;
		waiters_wake(&table->settling);
	}
}

/* Without a manager there are no producers either, and its token is not wanted yet. */
bool vmirq_irqfd_expect_bypass(struct irqfd_table *table, struct vmirq_irqfd *const *irqfds,
			       size_t n)
{
	bool expected;

	pthread_mutex_lock(&table->mutex);
	expected = !table->bypass;
	for (size_t i = 0; i < n && expected; i++)
		if (irqfds[i]->source && !irqfds[i]->source->no_bypass)
			put_apart(table, irqfds[i]);
	pthread_mutex_unlock(&table->mutex);
	return expected;
}

void vmirq_irqfd_enter_bypass(struct vmirq_irqfd *irqfd)
{
	if (!irqfd->source || irqfd->source->no_bypass)
		return;
	if (!vmirq_irqfd_expect_bypass(irqfd->table, &irqfd, 1))
		enter(irqfd);
}

void vmirq_irqfd_leave_bypass(struct vmirq_irqfd *irqfd)
{
	struct irqfd_source *source = irqfd->source;

	if (!source)
		return;
	pthread_mutex_lock(&irqfd->table->mutex);
	if (source->link)
		take_from_apart(source);
	while (source->entering)
		vmirq_wait_mutex(&irqfd->table->settling, &irqfd->table->mutex);
	pthread_mutex_unlock(&irqfd->table->mutex);
	if (!source->consumer)
		return;
	/* No -EDEADLK: it is not in a callback of its pair. */
	vmirq_consumer_unregister(source->consumer);
	source->consumer = NULL;
	/* Signals that were given to the irqfd find it still there; later ones go to the eventfd. */
	if (source->joined)
		vmirq_reader_wait();
	source->joined = false;
}

struct vmirq_bypass *vmirq_irqfd_bypass(struct irqfd_table *table)
{
	struct vmirq_bypass *bypass;

	pthread_mutex_lock(&table->mutex);
	if (!table->bypass && !vmirq_bypass_create(&table->bypass))
		table->own_bypass = true;
	if (table->bypass)
		enter_all(table);
	bypass = table->bypass;
	pthread_mutex_unlock(&table->mutex);
	return bypass;
}

struct vmirq_bypass *vmirq_vm_bypass(struct vmirq_vm *vm)
{
	return vm ? vmirq_irqfd_bypass(vm->irqfds) : NULL;
}

static void count_consumer(struct vmirq_irqfd *irqfd, void *opaque)
{
	size_t *ours = opaque;

	*ours += irqfd->source && irqfd->source->consumer;
}

bool vmirq_irqfd_bypass_used(const struct irqfd_table *table)
{
	size_t ours = 0;

	if (!table->own_bypass)
		return false;
	vmirq_irqfd_for_each(table, count_consumer, &ours);
	return vmirq_bypass_ends(table->bypass) > ours;
}
