// SPDX-License-Identifier: MIT
#include "vhost_user_blk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "vhost_user.h"
#include "virtqueue.h"

#define VIRTIO_F_VERSION_1 32
/* virtio 1.2, 5.2.6. */
#define BLK_T_IN 0
#define BLK_S_OK 0
/* What a device cannot have written as a status. */
#define BLK_S_NONE 0xff
/* A request is a header, data and a status byte. */
#define BLK_SEGMENTS	3
#define BLK_SECTORS_MAX 8
#define PAGE		4096u

struct blk_header {
	uint32_t type;
	uint32_t reserved;
	uint64_t sector;
};

/* The guest memory of one request; the data stands in its own pages behind these. */
struct blk_slot {
	struct blk_header header;
	uint8_t status;
	uint8_t padding[47];
};

struct vhost_user_blk {
	struct vhost_user vu;
	struct virtqueue vq;
	int kick;
	int call;
	uint64_t capacity;
	uint32_t requests;
	uint32_t sectors;
	/* Guest memory, and where the guest sees it. */
	char *memory;
	uint64_t gpa;
	/* Ours: the device could change the header in guest memory. */
	uint64_t sector[VHOST_USER_BLK_REQUESTS_MAX];
	uint64_t busy;
	int (*kick_fn)(void *opaque);
	void *opaque;
};

static uint16_t queue_size(uint32_t requests)
{
	uint16_t size = 4;

	while (size < requests * BLK_SEGMENTS)
		size = (uint16_t)(size * 2);
	return size;
}

static size_t slots_offset(uint32_t requests)
{
	return (virtqueue_bytes(queue_size(requests)) + PAGE - 1) & ~(size_t)(PAGE - 1);
}

static size_t data_offset(uint32_t requests)
{
	return slots_offset(requests) + PAGE;
}

size_t vhost_user_blk_bytes(uint32_t requests, uint32_t sectors)
{
	return data_offset(requests) + (size_t)requests * sectors * VHOST_USER_BLK_SECTOR;
}

static struct blk_slot *slot_at(struct vhost_user_blk *blk, uint32_t slot)
{
	return (void *)(blk->memory + slots_offset(blk->requests) + slot * sizeof(struct blk_slot));
}

static int negotiate(struct vhost_user_blk *blk)
{
	uint64_t version_1 = UINT64_C(1) << VIRTIO_F_VERSION_1;
	int ret = vhost_user_negotiate(&blk->vu, version_1, version_1,
				       1u << VHOST_USER_PROTOCOL_F_REPLY_ACK |
					       1u << VHOST_USER_PROTOCOL_F_CONFIG);

	if (ret)
		return ret;
	/* The first field of struct virtio_blk_config is the capacity (5.2.4). */
	ret = vhost_user_get_config(&blk->vu, &blk->capacity, sizeof(blk->capacity));
	return ret == -ENOTSUP ? 0 : ret;
}

static int start(struct vhost_user_blk *blk, const struct vhost_user_blk_config *config)
{
	struct vhost_user_region region = {
		.fd = config->memory_fd,
		.gpa = 0,
		.size = config->memory_size,
		.address = config->memory,
	};
	struct vhost_user_vring vring = {
		.size = blk->vq.size,
		.desc = blk->vq.desc,
		.avail = blk->vq.avail,
		.used = blk->vq.used,
		.kick = blk->kick,
		.call = blk->call,
	};
	int ret = negotiate(blk);

	if (!ret)
		ret = vhost_user_set_memory(&blk->vu, &region, 1);
	if (!ret)
		ret = vhost_user_start_vring(&blk->vu, &vring);
	return ret;
}

static int config_validate(const struct vhost_user_blk_config *config)
{
	size_t bytes;

	if (config->requests < 1 || config->requests > VHOST_USER_BLK_REQUESTS_MAX ||
	    config->sectors < 1 || config->sectors > BLK_SECTORS_MAX || config->gpa % PAGE != 0)
		return -EINVAL;
	bytes = vhost_user_blk_bytes(config->requests, config->sectors);
	if (config->memory_size < bytes || config->gpa > config->memory_size - bytes)
		return -EINVAL;
	return 0;
}

int vhost_user_blk_open(const struct vhost_user_blk_config *config, struct vhost_user_blk **out)
{
	struct vhost_user_blk *blk;
	int ret = config_validate(config);

	blk = ret ? NULL : calloc(1, sizeof(*blk));
	if (!blk) {
		close(config->socket);
		return ret ? ret : -ENOMEM;
	}
	blk->requests = config->requests;
	blk->sectors = config->sectors;
	blk->gpa = config->gpa;
	blk->kick_fn = config->kick;
	blk->opaque = config->opaque;
	blk->memory = (char *)config->memory + config->gpa;
	blk->kick = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	blk->call = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	ret = vhost_user_attach(&blk->vu, config->socket, config->timeout_ms);
	if (!ret && (blk->kick < 0 || blk->call < 0))
		ret = -EMFILE;
	if (!ret)
		ret = virtqueue_init(&blk->vq, queue_size(blk->requests), blk->memory,
				     slots_offset(blk->requests));
	if (!ret)
		ret = start(blk, config);
	if (ret) {
		vhost_user_blk_close(blk);
		return ret;
	}
	*out = blk;
	return 0;
}

