/* SPDX-License-Identifier: MIT */
/*
 * Starts a qemu-storage-daemon that serves a disk image, read only, as a vhost-user-blk device, and
 * makes sure that it does not outlive this process.
 *
 * The daemon dies with the *thread* that started it (prctl PR_SET_PDEATHSIG), so start it from one
 * that lives as long as the device is wanted, such as the main thread. It runs in a process group
 * of its own: a Ctrl-C at the terminal reaches us, not it.
 */
#ifndef DEVICES_STORAGE_DAEMON_H
#define DEVICES_STORAGE_DAEMON_H

#include <stddef.h>
#include <sys/types.h>

struct storage_daemon;

/* 0 if the program is there to be started; -ENOENT. */
int storage_daemon_available(void);

/* Start it on `image`. -ENOENT: no such program; -ENAMETOOLONG; other -errno of fork and exec. The
 * image is the daemon's to open: see storage_daemon_connect(). */
int storage_daemon_start(const char *image, struct storage_daemon **out);

/* Connect to it, waiting until it listens, and remove its socket from the file system, since it
 * serves one front end. Returns the socket. -ETIMEDOUT; -ECHILD: it died, see _last_words(). */
int storage_daemon_connect(struct storage_daemon *daemon, int timeout_ms);

/* 0 while it runs; -ECHILD once it is dead. Never waits. Any thread, one at a time. */
int storage_daemon_alive(struct storage_daemon *daemon);

/* How it died and what it said, in one line ("" while it runs). Returns buf. */
const char *storage_daemon_last_words(struct storage_daemon *daemon, char *buf, size_t size);

pid_t storage_daemon_pid(const struct storage_daemon *daemon);

/* SIGKILL and reap: when it returns, the daemon does nothing any more. Errors that follow are those
 * of a daemon that died. */
void storage_daemon_kill(struct storage_daemon *daemon);

/* SIGTERM, after two seconds SIGKILL, reap, remove what it left. NULL is nothing. */
void storage_daemon_stop(struct storage_daemon *daemon);

#endif
