/* SPDX-License-Identifier: MIT */
/*
 * A client of QEMU's x-remote machine: one PCI device in a process of its own, reached through a
 * socket (QEMU, docs/devel/multi-process.rst; the messages are in include/hw/remote/mpqemu-link.h).
 *
 * The peer is not trusted. Every call ends within the connection's time-out (and that of the calls
 * before it, if several threads call) and says
 *   -EPROTO      an answer of another kind or length, with a value that does not fit, or unasked
 *   -ECONNRESET  the peer closed the connection, or its process died
 *   -ETIMEDOUT   no answer, or no room to send, in time
 *   -EIO         the peer says that the access failed
 * After any of the first three the connection is good for x_remote_close() only, and every call
 * says the same again: an answer that comes late must not pass for that to the next question.
 * Descriptors that a peer attaches to an answer are dropped by the kernel, since no room is given
 * for them.
 *
 * Thread safety: any thread, any time, except attach and close. May block on a mutex and in poll.
 */
#ifndef DEVICES_X_REMOTE_H
#define DEVICES_X_REMOTE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct x_remote {
	/* Held across an exchange; guards all below. */
	pthread_mutex_t lock;
	int fd;
	/* Readable once the peer's process is dead (pidfd); -1 = none. The caller's. */
	int death_fd;
	/* Bound of one exchange, in milliseconds. */
	int timeout_ms;
	/* What ended the connection, or 0. */
	int error;
};

/* Take over a connected stream socket, also on error. -errno of fcntl. */
int x_remote_attach(struct x_remote *remote, int fd, int death_fd, int timeout_ms);
void x_remote_close(struct x_remote *remote);

void x_remote_set_timeout(struct x_remote *remote, int timeout_ms);

/* The memory that the device may reach by DMA: `size` bytes of memory_fd at guest physical 0. There
 * is no answer: an access that follows says whether the peer is still there. */
int x_remote_set_memory(struct x_remote *remote, int memory_fd, uint64_t size);

/* The eventfds of INTx, new and non-blocking: the device signals `intr` when its line rises, and
 * again on a signal to `resample` if it is still up. Returns once the peer has read `resample`, so
 * also -ETIMEDOUT and -ECONNRESET; -EINVAL: not such an eventfd. QEMU makes both block: whoever
 * reads or writes them later must not rely on O_NONBLOCK.
 *
 * Do this before any other set-up: QEMU answers already while it starts, and then resets the
 * device, which forgets it all but not this. It reads `resample` after that only. */
int x_remote_set_irqfd(struct x_remote *remote, int intr, int resample);

/* Configuration space; size 1, 2 or 4, aligned, within 4 KiB, or -EINVAL. */
int x_remote_config_read(struct x_remote *remote, uint32_t offset, uint32_t size, uint32_t *value);
int x_remote_config_write(struct x_remote *remote, uint32_t offset, uint32_t size, uint32_t value);

/* Memory (or I/O) space, by the address that was written to a BAR; size 1, 2, 4 or 8, aligned, or
 * -EINVAL. A failed read of 8 bytes cannot be told from all ones. */
int x_remote_bar_read(struct x_remote *remote, uint64_t address, uint32_t size, bool memory,
		      uint64_t *value);
int x_remote_bar_write(struct x_remote *remote, uint64_t address, uint32_t size, bool memory,
		       uint64_t value);

/* 0 while the peer is there and well; else what ended it. Waits for no answer, but for an exchange
 * that another thread is in. */
int x_remote_alive(struct x_remote *remote);

#endif
