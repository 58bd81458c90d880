/* SPDX-License-Identifier: MIT */
/*
 * Starts a dpdk-testpmd that sends packets as fast as the other side takes them, over vhost-user: a
 * storm of interrupts for vhost_user_net.h. As child.h says of its life.
 *
 * It keeps one CPU busy from the moment it runs until it is stopped or held, at nice 10. It uses 64 MiB of ordinary
 * memory and no device, hugepage or privilege, and leaves no files: of DPDK's own it gets none, but
 * for an empty directory, which is removed with that of its socket once somebody is connected.
 */
#ifndef DEVICES_TESTPMD_H
#define DEVICES_TESTPMD_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct testpmd;

/* 0 if the program is there to be started; -ENOENT. */
int testpmd_available(void);

/* -ENOENT: no such program; -ENAMETOOLONG; other -errno of mkdtemp, fork and exec. */
int testpmd_start(struct testpmd **out);

/* Connect to it, waiting until it listens (a second or so; ten on a busy machine), and remove what
 * it has in the file system, since it serves one front end. Returns the socket. -ETIMEDOUT;
 * -ECHILD: it died, see _last_words(). */
int testpmd_connect(struct testpmd *testpmd, int timeout_ms);

/* 0 while it runs; -ECHILD once it is dead. Never waits. One thread at a time. */
int testpmd_alive(struct testpmd *testpmd);

/* How it died and what it complained of, in one line ("" while it runs). Returns buf. */
const char *testpmd_last_words(struct testpmd *testpmd, char *buf, size_t size);

pid_t testpmd_pid(const struct testpmd *testpmd);
/* Readable once it is dead (for an event loop; read nothing from it); -1 = not known. */
int testpmd_death_fd(const struct testpmd *testpmd);

/* Hold it (SIGSTOP), so that it costs no CPU, and let it go on. A held one answers no message. */
void testpmd_hold(struct testpmd *testpmd, bool hold);

/* SIGKILL and reap: when it returns, it does nothing any more. */
void testpmd_kill(struct testpmd *testpmd);

/* Stop it, reap it, remove what it left. NULL is nothing. */
void testpmd_stop(struct testpmd *testpmd);

#endif
