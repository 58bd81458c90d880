// SPDX-License-Identifier: MIT
/*
 * Raise, poll and park against each other.
 *
 * One signal at a time, and no other comes to the rescue: by a pump that sleeps, and by a poller that
 * stops looking and then sleeps in the pump; the device is a thread, and then a process. A look left out,
 * or a ring, ends this test in a time-out.
 *
 * Then all at once: devices raise while bits are bound, unbound and reset, and pollers come and go. What the
 * devices counted is what was taken.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include <vmirq/irqfd.h>
#include <vmirq/mailbox.h>
#include <vmirq/observe.h>
#include <vmirq/vm.h>

#define PACED_ROUNDS 100000u
#define PACED_S	     15 /* enough, on a machine that has other things to do */
#define LOST_S	     10
#define INTERRUPTS   130u
#define FIRST_GSI    10u
#define DEVICES	     2
#define MIXED_ROUNDS 200000u

static struct vmirq_vm *vm;
static struct vmirq_mailbox *mailbox;

static time_t now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec;
}

static void start(uint32_t rate)
{
	struct vmirq_vm_config vm_config = { .size = sizeof(vm_config) };
	struct vmirq_mailbox_config config = { .size = sizeof(config),
					       .count = INTERRUPTS,
					       .rate = rate };

	assert_int_equal(vmirq_vm_create(&vm_config, &vm), 0);
	assert_int_equal(vmirq_mailbox_create(vm, &config, &mailbox), 0);
	for (uint32_t i = 0; i < INTERRUPTS; i++)
		assert_int_equal(vmirq_mailbox_bind(mailbox, i, FIRST_GSI + i), 0);
}

static void attach(struct vmirq_mailbox_client *client)
{
	assert_int_equal(vmirq_mailbox_client_attach(client, dup(vmirq_mailbox_memfd(mailbox)),
						     dup(vmirq_mailbox_doorbell(mailbox))),
			 0);
}

static struct vmirq_mailbox_counts counts(void)
{
	struct vmirq_mailbox_counts c = { .size = sizeof(c) };

	assert_int_equal(vmirq_mailbox_counts(mailbox, &c), 0);
	return c;
}

/* Shared also with a child. */
struct paced {
	_Atomic uint32_t arrived; /* stored by the VMM */
	_Atomic uint32_t rounds;  /* done by the device */
	_Atomic bool ended;
};

/* False: it did not arrive. */
static bool wait_for(_Atomic uint32_t *what, uint32_t value)
{
	time_t end = now_s() + LOST_S;

	for (unsigned int turn = 0; atomic_load(what) != value; turn++)
		if (turn % 256 == 255) {
			sched_yield();
			if (now_s() > end)
				return false;
		}
	return true;
}

/* Raise one, wait until it has arrived, raise the next. */
static void pace(struct vmirq_mailbox_client *client, struct paced *paced)
{
	time_t end = now_s() + PACED_S;
	uint32_t n = 0;

	while (n < PACED_ROUNDS && now_s() < end) {
		if (vmirq_mailbox_client_raise(client, n % INTERRUPTS) != 1)
			break;
		n++;
		if (!wait_for(&paced->arrived, n))
			break;
		atomic_store(&paced->rounds, n);
	}
	atomic_store(&paced->ended, true);
}

static void *run_paced_device(void *argument)
{
	struct vmirq_mailbox_client client;

	attach(&client);
	pace(&client, argument);
	vmirq_mailbox_client_detach(&client);
	return NULL;
}

