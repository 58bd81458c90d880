/* SPDX-License-Identifier: MIT */
/*
 * A VM on each of the three irqchips, so that one table of cases is run against all. No guest runs: what
 * has been delivered is what stands in the local APICs' IRRs, which every irqchip shows by
 * vmirq_vcpu_get_lapic().
 */
#ifndef TESTS_IRQCHIP_WORLD_H
#define TESTS_IRQCHIP_WORLD_H

#include "../support.h"

#include <linux/kvm.h>
#include <vmirq/line.h>
#include <vmirq/state.h>

#define WORLD_VCPUS 3

struct world {
	struct vmirq_vm *vm;
	enum vmirq_irqchip irqchip;
	unsigned int n;
	struct vmirq_vcpu *vcpu[WORLD_VCPUS];
	/* The kernel's; not with soft. */
	int kvm, vm_fd;
	int fd[WORLD_VCPUS];
	struct kvm_run *run[WORLD_VCPUS];
	size_t run_size;
};

struct world_config {
	enum vmirq_irqchip irqchip;
	uint32_t flags;	  /* VMIRQ_VM_* */
	uint32_t without; /* VMIRQ_CAP_* */
	uint32_t kernel_gsis;
};

/* Is there what this irqchip needs? */
bool world_possible(enum vmirq_irqchip irqchip);
/* WORLD_VCPUS vCPUs, APIC id = slot, local APICs enabled, the VM's pump running. */
struct world *world_new(const struct world_config *config);
void world_free(struct world *w);

/* What stands in a vCPU's IRR. */
bool world_pending(struct world *w, unsigned int vcpu, uint8_t vector);
/* This vector comes (the kernel delivers some by a work queue), and is taken out again. */
void world_take(struct world *w, unsigned int vcpu, uint8_t vector);
/* Nothing stands anywhere, now that what is under way is through. */
void world_take_nothing(struct world *w);

void world_route(struct world *w, uint32_t gsi, unsigned int vcpu, uint8_t vector);
/* An RTE of the PC's IOAPIC, unmasked, to this vCPU. */
void world_rte(struct world *w, uint32_t pin, unsigned int vcpu, uint8_t vector, bool level);
struct vmirq_irqfd *world_irqfd(struct world *w, uint32_t gsi, int eventfd);
void world_write(int eventfd, uint64_t n);

/* Every case in a VM of its own on each irqchip, also on lesser kernels: for main(). */
struct world_case {
	const char *name;
	void (*run)(struct world *w);
};
int world_run_cases(const struct world_case *cases, size_t n);

#endif
