// SPDX-License-Identifier: MIT
/*
 * The device process of the kind `mailbox`: the command itself, started once more with a subcommand that the help
 * does not name. It has nothing of the VMM but what came over its socket, and raises by
 * vmirq/mailbox_client.h only (or by eventfds, as the twin to compare with).
 */
#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include <vmirq/mailbox_client.h>

#include "command.h"
#include "mailbox_orders.h"

#define SPIN_TURNS  200
#define YIELD_TURNS 400

struct device {
	struct mailbox_orders *orders;
	struct vmirq_mailbox_client mailbox;
	int eventfd[LANES_MAX];
	uint32_t lanes;
	bool by_eventfd;
	uint64_t done;
	/* done % lanes */
	uint32_t next;
	/* A copy: nobody else writes them. */
	uint64_t raised[LANES_MAX], merged[LANES_MAX];
};

static int complain(const char *what, int error)
{
	fprintf(stderr, MAILBOX_DEVICE ": %s: %s\n", what, strerror(-error));
	return error;
}

static bool has_order(const struct device *d)
{
	/* Sequentially consistent: after the store to `sleeps` it pairs with the order's store and its load
	 * of that. */
	return atomic_load(&d->orders->wanted) > d->done || atomic_load(&d->orders->stop);
}

static void sleep_for_order(struct device *d)
{
	uint32_t bell = atomic_load(&d->orders->bell);

	atomic_store(&d->orders->sleeps, 1);
	if (!has_order(d))
		syscall(SYS_futex, &d->orders->bell, FUTEX_WAIT, bell, NULL, NULL, 0);
	atomic_store(&d->orders->sleeps, 0);
}

static void wait_for_order(struct device *d)
{
	for (uint32_t turn = 0; !has_order(d); turn++) {
		if (turn < SPIN_TURNS)
			__builtin_ia32_pause();
		else if (turn < YIELD_TURNS)
			sched_yield();
		else
			sleep_for_order(d);
	}
}

static int raise_lane(struct device *d, uint32_t lane)
{
	const uint64_t one = 1;
	int ret;

	if (!d->by_eventfd)
		return vmirq_mailbox_client_raise(&d->mailbox, lane);
	do
		ret = write(d->eventfd[lane], &one, sizeof(one)) < 0 ? -errno : 1;
	while (ret == -EINTR);
	return ret;
}

static int raise_next(struct device *d)
{
	uint32_t lane = d->next;
	int ret = raise_lane(d, lane);

	if (ret < 0)
		return complain("raising", ret);
	d->next = lane + 1 < d->lanes ? lane + 1 : 0;
	d->merged[lane] += ret == 0;
	d->raised[lane]++;
	atomic_store_explicit(&d->orders->lane[lane].merged, d->merged[lane], memory_order_relaxed);
	atomic_store_explicit(&d->orders->lane[lane].raised, d->raised[lane], memory_order_relaxed);
	/* Release: whoever sees it (mailbox_done()) finds the counts. */
	atomic_store_explicit(&d->orders->done, ++d->done, memory_order_release);
	return 0;
}

static uint64_t now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static int serve(struct device *d)
{
	int ret = 0;

	while (!ret) {
		uint64_t wanted;

		wait_for_order(d);
		wanted = atomic_load(&d->orders->wanted);
		atomic_store_explicit(&d->orders->began_at, now(), memory_order_relaxed);
		while (d->done < wanted && !ret) {
			if (atomic_load_explicit(&d->orders->stop, memory_order_relaxed))
				return 0;
			ret = raise_next(d);
		}
		if (atomic_load(&d->orders->stop))
			break;
	}
	return ret;
}

static int map_orders(struct device *d, int memfd)
{
	d->orders = mmap(NULL, sizeof(*d->orders), PROT_READ | PROT_WRITE, MAP_SHARED, memfd, 0);
	if (d->orders == MAP_FAILED)
		return -errno;
	d->lanes = d->orders->lanes;
	d->by_eventfd = d->orders->by_eventfd;
	return d->lanes >= 1 && d->lanes <= LANES_MAX ? 0 : -EPROTO;
}

static int receive(struct device *d)
{
	int memfd = -1;
	int ret = mailbox_receive_fds(MAILBOX_SOCKET, &memfd, 1);

	if (!ret)
		ret = map_orders(d, memfd);
	if (!ret && d->by_eventfd)
		ret = mailbox_receive_fds(MAILBOX_SOCKET, d->eventfd, d->lanes);
	else if (!ret)
		ret = vmirq_mailbox_client_receive(MAILBOX_SOCKET, &d->mailbox);
	/* It is ready. */
	if (!ret && write(MAILBOX_SOCKET, "r", 1) != 1)
		ret = -errno;
	return ret ? complain("what was sent to it", ret) : 0;
}

enum exit_code command_mailbox_device(void)
{
	struct device d = { .done = 0 };

	prctl(PR_SET_NAME, MAILBOX_DEVICE);
	return receive(&d) || serve(&d) ? EXIT_FAILED : EXIT_OK;
}
