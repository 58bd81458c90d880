// SPDX-License-Identifier: MIT
/* The predicates of diff_known.c's table. */
#include <stddef.h>
#include <string.h>

#include "diff_known.h"
#include "diff_lapic.h"

#define VERSION_DIRECTED_EOI (1u << 24)
#define RTE_REMOTE_IRR	     (1u << 14)
#define SVR_SUPPRESS_EOI     (1u << 12)
#define SVR_ENABLED	     0x100u
#define LVT_READ_ONLY	     (1u << 12 | 1u << 14)

static const struct op *op_of(const struct session *s, const struct difference *d)
{
	return &s->script->op[d->op];
}

static uint64_t changed(const struct difference *d)
{
	return d->soft ^ d->kernel;
}

bool is_directed_eoi(const struct session *s, const struct difference *d)
{
	uint64_t reg = d->object == OBJ_LAPIC ? d->reg : op_lapic_register(op_of(s, d));

	if (s->script->kernel != SIDE_SPLIT || (d->object != OBJ_LAPIC && d->object != OBJ_VALUE))
		return false;
	/* A guest may have read only some of its bytes. */
	return ((reg & 0xff0) == LAPIC_VERSION &&
		changed(d) == VERSION_DIRECTED_EOI >> 8 * (reg & 3)) ||
	       ((reg & 0xff0) == LAPIC_SVR && changed(d) == SVR_SUPPRESS_EOI >> 8 * (reg & 3));
}

bool is_lagging_ppr(const struct session *s, const struct difference *d)
{
	return d->object == OBJ_LAPIC && d->reg == LAPIC_PPR &&
	       (!s->ran[d->vcpu] || s->lags[d->vcpu]);
}

bool is_disabled(const struct session *s, const struct difference *d)
{
	const struct op *op = op_of(s, d);

	/* The deadline is not in the saved state: it stays different until it is written. */
	if (d->object == OBJ_VALUE)
		return op->kind == OP_RDMSR && op->arg[ARG_AT] == MSR_TSC_DEADLINE && !d->soft &&
		       s->ever_disabled[d->vcpu];
	return d->object == OBJ_LAPIC && !(s->kernel.vcpu[d->vcpu].apic_base & APIC_ENABLED);
}

bool is_no_smm(const struct session *s, const struct difference *d)
{
	const struct op *op = op_of(s, d);

	if (s->kernel.takes_smi)
		return false;
	if (d->object == OBJ_RETURN)
		return op->kind == OP_MSI && (op->arg[2] >> 8 & 7) == MODE_SMI;
	return d->object == OBJ_EVENTS && d->reg == EVENT_REG_SMI;
}

bool is_illegal_vector(const struct session *s, const struct difference *d)
{
	uint64_t reg = d->object == OBJ_LAPIC ? d->reg : op_lapic_register(op_of(s, d));

	return (d->object == OBJ_LAPIC || d->object == OBJ_VALUE) &&
	       (reg == LAPIC_IRR || reg == LAPIC_TMR) && !(changed(d) & ~UINT64_C(0xffff));
}

bool is_stale_icr(const struct session *s, const struct difference *d)
{
	return d->object == OBJ_LAPIC && d->reg == LAPIC_ICR2 && !d->soft &&
	       d->kernel == s->lapic[d->vcpu][LAPIC_ICR / 4 + 1];
}

bool is_icr_high(const struct session *s, const struct difference *d)
{
	(void)s;
	return d->object == OBJ_LAPIC && d->reg == LAPIC_ICR + 4;
}

bool is_lvt_read_only(const struct session *s, const struct difference *d)
{
	uint64_t reg = d->object == OBJ_LAPIC ? d->reg : op_lapic_register(op_of(s, d));

	/* A guest may have read only some of its bytes. */
	return (d->object == OBJ_LAPIC || d->object == OBJ_VALUE) && reg >= LAPIC_LVTT &&
	       reg <= LAPIC_LVT_ERROR + 3 &&
	       !(changed(d) & ~(uint64_t)(LVT_READ_ONLY >> 8 * (reg & 3)));
}

