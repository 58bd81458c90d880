/* SPDX-License-Identifier: MIT */
/*
 * Calls of libc that are cancellation points, without being one: for where a thread that is cancelled would
 * leave something locked, a read section open, or a thing half made or half ended. What blocks in one of
 * them cannot be cancelled.
 *
 * Of the other calls that the library makes ioctl(), epoll_ctl(), eventfd() and timerfd_settime() are none, and
 * fcntl() is one for locks of files only.
 */
#ifndef BASE_NO_CANCEL_H
#define BASE_NO_CANCEL_H

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

static inline int no_cancel_open(const char *path, int flags)
{
	return (int)syscall(SYS_openat, AT_FDCWD, path, flags);
}

static inline ssize_t no_cancel_read(int fd, void *to, size_t bytes)
{
	return syscall(SYS_read, fd, to, bytes);
}

static inline ssize_t no_cancel_write(int fd, const void *from, size_t bytes)
{
	return syscall(SYS_write, fd, from, bytes);
}

/* By its name, so that ThreadSanitizer knows that the number may be another's next. */
static inline void no_cancel_close(int fd)
{
	int before;

	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before);
	close(fd);
	pthread_setcancelstate(before, &before);
}

/* What holds now: as poll() without a time to wait. */
static inline int no_cancel_look(struct pollfd *fd)
{
	struct timespec none = { 0 };

	return (int)syscall(SYS_ppoll, fd, 1L, &none, NULL, 0L);
}

static inline void no_cancel_join(pthread_t thread)
{
	int before;

	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before);
	pthread_join(thread, NULL);
	pthread_setcancelstate(before, &before);
}

#endif
