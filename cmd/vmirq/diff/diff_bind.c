// SPDX-License-Identifier: MIT
/* Calls that bind: routes, irqfds, ioeventfds; and the eventfds that they bind. */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "diff_known.h"

#define MSI_ADDRESS 0xfee00000u
#define MSI_DATA    0x4030u
#define SETTLE_NS   200000000u

/* After this much was bound on one side only, it is bound on none. */
static bool differs_known(const struct session *s, size_t index)
{
	return !s->found && s->mark[index] == MARK_KNOWN;
}

static struct kvm_irq_routing_entry *new_entry(struct session *s)
{
	struct kvm_irq_routing_entry *entry = &s->table->entries[s->table->nr];

	if (s->table->nr == DIFF_ROUTES)
		return NULL;
	s->table->nr++;
	memset(entry, 0, sizeof(*entry));
	return entry;
}

static void add_route(struct session *s, const struct op *op)
{
	struct kvm_irq_routing_entry *entry = new_entry(s);

	if (!entry)
		return;
	entry->gsi = (uint32_t)op->arg[0];
	entry->type = (uint32_t)op->arg[1];
	entry->flags = (uint32_t)op->arg[2];
	/* Chip and pin, or address_lo, address_hi, data and devid. */
	for (int i = 0; i < 4; i++)
		entry->u.pad[i] = (uint32_t)op->arg[3 + i];
}

static void fill_routes(struct session *s, const struct op *op)
{
	struct kvm_irq_routing_entry *entry;

	for (uint64_t i = 0; i < op->arg[1] && (entry = new_entry(s)); i++) {
		entry->gsi = (uint32_t)(op->arg[0] + i);
		entry->type = KVM_IRQ_ROUTING_MSI;
		entry->u.msi.address_lo = MSI_ADDRESS;
		entry->u.msi.data = MSI_DATA;
	}
}

static int commit(struct session *s, size_t index)
{
	int64_t ret[2];
	int error = 0;

	for (int which = 0; which < 2; which++)
		ret[which] = session_side(s, which)->ops->routes(session_side(s, which), s->table);
	session_compare_returns(s, index, ret[0], ret[1]);
	s->table->nr = 0;
	for (int which = 0; which < 2 && !error && differs_known(s, index); which++)
		error = session_side(s, which)->ops->routes(session_side(s, which), s->table);
	return error;
}

/* Of an eventfd that is written or read. */
static uint64_t own_fd(uint64_t fd)
{
	return fd >= DIFF_FD_TOLD && fd < DIFF_FDS ? fd : fd % DIFF_EVENTFDS;
}

/* Which of the eventfds it is; -1: none. */
static int eventfd_of(uint64_t fd)
{
	fd %= DIFF_FDS;
	if (fd == DIFF_FD_DUPLICATE)
		return 0;
	return own_fd(fd) == fd ? (int)fd : -1;
}

static void not_comparable(struct session *s, size_t index, enum reason reason)
{
	s->mark[index] = MARK_NOT_COMPARABLE;
	if (s->tally)
		s->tally->reason[reason]++;
}

typedef int (*irqfd_call)(struct side *side, const struct kvm_irqfd *args);

static irqfd_call call_of(struct session *s, int which, const struct op *op)
{
	const struct side_ops *ops = session_side(s, which)->ops;

	return op->kind == OP_IRQFD ? ops->irqfd : ops->irqfd_elsewhere;
}

static int64_t irqfd_one(struct session *s, int which, const struct op *op)
{
	struct side *side = session_side(s, which);
	const struct kvm_irqfd args = {
		.fd = (uint32_t)s->fd[which][op->arg[0] % DIFF_FDS],
		.gsi = (uint32_t)op->arg[1],
		.flags = (uint32_t)op->arg[2],
		.resamplefd = (uint32_t)s->fd[which][op->arg[3] % DIFF_FDS],
	};
	int eventfd = eventfd_of(op->arg[0]);
	struct pollfd look = { .fd = (int)args.fd, .events = POLLIN };
	bool readable = eventfd >= 0 && poll(&look, 1, 0) == 1;
	int64_t ret = call_of(s, which, op)(side, &args);

	if (!which)
		s->unread = readable && (args.flags & KVM_IRQFD_FLAG_DEASSIGN);
	if (which && !ret && eventfd >= 0 && !(args.flags & KVM_IRQFD_FLAG_DEASSIGN))
		s->undrained[eventfd] = readable;
	side->ops->pump(side);
	return ret;
}

/* Deassigning drains it in the kernel, and not where it was never bound. */
static void drain(struct session *s, int which, int eventfd)
{
	uint64_t n;

	while (eventfd >= 0 && read(s->fd[which][eventfd], &n, sizeof(n)) > 0)
		;
}

/* The one that has bound it lets it go. */
static void unbind(struct session *s, int which, const struct op *op)
{
	struct side *side = session_side(s, which);
	const struct kvm_irqfd args = {
		.fd = (uint32_t)s->fd[which][op->arg[0] % DIFF_FDS],
		.gsi = (uint32_t)op->arg[1],
		.flags = KVM_IRQFD_FLAG_DEASSIGN,
	};

	call_of(s, which, op)(side, &args);
}

