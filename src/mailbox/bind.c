// SPDX-License-Identifier: MIT
/* What a bit leads to: the VMM's, and unknown to the device. */
#include "mailbox/mailbox.h"

#include <errno.h>

#include "base/reader.h"
#include "irqfd/irqfd.h"

/* config_mutex is held, and the bit is free. */
static void open_bit(struct vmirq_mailbox *mailbox, uint32_t i, struct vmirq_irqfd *irqfd, bool own)
{
	mailbox->bit[i].own = own;
	/* I in mailbox.h; the fence, and J, are in the look. */
	atomic_store(&mailbox->bit[i].irqfd, irqfd);
	vmirq_mailbox_look(mailbox);
}

static bool is_bound(const struct vmirq_mailbox *mailbox, uint32_t i)
{
	return atomic_load_explicit(&mailbox->bit[i].irqfd, memory_order_relaxed);
}

int vmirq_mailbox_bind(struct vmirq_mailbox *mailbox, uint32_t i, uint32_t gsi)
{
	struct vmirq_irqfd_config config = { .size = sizeof(config), .gsi = gsi, .eventfd = -1 };
	struct vmirq_irqfd *irqfd;
	int error = -EBUSY;

	if (!mailbox || i >= mailbox->count)
		return -EINVAL;
	if (reader_inside())
		return -EDEADLK;
	pthread_mutex_lock(&mailbox->config_mutex);
	if (!is_bound(mailbox, i))
		error = vmirq_irqfd_assign(mailbox->vm, &config, &irqfd);
	if (!error)
		open_bit(mailbox, i, irqfd, true);
	pthread_mutex_unlock(&mailbox->config_mutex);
	return error;
}

int vmirq_mailbox_bind_irqfd(struct vmirq_mailbox *mailbox, uint32_t i, struct vmirq_irqfd *irqfd)
{
	int error = 0;

	if (!mailbox || !irqfd || i >= mailbox->count || irqfd->table->vm != mailbox->vm)
		return -EINVAL;
	if (reader_inside())
		return -EDEADLK;
	pthread_mutex_lock(&mailbox->config_mutex);
	if (is_bound(mailbox, i))
		error = -EBUSY;
	else
		open_bit(mailbox, i, irqfd, false);
	pthread_mutex_unlock(&mailbox->config_mutex);
	return error;
}

/* Sweeps that found it are through. */
static void let_go(const struct mailbox_bit *bit, struct vmirq_irqfd *irqfd)
{
	if (irqfd && bit->own)
		vmirq_irqfd_deassign(irqfd);
}

int vmirq_mailbox_unbind(struct vmirq_mailbox *mailbox, uint32_t i)
{
	struct vmirq_irqfd *irqfd;
	int error = -ENOENT;

	if (!mailbox || i >= mailbox->count)
		return -EINVAL;
	if (reader_inside())
		return -EDEADLK;
	pthread_mutex_lock(&mailbox->config_mutex);
	if (is_bound(mailbox, i)) {
		/* What was raised before the call. */
		vmirq_mailbox_look(mailbox);
		irqfd = atomic_exchange(&mailbox->bit[i].irqfd, NULL);
		vmirq_reader_wait();
		let_go(&mailbox->bit[i], irqfd);
		error = 0;
	}
	pthread_mutex_unlock(&mailbox->config_mutex);
	return error;
}

void vmirq_mailbox_unbind_all(struct vmirq_mailbox *mailbox)
{
	struct vmirq_irqfd *irqfd;

	for (uint32_t i = 0; i < mailbox->count; i++) {
		irqfd = atomic_load_explicit(&mailbox->bit[i].irqfd, memory_order_relaxed);
		atomic_store_explicit(&mailbox->bit[i].irqfd, NULL, memory_order_relaxed);
		let_go(&mailbox->bit[i], irqfd);
	}
}
