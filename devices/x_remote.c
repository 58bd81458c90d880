// SPDX-License-Identifier: MIT
#include "x_remote.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vhost_user_socket.h"

enum command {
	SYNC_SYSMEM = 0,
	RET = 1,
	CONFIG_WRITE = 2,
	CONFIG_READ = 3,
	BAR_WRITE = 4,
	BAR_READ = 5,
	SET_IRQFD = 6,
};

struct header {
	int32_t command;
	uint32_t padding;
	uint64_t size;
};

#define REGIONS_MAX 8

struct memory_message {
	uint64_t gpa[REGIONS_MAX];
	uint64_t size[REGIONS_MAX];
	uint64_t offset[REGIONS_MAX];
};

struct config_message {
	uint32_t offset;
	uint32_t value;
	uint32_t size;
};

struct bar_message {
	uint64_t address;
	uint64_t value;
	uint32_t size;
	uint8_t memory;
	uint8_t padding[3];
};

_Static_assert(sizeof(struct header) == 16, "as QEMU's on x86-64");
_Static_assert(sizeof(struct config_message) == 12, "as QEMU's on x86-64");
_Static_assert(sizeof(struct bar_message) == 24, "as QEMU's on x86-64");

#define CONFIG_SPACE 4096
/* What QEMU answers to an access that failed. */
#define ANSWER_FAILED UINT64_MAX

int x_remote_attach(struct x_remote *remote, int fd, int death_fd, int timeout_ms)
{
	*remote = (struct x_remote){ .fd = fd, .death_fd = death_fd, .timeout_ms = timeout_ms };
	pthread_mutex_init(&remote->lock, NULL);
	if (fcntl(fd, F_SETFD, FD_CLOEXEC) == 0)
		return 0;
	remote->error = -errno;
	x_remote_close(remote);
	return remote->error;
}

void x_remote_close(struct x_remote *remote)
{
	if (remote->fd < 0)
		return;
	close(remote->fd);
	remote->fd = -1;
	pthread_mutex_destroy(&remote->lock);
}

void x_remote_set_timeout(struct x_remote *remote, int timeout_ms)
{
	pthread_mutex_lock(&remote->lock);
	remote->timeout_ms = timeout_ms;
	pthread_mutex_unlock(&remote->lock);
}

/* Before a question nothing may be there to read, or it would pass for the answer. */
static int check_quiet(struct x_remote *remote)
{
	char byte;
	ssize_t n = recv(remote->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);

	if (n > 0)
		return -EPROTO;
	return n < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : -ECONNRESET;
}

/* Until `fd` is ready. A dead process may leave its socket open in another one; and of an eventfd
 * nobody learns at all that the other side is gone, but by the socket. */
static int wait_for(struct x_remote *remote, int fd, short events, int64_t deadline)
{
	struct pollfd pfd[3] = {
		{ .fd = fd, .events = events },
		{ .fd = remote->death_fd, .events = POLLIN },
		{ .fd = fd == remote->fd ? -1 : remote->fd, .events = POLLIN | POLLRDHUP },
	};

	for (;;) {
		int64_t left = deadline - socket_now_ms();
		int ret, n = poll(pfd, 3, left > 0 ? (int)left : 0);

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0 && pfd[0].revents)
			return 0;
		if (n > 0) {
			ret = pfd[2].revents ? check_quiet(remote) : 0;
			return ret ? ret : -ECONNRESET;
		}
		if (left <= 0)
			return -ETIMEDOUT;
	}
}

/* Ends in an answer exactly as expected, or an error. */
static int receive_answer(struct x_remote *remote, uint64_t *answer, int64_t deadline)
{
	struct header header;
	int ret = wait_for(remote, remote->fd, POLLIN, deadline);

	if (!ret)
		ret = socket_receive(remote->fd, &header, sizeof(header), deadline);
	if (ret)
		return ret;
	if (header.command != RET || header.size != sizeof(*answer))
		return -EPROTO;
	return socket_receive(remote->fd, answer, sizeof(*answer), deadline);
}

/* `answer` NULL: this command has none. */
static int exchange_locked(struct x_remote *remote, enum command command, const void *payload,
			   size_t size, const int *fds, size_t n_fds, uint64_t *answer)
{
	char message[sizeof(struct header) + sizeof(struct memory_message)];
	struct header header = { .command = (int32_t)command, .size = size };
	int64_t deadline = socket_now_ms() + remote->timeout_ms;
	int ret = check_quiet(remote);

	if (ret)
		return ret;
	memcpy(message, &header, sizeof(header));
	if (size)
		memcpy(message + sizeof(header), payload, size);
	ret = socket_send(remote->fd, message, sizeof(header) + size, fds, n_fds, deadline);
	if (ret || !answer)
		return ret;
	return receive_answer(remote, answer, deadline);
}

