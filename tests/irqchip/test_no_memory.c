// SPDX-License-Identifier: MIT
/* An irqfd that cannot leave its GSI for want of memory, whose route changes before its deassign is through. */
#include "world.h"

#include <pthread.h>
#include <semaphore.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "../failing_malloc.h"
#include "base/reader.h"

#define GSI    100
#define VECTOR 0x51
#define OTHER  0x52

static void pause_ms(long ms)
{
	nanosleep(&(struct timespec){ .tv_nsec = ms * 1000000 }, NULL);
}

/* Deassign waits for it, a while. */
static void *stay_inside(void *inside)
{
	struct reader *section = reader_enter();

	sem_post(inside);
	pause_ms(300);
	reader_exit(section);
	return NULL;
}

static void *deassign(void *irqfd)
{
	fail_after(0);
	assert_int_equal(vmirq_irqfd_deassign(irqfd), 0);
	fail_no_more();
	return NULL;
}

/* Nobody begins to read its eventfd, the kernel neither. */
static void nothing_of_it_is_left(struct world *w)
{
	struct vmirq_route_counts counts = { .size = sizeof(counts) };
	int fd = eventfd(0, EFD_NONBLOCK);
	struct vmirq_irqfd *irqfd;
	pthread_t stays, deassigns;
	sem_t inside;

	world_route(w, GSI, 0, VECTOR);
	irqfd = world_irqfd(w, GSI, fd);
	sem_init(&inside, 0, 0);
	assert_int_equal(pthread_create(&stays, NULL, stay_inside, &inside), 0);
	sem_wait(&inside);
	assert_int_equal(pthread_create(&deassigns, NULL, deassign, irqfd), 0);
	pause_ms(100);
	world_route(w, GSI, 0, OTHER);
	assert_int_equal(pthread_join(deassigns, NULL), 0);
	assert_int_equal(pthread_join(stays, NULL), 0);
	assert_int_equal(vmirq_gsi_counts(w->vm, GSI, &counts), 0);
	assert_int_equal(counts.unobserved, 0);
	world_write(fd, 1);
	world_take_nothing(w);
	close(fd);
	sem_destroy(&inside);
}

static const struct world_case cases[] = {
	{ "nothing of it is left", nothing_of_it_is_left },
};

int main(void)
{
	return world_run_cases(cases, sizeof(cases) / sizeof(cases[0]));
}
