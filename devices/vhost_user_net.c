// SPDX-License-Identifier: MIT
#include "vhost_user_net.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "vhost_user.h"
#include "virtqueue.h"

#define VIRTIO_F_VERSION_1 32
/* virtio 1.2, 5.1.6: what stands before each packet. */
#define NET_HEADER 12
/* An Ethernet frame without offloads fits. */
#define BUFFER_SIZE 2048
#define PAGE	    4096u
/* 2.7.10: the device asks not to be kicked. */
#define USED_F_NO_NOTIFY 1

/* 5.1.2. Nothing is ever sent, but a device waits for both queues before it begins. */
enum { RECEIVE, SEND, QUEUES };

struct vhost_user_net {
	struct vhost_user vu;
	struct virtqueue vq[QUEUES];
	int kick[QUEUES];
	int call[QUEUES];
	bool started;
	/* What ended it, or 0. */
	int error;
	bool (*check)(const void *packet, size_t size);
	/* The first buffer, and where the guest sees it. */
	char *memory;
	uint64_t buffers;
	uint64_t packets;
	uint64_t bytes;
};

static size_t queue_bytes(void)
{
	return (virtqueue_bytes(VHOST_USER_NET_BUFFERS) + PAGE - 1) & ~(size_t)(PAGE - 1);
}

size_t vhost_user_net_bytes(void)
{
	return QUEUES * queue_bytes() + (size_t)VHOST_USER_NET_BUFFERS * BUFFER_SIZE;
}

static int config_validate(const struct vhost_user_net_config *config)
{
	size_t bytes = vhost_user_net_bytes();

	if (config->gpa % PAGE != 0 || config->memory_size < bytes ||
	    config->gpa > config->memory_size - bytes)
		return -EINVAL;
	return 0;
}

static int add_buffer(struct vhost_user_net *net, uint32_t buffer)
{
	struct virtqueue_segment segment = {
		.gpa = net->buffers + (uint64_t)buffer * BUFFER_SIZE,
		.len = BUFFER_SIZE,
		.device_writes = true,
	};

	return virtqueue_add(&net->vq[RECEIVE], &segment, 1, buffer);
}

static int lay_out(struct vhost_user_net *net, const struct vhost_user_net_config *config)
{
	char *memory = (char *)config->memory + config->gpa;
	int ret = 0;

	net->check = config->check;
	net->memory = memory + QUEUES * queue_bytes();
	net->buffers = config->gpa + QUEUES * queue_bytes();
	for (int i = 0; i < QUEUES && !ret; i++)
		ret = virtqueue_init(&net->vq[i], VHOST_USER_NET_BUFFERS,
				     memory + (size_t)i * queue_bytes(), queue_bytes());
	for (uint32_t i = 0; i < VHOST_USER_NET_BUFFERS && !ret; i++)
		ret = add_buffer(net, i);
	return ret;
}

static int introduce(struct vhost_user_net *net, const struct vhost_user_net_config *config)
{
	uint64_t version_1 = UINT64_C(1) << VIRTIO_F_VERSION_1;
	struct vhost_user_region region = {
		.fd = config->memory_fd,
		.size = config->memory_size,
		.address = config->memory,
	};
	int ret = vhost_user_negotiate(&net->vu, version_1, version_1,
				       1u << VHOST_USER_PROTOCOL_F_REPLY_ACK);

	return ret ? ret : vhost_user_set_memory(&net->vu, &region, 1);
}