/* The VMM: sleeps in the pump; or now and then polls for a while before that. */
static void serve(struct paced *paced, bool polls)
{
	uint32_t random = 1;

	while (!atomic_load(&paced->ended)) {
		if (polls) {
			vmirq_mailbox_start_looking(mailbox);
			random = random * 1664525u + 1013904223u;
			for (uint32_t i = 0; i < random >> 22; i++) {
				assert_true(vmirq_mailbox_poll(mailbox) >= 0);
				atomic_store(&paced->arrived, (uint32_t)counts().signalled);
			}
			assert_true(vmirq_mailbox_stop_looking(mailbox) >= 0);
			atomic_store(&paced->arrived, (uint32_t)counts().signalled);
		}
		/* The time-out only serves to see the end: it is longer than a lost one is waited for. */
		vmirq_pump_dispatch(vmirq_vm_pump(vm), (LOST_S + 2) * 1000);
		atomic_store(&paced->arrived, (uint32_t)counts().signalled);
	}
}

/* Wakes the pump at the end, when no signal does. */
static void *ring_at_end(void *argument)
{
	struct paced *paced = argument;
	const uint64_t one = 1;

	while (!atomic_load(&paced->ended))
		usleep(1000);
	assert_int_equal(write(vmirq_mailbox_doorbell(mailbox), &one, sizeof(one)), sizeof(one));
	return NULL;
}

static void check_paced(const struct paced *paced)
{
	assert_true(paced->rounds > 0);
	assert_int_equal(paced->rounds, paced->arrived);
	assert_int_equal(counts().raised, paced->rounds);
	print_message("%u rounds, %lu rings\n", paced->rounds, (unsigned long)counts().doorbells);
}

static void end(void)
{
	assert_int_equal(vmirq_mailbox_destroy(mailbox), 0);
	assert_int_equal(vmirq_vm_destroy(vm), 0);
}

static void pace_a_thread(bool polls)
{
	struct paced paced = { .arrived = 0 };
	pthread_t device, ringer;

	start(0);
	assert_int_equal(pthread_create(&device, NULL, run_paced_device, &paced), 0);
	assert_int_equal(pthread_create(&ringer, NULL, ring_at_end, &paced), 0);
	serve(&paced, polls);
	pthread_join(device, NULL);
	pthread_join(ringer, NULL);
	check_paced(&paced);
	end();
}

static void a_sleeping_pump_misses_nothing(void **state)
{
	(void)state;
	pace_a_thread(false);
}

static void a_poller_that_goes_to_sleep_misses_nothing(void **state)
{
	(void)state;
	pace_a_thread(true);
}

static void nor_from_another_process(void **state)
{
	struct paced *paced = mmap(NULL, sizeof(*paced), PROT_READ | PROT_WRITE,
				   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct vmirq_mailbox_client client;
	pthread_t ringer;
	int status = -1;
	pid_t pid;

	(void)state;
	assert_true(paced != MAP_FAILED);
	start(0);
	attach(&client);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		pace(&client, paced);
		_exit(0);
	}
	assert_int_equal(pthread_create(&ringer, NULL, ring_at_end, paced), 0);
	serve(paced, true);
	pthread_join(ringer, NULL);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	check_paced(paced);
	vmirq_mailbox_client_detach(&client);
	end();
	munmap(paced, sizeof(*paced));
}

static struct vmirq_mailbox_client shared;
static _Atomic uint64_t newly_raised;
static _Atomic int devices_left;

static void *run_device(void *argument)
{
	uint32_t random = (uint32_t)(uintptr_t)argument;
	uint64_t newly = 0;

	for (uint32_t k = 0; k < MIXED_ROUNDS; k++) {
		int raised;

		random = random * 1664525u + 1013904223u;
		raised = vmirq_mailbox_client_raise(&shared, (random >> 8) % INTERRUPTS);
		assert_true(raised >= 0);
		newly += (uint64_t)raised;
		if (k % 512 == 0)
			sched_yield();
	}
	atomic_fetch_add(&newly_raised, newly);
	atomic_fetch_sub(&devices_left, 1);
	return NULL;
}

static void *run_poller(void *argument)
{
	(void)argument;
	while (atomic_load(&devices_left)) {
		vmirq_mailbox_start_looking(mailbox);
		for (int i = 0; i < 100; i++)
			assert_true(vmirq_mailbox_poll(mailbox) >= 0);
		assert_true(vmirq_mailbox_stop_looking(mailbox) >= 0);
		sched_yield();
	}
	return NULL;
}

