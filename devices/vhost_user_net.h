/* SPDX-License-Identifier: MIT */
/*
 * The receiving half of a virtio network driver, for a device in another process (vhost-user):
 * takes packets as fast as they come, counts them and throws them away. What it is for is the
 * device's interrupt, which with a fast sender is a storm: a signal for every burst of packets.
 *
 * The device signals through an eventfd, which is the caller's to bind to a GSI; this file never
 * reads it. Packets stop when all buffers are full, and so do the signals, until
 * vhost_user_net_poll() gives the buffers back. How often the device has signalled, only the
 * eventfd knows. Errors are those of vhost_user.h.
 *
 * Thread safety: one thread at a time.
 */
#ifndef DEVICES_VHOST_USER_NET_H
#define DEVICES_VHOST_USER_NET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VHOST_USER_NET_BUFFERS 256

struct vhost_user_net;

struct vhost_user_net_config {
	/* A connected socket, taken over also on error. */
	int socket;
	/* Bound of one exchange of messages. DPDK wants a second for the first, often a bit more.
	 * */
	int timeout_ms;
	/* All guest memory: an fd mapped at `memory`, which the guest sees from 0. */
	int memory_fd;
	void *memory;
	size_t memory_size;
	/* Guest physical address of vhost_user_net_bytes() for queues and buffers; 4 KiB aligned.
	 * */
	uint64_t gpa;
	/* Optional: looks at a packet, without its virtio header, before its buffer is wiped and given
	 * back. False: it is not what it should be. The device may still be writing to it. */
	bool (*check)(const void *packet, size_t size);
};

/* Bytes of guest memory wanted. */
size_t vhost_user_net_bytes(void);

/* Agree with the device, and lay the queues out. It cannot signal yet. -EINVAL: a number out of
 * range; -ENOTSUP: not a virtio 1 device. */
int vhost_user_net_open(const struct vhost_user_net_config *config, struct vhost_user_net **out);
void vhost_user_net_close(struct vhost_user_net *net);

/* Its interrupt, of the receive queue: an eventfd, closed by vhost_user_net_close(). */
int vhost_user_net_call_fd(const struct vhost_user_net *net);

/* Let it begin. Once only: -EALREADY. */
int vhost_user_net_start(struct vhost_user_net *net);

/* Take what has come, at most one full ring of it, and give the buffers back: how many packets.
 * -EPROTO: the ring says what cannot be; -EBADMSG: so says config.check of a packet; the device is good
 * for _close() from then. */
int vhost_user_net_poll(struct vhost_user_net *net);

/* The same, but at most `max` packets: a device whose buffers are all full then signals once for a
 * `max` of 1. */
int vhost_user_net_take(struct vhost_user_net *net, uint32_t max);

/* How many packets wait to be taken: with all of VHOST_USER_NET_BUFFERS the device can send no more.
 * -EPROTO. */
int vhost_user_net_waiting(const struct vhost_user_net *net);

/* All packets taken so far, and their bytes without the virtio header. */
uint64_t vhost_user_net_packets(const struct vhost_user_net *net);
uint64_t vhost_user_net_packet_bytes(const struct vhost_user_net *net);

/* 0 while the device's process is there; see vhost_user_alive(). */
int vhost_user_net_alive(struct vhost_user_net *net);

/* Stop the queues: from its return 0 on the device signals no more. */
int vhost_user_net_stop(struct vhost_user_net *net);

#endif