bool is_nobody(const struct session *s, const struct difference *d)
{
	enum op_kind kind = op_of(s, d)->kind;

	return d->object == OBJ_RETURN && (kind == OP_MSI || kind == OP_LINE) && d->soft == 0 &&
	       (int64_t)d->kernel == -1;
}

/* Any of what was done since the last look. */
static bool done(const struct session *s, bool (*what)(const struct op *op))
{
	for (uint32_t i = 0; i < s->last_batch; i++)
		if (what(&s->script->op[s->batch[i]]))
			return true;
	return s->script->n && what(&s->script->op[s->last_op]);
}

/* Where a message has or has not arrived. */
static bool is_arrival(const struct session *s, const struct difference *d)
{
	if (d->object == OBJ_LAPIC)
		return (d->reg >= LAPIC_TMR && d->reg < LAPIC_ESR) || done(s, op_is_init);
	return d->object == OBJ_EVENTS || d->object == OBJ_RETURN;
}

bool is_hash(const struct session *s, const struct difference *d)
{
	uint64_t reg = op_lapic_register(op_of(s, d));

	/* A guest that looks in the same batch. */
	return (is_arrival(s, d) ||
		(d->object == OBJ_VALUE && reg >= LAPIC_TMR && reg < LAPIC_ESR)) &&
	       done(s, op_is_hashed);
}

bool is_not_an_msi(const struct session *s, const struct difference *d)
{
	return is_arrival(s, d) && done(s, op_is_strange_address);
}

bool is_hinted(const struct session *s, const struct difference *d)
{
	return is_arrival(s, d) && done(s, op_is_hinted_broadcast);
}

bool is_logical_disabled(const struct session *s, const struct difference *d)
{
	bool disabled = done(s, op_changes_enable);

	for (uint32_t i = 0; i < SIDE_VCPUS; i++)
		if (d->object == OBJ_RETURN || d->vcpu == i)
			disabled |= !(s->svr[i] & SVR_ENABLED);
	return disabled && is_arrival(s, d) && done(s, op_is_logical_event);
}

bool is_mixed_logical(const struct session *s, const struct difference *d)
{
	uint64_t all = ~UINT64_C(0), any = 0, reg = op_lapic_register(op_of(s, d));

	for (uint32_t i = 0; i < SIDE_VCPUS; i++) {
		all &= s->kernel.vcpu[i].apic_base;
		any |= s->kernel.vcpu[i].apic_base;
	}
	return (((any & ~all) & APIC_X2APIC) || done(s, op_changes_mode)) &&
	       done(s, op_is_logical) &&
	       (is_arrival(s, d) ||
		(d->object == OBJ_VALUE && reg >= LAPIC_TMR && reg < LAPIC_ESR));
}

bool is_deassign(const struct session *s, const struct difference *d)
{
	return s->unread && op_of(s, d)->kind == OP_IRQFD && d->object == OBJ_LAPIC &&
	       is_arrival(s, d);
}

/* A PC's IOAPIC has eight bits to name a destination; 0xff is everybody. */
static bool takes(const struct session *s, uint32_t vcpu, uint32_t dest, bool logical)
{
	uint32_t ldr = s->lapic[vcpu][LAPIC_LDR / 4], id = s->lapic[vcpu][LAPIC_ID / 4] >> 24;
	bool x2apic = s->kernel.vcpu[vcpu].apic_base & APIC_X2APIC;

	if (!(s->lapic[vcpu][LAPIC_SVR / 4] & SVR_ENABLED))
		return false;
	if (dest == 0xff)
		return true;
	if (!logical)
		return dest == (x2apic ? s->script->apic_id[vcpu] : id);
	if (x2apic)
		return !(ldr >> 16) && (ldr & dest);
	ldr >>= 24;
	if (s->lapic[vcpu][LAPIC_DFR / 4] >> 28 == 0xf)
		return ldr & dest;
	return ldr >> 4 == dest >> 4 && (ldr & dest & 0xf);
}

static bool nobody_takes(const struct session *s, uint64_t rte)
{
	for (uint32_t i = 0; i < SIDE_VCPUS; i++)
		if (takes(s, i, (uint32_t)(rte >> 56), rte & 1u << 11))
			return false;
	return true;
}

