// SPDX-License-Identifier: MIT
/* Unbinding: what was written before is delivered, nothing comes after, and the caller may close its
 * descriptor whenever it likes. */
#include "../support.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

static void what_was_written_is_delivered(void **state)
{
	struct soft *s = soft_new(1);
	int fd = eventfd(0, EFD_NONBLOCK);
	struct vmirq_irqfd *irqfd;

	(void)state;
	route_to(s, 3, 0, 0x41);
	irqfd = irqfd_on(s, 3, fd);
	eventfd_write(fd, 3);
	take_nothing(s->vcpu[0]);
	assert_int_equal(vmirq_irqfd_deassign(irqfd), 0);
	take_only(s->vcpu[0], 0x41);
	assert_int_equal(counts_of_gsi(s, 3).raised, 3);
	assert_int_equal(gsi_verdict(s, 3, VMIRQ_DELIVERED), 1);
	assert_int_equal(gsi_verdict(s, 3, VMIRQ_EVENTFD_MERGED), 2);
	close(fd);
	soft_free(s);
}

static void nothing_comes_after(void **state)
{
	struct soft *s = soft_new(1);
	int fd = eventfd(0, EFD_NONBLOCK);
	struct vmirq_irqfd *irqfd;
	eventfd_t left = 0;

	(void)state;
	route_to(s, 3, 0, 0x41);
	irqfd = irqfd_on(s, 3, fd);
	assert_int_equal(vmirq_irqfd_deassign(irqfd), 0);
	eventfd_write(fd, 1);
	assert_int_equal(dispatch(s), 0);
	take_nothing(s->vcpu[0]);
	assert_int_equal(counts_of_gsi(s, 3).raised, 0);
	/* The library has not read it either: it is the caller's. */
	assert_int_equal(eventfd_read(fd, &left), 0);
	assert_int_equal(left, 1);
	close(fd);
	soft_free(s);
}

static void null_is_no_irqfd(void **state)
{
	(void)state;
	assert_int_equal(vmirq_irqfd_deassign(NULL), 0);
}

/* A blocking eventfd with nothing in it must not hold deassign. */
static void an_empty_blocking_eventfd(void **state)
{
	struct soft *s = soft_new(1);
	int fd = eventfd(0, 0);
	struct vmirq_irqfd *irqfd = irqfd_on(s, 3, fd);

	(void)state;
	assert_int_equal(vmirq_irqfd_deassign(irqfd), 0);
	close(fd);
	soft_free(s);
}

/* Of a semaphore eventfd a write is one interrupt; what it leaves is the caller's. */
static void a_semaphore_eventfd(void **state)
{
	struct soft *s = soft_new(1);
	int fd = eventfd(0, EFD_NONBLOCK | EFD_SEMAPHORE);
	struct vmirq_irqfd *irqfd;

	(void)state;
	route_to(s, 3, 0, 0x41);
	irqfd = irqfd_on(s, 3, fd);
	eventfd_write(fd, 5);
	assert_int_equal(vmirq_irqfd_deassign(irqfd), 0);
	take_only(s->vcpu[0], 0x41);
	assert_int_equal(counts_of_gsi(s, 3).raised, 1);
	assert_int_equal(gsi_verdict(s, 3, VMIRQ_DELIVERED), 1);
	close(fd);
	soft_free(s);
}

/* A hostile peer's semaphore may hold 2^64-2: deassign ends all the same. */
static void a_bottomless_semaphore_eventfd(void **state)
{
	struct soft *s = soft_new(1);
	int fd = eventfd(0, EFD_NONBLOCK | EFD_SEMAPHORE);
	struct vmirq_irqfd *irqfd;

	(void)state;
	route_to(s, 3, 0, 0x41);
	irqfd = irqfd_on(s, 3, fd);
	assert_int_equal(eventfd_write(fd, UINT64_MAX - 1), 0);
	assert_int_equal(vmirq_irqfd_deassign(irqfd), 0);
	take_only(s->vcpu[0], 0x41);
	close(fd);
	soft_free(s);
}

