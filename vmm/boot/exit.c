// SPDX-License-Identifier: MIT
/* The exits that are the VMM's own: devices' ports and memory, and the ways a guest dies. */
#include <linux/kvm.h>
#include <string.h>
#include <sys/ioctl.h>

#include "boot_internal.h"
#include "pc/pc.h"

static void port_io(struct boot_vcpu *v)
{
	struct kvm_run *run = v->run;
	uint8_t *data = (uint8_t *)run + run->io.data_offset;
	bool out = run->io.direction == KVM_EXIT_IO_OUT;

	/* Of string instructions the kernel gives as many as it has gathered, all at one port. */
	for (uint32_t i = 0; i < run->io.count; i++, data += run->io.size)
		if (!pc_pio(v->boot->pc, run->io.port, data, run->io.size, out) && !out)
			memset(data, 0xff, run->io.size);
}

static void mmio(struct boot_vcpu *v)
{
	struct kvm_run *run = v->run;

	if (!pc_mmio(v->boot->pc, run->mmio.phys_addr, run->mmio.data, run->mmio.len,
		     run->mmio.is_write) &&
	    !run->mmio.is_write)
		memset(run->mmio.data, 0xff, sizeof(run->mmio.data));
}

bool boot_exit(struct boot_vcpu *v)
{
	struct kvm_run *run = v->run;

	switch (run->exit_reason) {
	case KVM_EXIT_IO:
		port_io(v);
		return true;
	case KVM_EXIT_MMIO:
		mmio(v);
		return true;
	case KVM_EXIT_X86_RDMSR:
	case KVM_EXIT_X86_WRMSR:
		run->msr.error = 1; /* #GP: an MSR that nobody has */
		return true;
	case KVM_EXIT_SHUTDOWN:
		boot_end_with(v->boot, BOOT_DIED, 0, "vCPU %u: triple fault", v->index);
		return false;
	case KVM_EXIT_FAIL_ENTRY:
		boot_end_with(v->boot, BOOT_DIED, 0,
			      "vCPU %u: entry refused, hardware reason %#llx", v->index,
			      (unsigned long long)run->fail_entry.hardware_entry_failure_reason);
		return false;
	case KVM_EXIT_INTERNAL_ERROR:
		boot_end_with(v->boot, BOOT_DIED, 0, "vCPU %u: KVM internal error %u%s", v->index,
			      run->internal.suberror,
			      run->internal.suberror == KVM_INTERNAL_ERROR_EMULATION
				      ? " (an instruction it cannot emulate)"
				      : "");
		return false;
	default:
		boot_end_with(v->boot, BOOT_DIED, 0, "vCPU %u: an exit nobody handles, reason %u",
			      v->index, run->exit_reason);
		return false;
	}
}
