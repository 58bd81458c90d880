// SPDX-License-Identifier: MIT
/* What an operation sends, and to whom; and what of it can be compared. */
#include "diff_known.h"
#include "diff_lapic.h"

uint64_t op_lapic_register(const struct op *op)
{
	uint64_t at = op->arg[ARG_AT];

	if ((op->kind == OP_READ || op->kind == OP_WRITE) && at - LAPIC_GPA < 4096)
		return at - LAPIC_GPA;
	if ((op->kind == OP_RDMSR || op->kind == OP_WRMSR) && at - MSR_X2APIC < 256)
		return (at - MSR_X2APIC) * 16;
	return ~UINT64_C(0);
}

uint64_t op_mode(const struct op *op)
{
	if (op->kind == OP_MSI)
		return op->arg[2] >> 8 & 7;
	if ((op->kind == OP_WRITE || op->kind == OP_WRMSR) && op_lapic_register(op) == LAPIC_ICR)
		return op->arg[ARG_VALUE] >> 8 & 7;
	return ~UINT64_C(0);
}

bool op_is_init(const struct op *op)
{
	return op_mode(op) == MODE_INIT;
}

bool op_is_logical(const struct op *op)
{
	uint64_t icr = op->arg[ARG_VALUE];

	if (op->kind == OP_MSI)
		return op->arg[0] & 4;
	/* With a shorthand the destination's mode means nothing. */
	return op_mode(op) != ~UINT64_C(0) && (icr & 1u << 11) && !(icr >> 18 & 3);
}

bool op_is_logical_event(const struct op *op)
{
	return op_is_logical(op) && op_mode(op) > MODE_LOWEST;
}

bool op_is_hashed(const struct op *op)
{
	uint64_t reg = op_lapic_register(op), icr = op->arg[ARG_VALUE];

	if (op->kind == OP_MSI)
		return (op->arg[0] & 4) &&
		       ((op->arg[0] & 8) || (op->arg[2] >> 8 & 7) == MODE_LOWEST);
	return (op->kind == OP_WRITE || op->kind == OP_WRMSR) && reg == LAPIC_ICR &&
	       (icr & 1u << 11) && (icr >> 8 & 7) == MODE_LOWEST;
}

bool op_is_hinted_broadcast(const struct op *op)
{
	return op->kind == OP_MSI && (op->arg[0] & 0xff00c) == 0xff008 && op_mode(op) > MODE_LOWEST;
}

bool op_is_strange_address(const struct op *op)
{
	return op->kind == OP_MSI && op->arg[0] >> 20 != LAPIC_GPA >> 20;
}

bool op_changes_mode(const struct op *op)
{
	return op->kind == OP_WRMSR && op->arg[ARG_AT] == MSR_APIC_BASE;
}

bool op_changes_enable(const struct op *op)
{
	return (op->kind == OP_WRITE || op->kind == OP_WRMSR) && op_lapic_register(op) == LAPIC_SVR;
}

bool op_is_cr8_write(const struct op *op)
{
	return op->kind == OP_WRITE_CR8;
}

bool op_is_control_word(const struct op *op)
{
	return op->kind == OP_OUT && op->arg[ARG_AT] == 0x43 && (op->arg[ARG_VALUE] & 0x30);
}

const char *const not_comparable_reasons[DIFF_REASONS_MAX] = {
	[REASON_NO_REGISTER] = "no such register: the kernel leaves its buffer as it was",
	[REASON_PART_OF_COUNT] = "a few bits of a timer that counts on between the two reads",
	[REASON_PIT_COUNTS] = "the PIT counts on between the two reads",
	[REASON_REFRESH] = "port 0x61 shows outputs that change with time",
	[REASON_NOT_YET] = "not in this release of ours",
};

static enum comparison because(enum reason reason, unsigned int *out)
{
	*out = reason;
	return COMPARE_NOT;
}

/* Whether the kernel knows an xAPIC register at this offset, for this width. */
static bool has_register(uint64_t offset, uint64_t width)
{
	uint64_t reg = offset & ~UINT64_C(0xf);

	if ((offset & 0xf) + width > 4)
		return false;
	if (reg >= LAPIC_ISR && reg <= LAPIC_ESR)
		return true;
	if (reg >= LAPIC_ICR && reg <= LAPIC_TMCCT)
		return true;
	return reg == LAPIC_ID || reg == LAPIC_VERSION || (reg >= LAPIC_TPR && reg <= LAPIC_PPR) ||
	       (reg >= LAPIC_LDR && reg <= LAPIC_SVR) || reg == LAPIC_TDCR;
}

enum comparison op_comparison(const struct op *op, unsigned int *reason)
{
	uint64_t at = op->arg[ARG_AT], width = op->arg[ARG_WIDTH];

	switch (op->kind) {
	case OP_RDMSR:
		return at == MSR_X2APIC + LAPIC_TMCCT / 0x10 ? COMPARE_WITHIN : COMPARE_EXACTLY;
	case OP_READ:
		if (at - LAPIC_GPA >= 4096)
			return COMPARE_EXACTLY;
		if (!has_register(at - LAPIC_GPA, width))
			return because(REASON_NO_REGISTER, reason);
		if ((at & 0xff0) != LAPIC_TMCCT)
			return COMPARE_EXACTLY;
		return width == 4 ? COMPARE_WITHIN : because(REASON_PART_OF_COUNT, reason);
	case OP_IN:
		if (at >= 0x40 && at <= 0x42)
			return because(REASON_PIT_COUNTS, reason);
		if (at == 0x43)
			return because(REASON_NO_REGISTER, reason);
		return at == 0x61 ? because(REASON_REFRESH, reason) : COMPARE_EXACTLY;
	default:
		return COMPARE_EXACTLY;
	}
}

bool op_starts_short_timer(const struct op *op)
{
	uint64_t value = op->arg[ARG_VALUE];

	if ((op->kind != OP_WRITE && op->kind != OP_WRMSR) || !value)
		return false;
	if (op->kind == OP_WRMSR && op->arg[ARG_AT] == MSR_TSC_DEADLINE)
		return value < LONG_DEADLINE;
	return op_lapic_register(op) == LAPIC_TMICT && value < LONG_COUNT;
}
