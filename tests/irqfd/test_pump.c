// SPDX-License-Identifier: MIT
/* The pump: a pollable descriptor, a thread on request, and peers that do not behave. */
#include "../support.h"

#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

static bool readable(struct vmirq_pump *pump)
{
	struct pollfd p = { .fd = vmirq_pump_fd(pump), .events = POLLIN };

	return poll(&p, 1, 0) == 1 && (p.revents & POLLIN);
}

static void its_descriptor_is_readable_when_there_is_work(void **state)
{
	struct soft *s = soft_new(1);
	struct vmirq_pump *pump = vmirq_vm_pump(s->vm);
	int fd = eventfd(0, EFD_NONBLOCK);

	(void)state;
	irqfd_on(s, 3, fd);
	assert_false(readable(pump));
	eventfd_write(fd, 1);
	assert_true(readable(pump));
	assert_int_equal(vmirq_pump_dispatch(pump, -1), 1);
	assert_false(readable(pump));
	assert_int_equal(vmirq_pump_dispatch(pump, 0), 0);
	assert_int_equal(vmirq_pump_dispatch(pump, 1), 0);
	close(fd);
	soft_free(s);
}

/* N writes before the drain are one injection. */
static void writes_before_the_read_are_one(void **state)
{
	struct soft *s = soft_new(1);
	int fd = eventfd(0, EFD_NONBLOCK);
	struct vmirq_irqfd *irqfd = irqfd_on(s, 3, fd);

	(void)state;
	route_to(s, 3, 0, 0x41);
	for (int i = 0; i < 7; i++)
		eventfd_write(fd, 1);
	assert_int_equal(dispatch(s), 1);
	take_only(s->vcpu[0], 0x41);
	assert_int_equal(counts_of(irqfd).raised, 7);
	assert_int_equal(counts_of(irqfd).verdict[VMIRQ_EVENTFD_MERGED], 6);
	/* 2^64 - 2 is what fits in: the count is exact all the same. */
	assert_int_equal(eventfd_write(fd, UINT64_MAX - 1), 0);
	assert_int_equal(dispatch(s), 1);
	take_only(s->vcpu[0], 0x41);
	assert_int_equal(counts_of(irqfd).verdict[VMIRQ_EVENTFD_MERGED], 6 + UINT64_MAX - 2);
	close(fd);
	soft_free(s);
}

/* EFD_SEMAPHORE: one a write, whatever it leaves. */
static void a_semaphore_eventfd_raises_once_a_write(void **state)
{
	struct soft *s = soft_new(1);
	int fd = eventfd(0, EFD_NONBLOCK | EFD_SEMAPHORE), n = 0;
	struct vmirq_irqfd *irqfd = irqfd_on(s, 3, fd);

	(void)state;
	route_to(s, 3, 0, 0x41);
	for (int i = 0; i < 3; i++) {
		eventfd_write(fd, 5);
		while (dispatch(s) == 1) {
			take_only(s->vcpu[0], 0x41);
			n++;
		}
	}
	assert_int_equal(n, 3);
	assert_int_equal(counts_of(irqfd).verdict[VMIRQ_DELIVERED], 3);
	close(fd);
	soft_free(s);
}

/* O_NONBLOCK cleared: dispatch must not block where the count is gone before it reads. */
static void a_blocking_eventfd(void **state)
{
	struct soft *s = soft_new(1);
	int fd = eventfd(0, 0);

	(void)state;
	irqfd_on(s, 3, fd);
	route_to(s, 3, 0, 0x41);
	eventfd_write(fd, 1);
	assert_int_equal(dispatch(s), 1);
	take_only(s->vcpu[0], 0x41);
	assert_int_equal(dispatch(s), 0);
	close(fd);
	soft_free(s);
}

struct thief {
	int fd;
	bool stolen;
};

static void steal(void *opaque)
{
	struct thief *thief = opaque;
	eventfd_t n;

	thief->stolen = eventfd_read(thief->fd, &n) == 0;
}

/* The same where it matters: two records are harvested, and while the first is raised (its vCPU is
 * kicked) a peer empties the second eventfd, which blocks. */
static void a_peer_steals_the_count_of_a_blocking_eventfd(void **state)
{
	struct soft *s = soft_new(0);
	struct thief thief = { .fd = eventfd(0, 0) };
	int fd = eventfd(0, 0);
	struct vmirq_vcpu_config config = { .size = sizeof(config),
					    .kick = { .fn = steal, .opaque = &thief } };
	uint32_t vector;

	(void)state;
	assert_int_equal(vmirq_vcpu_create(s->vm, &config, &s->vcpu[0]), 0);
	s->n = 1;
	apic_enable(s->vcpu[0]);
	irqfd_on(s, 3, fd);
	irqfd_on(s, 4, thief.fd);
	route_to(s, 3, 0, 0x41);
	route_to(s, 4, 0, 0x42);
	eventfd_write(fd, 1);
	eventfd_write(thief.fd, 1);
	assert_int_equal(vmirq_vcpu_step(s->vcpu[0], VMIRQ_CPU_INTERRUPTIBLE, &vector),
			 VMIRQ_STEP_ENTER);
	assert_int_equal(dispatch(s), 1);
	assert_true(thief.stolen);
	assert_int_equal(counts_of_gsi(s, 4).raised, 0);
	vmirq_vcpu_leave(s->vcpu[0]);
	take_only(s->vcpu[0], 0x41);
	close(fd);
	close(thief.fd);
	soft_free(s);
}

