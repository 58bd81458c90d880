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

int vmirq_eventfd_token(int fd, uint64_t *token)
{
	char path[40], text[512];
	const char *id;
	ssize_t n;
	int info;

	if (!token)
		return -EINVAL;
	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	info = open(path, O_RDONLY | O_CLOEXEC);
	if (info < 0) {
		int error = errno == ENOENT || errno == EACCES ? -ENOSYS : -errno;

		return fcntl(fd, F_GETFD) < 0 ? -EBADF : error;
	}
	n = read(info, text, sizeof(text) - 1);
	close(info);
	if (n < 0)
		return -ENOSYS;
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
static pthread_mutex_t registry_mutex = PTHREAD_MUTEX_INITIALIZER;
static void *registry; /* of the named: a tree of their tokens, by libc */
static struct eventfd_binding unnamed = { .next = &unnamed, .prev = &unnamed };
static size_t bound;

static int by_token(const void *a, const void *b)
{
	uint64_t x = ((const struct eventfd_binding *)a)->token;
	uint64_t y = ((const struct eventfd_binding *)b)->token;

	return x < y ? -1 : x > y;
}

/* These hold the mutex. */

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
	uint64_t token;
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

int vmirq_eventfd_bind(struct eventfd_binding *binding, int fd, uint64_t token,
		       const struct eventfd_kernel *kernel)
{
	int error = 0;

	*binding = (struct eventfd_binding){ .fd = fd };
	binding->callers_token = token && !(token & KERNELS_TOKEN);
	pthread_mutex_lock(&registry_mutex);
	if (binding->callers_token)
		error = enter(binding, token);
	else if (kernel && kernel->n == bound)
		append_unnamed(binding);
	else
		error = bind_named(binding, token);
	bound += !error;
	pthread_mutex_unlock(&registry_mutex);
	return error;
}

void vmirq_eventfd_unbind(struct eventfd_binding *binding)
{
	pthread_mutex_lock(&registry_mutex);
	if (binding->named)
		tdelete(binding, &registry, by_token);
	else
		remove_unnamed(binding);
	bound--;
	pthread_mutex_unlock(&registry_mutex);
}

int vmirq_eventfd_name(struct eventfd_binding *binding, uint64_t *token)
{
	int error = 0;

	pthread_mutex_lock(&registry_mutex);
	if (!binding->named)
		error = name_all();
	if (!error && !binding->named)
		error = -EBUSY;
	*token = binding->token;
	pthread_mutex_unlock(&registry_mutex);
	return error;
}

void vmirq_eventfd_moved(struct eventfd_kernel *kernel, bool in)
{
	pthread_mutex_lock(&registry_mutex);
	kernel->n += in ? 1 : (size_t)-1;
	pthread_mutex_unlock(&registry_mutex);
}
