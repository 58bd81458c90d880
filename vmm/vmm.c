// SPDX-License-Identifier: MIT
/* Putting a VMM together, starting, stopping and taking it apart. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <vmirq/irqfd.h>

#include "vmm_internal.h"

#define MEMORY_DEFAULT	 (16ull << 20)
#define MEMORY_MIN	 (8ull << 20)
#define MEMORY_MAX	 (1ull << 30) /* what the guest's page tables cover */

#define START_TIMEOUT_NS 10000000000ull
#define START_POLL_NS	 200000

static int check_config(const struct vmm_config *config, const char **why)
{
	*why = "vCPUs must be 1 to 64";
	if (config->vcpus < 1 || config->vcpus > GUEST_MAX_CPUS)
		return -EINVAL;
	*why = "guest memory must be 8 MiB to 1 GiB, in whole pages";
	if (config->memory &&
	    (config->memory < MEMORY_MIN || config->memory > MEMORY_MAX || config->memory % 4096))
		return -EINVAL;
	*why = "unknown CPU back end";
	if (config->cpu != VMM_CPU_KVM && config->cpu != VMM_CPU_THREADS)
		return -EINVAL;
	*why = "the kernel's irqchips want the kernel's vCPUs";
	if (config->cpu != VMM_CPU_KVM && config->irqchip != VMIRQ_IRQCHIP_SOFT)
		return -EINVAL;
	return 0;
}

static int open_all(struct vmm *vmm, const char **why)
{
	struct vmirq_vm_config vm = {
		.size = sizeof(vm),
		.irqchip = vmm->config.irqchip,
		.max_vcpus = GUEST_MAX_CPUS,
		.flags = vmm->config.chips ? VMIRQ_VM_PC_CHIPS : 0,
		.without = vmm->config.without,
	};
	int err;

	*why = "no memory for the guest";
	err = vmm_memory_open(&vmm->memory,
			      vmm->config.memory ? vmm->config.memory : MEMORY_DEFAULT);
	if (err)
		return err;
	vmm_write_guest_page(vmm);
	err = vmm->ops->open(vmm, why);
	if (err)
		return err;
	*why = "the VM's interrupt domain cannot be made";
	vm.kvm_vm_fd = vmm->vm_fd > 0 ? vmm->vm_fd : 0;
	err = vmirq_vm_create(&vm, &vmm->vm);
	for (uint32_t i = 0; !err && i < vmm->config.vcpus; i++)
		err = vmm->ops->vcpu_open(&vmm->vcpus[i], why);
	return err;
}

int vmm_create(const struct vmm_config *config, struct vmm **out, const char **why)
{
	const char *unused;
	struct vmm *vmm;
	int err;

	if (!why)
		why = &unused;
	err = check_config(config, why);
	if (err)
		return err;
	*why = "out of memory";
	vmm = calloc(1, sizeof(*vmm));
	if (!vmm)
		return -ENOMEM;
	vmm->config = *config;
	vmm->ops = config->cpu == VMM_CPU_KVM ? &vmm_cpu_kvm : &vmm_cpu_threads;
	vmm->kvm_fd = -1;
	vmm->vm_fd = -1;
	pthread_mutex_init(&vmm->serial_lock, NULL);
	pthread_mutex_init(&vmm->fail_lock, NULL);
	for (uint32_t i = 0; i < GUEST_MAX_CPUS; i++) {
		vmm->vcpus[i].vmm = vmm;
		vmm->vcpus[i].index = i;
		vmm->vcpus[i].fd = -1;
	}
	err = open_all(vmm, why);
	if (err) {
		vmm_destroy(vmm);
		return err;
	}
	*out = vmm;
	return 0;
}

static void *vcpu_thread(void *opaque)
{
	struct vmm_vcpu *v = opaque;
	int err = vmirq_vcpu_bind_thread(v->vcpu);

	if (err) {
		vmm_fail(v->vmm, err, "vCPU %u: its thread cannot be bound", v->index);
		return NULL;
	}
	v->vmm->ops->vcpu_run(v);
	vmirq_vcpu_unbind_thread(v->vcpu);
	return NULL;
}