int vhost_user_net_open(const struct vhost_user_net_config *config, struct vhost_user_net **out)
{
	struct vhost_user_net *net;
	int ret = config_validate(config);

	net = ret ? NULL : calloc(1, sizeof(*net));
	if (!net) {
		close(config->socket);
		return ret ? ret : -ENOMEM;
	}
	ret = vhost_user_attach(&net->vu, config->socket, config->timeout_ms);
	for (int i = 0; i < QUEUES; i++) {
		net->kick[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		net->call[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (!ret && (net->kick[i] < 0 || net->call[i] < 0))
			ret = -EMFILE;
	}
	if (!ret)
		ret = lay_out(net, config);
	if (!ret)
		ret = introduce(net, config);
	if (ret) {
		vhost_user_net_close(net);
		return ret;
	}
	*out = net;
	return 0;
}

void vhost_user_net_close(struct vhost_user_net *net)
{
	if (!net)
		return;
	vhost_user_close(&net->vu);
	for (int i = 0; i < QUEUES; i++) {
		if (net->kick[i] >= 0)
			close(net->kick[i]);
		if (net->call[i] >= 0)
			close(net->call[i]);
	}
	free(net);
}

int vhost_user_net_call_fd(const struct vhost_user_net *net)
{
	return net->call[RECEIVE];
}

/* 2.7.13: the index must be seen by the device before we look whether it wants to be told, as it
 * asks to be told before it looks at the index a last time. Pairs with its fence there. */
static int kick(struct vhost_user_net *net)
{
	uint64_t one = 1;

	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (__atomic_load_n(&net->vq[RECEIVE].used[0], __ATOMIC_RELAXED) & USED_F_NO_NOTIFY)
		return 0;
	/* EAGAIN is a counter that is full: then the device is woken already. */
	if (write(net->kick[RECEIVE], &one, sizeof(one)) < 0 && errno != EAGAIN)
		return -errno;
	return 0;
}

int vhost_user_net_start(struct vhost_user_net *net)
{
	int ret = 0;

	if (net->started)
		return -EALREADY;
	net->started = true;
	for (uint32_t i = 0; i < QUEUES && !ret; i++) {
		struct vhost_user_vring vring = {
			.index = i,
			.size = net->vq[i].size,
			.desc = net->vq[i].desc,
			.avail = net->vq[i].avail,
			.used = net->vq[i].used,
			.kick = net->kick[i],
			.call = net->call[i],
		};

		ret = vhost_user_start_vring(&net->vu, &vring);
	}
	return ret ? ret : kick(net);
}

static int check(struct vhost_user_net *net, const struct virtqueue_used *used)
{
	char *buffer = net->memory + (size_t)used->token * BUFFER_SIZE;

	if (used->written < NET_HEADER)
		return -EPROTO;
	if (!net->check)
		return 0;
	if (!net->check(buffer + NET_HEADER, used->written - NET_HEADER))
		return -EBADMSG;
	/* So that what is left of this packet cannot pass for the next. */
	memset(buffer, 0xa5, used->written);
	return 0;
}

/* One packet: 1, 0 = none, or -errno. */
static int take(struct vhost_user_net *net)
{
	struct virtqueue_used used;
	int ret = virtqueue_take(&net->vq[RECEIVE], &used);

	if (ret <= 0)
		return ret;
	ret = check(net, &used);
	if (ret)
		return ret;
	net->packets++;
	net->bytes += used.written - NET_HEADER;
	ret = add_buffer(net, used.token);
	return ret ? ret : 1;
}

int vhost_user_net_take(struct vhost_user_net *net, uint32_t max)
{
	uint32_t n = 0;
	int ret = net->error ? net->error : 1;

	while (ret == 1 && n < max) {
		ret = take(net);
		n += ret == 1;
	}
	if (ret < 0) {
		net->error = ret;
		return ret;
	}
	if (n)
		ret = kick(net);
	return ret < 0 ? ret : (int)n;
}

int vhost_user_net_poll(struct vhost_user_net *net)
{
	/* Bounded, since it may fill buffers as fast as they are given back. */
	return vhost_user_net_take(net, VHOST_USER_NET_BUFFERS);
}

int vhost_user_net_waiting(const struct vhost_user_net *net)
{
	int n = virtqueue_ready(&net->vq[RECEIVE]);

	return net->error ? net->error : n;
}

uint64_t vhost_user_net_packets(const struct vhost_user_net *net)
{
	return net->packets;
}

uint64_t vhost_user_net_packet_bytes(const struct vhost_user_net *net)
{
	return net->bytes;
}

int vhost_user_net_alive(struct vhost_user_net *net)
{
	return vhost_user_alive(&net->vu);
}

int vhost_user_net_stop(struct vhost_user_net *net)
{
	int ret = 0;

	for (uint32_t i = 0; i < QUEUES && !ret; i++) {
		uint16_t base;

		ret = vhost_user_stop_vring(&net->vu, i, &base);
	}
	return ret;
}
