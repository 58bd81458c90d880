// SPDX-License-Identifier: MIT
#include "qtest.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "child_spawn.h"
#include "qtest_door.h"
#include "vhost_user_socket.h"

#define PROGRAM "qemu-system-x86_64"
/* A machine may be busy; a QEMU that answers at all does so in microseconds. */
#define ANSWER_MS  10000
#define DEATH_MS   2000
#define NUMBER(n)  #n
#define AS_TEXT(n) NUMBER(n)

static int start(struct child *child, enum qtest_door door, int pass)
{
	/* Stopped (-S), so nothing but us moves anything; no timer of a HPET takes GSI 0. */
	char words[][20] = {
		"-nodefaults", "-no-user-config", "-machine", "pc,hpet=off", "-accel", "tcg",
		"-S",	       "-display",	  "none",     "-m",	     "2",      "-chardev"
	};
	char chardev[] = "socket,id=door,fd=" AS_TEXT(CHILD_SPAWN_FD);
	char object[] = "-object", qtest[] = "qtest,id=qtest,chardev=door,log=none";
	char mon[] = "-mon", qmp[] = "chardev=door,mode=control";
	char *argv[sizeof(words) / sizeof(words[0]) + 5];
	size_t n = 1;

	argv[0] = NULL;
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		argv[n++] = words[i];
	argv[n++] = chardev;
	argv[n++] = door == QTEST_DOOR_QMP ? mon : object;
	argv[n++] = door == QTEST_DOOR_QMP ? qmp : qtest;
	argv[n] = NULL;
	return child_start(child, PROGRAM, argv, NULL, pass);
}

int qtest_open(struct qtest *q, enum qtest_door door)
{
	int fd[2], error;

	q->child = (struct child)CHILD_NONE;
	q->fd = -1;
	q->lines = 0;
	q->queued = q->from = q->to = 0;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd))
		return -errno;
	error = start(&q->child, door, fd[1]);
	/* The only copy left is the child's, so that its death closes the connection. */
	close(fd[1]);
	if (error)
		close(fd[0]);
	else
		q->fd = fd[0];
	return error;
}

int qtest_start(struct qtest *q)
{
	return qtest_open(q, QTEST_DOOR_QTEST);
}

void qtest_stop(struct qtest *q)
{
	/* Nothing in it is worth keeping. */
	child_kill(&q->child);
	child_stop(&q->child);
	if (q->fd >= 0)
		close(q->fd);
	q->fd = -1;
}

int qtest_put(struct qtest *q, const char *format, ...)
{
	size_t room = sizeof(q->out) - q->queued;
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(q->out + q->queued, room, format, args);
	va_end(args);
	if (n < 0 || (size_t)n + 1 >= room)
		return -ENOBUFS;
	q->queued += (size_t)n;
	q->out[q->queued++] = '\n';
	return 0;
}

/* More of what it says. */
static int receive(struct qtest *q, int64_t deadline)
{
	struct pollfd ready = { .fd = q->fd, .events = POLLIN };
	int64_t left = deadline - socket_now_ms();
	ssize_t n;

	if (q->from) {
		memmove(q->in, q->in + q->from, q->to - q->from);
		q->to -= q->from;
		q->from = 0;
	}
	if (q->to == sizeof(q->in))
		return -EPROTO;
	n = left > 0 ? poll(&ready, 1, (int)left) : 0;
	if (!n)
		return -ETIMEDOUT;
	if (n < 0)
		return errno == EINTR ? 0 : -errno;
	n = recv(q->fd, q->in + q->to, sizeof(q->in) - q->to, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n <= 0)
		return -ECONNRESET;
	q->to += (size_t)n;
	return 0;
}

int qtest_line(struct qtest *q, char **line)
{
	int64_t deadline = socket_now_ms() + ANSWER_MS;
	int error = 0;

	if (q->queued)
		error = socket_send(q->fd, q->out, q->queued, NULL, 0, deadline);
	q->queued = 0;
	while (!error) {
		char *end = memchr(q->in + q->from, '\n', q->to - q->from);

		if (end) {
			*line = q->in + q->from;
			*end = '\0';
			q->from = (size_t)(end + 1 - q->in);
			return 0;
		}
		error = receive(q, deadline);
	}
	/* It is dying: so that who asks why is told how it ended. */
	if (error == -ECONNRESET || error == -EPIPE)
		child_wait(&q->child, DEATH_MS);
	return error;
}

/* "IRQ raise 0": comes before the answer to what has raised it. True: it was one. */
static bool is_intercept(struct qtest *q, const char *line)
{
	char what[8];
	unsigned int n;

	if (sscanf(line, "IRQ %7s %u", what, &n) != 2 || n >= 64)
		return false;
	if (strcmp(what, "raise") == 0)
		q->lines |= UINT64_C(1) << n;
	else
		q->lines &= ~(UINT64_C(1) << n);
	return true;
}

int qtest_get(struct qtest *q, uint64_t *value)
{
	char *line;
	int error;

	do
		error = qtest_line(q, &line);
	while (!error && is_intercept(q, line));
	if (error)
		return error;
	if (strncmp(line, "OK", 2) != 0)
		return -EPROTO;
	if (value)
		*value = strtoull(line + 2, NULL, 0);
	return 0;
}
