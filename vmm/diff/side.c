// SPDX-License-Identifier: MIT
/* A VM and its CPUs, up to what either kind of irqchip adds; and running a page. */
#include "side.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "watchdog.h"

/* guests/puppet_image.S */
extern const uint8_t puppet_image[];
extern const uint64_t puppet_image_size;

#define MEMORY_SIZE (4u << 20)
/* Three pages that Intel's processors without unrestricted guest need (KVM API 4.35). */
#define KVM_TSS_ADDRESS		 0xfffbd000ul
#define CPUID_MAX		 256

#define CPUID_1_ECX_X2APIC	 (1u << 21)
#define CPUID_1_ECX_TSC_DEADLINE (1u << 24)
#define CPUID_1_EDX_APIC	 (1u << 9)
#define CPUID_KVM		 0x40000000u
#define CPUID_KVM_LAST		 0x400000ffu

static int fail(struct side *side, int error, const char *what)
{
	if (!side->why[0])
		snprintf(side->why, sizeof(side->why), "%s: %s", what, strerror(-error));
	return error;
}

static int open_vm(struct side *side)
{
	struct kvm_userspace_memory_region region = { .memory_size = MEMORY_SIZE };
	void *memory;

	side->kvm_fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (side->kvm_fd < 0) {
		int error = -errno;

		fail(side, error, "/dev/kvm");
		return error == -EMFILE || error == -ENFILE || error == -ENOMEM ? error : -ENODEV;
	}
	/* The watchdog's signal may come in the middle of it. */
	do
		side->vm_fd = ioctl(side->kvm_fd, KVM_CREATE_VM, 0);
	while (side->vm_fd < 0 && errno == EINTR);
	if (side->vm_fd < 0)
		return fail(side, -errno, "KVM_CREATE_VM");
	side->run_size = ioctl(side->kvm_fd, KVM_GET_VCPU_MMAP_SIZE, 0);
	memory =
		mmap(NULL, MEMORY_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (side->run_size < 0 || memory == MAP_FAILED)
		return fail(side, -errno, "memory");
	side->memory = memory;
	region.userspace_addr = (uintptr_t)memory;
	if (ioctl(side->kvm_fd, KVM_CHECK_EXTENSION, KVM_CAP_SET_TSS_ADDR) > 0 &&
	    ioctl(side->vm_fd, KVM_SET_TSS_ADDR, KVM_TSS_ADDRESS) < 0)
		return fail(side, -errno, "KVM_SET_TSS_ADDR");
	if (ioctl(side->vm_fd, KVM_SET_USER_MEMORY_REGION, &region) < 0)
		return fail(side, -errno, "KVM_SET_USER_MEMORY_REGION");
	return 0;
}

/* The same for both: only the irqchip is to differ. */
static void adjust_cpuid(struct kvm_cpuid2 *cpuid, uint32_t apic_id)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < cpuid->nent; i++) {
		struct kvm_cpuid_entry2 *e = &cpuid->entries[i];

		if (e->function >= CPUID_KVM && e->function <= CPUID_KVM_LAST)
			continue;
		if (e->function == 1) {
			e->ebx = (e->ebx & 0x00ffffff) | apic_id << 24;
			e->ecx |= CPUID_1_ECX_X2APIC | CPUID_1_ECX_TSC_DEADLINE;
			e->edx |= CPUID_1_EDX_APIC;
		} else if (e->function == 0xb || e->function == 0x1f) {
			e->edx = apic_id;
		}
		cpuid->entries[kept++] = *e;
	}
	cpuid->nent = kept;
}

static int set_cpuid(struct side *side, const struct side_vcpu *v)
{
	struct kvm_cpuid2 *cpuid =
		calloc(1, sizeof(*cpuid) + CPUID_MAX * sizeof(cpuid->entries[0]));
	int error = 0;

	if (!cpuid)
		return -ENOMEM;
	cpuid->nent = CPUID_MAX;
	if (ioctl(side->kvm_fd, KVM_GET_SUPPORTED_CPUID, cpuid) < 0) {
		error = -errno;
	} else {
		adjust_cpuid(cpuid, v->apic_id);
		if (ioctl(v->fd, KVM_SET_CPUID2, cpuid) < 0)
			error = -errno;
	}
	free(cpuid);
	return error;
}

static int open_vcpu(struct side *side, uint32_t index)
{
	struct side_vcpu *v = &side->vcpu[index];
	void *run;
	int error;

	v->apic_id = side->config.apic_id[index];
	v->page = (struct puppet_page *)(void *)(side->memory + PUPPET_PAGES_GPA + index * 4096u);
	v->fd = ioctl(side->vm_fd, KVM_CREATE_VCPU, (unsigned long)v->apic_id);
	if (v->fd < 0)
		return fail(side, -errno, "KVM_CREATE_VCPU");
	run = mmap(NULL, (size_t)side->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, v->fd, 0);
	if (run == MAP_FAILED)
		return fail(side, -errno, "kvm_run");
	v->run = run;
	error = set_cpuid(side, v);
	if (error)
		return fail(side, error, "KVM_SET_CPUID2");
	error = side_set_registers(side, v);
	if (error)
		return fail(side, error, "the puppet's registers");
	error = side->ops->vcpu_open(side, v, index);
	if (error)
		return fail(side, error, "the vCPU's irqchip");
	v->apic_base = side->ops->apic_base(v);
	return 0;
}

