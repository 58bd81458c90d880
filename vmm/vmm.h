/* SPDX-License-Identifier: MIT */
/**
 * @file vmm.h
 * A small VMM for `vmirq run` and the tests: guest memory, vCPU loops, our own guest.
 *
 * Two CPU back ends run the same guest contract (struct guest_page): /dev/kvm without the kernel's
 * irqchip, and plain threads, where a table of C handlers stands for the guest and takes, runs and
 * EOIs through the same public entry points (vmirq_vcpu_step, _ack, _mmio or _wrmsr).
 */
#ifndef VMM_H
#define VMM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <vmirq/vm.h>

struct vmm;
struct guest_page;

enum vmm_cpu { VMM_CPU_THREADS, VMM_CPU_KVM };

struct vmm_config {
	enum vmm_cpu cpu;
	uint32_t vcpus;		 /* 1..64 */
	size_t memory;		 /* bytes, 0 = 16 MiB; 8 MiB to 1 GiB in whole pages */
	const char *guest_image; /* a flat image in place of the built-in one, or NULL; KVM only */
	bool busy;		 /* vCPUs spin in the guest in place of HLT */
	uint32_t poll_ns; /* how long a halted vCPU looks before it sleeps; SOFT, see vcpu.h */
	uint32_t irqchip; /* enum vmirq_irqchip; threads have SOFT only */
	uint32_t without; /* VMIRQ_CAP_* */
	bool chips;	  /* IOAPIC and 8259s (VMIRQ_VM_PC_CHIPS) */
	bool x2apic;	  /* guest and handlers use x2APIC MSRs in place of xAPIC MMIO */
};

/* Everything is -errno; *why (may be NULL) is one line for the user, static or kept by the vmm.
 * -ENODEV: this machine lacks the CPU back end (no /dev/kvm, no permission, too old), and nothing
 * else is. -EINVAL: the configuration. Of the image: the error of open or read, -ENOEXEC (empty),
 * -EFBIG. */
int vmm_create(const struct vmm_config *config, struct vmm **out, const char **why);
/* Starts every vCPU thread and the VM's pump, and returns once each guest CPU has set up its LAPIC
 * and waits for interrupts (or -ETIMEDOUT after 10 s, with *why saying which did not).
 * Once only: -EALREADY. If it fails the threads are stopped again. */
int vmm_start(struct vmm *vmm, const char **why);
/* Stops the vCPU threads and the pump. A vCPU that failed meanwhile makes it -EIO with *why.
 * May be called twice. */
int vmm_stop(struct vmm *vmm, const char **why);
void vmm_destroy(struct vmm *vmm);

/* 0, or -errno of the first vCPU that failed (unexpected exit, guest exception, triple fault: -EIO)
 * with *why: poll it while waiting. Any thread. */
int vmm_failed(struct vmm *vmm, const char **why);

struct vmirq_vm *vmm_vm(struct vmm *vmm);
/* Guest memory, a memfd mapped shared from guest physical 0. */
int vmm_memory_fd(struct vmm *vmm);
size_t vmm_memory_size(struct vmm *vmm);
/* Host address of guest physical [gpa, gpa + len), or NULL if it is not all RAM. */
void *vmm_memory(struct vmm *vmm, uint64_t gpa, size_t len);
/* First guest physical address that the guest leaves to devices' rings and buffers. */
uint64_t vmm_device_memory(struct vmm *vmm);

/* How often the guest's handler for this vector has run on this vCPU: the guest's own count, made
 * before its EOI. 32..254 are for devices (255 is the guest's spurious vector, which has no EOI).
 * Any thread, also after vmm_stop(). */
uint64_t vmm_handled(struct vmm *vmm, uint32_t vcpu, uint32_t vector);

/* A hook for the threads back end only: called by the handler of `vector` before it is counted and
 * before its EOI, on the vCPU's thread. To be set before vmm_start(). */
void vmm_set_handler(struct vmm *vmm, uint32_t vector, void (*fn)(void *opaque, uint32_t vcpu),
		     void *opaque);

/* What the VMM shares with its guest; see guest_page.h for who may write what, and when. */
struct guest_page *vmm_guest_page(struct vmm *vmm);

/* True: a guest's code runs; false: handlers in C stand for it. */
bool vmm_runs_code(const struct vmm *vmm);

/* KVM back end: the guest's accesses to [gpa, gpa + size), at most 8 bytes each, are done by `fn`, on the
 * vCPU's thread; what a read brings goes to `data`. What is the library's comes first. At any time;
 * it stays. -ENOSPC. One thread at a time. */
typedef void vmm_mmio_fn(void *opaque, uint64_t offset, void *data, uint32_t len, bool is_write);
int vmm_add_mmio(struct vmm *vmm, uint64_t gpa, uint64_t size, vmm_mmio_fn *fn, void *opaque);

#endif
