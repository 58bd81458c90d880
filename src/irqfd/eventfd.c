/* SPDX-License-Identifier: MIT */
#include "irqfd/eventfd.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/lock.h"
#include "base/no_cancel.h"

/* The registry may be locked. -ENOSYS: there is no /proc to ask. */
static ssize_t read_info(int fd, char *text, size_t room)
{
	char path[40];
	ssize_t n;
	int info;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	info = no_cancel_open(path, O_RDONLY | O_CLOEXEC);
	if (info < 0)
		return errno == ENOENT || errno == EACCES ? -ENOSYS : -errno;
	n = no_cancel_read(info, text, room);
	no_cancel_close(info);
	return n < 0 ? -ENOSYS : n;
}

int vmirq_eventfd_token(int fd, uint64_t *token)
{
	char text[512];
	const char *id;
	ssize_t n;

	if (!token)
		return -EINVAL;
	n = read_info(fd, text, sizeof(text) - 1);
	if (n < 0)
		return fcntl(fd, F_GETFD) < 0 ? -EBADF : (int)n;
	text[n] = '\0';
	if (!strstr(text, "eventfd-count:"))
		return -EINVAL;
	id = strstr(text, "eventfd-id:");
	if (!id)
		return -ENOSYS;
	/* Apart from the tokens that callers choose. */
	*token = strtoull(id + strlen("eventfd-id:"), NULL, 10) | KERNELS_TOKEN;
	return 0;
}

/* Never held while anything else is taken. */
static struct lock registry_lock;
static void *registry; /* of the named: a tree of their tokens, by libc */
static struct eventfd_binding unnamed = { .next = &unnamed, .prev = &unnamed };
static size_t bound;

static int by_token(const void *a, const void *b)
{
	uint64_t x = ((const struct eventfd_binding *)a)->token;
	uint64_t y = ((const struct eventfd_binding *)b)->token;

	return x < y ? -1 : x > y;
}

/* These hold the lock. */

static int enter(struct eventfd_binding *binding, uint64_t token)
{
	struct eventfd_binding **found;

	binding->token = token;
	found = tsearch(binding, &registry, by_token);
	if (!found)
		return -ENOMEM;
	if (*found != binding)
		return -EBUSY;
	binding->named = true;
	return 0;
}

static void append_unnamed(struct eventfd_binding *binding)
{
	binding->next = &unnamed;
	binding->prev = unnamed.prev;
	binding->prev->next = binding;
	unnamed.prev = binding;
}

static void remove_unnamed(struct eventfd_binding *binding)
{
	binding->prev->next = binding->next;
	binding->next->prev = binding->prev;
}

/* One that a kernel is about to refuse stays without a name: the older one has it. */
static int name_all(void)
{
	struct eventfd_binding *next;
	uint64_t token = 0;
	int error = 0;

	for (struct eventfd_binding *b = unnamed.next; b != &unnamed && !error; b = next) {
		next = b->next;
		error = vmirq_eventfd_token(b->fd, &token);
		if (!error)
			error = enter(b, token);
		if (!error)
			remove_unnamed(b);
		else if (error == -EBUSY)
			error = 0;
	}
	return error;
}

static int bind_named(struct eventfd_binding *binding, uint64_t token)
{
	int error = token ? 0 : vmirq_eventfd_token(binding->fd, &token);

	if (!error)
		error = name_all();
	return error ? error : enter(binding, token);
}

static void set_kernel(struct eventfd_binding *binding, struct eventfd_kernel *kernel)
{
	if (binding->kernel)
		binding->kernel->n--;
	if (kernel)
		kernel->n++;
	binding->kernel = kernel;
}

void vmirq_eventfd_hold(void)
{
	lock_take(&registry_lock);
}

void vmirq_eventfd_release(void)
{
	lock_give(&registry_lock);
}

/* A child has the registry as it is between two changes, and not locked by a thread that it has not. */
static __attribute__((constructor)) void expect_forks(void)
{
	pthread_atfork(vmirq_eventfd_hold, vmirq_eventfd_release, vmirq_eventfd_release);
}

int vmirq_eventfd_bind_held(struct eventfd_binding *binding, int fd, uint64_t token,
			    struct eventfd_kernel *kernel)
{
	int error = 0;

	binding->fd = fd;
	binding->named = false;
	binding->token = 0;
	binding->kernel = NULL;
	binding->callers_token = token && !(token & KERNELS_TOKEN);
	if (binding->callers_token)
		error = enter(binding, token);
	else if (kernel && kernel->n == bound)
		append_unnamed(binding);
	else
		error = bind_named(binding, token);
	if (!error) {
		bound++;
		set_kernel(binding, kernel);
	}
	return error;
}

int vmirq_eventfd_bind(struct eventfd_binding *binding, int fd, uint64_t token,
		       struct eventfd_kernel *kernel)
{
	int error;

	vmirq_eventfd_hold();
	error = vmirq_eventfd_bind_held(binding, fd, token, kernel);
	vmirq_eventfd_release();
	return error;
}

void vmirq_eventfd_unbind(struct eventfd_binding *binding)
{
	lock_take(&registry_lock);
	set_kernel(binding, NULL);
	if (binding->named)
		tdelete(binding, &registry, by_token);
	else
		remove_unnamed(binding);
	bound--;
	lock_give(&registry_lock);
}

int vmirq_eventfd_name(struct eventfd_binding *binding, uint64_t *token)
{
	int error = 0;

	lock_take(&registry_lock);
	if (!binding->named)
		error = name_all();
	if (!error && !binding->named)
		error = -EBUSY;
	*token = binding->token;
	lock_give(&registry_lock);
	return error;
}

void vmirq_eventfd_moved(struct eventfd_binding *binding, struct eventfd_kernel *kernel)
{
	lock_take(&registry_lock);
	set_kernel(binding, kernel);
	lock_give(&registry_lock);
}
