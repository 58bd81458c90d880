// SPDX-License-Identifier: MIT
/* A process forks while another of its threads is in the middle of an assign: its child can bind all the same. */
#include "../support.h"

#include <pthread.h>
#include <semaphore.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "irqfd/eventfd.h"

static sem_t held;

/* For long enough that the other most likely forks meanwhile. */
static void *hold_registry(void *unused)
{
	const struct timespec nap = { .tv_nsec = 100000000 };

	(void)unused;
	vmirq_eventfd_hold();
	sem_post(&held);
	nanosleep(&nap, NULL);
	vmirq_eventfd_release();
	return NULL;
}

static int bind_in_a_child(int bound_by_parent)
{
	struct soft *s = soft_new(1);
	struct vmirq_irqfd_config config = { .size = sizeof(config), .gsi = 3 };
	struct vmirq_irqfd *irqfd;
	int fd = eventfd(0, EFD_NONBLOCK), error;

	route_to(s, 3, 0, 0x41);
	irqfd = irqfd_on(s, 3, fd);
	eventfd_write(fd, 1);
	dispatch(s);
	take_only(s->vcpu[0], 0x41);
	assert_int_equal(vmirq_irqfd_deassign(irqfd), 0);
	/* Its registry is its parent's. */
	config.eventfd = bound_by_parent;
	error = vmirq_irqfd_assign(s->vm, &config, &irqfd);
	soft_free(s);
	close(fd);
	return error == -EBUSY ? 0 : 1;
}

static void a_child_can_bind(void **state)
{
	struct soft *s = soft_new(1);
	int fd = eventfd(0, EFD_NONBLOCK), status = -1;
	struct vmirq_irqfd *irqfd = irqfd_on(s, 3, fd);
	pthread_t thread;
	pid_t child;

	(void)state;
	assert_int_equal(sem_init(&held, 0, 0), 0);
	assert_int_equal(pthread_create(&thread, NULL, hold_registry, NULL), 0);
	sem_wait(&held);
	child = fork();
	if (!child) {
		alarm(10);
		/* By syscall(): at _exit() ThreadSanitizer misses the thread that it has not. */
		syscall(SYS_exit_group, bind_in_a_child(fd));
	}
	assert_true(child > 0);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	/* Nor has the parent kept it. */
	pthread_join(thread, NULL);
	assert_int_equal(vmirq_irqfd_deassign(irqfd), 0);
	irqfd_on(s, 3, fd);
	soft_free(s);
	close(fd);
	sem_destroy(&held);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_child_can_bind),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
