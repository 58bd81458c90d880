// SPDX-License-Identifier: MIT
/*
 * level_cycle: assert, EOI, resample. Here by callback.
 */
#include <errno.h>
#include <sys/ioctl.h>
#include <vmirq/line.h>

#include "bench_level.h"
#include "bench_rows.h"

#define IOAPIC 0xfec00000u
#define CYCLES 64u

static void ioapic_write(struct vmirq_vm *vm, uint32_t reg, uint32_t value)
{
	vmirq_vm_mmio(vm, IOAPIC, &reg, sizeof(reg), true);
	vmirq_vm_mmio(vm, IOAPIC + 0x10, &value, sizeof(value), true);
}

int bench_level_open(struct level *t)
{
	int ret = bench_soft_open(&t->soft, 1, VMIRQ_VM_PC_CHIPS);

	if (ret)
		return ret;
	ioapic_write(t->soft.vm, 0x10 + 2 * LEVEL_PIN + 1, 0);
	ioapic_write(t->soft.vm, 0x10 + 2 * LEVEL_PIN, RTE_LEVEL | LEVEL_VECTOR);
	return 0;
}

/* The device: nothing more to tell. */
static void on_ack(void *opaque, uint32_t gsi, uint32_t value)
{
	struct level *t = opaque;

	(void)value;
	t->acks++;
	vmirq_line_set(t->soft.vm, gsi, 0, false, NULL);
}

static void cycle_ours(void *opaque, uint32_t batch)
{
	struct level *t = opaque;

	for (uint32_t i = 0; i < batch; i++) {
		int vector;

		vmirq_line_set(t->soft.vm, LEVEL_PIN, 0, true, NULL);
		vector = vmirq_vcpu_next_vector(t->soft.vcpu[0]);
		if (vector != LEVEL_VECTOR)
			t->failed++;
		else
			bench_soft_take(t->soft.vcpu[0], LEVEL_VECTOR);
	}
	t->cycles += batch;
}

static void line_kvm(void *opaque, uint32_t batch)
{
	struct level *t = opaque;
	struct kvm_irq_level line = { .irq = LEVEL_PIN };

	for (uint32_t i = 0; i < batch; i++) {
		for (line.level = 2; line.level-- > 0;) {
			if (ioctl(t->kvm.vm, KVM_IRQ_LINE, &line) < 0)
				t->failed++;
		}
	}
}

static int by_callback(struct bench *b)
{
	struct bench_case *c = bench_case(b, "", "ns");
	struct vmirq_notifier_config notifier = {
		.size = sizeof(notifier),
		.gsi = LEVEL_PIN,
		.notice = VMIRQ_NOTICE_ACK,
		.fn = on_ack,
	};
	struct level t = { 0 };
	struct bench_side *side;
	int ret;

	if (!c)
		return -ENOMEM;
	bench_target(c, BENCH_PEER_MIN, "kvm_irq_line", 8);
	ret = bench_level_open(&t);
	notifier.opaque = &t;
	if (!ret)
		ret = vmirq_notifier_add(t.soft.vm, &notifier, &t.notifier);
	if (!ret) {
		side = bench_side(c, BENCH_OURS, "line_eoi_callback");
		side->slice = cycle_ours;
		side->opaque = &t;
		side->batch = CYCLES;
		t.has_kvm = !bench_kvm_open(&t.kvm, 1);
		if (t.has_kvm) {
			side = bench_side(c, BENCH_PEER, "kvm_irq_line");
			side->slice = line_kvm;
			side->opaque = &t;
			side->batch = CYCLES;
		} else {
			bench_no_kvm(c, &t.kvm);
		}
		bench_measure(c, b->case_ns);
		bench_lost(b, t.failed + (t.cycles - t.acks), "cycles that went wrong");
	}
	bench_note(
		c,
		"A sample is the mean of %u cycles. Ours: vmirq_line_set() to an IOAPIC's pin, the "
		"vCPU takes the vector and ends it, and its EOI calls a function, which lowers the "
		"line; no system call. On both the GSI goes to the 8259, too, as on a PC. The peer: KVM_IRQ_LINE up and down, the vCPU takes nothing "
		"and ends nothing: less is done there.",
		CYCLES);
	vmirq_notifier_remove(t.notifier);
	if (t.has_kvm)
		bench_kvm_close(&t.kvm);
	bench_soft_close(&t.soft);
	return ret;
}

int bench_level_cycle(struct bench *b)
{
	int ret = by_callback(b);

	return ret ? ret : bench_resamplefd(b);
}
