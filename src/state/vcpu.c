/* SPDX-License-Identifier: MIT */
/* A vCPU in a blob. */
#include <errno.h>

#include "base/reader.h"
#include "base/vm.h"
#include "line/line.h"
#include "state/blob.h"
#include "vcpu/vcpu.h"

/* Not the VMM's own requests. */
#define GUEST_EVENTS                                                                   \
	(bit32(EVENT_NMI) | bit32(EVENT_SMI) | bit32(EVENT_INIT) | bit32(EVENT_SIPI) | \
	 bit32(EVENT_EXTINT) | bit32(EVENT_ILLEGAL_VECTOR) | bit32(EVENT_TIMER) |      \
	 bit32(EVENT_NMI_AGAIN) | 0xffu << EVENT_SIPI_SHIFT)

struct vmirq_vcpu *vmirq_state_next_vcpu(const struct vmirq_vm *vm, int64_t index)
{
	for (int64_t i = index + 1; i < vm->vcpus->max; i++) {
		struct vmirq_vcpu *vcpu =
			atomic_load_explicit(&vm->vcpus->vcpu[i], memory_order_relaxed);

		if (vcpu && vcpu->used)
			return vcpu;
	}
	return NULL;
}

static bool runs(struct vmirq_vcpu *vcpu)
{
	bool runs;

	pthread_mutex_lock(&vcpu->run_mutex);
	runs = vcpu->run_state == RUNNING && !pthread_equal(vcpu->run_thread, pthread_self());
	pthread_mutex_unlock(&vcpu->run_mutex);
	return runs;
}

int vmirq_state_hold_vcpus(struct vmirq_vm *vm)
{
	struct vmirq_vcpu *vcpu;

	pthread_mutex_lock(&vm->vcpus->mutex);
	for (vcpu = vmirq_state_next_vcpu(vm, -1); vcpu;
	     vcpu = vmirq_state_next_vcpu(vm, vcpu->index)) {
		if (!runs(vcpu))
			continue;
		pthread_mutex_unlock(&vm->vcpus->mutex);
		return -EBUSY;
	}
	return 0;
}

void vmirq_state_let_go_vcpus(struct vmirq_vm *vm)
{
	pthread_mutex_unlock(&vm->vcpus->mutex);
}

static struct rtc_tick *tick_of(const struct vmirq_vcpu *vcpu)
{
	struct line_domain *lines = vcpu->vm->lines;

	return lines->ioapics ? &lines->ioapic[0]->ioapic.rtc : NULL;
}

void vmirq_state_get_vcpu(struct vmirq_vcpu *vcpu, struct blob_vcpu *blob)
{
	const struct rtc_tick *tick = tick_of(vcpu);
	struct reader *section;

	*blob = (struct blob_vcpu){ .index = vcpu->index, .apic_id = vcpu->lapic.initial_id };
	/* A timer may post. */
	section = reader_enter();
	vmirq_lapic_get_image(&vcpu->lapic, &blob->lapic);
	reader_exit(section);
	blob->events = vcpu_events(vcpu) & GUEST_EVENTS;
	blob->extint = vcpu->extint;
	blob->extint_taken = vcpu->extint_taken;
	blob->waits_for_sipi = vcpu->wait_for_sipi;
	blob->halted = vcpu->kvm_halted;
	if (tick && rtc_tick_holds(tick, vcpu->index)) {
		blob->has_tick = 1;
		blob->tick_vector =
			atomic_load_explicit(&tick->vector[vcpu->index], memory_order_relaxed);
	}
}

static bool extint_valid(int16_t vector)
{
	return vector >= -1 && vector <= UINT8_MAX;
}

bool vmirq_state_vcpu_valid(const struct vmirq_vcpu *vcpu, const struct blob_vcpu *blob)
{
	return vcpu->index == blob->index && vcpu->lapic.initial_id == blob->apic_id &&
	       !(blob->events & ~GUEST_EVENTS) && extint_valid(blob->extint) &&
	       extint_valid(blob->extint_taken) && blob->waits_for_sipi <= 1 && blob->halted <= 1 &&
	       blob->has_tick <= (tick_of(vcpu) ? 1 : 0) &&
	       (blob->has_tick || !blob->tick_vector) && !blob->reserved &&
	       vmirq_lapic_image_valid(&vcpu->lapic, &blob->lapic);
}

void vmirq_state_put_vcpu(struct vmirq_vcpu *vcpu, const struct blob_vcpu *blob)
{
	uint32_t events = vcpu_events(vcpu);

	vmirq_lapic_put_image(&vcpu->lapic, &blob->lapic);
	/* The VMM may make a request meanwhile. */
	while (!atomic_compare_exchange_weak(&vcpu->posted->events, &events,
					     (events & ~GUEST_EVENTS) | blob->events))
		;
	vcpu->extint = blob->extint;
	vcpu->extint_taken = blob->extint_taken;
	vcpu->wait_for_sipi = blob->waits_for_sipi;
	vcpu->kvm_halted = blob->halted;
	vcpu->kvm_incomplete = false;
	if (blob->has_tick)
		rtc_tick_hold(tick_of(vcpu), vcpu->index, blob->tick_vector);
	else if (tick_of(vcpu))
		rtc_tick_drop(tick_of(vcpu), vcpu->index);
}
