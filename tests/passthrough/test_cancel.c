// SPDX-License-Identifier: MIT
/* A thread that is cancelled while it ends a pirq or a worker leaves no descriptor behind. */
#include "host.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct call {
	struct vmirq_pirq *pirq;
	struct vmirq_worker *worker;
	int result;
};

static void *end_both(void *argument)
{
	struct call *c = argument;

	pthread_cancel(pthread_self());
	c->result = vmirq_pirq_destroy(c->pirq);
	if (!c->result)
		c->result = vmirq_worker_destroy(c->worker, NULL);
	pthread_testcancel();
	return NULL;
}

static int next_descriptor(void)
{
	int fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0);

	close(fd);
	return fd;
}

static void the_ends_are_whole(void **state)
{
	int fd = eventfd(0, EFD_NONBLOCK), next = next_descriptor();
	struct vmirq_pirq_config config = { .size = sizeof(config), .eventfd = fd };
	struct call c = { .worker = worker_new(), .result = -1 };
	pthread_t thread;
	void *result = NULL;

	(void)state;
	alarm(10);
	assert_int_equal(vmirq_pirq_create(&config, &c.pirq), 0);
	assert_int_equal(vmirq_worker_start(c.worker, -1), 0);
	assert_int_equal(pthread_create(&thread, NULL, end_both, &c), 0);
	pthread_join(thread, &result);
	assert_ptr_equal(result, PTHREAD_CANCELED);
	assert_int_equal(c.result, 0);
	assert_int_equal(next_descriptor(), next);
	alarm(0);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_ends_are_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
