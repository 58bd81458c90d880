// SPDX-License-Identifier: MIT
/* Devices in processes of their own: one that behaves, one that dies, one that does its worst. */
#include "device_side.h"

#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#define INTERRUPTS 100
#define FIRST_GSI  100
#define OTHER_GSI  500
/* Of what the hostile one raises. */
#define ENOUGH UINT64_C(20000)

static struct soft *s;
static struct vmirq_mailbox *mailbox;
static int deaths;

static void start(void)
{
	s = soft_new(1);
	deaths = 0;
	mailbox = mailbox_new(s, INTERRUPTS);
	for (uint32_t i = 0; i < INTERRUPTS; i++) {
		route_to(s, FIRST_GSI + i, 0, (uint8_t)(0x40 + i));
		assert_int_equal(vmirq_mailbox_bind(mailbox, i, FIRST_GSI + i), 0);
	}
}

static void end(void)
{
	mailbox_end(mailbox);
	soft_free(s);
}

static void count_death(void *opaque)
{
	(*(int *)opaque)++;
}

/* The pump sleeps until something comes; 0: nothing did. */
static int sleep_in_pump(void)
{
	return vmirq_pump_dispatch(vmirq_vm_pump(s->vm), 10000);
}

/* Until `done`, which a working library makes come about soon. */
static void dispatch_until(const int *done)
{
	for (int turn = 0; turn < 1000 && !*done; turn++)
		assert_true(sleep_in_pump() >= 0);
	assert_true(*done);
}

/* One at a time, each by a ring of its own. The books of both processes agree. */
static void each_raise_arrives(const char *program)
{
	uint64_t newly = 0;
	struct device d;

	start();
	d = device_start_program(mailbox, program);
	for (uint32_t k = 0; k < 5000; k++) {
		uint32_t i = k * 37 % INTERRUPTS;

		/* The answer comes after the raise: what is raised is there to be found. */
		newly += (uint64_t)device_raise(&d, i);
		assert_int_equal(sleep_in_pump(), 1);
		take_only(s->vcpu[0], (uint8_t)(0x40 + i));
	}
	assert_int_equal(newly, 5000);
	assert_int_equal(mailbox_counts(mailbox).raised, newly);
	assert_int_equal(mailbox_counts(mailbox).doorbells, newly);
	assert_int_equal(device_raise(&d, INTERRUPTS), -EINVAL);
	device_end(&d);
	end();
}

static void each_raise_of_a_process_arrives(void **state)
{
	(void)state;
	each_raise_arrives("mailbox_device");
}

static void each_raise_of_one_in_cxx_arrives(void **state)
{
	(void)state;
	if (!device_is_there("mailbox_device_cxx")) {
		puts("SKIP: no C++ compiler, a mailbox's device tried in C only");
		skip();
	}
	each_raise_arrives("mailbox_device_cxx");
}

static void a_device_that_dies_is_noticed_and_followed_by_another(void **state)
{
	struct device d;

	(void)state;
	start();
	d = device_start(mailbox);
	assert_int_equal(vmirq_mailbox_watch(mailbox, d.socket, count_death, &deaths), 0);
	assert_int_equal(device_raise(&d, 3), 1);
	assert_int_equal(sleep_in_pump(), 1);
	assert_int_equal(deaths, 0);
	/* Raised, and nobody told before it dies. */
	vmirq_mailbox_start_looking(mailbox);
	assert_int_equal(device_raise(&d, 4), 1);
	device_kill(&d);
	dispatch_until(&deaths);
	assert_int_equal(deaths, 1);
	assert_int_equal(mailbox_counts(mailbox).dead, 1);
	assert_int_equal(counts_of_gsi(s, FIRST_GSI + 4).raised, 1);
	assert_int_equal(vmirq_mailbox_stop_looking(mailbox), 0);
	assert_int_equal(dispatch(s), 0);

	d = device_start(mailbox);
	assert_int_equal(vmirq_mailbox_watch(mailbox, d.socket, count_death, &deaths), 0);
	assert_int_equal(mailbox_counts(mailbox).dead, 0);
	assert_int_equal(device_raise(&d, 5), 1);
	assert_int_equal(sleep_in_pump(), 1);
	assert_int_equal(counts_of_gsi(s, FIRST_GSI + 5).raised, 1);
	device_end(&d);
	deaths = 0;
	dispatch_until(&deaths);
	/* No longer watched: nobody is told. */
	assert_int_equal(vmirq_mailbox_watch(mailbox, -1, NULL, NULL), 0);
	take_all(s->vcpu[0], NULL);
	end();
}

