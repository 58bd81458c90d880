// SPDX-License-Identifier: MIT
#include "virtqueue.h"

#include <errno.h>
#include <string.h>

/* virtio 1.2, 2.7.5. x86 is little endian, as the rings are. */
struct virtqueue_desc {
	uint64_t gpa;
	uint32_t len;
	uint16_t flags;
	uint16_t next;
};

#define DESC_F_NEXT  1
#define DESC_F_WRITE 2

/* 2.7.6 and 2.7.8: both rings begin with flags and index, as 16-bit words. */
#define RING_INDEX 1
#define RING_FIRST 2
/* A used element is two 32-bit words, id and length: four of ours. */
#define USED_ELEMENT 4

static size_t avail_offset(uint16_t size)
{
	return (size_t)size * sizeof(struct virtqueue_desc);
}

/* The used ring is aligned to 4 bytes; 16 costs nothing and keeps it off the available ring's end. */
static size_t used_offset(uint16_t size)
{
	size_t end = avail_offset(size) + (RING_FIRST + size + 1u) * sizeof(uint16_t);

	return (end + 15) & ~(size_t)15;
}

size_t virtqueue_bytes(uint16_t size)
{
	return used_offset(size) +
	       (RING_FIRST + (size_t)size * USED_ELEMENT + 1) * sizeof(uint16_t);
}

int virtqueue_init(struct virtqueue *vq, uint16_t size, void *memory, size_t bytes)
{
	if (size == 0 || size > VIRTQUEUE_SIZE_MAX || (size & (size - 1)) != 0)
		return -EINVAL;
	if (bytes < virtqueue_bytes(size) || (uintptr_t)memory % 16 != 0)
		return -EINVAL;
	memset(memory, 0, virtqueue_bytes(size));
	memset(vq, 0, sizeof(*vq));
	vq->size = size;
	vq->desc = memory;
	vq->avail = (void *)((char *)memory + avail_offset(size));
	vq->used = (void *)((char *)memory + used_offset(size));
	vq->free_count = size;
	for (uint16_t i = 0; i < size; i++)
		vq->entry[i].next = (uint16_t)(i + 1);
	return 0;
}

/* -EINVAL, or 0 and how many bytes the device may write. */
static int check_segments(const struct virtqueue_segment *segments, size_t n, uint32_t *writable)
{
	uint64_t sum = 0;
	bool writes = false;

	if (n == 0)
		return -EINVAL;
	for (size_t i = 0; i < n; i++) {
		if (writes && !segments[i].device_writes)
			return -EINVAL;
		writes = segments[i].device_writes;
		if (writes)
			sum += segments[i].len;
	}
	*writable = (uint32_t)sum;
	return sum > UINT32_MAX ? -EINVAL : 0;
}

int virtqueue_add(struct virtqueue *vq, const struct virtqueue_segment *segments, size_t n,
		  uint32_t token)
{
	uint16_t head = vq->free_head, at = head;
	uint32_t writable;

	if (check_segments(segments, n, &writable))
		return -EINVAL;
	if (n > vq->free_count)
		return -ENOSPC;
	for (size_t i = 0; i < n; i++) {
		uint16_t flags = (uint16_t)((segments[i].device_writes ? DESC_F_WRITE : 0) |
					    (i + 1 < n ? DESC_F_NEXT : 0));

		vq->desc[at] = (struct virtqueue_desc){
			.gpa = segments[i].gpa,
			.len = segments[i].len,
			.flags = flags,
			.next = i + 1 < n ? vq->entry[at].next : 0,
		};
		at = vq->entry[at].next;
	}
	vq->free_head = at;
	vq->free_count = (uint16_t)(vq->free_count - n);
	vq->entry[head].count = (uint16_t)n;
	vq->entry[head].writable = writable;
	vq->entry[head].token = token;
	vq->outstanding++;

	vq->avail[RING_FIRST + (vq->avail_index & (vq->size - 1))] = head;
	vq->avail_index++;
	/* Pairs with the device's read of the index before the ring and the descriptors (2.7.13.3). */
	__atomic_store_n(&vq->avail[RING_INDEX], vq->avail_index, __ATOMIC_RELEASE);
	return 0;
}

static void free_chain(struct virtqueue *vq, uint16_t head)
{
	uint16_t last = head;

	for (uint16_t i = 1; i < vq->entry[head].count; i++)
		last = vq->entry[last].next;
	vq->entry[last].next = vq->free_head;
	vq->free_head = head;
	vq->free_count = (uint16_t)(vq->free_count + vq->entry[head].count);
	vq->entry[head].count = 0;
}

int virtqueue_ready(const struct virtqueue *vq)
{
	/* Pairs with the device's store of the index after the element and the data (2.7.14). */
	uint16_t index = __atomic_load_n(&vq->used[RING_INDEX], __ATOMIC_ACQUIRE);
	uint16_t ready = (uint16_t)(index - vq->used_index);

	return ready > vq->outstanding ? -EPROTO : ready;
}

int virtqueue_take(struct virtqueue *vq, struct virtqueue_used *out)
{
	const uint16_t *element;
	uint32_t id, written;
	int ready = virtqueue_ready(vq);

	if (ready <= 0)
		return ready;
	element = &vq->used[RING_FIRST + (vq->used_index & (vq->size - 1)) * USED_ELEMENT];
	/* Read once each: the device may change them between a check and the use. */
	id = __atomic_load_n((const uint32_t *)(const void *)element, __ATOMIC_RELAXED);
	written = __atomic_load_n((const uint32_t *)(const void *)(element + 2), __ATOMIC_RELAXED);
	if (id >= vq->size || vq->entry[id].count == 0 || written > vq->entry[id].writable)
		return -EPROTO;
	out->token = vq->entry[id].token;
	out->written = written;
	free_chain(vq, (uint16_t)id);
	vq->outstanding--;
	vq->used_index++;
	return 1;
}
