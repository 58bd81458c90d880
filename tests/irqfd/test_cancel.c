// SPDX-License-Identifier: MIT
/* A thread that is cancelled is so before a call or after it: what it has begun to bind or unbind it ends. */
#include "../support.h"

#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct call {
	struct soft *s;
	int fd;
	struct vmirq_irqfd *irqfd;
	bool returned;
};

static void *assign_cancelled(void *argument)
{
	struct call *c = argument;

	pthread_cancel(pthread_self());
	c->irqfd = irqfd_on(c->s, 3, c->fd);
	c->returned = true;
	pthread_testcancel();
	return NULL;
}

static void *deassign_cancelled(void *argument)
{
	struct call *c = argument;

	pthread_cancel(pthread_self());
	c->returned = vmirq_irqfd_deassign(c->irqfd) == 0;
	pthread_testcancel();
	return NULL;
}

static void run(struct call *c, void *(*start)(void *))
{
	pthread_t thread;
	void *result = NULL;

	c->returned = false;
	assert_int_equal(pthread_create(&thread, NULL, start, c), 0);
	pthread_join(thread, &result);
	assert_ptr_equal(result, PTHREAD_CANCELED);
}

static void an_assign_is_whole(void **state)
{
	struct call c = { .s = soft_new(1), .fd = eventfd(0, EFD_NONBLOCK) };
	struct soft *other = soft_new(1);
	int fd = eventfd(0, EFD_NONBLOCK);

	(void)state;
	alarm(10);
	route_to(c.s, 3, 0, 0x41);
	run(&c, assign_cancelled);
	/* The registry is the process's: nobody has it locked. */
	irqfd_on(other, 3, fd);
	assert_true(c.returned);
	eventfd_write(c.fd, 1);
	dispatch(c.s);
	take_only(c.s->vcpu[0], 0x41);
	alarm(0);
	soft_free(other);
	soft_free(c.s);
	close(fd);
	close(c.fd);
}

static void a_deassign_is_whole(void **state)
{
	struct call c = { .s = soft_new(1), .fd = eventfd(0, EFD_NONBLOCK) };
	struct kvm_irqfd again = { .fd = (uint32_t)c.fd,
				   .gsi = 3,
				   .flags = KVM_IRQFD_FLAG_DEASSIGN };

	(void)state;
	alarm(10);
	c.irqfd = irqfd_on(c.s, 3, c.fd);
	run(&c, deassign_cancelled);
	/* Nothing to deassign, nor is anybody still at it. */
	assert_int_equal(vmirq_irqfd(c.s->vm, &again), 0);
	assert_true(c.returned);
	irqfd_on(c.s, 3, c.fd);
	alarm(0);
	soft_free(c.s);
	close(c.fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_assign_is_whole),
		cmocka_unit_test(a_deassign_is_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