/* The device sees its VMM's end when the last of the two descriptors is gone, or by shutdown(). */
static void a_watched_socket_is_kept_open(void **state)
{
	(void)state;
	start();
	for (int shut = 0; shut < 2; shut++) {
		struct pollfd device = { .events = POLLIN };
		int pair[2];

		assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
		device.fd = pair[1];
		assert_int_equal(vmirq_mailbox_watch(mailbox, pair[0], NULL, NULL), 0);
		if (shut)
			assert_int_equal(shutdown(pair[0], SHUT_RDWR), 0);
		close(pair[0]);
		assert_int_equal(poll(&device, 1, 0), shut);
		assert_int_equal(vmirq_mailbox_watch(mailbox, -1, NULL, NULL), 0);
		assert_int_equal(poll(&device, 1, 0), 1);
		assert_true(device.revents & POLLHUP);
		close(pair[1]);
	}
	end();
}

/* A socket that has hung up already; and one that talks, which is nobody's death. */
static void a_socket_is_watched_for_its_end_only(void **state)
{
	int pair[2];

	(void)state;
	start();
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(vmirq_mailbox_watch(mailbox, pair[0], count_death, &deaths), 0);
	for (int i = 0; i < 10; i++) {
		assert_int_equal(write(pair[1], "x", 1), 1);
		dispatch(s);
	}
	assert_int_equal(deaths, 0);
	close(pair[1]);
	dispatch_until(&deaths);
	deaths = 0;
	assert_int_equal(vmirq_mailbox_watch(mailbox, pair[0], count_death, &deaths), 0);
	dispatch_until(&deaths);
	assert_int_equal(vmirq_mailbox_watch(mailbox, pair[0], NULL, NULL), 0);
	for (int turn = 0; turn < 1000 && !mailbox_counts(mailbox).dead; turn++)
		sleep_in_pump();
	assert_int_equal(mailbox_counts(mailbox).dead, 1);
	close(pair[0]);
	end();
}

static uint32_t next_random(uint32_t *state)
{
	*state = *state * 1664525u + 1013904223u;
	return *state >> 8;
}

/* One thing that no device should do. */
static void do_harm(int memfd, int doorbell, unsigned char *page, size_t bytes, uint32_t *random)
{
	uint64_t n;

	switch (next_random(random) % 16) {
	case 0:
		if (ftruncate(memfd, next_random(random) % 2 ? 0 : 1 << 20) == 0)
			_exit(1);
		break;
	case 1:
		fallocate(memfd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, (off_t)bytes);
		break;
	case 2:
		fcntl(doorbell, F_SETFL, next_random(random) % 2 ? O_NONBLOCK : 0);
		break;
	case 3:
		/* Never blocks the device itself. */
		fcntl(doorbell, F_SETFL, O_NONBLOCK);
		n = UINT64_MAX - 1;
		if (write(doorbell, &n, sizeof(n)) < 0)
			break;
		break;
	case 4:
		fcntl(doorbell, F_SETFL, O_NONBLOCK);
		if (read(doorbell, &n, sizeof(n)) < 0)
			break;
		break;
	case 5:
		memset(page, next_random(random) % 2 ? 0xff : 0, bytes);
		break;
	default:
		n = 1;
		fcntl(doorbell, F_SETFL, O_NONBLOCK);
		for (int i = 0; i < 64; i++)
			((volatile uint32_t *)page)[next_random(random) % (bytes / 4)] =
				next_random(random) << 16 ^ next_random(random);
		if (write(doorbell, &n, sizeof(n)) < 0)
			break;
		break;
	}
}

