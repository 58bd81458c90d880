/* SPDX-License-Identifier: MIT */
/* Doorbells that are the kernel's: the ioctl, and remembering what has been assigned by it. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/ioctl.h>

#include "base/no_cancel.h"
#include "irqfd/ioeventfd.h"

static int ask(struct ioeventfd_table *table, const struct kvm_ioeventfd *args)
{
	struct kvm_ioeventfd copy = *args;

	return ioctl(table->kernel, KVM_IOEVENTFD, &copy) < 0 ? -errno : 0;
}

static void take_back(struct ioeventfd_table *table, const struct doorbell *bell, int fd)
{
	struct kvm_ioeventfd args = bell->args;

	args.flags |= KVM_IOEVENTFD_FLAG_DEASSIGN;
	args.fd = fd;
	ask(table, &args);
}

static void drop(struct doorbell *bell)
{
	no_cancel_close(bell->fd);
	free(bell);
}

void vmirq_doorbell_free_kernel(struct ioeventfd_table *table, struct doorbell *bell)
{
	take_back(table, bell, bell->fd);
	drop(bell);
}

static int assign_locked(struct ioeventfd_table *table, struct doorbell *bell)
{
	struct doorbell_array *array =
		atomic_load_explicit(&table->array[bell->bus], memory_order_relaxed);
	struct doorbell_array *more = vmirq_doorbell_with(array, bell);
	int error;

	if (!more)
		return -ENOMEM;
	error = ask(table, &bell->args);
	if (error) {
		free(more);
		return error;
	}
	atomic_store_explicit(&table->array[bell->bus], more, memory_order_relaxed);
	free(array);
	return 0;
}

/* There is no duplicate to be had, but what is wrong with the rest is said first. */
static int refuse(struct ioeventfd_table *table, struct doorbell *bell, int why)
{
	int error = ask(table, &bell->args);

	if (!error)
		take_back(table, bell, bell->args.fd);
	return error ? error : why;
}

int vmirq_ioeventfd_assign_kernel(struct ioeventfd_table *table, struct doorbell *bell)
{
	int error;

	bell->fd = fcntl(bell->args.fd, F_DUPFD_CLOEXEC, 0);
	if (bell->fd < 0)
		return refuse(table, bell, -errno);
	bell->args.fd = bell->fd;
	pthread_mutex_lock(&table->mutex);
	error = assign_locked(table, bell);
	pthread_mutex_unlock(&table->mutex);
	if (error)
		no_cancel_close(bell->fd);
	return error;
}

/* Nobody reads it but under the mutex: so in place, which cannot fail. */
static void forget(struct doorbell_array *array, const struct doorbell_key *key)
{
	size_t index = 0;
	struct doorbell *bell = vmirq_doorbell_find(array, key, &index);

	if (!bell)
		return; /* the VMM's own, by its own ioctl */
	array->n--;
	for (size_t i = index; i < array->n; i++)
		array->at[i] = array->at[i + 1];
	drop(bell);
}

int vmirq_ioeventfd_deassign_kernel(struct ioeventfd_table *table, const struct doorbell *like)
{
	int error;

	pthread_mutex_lock(&table->mutex);
	error = ask(table, &like->args);
	if (!error)
		forget(atomic_load_explicit(&table->array[like->bus], memory_order_relaxed),
		       &like->key);
	pthread_mutex_unlock(&table->mutex);
	return error;
}
