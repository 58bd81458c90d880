// SPDX-License-Identifier: MIT
/* All interrupt controllers are libvmirq's; the kernel has none. */
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

static int soft_open(struct boot *boot, const char **why)
{
	struct vmirq_vm_config config = {
		.size = sizeof(config),
		.max_vcpus = BOOT_VCPUS_MAX,
		/* What the specifications say, not where /dev/kvm leaves them, is what images
		 * test for. */
		.flags = VMIRQ_VM_PC_CHIPS | VMIRQ_VM_PIT | VMIRQ_VM_PROFILE_SPEC,
	};
	int error;

	*why = "this machine's /dev/kvm cannot hand MSRs to user space";
	error = vmirq_kvm_prepare_vm(boot->vm_fd);
	if (error)
		return error == -EOPNOTSUPP ? -ENODEV : error;
	*why = "the interrupt controllers cannot be made";
	error = vmirq_vm_create(&config, &boot->vm);
	for (uint32_t i = 0; !error && i < 2; i++)
		error = vmirq_line_source_alloc(boot->vm, &boot->source[i]);
	return error;
}

static int soft_vcpu_open(struct boot_vcpu *v)
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

static int soft_start(struct boot *boot)
{
	int error = vmirq_pump_start(vmirq_vm_pump(boot->vm));

	boot->pump_runs = !error;
	return error;
}

static void soft_stop(struct boot *boot)
{
	for (uint32_t i = 0; i < boot->config.vcpus; i++)
		vmirq_vcpu_stop(boot->vcpus[i].vcpu);
}

static int soft_bind(struct boot_vcpu *v)
{
	return vmirq_vcpu_bind_thread(v->vcpu);
}

static void soft_unbind(struct boot_vcpu *v)
{
	vmirq_vcpu_unbind_thread(v->vcpu);
}

static int soft_run(struct boot_vcpu *v)
{
	return vmirq_kvm_run(v->vcpu);
}

static void soft_line(struct boot *boot, uint32_t who, uint32_t gsi, bool level)
{
	vmirq_line_set(boot->vm, gsi, boot->source[who], level, NULL);
}

static int soft_get_irqchip(struct boot *boot, struct kvm_irqchip *state)
{
	return vmirq_vm_get_irqchip(boot->vm, state);
}

static int soft_set_irqchip(struct boot *boot, const struct kvm_irqchip *state)
{
	return vmirq_vm_set_irqchip(boot->vm, state);
}

static int soft_get_pit(struct boot *boot, struct kvm_pit_state2 *state)
{
	return vmirq_vm_get_pit2(boot->vm, state);
}

static int soft_set_pit(struct boot *boot, const struct kvm_pit_state2 *state)
{
	return vmirq_vm_set_pit2(boot->vm, state);
}

static int soft_set_lapic(struct boot_vcpu *v, const struct kvm_lapic_state *state)
{
	return vmirq_vcpu_set_lapic(v->vcpu, state);
}

static int soft_get_lapic(struct boot_vcpu *v, struct kvm_lapic_state *state)
{
	return vmirq_vcpu_get_lapic(v->vcpu, state);
}

static int soft_get_mp_state(struct boot_vcpu *v, struct kvm_mp_state *state)
{
	return vmirq_vcpu_get_mp_state(v->vcpu, state);
}

/* The vectors that were ever posted to it: a hang's story is often told by what was taken last. */
static void soft_report(struct boot_vcpu *v, FILE *to)
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

static void soft_close(struct boot *boot)
{
	if (boot->pump_runs)
		vmirq_pump_stop(vmirq_vm_pump(boot->vm));
	vmirq_vm_destroy(boot->vm);
}

const struct boot_chips boot_chips_soft = {
	.open = soft_open,
	.vcpu_open = soft_vcpu_open,
	.start = soft_start,
	.stop = soft_stop,
	.bind = soft_bind,
	.unbind = soft_unbind,
	.run = soft_run,
	.line = soft_line,
	.get_irqchip = soft_get_irqchip,
	.set_irqchip = soft_set_irqchip,
	.get_pit = soft_get_pit,
	.set_pit = soft_set_pit,
	.set_lapic = soft_set_lapic,
	.get_lapic = soft_get_lapic,
	.get_mp_state = soft_get_mp_state,
	.report = soft_report,
	.close = soft_close,
};
