/* SPDX-License-Identifier: MIT */
/*
 * The private directory of a child that listens on a Unix socket there, and the way to that socket.
 *
 * Thread safety: one thread at a time.
 */
#ifndef DEVICES_CHILD_SERVER_H
#define DEVICES_CHILD_SERVER_H

#include <sys/un.h>

#include "child.h"

struct child_server {
	/* "" once it is removed. */
	char directory[80];
	struct sockaddr_un address;
};

/* Make the directory, under TMPDIR or /tmp, readable by us alone, and name a socket in it.
 * -errno of mkdtemp; -ENAMETOOLONG. */
int child_server_prepare(struct child_server *server, const char *socket_name);

/* Connect to the child, waiting until it listens. Returns the socket, which is close-on-exec and
 * does not block. -ETIMEDOUT; -ECHILD: it died, see child_last_words(). */
int child_server_connect(const struct child_server *server, struct child *child, int timeout_ms);

/* Remove socket and directory; whoever is connected stays so. Twice is harmless. -errno of rmdir,
 * such as -ENOTEMPTY: the child has put something else there. */
int child_server_remove(struct child_server *server);

#endif
