// SPDX-License-Identifier: MIT
#include "x_remote_process.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "child_spawn.h"

#define PROGRAM	   "qemu-system-x86_64"
#define NUMBER(n)  #n
#define AS_TEXT(n) NUMBER(n)

int x_remote_process_available(void)
{
	return child_available(PROGRAM);
}

static int start(struct child *child, const char *device, int pass)
{
	char nodefaults[] = "-nodefaults", no_config[] = "-no-user-config";
	char machine[] = "-machine", machine_value[] = "x-remote";
	char display[] = "-display", display_value[] = "none";
	char device_option[] = "-device", device_value[256];
	char object[] = "-object";
	char object_value[] = "x-remote-object,id=remote,devid=device,fd=" AS_TEXT(CHILD_SPAWN_FD);
	char *argv[] = { NULL,		nodefaults, no_config,	   machine,
			 machine_value, display,    display_value, device_option,
			 device_value,	object,	    object_value,  NULL };
	int n = snprintf(device_value, sizeof(device_value), "%s,id=device", device);

	if (n < 0 || (size_t)n >= sizeof(device_value))
		return -ENAMETOOLONG;
	return child_start(child, PROGRAM, argv, NULL, pass);
}

int x_remote_process_start(struct child *child, const char *device, int *out)
{
	int fd[2], ret;

	*child = (struct child)CHILD_NONE;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd))
		return -errno;
	ret = start(child, device, fd[1]);
	/* The only copy left is the child's, so that its death closes the connection. */
	close(fd[1]);
	if (ret)
		close(fd[0]);
	else
		*out = fd[0];
	return ret;
}
