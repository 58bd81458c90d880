// SPDX-License-Identifier: MIT
/* A thread that is cancelled while it is at a mailbox ends what it has begun: a watch, the end, and a pump's turn
 * with all that it has got from epoll. */
#include "device_side.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

struct call {
	struct soft *s;
	struct vmirq_mailbox *mailbox;
	int socket;
	int (*what)(struct call *c);
	int result;
};

static void *make_cancelled(void *argument)
{
	struct call *c = argument;

	pthread_cancel(pthread_self());
	c->result = c->what(c);
	pthread_testcancel();
	return NULL;
}

static void end_cancelled(pthread_t thread)
{
	void *result = NULL;

	pthread_join(thread, &result);
	assert_ptr_equal(result, PTHREAD_CANCELED);
}

static void run(struct call *c, int (*what)(struct call *c))
{
	pthread_t thread;

	c->what = what;
	c->result = -1;
	assert_int_equal(pthread_create(&thread, NULL, make_cancelled, c), 0);
	end_cancelled(thread);
	assert_int_equal(c->result, 0);
}

static int next_descriptor(void)
{
	int fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0);

	close(fd);
	return fd;
}

static int watch(struct call *c)
{
	return vmirq_mailbox_watch(c->mailbox, c->socket, NULL, NULL);
}

static int destroy(struct call *c)
{
	return vmirq_mailbox_destroy(c->mailbox);
}

static void a_watch_is_whole(void **state)
{
	struct call c = { .s = soft_new(1) };
	int before, next, pair[2];

	(void)state;
	alarm(10);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	before = next_descriptor();
	c.mailbox = mailbox_new(c.s, 4);
	next = next_descriptor();
	c.socket = pair[0];
	run(&c, watch);
	/* In the other's place, whose duplicate is closed. */
	run(&c, watch);
	c.socket = -1;
	run(&c, watch);
	assert_int_equal(next_descriptor(), next);
	/* Nobody has it locked. */
	assert_int_equal(vmirq_mailbox_bind(c.mailbox, 0, 5), 0);
	run(&c, destroy);
	assert_int_equal(next_descriptor(), before);
	alarm(0);
	close(pair[0]);
	close(pair[1]);
	soft_free(c.s);
}

/* Two peers that have died and an eventfd, in one turn: whoever comes first has the thread cancelled. */
struct turn {
	struct soft *s;
	pthread_t thread;
	int found;
	_Atomic int calls;
};

static void cancel_it(void *opaque)
{
	struct turn *t = opaque;

	atomic_fetch_add(&t->calls, 1);
	pthread_cancel(pthread_self());
}

static void *take_turn(void *argument)
{
	struct turn *t = argument;

	t->found = vmirq_pump_dispatch(vmirq_vm_pump(t->s->vm), 0);
	pthread_testcancel();
	return NULL;
}

static void a_turn_of_the_pump_is_whole(void **state)
{
	struct turn t = { .s = soft_new(1) };
	struct vmirq_mailbox *mailbox[2];
	int fd = eventfd(0, EFD_NONBLOCK), pair[2][2];

	(void)state;
	alarm(10);
	route_to(t.s, 3, 0, 0x41);
	for (int i = 0; i < 2; i++) {
		mailbox[i] = mailbox_new(t.s, 4);
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair[i]), 0);
		assert_int_equal(vmirq_mailbox_watch(mailbox[i], pair[i][0], cancel_it, &t), 0);
	}
	irqfd_on(t.s, 3, fd);
	for (int i = 0; i < 2; i++)
		close(pair[i][1]);
	eventfd_write(fd, 1);
	assert_int_equal(pthread_create(&t.thread, NULL, take_turn, &t), 0);
	end_cancelled(t.thread);
	assert_int_equal(t.found, 3);
	assert_int_equal(t.calls, 2);
	take_only(t.s->vcpu[0], 0x41);
	assert_int_equal(vmirq_vm_quiesce(t.s->vm), 0);
	alarm(0);
	for (int i = 0; i < 2; i++) {
		assert_true(mailbox_counts(mailbox[i]).dead);
		mailbox_end(mailbox[i]);
		close(pair[i][0]);
	}
	soft_free(t.s);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_watch_is_whole),
		cmocka_unit_test(a_turn_of_the_pump_is_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
