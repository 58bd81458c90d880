// SPDX-License-Identifier: MIT
/*
 * A device's process that attacks the page while several threads sweep it: cuts it off in every way that Linux has,
 * unseals it, and scribbles over all its words, the one that says who looks, too.
 */
#include "device_side.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>

#define INTERRUPTS 100
#define FIRST_GSI  100
#define GOOD_GSI   500
#define SCRIBBLES  50000u
#define LOST_S	   20

static struct soft *s;
static struct vmirq_mailbox *mailbox, *good;
static struct vmirq_mailbox_client client, good_client;
/* How often the villain has been through the page. */
static _Atomic uint32_t *rounds;
static _Atomic bool ends;
static pthread_t poller;

static void *poll_and_park(void *argument)
{
	(void)argument;
	while (!atomic_load(&ends)) {
		vmirq_mailbox_start_looking(mailbox);
		for (int i = 0; i < 50; i++)
			vmirq_mailbox_poll(mailbox);
		vmirq_mailbox_stop_looking(mailbox);
		sched_yield();
	}
	return NULL;
}

static pid_t start_villain(void (*attack)(void))
{
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid)
		return pid;
	/* Also where a check fails. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	attack();
	_exit(0);
}

/* The villain first: a fork of a process with threads may not do much. Then a poller beside the pump. */
static pid_t start(void (*attack)(void))
{
	pid_t villain;

	s = soft_new(1);
	mailbox = mailbox_new(s, INTERRUPTS);
	for (uint32_t i = 0; i < INTERRUPTS; i++) {
		route_to(s, FIRST_GSI + i, 0, (uint8_t)(0x40 + i));
		assert_int_equal(vmirq_mailbox_bind(mailbox, i, FIRST_GSI + i), 0);
	}
	good = mailbox_new(s, 1);
	route_to(s, GOOD_GSI, 0, 0xf0);
	assert_int_equal(vmirq_mailbox_bind(good, 0, GOOD_GSI), 0);
	client = client_of(mailbox);
	good_client = client_of(good);
	rounds = mmap(NULL, sizeof(*rounds), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	assert_true(rounds != MAP_FAILED);
	atomic_store(&ends, false);
	villain = start_villain(attack);
	assert_int_equal(vmirq_pump_start(vmirq_vm_pump(s->vm)), 0);
	assert_int_equal(pthread_create(&poller, NULL, poll_and_park, NULL), 0);
	return villain;
}

static void stop_threads(void)
{
	atomic_store(&ends, true);
	assert_int_equal(pthread_join(poller, NULL), 0);
	assert_int_equal(vmirq_pump_stop(vmirq_vm_pump(s->vm)), 0);
}

/* Nobody's GSIs but the villain's, and the good one's so often as it was raised. */
static void end(uint64_t good_raised)
{
	for (uint32_t gsi = 0; gsi < SOFT_GSIS; gsi++) {
		if (gsi == GOOD_GSI)
			assert_int_equal(counts_of_gsi(s, gsi).raised, good_raised);
		else if (gsi < FIRST_GSI || gsi >= FIRST_GSI + INTERRUPTS)
			assert_int_equal(counts_of_gsi(s, gsi).raised, 0);
	}
	take_all(s->vcpu[0], NULL);
	vmirq_mailbox_client_detach(&client);
	vmirq_mailbox_client_detach(&good_client);
	mailbox_end(good);
	mailbox_end(mailbox);
	soft_free(s);
	munmap((void *)rounds, sizeof(*rounds));
}

/* False: it did not come, whatever the villain does, or twice. Counts are exact once the signal is through: in
 * the middle of it they may be one more, or less. */
static bool raise_good(uint64_t n)
{
	time_t end = time(NULL) + LOST_S;
	uint64_t raised;

	assert_int_equal(vmirq_mailbox_client_raise(&good_client, 0), 1);
	while ((raised = counts_of_gsi(s, GOOD_GSI).raised) != n && time(NULL) < end)
		sched_yield();
	return raised == n;
}

/* After it all the page works as before: the VMM says anew who looks, and a ring is heard. */
static void check_recovery(uint32_t i)
{
	uint64_t before;

	stop_threads();
	vmirq_mailbox_start_looking(mailbox);
	assert_int_equal(__atomic_load_n(&client.page->looking, __ATOMIC_RELAXED) % 2, 1);
	assert_true(vmirq_mailbox_poll(mailbox) >= 0);
	assert_int_equal(vmirq_mailbox_stop_looking(mailbox), 0);
	assert_int_equal(__atomic_load_n(&client.page->looking, __ATOMIC_RELAXED) % 2, 0);
	while (dispatch(s))
		;
	/* Bits past the last interrupt would be bound to nothing. */
	assert_int_equal(mailbox_counts(mailbox).held, 0);
	before = counts_of_gsi(s, FIRST_GSI + i).raised;
	assert_int_equal(vmirq_mailbox_client_raise(&client, i), 1);
	assert_true(dispatch(s) > 0);
	assert_int_equal(counts_of_gsi(s, FIRST_GSI + i).raised, before + 1);
}

/* Every way to make the page shorter, or to take away the right to write it; fails if one works. */
static void cut_off(void)
{
	static const int seals[] = { F_SEAL_SEAL, F_SEAL_SHRINK, F_SEAL_GROW, F_SEAL_WRITE,
				     F_SEAL_FUTURE_WRITE };
	int memfd = vmirq_mailbox_memfd(mailbox);
	unsigned int worked = 0;
	char path[40];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", memfd);
	for (int turn = 0; turn < 200; turn++) {
		worked += ftruncate(memfd, 0) == 0;
		worked += ftruncate(memfd, 1) == 0;
		worked += ftruncate(memfd, 1 << 20) == 0;
		worked += truncate(path, 0) == 0;
		/* -1 also where there is no /proc. */
		worked += open(path, O_RDWR | O_TRUNC | O_CLOEXEC) >= 0;
		worked += fallocate(memfd, 0, 0, 1 << 20) == 0;
		worked += fallocate(memfd, FALLOC_FL_COLLAPSE_RANGE, 0, 4096) == 0;
		for (size_t i = 0; i < sizeof(seals) / sizeof(seals[0]); i++)
			worked += fcntl(memfd, F_ADD_SEALS, seals[i]) == 0;
		/* Which it may, and which leaves zeros. */
		fallocate(memfd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096);
		madvise(client.page, client.bytes, MADV_REMOVE);
		vmirq_mailbox_client_raise(&client, (uint32_t)turn % INTERRUPTS);
		sched_yield();
	}
	_exit(worked ? 1 : 0);
}

static void the_page_cannot_be_cut_off_under_a_sweep(void **state)
{
	pid_t villain = start(cut_off);
	int status = -1;
	uint64_t n = 0;

	(void)state;
	while (waitpid(villain, &status, WNOHANG) == 0)
		assert_true(raise_good(++n));
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	check_recovery(7);
	end(n);
}

/* Faster than any sweep, and without a pattern; the doorbell is rung or emptied in between. */
static void scribble(void)
{
	volatile uint64_t *word = (volatile uint64_t *)client.page;
	const uint64_t one = 1;
	uint64_t random = 4711, n;

	fcntl(client.doorbell, F_SETFL, O_NONBLOCK);
	for (;;) {
		for (uint32_t i = 0; i < client.bytes / 8; i++) {
			random = random * UINT64_C(6364136223846793005) + 1442695040888963407u;
			word[i] = random;
			/* Who looks, and the words that are bits, more often than the rest. */
			client.page->looking = random >> 7;
			*vmirq_mailbox_word(client.page, i % 128) = ~random;
		}
		if (random >> 63 ? write(client.doorbell, &one, sizeof(one)) < 0
				 : read(client.doorbell, &n, sizeof(n)) < 0)
			sched_yield();
		atomic_fetch_add(rounds, 1);
	}
}

static void every_word_is_scribbled_over_while_it_is_swept(void **state)
{
	pid_t villain = start(scribble);
	int status = -1;
	uint64_t n = 0;

	(void)state;
	while (n < 500 || atomic_load(rounds) < SCRIBBLES) {
		uint32_t i = (uint32_t)(n % INTERRUPTS);

		assert_true(raise_good(++n));
		if (n % 8 == 0) {
			assert_int_equal(vmirq_mailbox_unbind(mailbox, i), 0);
			assert_int_equal(vmirq_mailbox_bind(mailbox, i, FIRST_GSI + i), 0);
		}
	}
	/* It was there all the time. */
	assert_int_equal(waitpid(villain, &status, WNOHANG), 0);
	assert_int_equal(kill(villain, SIGKILL), 0);
	assert_int_equal(waitpid(villain, &status, 0), villain);
	assert_true(mailbox_counts(mailbox).raised > 0);
	check_recovery(9);
	end(n);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_page_cannot_be_cut_off_under_a_sweep),
		cmocka_unit_test(every_word_is_scribbled_over_while_it_is_swept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
