/* SPDX-License-Identifier: MIT */
/* The guest's accesses to its local APIC. A write may send IPIs or wake others: hence the read sections. */
#include <errno.h>

#include "base/reader.h"
#include "vcpu/kernel.h"

/* What has happened by now, before the access: a timer that is over was so under the registers as they
 * were. A read shows what was posted; a write of TPR or EOI decides on all there is. */
static void catch_up(struct vmirq_vcpu *vcpu)
{
	vcpu_run_timer(vcpu);
	lapic_fold(&vcpu->lapic);
}

/* But for the two writes that a guest makes most, which are between it and its local APIC. */
static struct reader *enter_for(uint32_t reg)
{
	return reg == LAPIC_EOI || reg == LAPIC_TPR ? READER_INNER : reader_enter();
}

int vmirq_vcpu_mmio(struct vmirq_vcpu *vcpu, uint64_t gpa, void *data, uint32_t len, bool is_write)
{
	struct reader *section;

	if (vcpu_in_kernel(vcpu) || !vmirq_lapic_claims(&vcpu->lapic, gpa))
		return -ENOENT;
	section = enter_for((uint32_t)gpa & (LAPIC_PAGE_SIZE - 1));
	catch_up(vcpu);
	vmirq_lapic_mmio(&vcpu->lapic, gpa, data, len, is_write);
	reader_exit(section);
	lapic_broadcast_eoi(&vcpu->lapic);
	return 0;
}

static int msr_error(enum lapic_msr result)
{
	return result == LAPIC_MSR_DONE ? 0 : result == LAPIC_MSR_NOT_OURS ? -ENOENT : -EINVAL;
}

int vmirq_vcpu_rdmsr(struct vmirq_vcpu *vcpu, uint32_t msr, uint64_t *value)
{
	if (vcpu_in_kernel(vcpu))
		return -ENOENT;
	catch_up(vcpu);
	return msr_error(vmirq_lapic_rdmsr(&vcpu->lapic, msr, value));
}

static off_path int wrmsr_any(struct vmirq_vcpu *vcpu, uint32_t msr, uint64_t value)
{
	struct reader *section = reader_enter();
	enum lapic_msr result;

	catch_up(vcpu);
	result = vmirq_lapic_wrmsr(&vcpu->lapic, msr, value);
	reader_exit(section);
	lapic_broadcast_eoi(&vcpu->lapic);
	return msr_error(result);
}

int vmirq_vcpu_wrmsr(struct vmirq_vcpu *vcpu, uint32_t msr, uint64_t value)
{
	if (unlikely(vcpu_in_kernel(vcpu)))
		return -ENOENT;
	/* What a guest writes most. */
	if (likely(msr == MSR_X2APIC_FIRST + LAPIC_EOI / 0x10 && !value &&
		   lapic_x2apic(&vcpu->lapic))) {
		catch_up(vcpu);
		vmirq_lapic_eoi(&vcpu->lapic);
		lapic_broadcast_eoi(&vcpu->lapic);
		return 0;
	}
	return wrmsr_any(vcpu, msr, value);
}

uint64_t vmirq_vcpu_apic_base(struct vmirq_vcpu *vcpu)
{
	return lapic_base(&vcpu->lapic);
}

int vmirq_vcpu_set_apic_base(struct vmirq_vcpu *vcpu, uint64_t value)
{
	return vmirq_lapic_set_base(&vcpu->lapic, value) ? 0 : -EINVAL;
}

uint64_t vmirq_vcpu_cr8(struct vmirq_vcpu *vcpu)
{
	return lapic_get(&vcpu->lapic, LAPIC_TPR) >> 4;
}

int vmirq_vcpu_set_cr8(struct vmirq_vcpu *vcpu, uint64_t value)
{
	if (value > 15)
		return -EINVAL;
	vmirq_lapic_set_tpr(&vcpu->lapic, (uint32_t)value << 4);
	return 0;
}
