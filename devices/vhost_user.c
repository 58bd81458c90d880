// SPDX-License-Identifier: MIT
#include "vhost_user.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vhost_user_socket.h"

/* Requests and flags: vhost-user specification, "Front-end message types" and "Header". */
enum request {
	GET_FEATURES = 1,
	SET_FEATURES = 2,
	SET_OWNER = 3,
	SET_MEM_TABLE = 5,
	SET_VRING_NUM = 8,
	SET_VRING_ADDR = 9,
	SET_VRING_BASE = 10,
	GET_VRING_BASE = 11,
	SET_VRING_KICK = 12,
	SET_VRING_CALL = 13,
	GET_PROTOCOL_FEATURES = 15,
	SET_PROTOCOL_FEATURES = 16,
	SET_VRING_ENABLE = 18,
	GET_CONFIG = 24,
};

#define FLAG_VERSION_1	  0x1u
#define FLAG_VERSION_MASK 0x3u
#define FLAG_REPLY	  0x4u
#define FLAG_NEED_REPLY	  0x8u

struct header {
	uint32_t request;
	uint32_t flags;
	uint32_t size;
};

struct vring_state {
	uint32_t index;
	uint32_t num;
};

struct vring_address {
	uint32_t index;
	uint32_t flags;
	uint64_t desc;
	uint64_t used;
	uint64_t avail;
	uint64_t log;
};

struct memory_region {
	uint64_t gpa;
	uint64_t size;
	uint64_t address;
	uint64_t offset;
};

struct memory_table {
	uint32_t n;
	uint32_t padding;
	struct memory_region regions[SOCKET_FDS_MAX];
};

struct config_space {
	uint32_t offset;
	uint32_t size;
	uint32_t flags;
	uint8_t data[VHOST_USER_CONFIG_MAX];
};

#define CONFIG_HEADER offsetof(struct config_space, data)
#define MEMORY_HEADER offsetof(struct memory_table, regions)

int vhost_user_attach(struct vhost_user *vu, int fd, int timeout_ms)
{
	*vu = (struct vhost_user){ .fd = fd, .timeout_ms = timeout_ms };
	return fcntl(fd, F_SETFD, FD_CLOEXEC) < 0 ? -errno : 0;
}

void vhost_user_close(struct vhost_user *vu)
{
	if (vu->fd >= 0)
		close(vu->fd);
	vu->fd = -1;
}

static int send_message(struct vhost_user *vu, uint32_t request, uint32_t flags,
			const void *payload, size_t size, const int *fds, size_t n_fds,
			int64_t deadline)
{
	char message[sizeof(struct header) + sizeof(struct memory_table)];
	struct header header = {
		.request = request,
		.flags = FLAG_VERSION_1 | flags,
		.size = (uint32_t)size,
	};

	if (size > sizeof(message) - sizeof(header))
		return -EINVAL;
	memcpy(message, &header, sizeof(header));
	if (size)
		memcpy(message + sizeof(header), payload, size);
	return socket_send(vu->fd, message, sizeof(header) + size, fds, n_fds, deadline);
}

/* The answer must be exactly `size` bytes long. */
static int receive_reply(struct vhost_user *vu, uint32_t request, void *payload, size_t size,
			 int64_t deadline)
{
	struct header header;
	int ret = socket_receive(vu->fd, &header, sizeof(header), deadline);

	if (ret)
		return ret;
	if (header.request != request || header.size != size || !(header.flags & FLAG_REPLY) ||
	    (header.flags & FLAG_VERSION_MASK) != FLAG_VERSION_1)
		return -EPROTO;
	return socket_receive(vu->fd, payload, size, deadline);
}

/* A request that has an answer of its own. */
static int ask(struct vhost_user *vu, uint32_t request, const void *payload, size_t size,
	       void *reply, size_t reply_size)
{
	int64_t deadline = socket_now_ms() + vu->timeout_ms;
	int ret = send_message(vu, request, 0, payload, size, NULL, 0, deadline);

	return ret ? ret : receive_reply(vu, request, reply, reply_size, deadline);
}

/* A request that has none: acknowledged where the device can do that, so that a failure is known
 * here and not some messages later. */
static int tell(struct vhost_user *vu, uint32_t request, const void *payload, size_t size,
		const int *fds, size_t n_fds)
{
	int64_t deadline = socket_now_ms() + vu->timeout_ms;
	bool acknowledged = vu->protocol_features >> VHOST_USER_PROTOCOL_F_REPLY_ACK & 1;
	uint64_t failed;
	int ret = send_message(vu, request, acknowledged ? FLAG_NEED_REPLY : 0, payload, size, fds,
			       n_fds, deadline);

	if (ret || !acknowledged)
		return ret;
	ret = receive_reply(vu, request, &failed, sizeof(failed), deadline);
	if (ret)
		return ret;
	return failed ? -EIO : 0;
}