static uint64_t raised_on(uint32_t gsi)
{
	struct vmirq_route_counts c = { .size = sizeof(c) };

	assert_int_equal(vmirq_gsi_counts(vm, gsi, &c), 0);
	/* A signal that met an irqfd on its way out would be lost. */
	assert_int_equal(c.verdict[VMIRQ_DEASSIGNED], 0);
	return c.raised;
}

static void *run_binder(void *argument)
{
	uint32_t random = 99;

	(void)argument;
	while (atomic_load(&devices_left)) {
		uint32_t i;
		uint64_t raised;

		random = random * 1664525u + 1013904223u;
		i = (random >> 8) % INTERRUPTS;
		assert_int_equal(vmirq_mailbox_unbind(mailbox, i), 0);
		/* Nothing after it has returned. */
		raised = raised_on(FIRST_GSI + i);
		sched_yield();
		assert_int_equal(raised_on(FIRST_GSI + i), raised);
		if (random >> 28 == 0)
			vmirq_mailbox_reset(mailbox);
		assert_int_equal(vmirq_mailbox_bind(mailbox, i, FIRST_GSI + i), 0);
	}
	return NULL;
}

static void everything_at_once(uint32_t rate)
{
	struct vmirq_mailbox_counts c;
	uint64_t signalled = 0;
	pthread_t thread[DEVICES + 2];
	time_t give_up;

	start(rate);
	attach(&shared);
	atomic_store(&newly_raised, 0);
	atomic_store(&devices_left, DEVICES);
	assert_int_equal(vmirq_pump_start(vmirq_vm_pump(vm)), 0);
	for (int i = 0; i < DEVICES; i++)
		assert_int_equal(
			pthread_create(&thread[i], NULL, run_device, (void *)(uintptr_t)(i + 1)),
			0);
	assert_int_equal(pthread_create(&thread[DEVICES], NULL, run_poller, NULL), 0);
	assert_int_equal(pthread_create(&thread[DEVICES + 1], NULL, run_binder, NULL), 0);
	for (int i = 0; i < DEVICES + 2; i++)
		pthread_join(thread[i], NULL);
	/* Nobody raises any more, all is bound: the pump takes the rest by itself. */
	give_up = now_s() + LOST_S;
	do {
		usleep(1000);
		c = counts();
	} while ((c.held || c.raised != newly_raised || c.throttled) && now_s() < give_up);
	assert_int_equal(vmirq_pump_stop(vmirq_vm_pump(vm)), 0);
	c = counts();
	assert_int_equal(c.held, 0);
	assert_int_equal(c.raised, newly_raised);
	assert_int_equal(c.raised, c.signalled + c.coalesced + c.dropped);
	for (uint32_t i = 0; i < INTERRUPTS; i++)
		signalled += raised_on(FIRST_GSI + i);
	assert_int_equal(c.signalled, signalled);
	print_message("%lu raised, %lu rings, %lu coalesced, %lu dropped, %lu throttles\n",
		      (unsigned long)c.raised, (unsigned long)c.doorbells,
		      (unsigned long)c.coalesced, (unsigned long)c.dropped,
		      (unsigned long)c.throttles);
	vmirq_mailbox_client_detach(&shared);
	end();
}

static void all_at_once(void **state)
{
	(void)state;
	everything_at_once(0);
}

static void all_at_once_over_the_rate(void **state)
{
	(void)state;
	everything_at_once(50000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nor_from_another_process),
		cmocka_unit_test(a_sleeping_pump_misses_nothing),
		cmocka_unit_test(a_poller_that_goes_to_sleep_misses_nothing),
		cmocka_unit_test(all_at_once),
		cmocka_unit_test(all_at_once_over_the_rate),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
