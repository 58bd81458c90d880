// SPDX-License-Identifier: MIT
/* Operations that are calls of the VMM: each on both sides, and what it returned. */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "diff_session.h"

static struct side *side_of(struct session *s, int which)
{
	return which ? &s->kernel : &s->soft;
}

static void compare_returns(struct session *s, size_t index, int64_t soft, int64_t kernel)
{
	if (soft != kernel)
		session_differs(s, OBJ_RETURN, 0, 0, (uint64_t)soft, (uint64_t)kernel, index);
}

static int64_t do_msi(struct session *s, int which, const struct op *op)
{
	struct side *side = side_of(s, which);
	const struct kvm_msi msi = {
		.address_lo = (uint32_t)op->arg[0],
		.address_hi = (uint32_t)op->arg[1],
		.data = (uint32_t)op->arg[2],
		.flags = (uint32_t)op->arg[3],
	};

	return side->ops->msi(side, &msi);
}

/* An error in the upper half, so that -1 and -EPERM are not the same. */
static int64_t do_line(struct session *s, int which, const struct op *op)
{
	struct side *side = side_of(s, which);
	int status = 0;
	int64_t error = side->ops->line(side, (uint32_t)op->arg[0], op->arg[1], &status);

	return error < 0 ? error * 1000 : status;
}

static int64_t do_lapic_set(struct session *s, int which, const struct op *op)
{
	struct side *side = side_of(s, which);
	struct side_vcpu *v = &side->vcpu[op->arg[0]];
	struct kvm_lapic_state state;
	uint32_t word;
	int error = side->ops->get_lapic(v, &state);

	if (error)
		return error;
	memcpy(&word, state.regs + op->arg[1], sizeof(word));
	word = (word & (uint32_t)op->arg[2]) | (uint32_t)op->arg[3];
	memcpy(state.regs + op->arg[1], &word, sizeof(word));
	s->ran[op->arg[0]] = false;
	return side->ops->set_lapic(v, &state);
}

static int do_lapic_cross(struct session *s, size_t index)
{
	uint64_t vcpu = s->script->op[index].arg[0];
	struct side_vcpu *soft = &s->soft.vcpu[vcpu], *kernel = &s->kernel.vcpu[vcpu];
	struct kvm_lapic_state ours, theirs;
	int error = s->soft.ops->get_lapic(soft, &ours);

	s->ran[vcpu] = false;
	if (!error)
		error = s->kernel.ops->get_lapic(kernel, &theirs);
	if (!error)
		compare_returns(s, index, s->soft.ops->set_lapic(soft, &theirs),
				s->kernel.ops->set_lapic(kernel, &ours));
	return error;
}

static int add_route(struct session *s, const struct op *op)
{
	struct kvm_irq_routing_entry *entry = &s->table->entries[s->table->nr];

	if (s->table->nr == DIFF_ROUTES)
		return 0;
	s->table->nr++;
	memset(entry, 0, sizeof(*entry));
	entry->gsi = (uint32_t)op->arg[0];
	entry->type = (uint32_t)op->arg[1];
	entry->flags = (uint32_t)op->arg[2];
	/* Chip and pin, or address_lo, address_hi, data and devid. */
	for (int i = 0; i < 4; i++)
		entry->u.pad[i] = (uint32_t)op->arg[3 + i];
	return 0;
}

static void do_commit(struct session *s, size_t index)
{
	int64_t ret[2];

	for (int which = 0; which < 2; which++)
		ret[which] = side_of(s, which)->ops->routes(side_of(s, which), s->table);
	s->table->nr = 0;
	compare_returns(s, index, ret[0], ret[1]);
}

static int64_t do_irqfd(struct session *s, int which, const struct op *op)
{
	struct side *side = side_of(s, which);
	const struct kvm_irqfd args = {
		.fd = (uint32_t)s->fd[which][op->arg[0] % DIFF_FDS],
		.gsi = (uint32_t)op->arg[1],
		.flags = (uint32_t)op->arg[2],
		.resamplefd = (uint32_t)s->fd[which][op->arg[3] % DIFF_FDS],
	};
	struct pollfd look = { .fd = (int)args.fd, .events = POLLIN };
	bool readable = op->arg[0] % DIFF_FDS < 7 && poll(&look, 1, 0) == 1;
	int64_t ret = side->ops->irqfd(side, &args);

	if (!which)
		s->unread = readable && (args.flags & KVM_IRQFD_FLAG_DEASSIGN);
	if (which && !ret && !(args.flags & KVM_IRQFD_FLAG_DEASSIGN))
		s->undrained[op->arg[0] % DIFF_FDS] = readable;
	side->ops->pump(side);
	return ret;
}

static int64_t do_eventfd_write(struct session *s, int which, const struct op *op)
{
	uint64_t n = op->arg[1];
	ssize_t ret;

	/* A semaphore is not drained by that either. */
	if (op->arg[0] % 7 != 6)
		s->undrained[op->arg[0] % 7] = false;
	ret = write(s->fd[which][op->arg[0] % 7], &n, sizeof(n));

	side_of(s, which)->ops->pump(side_of(s, which));
	return ret < 0 ? -errno : ret;
}

static int64_t do_eventfd_read(struct session *s, int which, const struct op *op)
{
	uint64_t n = 0;
	ssize_t ret = read(s->fd[which][op->arg[0] % 7], &n, sizeof(n));

	return ret < 0 ? -errno : (int64_t)n;
}

static int64_t do_one(struct session *s, int which, const struct op *op)
{
	switch (op->kind) {
	case OP_MSI:
		return do_msi(s, which, op);
	case OP_LINE:
		return do_line(s, which, op);
	case OP_LAPIC_SET:
		return do_lapic_set(s, which, op);
	case OP_IRQFD:
		return do_irqfd(s, which, op);
	case OP_EVENTFD_WRITE:
		return do_eventfd_write(s, which, op);
	case OP_EVENTFD_READ:
		return do_eventfd_read(s, which, op);
	default:
		return session_chip_call(side_of(s, which), op);
	}
}

int session_call(struct session *s, size_t index)
{
	const struct op *op = &s->script->op[index];
	int64_t soft;

	switch (op->kind) {
	case OP_LAPIC_CROSS:
		return do_lapic_cross(s, index);
	case OP_CHIPS_CROSS:
		return session_chips_cross(s, index);
	case OP_ROUTE:
		return add_route(s, op);
	case OP_COMMIT:
		do_commit(s, index);
		return 0;
	default:
		soft = do_one(s, 0, op);
		compare_returns(s, index, soft, do_one(s, 1, op));
		return 0;
	}
}