bool is_nobody_remote_irr(const struct session *s, const struct difference *d)
{
	return d->object == OBJ_IOAPIC && d->reg >= FIELD_PIN_0 && changed(d) == RTE_REMOTE_IRR &&
	       (d->kernel & RTE_REMOTE_IRR) && nobody_takes(s, d->kernel);
}

/* Counter 0's output went up on one side a moment before the other. */
bool is_pit_tick(const struct session *s, const struct difference *d)
{
	if (strcmp(s->script->area, "pit") != 0)
		return false;
	if (d->object == OBJ_PIC)
		return d->vcpu == 0 && d->reg <= offsetof(struct kvm_pic_state, irr) &&
		       changed(d) == 1;
	return d->object == OBJ_IOAPIC && d->reg == FIELD_IRR && changed(d) == 1u << 2;
}

bool is_unlatched(const struct session *s, const struct difference *d)
{
	return d->object == OBJ_PIT &&
	       (d->reg == offsetof(struct kvm_pit_channel_state, count_latched) ||
		d->reg == offsetof(struct kvm_pit_channel_state, status_latched)) &&
	       !d->soft && done(s, op_is_control_word);
}

bool is_null_count(const struct session *s, const struct difference *d)
{
	(void)s;
	return d->object == OBJ_PIT && d->reg == offsetof(struct kvm_pit_channel_state, status) &&
	       !(changed(d) & ~UINT64_C(0xc0));
}

/* The vector of the timer, as it is or was before: what differs is whether it came (again). */
static bool is_timer_vector(const struct session *s, const struct difference *d, uint64_t reg)
{
	for (int i = 0; i < 2; i++) {
		uint32_t vector = s->lvtt[i][d->vcpu] & 0xff, word = vector / 32 * 0x10;

		if ((reg == LAPIC_IRR + word || reg == LAPIC_TMR + word) &&
		    changed(d) == 1u << vector % 32)
			return true;
	}
	return false;
}

bool is_stale_timer(const struct session *s, const struct difference *d)
{
	const struct op *op = op_of(s, d);

	if (d->object == OBJ_VALUE && op->kind == OP_RDMSR && op->arg[ARG_AT] == MSR_TSC_DEADLINE)
		return !d->soft && d->kernel < LONG_DEADLINE;
	if (d->object != OBJ_VALUE && d->object != OBJ_LAPIC)
		return false;
	return s->short_timer[d->vcpu] &&
	       is_timer_vector(s, d, d->object == OBJ_LAPIC ? d->reg : op_lapic_register(op));
}

bool is_undrained(const struct session *s, const struct difference *d)
{
	const struct op *op = op_of(s, d);

	return d->object == OBJ_RETURN && op->kind == OP_EVENTFD_READ &&
	       op->arg[0] < DIFF_EVENTFDS && s->undrained[op->arg[0]];
}

bool is_same_class(const struct session *s, const struct difference *d)
{
	uint64_t reg = d->object == OBJ_LAPIC ? d->reg : op_lapic_register(op_of(s, d));

	return (d->object == OBJ_LAPIC || d->object == OBJ_VALUE) && done(s, op_is_cr8_write) &&
	       (reg == LAPIC_TPR || reg == LAPIC_PPR) && !(changed(d) & ~UINT64_C(0xf));
}

static bool is_aliased(const struct session *s, uint32_t vcpu)
{
	return s->script->apic_id[vcpu] > 255 && !(s->kernel.vcpu[vcpu].apic_base & APIC_X2APIC);
}

bool is_aliased_id(const struct session *s, const struct difference *d)
{
	uint64_t reg = op_lapic_register(op_of(s, d));
	bool any = false;

	for (uint32_t i = 0; i < SIDE_VCPUS; i++)
		any |= is_aliased(s, i);
	if (d->object == OBJ_RETURN)
		return any && (op_of(s, d)->kind == OP_MSI || op_of(s, d)->kind == OP_LINE);
	/* A guest may look in the same batch. */
	return (d->object == OBJ_LAPIC || d->object == OBJ_EVENTS ||
		(d->object == OBJ_VALUE && reg >= LAPIC_TMR && reg < LAPIC_ESR)) &&
	       is_aliased(s, d->vcpu);
}
