/* SPDX-License-Identifier: MIT */
/* What a vCPU's thread does next. */
#include <errno.h>
#include <stddef.h>

#include "base/reader.h"
#include "chip/i8259.h"
#include "vcpu/kernel.h"

#define REQUESTS     (bit32(EVENT_STOP) | bit32(EVENT_INTERRUPT))
#define START_EVENTS (bit32(EVENT_INIT) | bit32(EVENT_SIPI))
#define CONTINUE     (-1000) /* no step follows from this part */

/* The VMM's wishes come before the guest's. */
static int step_request(struct vmirq_vcpu *vcpu, uint32_t events)
{
	if (events & bit32(EVENT_STOP)) {
		vmirq_vcpu_saw_stop(vcpu);
		return -ECANCELED;
	}
	if ((events & bit32(EVENT_INTERRUPT)) && vcpu_take_events(vcpu, bit32(EVENT_INTERRUPT)))
		return -EINTR;
	return CONTINUE;
}

/* INIT and SIPI (SDM vol. 3A 9.4, 11.4.7.3). A SIPI is dropped unless it is waited for. */
static int step_start(struct vmirq_vcpu *vcpu, uint32_t events, uint32_t *vector)
{
	if ((events & bit32(EVENT_INIT)) && vcpu_take_events(vcpu, bit32(EVENT_INIT))) {
		struct reader *section = reader_enter();

		vcpu_take_events(vcpu, NMI_EVENTS | bit32(EVENT_SMI));
		vmirq_lapic_reset(&vcpu->lapic, true);
		vcpu->extint = vcpu->extint_taken = -1;
		vcpu->wait_for_sipi = !vcpu->lapic.bsp;
		reader_exit(section);
		return VMIRQ_STEP_INIT;
	}
	if (events & bit32(EVENT_SIPI)) {
		uint32_t page = 0xffu << EVENT_SIPI_SHIFT;
		uint32_t taken = vcpu_take_events(vcpu, bit32(EVENT_SIPI) | page);

		if (!vcpu->wait_for_sipi || !(taken & bit32(EVENT_SIPI)))
			return CONTINUE;
		vcpu->wait_for_sipi = false;
		*vector = taken >> EVENT_SIPI_SHIFT;
		return VMIRQ_STEP_SIPI;
	}
	return CONTINUE;
}

/* The 8259s have something for this CPU, or have given it already. */
static bool extint_pending(const struct vmirq_vcpu *vcpu)
{
	struct i8259 *pic = vcpu->chip->pic;

	return vcpu->extint >= 0 ||
	       (pic && vmirq_i8259_output(pic) && vmirq_lapic_accepts_pic(&vcpu->lapic));
}

static int step_interrupt(struct vmirq_vcpu *vcpu, uint32_t events, unsigned int flags,
			  uint32_t *vector)
{
	int next;

	if ((events & bit32(EVENT_SMI)) && vcpu_take_events(vcpu, bit32(EVENT_SMI)))
		return VMIRQ_STEP_SMI;
	if ((events & NMI_EVENTS) && !(flags & VMIRQ_CPU_NMI_BLOCKED) && vcpu_take_nmi(vcpu))
		return VMIRQ_STEP_NMI;
	/* Behind a handler only one waits for its IRET (SDM vol. 3A 6.7.1). */
	if ((events & NMI_EVENTS) == NMI_EVENTS)
		vcpu_take_events(vcpu, bit32(EVENT_NMI_AGAIN));
	if (extint_pending(vcpu) && (flags & VMIRQ_CPU_INTERRUPTIBLE)) {
		/* The processor's INTA cycles; what they give is the CPU's to take. */
		if (vcpu->extint < 0)
			vcpu->extint = vmirq_i8259_acknowledge(vcpu->chip->pic);
		*vector = (uint32_t)vcpu->extint;
		return VMIRQ_STEP_INJECT;
	}
	next = vmirq_lapic_next(&vcpu->lapic);
	if (next >= 0 && (flags & VMIRQ_CPU_INTERRUPTIBLE)) {
		*vector = (uint32_t)next;
		return VMIRQ_STEP_INJECT;
	}
	if (flags & VMIRQ_CPU_HALTED)
		return VMIRQ_STEP_PARK;
	return next >= 0 || extint_pending(vcpu) ? VMIRQ_STEP_WINDOW : CONTINUE;
}

/* Events that this step would act on: what ends a park or an entry. */
static uint32_t wanted_events(const struct vmirq_vcpu *vcpu, unsigned int flags)
{
	uint32_t wanted = REQUESTS | START_EVENTS;

	if (vcpu->wait_for_sipi)
		return wanted;
	wanted |= bit32(EVENT_SMI) | bit32(EVENT_TIMER) | bit32(EVENT_EXTINT) |
		  bit32(EVENT_ILLEGAL_VECTOR);
	return flags & VMIRQ_CPU_NMI_BLOCKED ? wanted : wanted | NMI_EVENTS;
}

