// SPDX-License-Identifier: MIT
/* The exits that are the VMM's own: ports, memory nobody has, and the ways a guest dies. */
#include <errno.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#include "vmm_internal.h"

/* A 16550 that is always ready to send (line status: transmitter empty). */
#define SERIAL_LINE_STATUS (GUEST_PORT_SERIAL + 5)
#define SERIAL_READY	   0x60

static uint64_t guest_rip(const struct vmm_vcpu *v)
{
	struct kvm_regs regs;

	return ioctl(v->fd, KVM_GET_REGS, &regs) < 0 ? 0 : regs.rip;
}

static void serial_write(struct vmm *vmm, uint8_t byte)
{
	pthread_mutex_lock(&vmm->serial_lock);
	if (byte != '\n')
		vmm->serial[vmm->serial_length++] = (char)byte;
	if (byte == '\n' || vmm->serial_length == sizeof(vmm->serial)) {
		fprintf(stderr, "guest: %.*s\n", (int)vmm->serial_length, vmm->serial);
		vmm->serial_length = 0;
	}
	pthread_mutex_unlock(&vmm->serial_lock);
}

static void report_panic(struct vmm_vcpu *v)
{
	const struct guest_panic *panic = &v->vmm->page->panic[v->index];

	/* acquire: pairs with the release in guest_panic() */
	if (!atomic_load_explicit(&panic->valid, memory_order_acquire)) {
		vmm_fail(v->vmm, -EIO, "vCPU %u: the guest gave up at rip %#llx", v->index,
			 (unsigned long long)guest_rip(v));
		return;
	}
	vmm_fail(v->vmm, -EIO,
		 "vCPU %u: guest exception %llu, error code %#llx, rip %#llx, address %#llx",
		 v->index,
		 (unsigned long long)atomic_load_explicit(&panic->vector, memory_order_relaxed),
		 (unsigned long long)atomic_load_explicit(&panic->error_code, memory_order_relaxed),
		 (unsigned long long)atomic_load_explicit(&panic->rip, memory_order_relaxed),
		 (unsigned long long)atomic_load_explicit(&panic->address, memory_order_relaxed));
}

static bool port_io(struct vmm_vcpu *v)
{
	struct kvm_run *run = v->run;
	uint8_t *data = (uint8_t *)run + run->io.data_offset;
	size_t length = (size_t)run->io.size * run->io.count;

	if (run->io.direction == KVM_EXIT_IO_IN) {
		memset(data, run->io.port == SERIAL_LINE_STATUS ? SERIAL_READY : 0xff, length);
		return true;
	}
	switch (run->io.port) {
	case GUEST_PORT_PANIC:
		report_panic(v);
		return false;
	case GUEST_PORT_SERIAL:
		for (size_t i = 0; i < length; i += run->io.size)
			serial_write(v->vmm, data[i]);
		return true;
	default:
		return true;
	}
}

static void mmio(struct vmm_vcpu *v)
{
	struct kvm_run *run = v->run;
	struct vmm *vmm = v->vmm;
	/* acquire: pairs with the release in vmm_add_mmio() */
	uint32_t n = atomic_load_explicit(&vmm->mmios, memory_order_acquire);

	if (!run->mmio.is_write)
		memset(run->mmio.data, 0xff, sizeof(run->mmio.data));
	for (uint32_t i = 0; i < n; i++) {
		const struct vmm_mmio *m = &vmm->mmio[i];

		if (run->mmio.phys_addr - m->gpa < m->size) {
			m->fn(m->opaque, run->mmio.phys_addr - m->gpa, run->mmio.data,
			      run->mmio.len, run->mmio.is_write);
			return;
		}
	}
}

bool vmm_kvm_exit(struct vmm_vcpu *v)
{
	struct kvm_run *run = v->run;
	unsigned int reason = run->exit_reason;
	unsigned long long rip;

	switch (reason) {
	case KVM_EXIT_IO:
		return port_io(v);
	case KVM_EXIT_MMIO:
		mmio(v);
		return true;
	case KVM_EXIT_X86_RDMSR:
	case KVM_EXIT_X86_WRMSR:
		run->msr.error = 1; /* #GP: an MSR that nobody has */
		return true;
	default:
		break;
	}

	rip = guest_rip(v);
	switch (reason) {
	case KVM_EXIT_SHUTDOWN:
		vmm_fail(v->vmm, -EIO, "vCPU %u: triple fault at rip %#llx", v->index, rip);
		break;
	case KVM_EXIT_FAIL_ENTRY:
		vmm_fail(v->vmm, -EIO, "vCPU %u: entry refused at rip %#llx, hardware reason %#llx",
			 v->index, rip,
			 (unsigned long long)run->fail_entry.hardware_entry_failure_reason);
		break;
	case KVM_EXIT_INTERNAL_ERROR:
		vmm_fail(v->vmm, -EIO, "vCPU %u: KVM internal error %u at rip %#llx", v->index,
			 run->internal.suberror, rip);
		break;
	default:
		vmm_fail(v->vmm, -EIO, "vCPU %u: unexpected exit %u at rip %#llx", v->index, reason,
			 rip);
		break;
	}
	return false;
}
