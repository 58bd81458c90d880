/* SPDX-License-Identifier: MIT */
/*
 * The peer that is real: a KVM VM whose irqchip is the kernel's, used by its ioctls and eventfds alone.
 */
#ifndef VMIRQ_BENCH_KVM_H
#define VMIRQ_BENCH_KVM_H

#include <linux/kvm.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BENCH_KVM_VCPUS 2

struct bench_kvm {
	int kvm;
	int vm;
	int vcpu[BENCH_KVM_VCPUS];
	struct kvm_run *run[BENCH_KVM_VCPUS];
	size_t run_size;
	uint32_t vcpus;
	void *memory;
	/* A local APIC that is enabled and has nothing pending. */
	struct kvm_lapic_state clean[BENCH_KVM_VCPUS];
	struct kvm_irq_routing *table;
	int *eventfd;
	uint32_t eventfds;
	uint32_t next;
	/* Calls that failed while it was measured. */
	uint64_t failed;
	/* Why there is none, a part of a sentence. */
	char why[160];
};

/* KVM_CREATE_IRQCHIP, vCPUs, no guest. */
int bench_kvm_open(struct bench_kvm *k, uint32_t vcpus);
/* Without an irqchip, for libvmirq to make its own. */
int bench_kvm_open_bare(struct bench_kvm *k);
/* vCPUs for it. */
int bench_kvm_add_vcpus(struct bench_kvm *k, uint32_t vcpus);
void bench_kvm_close(struct bench_kvm *k);

/* Routes on GSIs 0..n-1, route i as irqfd i of bench_soft.h; entry `changed` has a bit more. */
int bench_kvm_set_routes(struct bench_kvm *k, uint32_t n);
int bench_kvm_irqfd(struct bench_kvm *k, uint32_t gsi, int eventfd, int resamplefd, uint32_t flags);
/* So many routes, and an eventfd bound to each. */
int bench_kvm_add_irqfds(struct bench_kvm *k, uint32_t n);

/* KVM_SET_LAPIC: nothing is pending any more. */
void bench_kvm_clean(struct bench_kvm *k, uint32_t vcpu);
bool bench_kvm_pending(struct bench_kvm *k, uint32_t vcpu, uint32_t vector);
/* Bits in IRR. */
uint32_t bench_kvm_pending_count(struct bench_kvm *k, uint32_t vcpu);

/* A page of real-mode code at 0x1000 that vCPU 0 begins at; every vector's handler is at 0x2000, 256
 * bytes. Data segment at the local APIC, so that [0xb0] is its EOI register. */
int bench_kvm_load(struct bench_kvm *k, const uint8_t *code, size_t size, const uint8_t *handler,
		   size_t handler_size);

#endif
