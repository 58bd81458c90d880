// SPDX-License-Identifier: MIT
/*
 * The threads back end: a thread stands for the CPU and C handlers for the guest. It keeps the same
 * contract with the library and the same guest page as the real guest does.
 */
#include <errno.h>
#include <linux/kvm.h>
#include <sched.h>

#include "vmm_internal.h"

#define IOAPIC_PAGE	0xfec00000ull
#define IOAPIC_RTE	0x10
#define APIC_PAGE	0xfee00000ull
#define X2APIC_MSRS	0x800u
#define APIC_BASE_EXTD	(1ull << 10)

#define APIC_TPR	0x080u
#define APIC_EOI	0x0b0u
#define APIC_SVR	0x0f0u
#define APIC_SVR_ENABLE (1u << 8)

/* A machine may have fewer CPUs than the guest has spinning vCPUs. */
#define SPINS_BEFORE_YIELD 256

static void on_kick(void *opaque)
{
	struct vmm_vcpu *v = opaque;

	atomic_store_explicit(&v->kicked, true, memory_order_relaxed);
}

static int thread_open(struct vmm *vmm, const char **why)
{
	if (!vmm->config.guest_image)
		return 0;
	*why = "threads run no guest image: C handlers stand for the guest";
	return -EINVAL;
}

static int thread_vcpu_open(struct vmm_vcpu *v, const char **why)
{
	struct vmirq_vcpu_config config = {
		.size = sizeof(config),
		.index = v->index,
		.apic_id = v->index,
		.poll_ns = v->vmm->config.poll_ns,
		.kick = { .fn = on_kick, .opaque = v },
	};

	*why = "the vCPU cannot be made";
	return vmirq_vcpu_create(v->vmm->vm, &config, &v->vcpu);
}

static int lapic_write(struct vmm_vcpu *v, uint32_t reg, uint32_t value)
{
	if (v->vmm->config.x2apic)
		return vmirq_vcpu_wrmsr(v->vcpu, X2APIC_MSRS + (reg >> 4), value);
	return vmirq_vcpu_mmio(v->vcpu, APIC_PAGE + reg, &value, sizeof(value), true);
}

static int lapic_enable(struct vmm_vcpu *v)
{
	int err = 0;

	if (v->vmm->config.x2apic)
		err = vmirq_vcpu_set_apic_base(v->vcpu,
					       vmirq_vcpu_apic_base(v->vcpu) | APIC_BASE_EXTD);
	if (!err)
		err = lapic_write(v, APIC_TPR, 0);
	if (!err)
		err = lapic_write(v, APIC_SVR, APIC_SVR_ENABLE | GUEST_SPURIOUS_VECTOR);
	return err;
}

static int ioapic_write(struct vmm *vmm, uint32_t reg, uint32_t value)
{
	int err = vmirq_vm_mmio(vmm->vm, IOAPIC_PAGE, &reg, sizeof(reg), true);

	return err ? err : vmirq_vm_mmio(vmm->vm, IOAPIC_PAGE + 0x10, &value, sizeof(value), true);
}

/* Where the guest does it in level_open_pins(). */
static int open_pins(struct vmm *vmm)
{
	int err = 0;

	for (uint32_t pin = 0; pin < GUEST_IOAPIC_PINS && !err; pin++) {
		uint64_t rte = vmm->page->rte[pin];

		if (!rte)
			continue;
		err = ioapic_write(vmm, IOAPIC_RTE + 2 * pin + 1, (uint32_t)(rte >> 32));
		if (!err)
			err = ioapic_write(vmm, IOAPIC_RTE + 2 * pin, (uint32_t)rte);
	}
	return err;
}

static int take_interrupt(struct vmm_vcpu *v, uint32_t vector)
{
	const struct vmm_handler *handler = &v->vmm->handlers[vector];
	_Atomic uint64_t *handled = &v->vmm->page->handled[v->index][vector];
	int err = vmirq_vcpu_ack(v->vcpu, vector);

	if (err)
		return err;
	if (handler->fn)
		handler->fn(handler->opaque, v->index);
	/* This thread alone writes it. release: pairs with the acquire in vmm_handled(), so that
	 * who sees the count sees what the handler did. */
	atomic_store_explicit(handled, atomic_load_explicit(handled, memory_order_relaxed) + 1,
			      memory_order_release);
	return vector == GUEST_SPURIOUS_VECTOR ? 0 : lapic_write(v, APIC_EOI, 0);
}

/* The guest's `pause` loop: in the guest until a kick. */
static void spin(struct vmm_vcpu *v)
{
	unsigned int turns = 0;

	while (!atomic_load_explicit(&v->kicked, memory_order_relaxed)) {
		if (++turns % SPINS_BEFORE_YIELD == 0)
			sched_yield();
		else
			__builtin_ia32_pause();
	}
}

/* One turn of the contract in vcpu.h. 0, or why the loop ends. */
static int turn(struct vmm_vcpu *v, unsigned int flags)
{
	uint32_t vector;
	int step;

	/* Before the step: a kick that is for the coming stay in the guest comes after it. */
	atomic_store_explicit(&v->kicked, false, memory_order_relaxed);
	step = vmirq_vcpu_step(v->vcpu, flags, &vector);
	switch (step) {
	case VMIRQ_STEP_INJECT:
		return take_interrupt(v, vector);
	case VMIRQ_STEP_PARK:
		vmirq_vcpu_park(v->vcpu, -1);
		return 0;
	case VMIRQ_STEP_ENTER:
	case VMIRQ_STEP_WINDOW:
		if (v->vmm->config.busy)
			spin(v);
		vmirq_vcpu_leave(v->vcpu);
		return 0;
	case VMIRQ_STEP_NMI: /* no handler stands for these */
	case VMIRQ_STEP_SMI:
	case VMIRQ_STEP_INIT:
	case VMIRQ_STEP_SIPI:
	case -EINTR:
		return 0;
	default:
		return step < 0 ? step : -EPROTO;
	}
}

static void thread_vcpu_run(struct vmm_vcpu *v)
{
	unsigned int flags = VMIRQ_CPU_INTERRUPTIBLE;
	int err = lapic_enable(v);

	if (!err && v->index == 0)
		err = open_pins(v->vmm);
	if (!v->vmm->config.busy)
		flags |= VMIRQ_CPU_HALTED;
	/* release: pairs with the acquire in vmm_start()'s wait */
	if (!err)
		atomic_store_explicit(&v->vmm->page->ready[v->index], 1, memory_order_release);
	while (!err)
		err = turn(v, flags);
	if (err != -ECANCELED)
		vmm_fail(v->vmm, err, "vCPU %u: the handlers' thread failed with errno %d",
			 v->index, -err);
}

static void thread_vcpu_close(struct vmm_vcpu *v)
{
	(void)v;
}

static void thread_close(struct vmm *vmm)
{
	(void)vmm;
}

const struct vmm_cpu_ops vmm_cpu_threads = {
	.open = thread_open,
	.vcpu_open = thread_vcpu_open,
	.vcpu_run = thread_vcpu_run,
	.vcpu_close = thread_vcpu_close,
	.close = thread_close,
};
