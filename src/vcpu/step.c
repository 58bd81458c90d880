/* SPDX-License-Identifier: MIT */
/* What a vCPU's thread does next. */
#include <errno.h>
#include <stddef.h>

#include "base/reader.h"
#include "vcpu/vcpu.h"

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

		vcpu_take_events(vcpu, bit32(EVENT_NMI) | bit32(EVENT_SMI));
		vmirq_lapic_reset(&vcpu->lapic, true);
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

static int step_interrupt(struct vmirq_vcpu *vcpu, uint32_t events, unsigned int flags,
			  uint32_t *vector)
{
	int next;

	if ((events & bit32(EVENT_SMI)) && vcpu_take_events(vcpu, bit32(EVENT_SMI)))
		return VMIRQ_STEP_SMI;
	if ((events & bit32(EVENT_NMI)) && !(flags & VMIRQ_CPU_NMI_BLOCKED) &&
	    vcpu_take_events(vcpu, bit32(EVENT_NMI)))
		return VMIRQ_STEP_NMI;
	next = vmirq_lapic_next(&vcpu->lapic);
	if (next >= 0 && (flags & VMIRQ_CPU_INTERRUPTIBLE)) {
		*vector = (uint32_t)next;
		return VMIRQ_STEP_INJECT;
	}
	if (flags & VMIRQ_CPU_HALTED)
		return VMIRQ_STEP_PARK;
	return next >= 0 ? VMIRQ_STEP_WINDOW : CONTINUE;
}

/* Events that this step would act on: what ends a park or an entry. */
static uint32_t wanted_events(const struct vmirq_vcpu *vcpu, unsigned int flags)
{
	uint32_t wanted = REQUESTS | START_EVENTS;

	if (vcpu->wait_for_sipi)
		return wanted;
	wanted |= bit32(EVENT_SMI);
	return flags & VMIRQ_CPU_NMI_BLOCKED ? wanted : wanted | bit32(EVENT_NMI);
}

int vmirq_vcpu_step(struct vmirq_vcpu *vcpu, unsigned int flags, uint32_t *vector)
{
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
		vmirq_lapic_fold(&vcpu->lapic);
		vcpu->wanted_events = wanted_events(vcpu, flags);
		if (vcpu->wait_for_sipi)
			return VMIRQ_STEP_PARK;
		step = step_interrupt(vcpu, events, flags, vector);
		if (step != CONTINUE && step != VMIRQ_STEP_WINDOW)
			return step;
		/* Nothing now; say where we go, and look again: C and D in posted.h. */
		vcpu_set_mode(vcpu, MODE_IN_GUEST);
		if (!vcpu_anything_posted(vcpu, vcpu->wanted_events))
			return step == VMIRQ_STEP_WINDOW ? VMIRQ_STEP_WINDOW : VMIRQ_STEP_ENTER;
	}
}

int vmirq_vcpu_next_vector(struct vmirq_vcpu *vcpu)
{
	vmirq_lapic_fold(&vcpu->lapic);
	return vmirq_lapic_next(&vcpu->lapic);
}

int vmirq_vcpu_ack(struct vmirq_vcpu *vcpu, uint32_t vector)
{
	if ((int64_t)vector != vmirq_lapic_next(&vcpu->lapic))
		return -EINVAL;
	vmirq_lapic_ack(&vcpu->lapic, (uint8_t)vector);
	return 0;
}

int vmirq_vcpu_unack(struct vmirq_vcpu *vcpu, uint32_t vector)
{
	return vector < 256 && vmirq_lapic_unack(&vcpu->lapic, (uint8_t)vector) ? 0 : -EINVAL;
}

void vmirq_vcpu_leave(struct vmirq_vcpu *vcpu)
{
	if (atomic_load_explicit(&vcpu->posted->mode, memory_order_relaxed) != MODE_OUTSIDE)
		vcpu_set_mode(vcpu, MODE_OUTSIDE);
}
