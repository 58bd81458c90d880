/* SPDX-License-Identifier: MIT */
/*
 * Bounded reading and writing of a stream socket whose peer is not trusted.
 */
#ifndef DEVICES_VHOST_USER_SOCKET_H
#define DEVICES_VHOST_USER_SOCKET_H

#include <stddef.h>
#include <stdint.h>

/* As many descriptors as one message carries: a memory table has at most 8 regions. */
#define SOCKET_FDS_MAX 8

/* CLOCK_MONOTONIC in milliseconds. */
int64_t socket_now_ms(void);

/* All of `size` bytes, before `deadline`, with the descriptors on the first byte.
 * -ECONNRESET, -ETIMEDOUT, or another -errno of sendmsg. Never raises SIGPIPE. */
int socket_send(int fd, const void *data, size_t size, const int *fds, size_t n_fds,
		int64_t deadline);

/* All of `size` bytes before `deadline`. -ECONNRESET also if it closes in the middle. */
int socket_receive(int fd, void *data, size_t size, int64_t deadline);

#endif
