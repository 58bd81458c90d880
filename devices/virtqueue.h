/* SPDX-License-Identifier: MIT */
/*
 * The driver's side of a split virtqueue in guest memory (virtio 1.2, 2.7).
 *
 * The device may write any of that memory at any time. So what the driver must rely on - which
 * descriptors are free, how chains are linked, what is outstanding - is kept here, and the shared
 * copy is written only; from the used ring every index, id and length is checked.
 *
 * Thread safety: one thread at a time.
 */
#ifndef DEVICES_VIRTQUEUE_H
#define DEVICES_VIRTQUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VIRTQUEUE_SIZE_MAX 256

/* A piece of guest memory a request reads from or writes to. */
struct virtqueue_segment {
	uint64_t gpa;
	uint32_t len;
	bool device_writes;
};

struct virtqueue {
	uint16_t size;
	/* Shared with the device. */
	struct virtqueue_desc *desc;
	uint16_t *avail;
	uint16_t *used;
	/* Ours alone. */
	uint16_t avail_index;
	uint16_t used_index;
	uint16_t free_head;
	uint16_t free_count;
	uint16_t outstanding;
	struct {
		uint16_t next;
		/* Of a chain's head: how many descriptors, 0 = not outstanding. */
		uint16_t count;
		/* And how many bytes the device may write at most. */
		uint32_t writable;
		uint32_t token;
	} entry[VIRTQUEUE_SIZE_MAX];
};

/* What came back. */
struct virtqueue_used {
	uint32_t token;
	/* Bytes the device says it wrote. */
	uint32_t written;
};

/* Bytes of guest memory that a queue of `size` descriptors wants. */
size_t virtqueue_bytes(uint16_t size);

/* Set up in `bytes` of memory, which is cleared. `size`: a power of two, at most 256.
 * -EINVAL: size, or memory too small or not 16-byte aligned. */
int virtqueue_init(struct virtqueue *vq, uint16_t size, void *memory, size_t bytes);

/* Make one request of n segments available to the device; `token` comes back with it. The caller
 * kicks. What the device is to read must be written before. -ENOSPC: not enough free descriptors;
 * -EINVAL: no segments, or a segment the device reads after one it writes. */
int virtqueue_add(struct virtqueue *vq, const struct virtqueue_segment *segments, size_t n,
		  uint32_t token);

/* Take one request that the device is done with: 1, or 0 if there is none. -EPROTO: the used ring
 * says what cannot be; the queue is unusable from then. */
int virtqueue_take(struct virtqueue *vq, struct virtqueue_used *out);

/* How many there are to take. -EPROTO: more than are outstanding. */
int virtqueue_ready(const struct virtqueue *vq);

#endif