static void irqfd(struct session *s, size_t index)
{
	const struct op *op = &s->script->op[index];
	uint32_t flags = (uint32_t)op->arg[2];
	/* A level that nobody means: it is bound and let go of at once, or its line would be up when
	 * the routes change, which ours and the kernel's follow in different ways. Those that are
	 * meant have eventfds of their own: see diff_throw_resample.c. */
	bool stray = flags == KVM_IRQFD_FLAG_RESAMPLE && op->arg[0] % DIFF_FDS < DIFF_FD_TOLD;
	int64_t ret[2];

	if (flags == KVM_IRQFD_FLAG_RESAMPLE && !s->resamples) {
		not_comparable(s, index, REASON_NOT_YET);
		return;
	}
	for (int which = 0; which < 2; which++) {
		if (stray)
			drain(s, which, eventfd_of(op->arg[0]));
		ret[which] = irqfd_one(s, which, op);
	}
	session_compare_returns(s, index, ret[0], ret[1]);
	for (int which = 0; which < 2 && stray; which++)
		if (!ret[which])
			unbind(s, which, op);
	if (!differs_known(s, index) || (flags & KVM_IRQFD_FLAG_DEASSIGN))
		return;
	for (int which = 0; which < 2; which++) {
		if (!ret[which])
			unbind(s, which, op);
		drain(s, which, eventfd_of(op->arg[0]));
	}
}

static int64_t ioeventfd_one(struct session *s, int which, const struct op *op, uint32_t flags)
{
	struct side *side = session_side(s, which);
	const struct kvm_ioeventfd args = {
		.fd = s->fd[which][op->arg[0] % DIFF_FDS],
		.addr = op->arg[1],
		.len = (uint32_t)op->arg[2],
		.flags = (uint32_t)op->arg[3] | flags,
		.datamatch = op->arg[4],
	};

	return which ? side_kernel_ioeventfd(side, &args) : side_soft_ioeventfd(side, &args);
}

static void ioeventfd(struct session *s, size_t index)
{
	const struct op *op = &s->script->op[index];
	int64_t ret[2];

	if (!side_soft_ioeventfd) {
		not_comparable(s, index, REASON_NOT_YET);
		return;
	}
	for (int which = 0; which < 2; which++)
		ret[which] = ioeventfd_one(s, which, op, 0);
	session_compare_returns(s, index, ret[0], ret[1]);
	if (differs_known(s, index) && !(op->arg[3] & KVM_IOEVENTFD_FLAG_DEASSIGN))
		for (int which = 0; which < 2; which++)
			if (!ret[which])
				ioeventfd_one(s, which, op, KVM_IOEVENTFD_FLAG_DEASSIGN);
}

static int64_t eventfd_write_one(struct session *s, int which, const struct op *op)
{
	uint64_t n = op->arg[1], fd = own_fd(op->arg[0]);
	ssize_t ret;

	/* A semaphore is not drained by that either. */
	if (fd != DIFF_EVENTFDS - 1)
		s->undrained[fd] = false;
	ret = write(s->fd[which][fd], &n, sizeof(n));
	session_side(s, which)->ops->pump(session_side(s, which));
	return ret < 0 ? -errno : ret;
}

static int64_t eventfd_read_one(struct session *s, int which, const struct op *op)
{
	uint64_t n = 0;
	ssize_t ret = read(s->fd[which][own_fd(op->arg[0])], &n, sizeof(n));

	return ret < 0 ? -errno : (int64_t)n;
}

/* What an eventfd has, without taking it. */
static uint64_t count_in(int fd)
{
	char path[40], line[80];
	uint64_t count = 0;
	FILE *info;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	info = fopen(path, "re");
	while (info && fgets(line, sizeof(line), info))
		if (sscanf(line, "eventfd-count: %" SCNx64, &count) == 1)
			break;
	if (info)
		fclose(info);
	return count;
}

/* A resamplefd of ours is written by a thread. */
static void settle(const struct session *s, uint64_t fd)
{
	const struct timespec nap = { .tv_nsec = 100000 };
	uint64_t until = diff_now() + SETTLE_NS;

	fd = own_fd(fd);
	if (!s->resamples || s->undrained[fd])
		return;
	while (count_in(s->fd[0][fd]) != count_in(s->fd[1][fd]) && diff_now() < until)
		nanosleep(&nap, NULL);
}

int session_bind_call(struct session *s, size_t index)
{
	const struct op *op = &s->script->op[index];
	int64_t soft;

	switch (op->kind) {
	case OP_ROUTE:
		add_route(s, op);
		return 0;
	case OP_ROUTE_FILL:
		fill_routes(s, op);
		return 0;
	case OP_COMMIT:
		return commit(s, index);
	case OP_IOEVENTFD:
		ioeventfd(s, index);
		return 0;
	case OP_EVENTFD_WRITE:
		soft = eventfd_write_one(s, 0, op);
		session_compare_returns(s, index, soft, eventfd_write_one(s, 1, op));
		return 0;
	case OP_EVENTFD_READ:
		settle(s, op->arg[0]);
		soft = eventfd_read_one(s, 0, op);
		session_compare_returns(s, index, soft, eventfd_read_one(s, 1, op));
		return 0;
	default:
		irqfd(s, index);
		return 0;
	}
}
