/* SPDX-License-Identifier: MIT */
/*
 * A vhost-user front end: the VMM's side of the protocol that gives a device in another process a
 * guest's memory and virtqueues (https://qemu-project.gitlab.io/qemu/interop/vhost-user.html).
 *
 * The peer is not trusted. Every call ends within the connection's time-out and says
 *   -EPROTO      an answer that is short, long, of another request or with other flags
 *   -ECONNRESET  the peer closed the connection
 *   -ETIMEDOUT   no answer, or no room to send, in time
 *   -EIO         the peer acknowledged a request with a failure
 * after which the connection is good for vhost_user_close() only. Descriptors that a peer attaches to
 * an answer are dropped by the kernel, since no room is given for them.
 *
 * Thread safety: one thread at a time on one connection.
 */
#ifndef DEVICES_VHOST_USER_H
#define DEVICES_VHOST_USER_H

#include <stddef.h>
#include <stdint.h>

/* Feature bit by which a device says that it has protocol features at all. */
#define VHOST_USER_F_PROTOCOL_FEATURES	30

#define VHOST_USER_PROTOCOL_F_REPLY_ACK 3
#define VHOST_USER_PROTOCOL_F_CONFIG	9

/* The largest configuration space a message can carry. */
#define VHOST_USER_CONFIG_MAX 256

struct vhost_user {
	int fd;
	/* Bound of one call, in milliseconds. */
	int timeout_ms;
	/* What both sides agreed on. */
	uint64_t features;
	uint64_t protocol_features;
};

/* A piece of guest memory the device may map: `size` bytes of `fd` from `offset`, which the guest
 * sees at `gpa` and this process at `address`. */
struct vhost_user_region {
	int fd;
	uint64_t gpa;
	uint64_t size;
	const void *address;
	uint64_t offset;
};

/* One split virtqueue. The rings are named by this process's addresses, inside a region. */
struct vhost_user_vring {
	uint32_t index;
	uint16_t size;
	uint16_t base;
	const void *desc;
	const void *avail;
	const void *used;
	int kick;
	int call;
};

/* Take over a connected stream socket, which vhost_user_close() closes. -errno of fcntl. */
int vhost_user_attach(struct vhost_user *vu, int fd, int timeout_ms);
void vhost_user_close(struct vhost_user *vu);

/* Own the device and agree on features: what it offers of `features` and `protocol_features`, which
 * is left in vu. -ENOTSUP: it lacks one of `required`. */
int vhost_user_negotiate(struct vhost_user *vu, uint64_t features, uint64_t required,
			 uint64_t protocol_features);

/* Read `size` bytes of the device's configuration space. -ENOTSUP: it has none to read. */
int vhost_user_get_config(struct vhost_user *vu, void *config, size_t size);

/* The guest's memory. -EINVAL: more than 8 regions, or none. */
int vhost_user_set_memory(struct vhost_user *vu, const struct vhost_user_region *regions, size_t n);

/* Set a virtqueue up and enable it. */
int vhost_user_start_vring(struct vhost_user *vu, const struct vhost_user_vring *vring);

/* Stop it. Once it has returned 0 the device neither touches the ring nor signals `call`; *base is
 * how far it had come in the available ring. */
int vhost_user_stop_vring(struct vhost_user *vu, uint32_t index, uint16_t *base);

/* 0 while the peer is there; -ECONNRESET once it is gone, -EPROTO if it spoke unasked. Never waits. */
int vhost_user_alive(struct vhost_user *vu);

#endif
