// SPDX-License-Identifier: MIT
#include "child_server.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vhost_user_socket.h"

#define POLL_MS 5

int child_server_prepare(struct child_server *server, const char *socket_name)
{
	const char *base = getenv("TMPDIR");
	int n;

	*server = (struct child_server){ .address.sun_family = AF_UNIX };
	if (!base || base[0] != '/')
		base = "/tmp";
	n = snprintf(server->directory, sizeof(server->directory), "%s/vmirq-XXXXXX", base);
	/* A Unix socket's path is short: a long TMPDIR is not worth failing for. */
	if (n < 0 || (size_t)n >= sizeof(server->directory))
		strcpy(server->directory, "/tmp/vmirq-XXXXXX");
	if (!mkdtemp(server->directory)) {
		server->directory[0] = '\0';
		return -errno;
	}
	n = snprintf(server->address.sun_path, sizeof(server->address.sun_path), "%s/%s",
		     server->directory, socket_name);
	if (n >= 0 && (size_t)n < sizeof(server->address.sun_path))
		return 0;
	rmdir(server->directory);
	server->directory[0] = '\0';
	return -ENAMETOOLONG;
}

int child_server_connect(const struct child_server *server, struct child *child, int timeout_ms)
{
	int64_t deadline = socket_now_ms() + timeout_ms;

	for (;;) {
		int ret, fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

		if (fd < 0)
			return -errno;
		if (!connect(fd, (const struct sockaddr *)&server->address,
			     sizeof(server->address)))
			return fd;
		ret = -errno;
		close(fd);
		/* Not there yet, not listening yet, or its queue is full. */
		if (ret != -ENOENT && ret != -ECONNREFUSED && ret != -EAGAIN && ret != -EINTR)
			return ret;
		if (child_wait(child, POLL_MS))
			return -ECHILD;
		if (socket_now_ms() >= deadline)
			return -ETIMEDOUT;
	}
}

int child_server_remove(struct child_server *server)
{
	if (!server->directory[0])
		return 0;
	unlink(server->address.sun_path);
	if (rmdir(server->directory) < 0)
		return -errno;
	server->directory[0] = '\0';
	return 0;
}
