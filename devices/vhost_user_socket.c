// SPDX-License-Identifier: MIT
#include "vhost_user_socket.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

int64_t socket_now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static int wait_for(int fd, short events, int64_t deadline)
{
	struct pollfd pfd = { .fd = fd, .events = events };

	for (;;) {
		int64_t left = deadline - socket_now_ms();
		int n;

		if (left <= 0)
			return -ETIMEDOUT;
		n = poll(&pfd, 1, left > 3600000 ? 3600000 : (int)left);
		if (n > 0)
			return 0;
		if (n < 0 && errno != EINTR)
			return -errno;
	}
}

/* A peer that is gone is one error, however the kernel learnt of it. */
static int socket_error(int error)
{
	return error == EPIPE || error == ENOTCONN ? -ECONNRESET : -error;
}

int socket_send(int fd, const void *data, size_t size, const int *fds, size_t n_fds,
		int64_t deadline)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int) * SOCKET_FDS_MAX)];
		struct cmsghdr align;
	} control = { 0 };
	struct iovec iov = { .iov_base = (void *)(uintptr_t)data, .iov_len = size };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (n_fds > SOCKET_FDS_MAX)
		return -EINVAL;
	if (n_fds) {
		struct cmsghdr *cmsg;

		msg.msg_control = control.bytes;
		msg.msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);
		cmsg = CMSG_FIRSTHDR(&msg);
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(sizeof(int) * n_fds);
		memcpy(CMSG_DATA(cmsg), fds, sizeof(int) * n_fds);
	}
	while (iov.iov_len) {
		ssize_t n = sendmsg(fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n >= 0) {
			iov.iov_base = (char *)iov.iov_base + n;
			iov.iov_len -= (size_t)n;
			/* The descriptors went with the first byte. */
			msg.msg_control = NULL;
			msg.msg_controllen = 0;
		} else if (errno == EAGAIN) {
			int ret = wait_for(fd, POLLOUT, deadline);

			if (ret)
				return ret;
		} else if (errno != EINTR) {
			return socket_error(errno);
		}
	}
	return 0;
}

int socket_receive(int fd, void *data, size_t size, int64_t deadline)
{
	char *to = data;

	while (size) {
		ssize_t n = recv(fd, to, size, MSG_DONTWAIT);

		if (n > 0) {
			to += n;
			size -= (size_t)n;
		} else if (n == 0) {
			return -ECONNRESET;
		} else if (errno == EAGAIN) {
			int ret = wait_for(fd, POLLIN, deadline);

			if (ret)
				return ret;
		} else if (errno != EINTR) {
			return socket_error(errno);
		}
	}
	return 0;
}
