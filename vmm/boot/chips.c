// SPDX-License-Identifier: MIT
/* The interrupt controllers, by libvmirq's calls, wherever they are. */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <vmirq/irqfd.h>
#include <vmirq/kvm_run.h>
#include <vmirq/line.h>
#include <vmirq/observe.h>
#include <vmirq/state.h>
#include <vmirq/vcpu.h>
#include <vmirq/vm.h>

#include "boot_internal.h"

int boot_chips_open(struct boot *boot, const char **why)
{
	bool soft = boot->config.irqchip == VMIRQ_IRQCHIP_SOFT;
	struct vmirq_vm_config config = {
		.size = sizeof(config),
		.irqchip = boot->config.irqchip,
		.max_vcpus = BOOT_VCPUS_MAX,
		/* What the specifications say, not where /dev/kvm leaves them, is what images
		 * test for. */
		.flags = VMIRQ_VM_PC_CHIPS | VMIRQ_VM_PIT | (soft ? VMIRQ_VM_PROFILE_SPEC : 0),
		.kvm_vm_fd = boot->vm_fd,
	};
	int error = 0;

	*why = "this machine's /dev/kvm cannot hand MSRs to user space";
	if (soft)
		error = vmirq_kvm_prepare_vm(boot->vm_fd);
	if (error)
		return error == -EOPNOTSUPP ? -ENODEV : error;
	*why = soft ? "the interrupt controllers cannot be made"
		    : "this machine's /dev/kvm cannot make such interrupt controllers";
	error = vmirq_vm_create(&config, &boot->vm);
	if (!soft && error == -EOPNOTSUPP)
		return -ENODEV;
	for (uint32_t i = 0; !error && i < 2; i++)
		error = vmirq_line_source_alloc(boot->vm, &boot->source[i]);
	return error;
}

int boot_chips_vcpu_open(struct boot_vcpu *v)
{
	struct vmirq_vcpu_config config = {
		.size = sizeof(config),
		.index = v->index,
		.apic_id = v->index,
		.flags = v->index ? VMIRQ_VCPU_WAIT_FOR_SIPI : 0,
		.kick_signal = BOOT_KICK_SIGNAL,
		.kvm_run = v->run,
		.kvm_vcpu_fd = v->fd,
	};

	return vmirq_vcpu_create(v->boot->vm, &config, &v->vcpu);
}

int boot_chips_start(struct boot *boot)
{
	int error = vmirq_pump_start(vmirq_vm_pump(boot->vm));

	boot->pump_runs = !error;
	return error;
}

void boot_chips_stop(struct boot *boot)
{
	for (uint32_t i = 0; i < boot->config.vcpus; i++)
		vmirq_vcpu_stop(boot->vcpus[i].vcpu);
}

void boot_line(struct boot *boot, uint32_t who, uint32_t gsi, bool level)
{
	vmirq_line_set(boot->vm, gsi, boot->source[who], level, NULL);
}

/* The vectors that were ever posted to it: a hang's story is often told by what was taken last. */
void boot_chips_report(struct boot_vcpu *v, FILE *to)
{
	for (uint32_t vector = 0; vector < 256; vector++) {
		struct vmirq_vector_counts counts = { .size = sizeof(counts) };

		if (vmirq_vector_counts(v->vcpu, vector, &counts) || !counts.posted)
			continue;
		fprintf(to, "    vector %#x: posted %llu, merged %llu, taken %llu, reset %llu",
			vector, (unsigned long long)counts.posted,
			(unsigned long long)counts.merged, (unsigned long long)counts.taken,
			(unsigned long long)counts.reset);
		fprintf(to, ", pending %llu\n", (unsigned long long)counts.pending);
	}
}

void boot_chips_close(struct boot *boot)
{
	if (boot->pump_runs)
		vmirq_pump_stop(vmirq_vm_pump(boot->vm));
	vmirq_vm_destroy(boot->vm);
}
