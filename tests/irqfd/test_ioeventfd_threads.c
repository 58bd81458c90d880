// SPDX-License-Identifier: MIT
/* Doorbells beside assign and deassign, and with peers that are stuck. */
#include "ioeventfd_bells.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>

#define FULL	(UINT64_MAX - 1)

#define RINGERS 2u
#define CHANGES 60u

struct ringer {
	pthread_t thread;
	struct soft *s;
	_Atomic bool *stop;
	uint64_t rang, missed;
};

static void *ring_on(void *argument)
{
	struct ringer *r = argument;

	while (!atomic_load(r->stop)) {
		if (write_bell(r->s))
			r->rang++;
		else
			r->missed++;
	}
	return NULL;
}

/* Others come and go beside it, so that the array is exchanged under the ringers by two. */
static void *change_others(void *argument)
{
	struct ringer *r = argument;
	int fd = new_eventfd();

	/* Once at least, however late it gets a processor. */
	for (uint64_t i = 0; !atomic_load(r->stop) || !r->missed; i++) {
		uint64_t addr = BELL - 64 + 8 * (i % 16);

		if (addr == BELL)
			continue;
		assert_int_equal(assign(r->s, say_trusted, addr, fd), 0);
		if (i % 2)
			assert_int_equal(assign(r->s, say_trusted, addr, fd), -EEXIST);
		assert_int_equal(deassign(r->s, addr, fd), 0);
		r->missed++;
	}
	assert_int_equal(take_rings(fd, 0), 0);
	close(fd);
	return NULL;
}

static uint64_t total(const struct ringer *ringers, uint64_t *missed)
{
	uint64_t rang = 0;

	for (unsigned int i = 0; i < RINGERS; i++) {
		pthread_join(ringers[i].thread, NULL);
		rang += ringers[i].rang;
		*missed += ringers[i].missed;
	}
	return rang;
}

static void beside_ringers(int (*how)(void *, const struct kvm_ioeventfd *))
{
	struct soft *s = soft_new(1);
	_Atomic bool stop = false;
	struct ringer ringers[RINGERS], other = { .s = s, .stop = &stop };
	uint64_t got = 0, missed = 0;
	int fd = new_eventfd();

	for (unsigned int i = 0; i < RINGERS; i++) {
		ringers[i] = (struct ringer){ .s = s, .stop = &stop };
		pthread_create(&ringers[i].thread, NULL, ring_on, &ringers[i]);
	}
	pthread_create(&other.thread, NULL, change_others, &other);
	for (unsigned int i = 0; i < CHANGES; i++) {
		assert_int_equal(assign(s, how, BELL, fd), 0);
		got += take_rings(fd, 1);
		assert_int_equal(deassign(s, BELL, fd), 0);
		/* All of it is there now, and nothing comes after. */
		got += take_rings(fd, 0);
		sched_yield();
		assert_int_equal(take_rings(fd, 0), 0);
	}
	atomic_store(&stop, true);
	assert_int_equal(total(ringers, &missed), got);
	assert_true(got >= CHANGES);
	assert_true(missed > 0);
	pthread_join(other.thread, NULL);
	assert_true(other.missed > 0);
	assert_int_equal(take_rings(fd, 0), 0);
	close(fd);
	soft_free(s);
}

static void ringers_of_an_untrusted_one(void **state)
{
	(void)state;
	beside_ringers(say);
}

static void ringers_of_a_trusted_one(void **state)
{
	(void)state;
	beside_ringers(say_trusted);
}

/* Two deassign the same: one of them does. */
static void *deassign_it(void *argument)
{
	struct ringer *r = argument;
	int error = deassign(r->s, BELL, (int)r->missed);

	assert_true(!error || error == -ENOENT);
	r->rang = !error;
	return NULL;
}

static void deassigned_by_two(void **state)
{
	struct soft *s = soft_new(1);
	int fd = new_eventfd();

	(void)state;
	for (int i = 0; i < 50; i++) {
		struct ringer two[2];

		assert_int_equal(assign(s, say_trusted, BELL, fd), 0);
		for (int k = 0; k < 2; k++) {
			two[k] = (struct ringer){ .s = s, .missed = (uint64_t)fd };
			pthread_create(&two[k].thread, NULL, deassign_it, &two[k]);
		}
		for (int k = 0; k < 2; k++)
			pthread_join(two[k].thread, NULL);
		assert_int_equal(two[0].rang + two[1].rang, 1);
	}
	close(fd);
	soft_free(s);
}

/* Hostile peers. */

/* Full, and a write would block: the vCPU goes on, deassign too. */
static void a_stuck_peer(void **state)
{
	struct soft *s = soft_new(1);
	int fd = eventfd(0, EFD_CLOEXEC);
	uint64_t rings;

	(void)state;
	assert_int_equal(eventfd_write(fd, FULL), 0);
	assert_int_equal(assign(s, say, BELL, fd), 0);
	for (int i = 0; i < 1000; i++)
		assert_true(write_bell(s));
	/* The peer comes to life: it has lost what it wrote itself. */
	assert_int_equal(eventfd_read(fd, &rings), 0);
	assert_int_equal(rings, 1000);
	/* And is stuck again. */
	assert_int_equal(eventfd_write(fd, FULL), 0);
	assert_true(write_bell(s));
	assert_int_equal(eventfd_read(fd, &rings), 0);
	assert_int_equal(rings, 1);
	assert_int_equal(eventfd_write(fd, FULL), 0);
	assert_int_equal(deassign(s, BELL, fd), 0);
	assert_false(write_bell(s));
	assert_int_equal(assign(s, say, BELL, fd), 0);
	assert_true(write_bell(s));
	soft_free(s);
	assert_int_equal(eventfd_read(fd, &rings), 0);
	assert_int_equal(rings, 1);
	close(fd);
}

/* Of a trusted one the ring is dropped when it is full: it says all that it can. */
static void a_full_trusted_one(void **state)
{
	struct soft *s = soft_new(1);
	int fd = new_eventfd();

	(void)state;
	assert_int_equal(eventfd_write(fd, FULL), 0);
	assert_int_equal(assign(s, say_trusted, BELL, fd), 0);
	assert_true(write_bell(s));
	assert_int_equal(take_rings(fd, 0), FULL);
	assert_true(write_bell(s));
	assert_int_equal(take_rings(fd, 0), 1);
	close(fd);
	soft_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ringers_of_an_untrusted_one),
		cmocka_unit_test(ringers_of_a_trusted_one),
		cmocka_unit_test(deassigned_by_two),
		cmocka_unit_test(a_stuck_peer),
		cmocka_unit_test(a_full_trusted_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
