/* SPDX-License-Identifier: MIT */
/*
 * A device's process: started, watched, and stopped by its pid; never left behind.
 *
 * It dies with the *thread* that started it (prctl PR_SET_PDEATHSIG), so start it from one that
 * lives as long as the device is wanted, such as the main thread. It runs in a process group of its
 * own: a Ctrl-C at the terminal reaches us, not it.
 *
 * Thread safety: one thread at a time on one child; anybody may poll its death_fd.
 */
#ifndef DEVICES_CHILD_H
#define DEVICES_CHILD_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct child {
	const char *program;
	/* 0: it was never started. */
	pid_t pid;
	/* Readable once it is dead (pidfd); -1 where the kernel has none (before Linux 5.3). */
	int death_fd;
	/* What it prints goes to memory, so nothing is left on the disk whatever happens. */
	int log;
	bool dead;
	/* As waitpid() gave it, once dead. */
	int status;
};

/* One that was never started, for child_stop(). */
#define CHILD_NONE                                      \
	{                                               \
		.death_fd = -1, .log = -1, .dead = true \
	}

/* 0 if the program is there to be started; -ENOENT. */
int child_available(const char *program);

/* Run `program` with argv[1...] (argv[0] is set here), with `variable` ("NAME=value" or NULL) added
 * to the environment, and `pass` (-1 = none) as its descriptor 3. `program` must stay.
 * -ENOENT: no such program; other -errno of memfd_create, fork and exec. After an error there is
 * nothing to stop, and child_stop() does nothing. */
int child_start(struct child *child, const char *program, char **argv, const char *variable,
		int pass);

/* 0 while it runs; -ECHILD once it is dead. Never waits. */
int child_alive(struct child *child);

/* The same, but waits so long for it to die. */
int child_wait(struct child *child, int timeout_ms);

/* How it died and what it complained of, in one printable line ("" while it runs, and of one that was
 * never started). Returns buf. */
const char *child_last_words(struct child *child, char *buf, size_t size);

/* SIGKILL and reap: when it returns, the child does nothing any more. */
void child_kill(struct child *child);

/* SIGTERM, after two seconds SIGKILL; reap; close what child_start() opened. Twice is harmless. */
void child_stop(struct child *child);

#endif
