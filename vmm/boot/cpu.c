// SPDX-License-Identifier: MIT
#include <errno.h>
#include <linux/kvm.h>
#include <stdlib.h>
#include <sys/ioctl.h>

#include "boot_internal.h"

#define CPUID_MAX 256

/* SDM vol. 2A, CPUID. */
#define CPUID_1_ECX_X2APIC	 (1u << 21)
#define CPUID_1_ECX_TSC_DEADLINE (1u << 24)
#define CPUID_1_EDX_APIC	 (1u << 9)
#define CPUID_KVM		 0x40000000u
#define CPUID_KVM_LAST		 0x400000ffu

#define CR0_PE			 (1ull << 0)
#define CR0_ET			 (1ull << 4)
#define RFLAGS_ALWAYS_ONE	 (1ull << 1)

#define SEGMENT_CODE		 11 /* execute, read, accessed */
#define SEGMENT_DATA		 3  /* read, write, accessed */
#define SEGMENT_BUSY_TSS	 11
#define CODE_SELECTOR		 0x08
#define DATA_SELECTOR		 0x10

static void adjust_cpuid(const struct boot_vcpu *v, struct kvm_cpuid2 *cpuid)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < cpuid->nent; i++) {
		struct kvm_cpuid_entry2 *e = &cpuid->entries[i];

		/* Nothing that QEMU's TCG machine has not; and some of KVM's own features write
		 * where only the kernel's LAPIC would look. */
		if (e->function >= CPUID_KVM && e->function <= CPUID_KVM_LAST)
			continue;
		switch (e->function) {
		case 1:
			e->ebx = (e->ebx & 0x0000ffff) | v->boot->config.vcpus << 16 |
				 v->index << 24;
			/* The kernel clears them while it has no LAPIC of its own. */
			e->ecx |= CPUID_1_ECX_X2APIC | CPUID_1_ECX_TSC_DEADLINE;
			e->edx |= CPUID_1_EDX_APIC;
			break;
		case 0xb:
		case 0x1f:
			e->edx = v->index;
			break;
		default:
			break;
		}
		cpuid->entries[kept++] = *e;
	}
	cpuid->nent = kept;
}

int boot_set_cpuid(struct boot_vcpu *v)
{
	struct kvm_cpuid2 *cpuid =
		calloc(1, sizeof(*cpuid) + CPUID_MAX * sizeof(cpuid->entries[0]));
	int error = 0;

	if (!cpuid)
		return -ENOMEM;
	cpuid->nent = CPUID_MAX;
	if (ioctl(v->boot->kvm_fd, KVM_GET_SUPPORTED_CPUID, cpuid) < 0) {
		error = -errno;
	} else {
		adjust_cpuid(v, cpuid);
		if (ioctl(v->fd, KVM_SET_CPUID2, cpuid) < 0)
			error = -errno;
	}
	free(cpuid);
	return error;
}

static int set_sregs(struct boot_vcpu *v)
{
	const struct kvm_segment code = {
		.limit = 0xffffffff,
		.selector = CODE_SELECTOR,
		.type = SEGMENT_CODE,
		.present = 1,
		.s = 1,
		.db = 1,
		.g = 1,
	};
	const struct kvm_segment data = {
		.limit = 0xffffffff,
		.selector = DATA_SELECTOR,
		.type = SEGMENT_DATA,
		.present = 1,
		.s = 1,
		.db = 1,
		.g = 1,
	};
	const struct kvm_segment tss = {
		.limit = 0x67,
		.type = SEGMENT_BUSY_TSS,
		.present = 1,
	};
	struct kvm_sregs sregs;

	if (ioctl(v->fd, KVM_GET_SREGS, &sregs) < 0)
		return -errno;
	sregs.cs = code;
	sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = data;
	sregs.tr = tss;
	/* Both tables are the image's to load; until it has, a fault is a triple fault. */
	sregs.gdt = sregs.idt = (struct kvm_dtable){ .limit = 0 };
	sregs.cr0 = CR0_PE | CR0_ET;
	sregs.cr3 = sregs.cr4 = sregs.efer = 0;
	return ioctl(v->fd, KVM_SET_SREGS, &sregs) < 0 ? -errno : 0;
}

int boot_set_entry(struct boot_vcpu *v)
{
	const struct multiboot_entry *entry = &v->boot->entry;
	const struct kvm_regs regs = {
		.rip = entry->eip,
		.rax = entry->eax,
		.rbx = entry->ebx,
		.rflags = RFLAGS_ALWAYS_ONE,
	};
	int error = set_sregs(v);

	if (error)
		return error;
	return ioctl(v->fd, KVM_SET_REGS, &regs) < 0 ? -errno : 0;
}