struct rerouting {
	struct soft *s;
	struct vmirq_irqfd *victim;
	pthread_t thread;
};

static void *deassign_victim(void *argument)
{
	struct rerouting *r = argument;

	return (void *)(intptr_t)vmirq_irqfd_deassign(r->victim);
}

static void reroute_meanwhile(void *opaque)
{
	const struct timespec nap = { .tv_nsec = 20000000 };
	struct rerouting *r = opaque;

	/* It begins, and waits for the signal that this callback is part of. */
	pthread_create(&r->thread, NULL, deassign_victim, r);
	nanosleep(&nap, NULL);
	vmirq_route_set_msi(r->s->vm, 4, 0xfee00000, 0x77);
}

/* CVE-2026-23198: the route changes while deassign waits; what is then delivered goes by the new one,
 * for the old one may be anybody's by now. */
static void the_route_changes_during_deassign(void **state)
{
	struct soft *s = soft_new(0);
	struct rerouting r = { .s = s };
	struct vmirq_vcpu_config config = { .size = sizeof(config),
					    .kick = { .fn = reroute_meanwhile, .opaque = &r } };
	struct vmirq_irqfd *kicker;
	int fd = eventfd(0, EFD_NONBLOCK);
	uint32_t vector;

	(void)state;
	assert_int_equal(vmirq_vcpu_create(s->vm, &config, &s->vcpu[0]), 0);
	s->n = 1;
	apic_enable(s->vcpu[0]);
	kicker = irqfd_call(s, 3);
	r.victim = irqfd_on(s, 4, fd);
	route_to(s, 3, 0, 0x41);
	route_to(s, 4, 0, 0x42);
	assert_signal(r.victim, VMIRQ_DELIVERED);
	take_only(s->vcpu[0], 0x42);
	eventfd_write(fd, 1);
	assert_int_equal(vmirq_vcpu_step(s->vcpu[0], 0, &vector), VMIRQ_STEP_ENTER);
	assert_signal(kicker, VMIRQ_DELIVERED);
	pthread_join(r.thread, NULL);
	vmirq_vcpu_leave(s->vcpu[0]);
	assert_int_equal(vmirq_vcpu_next_vector(s->vcpu[0]), 0x77);
	assert_int_equal(take_all(s->vcpu[0], NULL), 2);
	assert_int_equal(counts_of_gsi(s, 4).raised, 2);
	close(fd);
	soft_free(s);
}

/* b68e7fa8: the caller closes its copy before, between and after. */
static void the_caller_closes_before_anything_was_written(void **state)
{
	struct soft *s = soft_new(1);
	int fd = eventfd(0, EFD_NONBLOCK), device = dup(fd);
	struct vmirq_irqfd *irqfd;

	(void)state;
	route_to(s, 3, 0, 0x41);
	irqfd = irqfd_on(s, 3, fd);
	close(fd);
	/* The device's end goes on. */
	eventfd_write(device, 1);
	assert_int_equal(dispatch(s), 1);
	take_only(s->vcpu[0], 0x41);
	close(device);
	assert_int_equal(dispatch(s), 0);
	assert_signal(irqfd, VMIRQ_DELIVERED);
	assert_int_equal(vmirq_irqfd_deassign(irqfd), 0);
	take_only(s->vcpu[0], 0x41);
	soft_free(s);
}

static void the_caller_closes_with_a_signal_unread(void **state)
{
	struct soft *s = soft_new(1);
	int fd = eventfd(0, EFD_NONBLOCK);
	struct vmirq_irqfd *irqfd;

	(void)state;
	route_to(s, 3, 0, 0x41);
	irqfd = irqfd_on(s, 3, fd);
	eventfd_write(fd, 1);
	close(fd);
	assert_int_equal(vmirq_irqfd_deassign(irqfd), 0);
	take_only(s->vcpu[0], 0x41);
	soft_free(s);
}

