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
	if (fcntl(fd, F_GETFD) < 0)
		return -EBADF;
	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	info = open(path, O_RDONLY | O_CLOEXEC);
	if (info < 0)
		return errno == ENOENT || errno == EACCES ? -ENOSYS : -errno;
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

/* A tree of tokens, by libc. Never held while anything else is taken. */
static pthread_mutex_t registry_mutex = PTHREAD_MUTEX_INITIALIZER;
static void *registry;

static int by_token(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

int vmirq_eventfd_bind(uint64_t token)
{
	uint64_t *mine = malloc(sizeof(*mine));
	uint64_t **found;
	int error = 0;

	if (!mine)
		return -ENOMEM;
	*mine = token;
	pthread_mutex_lock(&registry_mutex);
	found = tsearch(mine, &registry, by_token);
	if (!found)
		error = -ENOMEM;
	else if (*found != mine)
		error = -EBUSY;
	pthread_mutex_unlock(&registry_mutex);
	if (error)
		free(mine);
	return error;
}

void vmirq_eventfd_unbind(uint64_t token)
{
	uint64_t **found, *mine = NULL;

	pthread_mutex_lock(&registry_mutex);
	found = tfind(&token, &registry, by_token);
	if (found) {
		mine = *found;
		tdelete(&token, &registry, by_token);
	}
	pthread_mutex_unlock(&registry_mutex);
	free(mine);
}
