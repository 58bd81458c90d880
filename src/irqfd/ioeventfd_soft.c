/* SPDX-License-Identifier: MIT */
/* Doorbells that are found here. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/no_cancel.h"
#include "base/reader.h"
#include "irqfd/eventfd.h"
#include "irqfd/ioeventfd.h"
#include "pump/guard.h"

static void ring(struct doorbell *bell)
{
	const uint64_t one = 1;

	if (bell->guarded) {
		vmirq_guard_ring(bell->guarded);
		return;
	}
	while (no_cancel_write(bell->fd, &one, sizeof(one)) < 0 && errno == EINTR)
		;
}

bool vmirq_ioeventfd_write(struct ioeventfd_table *table, enum doorbell_bus bus, uint64_t addr,
			   const void *data, uint32_t len)
{
	uint64_t value = 0;
	struct doorbell *bell;
	struct reader *section;

	/* Before the section, and only whether there is one: it costs a fence. */
	if (table->kernel >= 0 || !len ||
	    !atomic_load_explicit(&table->array[bus], memory_order_relaxed))
		return false;
	memcpy(&value, data, len < sizeof(value) ? len : sizeof(value));
	section = reader_enter();
	/* Acquire: pairs with the release in exchange(). */
	bell = vmirq_doorbell_match(atomic_load_explicit(&table->array[bus], memory_order_acquire),
				    addr, len, value);
	if (bell)
		ring(bell);
	reader_exit(section);
	return bell != NULL;
}

static void disown(struct doorbell *bell)
{
	vmirq_guard_remove(bell->guarded);
	if (bell->fd >= 0)
		no_cancel_close(bell->fd);
	bell->guarded = NULL;
	bell->fd = -1;
}

void vmirq_doorbell_free_soft(struct doorbell *bell)
{
	disown(bell);
	free(bell);
}

/* Our own duplicate, known to be an eventfd. */
static int adopt(struct fd_guard *guard, struct doorbell *bell,
		 const struct vmirq_ioeventfd_config *config)
{
	int how = fcntl(config->kernel.fd, F_GETFL), error = 0;

	/* An O_PATH descriptor can be duplicated, but to the kernel it is none. */
	if (how < 0 || (how & O_PATH))
		return -EBADF;
	bell->fd = fcntl(config->kernel.fd, F_DUPFD_CLOEXEC, 0);
	if (bell->fd < 0)
		return -errno;
	bell->token = config->token;
	if (!bell->token)
		error = vmirq_eventfd_token(bell->fd, &bell->token);
	if (!error && !(config->flags & VMIRQ_IOEVENTFD_TRUSTED)) {
		error = vmirq_guard_add(guard, bell->fd, &bell->guarded);
		if (!error)
			bell->fd = -1;
	}
	if (error)
		disown(bell);
	return error;
}

/* The mutex is held. Returns the old array, to be freed after a grace period. */
static struct doorbell_array *exchange(struct ioeventfd_table *table, enum doorbell_bus bus,
				       struct doorbell_array *array)
{
	struct doorbell_array *old = atomic_load_explicit(&table->array[bus], memory_order_relaxed);

	/* Pairs with the acquire in vmirq_ioeventfd_write(). */
	atomic_store_explicit(&table->array[bus], array, memory_order_release);
	return old;
}

static int insert(struct ioeventfd_table *table, struct doorbell *bell, struct doorbell_array **old)
{
	struct doorbell_array *array, *more;
	int error = 0;

	pthread_mutex_lock(&table->mutex);
	array = atomic_load_explicit(&table->array[bell->bus], memory_order_relaxed);
	if (vmirq_doorbell_collides(array, &bell->key)) {
		error = -EEXIST;
	} else {
		more = vmirq_doorbell_with(array, bell);
		if (more)
			*old = exchange(table, bell->bus, more);
		else
			error = -ENOMEM;
	}
	pthread_mutex_unlock(&table->mutex);
	return error;
}

int vmirq_ioeventfd_assign_soft(struct ioeventfd_table *table, struct doorbell *bell,
				const struct vmirq_ioeventfd_config *config)
{
	struct doorbell_array *old = NULL;
	int error = adopt(table->guard, bell, config);

	if (error)
		return error;
	error = insert(table, bell, &old);
	if (error) {
		disown(bell);
		return error;
	}
	if (old)
		vmirq_reader_wait();
	free(old);
	return 0;
}

static int take_out(struct ioeventfd_table *table, const struct doorbell *like,
		    struct doorbell **bell, struct doorbell_array **old)
{
	struct doorbell_array *array, *rest;
	size_t index = 0;
	int error;

	pthread_mutex_lock(&table->mutex);
	array = atomic_load_explicit(&table->array[like->bus], memory_order_relaxed);
	*bell = vmirq_doorbell_find(array, &like->key, &index);
	if (!*bell || (*bell)->token != like->token)
		error = -ENOENT;
	else
		error = vmirq_doorbell_without(array, index, &rest);
	if (!error)
		*old = exchange(table, like->bus, rest);
	pthread_mutex_unlock(&table->mutex);
	return error;
}

int vmirq_ioeventfd_deassign_soft(struct ioeventfd_table *table, const struct doorbell *like,
				  const struct vmirq_ioeventfd_config *config)
{
	struct doorbell wanted = *like, *bell;
	struct doorbell_array *old;
	int error = 0;

	wanted.token = config->token;
	if (!wanted.token)
		error = vmirq_eventfd_token(config->kernel.fd, &wanted.token);
	if (!error)
		error = take_out(table, &wanted, &bell, &old);
	if (error)
		return error;
	vmirq_reader_wait();
	free(old);
	vmirq_doorbell_free_soft(bell);
	return 0;
}
