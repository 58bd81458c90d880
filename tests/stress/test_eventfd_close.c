// SPDX-License-Identifier: MIT
/*
 * The caller closes its eventfd, and its resamplefd, at any moment around assign and deassign (kernel
 * b68e7fa8). The device has a duplicate of its own. Either assign says that there was no descriptor, or all
 * that the device wrote until deassign began is delivered; in the end no descriptor of ours is left open,
 * and no eventfd is left bound.
 */
#include "busy_pc.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define ROUNDS 10000

static const struct {
	uint32_t gsi, vector;
	bool level;
} to[] = { { 40, 0x41, false }, { 9, 0x52, false }, { 10, 0x53, true } };

#define WAYS 3

static struct busy_pc *pc;
static _Atomic uint32_t begun, closed;
static int to_close[2];
static _Atomic uint32_t moment; /* so many turns later */
static uint64_t written[WAYS];

static void *run_closer(void *unused)
{
	(void)unused;
	for (uint32_t round = 1; round <= ROUNDS; round++) {
		wait_for(&begun, round);
		for (uint32_t n = atomic_load(&moment); n; n--)
			sched_yield();
		close(to_close[0]);
		if (to_close[1] >= 0)
			close(to_close[1]);
		atomic_store(&closed, round);
	}
	return NULL;
}

static void write_some(int device, uint32_t way, uint32_t *random)
{
	for (uint32_t n = next_random(random) % 3; n; n--) {
		assert_int_equal(eventfd_write(device, n), 0);
		written[way] += n;
		if (next_random(random) % 2)
			sched_yield();
	}
}

/* The eventfd is free again, and nobody reads it. */
static void is_not_bound(int device, uint32_t gsi)
{
	struct vmirq_irqfd_config config = { .size = sizeof(config),
					     .gsi = gsi,
					     .eventfd = device };
	struct vmirq_irqfd *irqfd;

	assert_int_equal(vmirq_irqfd_assign(pc->vm, &config, &irqfd), 0);
	assert_int_equal(vmirq_irqfd_deassign(irqfd), 0);
}

static void one_round(uint32_t round, uint32_t *random, uint32_t *refused)
{
	uint32_t way = next_random(random) % WAYS;
	/* Some are for certain closed too late to be refused. */
	bool late = round % 64 == 0;
	int device, error;
	struct vmirq_irqfd_config config = { .size = sizeof(config), .gsi = to[way].gsi };
	struct vmirq_irqfd *irqfd;
	eventfd_t left = 0;

	config.eventfd = to_close[0] = eventfd(0, EFD_NONBLOCK);
	to_close[1] = to[way].level ? eventfd(0, EFD_NONBLOCK) : -1;
	if (to[way].level) {
		config.flags = VMIRQ_IRQFD_RESAMPLE;
		config.resamplefd = to_close[1];
	}
	device = fcntl(to_close[0], F_DUPFD_CLOEXEC, 0);
	assert_true(device >= 0);
	atomic_store(&moment, next_random(random) % 12);
	if (!late)
		atomic_store(&begun, round);
	if (next_random(random) % 4 == 0)
		sched_yield();
	error = vmirq_irqfd_assign(pc->vm, &config, &irqfd);
	atomic_store(&begun, round);
	if (error && !late) {
		assert_int_equal(error, -EBADF);
		++*refused;
	} else {
		assert_int_equal(error, 0);
		write_some(device, way, random);
		assert_int_equal(vmirq_irqfd_deassign(irqfd), 0);
		assert_int_equal(eventfd_read(device, &left), -1);
	}
	wait_for(&closed, round);
	if (round % 16 == 0)
		is_not_bound(device, to[way].gsi);
	close(device);
}

static void balance(void)
{
	for (int i = 0; i < WAYS; i++) {
		struct vmirq_route_counts c = busy_gsi_counts(pc, to[i].gsi);

		assert_int_equal(c.raised, written[i]);
		assert_int_equal(c.held, 0);
		assert_int_equal(c.raised, c.verdict[VMIRQ_DELIVERED] + c.verdict[VMIRQ_COALESCED] +
						   c.verdict[VMIRQ_EVENTFD_MERGED] +
						   c.verdict[VMIRQ_REMOTE_IRR]);
		assert_true(busy_handled(pc, to[i].vector) > 0);
		assert_int_equal(vmirq_line_level(pc->vm, to[i].gsi), 0);
	}
	assert_true(busy_posted(pc) >= busy_delivered(pc));
}

static void closed_at_any_moment(void **state)
{
	uint32_t random = 2, refused = 0;
	pthread_t thread;
	int open;

	(void)state;
	pc = busy_new();
	assert_int_equal(vmirq_route_set_msi(pc->vm, to[0].gsi, 0xfee00000, to[0].vector), 0);
	for (int i = 1; i < WAYS; i++)
		busy_rte(pc, to[i].gsi, 1, to[i].vector | (to[i].level ? 1u << 15 : 0));
	open = open_descriptors();
	assert_int_equal(pthread_create(&thread, NULL, run_closer, NULL), 0);
	for (uint32_t round = 1; round <= ROUNDS; round++)
		one_round(round, &random, &refused);
	pthread_join(thread, NULL);
	assert_int_equal(open_descriptors(), open);
	print_message("%u of %u were closed before assign had them\n", refused, ROUNDS);
	busy_stop(pc);
	balance();
	busy_free(pc);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(closed_at_any_moment) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