int vhost_user_negotiate(struct vhost_user *vu, uint64_t features, uint64_t required,
			 uint64_t protocol_features)
{
	uint64_t offered, protocol_offered = 0;
	int ret;

	ret = tell(vu, SET_OWNER, NULL, 0, NULL, 0);
	if (!ret)
		ret = ask(vu, GET_FEATURES, NULL, 0, &offered, sizeof(offered));
	if (ret)
		return ret;
	if ((offered & required) != required)
		return -ENOTSUP;
	if (offered >> VHOST_USER_F_PROTOCOL_FEATURES & 1) {
		features |= UINT64_C(1) << VHOST_USER_F_PROTOCOL_FEATURES;
		ret = ask(vu, GET_PROTOCOL_FEATURES, NULL, 0, &protocol_offered,
			  sizeof(protocol_offered));
		if (ret)
			return ret;
		protocol_offered &= protocol_features;
		ret = tell(vu, SET_PROTOCOL_FEATURES, &protocol_offered, sizeof(protocol_offered),
			   NULL, 0);
		if (ret)
			return ret;
		vu->protocol_features = protocol_offered;
	}
	features &= offered;
	ret = tell(vu, SET_FEATURES, &features, sizeof(features), NULL, 0);
	if (!ret)
		vu->features = features;
	return ret;
}

int vhost_user_get_config(struct vhost_user *vu, void *config, size_t size)
{
	struct config_space space = { .size = (uint32_t)size };
	int ret;

	if (size > sizeof(space.data))
		return -EINVAL;
	if (!(vu->protocol_features >> VHOST_USER_PROTOCOL_F_CONFIG & 1))
		return -ENOTSUP;
	ret = ask(vu, GET_CONFIG, &space, CONFIG_HEADER + size, &space, CONFIG_HEADER + size);
	if (ret)
		return ret;
	if (space.offset != 0 || space.size != size)
		return -EPROTO;
	memcpy(config, space.data, size);
	return 0;
}

int vhost_user_set_memory(struct vhost_user *vu, const struct vhost_user_region *regions, size_t n)
{
	struct memory_table table = { .n = (uint32_t)n };
	int fds[SOCKET_FDS_MAX];

	if (n < 1 || n > SOCKET_FDS_MAX)
		return -EINVAL;
	for (size_t i = 0; i < n; i++) {
		table.regions[i] = (struct memory_region){
			.gpa = regions[i].gpa,
			.size = regions[i].size,
			.address = (uintptr_t)regions[i].address,
			.offset = regions[i].offset,
		};
		fds[i] = regions[i].fd;
	}
	return tell(vu, SET_MEM_TABLE, &table, MEMORY_HEADER + n * sizeof(table.regions[0]), fds,
		    n);
}

int vhost_user_start_vring(struct vhost_user *vu, const struct vhost_user_vring *vring)
{
	struct vring_state num = { vring->index, vring->size };
	struct vring_state base = { vring->index, vring->base };
	struct vring_state enable = { vring->index, 1 };
	struct vring_address address = {
		.index = vring->index,
		.desc = (uintptr_t)vring->desc,
		.used = (uintptr_t)vring->used,
		.avail = (uintptr_t)vring->avail,
	};
	/* Bit 8 would say "no descriptor attached". */
	uint64_t index = vring->index & 0xff;
	int ret;

	ret = tell(vu, SET_VRING_NUM, &num, sizeof(num), NULL, 0);
	if (!ret)
		ret = tell(vu, SET_VRING_BASE, &base, sizeof(base), NULL, 0);
	if (!ret)
		ret = tell(vu, SET_VRING_ADDR, &address, sizeof(address), NULL, 0);
	if (!ret)
		ret = tell(vu, SET_VRING_CALL, &index, sizeof(index), &vring->call, 1);
	/* The kick comes last: it starts the ring. */
	if (!ret)
		ret = tell(vu, SET_VRING_KICK, &index, sizeof(index), &vring->kick, 1);
	/* Without protocol features a ring starts enabled. */
	if (!ret && vu->features >> VHOST_USER_F_PROTOCOL_FEATURES & 1)
		ret = tell(vu, SET_VRING_ENABLE, &enable, sizeof(enable), NULL, 0);
	return ret;
}

int vhost_user_stop_vring(struct vhost_user *vu, uint32_t index, uint16_t *base)
{
	struct vring_state state = { index, 0 };
	int ret = ask(vu, GET_VRING_BASE, &state, sizeof(state), &state, sizeof(state));

	if (ret)
		return ret;
	if (state.index != index || state.num > UINT16_MAX)
		return -EPROTO;
	*base = (uint16_t)state.num;
	return 0;
}

int vhost_user_alive(struct vhost_user *vu)
{
	char byte;
	ssize_t n = recv(vu->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);

	if (n > 0)
		return -EPROTO;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	return -ECONNRESET;
}
