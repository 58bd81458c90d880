// SPDX-License-Identifier: MIT
/* The predicates of diff_known.c's table that are about what calls that bind return. */
#include <errno.h>

#include "diff_known.h"
#include "diff_lapic.h"

#define KERNEL_ROUTES 4096

static const struct op *op_of(const struct session *s, const struct difference *d)
{
	return &s->script->op[d->op];
}

static bool returns(const struct difference *d, int64_t soft, int64_t kernel)
{
	return d->object == OBJ_RETURN && (int64_t)d->soft == soft && (int64_t)d->kernel == kernel;
}

bool is_no_4096_limit(const struct session *s, const struct difference *d)
{
	return op_of(s, d)->kind == OP_COMMIT && s->table->nr > KERNEL_ROUTES &&
	       returns(d, 0, -EINVAL);
}

/* It is the first that soft looks at, and the kernel does not at all. */
bool is_gsi_limit(const struct session *s, const struct difference *d)
{
	const struct op *op = op_of(s, d);

	/* As do_line() has them. */
	if (op->kind == OP_LINE)
		return (uint32_t)op->arg[0] >= SIDE_GSIS &&
		       returns(d, -EINVAL * INT64_C(1000), op->arg[2] ? 0 : -1);
	return (op->kind == OP_IRQFD || op->kind == OP_IRQFD_ELSEWHERE) &&
	       (uint32_t)op->arg[1] >= SIDE_GSIS &&
	       (returns(d, -EINVAL, 0) || returns(d, -EINVAL, -EBUSY) ||
		returns(d, -EINVAL, -EBADF));
}

bool is_split_pins(const struct session *s, const struct difference *d)
{
	if (s->script->kernel != SIDE_SPLIT || op_of(s, d)->kind != OP_COMMIT ||
	    !returns(d, 0, -EINVAL))
		return false;
	for (uint32_t i = 0; i < s->table->nr; i++)
		if (s->table->entries[i].type == KVM_IRQ_ROUTING_IRQCHIP)
			return true;
	return false;
}

/* Before it looks at the descriptors. */
bool is_split_resample(const struct session *s, const struct difference *d)
{
	const struct op *op = op_of(s, d);

	if (s->script->kernel != SIDE_SPLIT || op->kind != OP_IRQFD ||
	    (uint32_t)op->arg[2] != KVM_IRQFD_FLAG_RESAMPLE)
		return false;
	/* What was readable when it was bound has come. */
	if (d->object == OBJ_LAPIC)
		return d->reg >= LAPIC_TMR && d->reg < LAPIC_ESR;
	return returns(d, 0, -EINVAL) || returns(d, -EBADF, -EINVAL) || returns(d, -EBUSY, -EINVAL);
}

bool is_busy_everywhere(const struct session *s, const struct difference *d)
{
	const struct op *op = op_of(s, d);

	return (op->kind == OP_IRQFD || op->kind == OP_IRQFD_ELSEWHERE) &&
	       !(op->arg[2] & KVM_IRQFD_FLAG_DEASSIGN) && returns(d, -EBUSY, 0);
}
