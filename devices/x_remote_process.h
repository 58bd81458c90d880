/* SPDX-License-Identifier: MIT */
/*
 * Starts a QEMU that is nothing but one PCI device, for x_remote.h. As child.h says of its life.
 */
#ifndef DEVICES_X_REMOTE_PROCESS_H
#define DEVICES_X_REMOTE_PROCESS_H

#include "child.h"

/* 0 if the program is there to be started; -ENOENT. Whether it has the x-remote machine built in is
 * seen when it is started: it dies, see child_last_words(). */
int x_remote_process_available(void);

/* Start it with `-device DEVICE,id=device`; DEVICE is in QEMU's syntax, e.g. "e1000,romfile=".
 * *socket is connected to it at once, close-on-exec, and the caller's. -ENOENT: no such program;
 * -ENAMETOOLONG; other -errno of socketpair and child_start(). child_stop() it, also after an
 * error. */
int x_remote_process_start(struct child *child, const char *device, int *socket);

#endif