/* At most 64 in a call, none forgotten. */
static void a_storm_is_dealt_with_in_parts(void **state)
{
	enum { N = 150 };
	struct soft *s = soft_new(1);
	int fd[N], total = 0;

	(void)state;
	for (uint32_t i = 0; i < N; i++) {
		fd[i] = eventfd(1, EFD_NONBLOCK);
		irqfd_on(s, i, fd[i]);
		route_to(s, i, 0, (uint8_t)(32 + i));
	}
	for (int n = dispatch(s); n > 0; n = dispatch(s)) {
		assert_true(n <= 64);
		total += n;
	}
	assert_int_equal(total, N);
	assert_int_equal(take_all(s->vcpu[0], NULL), N);
	for (uint32_t i = 0; i < N; i++) {
		assert_int_equal(counts_of_gsi(s, i).raised, 1);
		close(fd[i]);
	}
	soft_free(s);
}

static void a_pump_of_ones_own(void **state)
{
	struct soft *s = soft_new(1);
	int fd = eventfd(1, EFD_NONBLOCK);
	struct vmirq_irqfd_config config = { .size = sizeof(config), .gsi = 3, .eventfd = fd };
	struct vmirq_irqfd *irqfd;

	(void)state;
	assert_int_equal(vmirq_pump_create(NULL), -EINVAL);
	assert_int_equal(vmirq_pump_create(&config.pump), 0);
	route_to(s, 3, 0, 0x41);
	assert_int_equal(vmirq_irqfd_assign(s->vm, &config, &irqfd), 0);
	assert_int_equal(dispatch(s), 0);
	assert_int_equal(vmirq_pump_dispatch(config.pump, 0), 1);
	take_only(s->vcpu[0], 0x41);
	assert_int_equal(vmirq_pump_destroy(config.pump), -EBUSY);
	assert_int_equal(vmirq_irqfd_deassign(irqfd), 0);
	assert_int_equal(vmirq_pump_destroy(config.pump), 0);
	assert_int_equal(vmirq_pump_destroy(NULL), 0);
	assert_int_equal(vmirq_pump_dispatch(NULL, 0), -EINVAL);
	close(fd);
	soft_free(s);
}

static void start_and_stop(void **state)
{
	struct soft *s = soft_new(1);
	struct vmirq_pump *pump = vmirq_vm_pump(s->vm);
	int fd = eventfd(0, EFD_NONBLOCK);

	(void)state;
	assert_int_equal(vmirq_pump_stop(pump), -EINVAL);
	assert_int_equal(vmirq_pump_start(NULL), -EINVAL);
	assert_int_equal(vmirq_pump_stop(NULL), -EINVAL);
	irqfd_on(s, 3, fd);
	route_to(s, 3, 0, 0x41);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(vmirq_pump_start(pump), 0);
		assert_int_equal(vmirq_pump_start(pump), -EALREADY);
		eventfd_write(fd, 1);
		assert_int_equal(vmirq_vcpu_park(s->vcpu[0], INT64_C(5000000000)),
				 VMIRQ_PARK_RUNNABLE);
		take_only(s->vcpu[0], 0x41);
		assert_int_equal(vmirq_pump_stop(pump), 0);
		assert_int_equal(vmirq_pump_stop(pump), -EINVAL);
		/* It has gone: a signal waits for dispatch, and nothing else is left behind. */
		assert_false(readable(pump));
		eventfd_write(fd, 1);
		assert_int_equal(dispatch(s), 1);
		take_only(s->vcpu[0], 0x41);
	}
	/* The VM takes a running one with it. */
	assert_int_equal(vmirq_pump_start(pump), 0);
	close(fd);
	soft_free(s);
}

struct racer {
	struct vmirq_pump *pump;
	struct vmirq_irqfd *victim;
	pthread_t thread;
	int ours; /* descriptors of the pump before the victim goes */
	bool begun;
};

static int watched(const struct vmirq_pump *pump)
{
	char path[64], line[256];
	int n = 0;
	FILE *info;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", vmirq_pump_fd(pump));
	info = fopen(path, "r");
	assert_non_null(info);
	while (fgets(line, sizeof(line), info))
		n += !strncmp(line, "tfd:", 4);
	fclose(info);
	return n;
}

static void *deassign_victim(void *argument)
{
	struct racer *racer = argument;

	return (void *)(intptr_t)vmirq_irqfd_deassign(racer->victim);
}

