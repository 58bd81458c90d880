// SPDX-License-Identifier: MIT
/*
 * A device in a process of its own. It needs one header and no library: its interrupts are bits of a page that the
 * VMM shares with it. mailbox_vmm.c is the other side.
 *
 *	cc device.c $(pkg-config --cflags libvmirq) -o device
 *
 * Its argument is the number of a connected Unix socket. The mailbox comes over it, then requests: a byte
 * each, which says what interrupt to raise when it is done.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <vmirq/mailbox_client.h>

static int fail(const char *what, int error)
{
	fprintf(stderr, "device: %s: %s\n", what, strerror(-error));
	return 1;
}

int main(int argc, char **argv)
{
	struct vmirq_mailbox_client mailbox;
	int socket = argc > 1 ? atoi(argv[1]) : -1, error;
	unsigned char request;
	ssize_t n;

	error = vmirq_mailbox_client_receive(socket, &mailbox);
	if (error)
		return fail("no mailbox", error);
	while ((n = read(socket, &request, 1)) == 1) {
		/* Here a device would do what it was asked. A system call only if nobody looks. */
		error = vmirq_mailbox_client_raise(&mailbox, request);
		if (error < 0)
			return fail("raising", error);
	}
	vmirq_mailbox_client_detach(&mailbox);
	return n < 0 ? fail("read", -errno) : 0;
}
