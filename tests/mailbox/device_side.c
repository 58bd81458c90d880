// SPDX-License-Identifier: MIT
#include "device_side.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>

struct vmirq_mailbox *mailbox_new(struct soft *s, uint32_t count)
{
	struct vmirq_mailbox_config config = { .size = sizeof(config), .count = count };
	struct vmirq_mailbox *mailbox = NULL;

	assert_int_equal(vmirq_mailbox_create(s->vm, &config, &mailbox), 0);
	return mailbox;
}

struct vmirq_mailbox_client client_of(struct vmirq_mailbox *mailbox)
{
	struct vmirq_mailbox_client client;

	assert_int_equal(vmirq_mailbox_client_attach(&client, dup(vmirq_mailbox_memfd(mailbox)),
						     dup(vmirq_mailbox_doorbell(mailbox))),
			 0);
	return client;
}

struct vmirq_mailbox_counts mailbox_counts(struct vmirq_mailbox *mailbox)
{
	struct vmirq_mailbox_counts c = { .size = sizeof(c) };

	assert_int_equal(vmirq_mailbox_counts(mailbox, &c), 0);
	return c;
}

void mailbox_check(struct vmirq_mailbox *mailbox)
{
	struct vmirq_mailbox_counts c = mailbox_counts(mailbox);

	assert_int_equal(c.raised, c.signalled + c.coalesced + c.dropped + c.held);
}

void mailbox_end(struct vmirq_mailbox *mailbox)
{
	mailbox_check(mailbox);
	assert_int_equal(vmirq_mailbox_destroy(mailbox), 0);
}

/* It lies beside this program. */
static void device_path(char *path, size_t size, const char *program)
{
	ssize_t n = readlink("/proc/self/exe", path, size - 1);
	char *name;

	assert_true(n > 0);
	path[n] = '\0';
	name = strrchr(path, '/') + 1;
	snprintf(name, size - (size_t)(name - path), "%s", program);
}

bool device_is_there(const char *name)
{
	char path[4096];

	device_path(path, sizeof(path), name);
	return access(path, X_OK) == 0;
}

struct device device_start(struct vmirq_mailbox *mailbox)
{
	return device_start_program(mailbox, "mailbox_device");
}

struct device device_start_program(struct vmirq_mailbox *mailbox, const char *name)
{
	char path[4096], number[12];
	struct device d;
	int pair[2];

	device_path(path, sizeof(path), name);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	snprintf(number, sizeof(number), "%d", pair[1]);
	d.socket = pair[0];
	d.pid = fork();
	assert_true(d.pid >= 0);
	if (d.pid == 0) {
		fcntl(pair[1], F_SETFD, 0);
		execl(path, path, number, (char *)NULL);
		_exit(127);
	}
	close(pair[1]);
	assert_int_equal(vmirq_mailbox_send(mailbox, d.socket), 0);
	return d;
}

int32_t device_raise(struct device *d, uint32_t i)
{
	int32_t raised = INT32_MIN;

	assert_int_equal(write(d->socket, &i, sizeof(i)), sizeof(i));
	assert_int_equal(read(d->socket, &raised, sizeof(raised)), sizeof(raised));
	return raised;
}

void device_kill(struct device *d)
{
	assert_int_equal(kill(d->pid, SIGKILL), 0);
	assert_int_equal(waitpid(d->pid, NULL, 0), d->pid);
	close(d->socket);
}

void device_end(struct device *d)
{
	int status = -1;

	shutdown(d->socket, SHUT_WR);
	assert_int_equal(waitpid(d->pid, &status, 0), d->pid);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	close(d->socket);
}
