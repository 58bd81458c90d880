/* SPDX-License-Identifier: MIT */
/* A vCPU's time: its local APIC's timer while it runs, and its TSC. */
#include <linux/kvm.h>
#include <stddef.h>
#include <sys/ioctl.h>

#include "base/vm.h"
#include "chip/deliver.h"
#include "vcpu/vcpu.h"

#define LOOK_AT_TPR_NS	   1000000u
#define MSR_TSC		   0x10u
#define KHZ_OF_NANOSECONDS 1000000u

/* The pump's thread, in a read section. */
static void deadline_passed(void *opaque)
{
	struct vmirq_vcpu *vcpu = opaque;

	vmirq_post_event(vcpu->chip, vcpu->posted, EVENT_TIMER);
}

/* A guest that runs is not asked for the time: something must kick it when its timer is due. With a
 * clock of the VMM's own nothing here can wait for it; vmirq_vcpu_deadline() tells the VMM. */
void vmirq_vcpu_arm_timer(struct vmirq_vcpu *vcpu)
{
	uint64_t deadline = lapic_timer_deadline(&vcpu->lapic.timer);

	if (vcpu->vm->own_clock)
		return;
	/* A KVM that emulates the guest has no KVM_EXIT_SET_TPR: look now and then whether CR8 still
	 * holds it back. */
	if (unlikely(vcpu->kvm_run && vmirq_lapic_held_by_tpr(&vcpu->lapic))) {
		uint64_t look = vcpu->vm->clock.now(vcpu->vm->clock.opaque) + LOOK_AT_TPR_NS;

		deadline = look < deadline ? look : deadline;
	}
	if (likely(deadline == vcpu->armed_deadline))
		return;
	if (!vcpu->timer.pump &&
	    vmirq_timer_create(&vcpu->timer, vcpu->vm->pump, deadline_passed, vcpu))
		return;
	vmirq_timer_set(&vcpu->timer, deadline);
	vcpu->armed_deadline = deadline;
}

uint64_t vmirq_vcpu_deadline(struct vmirq_vcpu *vcpu)
{
	return lapic_timer_deadline(&vcpu->lapic.timer);
}

/* For a KVM vCPU the kernel knows; elsewhere the TSC counts the clock's nanoseconds. */
uint64_t vmirq_vcpu_host_tsc(void *vm, uint32_t index, uint32_t *khz)
{
	const struct vmirq_vm *v = vm;
	const struct vmirq_vcpu *vcpu =
		atomic_load_explicit(&v->vcpus->vcpu[index], memory_order_relaxed);
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry entry;
	} msr = { .head.nmsrs = 1, .entry.index = MSR_TSC };

	*khz = vcpu->tsc_khz;
	if (vcpu->kvm_run && ioctl(vcpu->kvm_vcpu_fd, KVM_GET_MSRS, &msr) == 1)
		return msr.entry.data;
	return v->clock.now(v->clock.opaque);
}

uint32_t vmirq_vcpu_find_tsc_khz(const struct vmirq_vcpu *vcpu)
{
	int khz = vcpu->kvm_run ? ioctl(vcpu->kvm_vcpu_fd, KVM_GET_TSC_KHZ) : -1;

	return khz > 0 ? (uint32_t)khz : KHZ_OF_NANOSECONDS;
}
