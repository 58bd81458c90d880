// SPDX-License-Identifier: MIT
/* Who is joined to whom: the same eventfd by any descriptor, one of each side, and who wants it. */
#include "triggers.h"

#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <vmirq/bypass.h>
#include <vmirq/msix.h>

static void pass(int socket, int fd)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = { .bytes = { 0 } };
	char byte = 0;
	struct iovec part = { .iov_base = &byte, .iov_len = 1 };
	struct msghdr message = { .msg_iov = &part,
				  .msg_iovlen = 1,
				  .msg_control = control.bytes,
				  .msg_controllen = sizeof(control.bytes) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&message);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(fd));
	memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	if (sendmsg(socket, &message, 0) != 1)
		_exit(1);
}

static int receive(int socket)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control;
	char byte;
	struct iovec part = { .iov_base = &byte, .iov_len = 1 };
	struct msghdr message = { .msg_iov = &part,
				  .msg_iovlen = 1,
				  .msg_control = control.bytes,
				  .msg_controllen = sizeof(control.bytes) };
	int fd;

	if (recvmsg(socket, &message, MSG_CMSG_CLOEXEC) != 1 || !CMSG_FIRSTHDR(&message))
		return -1;
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(fd));
	return fd;
}

/* What came of it from another process, which has got it over a Unix socket and has sent it back. */
static int there_and_back(int fd)
{
	int pair[2], back, status = -1;
	pid_t pid;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		close(fd);
		pass(pair[1], receive(pair[1]));
		_exit(0);
	}
	pass(pair[0], fd);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	back = receive(pair[0]);
	assert_true(back >= 0 && back != fd);
	close(pair[0]);
	close(pair[1]);
	return back;
}

/* A descriptor that was passed is known for what it is: on either side, also where the first is closed. */
static void a_descriptor_that_was_passed(void **state)
{
	(void)state;
	for (int which = 0; which < 2; which++) {
		struct soft *s = soft_new(1);
		int fd = new_eventfd(), passed = there_and_back(fd);
		struct vmirq_trigger *trigger;
		struct vmirq_irqfd *irqfd;

		route_to(s, 3, 0, 0x41);
		irqfd = assign(s, 3, which ? fd : passed, 0);
		trigger = trigger_on(vmirq_vm_bypass(s->vm), which ? passed : fd);
		close(fd);
		goes(trigger, VMIRQ_PATH_BYPASS, VMIRQ_DELIVERED);
		take_only(s->vcpu[0], 0x41);
		assert_int_equal(vmirq_irqfd_deassign(irqfd), 0);
		goes(trigger, VMIRQ_PATH_EVENTFD, VMIRQ_HELD);
		assert_true(readable(passed));
		assert_int_equal(vmirq_trigger_destroy(trigger), 0);
		close(passed);
		soft_free(s);
	}
}

static int no_producer(void *opaque, struct vmirq_producer *producer)
{
	(void)opaque;
	(void)producer;
	return 0;
}

static void producer_gone(void *opaque, struct vmirq_producer *producer)
{
	(void)opaque;
	(void)producer;
}

/* One of each side: a second is refused, whoever it is, and an irqfd that is refused goes on by its eventfd. */
static void one_to_one(void **state)
{
	struct soft *s = soft_new(1);
	struct vmirq_bypass *bypass = vmirq_vm_bypass(s->vm);
	int fd = new_eventfd(), other = dup(fd);
	struct vmirq_irqfd_config again = { .size = sizeof(again), .gsi = 4, .eventfd = other };
	struct vmirq_consumer_config taken = { .size = sizeof(taken),
					       .add_producer = no_producer,
					       .del_producer = producer_gone };
	struct vmirq_consumer *consumer;
	struct vmirq_trigger *trigger, *second;
	struct vmirq_irqfd *irqfd;

	(void)state;
	route_to(s, 3, 0, 0x41);
	assert_int_equal(vmirq_eventfd_token(fd, &taken.token), 0);
	irqfd = assign(s, 3, fd, 0);
	assert_int_equal(vmirq_consumer_register(bypass, &taken, &consumer), -EBUSY);
	assert_int_equal(vmirq_irqfd_assign(s->vm, &again, &irqfd), -EBUSY);
	trigger = trigger_on(bypass, fd);
	assert_int_equal(create_trigger(bypass, other, 0, &second), -EBUSY);
	goes(trigger, VMIRQ_PATH_BYPASS, VMIRQ_DELIVERED);
	take_only(s->vcpu[0], 0x41);
	assert_int_equal(vmirq_irqfd_deassign(irqfd), 0);
	assert_int_equal(vmirq_consumer_register(bypass, &taken, &consumer), 0);
	irqfd = assign(s, 3, fd, 0);
	goes(trigger, VMIRQ_PATH_EVENTFD, VMIRQ_HELD);
	dispatch(s);
	take_only(s->vcpu[0], 0x41);
	assert_int_equal(counts_of(irqfd).raised, 1);
	assert_int_equal(vmirq_consumer_unregister(consumer), 0);
	assert_int_equal(vmirq_trigger_destroy(trigger), 0);
	close(other);
	close(fd);
	soft_free(s);
}