static int start_threads(struct vmm *vmm)
{
	sigset_t all;
	sigset_t before;
	int err = 0;

	/* The caller's signals are the caller's: no vCPU thread takes one but for its kicks. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	for (uint32_t i = 0; !err && i < vmm->config.vcpus; i++) {
		struct vmm_vcpu *v = &vmm->vcpus[i];

		err = -pthread_create(&v->thread, NULL, vcpu_thread, v);
		v->has_thread = !err;
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return err;
}

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000ull + (uint64_t)now.tv_nsec;
}

static int wait_ready(struct vmm *vmm, uint32_t index, uint64_t deadline, const char **why)
{
	const struct timespec pause = { .tv_nsec = START_POLL_NS };
	int err;

	/* acquire: pairs with the release of the guest's CPU, once it is set up */
	while (!atomic_load_explicit(&vmm->page->ready[index], memory_order_acquire)) {
		err = vmm_failed(vmm, why);
		if (err)
			return err;
		if (now_ns() > deadline) {
			snprintf(vmm->start_why, sizeof(vmm->start_why),
				 "vCPU %u: the guest did not start within 10 seconds", index);
			*why = vmm->start_why;
			return -ETIMEDOUT;
		}
		nanosleep(&pause, NULL);
	}
	return 0;
}

int vmm_start(struct vmm *vmm, const char **why)
{
	const char *unused;
	uint64_t deadline;
	int err;

	if (!why)
		why = &unused;
	*why = "it has been started already";
	if (vmm->started)
		return -EALREADY;
	vmm->started = true;
	*why = "the pump's thread cannot be started";
	err = vmirq_pump_start(vmirq_vm_pump(vmm->vm));
	if (err)
		return err;
	vmm->pump_running = true;
	*why = "a vCPU's thread cannot be started";
	err = start_threads(vmm);
	deadline = now_ns() + START_TIMEOUT_NS;
	for (uint32_t i = 0; !err && i < vmm->config.vcpus; i++)
		err = wait_ready(vmm, i, deadline, why);
	if (err)
		vmm_stop(vmm, NULL);
	return err;
}

int vmm_stop(struct vmm *vmm, const char **why)
{
	for (uint32_t i = 0; i < vmm->config.vcpus; i++) {
		struct vmm_vcpu *v = &vmm->vcpus[i];

		if (!v->has_thread)
			continue;
		vmirq_vcpu_stop(v->vcpu);
		pthread_join(v->thread, NULL);
		v->has_thread = false;
	}
	if (vmm->pump_running) {
		vmirq_pump_stop(vmirq_vm_pump(vmm->vm));
		vmm->pump_running = false;
	}
	return vmm_failed(vmm, why) ? -EIO : 0;
}

void vmm_destroy(struct vmm *vmm)
{
	if (!vmm)
		return;
	vmm_stop(vmm, NULL);
	/* First, so that no kick can reach a kvm_run that is gone. */
	vmirq_vm_destroy(vmm->vm);
	for (uint32_t i = 0; i < vmm->config.vcpus; i++)
		vmm->ops->vcpu_close(&vmm->vcpus[i]);
	vmm->ops->close(vmm);
	vmm_memory_close(&vmm->memory);
	pthread_mutex_destroy(&vmm->serial_lock);
	pthread_mutex_destroy(&vmm->fail_lock);
	free(vmm);
}

struct vmirq_vm *vmm_vm(struct vmm *vmm)
{
	return vmm->vm;
}

uint64_t vmm_handled(struct vmm *vmm, uint32_t vcpu, uint32_t vector)
{
	if (vcpu >= vmm->config.vcpus || vector > 255)
		return 0;
	/* acquire: pairs with the release in take_interrupt(); the guest's CPU stores in order */
	return atomic_load_explicit(&vmm->page->handled[vcpu][vector], memory_order_acquire);
}

void vmm_set_handler(struct vmm *vmm, uint32_t vector, void (*fn)(void *opaque, uint32_t vcpu),
		     void *opaque)
{
	if (vector < 256)
		vmm->handlers[vector] = (struct vmm_handler){ .fn = fn, .opaque = opaque };
}

struct guest_page *vmm_guest_page(struct vmm *vmm)
{
	return vmm->page;
}

bool vmm_runs_code(const struct vmm *vmm)
{
	return vmm->config.cpu == VMM_CPU_KVM;
}

int vmm_add_mmio(struct vmm *vmm, uint64_t gpa, uint64_t size, vmm_mmio_fn *fn, void *opaque)
{
	uint32_t n = atomic_load_explicit(&vmm->mmios, memory_order_relaxed);

	if (n == VMM_MMIO_MAX)
		return -ENOSPC;
	vmm->mmio[n] = (struct vmm_mmio){ gpa, size, fn, opaque };
	/* release: pairs with the acquire of a vCPU that looks for it */
	atomic_store_explicit(&vmm->mmios, n + 1, memory_order_release);
	return 0;
}
