/* SPDX-License-Identifier: MIT */
/* One turn of a KVM_RUN loop for a vCPU whose local APIC is ours. */
#include <vmirq/kvm_run.h>

#include <errno.h>
#include <linux/kvm.h>
#include <sys/ioctl.h>

#include "base/vm.h"
#include "kvm/exit.h"
#include "kvm/start.h"

static unsigned int cpu_flags(struct vmirq_vcpu *vcpu)
{
	const struct kvm_run *run = vcpu->kvm_run;
	unsigned int flags = 0;

	if (run->ready_for_interrupt_injection && run->if_flag)
		flags |= VMIRQ_CPU_INTERRUPTIBLE;
	/* Halted and not ready although IF is set (a debug trap stands before it): it must run on. */
	if (vcpu->kvm_halted && !(run->if_flag && !(flags & VMIRQ_CPU_INTERRUPTIBLE) &&
				  vmirq_vcpu_next_vector(vcpu) >= 0))
		flags |= VMIRQ_CPU_HALTED;
	return flags;
}

static int inject(struct vmirq_vcpu *vcpu, uint32_t vector)
{
	struct kvm_interrupt irq = { .irq = vector };

	if (ioctl(vcpu->kvm_vcpu_fd, KVM_INTERRUPT, &irq) < 0)
		return -errno;
	vmirq_vcpu_ack(vcpu, vector);
	/* One at a time: the next when the kernel says that it is ready again. */
	vcpu->kvm_run->ready_for_interrupt_injection = 0;
	vcpu->kvm_halted = false;
	return 0;
}

static int park(struct vmirq_vcpu *vcpu)
{
	if (vmirq_vcpu_park(vcpu, -1) != VMIRQ_PARK_INTERRUPTED)
		return 0;
	return vcpu_events(vcpu) & bit32(EVENT_STOP) ? -ECANCELED : -EINTR;
}

/* INIT and SIPI change the registers: not under an instruction. What it still asks of the VMM comes to
 * nothing, as on a processor that INIT resets. */
static int do_start(struct vmirq_vcpu *vcpu, int step, uint32_t page)
{
	int error = vmirq_kvm_complete(vcpu);

	while (error == VMM_EXIT)
		error = vmirq_kvm_complete(vcpu);
	if (error)
		return error;
	vcpu->kvm_halted = false;
	vcpu->kvm_run->if_flag = 0;
	vcpu->kvm_run->ready_for_interrupt_injection = 0;
	return step == VMIRQ_STEP_INIT ? vmirq_kvm_do_init(vcpu->kvm_vcpu_fd)
				       : vmirq_kvm_do_sipi(vcpu->kvm_vcpu_fd, (uint8_t)page);
}

/* Before an entry: everything the step asks for. 0: enter; the mode says so to those who post.
 * VMM_EXIT, or -errno. */
static int prepare(struct vmirq_vcpu *vcpu)
{
	struct kvm_run *run = vcpu->kvm_run;

	for (;;) {
		uint32_t vector = 0;
		int step, error = 0;

		/* Before the step says "in the guest": a kick that comes after is not undone. */
		__atomic_store_n(&run->immediate_exit, 0, __ATOMIC_SEQ_CST);
		step = vmirq_vcpu_step(vcpu, cpu_flags(vcpu), &vector);
		switch (step) {
		case VMIRQ_STEP_ENTER:
		case VMIRQ_STEP_WINDOW:
			run->request_interrupt_window = step == VMIRQ_STEP_WINDOW;
			run->cr8 = vmirq_vcpu_cr8(vcpu);
			return 0;
		case VMIRQ_STEP_INJECT:
			error = inject(vcpu, vector);
			break;
		case VMIRQ_STEP_NMI:
			if (ioctl(vcpu->kvm_vcpu_fd, KVM_NMI) < 0)
				error = -errno;
			vcpu->kvm_halted = false;
			break;
		case VMIRQ_STEP_SMI:
			/* The kernel does SMM with its own LAPIC only: an SMI is taken and does nothing. */
			break;
		case VMIRQ_STEP_INIT:
		case VMIRQ_STEP_SIPI:
			error = do_start(vcpu, step, vector);
			break;
		case VMIRQ_STEP_PARK:
			error = park(vcpu);
			if (error)
				return vmirq_kvm_give_turn(vcpu, error);
			break;
		default:
			return vmirq_kvm_give_turn(vcpu, step);
		}
		if (error)
			return error;
	}
}

int vmirq_kvm_run(struct vmirq_vcpu *vcpu)
{
	if (!vcpu || !vcpu->kvm_run)
		return -EINVAL;
	if (!vmirq_vcpu_is_own(vcpu))
		return -EPERM;
	for (;;) {
		int error = vcpu->vm->irqchip ? vmirq_kernel_prepare(vcpu) : prepare(vcpu);
		bool kicked;

		if (error)
			return error == VMM_EXIT ? 0 : error;
		vcpu->kvm_incomplete = false;
		error = vmirq_kvm_enter(vcpu);
		kicked = vcpu_set_mode(vcpu, MODE_OUTSIDE) == MODE_KICKED;
		if (error == -EINTR || error == -EAGAIN) {
			/* A signal of the VMM's own is its business; a kick is ours. */
			if (!kicked)
				return -EINTR;
			continue;
		}
		if (error)
			return error;
		if (vmirq_kvm_do_exit(vcpu) == VMM_EXIT)
			return 0;
	}
}
