/* SPDX-License-Identifier: MIT */
/* One turn of a KVM_RUN loop for a vCPU whose local APIC is ours. */
#include <vmirq/kvm_run.h>

#include <errno.h>
#include <linux/kvm.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <vmirq/vm.h>

#include "kvm/start.h"
#include "vcpu/vcpu.h"

#define VMM_EXIT 1 /* the exit is the VMM's */

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

static int do_msr(struct vmirq_vcpu *vcpu, bool is_write)
{
	struct kvm_run *run = vcpu->kvm_run;
	uint64_t value = 0;
	int error;

	/* The kernel keeps this one, and exits where it refuses what the guest wrote. */
	if (run->msr.index == MSR_APIC_BASE)
		error = -EINVAL;
	else if (is_write)
		error = vmirq_vcpu_wrmsr(vcpu, run->msr.index, run->msr.data);
	else
		error = vmirq_vcpu_rdmsr(vcpu, run->msr.index, &value);
	if (error == -ENOENT)
		return VMM_EXIT;
	if (!is_write)
		run->msr.data = value;
	run->msr.error = error != 0;
	return 0;
}

static int do_mmio(struct vmirq_vcpu *vcpu)
{
	struct kvm_run *run = vcpu->kvm_run;
	uint32_t len = run->mmio.len < sizeof(run->mmio.data) ? run->mmio.len
							      : sizeof(run->mmio.data);
	int error =
		vmirq_vcpu_mmio(vcpu, run->mmio.phys_addr, run->mmio.data, len, run->mmio.is_write);

	if (error == -ENOENT)
		error = vmirq_vm_mmio(vcpu->vm, run->mmio.phys_addr, run->mmio.data, len,
				      run->mmio.is_write);
	return error == -ENOENT ? VMM_EXIT : 0;
}

/* Also of string instructions: the kernel gives as many as it has gathered, all at one port. */
static int do_io(struct vmirq_vcpu *vcpu)
{
	struct kvm_run *run = vcpu->kvm_run;
	uint8_t *data = (uint8_t *)run + run->io.data_offset;
	bool out = run->io.direction == KVM_EXIT_IO_OUT;

	for (uint32_t i = 0; i < run->io.count; i++)
		if (vmirq_vm_pio(vcpu->vm, run->io.port, data + (size_t)i * run->io.size,
				 run->io.size, out) == -ENOENT)
			return VMM_EXIT;
	return 0;
}

/* 0: go on; VMM_EXIT. */
static int do_exit(struct vmirq_vcpu *vcpu)
{
	/* But for these two an exit may stand in the middle of an instruction, which the kernel ends at
	 * the next KVM_RUN with what we answer. */
	vcpu->kvm_incomplete = vcpu->kvm_run->exit_reason != KVM_EXIT_HLT &&
			       vcpu->kvm_run->exit_reason != KVM_EXIT_IRQ_WINDOW_OPEN;
	switch (vcpu->kvm_run->exit_reason) {
	case KVM_EXIT_MMIO:
		return do_mmio(vcpu);
	case KVM_EXIT_IO:
		return do_io(vcpu);
	case KVM_EXIT_X86_RDMSR:
		return do_msr(vcpu, false);
	case KVM_EXIT_X86_WRMSR:
		return do_msr(vcpu, true);
	case KVM_EXIT_HLT:
		vcpu->kvm_halted = true;
		return 0;
	case KVM_EXIT_IRQ_WINDOW_OPEN:
	case KVM_EXIT_SET_TPR:
	case KVM_EXIT_INTR:
		return 0;
	default:
		return VMM_EXIT;
	}
}

/* The kernel keeps IA32_APIC_BASE and has allowed each of the guest's steps; only where they have led is
 * seen. Where one step does not lead there, several do, through "disabled". */
static void follow_apic_base(struct vmirq_vcpu *vcpu, uint64_t base)
{
	uint64_t disabled = base & ~(uint64_t)(APIC_BASE_ENABLED | APIC_BASE_X2APIC);

	if (!vmirq_vcpu_set_apic_base(vcpu, base))
		return;
	vmirq_vcpu_set_apic_base(vcpu, disabled);
	vmirq_vcpu_set_apic_base(vcpu, disabled | APIC_BASE_ENABLED);
	vmirq_vcpu_set_apic_base(vcpu, base);
}

