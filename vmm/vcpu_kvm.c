// SPDX-License-Identifier: MIT
/* The KVM back end: /dev/kvm without the kernel's irqchip. */
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>
#include <vmirq/kvm_run.h>

#include "vmm_internal.h"

#define KICK_SIGNAL SIGUSR1

#define CPUID_MAX   256

/* SDM vol. 2A, CPUID. */
#define CPUID_1_ECX_X2APIC	 (1u << 21)
#define CPUID_1_ECX_TSC_DEADLINE (1u << 24)
#define CPUID_1_EDX_APIC	 (1u << 9)
#define CPUID_KVM		 0x40000000u
#define CPUID_KVM_LAST		 0x400000ffu

/* Where Intel's processors without unrestricted guest keep three pages of KVM's own (KVM API 4.35);
 * far above guest memory and clear of the local APIC. */
#define KVM_TSS_ADDRESS 0xfffbd000ul

static void on_kick(int signal)
{
	(void)signal;
}

static int open_kvm(const char **why)
{
	int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);

	if (fd >= 0)
		return fd;
	*why = "/dev/kvm cannot be opened";
	if (errno == EMFILE || errno == ENFILE || errno == ENOMEM)
		return -errno;
	*why = errno == EACCES || errno == EPERM ? "no permission to use /dev/kvm"
						 : "this machine has no /dev/kvm";
	return -ENODEV;
}

static bool has_capabilities(int kvm_fd)
{
	static const int needed[] = { KVM_CAP_USER_MEMORY, KVM_CAP_EXT_CPUID,
				      KVM_CAP_IMMEDIATE_EXIT };

	if (ioctl(kvm_fd, KVM_GET_API_VERSION, 0) != KVM_API_VERSION)
		return false;
	for (size_t i = 0; i < sizeof(needed) / sizeof(needed[0]); i++)
		if (ioctl(kvm_fd, KVM_CHECK_EXTENSION, needed[i]) <= 0)
			return false;
	return true;
}

static int open_vm(struct vmm *vmm, const char **why)
{
	const struct kvm_userspace_memory_region region = {
		.memory_size = vmm->memory.size,
		.userspace_addr = (uintptr_t)vmm->memory.base,
	};
	int err;

	*why = "KVM_CREATE_VM failed";
	vmm->vm_fd = ioctl(vmm->kvm_fd, KVM_CREATE_VM, 0);
	if (vmm->vm_fd < 0)
		return -errno;
	*why = "KVM refused the guest's memory";
	if (ioctl(vmm->kvm_fd, KVM_CHECK_EXTENSION, KVM_CAP_SET_TSS_ADDR) > 0 &&
	    ioctl(vmm->vm_fd, KVM_SET_TSS_ADDR, KVM_TSS_ADDRESS) < 0)
		return -errno;
	if (ioctl(vmm->vm_fd, KVM_SET_USER_MEMORY_REGION, &region) < 0)
		return -errno;
	if (vmm->config.irqchip != VMIRQ_IRQCHIP_SOFT)
		return 0;
	*why = "this machine's /dev/kvm cannot hand MSRs to user space";
	err = vmirq_kvm_prepare_vm(vmm->vm_fd);
	return err == -EOPNOTSUPP ? -ENODEV : err;
}

static int kvm_open(struct vmm *vmm, const char **why)
{
	/* No SA_RESTART: the signal is to end KVM_RUN. It stays: all VMMs of a process share it. */
	const struct sigaction kick = { .sa_handler = on_kick };
	int err;

	vmm->kvm_fd = open_kvm(why);
	if (vmm->kvm_fd < 0)
		return vmm->kvm_fd;
	*why = "this machine's /dev/kvm is too old";
	if (!has_capabilities(vmm->kvm_fd))
		return -ENODEV;
	vmm->run_size = ioctl(vmm->kvm_fd, KVM_GET_VCPU_MMAP_SIZE, 0);
	if (vmm->run_size < 0)
		return -errno;
	err = open_vm(vmm, why);
	if (err)
		return err;
	*why = "the kick signal cannot be taken";
	if (sigaction(KICK_SIGNAL, &kick, NULL) < 0)
		return -errno;
	return vmm_load_guest(vmm, why);
}

