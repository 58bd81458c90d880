/* SPDX-License-Identifier: MIT */
/*
 * Reads sectors of a disk that another process serves as a vhost-user-blk device (virtio 1.2, 5.2).
 *
 * The device signals completions through an eventfd, which is the caller's to bind to a GSI; this
 * file never reads it. The caller learns from the guest's handler that it has run, and then takes
 * what is complete, as a driver would. Errors are those of vhost_user.h.
 *
 * Thread safety: one thread at a time.
 */
#ifndef DEVICES_VHOST_USER_BLK_H
#define DEVICES_VHOST_USER_BLK_H

#include <stddef.h>
#include <stdint.h>

#define VHOST_USER_BLK_SECTOR	    512
#define VHOST_USER_BLK_REQUESTS_MAX 64

struct vhost_user_blk;

struct vhost_user_blk_config {
	/* A connected socket, taken over also on error. */
	int socket;
	/* Bound of one exchange of messages. */
	int timeout_ms;
	/* All guest memory: an fd mapped at `memory`, which the guest sees from 0. */
	int memory_fd;
	void *memory;
	size_t memory_size;
	/* Guest physical address of vhost_user_blk_bytes() for the queue and the buffers; 4 KiB
	 * aligned. */
	uint64_t gpa;
	/* At most so many requests are outstanding, 1..64. */
	uint32_t requests;
	/* Sectors a request reads, 1..8. */
	uint32_t sectors;
	/* Optional: tells the device of a request, in place of a write to its kick eventfd. -errno. */
	int (*kick)(void *opaque);
	void *opaque;
};

/* Where queue and buffers are, for a driver in the guest, which then is the only one: guest physical
 * addresses. A slot of 64 bytes each, the request's header with its status byte behind, and the data
 * of each in the same order. Rings and slots are zero. */
struct vhost_user_blk_layout {
	uint16_t ring_size;
	uint64_t desc;
	uint64_t avail;
	uint64_t used;
	uint64_t slots;
	uint64_t data;
};

/* What a request brought. `data` stays until the request's slot is used again, by submit. */
struct vhost_user_blk_done {
	uint64_t sector;
	const void *data;
	size_t size;
};

/* Bytes of guest memory wanted. */
size_t vhost_user_blk_bytes(uint32_t requests, uint32_t sectors);

/* Make the device ready. The call eventfd exists before the device learns of it, and the device may
 * signal it once without a request. -EINVAL: a number out of range. */
int vhost_user_blk_open(const struct vhost_user_blk_config *config, struct vhost_user_blk **out);
void vhost_user_blk_close(struct vhost_user_blk *blk);

/* Its interrupt: an eventfd, closed by vhost_user_blk_close(). */
int vhost_user_blk_call_fd(const struct vhost_user_blk *blk);

/* Its doorbell, likewise: for a driver in the guest, or config.kick. */
int vhost_user_blk_kick_fd(const struct vhost_user_blk *blk);
void vhost_user_blk_layout(const struct vhost_user_blk *blk, struct vhost_user_blk_layout *out);

/* What the device says it has, in sectors; 0 if it cannot say. */
uint64_t vhost_user_blk_capacity(const struct vhost_user_blk *blk);

/* Read from `sector` on. -EAGAIN: as many as allowed are outstanding; -ERANGE: past the capacity. */
int vhost_user_blk_submit(struct vhost_user_blk *blk, uint64_t sector);

/* How many are outstanding. */
uint32_t vhost_user_blk_outstanding(const struct vhost_user_blk *blk);

/* Take one that is complete: 1, or 0 if there is none. -EIO: the device failed to read. -EPROTO. */
int vhost_user_blk_take(struct vhost_user_blk *blk, struct vhost_user_blk_done *done);

/* 0 while the device's process is there; see vhost_user_alive(). */
int vhost_user_blk_alive(struct vhost_user_blk *blk);

/* Stop the queue: from its return 0 on the device signals no more. */
int vhost_user_blk_stop(struct vhost_user_blk *blk);

#endif
