// SPDX-License-Identifier: MIT
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include <vmirq/mailbox.h>
#include <vmirq/observe.h>

#include "mailbox_orders.h"
#include "run.h"
#include "source_mailbox.h"

#define START_MS 10000
#define STOP_MS	 2000
#define LOOK_NS	 10000000u

/* Why it does not go on. */
static int fail(struct source *source, int error, const char *what)
{
	struct mailbox *m = source->private;
	char words[300];

	/* The socket closes a moment before the process can be waited for. */
	if (error == -ECONNRESET || error == -EPIPE)
		child_wait(&m->child, 100);
	child_last_words(&m->child, words, sizeof(words));
	return source_fail_device(source, error, what, words);
}

/* Sealed: it cannot be cut off under us. Its descriptor is the caller's. */
static int make_orders(struct source *source)
{
	struct mailbox *m = source->private;
	int fd = memfd_create("vmirq-orders", MFD_CLOEXEC | MFD_ALLOW_SEALING), error;

	if (fd < 0)
		return -errno;
	if (!ftruncate(fd, sizeof(*m->orders)) &&
	    !fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)) {
		m->orders =
			mmap(NULL, sizeof(*m->orders), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		if (m->orders != MAP_FAILED) {
			m->orders->lanes = source->lanes;
			m->orders->by_eventfd = m->by_eventfd;
			return fd;
		}
		m->orders = NULL;
	}
	error = -errno;
	close(fd);
	return error;
}

static int send_all(struct source *source, int orders)
{
	struct mailbox *m = source->private;
	int fds[LANES_MAX], ret = mailbox_send_fds(m->socket, &orders, 1);

	if (ret || m->mailbox)
		return ret ? ret : vmirq_mailbox_send(m->mailbox, m->socket);
	for (uint32_t i = 0; i < source->lanes; i++)
		fds[i] = source->lane[i].eventfd;
	return mailbox_send_fds(m->socket, fds, source->lanes);
}

static int wait_ready(const struct mailbox *m)
{
	struct pollfd pfd = { .fd = m->socket, .events = POLLIN };
	char ready;

	if (poll(&pfd, 1, START_MS) <= 0)
		return -ETIMEDOUT;
	return read(m->socket, &ready, 1) == 1 ? 0 : -ECONNRESET;
}

static int start_process(struct mailbox *m, int socket)
{
	char subcommand[] = MAILBOX_SUBCOMMAND;
	char *argv[] = { NULL, subcommand, NULL };
	int ret = child_start(&m->child, "/proc/self/exe", argv, NULL, socket);

	/* As it calls itself. */
	m->child.program = MAILBOX_DEVICE;
	return ret;
}

int mailbox_device_start(struct source *source)
{
	struct mailbox *m = source->private;
	int pair[2], orders = make_orders(source), ret;

	if (orders < 0)
		return source_fail(source, orders, "the orders' page: %s", strerror(-orders));
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
		ret = -errno;
	} else {
		m->socket = pair[0];
		ret = start_process(m, pair[1]);
		close(pair[1]);
	}
	if (!ret)
		ret = send_all(source, orders);
	close(orders);
	if (!ret)
		ret = wait_ready(m);
	return ret ? fail(source, ret, "the device process does not start") : 0;
}

void mailbox_device_order(struct mailbox *m, uint64_t raises)
{
	struct mailbox_orders *o = m->orders;

	m->ordered += raises;
	/* Sequentially consistent, both, and the load: they pair with the device's store to `sleeps` and
	 * its load of what is wanted. Either it sees the order, or we see that it sleeps. */
	atomic_store(&o->wanted, m->ordered);
	atomic_fetch_add(&o->bell, 1);
	if (atomic_load(&o->sleeps))
		syscall(SYS_futex, &o->bell, FUTEX_WAKE, 1, NULL, NULL, 0);
}

uint64_t mailbox_device_done(const struct mailbox *m)
{
	/* Acquire: pairs with the release in the device's raise_next(). */
	return atomic_load_explicit(&m->orders->done, memory_order_acquire);
}

int mailbox_device_wait(struct source *source, uint64_t before)
{
	struct mailbox *m = source->private;
	struct backoff b = { 0 };
	uint64_t start = 0, look = 0;

	while (mailbox_device_done(m) <= before) {
		uint64_t now;
		int ret;

		if (!backoff(&b))
			continue;
		if (run_stops(source->run))
			return -ECANCELED;
		now = now_ns();
		start = start ? start : now;
		if (now - start > LOST_NS)
			return source_fail(source, -ETIMEDOUT,
					   "the device process has not answered for 5 s");
		if (now < look)
			continue;
		ret = mailbox_device_alive(source);
		if (ret)
			return ret;
		look = now + LOOK_NS;
	}
	return mailbox_device_done(m) > m->ordered
		       ? source_fail(source, -EPROTO,
				     "the device process raised more than it was told")
		       : 0;
}

int mailbox_device_alive(struct source *source)
{
	struct mailbox *m = source->private;

	return child_alive(&m->child) ? fail(source, -ECONNRESET, "the device is gone") : 0;
}

void mailbox_device_counts(struct source *source)
{
	const struct mailbox *m = source->private;

	for (uint32_t i = 0; i < source->lanes; i++) {
		struct lane *lane = &source->lane[i];

		atomic_store_explicit(
			&lane->merged,
			atomic_load_explicit(&m->orders->lane[i].merged, memory_order_relaxed),
			memory_order_relaxed);
		atomic_store_explicit(
			&lane->own,
			atomic_load_explicit(&m->orders->lane[i].raised, memory_order_relaxed),
			memory_order_relaxed);
	}
}

/* Written to the eventfd, and not yet raised by the pump; bounded. */
static void let_pump_read(const struct lane *lane)
{
	const struct timespec pause = { .tv_nsec = 5000000 };
	struct pollfd pfd = { .fd = lane->eventfd, .events = POLLIN };

	for (int i = 0; i < 200 && lane->eventfd >= 0 && poll(&pfd, 1, 0) > 0; i++)
		nanosleep(&pause, NULL);
	nanosleep(&pause, NULL);
}

/* It died between raising and counting: whether it had raised is seen by what came. */
static void count_last(struct source *source)
{
	const struct mailbox *m = source->private;
	struct lane *lane = &source->lane[mailbox_device_done(m) % source->lanes];
	struct vmirq_route_counts route = { .size = sizeof(route) };
	uint64_t own;

	let_pump_read(lane);
	if (m->mailbox)
		vmirq_mailbox_poll(m->mailbox);
	if (!lane->irqfd || vmirq_irqfd_counts(lane->irqfd, &route) || route.unobserved)
		return;
	own = atomic_load_explicit(&lane->own, memory_order_relaxed);
	if (route.raised + atomic_load_explicit(&lane->merged, memory_order_relaxed) == own + 1)
		lane_count(lane);
}

void mailbox_device_stop(struct source *source)
{
	struct mailbox *m = source->private;
	bool ended;

	atomic_store(&m->orders->stop, 1);
	mailbox_device_order(m, 0);
	ended = !source->error[0] && child_wait(&m->child, STOP_MS);
	child_kill(&m->child);
	mailbox_device_counts(source);
	if (!ended)
		count_last(source);
}

void mailbox_device_free(struct mailbox *m)
{
	child_stop(&m->child);
	if (m->socket >= 0)
		close(m->socket);
	if (m->orders)
		munmap(m->orders, sizeof(*m->orders));
}
