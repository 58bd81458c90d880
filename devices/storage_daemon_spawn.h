/* SPDX-License-Identifier: MIT */
/*
 * Start a program that dies with the thread that started it.
 */
#ifndef DEVICES_STORAGE_DAEMON_SPAWN_H
#define DEVICES_STORAGE_DAEMON_SPAWN_H

#include <stddef.h>
#include <sys/types.h>

/* Where PATH has the program. -ENOENT, -ENAMETOOLONG. */
int spawn_find(const char *program, char *path, size_t size);

/* Run argv[0] in a process group of its own, with no input, `output` for what it prints, no signal blocked
 * or ignored and no other descriptor. Returns once it runs; -errno of fork, or of exec. */
int spawn_start(char *const *argv, int output, pid_t *pid);

#endif
