/* SPDX-License-Identifier: MIT */
/* One turn of a KVM_RUN loop for a vCPU whose local APIC is ours. */
#include <vmirq/kvm_run.h>

#include <errno.h>
#include <linux/kvm.h>
#include <sys/ioctl.h>

#include "kvm/start.h"
#include "vcpu/vcpu.h"

#define VMM_EXIT 1 /* the exit is the VMM's */

static unsigned int cpu_flags(const struct vmirq_vcpu *vcpu)
{
	const struct kvm_run *run = vcpu->kvm_run;
	unsigned int flags = 0;

	if (run->ready_for_interrupt_injection && run->if_flag)
		flags |= VMIRQ_CPU_INTERRUPTIBLE;
	if (vcpu->kvm_halted)
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

static int do_start(struct vmirq_vcpu *vcpu, int step, uint32_t page)
{
	vcpu->kvm_halted = false;
	return step == VMIRQ_STEP_INIT ? vmirq_kvm_do_init(vcpu->kvm_vcpu_fd)
				       : vmirq_kvm_do_sipi(vcpu->kvm_vcpu_fd, (uint8_t)page);
}

/* Before an entry: everything the step asks for. 0: enter; the mode says so to those who post. */
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
			break;
		default:
			return step;
		}
		if (error)
			return error;
	}
}

static int do_msr(struct vmirq_vcpu *vcpu, bool is_write)
{
	struct kvm_run *run = vcpu->kvm_run;
	uint64_t value = 0;
	int error;

	if (is_write)
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

	return vmirq_vcpu_mmio(vcpu, run->mmio.phys_addr, run->mmio.data, len,
			       run->mmio.is_write) == -ENOENT
		       ? VMM_EXIT
		       : 0;
}

/* 0: go on; VMM_EXIT. */
static int do_exit(struct vmirq_vcpu *vcpu)
{
	switch (vcpu->kvm_run->exit_reason) {
	case KVM_EXIT_MMIO:
		return do_mmio(vcpu);
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

/* The guest changes both without an exit of their own. */
static void take_cpu_state(struct vmirq_vcpu *vcpu)
{
	const struct kvm_run *run = vcpu->kvm_run;

	if (run->cr8 != vmirq_vcpu_cr8(vcpu))
		vmirq_vcpu_set_cr8(vcpu, run->cr8);
	if (run->apic_base && run->apic_base != vmirq_vcpu_apic_base(vcpu))
		vmirq_vcpu_set_apic_base(vcpu, run->apic_base);
}

int vmirq_kvm_run(struct vmirq_vcpu *vcpu)
{
	struct kvm_run *run;

	if (!vcpu || !vcpu->kvm_run)
		return -EINVAL;
	run = vcpu->kvm_run;
	for (;;) {
		int error = prepare(vcpu);
		bool kicked;

		if (error)
			return error;
		/* An immediate exit leaves the old reason standing: the VMM would do its I/O again. */
		run->exit_reason = KVM_EXIT_UNKNOWN;
		error = ioctl(vcpu->kvm_vcpu_fd, KVM_RUN, 0) < 0 ? -errno : 0;
		kicked = vcpu_set_mode(vcpu, MODE_OUTSIDE) == MODE_KICKED;
		if (error && error != -EINTR && error != -EAGAIN)
			return error;
		take_cpu_state(vcpu);
		if (error) {
			/* A signal of the VMM's own is its business; a kick is ours. */
			if (!kicked)
				return -EINTR;
			continue;
		}
		if (do_exit(vcpu) == VMM_EXIT)
			return 0;
	}
}
