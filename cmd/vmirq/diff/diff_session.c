// SPDX-License-Identifier: MIT
#include "diff_session.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "diff_area.h"
#include "diff_lapic.h"
#include "diff_qemu.h"

/* Beside what has passed: both sides' clocks are read at other moments. */
#define SLACK_NS 1000000u
/* More than the longest of the timers that are meant to run out. */
#define SHORT_TIMER_US 1000

uint64_t diff_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static const struct known *find_known(const struct session *s, const struct difference *d)
{
	for (size_t i = 0; i < known_count; i++)
		if ((known_differences[i].kind >= QEMU_STAYS) == (s->script->kernel == SIDE_QEMU) &&
		    known_differences[i].is(s, d))
			return &known_differences[i];
	return NULL;
}

void session_differs(struct session *s, enum object object, uint32_t vcpu, uint32_t reg,
		     uint64_t soft, uint64_t kernel, size_t op)
{
	const struct difference d = { object, vcpu, reg, soft, kernel, op };
	const struct known *known;

	if (s->found)
		return;
	known = find_known(s, &d);
	if (known && s->quiet)
		return;
	if (!known) {
		s->found = true;
		s->difference = d;
		return;
	}
	if (s->tally)
		s->tally->known[known - known_differences]++;
	if (known->kind == KERNEL_PASSES || known->kind == QEMU_PASSES)
		return;
	s->mark[op] = MARK_KNOWN;
	if (object == OBJ_LAPIC)
		s->heal_lapics |= 1u << vcpu;
	if (object == OBJ_IOAPIC || object == OBJ_PIC || object == OBJ_PIT ||
	    s->script->kernel == SIDE_QEMU)
		s->heal_chips = true;
}

/* The puppet's number for an operation of this width. */
static uint32_t puppet_kind(const struct op *op)
{
	uint32_t log = op->arg[ARG_WIDTH] ? (uint32_t)__builtin_ctzll(op->arg[ARG_WIDTH]) : 0;

	switch (op->kind) {
	case OP_READ:
		return PUPPET_READ_1 + log;
	case OP_WRITE:
		return PUPPET_WRITE_1 + log;
	case OP_IN:
		return PUPPET_IN_1 + log;
	case OP_OUT:
		return PUPPET_OUT_1 + log;
	case OP_RDMSR:
		return PUPPET_RDMSR;
	case OP_WRMSR:
		return PUPPET_WRMSR;
	case OP_READ_CR8:
		return PUPPET_READ_CR8;
	default:
		return PUPPET_WRITE_CR8;
	}
}

static void fill_page(const struct session *s, struct side *side)
{
	struct puppet_page *page = side->vcpu[s->batch_vcpu].page;

	for (uint32_t i = 0; i < s->batched; i++) {
		const struct op *op = &s->script->op[s->batch[i]];

		page->op[i] = (struct puppet_op){
			.kind = puppet_kind(op),
			.where = op->arg[ARG_AT],
			.value = op->arg[ARG_VALUE],
		};
	}
	page->op[s->batched].kind = PUPPET_END;
}

static void compare_values(struct session *s, size_t index, uint64_t soft, uint64_t kernel)
{
	uint64_t apart = soft > kernel ? soft - kernel : kernel - soft;
	unsigned int reason = 0;

	switch (op_comparison(&s->script->op[index], &reason)) {
	case COMPARE_NOT:
		s->mark[index] = MARK_NOT_COMPARABLE;
		if (s->tally && !s->quiet)
			s->tally->reason[reason]++;
		return;
	case COMPARE_WITHIN:
		if (apart <= diff_now() - s->started + SLACK_NS)
			return;
		break;
	case COMPARE_EXACTLY:
		if (!apart)
			return;
		break;
	}
	session_differs(s, OBJ_VALUE, s->batch_vcpu, 0, soft, kernel, index);
}

static void compare_results(struct session *s)
{
	const struct puppet_page *soft = s->soft.vcpu[s->batch_vcpu].page;
	const struct puppet_page *kernel = s->kernel.vcpu[s->batch_vcpu].page;

	for (uint32_t i = 0; i < s->batched && !s->found; i++) {
		if (soft->op[i].fault != kernel->op[i].fault)
			session_differs(s, OBJ_FAULT, s->batch_vcpu, 0, soft->op[i].fault,
					kernel->op[i].fault, s->batch[i]);
		else
			compare_values(s, s->batch[i], soft->op[i].value, kernel->op[i].value);
	}
}