void vhost_user_blk_close(struct vhost_user_blk *blk)
{
	if (!blk)
		return;
	vhost_user_close(&blk->vu);
	if (blk->kick >= 0)
		close(blk->kick);
	if (blk->call >= 0)
		close(blk->call);
	free(blk);
}

int vhost_user_blk_call_fd(const struct vhost_user_blk *blk)
{
	return blk->call;
}

int vhost_user_blk_kick_fd(const struct vhost_user_blk *blk)
{
	return blk->kick;
}

void vhost_user_blk_layout(const struct vhost_user_blk *blk, struct vhost_user_blk_layout *out)
{
	*out = (struct vhost_user_blk_layout){
		.ring_size = blk->vq.size,
		.desc = blk->gpa + (uint64_t)((char *)blk->vq.desc - blk->memory),
		.avail = blk->gpa + (uint64_t)((char *)blk->vq.avail - blk->memory),
		.used = blk->gpa + (uint64_t)((char *)blk->vq.used - blk->memory),
		.slots = blk->gpa + slots_offset(blk->requests),
		.data = blk->gpa + data_offset(blk->requests),
	};
}

uint64_t vhost_user_blk_capacity(const struct vhost_user_blk *blk)
{
	return blk->capacity;
}

uint32_t vhost_user_blk_outstanding(const struct vhost_user_blk *blk)
{
	return blk->vq.outstanding;
}

static int kick(struct vhost_user_blk *blk)
{
	uint64_t one = 1;

	if (blk->kick_fn)
		return blk->kick_fn(blk->opaque);
	/* EAGAIN is a counter that is full: then the device is woken already. */
	return write(blk->kick, &one, sizeof(one)) < 0 && errno != EAGAIN ? -errno : 0;
}

int vhost_user_blk_submit(struct vhost_user_blk *blk, uint64_t sector)
{
	uint32_t bytes = blk->sectors * VHOST_USER_BLK_SECTOR;
	uint64_t slots_gpa = blk->gpa + slots_offset(blk->requests);
	uint64_t data_gpa = blk->gpa + data_offset(blk->requests);
	struct virtqueue_segment segments[BLK_SEGMENTS];
	struct blk_slot *request;
	uint32_t slot;
	int ret;

	if (blk->vq.outstanding >= blk->requests)
		return -EAGAIN;
	if (blk->capacity && (sector >= blk->capacity || blk->capacity - sector < blk->sectors))
		return -ERANGE;
	slot = (uint32_t)__builtin_ctzll(~blk->busy);
	request = slot_at(blk, slot);
	request->header = (struct blk_header){ .type = BLK_T_IN, .sector = sector };
	request->status = BLK_S_NONE;
	/* So that data left from an earlier read cannot pass for what this one brought. */
	memset(blk->memory + data_offset(blk->requests) + (size_t)slot * bytes, 0xa5, bytes);
	slots_gpa += slot * sizeof(struct blk_slot);
	segments[0] = (struct virtqueue_segment){ slots_gpa, sizeof(struct blk_header), false };
	segments[1] = (struct virtqueue_segment){ data_gpa + (uint64_t)slot * bytes, bytes, true };
	segments[2] = (struct virtqueue_segment){ slots_gpa + offsetof(struct blk_slot, status), 1,
						  true };
	ret = virtqueue_add(&blk->vq, segments, BLK_SEGMENTS, slot);
	if (ret)
		return ret;
	blk->busy |= UINT64_C(1) << slot;
	blk->sector[slot] = sector;
	return kick(blk);
}

int vhost_user_blk_take(struct vhost_user_blk *blk, struct vhost_user_blk_done *done)
{
	uint32_t bytes = blk->sectors * VHOST_USER_BLK_SECTOR;
	struct virtqueue_used used;
	uint8_t status;
	int ret = virtqueue_take(&blk->vq, &used);

	if (ret <= 0)
		return ret;
	blk->busy &= ~(UINT64_C(1) << used.token);
	done->sector = blk->sector[used.token];
	done->data = blk->memory + data_offset(blk->requests) + (size_t)used.token * bytes;
	done->size = bytes;
	status = slot_at(blk, used.token)->status;
	if (status != BLK_S_OK)
		return status == BLK_S_NONE ? -EPROTO : -EIO;
	/* The data and the status byte; a device that wrote less did not fill the buffer. */
	return used.written == bytes + 1 ? 1 : -EPROTO;
}

int vhost_user_blk_alive(struct vhost_user_blk *blk)
{
	return vhost_user_alive(&blk->vu);
}

int vhost_user_blk_stop(struct vhost_user_blk *blk)
{
	uint16_t base;

	return vhost_user_stop_vring(&blk->vu, 0, &base);
}
