// SPDX-License-Identifier: MIT
/* Operations that are calls of the VMM: each on both sides, and what it returned. */
#include <errno.h>
#include <string.h>

#include "diff_session.h"

void session_compare_returns(struct session *s, size_t index, int64_t soft, int64_t kernel)
{
	if (soft != kernel)
		session_differs(s, OBJ_RETURN, 0, 0, (uint64_t)soft, (uint64_t)kernel, index);
}

static int64_t do_msi(struct session *s, int which, const struct op *op)
{
	struct side *side = session_side(s, which);
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
	struct side *side = session_side(s, which);
	int status = 0;
	int64_t error = side->ops->line(side, (uint32_t)op->arg[0], (uint32_t)op->arg[1],
					op->arg[2] ? NULL : &status);

	return error < 0 ? error * 1000 : status;
}

static int64_t do_lapic_set(struct session *s, int which, const struct op *op)
{
	struct side *side = session_side(s, which);
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
		session_compare_returns(s, index, s->soft.ops->set_lapic(soft, &theirs),
					s->kernel.ops->set_lapic(kernel, &ours));
	return error;
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
	default:
		return session_chip_call(session_side(s, which), op);
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
	case OP_ROUTE_FILL:
	case OP_COMMIT:
	case OP_IRQFD:
	case OP_IRQFD_ELSEWHERE:
	case OP_IOEVENTFD:
	case OP_EVENTFD_WRITE:
	case OP_EVENTFD_READ:
		return session_bind_call(s, index);
	default:
		soft = do_one(s, 0, op);
		session_compare_returns(s, index, soft, do_one(s, 1, op));
		return 0;
	}
}