static void run_batch(struct session *s)
{
	int soft, kernel;

	fill_page(s, &s->soft);
	fill_page(s, &s->kernel);
	soft = side_run(&s->soft, s->batch_vcpu);
	kernel = side_run(&s->kernel, s->batch_vcpu);
	if (soft || kernel) {
		s->found = true;
		s->difference = (struct difference){ OBJ_STUCK, s->batch_vcpu, 0,
						     soft != 0, kernel != 0,   s->last_op };
		snprintf(s->why, sizeof(s->why), "soft: %s; kernel: %s",
			 soft ? s->soft.why : "well", kernel ? s->kernel.why : "well");
		return;
	}
	/* A disabled local APIC is looked at by nobody, whether its CPU runs or not. */
	s->lags[s->batch_vcpu] |= !s->ran[s->batch_vcpu] && !s->was_enabled[s->batch_vcpu];
	s->ran[s->batch_vcpu] |= s->was_enabled[s->batch_vcpu];
	s->was_enabled[s->batch_vcpu] = s->kernel.vcpu[s->batch_vcpu].apic_base & APIC_ENABLED;
	compare_results(s);
}

static int compare_and_heal(struct session *s)
{
	int error = s->found ? 0 : session_compare_states(s);

	return error || s->found ? error : session_heal(s);
}

/* Until a short timer has run out; what is due comes in when a CPU is about to run. */
static int wait_for_timers(struct session *s, uint64_t us)
{
	int error = session_take_events(s);

	usleep((useconds_t)us);
	for (uint32_t i = 0; i < 2 * SIDE_VCPUS && !error && !s->found; i++) {
		s->batch_vcpu = i / 2;
		s->batched = 0;
		run_batch(s);
	}
	return error;
}

static int flush(struct session *s)
{
	int error = 0;

	if (!s->batched)
		return 0;
	s->last_op = s->batch[s->batched - 1];
	s->last_batch = s->batched;
	run_batch(s);
	s->batched = 0;
	/* Its eventfd may be an irqfd's. */
	for (int which = 0; which < 2 && op_is_doorbell(&s->script->op[s->last_op]); which++)
		session_side(s, which)->ops->pump(session_side(s, which));
	if (!s->found && op_starts_short_timer(&s->script->op[s->last_op])) {
		s->short_timer[s->batch_vcpu] = true;
		error = wait_for_timers(s, SHORT_TIMER_US);
	}
	return error ? error : compare_and_heal(s);
}

static int execute_one(struct session *s, size_t index)
{
	const struct op *op = &s->script->op[index];
	int error = 0;

	if (op_is_guest(op)) {
		if (s->batched == s->batch_max ||
		    (s->batched && s->batch_vcpu != op->arg[ARG_VCPU]))
			error = flush(s);
		s->batch_vcpu = (uint32_t)op->arg[ARG_VCPU];
		s->batch[s->batched++] = index;
		/* What comes after it in the batch would see it run out on one side only. */
		if (!error && (op_starts_short_timer(op) || op_is_doorbell(op)))
			error = flush(s);
		return error;
	}
	error = flush(s);
	if (error || s->found)
		return error;
	s->last_op = index;
	s->last_batch = 0;
	if (op->kind == OP_WAIT) {
		error = wait_for_timers(s, op->arg[0]);
	} else {
		error = session_call(s, index);
	}
	return error ? error : compare_and_heal(s);
}

static void count_marks(struct session *s)
{
	for (size_t i = 0; i < s->script->n; i++) {
		s->tally->ops += s->mark[i] != MARK_NONE;
		s->tally->compared += s->mark[i] == MARK_COMPARED;
		s->tally->not_comparable += s->mark[i] == MARK_NOT_COMPARABLE;
		s->tally->known_ops += s->mark[i] == MARK_KNOWN;
	}
}

static int execute_all(struct session *s)
{
	int error;

	for (uint32_t i = 0; i < SIDE_VCPUS; i++)
		s->was_enabled[i] = true;
	s->started = diff_now();
	/* What differs before anything was done is blamed on the first operation. */
	error = compare_and_heal(s);
	for (size_t i = 0; i < s->script->n && !error && !s->found; i++) {
		s->mark[i] = MARK_COMPARED;
		error = execute_one(s, i);
	}
	return error || s->found ? error : flush(s);
}

/* Both VMs are there. */
static int execute_open(struct session *s, struct difference *difference)
{
	int error = s->script->kernel == SIDE_QEMU ? qemu_execute(s) : execute_all(s);

	if (s->tally)
		count_marks(s);
	if (error || !s->found)
		return error;
	*difference = s->difference;
	return 1;
}

int session_execute(const struct script *script, struct tally *tally, struct difference *difference,
		    char *why, size_t size)
{
	struct session *s = calloc(1, sizeof(*s));
	const struct area *area;
	int ret;

	if (!s)
		return -ENOMEM;
	s->script = script;
	s->tally = tally;
	area = area_find(&areas_kvm, script->area, strlen(script->area));
	s->batch_max = area->singly ? 1 : PUPPET_BATCH;
	s->mark = calloc(script->n + 1, 1);
	s->table = calloc(1, sizeof(*s->table) + DIFF_ROUTES * sizeof(s->table->entries[0]));
	ret = s->mark && s->table ? session_open(s) : -ENOMEM;
	if (!ret) {
		ret = execute_open(s, difference);
		session_close(s);
	}
	snprintf(why, size, "%s", s->why);
	free(s->table);
	free(s->mark);
	free(s);
	return ret;
}