/* The descriptor's number is something else's by then. */
static void the_callers_number_is_used_again(void **state)
{
	struct soft *s = soft_new(1);
	int fd = eventfd(0, EFD_NONBLOCK), device = dup(fd), again;
	struct vmirq_irqfd *irqfd;
	eventfd_t left = 0;

	(void)state;
	route_to(s, 3, 0, 0x41);
	irqfd = irqfd_on(s, 3, fd);
	close(fd);
	again = eventfd(0, EFD_NONBLOCK);
	assert_int_equal(again, fd);
	eventfd_write(again, 1);
	assert_int_equal(dispatch(s), 0);
	eventfd_write(device, 1);
	assert_int_equal(vmirq_irqfd_deassign(irqfd), 0);
	take_only(s->vcpu[0], 0x41);
	/* It is open, unread and not ours. */
	assert_int_equal(eventfd_read(again, &left), 0);
	assert_int_equal(left, 1);
	close(again);
	close(device);
	soft_free(s);
}

static int open_descriptors(void)
{
	int n = 0;

	for (int fd = 0; fd < 1024; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static void our_duplicate_is_closed_and_was_close_on_exec(void **state)
{
	struct soft *s = soft_new(1);
	int fd = eventfd(0, EFD_NONBLOCK), ours = dup(fd), before;
	struct vmirq_irqfd *irqfd;

	(void)state;
	/* The lowest free number is what it will be. */
	close(ours);
	before = open_descriptors();
	irqfd = irqfd_on(s, 3, fd);
	assert_int_equal(open_descriptors(), before + 1);
	assert_int_equal(fcntl(ours, F_GETFD), FD_CLOEXEC);
	assert_int_equal(vmirq_irqfd_deassign(irqfd), 0);
	assert_int_equal(open_descriptors(), before);
	close(fd);
	soft_free(s);
}

static void a_vm_takes_its_irqfds_with_it(void **state)
{
	int before = open_descriptors(), fd = eventfd(0, EFD_NONBLOCK);
	struct soft *s = soft_new(1);

	(void)state;
	route_to(s, 3, 0, 0x41);
	for (uint32_t i = 0; i < 40; i++)
		irqfd_call(s, i);
	irqfd_on(s, 3, fd);
	eventfd_write(fd, 1);
	soft_free(s);
	close(fd);
	assert_int_equal(open_descriptors(), before);
}

/* Assign and deassign ten thousand times: the same memory, the GSI's counts go on. */
static void again_and_again(void **state)
{
	struct soft *s = soft_new(1);

	(void)state;
	route_to(s, 3, 0, 0x41);
	for (int i = 0; i < 10000; i++) {
		struct vmirq_irqfd *irqfd = irqfd_call(s, 3);

		assert_signal(irqfd, i ? VMIRQ_COALESCED : VMIRQ_DELIVERED);
		assert_int_equal(vmirq_irqfd_deassign(irqfd), 0);
	}
	assert_int_equal(counts_of_gsi(s, 3).raised, 10000);
	take_only(s->vcpu[0], 0x41);
	soft_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_written_is_delivered),
		cmocka_unit_test(nothing_comes_after),
		cmocka_unit_test(null_is_no_irqfd),
		cmocka_unit_test(an_empty_blocking_eventfd),
		cmocka_unit_test(a_semaphore_eventfd),
		cmocka_unit_test(a_bottomless_semaphore_eventfd),
		cmocka_unit_test(the_route_changes_during_deassign),
		cmocka_unit_test(the_caller_closes_before_anything_was_written),
		cmocka_unit_test(the_caller_closes_with_a_signal_unread),
		cmocka_unit_test(the_callers_number_is_used_again),
		cmocka_unit_test(our_duplicate_is_closed_and_was_close_on_exec),
		cmocka_unit_test(a_vm_takes_its_irqfds_with_it),
		cmocka_unit_test(again_and_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
