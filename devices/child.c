// SPDX-License-Identifier: MIT
#include "child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "child_spawn.h"

#define STOP_MS	 2000
#define POLL_MS	 5
#define LOG_SIZE 65536

int child_available(const char *program)
{
	char path[4096];

	return child_spawn_find(program, path, sizeof(path));
}

/* It cannot grow: a child that prints without end gets an error, not our memory. */
static int open_log(const char *program)
{
	int fd = memfd_create(program, MFD_CLOEXEC | MFD_ALLOW_SEALING), ret;

	if (fd < 0)
		return -errno;
	if (!ftruncate(fd, LOG_SIZE) &&
	    !fcntl(fd, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL))
		return fd;
	ret = -errno;
	close(fd);
	return ret;
}

/* Ours with one more in front, where getenv() finds it before a variable of the same name. */
static char **extended_environment(const char *variable)
{
	size_t n = 0;
	char **all;

	while (environ && environ[n])
		n++;
	all = calloc(n + 2, sizeof(*all));
	if (!all)
		return NULL;
	if (n)
		memcpy(all + (variable ? 1 : 0), environ, n * sizeof(*all));
	if (variable)
		all[0] = (char *)(uintptr_t)variable;
	return all;
}

int child_start(struct child *child, const char *program, char **argv, const char *variable,
		int pass)
{
	struct child_spawn how = { .argv = argv, .pass = pass };
	char path[4096], **environment;
	int ret;

	*child = (struct child)CHILD_NONE;
	child->program = program;
	ret = child_spawn_find(program, path, sizeof(path));
	if (ret)
		return ret;
	child->log = open_log(program);
	if (child->log < 0)
		return child->log;
	environment = extended_environment(variable);
	argv[0] = path;
	how.environment = environment;
	how.output = child->log;
	ret = environment ? child_spawn(&how, &child->pid) : -ENOMEM;
	free(environment);
	argv[0] = NULL;
	if (ret) {
		child_stop(child);
		return ret;
	}
	child->dead = false;
	/* Close-on-exec by itself. The pid is ours until it is reaped, so this is the right one. */
	child->death_fd = (int)syscall(SYS_pidfd_open, child->pid, 0);
	return 0;
}

int child_alive(struct child *child)
{
	pid_t got;

	if (child->dead)
		return -ECHILD;
	do
		got = waitpid(child->pid, &child->status, WNOHANG);
	while (got < 0 && errno == EINTR);
	if (got == 0)
		return 0;
	/* An error means that somebody else has reaped it: gone all the same, its status unknown.
	 * */
	if (got < 0)
		child->status = 0;
	child->dead = true;
	return -ECHILD;
}

int child_wait(struct child *child, int timeout_ms)
{
	struct pollfd death = { .fd = child->death_fd, .events = POLLIN };

	for (int waited = 0; waited < timeout_ms && !child_alive(child); waited += POLL_MS)
		poll(&death, child->death_fd >= 0, POLL_MS);
	return child_alive(child);
}

/* A child's text goes to somebody's terminal. */
static void make_printable(char *line)
{
	for (; *line; line++)
		if (*line < ' ' || *line > '~')
			*line = '?';
}

/* Either it says its own name first, as QEMU does, or it sounds like this. */
static bool complains(const struct child *child, const char *line)
{
	static const char *const signs[] = { "rror", "annot", "ailed", "FATAL" };
	size_t name = strlen(child->program);

	if (!strncmp(line, child->program, name) && line[name] == ':')
		return strncmp(line + name, ": warning", strlen(": warning")) != 0;
	for (size_t i = 0; i < sizeof(signs) / sizeof(signs[0]); i++)
		if (strstr(line, signs[i]))
			return true;
	return false;
}

/* The first complaint, without the program's name in front; "" if there is none. */
static void first_complaint(const struct child *child, char *line, size_t size)
{
	char text[8192], *rest = text, *at;
	size_t name = strlen(child->program);
	ssize_t n = pread(child->log, text, sizeof(text) - 1, 0);

	text[n > 0 ? n : 0] = '\0';
	do
		at = strsep(&rest, "\n");
	while (at && !complains(child, at));
	if (at && !strncmp(at, child->program, name) && !strncmp(at + name, ": ", 2))
		at += name + 2;
	snprintf(line, size, "%s", at ? at : "");
	make_printable(line);
}

const char *child_last_words(struct child *child, char *buf, size_t size)
{
	char line[400];
	int n;

	buf[0] = '\0';
	if (!child->pid || !child_alive(child))
		return buf;
	first_complaint(child, line, sizeof(line));
	if (WIFSIGNALED(child->status))
		n = snprintf(buf, size, "%s was killed by signal %d (%s)", child->program,
			     WTERMSIG(child->status), strsignal(WTERMSIG(child->status)));
	else
		n = snprintf(buf, size, "%s ended with status %d", child->program,
			     WEXITSTATUS(child->status));
	if (line[0] && n > 0 && (size_t)n < size)
		snprintf(buf + n, size - (size_t)n, ": %s", line);
	return buf;
}

void child_kill(struct child *child)
{
	/* The pid cannot be another process's: only waitpid() in _alive() gives it back. */
	if (child_alive(child))
		return;
	kill(child->pid, SIGKILL);
	while (!child_wait(child, STOP_MS))
		;
}

void child_stop(struct child *child)
{
	if (!child_alive(child)) {
		kill(child->pid, SIGTERM);
		child_wait(child, STOP_MS);
	}
	child_kill(child);
	if (child->death_fd >= 0)
		close(child->death_fd);
	if (child->log >= 0)
		close(child->log);
	child->death_fd = -1;
	child->log = -1;
}