/* An answer above `limit`, other than that of a failure, is none that the device can have given. */
static int exchange(struct x_remote *remote, enum command command, const void *payload, size_t size,
		    const int *fds, size_t n_fds, uint64_t *answer, uint64_t limit)
{
	int ret;

	pthread_mutex_lock(&remote->lock);
	if (!remote->error) {
		ret = exchange_locked(remote, command, payload, size, fds, n_fds, answer);
		if (!ret && answer && *answer > limit && *answer != ANSWER_FAILED)
			ret = -EPROTO;
		remote->error = ret;
	}
	ret = remote->error;
	pthread_mutex_unlock(&remote->lock);
	if (!ret && answer && *answer > limit)
		return -EIO;
	return ret;
}

int x_remote_set_memory(struct x_remote *remote, int memory_fd, uint64_t size)
{
	struct memory_message message = { .size = { size } };

	return exchange(remote, SYNC_SYSMEM, &message, sizeof(message), &memory_fd, 1, NULL, 0);
}

int x_remote_set_irqfd(struct x_remote *remote, int intr, int resample)
{
	uint64_t full = UINT64_MAX - 1;
	int fds[2] = { intr, resample };
	int ret;

	if (write(resample, &full, sizeof(full)) != sizeof(full))
		return -EINVAL;
	ret = exchange(remote, SET_IRQFD, NULL, 0, fds, 2, NULL, 0);
	if (ret)
		return ret;
	pthread_mutex_lock(&remote->lock);
	if (!remote->error)
		/* A full eventfd can be written again once the peer has read it. */
		remote->error =
			wait_for(remote, resample, POLLOUT, socket_now_ms() + remote->timeout_ms);
	ret = remote->error;
	pthread_mutex_unlock(&remote->lock);
	return ret;
}

static bool access_valid(uint64_t address, uint32_t size, uint32_t size_max)
{
	return size >= 1 && size <= size_max && (size & (size - 1)) == 0 && address % size == 0;
}

static uint64_t largest(uint32_t size)
{
	return size == 8 ? UINT64_MAX : (UINT64_C(1) << size * 8) - 1;
}

int x_remote_config_read(struct x_remote *remote, uint32_t offset, uint32_t size, uint32_t *value)
{
	struct config_message message = { .offset = offset, .size = size };
	uint64_t answer = 0;
	int ret;

	if (!access_valid(offset, size, 4) || offset >= CONFIG_SPACE)
		return -EINVAL;
	ret = exchange(remote, CONFIG_READ, &message, sizeof(message), NULL, 0, &answer,
		       largest(size));
	if (!ret)
		*value = (uint32_t)answer;
	return ret;
}

int x_remote_config_write(struct x_remote *remote, uint32_t offset, uint32_t size, uint32_t value)
{
	struct config_message message = { .offset = offset, .value = value, .size = size };
	uint64_t answer = 0;

	if (!access_valid(offset, size, 4) || offset >= CONFIG_SPACE)
		return -EINVAL;
	return exchange(remote, CONFIG_WRITE, &message, sizeof(message), NULL, 0, &answer, 0);
}

int x_remote_bar_read(struct x_remote *remote, uint64_t address, uint32_t size, bool memory,
		      uint64_t *value)
{
	struct bar_message message = { .address = address, .size = size, .memory = memory };
	uint64_t answer = 0;
	int ret;

	if (!access_valid(address, size, 8))
		return -EINVAL;
	ret = exchange(remote, BAR_READ, &message, sizeof(message), NULL, 0, &answer,
		       largest(size));
	if (!ret)
		*value = answer;
	return ret;
}

int x_remote_bar_write(struct x_remote *remote, uint64_t address, uint32_t size, bool memory,
		       uint64_t value)
{
	struct bar_message message = {
		.address = address,
		.value = value,
		.size = size,
		.memory = memory,
	};
	uint64_t answer = 0;

	if (!access_valid(address, size, 8))
		return -EINVAL;
	return exchange(remote, BAR_WRITE, &message, sizeof(message), NULL, 0, &answer, 0);
}

int x_remote_alive(struct x_remote *remote)
{
	struct pollfd death = { .fd = remote->death_fd, .events = POLLIN };
	int ret;

	pthread_mutex_lock(&remote->lock);
	if (!remote->error)
		remote->error = check_quiet(remote);
	if (!remote->error && poll(&death, 1, 0) > 0)
		remote->error = -ECONNRESET;
	ret = remote->error;
	pthread_mutex_unlock(&remote->lock);
	return ret;
}