/* The guest changes both without an exit of their own. */
static void take_cpu_state(struct vmirq_vcpu *vcpu)
{
	const struct kvm_run *run = vcpu->kvm_run;

	if (run->cr8 != vmirq_vcpu_cr8(vcpu))
		vmirq_vcpu_set_cr8(vcpu, run->cr8);
	if (run->apic_base && run->apic_base != vmirq_vcpu_apic_base(vcpu))
		follow_apic_base(vcpu, run->apic_base);
}

/* 0: something happened that is the loop's to see; -errno of KVM_RUN, -EINTR among them. */
static int run_once(struct vmirq_vcpu *vcpu)
{
	struct kvm_run *run = vcpu->kvm_run;
	int error;

	/* An immediate exit leaves the old reason standing: the VMM would do its I/O again. */
	run->exit_reason = KVM_EXIT_UNKNOWN;
	error = ioctl(vcpu->kvm_vcpu_fd, KVM_RUN, 0) < 0 ? -errno : 0;
	if (!error || error == -EINTR || error == -EAGAIN)
		take_cpu_state(vcpu);
	return error;
}

/*
 * Let the kernel end the instruction that an exit stands in the middle of, without running on: before
 * the VMM may look at the registers, or INIT changes them. 0: done. VMM_EXIT: the instruction has
 * exited again, for the VMM.
 */
static int complete(struct vmirq_vcpu *vcpu)
{
	while (vcpu->kvm_incomplete) {
		int error;

		__atomic_store_n(&vcpu->kvm_run->immediate_exit, 1, __ATOMIC_SEQ_CST);
		/* It is the kernel's from here on: the exit may have been a write of TPR. */
		vcpu->kvm_run->cr8 = vmirq_vcpu_cr8(vcpu);
		vcpu->kvm_incomplete = false;
		error = run_once(vcpu);
		if (error == -EINTR || error == -EAGAIN)
			return 0;
		if (error)
			return error;
		if (do_exit(vcpu) == VMM_EXIT)
			return VMM_EXIT;
	}
	return 0;
}

/* INIT and SIPI change the registers: not under an instruction. What it still asks of the VMM comes to
 * nothing, as on a processor that INIT resets. */
static int do_start(struct vmirq_vcpu *vcpu, int step, uint32_t page)
{
	int error = complete(vcpu);

	while (error == VMM_EXIT)
		error = complete(vcpu);
	if (error)
		return error;
	vcpu->kvm_halted = false;
	vcpu->kvm_run->if_flag = 0;
	vcpu->kvm_run->ready_for_interrupt_injection = 0;
	return step == VMIRQ_STEP_INIT ? vmirq_kvm_do_init(vcpu->kvm_vcpu_fd)
				       : vmirq_kvm_do_sipi(vcpu->kvm_vcpu_fd, (uint8_t)page);
}

/* The VMM gets its turn, at an instruction's end. `why`: -EINTR or -ECANCELED. */
static int give_turn(struct vmirq_vcpu *vcpu, int why)
{
	int error = complete(vcpu);

	if (error == VMM_EXIT) {
		/* First that; it asks again by itself. */
		if (why == -EINTR)
			vmirq_vcpu_interrupt(vcpu);
		return VMM_EXIT;
	}
	return error ? error : why;
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
				return give_turn(vcpu, error);
			break;
		default:
			return give_turn(vcpu, step);
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
		int error = prepare(vcpu);
		bool kicked;

		if (error)
			return error == VMM_EXIT ? 0 : error;
		vcpu->kvm_incomplete = false;
		error = run_once(vcpu);
		kicked = vcpu_set_mode(vcpu, MODE_OUTSIDE) == MODE_KICKED;
		if (error == -EINTR || error == -EAGAIN) {
			/* A signal of the VMM's own is its business; a kick is ours. */
			if (!kicked)
				return -EINTR;
			continue;
		}
		if (error)
			return error;
		if (do_exit(vcpu) == VMM_EXIT)
			return 0;
	}
}
