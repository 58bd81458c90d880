/* SPDX-License-Identifier: MIT */
/* A turn of a vCPU whose local APIC is the kernel's: what the VMM wants, and in `split` what the 8259s
 * have for it. */
#include <errno.h>
#include <linux/kvm.h>
#include <sys/ioctl.h>

#include "chip/i8259.h"
#include "kvm/exit.h"

#define REQUESTS (bit32(EVENT_STOP) | bit32(EVENT_INTERRUPT))
#define WANTED	 (REQUESTS | NMI_EVENTS | bit32(EVENT_EXTINT))

/* The 8259s are wired to the bootstrap processor; whether it takes from them is for its LVT0 to say, which
 * the kernel looks at. */
static int offer_extint(struct vmirq_vcpu *vcpu)
{
	struct kvm_run *run = vcpu->kvm_run;
	struct i8259 *pic = vcpu->chip->pic;
	struct kvm_interrupt irq;

	run->request_interrupt_window = 0;
	if (!pic || vcpu->index != 0 || !vmirq_i8259_output(pic))
		return 0;
	if (!run->ready_for_interrupt_injection || !run->if_flag) {
		run->request_interrupt_window = 1;
		return 0;
	}
	irq.irq = vmirq_i8259_acknowledge(pic);
	lapic_count(&vcpu->extints, 1);
	/* One at a time: the next when the kernel says that it is ready again. */
	run->ready_for_interrupt_injection = 0;
	run->request_interrupt_window = vmirq_i8259_output(pic);
	return ioctl(vcpu->kvm_vcpu_fd, KVM_INTERRUPT, &irq) < 0 ? -errno : 0;
}

int vmirq_kernel_prepare(struct vmirq_vcpu *vcpu)
{
	for (;;) {
		uint32_t events;
		int error;

		vmirq_vcpu_leave(vcpu);
		/* Before the mode says "in the guest": a kick that comes after is not undone. */
		__atomic_store_n(&vcpu->kvm_run->immediate_exit, 0, __ATOMIC_SEQ_CST);
		events = vcpu_events(vcpu);
		if (events & bit32(EVENT_STOP)) {
			vmirq_vcpu_saw_stop(vcpu);
			return vmirq_kvm_give_turn(vcpu, -ECANCELED);
		}
		if ((events & bit32(EVENT_INTERRUPT)) &&
		    vcpu_take_events(vcpu, bit32(EVENT_INTERRUPT)))
			return vmirq_kvm_give_turn(vcpu, -EINTR);
		while ((events & NMI_EVENTS) && vcpu_take_nmi(vcpu))
			if (ioctl(vcpu->kvm_vcpu_fd, KVM_NMI) < 0)
				return -errno;
		/* It only says: look. */
		vcpu_take_events(vcpu, events & bit32(EVENT_EXTINT));
		error = offer_extint(vcpu);
		if (error)
			return error;
		/* C and D in posted.h. */
		vcpu_set_mode(vcpu, MODE_IN_GUEST);
		if (!(vcpu_events(vcpu) & WANTED))
			return 0;
	}
}
