/* SPDX-License-Identifier: MIT */
#include "pump/aio_bell.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* Requests under way, of threads that ring at once; the kernel gives more. */
#define REQUESTS 16

struct aio_bell {
	aio_context_t context;
	int fd;
	int room; /* an eventfd of our own that nobody writes to */
};

/* Take the results, which say nothing, or there would be no room for more. */
static void reap(struct aio_bell *bell)
{
	struct io_event events[REQUESTS];
	struct timespec none = { 0 };

	syscall(SYS_io_getevents, bell->context, 1L, (long)REQUESTS, events, &none);
}

static bool submit(struct aio_bell *bell, int fd)
{
	struct iocb request = {
		.aio_lio_opcode = IOCB_CMD_POLL,
		.aio_fildes = (uint32_t)bell->room,
		.aio_buf = POLLOUT,
		.aio_flags = IOCB_FLAG_RESFD,
		.aio_resfd = (uint32_t)fd,
	};
	struct iocb *requests[] = { &request };
	bool done = syscall(SYS_io_submit, bell->context, 1L, requests) == 1;
	int error = errno;

	/* -EINTR where there is nothing to take and a signal has come. */
	reap(bell);
	errno = error;
	return done;
}

void vmirq_aio_bell_ring(struct aio_bell *bell)
{
	int saved = errno;

	/* -EAGAIN: others' results stood in all places, and have been taken. */
	while (!submit(bell, bell->fd) && errno == EAGAIN)
		;
	errno = saved;
}

/* On an eventfd of our own: does this kernel do it all at once? */
static bool works(struct aio_bell *bell)
{
	uint64_t value = 0;
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	bool good = fd >= 0 && submit(bell, fd) &&
		    read(fd, &value, sizeof(value)) == (ssize_t)sizeof(value) && value == 1;

	if (fd >= 0)
		close(fd);
	return good;
}

int vmirq_aio_bell_create(int fd, struct aio_bell **out)
{
	struct aio_bell *bell = calloc(1, sizeof(*bell));

	if (!bell)
		return -ENOMEM;
	bell->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	bell->room = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (bell->fd < 0 || bell->room < 0 ||
	    syscall(SYS_io_setup, (long)REQUESTS, &bell->context) < 0 || !works(bell)) {
		vmirq_aio_bell_destroy(bell);
		return -EOPNOTSUPP;
	}
	*out = bell;
	return 0;
}

void vmirq_aio_bell_destroy(struct aio_bell *bell)
{
	if (!bell)
		return;
	if (bell->context)
		syscall(SYS_io_destroy, bell->context);
	if (bell->room >= 0)
		close(bell->room);
	if (bell->fd >= 0)
		close(bell->fd);
	free(bell);
}
