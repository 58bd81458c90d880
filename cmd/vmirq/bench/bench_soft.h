/* SPDX-License-Identifier: MIT */
/*
 * A VM of libvmirq's to measure: vCPUs without threads of their own, irqfds on messages.
 */
#ifndef VMIRQ_BENCH_SOFT_H
#define VMIRQ_BENCH_SOFT_H

#include <stdint.h>
#include <vmirq/irqfd.h>
#include <vmirq/vcpu.h>
#include <vmirq/vm.h>

/* Vectors for devices: 0x20..0xef, what an operating system uses. */
#define BENCH_FIRST_VECTOR 0x20u
#define BENCH_VECTORS	   208u
#define BENCH_FIRST_GSI	   32u

struct bench_soft {
	struct vmirq_vm *vm;
	struct vmirq_vcpu **vcpu;
	uint32_t vcpus;
	struct vmirq_irqfd **irqfd;
	uint32_t irqfds;
	uint64_t mask[4]; /* of vectors, a row's own */
	uint32_t drained;
	uint32_t next;
};

/* Local APICs in x2APIC mode, enabled, ids from 0. `flags` are VMIRQ_VM_*. */
int bench_soft_open(struct bench_soft *s, uint32_t vcpus, uint32_t flags);
void bench_soft_close(struct bench_soft *s);

/* So many in-process irqfds on GSIs from BENCH_FIRST_GSI on, irqfd n's message is bench_vector(n) to
 * vCPU n / BENCH_VECTORS. */
int bench_soft_add_irqfds(struct bench_soft *s, uint32_t n);
/* Its two halves. */
int bench_soft_set_routes(struct bench_soft *s, uint32_t n);
int bench_soft_assign(struct bench_soft *s, uint32_t n);

/* Its local APIC as an operating system has it. */
int bench_soft_enable(struct vmirq_vcpu *vcpu);
/* Take and end all that is pending. Returns how many. */
uint32_t bench_soft_drain(struct vmirq_vcpu *vcpu);
void bench_soft_take(struct vmirq_vcpu *vcpu, uint32_t vector);

/* Signals the irqfds had that are counted neither as delivered nor as coalesced, or that are missing
 * from `raised`. */
uint64_t bench_soft_missing(struct bench_soft *s, uint64_t raised);

static inline uint32_t bench_vector(uint32_t n)
{
	return BENCH_FIRST_VECTOR + n % BENCH_VECTORS;
}

static inline uint64_t bench_msi_address(uint32_t vcpu)
{
	return UINT64_C(0xfee00000) | (uint64_t)(vcpu & 0xff) << 12 | (uint64_t)(vcpu >> 8) << 40;
}

#endif
