// SPDX-License-Identifier: MIT
#include "storage_daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "storage_daemon_spawn.h"

#define PROGRAM	    "qemu-storage-daemon"
#define SOCKET_NAME "blk.sock"
#define STOP_MS	    2000
#define POLL_MS	    5

struct storage_daemon {
	pid_t pid;
	bool dead;
	int status;
	/* What it prints goes to memory, so nothing is left on the disk whatever happens. */
	int log;
	char directory[80];
	struct sockaddr_un address;
};

static void sleep_ms(long ms)
{
	struct timespec ts = { ms / 1000, ms % 1000 * 1000000 };

	nanosleep(&ts, NULL);
}

int storage_daemon_available(void)
{
	char path[4096];

	return spawn_find(PROGRAM, path, sizeof(path));
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

static int make_directory(struct storage_daemon *daemon)
{
	const char *base = getenv("TMPDIR");
	int n;

	if (!base || base[0] != '/')
		base = "/tmp";
	n = snprintf(daemon->directory, sizeof(daemon->directory), "%s/vmirq-XXXXXX", base);
	/* A Unix socket's path is short: a long TMPDIR is not worth failing for. */
	if (n < 0 || (size_t)n >= sizeof(daemon->directory))
		strcpy(daemon->directory, "/tmp/vmirq-XXXXXX");
	if (!mkdtemp(daemon->directory)) {
		daemon->directory[0] = '\0';
		return -errno;
	}
	daemon->address.sun_family = AF_UNIX;
	n = snprintf(daemon->address.sun_path, sizeof(daemon->address.sun_path), "%s/%s",
		     daemon->directory, SOCKET_NAME);
	return n < 0 || (size_t)n >= sizeof(daemon->address.sun_path) ? -ENAMETOOLONG : 0;
}

static void remove_directory(struct storage_daemon *daemon)
{
	if (!daemon->directory[0])
		return;
	unlink(daemon->address.sun_path);
	rmdir(daemon->directory);
	daemon->directory[0] = '\0';
}

static int spawn(struct storage_daemon *daemon, const char *image)
{
	char blockdev_option[] = "--blockdev", export_option[] = "--export";
	char program[4096], blockdev[8400], export[512];
	char *argv[] = { program, blockdev_option, blockdev, export_option, export, NULL };
	int ret = spawn_find(PROGRAM, program, sizeof(program));

	if (ret)
		return ret;
	strcpy(blockdev, "driver=file,node-name=disk,read-only=on,filename=");
	ret = append_escaped(blockdev, sizeof(blockdev), image);
	if (ret)
		return ret;
	strcpy(export, "type=vhost-user-blk,id=export,node-name=disk,addr.type=unix,addr.path=");
	ret = append_escaped(export, sizeof(export), daemon->address.sun_path);
	if (ret)
		return ret;
	return spawn_start(argv, daemon->log, &daemon->pid);
}

int storage_daemon_start(const char *image, struct storage_daemon **out)
{
	struct storage_daemon *daemon = calloc(1, sizeof(*daemon));
	int ret;

	if (!daemon)
		return -ENOMEM;
	daemon->log = memfd_create("storage-daemon-log", MFD_CLOEXEC);
	ret = daemon->log < 0 ? -errno : make_directory(daemon);
	if (!ret)
		ret = spawn(daemon, image);
	if (ret) {
		daemon->dead = true;
		storage_daemon_stop(daemon);
		return ret;
	}
	*out = daemon;
	return 0;
}

int storage_daemon_alive(struct storage_daemon *daemon)
{
	pid_t got;

	if (daemon->dead)
		return -ECHILD;
	do
		got = waitpid(daemon->pid, &daemon->status, WNOHANG);
	while (got < 0 && errno == EINTR);
	if (got == 0)
		return 0;
	/* An error means that somebody else has reaped it: gone all the same, its status unknown. */
	if (got < 0)
		daemon->status = 0;
	daemon->dead = true;
	return -ECHILD;
}

int storage_daemon_connect(struct storage_daemon *daemon, int timeout_ms)
{
	for (int waited = 0;; waited += POLL_MS) {
		int ret, fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

		if (fd < 0)
			return -errno;
		if (!connect(fd, (struct sockaddr *)&daemon->address, sizeof(daemon->address))) {
			remove_directory(daemon);
			return fd;
		}
		ret = -errno;
		close(fd);
		if (ret != -ENOENT && ret != -ECONNREFUSED && ret != -EAGAIN && ret != -EINTR)
			return ret;
		if (storage_daemon_alive(daemon))
			return -ECHILD;
		if (waited >= timeout_ms)
			return -ETIMEDOUT;
		sleep_ms(POLL_MS);
	}
}

/* The first line it printed, without its own name in front. */
static void first_line(struct storage_daemon *daemon, char *line, size_t size)
{
	ssize_t n = pread(daemon->log, line, size - 1, 0);
	size_t prefix = strlen(PROGRAM ": ");

	line[n > 0 ? n : 0] = '\0';
	line[strcspn(line, "\n")] = '\0';
	if (strncmp(line, PROGRAM ": ", prefix) == 0)
		memmove(line, line + prefix, strlen(line + prefix) + 1);
}

const char *storage_daemon_last_words(struct storage_daemon *daemon, char *buf, size_t size)
{
	char line[400];
	int n;

	buf[0] = '\0';
	if (!storage_daemon_alive(daemon))
		return buf;
	first_line(daemon, line, sizeof(line));
	if (WIFSIGNALED(daemon->status))
		n = snprintf(buf, size, PROGRAM " was killed by signal %d (%s)",
			     WTERMSIG(daemon->status), strsignal(WTERMSIG(daemon->status)));
	else
		n = snprintf(buf, size, PROGRAM " ended with status %d",
			     WEXITSTATUS(daemon->status));
	if (line[0] && n > 0 && (size_t)n < size)
		snprintf(buf + n, size - (size_t)n, ": %s", line);
	return buf;
}

pid_t storage_daemon_pid(const struct storage_daemon *daemon)
{
	return daemon->pid;
}

void storage_daemon_kill(struct storage_daemon *daemon)
{
	if (storage_daemon_alive(daemon))
		return;
	kill(daemon->pid, SIGKILL);
	while (!storage_daemon_alive(daemon))
		sleep_ms(1);
}

void storage_daemon_stop(struct storage_daemon *daemon)
{
	if (!daemon)
		return;
	/* The pid cannot be another process's: only waitpid() in _alive() gives it back. */
	if (!storage_daemon_alive(daemon)) {
		kill(daemon->pid, SIGTERM);
		for (int waited = 0; waited < STOP_MS && !storage_daemon_alive(daemon);
		     waited += POLL_MS)
			sleep_ms(POLL_MS);
	}
	storage_daemon_kill(daemon);
	remove_directory(daemon);
	if (daemon->log >= 0)
		close(daemon->log);
	free(daemon);
}
