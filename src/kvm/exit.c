/* SPDX-License-Identifier: MIT */
#include "kvm/exit.h"

#include <errno.h>
#include <linux/kvm.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <vmirq/vm.h>

#include "base/vm.h"

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

int vmirq_kvm_do_exit(struct vmirq_vcpu *vcpu)
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
	case KVM_EXIT_IOAPIC_EOI:
		/* split: the kernel's local APIC has ended a level of our IOAPICs'. */
		if (vcpu->chip->eoi)
			vcpu->chip->eoi(vcpu->chip->eoi_opaque, vcpu->index,
					vcpu->kvm_run->eoi.vector, true);
		return 0;
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

int vmirq_kvm_enter(struct vmirq_vcpu *vcpu)
{
	struct kvm_run *run = vcpu->kvm_run;
	int error;

	/* An immediate exit leaves the old reason standing: the VMM would do its I/O again. */
	run->exit_reason = KVM_EXIT_UNKNOWN;
	error = ioctl(vcpu->kvm_vcpu_fd, KVM_RUN, 0) < 0 ? -errno : 0;
	if (!vcpu->vm->irqchip && (!error || error == -EINTR || error == -EAGAIN))
		take_cpu_state(vcpu);
	return error;
}

int vmirq_kvm_complete(struct vmirq_vcpu *vcpu)
{
	while (vcpu->kvm_incomplete) {
		int error;

		__atomic_store_n(&vcpu->kvm_run->immediate_exit, 1, __ATOMIC_SEQ_CST);
		/* It is the kernel's from here on: the exit may have been a write of TPR. */
		vcpu->kvm_run->cr8 = vmirq_vcpu_cr8(vcpu);
		vcpu->kvm_incomplete = false;
		error = vmirq_kvm_enter(vcpu);
		if (error == -EINTR || error == -EAGAIN)
			return 0;
		if (error)
			return error;
		if (vmirq_kvm_do_exit(vcpu) == VMM_EXIT)
			return VMM_EXIT;
	}
	return 0;
}

int vmirq_kvm_give_turn(struct vmirq_vcpu *vcpu, int why)
{
	int error = vmirq_kvm_complete(vcpu);

	if (error == VMM_EXIT) {
		/* First that; it asks again by itself. */
		if (why == -EINTR)
			vmirq_vcpu_interrupt(vcpu);
		return VMM_EXIT;
	}
	return error ? error : why;
}
