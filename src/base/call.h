/* SPDX-License-Identifier: MIT */
/* An ioctl without libc's function for it. A return that follows a system call is mispredicted, since the kernel
 * uses up the processor's stack of them: on the path of a message each one counts, and so it does for each of many
 * irqfds. */
#ifndef BASE_CALL_H
#define BASE_CALL_H

#include <errno.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

/* As ioctl(), but -errno and errno as it was. */
static inline int kernel_call(int fd, unsigned long request, void *argument)
{
#if defined(__x86_64__) && !defined(__ILP32__)
	long result;

	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "0"((long)SYS_ioctl), "D"((long)fd), "S"(request), "d"(argument)
			 : "rcx", "r11", "memory");
	return (int)result;
#else
	int saved = errno, result = ioctl(fd, request, argument);

	if (result < 0) {
		result = -errno;
		errno = saved;
	}
	return result;
#endif
}

#endif
