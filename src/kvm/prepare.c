/* SPDX-License-Identifier: MIT */
/* A KVM VM for an irqchip in user space: which MSRs must come to us. */
#include <vmirq/kvm_run.h>

#include <errno.h>
#include <linux/kvm.h>
#include <stdint.h>
#include <sys/ioctl.h>

#define MSR_TSC_DEADLINE 0x6e0u

/* x2APIC MSRs exit by themselves where the kernel has no LAPIC; the deadline MSR has to be denied. */
static int deny_tsc_deadline(int vm_fd)
{
	static uint8_t deny_first[1]; /* bit 0 clear = denied */
	struct kvm_msr_filter filter = {
		.flags = KVM_MSR_FILTER_DEFAULT_ALLOW,
		.ranges[0] = { .flags = KVM_MSR_FILTER_READ | KVM_MSR_FILTER_WRITE,
			       .base = MSR_TSC_DEADLINE,
			       .nmsrs = 1,
			       .bitmap = deny_first },
	};

	return ioctl(vm_fd, KVM_X86_SET_MSR_FILTER, &filter) < 0 ? -errno : 0;
}

int vmirq_kvm_prepare_vm(int vm_fd)
{
	struct kvm_enable_cap cap = {
		.cap = KVM_CAP_X86_USER_SPACE_MSR,
		.args[0] = KVM_MSR_EXIT_REASON_INVAL | KVM_MSR_EXIT_REASON_UNKNOWN |
			   KVM_MSR_EXIT_REASON_FILTER,
	};

	if (ioctl(vm_fd, KVM_CHECK_EXTENSION, KVM_CAP_X86_USER_SPACE_MSR) <= 0 ||
	    ioctl(vm_fd, KVM_CHECK_EXTENSION, KVM_CAP_X86_MSR_FILTER) <= 0)
		return -EOPNOTSUPP;
	if (ioctl(vm_fd, KVM_ENABLE_CAP, &cap) < 0)
		return -errno;
	return deny_tsc_deadline(vm_fd);
}