static void adjust_cpuid(struct kvm_cpuid2 *cpuid, uint32_t apic_id)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < cpuid->nent; i++) {
		struct kvm_cpuid_entry2 *e = &cpuid->entries[i];

		/* Some of KVM's own features write where only the kernel's LAPIC would look. */
		if (e->function >= CPUID_KVM && e->function <= CPUID_KVM_LAST)
			continue;
		switch (e->function) {
		case 1:
			e->ebx = (e->ebx & 0x00ffffff) | apic_id << 24;
			/* The kernel clears it while it has no LAPIC of its own. */
			e->ecx |= CPUID_1_ECX_X2APIC | CPUID_1_ECX_TSC_DEADLINE;
			e->edx |= CPUID_1_EDX_APIC;
			break;
		case 0xb:
		case 0x1f:
			e->edx = apic_id;
			break;
		default:
			break;
		}
		cpuid->entries[kept++] = *e;
	}
	cpuid->nent = kept;
}

static int set_cpuid(struct vmm_vcpu *v, uint32_t apic_id)
{
	struct kvm_cpuid2 *cpuid =
		calloc(1, sizeof(*cpuid) + CPUID_MAX * sizeof(cpuid->entries[0]));
	int err = 0;

	if (!cpuid)
		return -ENOMEM;
	cpuid->nent = CPUID_MAX;
	if (ioctl(v->vmm->kvm_fd, KVM_GET_SUPPORTED_CPUID, cpuid) < 0) {
		err = -errno;
	} else {
		adjust_cpuid(cpuid, apic_id);
		if (ioctl(v->fd, KVM_SET_CPUID2, cpuid) < 0)
			err = -errno;
	}
	free(cpuid);
	return err;
}

/* The kernel's local APICs have all CPUs but the first wait for INIT and SIPI. */
static int set_runnable(struct vmm_vcpu *v)
{
	struct kvm_mp_state state = { .mp_state = KVM_MP_STATE_RUNNABLE };

	if (v->vmm->config.irqchip == VMIRQ_IRQCHIP_SOFT)
		return 0;
	return ioctl(v->fd, KVM_SET_MP_STATE, &state) < 0 ? -errno : 0;
}

static int kvm_vcpu_open(struct vmm_vcpu *v, const char **why)
{
	struct vmirq_vcpu_config config = {
		.size = sizeof(config),
		.index = v->index,
		.apic_id = v->index,
		.kick_signal = KICK_SIGNAL,
		.poll_ns = v->vmm->config.poll_ns,
	};
	void *run;
	int err;

	*why = "KVM_CREATE_VCPU failed";
	v->fd = ioctl(v->vmm->vm_fd, KVM_CREATE_VCPU, (unsigned long)v->index);
	if (v->fd < 0)
		return -errno;
	run = mmap(NULL, (size_t)v->vmm->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, v->fd, 0);
	if (run == MAP_FAILED)
		return -errno;
	v->run = run;
	*why = "KVM refused the CPUID";
	err = set_cpuid(v, config.apic_id);
	if (err)
		return err;
	*why = "KVM refused the registers";
	err = vmm_set_boot_registers(v);
	if (!err)
		err = set_runnable(v);
	if (err)
		return err;
	*why = "the vCPU cannot be made";
	config.kvm_run = v->run;
	config.kvm_vcpu_fd = v->fd;
	return vmirq_vcpu_create(v->vmm->vm, &config, &v->vcpu);
}

static void kvm_vcpu_run(struct vmm_vcpu *v)
{
	sigset_t kick;
	int err;

	sigemptyset(&kick);
	sigaddset(&kick, KICK_SIGNAL);
	pthread_sigmask(SIG_UNBLOCK, &kick, NULL);
	do {
		err = vmirq_kvm_run(v->vcpu);
	} while (err == -EINTR || (err == 0 && vmm_kvm_exit(v)));
	if (err != 0 && err != -ECANCELED)
		vmm_fail(v->vmm, err, "vCPU %u: KVM_RUN failed with errno %d", v->index, -err);
}

static void kvm_vcpu_close(struct vmm_vcpu *v)
{
	if (v->run)
		munmap(v->run, (size_t)v->vmm->run_size);
	if (v->fd >= 0)
		close(v->fd);
}

static void kvm_close(struct vmm *vmm)
{
	if (vmm->vm_fd >= 0)
		close(vmm->vm_fd);
	if (vmm->kvm_fd >= 0)
		close(vmm->kvm_fd);
}

const struct vmm_cpu_ops vmm_cpu_kvm = {
	.open = kvm_open,
	.vcpu_open = kvm_vcpu_open,
	.vcpu_run = kvm_vcpu_run,
	.vcpu_close = kvm_vcpu_close,
	.close = kvm_close,
};
