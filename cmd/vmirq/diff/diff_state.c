// SPDX-License-Identifier: MIT
/* What the VMM can see of both irqchips. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "diff_area.h"
#include "diff_lapic.h"
#include "diff_session.h"

#define SLACK_NS 1000000u
/* How long the kernel's worker may take for an irqfd that is not a plain message. */
#define SETTLE_NS 200000000u

static uint32_t word_at(const struct kvm_lapic_state *state, uint32_t reg)
{
	uint32_t word;

	memcpy(&word, state->regs + reg, sizeof(word));
	return word;
}

/* Both count down at the same rate from the same number, begun within what has passed. */
static bool counts_agree(const struct session *s, uint32_t soft, uint32_t kernel)
{
	uint32_t apart = soft > kernel ? soft - kernel : kernel - soft;

	return apart <= diff_now() - s->started + SLACK_NS;
}

static int compare_lapic(struct session *s, uint32_t vcpu)
{
	struct kvm_lapic_state ours, theirs;
	int error = s->soft.ops->get_lapic(&s->soft.vcpu[vcpu], &ours);

	if (!error)
		error = s->kernel.ops->get_lapic(&s->kernel.vcpu[vcpu], &theirs);
	if (error)
		return error;
	if (s->lvtt[0][vcpu] != word_at(&theirs, LAPIC_LVTT)) {
		s->lvtt[1][vcpu] = s->lvtt[0][vcpu];
		s->lvtt[0][vcpu] = word_at(&theirs, LAPIC_LVTT);
	}
	memcpy(s->lapic[vcpu], theirs.regs, sizeof(s->lapic[vcpu]));
	s->ever_disabled[vcpu] |= !(s->kernel.vcpu[vcpu].apic_base & APIC_ENABLED);
	s->lags[vcpu] &= word_at(&ours, LAPIC_PPR) != word_at(&theirs, LAPIC_PPR);
	if (memcmp(&ours, &theirs, sizeof(ours)) == 0) {
		s->svr[vcpu] = word_at(&theirs, LAPIC_SVR);
		return 0;
	}
	for (uint32_t reg = 0; reg < KVM_APIC_REG_SIZE && !s->found; reg += 4) {
		uint32_t soft = word_at(&ours, reg), kernel = word_at(&theirs, reg);

		if (soft == kernel || (reg == LAPIC_TMCCT && counts_agree(s, soft, kernel)))
			continue;
		session_differs(s, OBJ_LAPIC, vcpu, reg, soft, kernel, s->last_op);
	}
	s->svr[vcpu] = word_at(&theirs, LAPIC_SVR);
	return 0;
}

static void compare_events(struct session *s, uint32_t vcpu, const struct side_events *soft,
			   const struct side_events *kernel)
{
	const bool ours[] = { soft->nmi, soft->smi, soft->init, soft->waits_for_sipi };
	const bool theirs[] = { kernel->nmi, kernel->smi, kernel->init, kernel->waits_for_sipi };

	for (uint32_t i = EVENT_REG_NMI; i <= EVENT_REG_WAITS && !s->found; i++)
		if (ours[i] != theirs[i])
			session_differs(s, OBJ_EVENTS, vcpu, i, ours[i], theirs[i], s->last_op);
}

/* An NMI is taken by the puppet now, or at its next entry: one is as good as the other. */
static void add_taken_nmis(struct session *s, uint32_t vcpu, struct side_events *soft,
			   struct side_events *kernel)
{
	uint32_t ours = s->soft.vcpu[vcpu].page->nmis, theirs = s->kernel.vcpu[vcpu].page->nmis;

	soft->nmi |= ours != s->nmis[0][vcpu];
	kernel->nmi |= theirs != s->nmis[1][vcpu];
	s->nmis[0][vcpu] = ours;
	s->nmis[1][vcpu] = theirs;
}