int side_open(struct side *side, const struct side_config *config)
{
	int error;

	memset(side, 0, sizeof(*side));
	side->config = *config;
	side->ops = config->kind == SIDE_SOFT ? &side_soft : &side_kernel;
	side->kvm_fd = side->vm_fd = side->other_vm_fd = -1;
	for (uint32_t i = 0; i < SIDE_VCPUS; i++)
		side->vcpu[i].fd = -1;
	error = open_vm(side);
	if (!error) {
		memcpy(side->memory + PUPPET_IMAGE_GPA, puppet_image, puppet_image_size);
		side_write_tables(side->memory);
		error = side->ops->prepare(side);
		if (error)
			fail(side, error, "the VM's irqchip");
	}
	for (uint32_t i = 0; i < SIDE_VCPUS && !error; i++)
		error = open_vcpu(side, i);
	if (error)
		side_close(side);
	return error;
}

void side_close(struct side *side)
{
	side->ops->close(side);
	for (uint32_t i = 0; i < SIDE_VCPUS; i++) {
		if (side->vcpu[i].run)
			munmap(side->vcpu[i].run, (size_t)side->run_size);
		if (side->vcpu[i].fd >= 0)
			close(side->vcpu[i].fd);
		side->vcpu[i].run = NULL;
		side->vcpu[i].fd = -1;
	}
	if (side->vm_fd >= 0)
		close(side->vm_fd);
	if (side->other_vm_fd >= 0)
		close(side->other_vm_fd);
	if (side->kvm_fd >= 0)
		close(side->kvm_fd);
	if (side->memory)
		munmap(side->memory, MEMORY_SIZE);
	side->vm_fd = side->kvm_fd = side->other_vm_fd = -1;
	side->memory = NULL;
}

/* 1: the batch is done; 0: go on. */
static int handle_port(struct side *side, const struct side_vcpu *v)
{
	struct kvm_run *run = v->run;
	uint8_t *data = (uint8_t *)run + run->io.data_offset;
	bool out = run->io.direction == KVM_EXIT_IO_OUT;

	if (run->io.port == PUPPET_PORT && out) {
		if (*data == PUPPET_SAYS_DONE)
			return 1;
		snprintf(side->why, sizeof(side->why), "the puppet took an exception");
		return -EIO;
	}
	if (!side->ops->pio || side->ops->pio(side, run->io.port, data, run->io.size, out))
		if (!out)
			memset(data, 0xff, run->io.size);
	return 0;
}

static void handle_memory(struct side *side, const struct side_vcpu *v)
{
	struct kvm_run *run = v->run;
	uint32_t len = run->mmio.len < 8 ? run->mmio.len : 8;

	if (!side->ops->mmio ||
	    side->ops->mmio(side, run->mmio.phys_addr, run->mmio.data, len, run->mmio.is_write))
		if (!run->mmio.is_write)
			memset(run->mmio.data, 0xff, sizeof(run->mmio.data));
}

static int handle_exit(struct side *side, const struct side_vcpu *v)
{
	struct kvm_run *run = v->run;

	switch (run->exit_reason) {
	case KVM_EXIT_IO:
		return handle_port(side, v);
	case KVM_EXIT_MMIO:
		handle_memory(side, v);
		return 0;
	case KVM_EXIT_X86_RDMSR:
	case KVM_EXIT_X86_WRMSR:
		run->msr.error = 1;
		return 0;
	default:
		snprintf(side->why, sizeof(side->why),
			 "the puppet ended in KVM exit %u (suberror %u)", run->exit_reason,
			 run->exit_reason == KVM_EXIT_INTERNAL_ERROR ? run->internal.suberror : 0);
		return -EIO;
	}
}

int side_run(struct side *side, uint32_t vcpu)
{
	struct side_vcpu *v = &side->vcpu[vcpu];
	int ret;

	watchdog_start(v->vcpu);
	do {
		ret = side->ops->enter(side, v);
		if (ret == -EINTR && !watchdog_barked())
			ret = 0;
		else if (ret == -EINTR)
			snprintf(side->why, sizeof(side->why), "the puppet is stuck");
		else if (ret)
			snprintf(side->why, sizeof(side->why), "KVM_RUN: %s", strerror(-ret));
		else
			ret = handle_exit(side, v);
	} while (!ret);
	watchdog_stop();
	v->apic_base = side->ops->apic_base(v);
	return ret < 0 ? -EIO : 0;
}
