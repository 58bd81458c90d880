// SPDX-License-Identifier: MIT
#include "storage_daemon.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "child.h"
#include "child_server.h"

#define PROGRAM	    "qemu-storage-daemon"
#define SOCKET_NAME "blk.sock"

struct storage_daemon {
	struct child child;
	struct child_server server;
};

int storage_daemon_available(void)
{
	return child_available(PROGRAM);
}

/* QEMU's option syntax ends a value at a comma; two stand for one. */
static int append_escaped(char *to, size_t size, const char *value)
{
	size_t at = strlen(to);

	for (; *value; value++) {
		if (at + 3 > size)
			return -ENAMETOOLONG;
		to[at++] = *value;
		if (*value == ',')
			to[at++] = ',';
	}
	to[at] = '\0';
	return 0;
}

static int spawn(struct storage_daemon *daemon, const char *image)
{
	char blockdev_option[] = "--blockdev", export_option[] = "--export";
	char blockdev[8400], export[512];
	char *argv[] = { NULL, blockdev_option, blockdev, export_option, export, NULL };
	int ret;

	strcpy(blockdev, "driver=file,node-name=disk,read-only=on,filename=");
	ret = append_escaped(blockdev, sizeof(blockdev), image);
	if (ret)
		return ret;
	strcpy(export, "type=vhost-user-blk,id=export,node-name=disk,addr.type=unix,addr.path=");
	ret = append_escaped(export, sizeof(export), daemon->server.address.sun_path);
	if (ret)
		return ret;
	return child_start(&daemon->child, PROGRAM, argv, NULL, -1);
}

int storage_daemon_start(const char *image, struct storage_daemon **out)
{
	struct storage_daemon *daemon = calloc(1, sizeof(*daemon));
	int ret;

	if (!daemon)
		return -ENOMEM;
	daemon->child = (struct child)CHILD_NONE;
	ret = child_server_prepare(&daemon->server, SOCKET_NAME);
	if (!ret)
		ret = spawn(daemon, image);
	if (ret) {
		storage_daemon_stop(daemon);
		return ret;
	}
	*out = daemon;
	return 0;
}

int storage_daemon_connect(struct storage_daemon *daemon, int timeout_ms)
{
	int fd = child_server_connect(&daemon->server, &daemon->child, timeout_ms);

	if (fd >= 0)
		child_server_remove(&daemon->server);
	return fd;
}

int storage_daemon_alive(struct storage_daemon *daemon)
{
	return child_alive(&daemon->child);
}

const char *storage_daemon_last_words(struct storage_daemon *daemon, char *buf, size_t size)
{
	return child_last_words(&daemon->child, buf, size);
}

pid_t storage_daemon_pid(const struct storage_daemon *daemon)
{
	return daemon->child.pid;
}

void storage_daemon_kill(struct storage_daemon *daemon)
{
	child_kill(&daemon->child);
}

void storage_daemon_stop(struct storage_daemon *daemon)
{
	if (!daemon)
		return;
	child_stop(&daemon->child);
	child_server_remove(&daemon->server);
	free(daemon);
}