static pid_t start_villain(int memfd, int doorbell)
{
	pid_t pid = fork();
	uint32_t random = 4711;
	unsigned char *page;

	assert_true(pid >= 0);
	if (pid)
		return pid;
	/* Also where a check fails. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, memfd, 0);
	if (page == MAP_FAILED)
		_exit(1);
	for (;;)
		do_harm(memfd, doorbell, page, 4096, &random);
}

/* Nobody's GSIs but the villain's, and the good one's so often as it was raised. */
static void check_gsis(uint64_t good)
{
	for (uint32_t gsi = 0; gsi < SOFT_GSIS; gsi++) {
		uint64_t raised = counts_of_gsi(s, gsi).raised;

		if (gsi == OTHER_GSI)
			assert_int_equal(raised, good);
		else if (gsi < FIRST_GSI || gsi >= FIRST_GSI + INTERRUPTS)
			assert_int_equal(raised, 0);
	}
}

/* What a VMM does with a mailbox, between two raises of the device beside it. */
static void work_with_it(uint64_t round)
{
	uint32_t i = (uint32_t)(round % INTERRUPTS);

	if (round % 3 == 0) {
		vmirq_mailbox_start_looking(mailbox);
		assert_true(vmirq_mailbox_poll(mailbox) <= INTERRUPTS);
		assert_true(vmirq_mailbox_stop_looking(mailbox) <= INTERRUPTS);
	}
	if (round % 64 == 0) {
		assert_int_equal(vmirq_mailbox_unbind(mailbox, i), 0);
		assert_int_equal(vmirq_mailbox_bind(mailbox, i, FIRST_GSI + i), 0);
		vmirq_mailbox_reset(mailbox);
		mailbox_check(mailbox);
		take_all(s->vcpu[0], NULL);
		/* It must get a processor, too. */
		sched_yield();
	}
}

/* Whatever it writes, it raises its own; a device beside it waits for few turns of the pump. */
static void a_hostile_device_only_harms_itself(void **state)
{
	struct vmirq_mailbox *good;
	struct vmirq_mailbox_client client;
	int status = -1;
	pid_t villain;
	uint64_t round = 0;

	(void)state;
	start();
	good = mailbox_new(s, 1);
	client = client_of(good);
	route_to(s, OTHER_GSI, 0, 0xf0);
	assert_int_equal(vmirq_mailbox_bind(good, 0, OTHER_GSI), 0);
	villain = start_villain(vmirq_mailbox_memfd(mailbox), vmirq_mailbox_doorbell(mailbox));
	while (round < 5000 || (mailbox_counts(mailbox).raised < ENOUGH && round < 100 * ENOUGH)) {
		round++;
		assert_int_equal(vmirq_mailbox_client_raise(&client, 0), 1);
		for (int turn = 0; turn < FEW_TURNS && counts_of_gsi(s, OTHER_GSI).raised < round;
		     turn++)
			assert_true(dispatch(s) >= 0);
		assert_int_equal(counts_of_gsi(s, OTHER_GSI).raised, round);
		work_with_it(round);
	}
	assert_true(mailbox_counts(mailbox).raised >= ENOUGH);
	check_gsis(round);
	/* It was there all the time. */
	assert_int_equal(waitpid(villain, &status, WNOHANG), 0);
	assert_int_equal(kill(villain, SIGKILL), 0);
	assert_int_equal(waitpid(villain, &status, 0), villain);
	vmirq_mailbox_client_detach(&client);
	mailbox_end(good);
	end();
}

/* The device reads its doorbell, and has it block, when the pump has been told of it already. */
static void take_the_ring_away(void *opaque)
{
	int doorbell = vmirq_mailbox_doorbell(opaque);
	uint64_t n = 0;

	assert_int_equal(read(doorbell, &n, sizeof(n)), sizeof(n));
	assert_int_equal(fcntl(doorbell, F_SETFL, 0), 0);
	deaths++;
}

static void a_ring_taken_away_does_not_hang_the_pump(void **state)
{
	int pair[2];

	(void)state;
	start();
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(vmirq_mailbox_watch(mailbox, pair[0], take_the_ring_away, mailbox), 0);
	while (dispatch(s))
		;
	/* Told of both at once, of the hang-up first. */
	close(pair[1]);
	assert_int_equal(eventfd_write(vmirq_mailbox_doorbell(mailbox), 1), 0);
	assert_int_equal(dispatch(s), 1);
	assert_int_equal(deaths, 1);
	assert_int_equal(mailbox_counts(mailbox).doorbells, 0);
	close(pair[0]);
	end();
}

/* What a device is sent instead of a mailbox. */
static void a_device_refuses_what_is_no_mailbox(void **state)
{
	struct vmirq_mailbox_client client;
	int pair[2];

	(void)state;
	start();
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(write(pair[0], "01234567", 8), 8);
	assert_int_equal(vmirq_mailbox_client_receive(pair[1], &client), -EPROTO);
	assert_int_equal(vmirq_mailbox_send(mailbox, pair[0]), 0);
	assert_int_equal(vmirq_mailbox_client_receive(pair[1], &client), 0);
	assert_int_equal(vmirq_mailbox_client_raise(&client, 1), 1);
	assert_int_equal(dispatch(s), 1);
	vmirq_mailbox_client_detach(&client);
	close(pair[0]);
	assert_int_equal(vmirq_mailbox_client_receive(pair[1], &client), -ECONNRESET);
	/* And a VMM whose device has gone, or does not read, is told so. */
	assert_int_equal(vmirq_mailbox_send(mailbox, pair[1]), -EPIPE);
	close(pair[1]);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	for (int i = 0; i < 100000 && vmirq_mailbox_send(mailbox, pair[0]) == 0; i++)
		;
	assert_true(vmirq_mailbox_send(mailbox, pair[0]) < 0);
	close(pair[0]);
	close(pair[1]);
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_raise_of_a_process_arrives),
		cmocka_unit_test(each_raise_of_one_in_cxx_arrives),
		cmocka_unit_test(a_device_that_dies_is_noticed_and_followed_by_another),
		cmocka_unit_test(a_watched_socket_is_kept_open),
		cmocka_unit_test(a_socket_is_watched_for_its_end_only),
		cmocka_unit_test(a_hostile_device_only_harms_itself),
		cmocka_unit_test(a_ring_taken_away_does_not_hang_the_pump),
		cmocka_unit_test(a_device_refuses_what_is_no_mailbox),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