/* Called inside dispatch, with the victim's record already harvested. */
static void deassign_meanwhile(void *opaque)
{
	const struct timespec nap = { .tv_nsec = 1000000 };
	struct racer *racer = opaque;

	if (racer->begun)
		return;
	racer->begun = true;
	pthread_create(&racer->thread, NULL, deassign_victim, racer);
	for (int i = 0; i < 5000 && watched(racer->pump) == racer->ours; i++)
		nanosleep(&nap, NULL);
}

/* User-space pumps: a record that was harvested before its irqfd was deassigned. What was written is
 * delivered once, by dispatch or by deassign, and never by a handle that is gone. */
static void a_stale_record(void **state)
{
	struct soft *s = soft_new(0);
	struct racer racer = { .pump = vmirq_vm_pump(s->vm) };
	struct vmirq_vcpu_config config = {
		.size = sizeof(config), .kick = { .fn = deassign_meanwhile, .opaque = &racer }
	};
	int fd = eventfd(0, EFD_NONBLOCK), victim = eventfd(0, EFD_NONBLOCK);
	uint32_t vector;

	(void)state;
	assert_int_equal(vmirq_vcpu_create(s->vm, &config, &s->vcpu[0]), 0);
	s->n = 1;
	apic_enable(s->vcpu[0]);
	irqfd_on(s, 3, fd);
	racer.victim = irqfd_on(s, 4, victim);
	route_to(s, 3, 0, 0x41);
	route_to(s, 4, 0, 0x42);
	racer.ours = watched(racer.pump);
	assert_true(racer.ours >= 2);
	eventfd_write(fd, 1);
	eventfd_write(victim, 1);
	assert_int_equal(vmirq_vcpu_step(s->vcpu[0], 0, &vector), VMIRQ_STEP_ENTER);
	assert_true(dispatch(s) >= 1);
	assert_true(racer.begun);
	pthread_join(racer.thread, NULL);
	vmirq_vcpu_leave(s->vcpu[0]);
	assert_int_equal(counts_of_gsi(s, 4).raised, 1);
	assert_int_equal(gsi_verdict(s, 4, VMIRQ_DELIVERED), 1);
	assert_int_equal(take_all(s->vcpu[0], NULL), 2);
	close(fd);
	close(victim);
	soft_free(s);
}

static struct soft *in_callback;
static struct vmirq_irqfd *of_callback;
static int callback_said[6];

static void calls_back(void *opaque)
{
	const struct vmirq_irqfd_config config = { .size = sizeof(config),
						   .gsi = 3,
						   .eventfd = -1 };
	struct vmirq_irqfd *irqfd;

	(void)opaque;
	callback_said[0] = vmirq_irqfd_deassign(of_callback);
	callback_said[1] = vmirq_vm_quiesce(in_callback->vm);
	callback_said[2] = vmirq_vcpu_destroy(in_callback->vcpu[0]);
	callback_said[3] = vmirq_vm_destroy(in_callback->vm);
	callback_said[4] = vmirq_vcpu_stop(in_callback->vcpu[0]);
	callback_said[5] = vmirq_irqfd_assign_many(in_callback->vm, &config, 1, &irqfd);
}

/* What would wait for itself, from a kick, is refused. */
static void waiting_calls_from_a_callback_are_edeadlk(void **state)
{
	struct vmirq_vcpu_config config = { .size = sizeof(config), .kick = { .fn = calls_back } };
	uint32_t vector;

	(void)state;
	in_callback = soft_new(0);
	assert_int_equal(vmirq_vcpu_create(in_callback->vm, &config, &in_callback->vcpu[0]), 0);
	in_callback->n = 1;
	apic_enable(in_callback->vcpu[0]);
	route_to(in_callback, 3, 0, 0x41);
	of_callback = irqfd_call(in_callback, 3);
	assert_int_equal(vmirq_vcpu_step(in_callback->vcpu[0], 0, &vector), VMIRQ_STEP_ENTER);
	assert_signal(of_callback, VMIRQ_DELIVERED);
	for (int i = 0; i < 6; i++)
		assert_int_equal(callback_said[i], -EDEADLK);
	vmirq_vcpu_leave(in_callback->vcpu[0]);
	take_only(in_callback->vcpu[0], 0x41);
	assert_int_equal(vmirq_irqfd_deassign(of_callback), 0);
	soft_free(in_callback);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(its_descriptor_is_readable_when_there_is_work),
		cmocka_unit_test(writes_before_the_read_are_one),
		cmocka_unit_test(a_semaphore_eventfd_raises_once_a_write),
		cmocka_unit_test(a_blocking_eventfd),
		cmocka_unit_test(a_peer_steals_the_count_of_a_blocking_eventfd),
		cmocka_unit_test(a_storm_is_dealt_with_in_parts),
		cmocka_unit_test(a_pump_of_ones_own),
		cmocka_unit_test(start_and_stop),
		cmocka_unit_test(a_stale_record),
		cmocka_unit_test(waiting_calls_from_a_callback_are_edeadlk),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
