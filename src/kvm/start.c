/* SPDX-License-Identifier: MIT */
/* The CPU's state after INIT and SIPI (SDM vol. 3A 9.1.4, 9.4.4), through KVM's registers. */
#include "kvm/start.h"

#include <errno.h>
#include <linux/kvm.h>
#include <string.h>
#include <sys/ioctl.h>

#define SEGMENT_CODE   0xb /* execute, read, accessed */
#define SEGMENT_DATA   0x3 /* read, write, accessed */
#define SEGMENT_LDT    0x2
#define SEGMENT_TSS    0xb
#define CR0_AFTER_INIT 0x60000010u
#define RFLAGS_FIXED   0x2u
#define EDX_AFTER_INIT 0x600u

static struct kvm_segment real_mode(uint8_t type, bool system, uint16_t selector, uint64_t base)
{
	return (struct kvm_segment){
		.base = base,
		.limit = 0xffff,
		.selector = selector,
		.type = type,
		.present = 1,
		.s = !system,
	};
}

static int set_state(int vcpu_fd, uint16_t cs, uint64_t cs_base, uint64_t rip)
{
	struct kvm_vcpu_events events = { .flags = 0 };
	struct kvm_sregs sregs;
	struct kvm_regs regs = { .rip = rip, .rflags = RFLAGS_FIXED, .rdx = EDX_AFTER_INIT };

	if (ioctl(vcpu_fd, KVM_GET_SREGS, &sregs) < 0)
		return -errno;
	sregs.cs = real_mode(SEGMENT_CODE, false, cs, cs_base);
	sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = real_mode(SEGMENT_DATA, false, 0, 0);
	sregs.ldt = real_mode(SEGMENT_LDT, true, 0, 0);
	sregs.tr = real_mode(SEGMENT_TSS, true, 0, 0);
	sregs.gdt = (struct kvm_dtable){ .limit = 0xffff };
	sregs.idt = (struct kvm_dtable){ .limit = 0xffff };
	sregs.cr0 = CR0_AFTER_INIT;
	sregs.cr2 = sregs.cr3 = sregs.cr4 = sregs.cr8 = sregs.efer = 0;
	memset(sregs.interrupt_bitmap, 0, sizeof(sregs.interrupt_bitmap));
	/* An interrupt that was injected and not taken goes too. */
	if (ioctl(vcpu_fd, KVM_SET_VCPU_EVENTS, &events) < 0 ||
	    ioctl(vcpu_fd, KVM_SET_SREGS, &sregs) < 0 || ioctl(vcpu_fd, KVM_SET_REGS, &regs) < 0)
		return -errno;
	return 0;
}

int vmirq_kvm_do_init(int vcpu_fd)
{
	return set_state(vcpu_fd, 0xf000, 0xffff0000u, 0xfff0);
}

int vmirq_kvm_do_sipi(int vcpu_fd, uint8_t page)
{
	return set_state(vcpu_fd, (uint16_t)(page << 8), (uint64_t)page << 12, 0);
}