/* Of two: that of `out` keeps out of it. */
static void assign_two(struct soft *s, const int fd[2], int out, bool together,
		       struct vmirq_irqfd *irqfd[2])
{
	struct vmirq_irqfd_config config[2];

	for (int i = 0; i < 2; i++)
		config[i] = (struct vmirq_irqfd_config){
			.size = sizeof(config[0]),
			.gsi = 3 + (uint32_t)i,
			.eventfd = fd[i],
			.flags = i == out ? VMIRQ_IRQFD_NO_BYPASS : 0,
		};
	if (together)
		assert_int_equal(vmirq_irqfd_assign_many(s->vm, config, 2, irqfd), 0);
	for (int i = 0; i < 2 && !together; i++)
		assert_int_equal(vmirq_irqfd_assign(s->vm, &config[i], &irqfd[i]), 0);
}

static void one_of_two(struct soft *s, const int fd[2], int i, bool out,
		       struct vmirq_trigger *trigger)
{
	struct vmirq_consumer_config free = { .size = sizeof(free),
					      .add_producer = no_producer,
					      .del_producer = producer_gone };
	struct vmirq_consumer *consumer;

	goes(trigger, out ? VMIRQ_PATH_EVENTFD : VMIRQ_PATH_BYPASS,
	     out ? VMIRQ_HELD : VMIRQ_DELIVERED);
	if (out) {
		take_nothing(s->vcpu[0]);
		dispatch(s);
	}
	take_only(s->vcpu[0], (uint8_t)(0x41 + i));
	/* Nor is it in the manager's books: others may have its token. */
	assert_int_equal(vmirq_eventfd_token(fd[i], &free.token), 0);
	assert_int_equal(vmirq_consumer_register(vmirq_vm_bypass(s->vm), &free, &consumer),
			 out ? 0 : -EBUSY);
	if (out)
		assert_int_equal(vmirq_consumer_unregister(consumer), 0);
}

/* An irqfd that keeps out, and one beside it that does not: whoever comes first, bound together or apart. */
static void who_wants_no_bypass(void **state)
{
	(void)state;
	for (int how = 0; how < 8; how++) {
		bool together = how & 1, triggers_first = how & 2;
		int out = how >> 2, fd[2] = { new_eventfd(), new_eventfd() };
		struct soft *s = soft_new(1);
		struct vmirq_trigger *trigger[2];
		struct vmirq_irqfd *irqfd[2];

		if (!triggers_first)
			assign_two(s, fd, out, together, irqfd);
		for (int i = 0; i < 2; i++)
			trigger[i] = trigger_on(vmirq_vm_bypass(s->vm), fd[i]);
		if (triggers_first)
			assign_two(s, fd, out, together, irqfd);
		for (int i = 0; i < 2; i++) {
			route_to(s, 3 + (uint32_t)i, 0, (uint8_t)(0x41 + i));
			one_of_two(s, fd, i, i == out, trigger[i]);
			assert_int_equal(counts_of(irqfd[i]).raised, 1);
			assert_int_equal(vmirq_trigger_destroy(trigger[i]), 0);
			close(fd[i]);
		}
		soft_free(s);
	}
}

/* Of a device: all its vectors. */
static void a_vector_that_wants_none(void **state)
{
	(void)state;
	for (int out = 0; out < 2; out++) {
		struct soft *s = soft_new(1);
		struct vmirq_msix_config config = { .size = sizeof(config),
						    .vectors = 2,
						    .flags = out ? VMIRQ_MSIX_NO_BYPASS : 0 };
		const uint32_t entry[] = { 0xfee00000, 0, 0x41, 0 };
		struct vmirq_trigger *trigger;
		struct vmirq_msix *msix;
		int fd;

		assert_int_equal(vmirq_msix_create(s->vm, &config, &msix), 0);
		fd = vmirq_msix_lend_eventfd(msix, 1);
		for (uint32_t i = 0; i < 4; i++) {
			uint32_t value = entry[i];

			assert_int_equal(vmirq_msix_table_access(msix, 16 + 4 * i, &value, 4, true),
					 0);
		}
		assert_int_equal(vmirq_msix_set_control(msix, true, false), 0);
		trigger = trigger_on(vmirq_vm_bypass(s->vm), fd);
		goes(trigger, out ? VMIRQ_PATH_EVENTFD : VMIRQ_PATH_BYPASS,
		     out ? VMIRQ_HELD : VMIRQ_DELIVERED);
		dispatch(s);
		take_only(s->vcpu[0], 0x41);
		assert_int_equal(vmirq_trigger_destroy(trigger), 0);
		assert_int_equal(vmirq_msix_destroy(msix), 0);
		close(fd);
		soft_free(s);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_descriptor_that_was_passed),
		cmocka_unit_test(one_to_one),
		cmocka_unit_test(who_wants_no_bypass),
		cmocka_unit_test(a_vector_that_wants_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
