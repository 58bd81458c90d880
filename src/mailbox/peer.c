// SPDX-License-Identifier: MIT
/* The socket that the device's life is known by, and sending over one. */
#include "mailbox/mailbox.h"

#include <errno.h>
#include <sys/epoll.h>

#include "base/no_cancel.h"
#include "base/reader.h"

int vmirq_mailbox_send(const struct vmirq_mailbox *mailbox, int socket)
{
	struct vmirq_mailbox_hello hello = { .magic = VMIRQ_MAILBOX_MAGIC,
					     .version = VMIRQ_MAILBOX_VERSION };
	struct iovec part = { .iov_base = &hello, .iov_len = sizeof(hello) };
	union {
		char bytes[CMSG_SPACE(2 * sizeof(int))];
		struct cmsghdr align;
	} control = { .bytes = { 0 } };
	struct msghdr message = { .msg_iov = &part,
				  .msg_iovlen = 1,
				  .msg_control = control.bytes,
				  .msg_controllen = sizeof(control.bytes) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&message);
	int fds[2];
	ssize_t n;

	if (!mailbox)
		return -EINVAL;
	fds[0] = mailbox->memfd;
	fds[1] = mailbox->doorbell;
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(fds));
	memcpy(CMSG_DATA(c), fds, sizeof(fds));
	n = sendmsg(socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n < 0)
		return -errno;
	return n == (ssize_t)sizeof(hello) ? 0 : -EPROTO;
}

/* The pump's callback: in a read section. */
static bool peer_ready(void *opaque)
{
	struct vmirq_mailbox *mailbox = opaque;
	struct pollfd p = { .fd = mailbox->peer, .events = POLLRDHUP };

	if (no_cancel_look(&p) <= 0 || !(p.revents & (POLLRDHUP | POLLHUP | POLLERR)) ||
	    atomic_exchange_explicit(&mailbox->dead, true, memory_order_relaxed))
		return false;
	/* It may have died between a bit and the doorbell. */
	vmirq_mailbox_turn(mailbox);
	if (mailbox->peer_dead)
		mailbox->peer_dead(mailbox->peer_opaque);
	return true;
}

void vmirq_mailbox_unwatch(struct vmirq_mailbox *mailbox)
{
	if (mailbox->peer < 0)
		return;
	vmirq_pump_remove(mailbox->pump, mailbox->peer_entry);
	no_cancel_close(mailbox->peer);
	mailbox->peer = -1;
}

static int adopt(int socket, int *out)
{
	int type, fd;
	socklen_t len = sizeof(type);

	if (getsockopt(socket, SOL_SOCKET, SO_TYPE, &type, &len) < 0)
		return errno == ENOTSOCK ? -EINVAL : -errno;
	fd = fcntl(socket, F_DUPFD_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	*out = fd;
	return 0;
}

/* config_mutex is held. */
static int watch(struct vmirq_mailbox *mailbox, int fd, void (*dead)(void *opaque), void *opaque)
{
	int error;

	vmirq_mailbox_unwatch(mailbox);
	atomic_store_explicit(&mailbox->dead, false, memory_order_relaxed);
	if (fd < 0)
		return 0;
	mailbox->peer = fd;
	mailbox->peer_dead = dead;
	mailbox->peer_opaque = opaque;
	error = vmirq_pump_add(mailbox->pump, fd, peer_ready, mailbox, &mailbox->peer_entry);
	if (error)
		mailbox->peer = -1;
	else
		/* What is sent over it is not ours to be woken for. */
		vmirq_pump_set_events(mailbox->pump, mailbox->peer_entry, EPOLLRDHUP | EPOLLET);
	return error;
}

int vmirq_mailbox_watch(struct vmirq_mailbox *mailbox, int socket, void (*dead)(void *opaque),
			void *opaque)
{
	int fd = -1, error = 0;

	if (!mailbox || socket < -1)
		return mailbox ? -EBADF : -EINVAL;
	if (reader_inside())
		return -EDEADLK;
	if (socket >= 0)
		error = adopt(socket, &fd);
	if (error)
		return error;
	pthread_mutex_lock(&mailbox->config_mutex);
	error = watch(mailbox, fd, dead, opaque);
	pthread_mutex_unlock(&mailbox->config_mutex);
	if (error && fd >= 0)
		no_cancel_close(fd);
	return error;
}
