/* SPDX-License-Identifier: MIT */
/*
 * What `vmirq run` shares with the device process that it starts for the kind `mailbox`, besides the mailbox:
 * how often to raise, and how often it did. A raise is ordered and answered here without a system call,
 * unless the device has gone to sleep for want of orders.
 */
#ifndef VMIRQ_MAILBOX_ORDERS_H
#define VMIRQ_MAILBOX_ORDERS_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "source.h"

/* What the process calls itself. */
#define MAILBOX_DEVICE	   "vmirq-mailbox"
#define MAILBOX_SUBCOMMAND "mailbox-device"
/* Its end of the socket. */
#define MAILBOX_SOCKET 3

/* In a sealed memfd. The two sides' parts share no cache line. */
struct mailbox_orders {
	/* The command's. Raise number n goes to lane n % lanes. */
	_Atomic uint64_t wanted;
	_Atomic uint32_t stop;
	/* Moves with each order; a futex. */
	_Atomic uint32_t bell;
	/* Constant. By eventfds: one for each lane, and no mailbox follows. */
	uint32_t lanes;
	uint32_t by_eventfd;
	uint8_t unused[40];

	/* The device's. */
	_Atomic uint64_t done;
	/* When it began on the last order, CLOCK_MONOTONIC in ns. */
	_Atomic uint64_t began_at;
	struct {
		_Atomic uint64_t raised;
		/* Of them: the bit was set already. */
		_Atomic uint64_t merged;
	} lane[LANES_MAX];
	/* It may be asleep on the bell. */
	_Atomic uint32_t sleeps;
};
_Static_assert(offsetof(struct mailbox_orders, done) == 64, "on a line of its own");

/* A message of one byte with descriptors: 0 or -errno. */
int mailbox_send_fds(int socket, const int *fds, size_t n);
/* Exactly so many. -EPROTO: something else came. */
int mailbox_receive_fds(int socket, int *fds, size_t n);

#endif
