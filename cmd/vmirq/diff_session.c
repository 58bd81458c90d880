// SPDX-License-Identifier: MIT
#include "diff_session.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

/* Beside what has passed: both sides' clocks are read at other moments. */
#define SLACK_NS 1000000u

uint64_t diff_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static const struct known *find_known(const struct session *s, const struct difference *d)
{
	for (size_t i = 0; i < known_count; i++)
		if (known_differences[i].is(s, d))
			return &known_differences[i];
	return NULL;
}

void session_differs(struct session *s, enum object object, uint32_t vcpu, uint32_t reg,
		     uint64_t soft, uint64_t kernel, size_t op)
{
	const struct difference d = { object, vcpu, reg, soft, kernel, op };
	const struct known *known;

	if (s->quiet || s->found) {
		s->found = true;
		return;
	}
	known = find_known(s, &d);
	if (!known) {
		s->found = true;
		s->difference = d;
		return;
	}
	s->mark[op] = MARK_KNOWN;
	if (s->tally)
		s->tally->known[known - known_differences]++;
	if (object == OBJ_LAPIC)
		s->heal_lapics |= 1u << vcpu;
	if (object == OBJ_IOAPIC || object == OBJ_PIC || object == OBJ_PIT)
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
	if (!s->found && soft->nmis != kernel->nmis)
		session_differs(s, OBJ_NMIS, s->batch_vcpu, 0, soft->nmis, kernel->nmis,
				s->last_op);
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
		s->difference = (struct difference){ OBJ_STUCK, s->batch_vcpu, 0,	 soft != 0,
						     kernel != 0,    s->last_op };
		snprintf(s->why, sizeof(s->why), "soft: %s; kernel: %s",
			 soft ? s->soft.why : "well", kernel ? s->kernel.why : "well");
		return;
	}
	compare_results(s);
}

static int compare_and_heal(struct session *s)
{
	int error = s->found ? 0 : session_compare_states(s);

	return error || s->found ? error : session_heal(s);
}

static int flush(struct session *s)
{
	if (!s->batched)
		return 0;
	s->last_op = s->batch[s->batched - 1];
	run_batch(s);
	s->batched = 0;
	return compare_and_heal(s);
}

/* What is due by now comes in when a CPU is about to run. */
static int run_all_empty(struct session *s)
{
	for (uint32_t i = 0; i < 2 * SIDE_VCPUS && !s->found; i++) {
		s->batch_vcpu = i / 2;
		s->batched = 0;
		run_batch(s);
	}
	return 0;
}

static int execute_one(struct session *s, size_t index)
{
	const struct op *op = &s->script->op[index];
	int error = 0;

	if (op_is_guest(op)) {
		if (s->batched == PUPPET_BATCH ||
		    (s->batched && s->batch_vcpu != op->arg[ARG_VCPU]))
			error = flush(s);
		s->batch_vcpu = (uint32_t)op->arg[ARG_VCPU];
		s->batch[s->batched++] = index;
		return error;
	}
	error = flush(s);
	if (error || s->found)
		return error;
	s->last_op = index;
	if (op->kind == OP_WAIT) {
		usleep((useconds_t)op->arg[0]);
		error = run_all_empty(s);
	} else {
		error = session_call(s, index);
	}
	return error ? error : compare_and_heal(s);
}

/* 0..5: plain eventfds, 6: a semaphore, 7: a pipe's end, 8: closed, 9: never was one. */
static int open_fds(struct session *s)
{
	for (int side = 0; side < 2; side++) {
		int pipe_fd[2];

		for (int i = 0; i < 7; i++)
			s->fd[side][i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK |
							    (i == 6 ? EFD_SEMAPHORE : 0));
		if (s->fd[side][6] < 0 || pipe2(pipe_fd, O_CLOEXEC | O_NONBLOCK) < 0)
			return -errno;
		s->fd[side][7] = pipe_fd[1];
		s->fd[side][8] = pipe_fd[0];
		close(pipe_fd[0]);
		s->fd[side][9] = 1000000;
	}
	return 0;
}

static int open_sides(struct session *s, char *why, size_t size)
{
	struct side_config config = {
		.kind = SIDE_SOFT,
		.chips = s->script->chips,
		.ids_32bit = s->script->ids_32bit,
	};
	int error;

	memcpy(config.apic_id, s->script->apic_id, sizeof(config.apic_id));
	error = side_open(&s->soft, &config);
	if (error) {
		snprintf(why, size, "%s", s->soft.why);
		return error;
	}
	config.kind = s->script->kernel;
	error = side_open(&s->kernel, &config);
	if (error) {
		snprintf(why, size, "%s", s->kernel.why);
		side_close(&s->soft);
	}
	return error;
}

static void close_fds(struct session *s)
{
	for (int side = 0; side < 2; side++)
		for (int i = 0; i < 8; i++)
			if (s->fd[side][i] >= 0)
				close(s->fd[side][i]);
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
	int error = open_fds(s);

	s->started = diff_now();
	/* What differs before anything was done is blamed on the first operation. */
	if (!error)
		error = compare_and_heal(s);
	for (size_t i = 0; i < s->script->n && !error && !s->found; i++) {
		s->mark[i] = MARK_COMPARED;
		error = execute_one(s, i);
	}
	return error || s->found ? error : flush(s);
}

int session_execute(const struct script *script, struct tally *tally,
		    struct difference *difference, char *why, size_t size)
{
	struct session *s = calloc(1, sizeof(*s));
	int error = s ? 0 : -ENOMEM;

	if (error)
		return error;
	memset(s->fd, 0xff, sizeof(s->fd));
	s->script = script;
	s->tally = tally;
	s->mark = calloc(script->n + 1, 1);
	s->table = calloc(1, sizeof(*s->table) + DIFF_ROUTES * sizeof(s->table->entries[0]));
	error = s->mark && s->table ? open_sides(s, why, size) : -ENOMEM;
	if (!error) {
		error = execute_all(s);
		if (error)
			snprintf(why, size, "%s", s->why);
		if (tally)
			count_marks(s);
		if (!error && s->found) {
			*difference = s->difference;
			snprintf(why, size, "%s", s->why);
			error = 1;
		}
		side_close(&s->soft);
		side_close(&s->kernel);
		close_fds(s);
	}
	free(s->table);
	free(s->mark);
	free(s);
	return error;
}
