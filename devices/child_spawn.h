/* SPDX-License-Identifier: MIT */
/*
 * Start a program that dies with the thread that started it.
 */
#ifndef DEVICES_CHILD_SPAWN_H
#define DEVICES_CHILD_SPAWN_H

#include <stddef.h>
#include <sys/types.h>

/* The number under which the program finds the descriptor it was given. */
#define CHILD_SPAWN_FD 3

struct child_spawn {
	/* argv[0] is the path. */
	char *const *argv;
	char *const *environment;
	/* For what it prints. */
	int output;
	/* Passed on as CHILD_SPAWN_FD; -1 = none. */
	int pass;
};

/* Where PATH has the program; one with a slash is where it says. -ENOENT. */
int child_spawn_find(const char *program, char *path, size_t size);

/* Run it in a process group of its own, with no input, no signal blocked or ignored, and no other
 * descriptor. Returns once it runs; -errno of fork, or of exec. */
int child_spawn(const struct child_spawn *how, pid_t *pid);

#endif
