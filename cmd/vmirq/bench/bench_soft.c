// SPDX-License-Identifier: MIT
#include "bench_soft.h"

#include <errno.h>
#include <stdlib.h>
#include <vmirq/observe.h>
#include <vmirq/route.h>

#define X2APIC_EOI 0x80bu
#define X2APIC_SVR 0x80fu
#define SVR_ENABLE 0x1ffu

static int add_vcpu(struct bench_soft *s, uint32_t index)
{
	struct vmirq_vcpu_config config = {
		.size = sizeof(config),
		.index = index,
		.apic_id = index,
		.flags = VMIRQ_VCPU_X2APIC,
	};
	int ret = vmirq_vcpu_create(s->vm, &config, &s->vcpu[index]);

	return ret ? ret : bench_soft_enable(s->vcpu[index]);
}

int bench_soft_enable(struct vmirq_vcpu *vcpu)
{
	return vmirq_vcpu_wrmsr(vcpu, X2APIC_SVR, SVR_ENABLE);
}

int bench_soft_open(struct bench_soft *s, uint32_t vcpus, uint32_t flags)
{
	struct vmirq_vm_config config = {
		.size = sizeof(config),
		.irqchip = VMIRQ_IRQCHIP_SOFT,
		.max_vcpus = vcpus,
		.flags = flags | VMIRQ_VM_MSI_32BIT_IDS,
	};
	int ret;

	*s = (struct bench_soft){ .vcpus = vcpus };
	s->vcpu = calloc(vcpus, sizeof(struct vmirq_vcpu *));
	ret = s->vcpu ? vmirq_vm_create(&config, &s->vm) : -ENOMEM;
	for (uint32_t i = 0; i < vcpus && !ret; i++)
		ret = add_vcpu(s, i);
	if (ret)
		bench_soft_close(s);
	return ret;
}

void bench_soft_close(struct bench_soft *s)
{
	vmirq_vm_destroy(s->vm);
	free(s->vcpu);
	free(s->irqfd);
	*s = (struct bench_soft){ 0 };
}

int bench_soft_set_routes(struct bench_soft *s, uint32_t n)
{
	int ret = 0;

	for (uint32_t i = 0; i < n && !ret; i++)
		ret = vmirq_route_set_msi(s->vm, BENCH_FIRST_GSI + i,
					  bench_msi_address(i / BENCH_VECTORS), bench_vector(i));
	return ret;
}

int bench_soft_assign(struct bench_soft *s, uint32_t n)
{
	struct vmirq_irqfd_config config = { .size = sizeof(config), .eventfd = -1 };
	int ret = 0;

	s->irqfd = calloc(n, sizeof(struct vmirq_irqfd *));
	if (!s->irqfd)
		return -ENOMEM;
	for (uint32_t i = 0; i < n && !ret; i++) {
		config.gsi = BENCH_FIRST_GSI + i;
		ret = vmirq_irqfd_assign(s->vm, &config, &s->irqfd[i]);
		s->irqfds += !ret;
	}
	return ret;
}

int bench_soft_add_irqfds(struct bench_soft *s, uint32_t n)
{
	int ret = bench_soft_set_routes(s, n);

	return ret ? ret : bench_soft_assign(s, n);
}

void bench_soft_take(struct vmirq_vcpu *vcpu, uint32_t vector)
{
	vmirq_vcpu_ack(vcpu, vector);
	vmirq_vcpu_wrmsr(vcpu, X2APIC_EOI, 0);
}

uint32_t bench_soft_drain(struct vmirq_vcpu *vcpu)
{
	uint32_t n = 0;
	int vector;

	while ((vector = vmirq_vcpu_next_vector(vcpu)) >= 0) {
		bench_soft_take(vcpu, (uint32_t)vector);
		n++;
	}
	return n;
}

uint64_t bench_soft_missing(struct bench_soft *s, uint64_t raised)
{
	struct vmirq_route_counts counts = { .size = sizeof(counts) };
	uint64_t counted = 0, good = 0;

	for (uint32_t i = 0; i < s->irqfds; i++) {
		vmirq_irqfd_counts(s->irqfd[i], &counts);
		counted += counts.raised;
		good += counts.verdict[VMIRQ_DELIVERED] + counts.verdict[VMIRQ_COALESCED];
	}
	return (counted > raised ? counted - raised : raised - counted) + (counted - good);
}