static int take_events(struct session *s, uint32_t vcpu)
{
	struct side_vcpu *soft = &s->soft.vcpu[vcpu], *kernel = &s->kernel.vcpu[vcpu];
	struct side_events ours, theirs;
	int error = s->soft.ops->take_events(&s->soft, soft, &ours);

	if (!error)
		error = s->kernel.ops->take_events(&s->kernel, kernel, &theirs);
	if (error)
		return error;
	add_taken_nmis(s, vcpu, &ours, &theirs);
	compare_events(s, vcpu, &ours, &theirs);
	return 0;
}

int session_take_events(struct session *s)
{
	int error = 0;

	for (uint32_t i = 0; i < SIDE_VCPUS && !error && !s->found; i++)
		error = take_events(s, i);
	return error;
}

static int compare_vcpu(struct session *s, uint32_t vcpu)
{
	const struct side_vcpu *soft = &s->soft.vcpu[vcpu], *kernel = &s->kernel.vcpu[vcpu];

	if (soft->apic_base != kernel->apic_base && !s->found)
		session_differs(s, OBJ_BASE, vcpu, 0, soft->apic_base, kernel->apic_base,
				s->last_op);
	return s->found ? 0 : compare_lapic(s, vcpu);
}

static int compare_all(struct session *s)
{
	/* Events first: INIT resets the local APIC. */
	int error = session_take_events(s);

	for (uint32_t i = 0; i < SIDE_VCPUS && !error && !s->found; i++)
		error = compare_vcpu(s, i);
	if (!error && !s->found && session_has_chips(s))
		error = session_compare_chips(s);
	return error;
}

/* The kernel's worker is not done when write(2) has returned. */
static void settle(struct session *s)
{
	const struct timespec nap = { .tv_nsec = 50000 };
	uint64_t until = diff_now() + SETTLE_NS;

	s->quiet = true;
	for (;;) {
		int error = 0;

		/* Events are taken where they are compared: not here. */
		for (uint32_t i = 0; i < SIDE_VCPUS && !error && !s->found; i++)
			error = compare_lapic(s, i);
		if (!error && !s->found && session_has_chips(s))
			error = session_compare_chips(s);
		if (error || !s->found || diff_now() > until)
			break;
		s->found = false;
		nanosleep(&nap, NULL);
		/* A resamplefd that is an irqfd's too is written by a thread of ours. */
		s->soft.ops->pump(&s->soft);
	}
	s->quiet = s->found = false;
}

static bool may_come_later(const struct session *s, const struct op *op)
{
	/* Where irqfds are thrown any EOI may be one of a level. */
	if (op_is_guest(op))
		return op_is_doorbell(op) || (s->resamples && area_has_irqfds(s->script->area));
	return op->kind == OP_EVENTFD_WRITE || op->kind == OP_IRQFD;
}

int session_compare_states(struct session *s)
{
	const struct op *op = s->script->n ? &s->script->op[s->last_op] : NULL;

	if (op && may_come_later(s, op))
		settle(s);
	return compare_all(s);
}

/* Into both: a load has effects of its own, as on who has the RTC's tick. */
int session_heal(struct session *s)
{
	struct kvm_lapic_state state;
	int error = 0;

	for (uint32_t i = 0; i < SIDE_VCPUS && !error; i++) {
		if (!(s->heal_lapics & 1u << i))
			continue;
		error = s->kernel.ops->get_lapic(&s->kernel.vcpu[i], &state);
		if (!error)
			error = s->soft.ops->set_lapic(&s->soft.vcpu[i], &state);
		if (!error)
			error = s->kernel.ops->set_lapic(&s->kernel.vcpu[i], &state);
	}
	if (!error && s->heal_chips)
		error = session_heal_chips(s);
	if (error)
		snprintf(s->why, sizeof(s->why), "after a known difference: %s", strerror(-error));
	s->heal_lapics = 0;
	s->heal_chips = false;
	return error;
}