/* Where the VMM parks by other means than vmirq_vcpu_park(), whoever posts from now on calls `wake`.
 * False: somebody has, meanwhile. C and D in posted.h. */
static bool park_elsewhere(struct vmirq_vcpu *vcpu)
{
	if (!vcpu->wake.fn)
		return true;
	vcpu_set_mode(vcpu, MODE_PARKED_ELSEWHERE);
	return !vcpu_anything_posted(vcpu, vcpu->wanted_events);
}

/* What waits for the next exit. Only what is in service where TPR may be lowered without one: see
 * vmirq_vcpu_arm_timer(), which looks at TPR only for what a step has found. */
static uint32_t waiting_class(const struct vmirq_vcpu *vcpu)
{
	return vcpu->kvm_run ? vmirq_lapic_service_class(&vcpu->lapic)
			     : lapic_ppr_class(&vcpu->lapic);
}

int vmirq_vcpu_step(struct vmirq_vcpu *vcpu, unsigned int flags, uint32_t *vector)
{
	if (vcpu_in_kernel(vcpu))
		return -EOPNOTSUPP;
	for (;;) {
		uint32_t events;
		int step;

		vmirq_vcpu_leave(vcpu);
		events = vcpu_events(vcpu);
		step = step_request(vcpu, events);
		if (step == CONTINUE)
			step = step_start(vcpu, events, vector);
		if (step != CONTINUE)
			return step;
		/* Both only say: look. */
		vcpu_take_events(vcpu, events & (bit32(EVENT_TIMER) | bit32(EVENT_EXTINT)));
		if (vcpu_take_events(vcpu, events & bit32(EVENT_ILLEGAL_VECTOR)))
			vmirq_lapic_error(&vcpu->lapic, ESR_RECEIVE_ILLEGAL);
		vcpu_run_timer(vcpu);
		lapic_fold(&vcpu->lapic);
		vcpu->wanted_events = wanted_events(vcpu, flags);
		step = vcpu->wait_for_sipi ? VMIRQ_STEP_PARK
					   : step_interrupt(vcpu, events, flags, vector);
		if (step == VMIRQ_STEP_PARK && !park_elsewhere(vcpu))
			continue;
		if (step != CONTINUE && step != VMIRQ_STEP_WINDOW)
			return step;
		vmirq_vcpu_arm_timer(vcpu);
		/* Nothing now; say where we go, and look again: C and D in posted.h. Relaxed: C releases it. */
		atomic_store_explicit(&vcpu->posted->ppr_class, waiting_class(vcpu),
				      memory_order_relaxed);
		vcpu_set_mode(vcpu, MODE_IN_GUEST);
		if (!vcpu_anything_posted(vcpu, vcpu->wanted_events))
			return step == VMIRQ_STEP_WINDOW ? VMIRQ_STEP_WINDOW : VMIRQ_STEP_ENTER;
	}
}

int vmirq_vcpu_next_vector(struct vmirq_vcpu *vcpu)
{
	lapic_fold(&vcpu->lapic);
	return vmirq_lapic_next(&vcpu->lapic);
}

int vmirq_vcpu_ack(struct vmirq_vcpu *vcpu, uint32_t vector)
{
	if (vcpu->extint >= 0 && vector == (uint32_t)vcpu->extint) {
		vcpu->extint_taken = vcpu->extint;
		vcpu->extint = -1;
		lapic_count(&vcpu->extints, 1);
		return 0;
	}
	if ((int64_t)vector != vmirq_lapic_next(&vcpu->lapic))
		return -EINVAL;
	vcpu->extint_taken = -1;
	vmirq_lapic_ack(&vcpu->lapic, (uint8_t)vector);
	return 0;
}

int vmirq_vcpu_unack(struct vmirq_vcpu *vcpu, uint32_t vector)
{
	if (vcpu->extint_taken >= 0 && vector == (uint32_t)vcpu->extint_taken) {
		vcpu->extint = vcpu->extint_taken;
		vcpu->extint_taken = -1;
		lapic_count(&vcpu->extints, (uint64_t)-1);
		return 0;
	}
	return vector < 256 && vmirq_lapic_unack(&vcpu->lapic, (uint8_t)vector) ? 0 : -EINVAL;
}

void vmirq_vcpu_leave(struct vmirq_vcpu *vcpu)
{
	if (atomic_load_explicit(&vcpu->posted->mode, memory_order_relaxed) != MODE_OUTSIDE)
		vcpu_set_mode(vcpu, MODE_OUTSIDE);
}
