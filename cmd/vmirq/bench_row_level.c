// SPDX-License-Identifier: MIT
/*
 * level_cycle: assert, EOI, resample.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <vmirq/line.h>
#include <vmirq/route.h>

#include "bench_pair.h"
#include "bench_rows.h"
#include "bench_soft.h"

#define PIN	  5u
#define VECTOR	  0x60u
#define RTE_LEVEL (1u << 15)
#define IOAPIC	  0xfec00000u
#define CYCLES	  64u
#define FD_CYCLES 8u

struct level {
	struct bench_partner partner;
	struct bench_soft soft;
	struct bench_kvm kvm;
	bool has_kvm;
	struct vmirq_notifier *notifier;
	uint64_t acks, cycles;
	uint32_t failed;
	int trigger[2], resample[2]; /* ours, the peer's */
	struct vmirq_irqfd *irqfd;
	_Atomic bool stop;
};

static void ioapic_write(struct vmirq_vm *vm, uint32_t reg, uint32_t value)
{
	vmirq_vm_mmio(vm, IOAPIC, &reg, sizeof(reg), true);
	vmirq_vm_mmio(vm, IOAPIC + 0x10, &value, sizeof(value), true);
}

static int open_soft(struct level *t)
{
	int ret = bench_soft_open(&t->soft, 1, VMIRQ_VM_PC_CHIPS);

	if (ret)
		return ret;
	ioapic_write(t->soft.vm, 0x10 + 2 * PIN + 1, 0);
	ioapic_write(t->soft.vm, 0x10 + 2 * PIN, RTE_LEVEL | VECTOR);
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

		vmirq_line_set(t->soft.vm, PIN, 0, true, NULL);
		vector = vmirq_vcpu_next_vector(t->soft.vcpu[0]);
		if (vector != VECTOR)
			t->failed++;
		else
			bench_soft_take(t->soft.vcpu[0], VECTOR);
	}
	t->cycles += batch;
}

static void line_kvm(void *opaque, uint32_t batch)
{
	struct level *t = opaque;
	struct kvm_irq_level line = { .irq = PIN };

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
		.gsi = PIN,
		.notice = VMIRQ_NOTICE_ACK,
		.fn = on_ack,
	};
	struct level t = { 0 };
	struct bench_side *side;
	int ret;

	if (!c)
		return -ENOMEM;
	bench_target(c, BENCH_PEER_MIN, "kvm_irq_line", 8);
	ret = open_soft(&t);
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

/* The vCPU's thread: parks in the pump, takes, ends. */
static void vcpu_ours(void *opaque, uint32_t n)
{
	struct level *t = opaque;
	uint32_t vector;

	while (n) {
		vmirq_pump_dispatch(vmirq_vm_pump(t->soft.vm), -1);
		if (vmirq_vcpu_step(t->soft.vcpu[0], VMIRQ_CPU_INTERRUPTIBLE, &vector) !=
		    VMIRQ_STEP_INJECT)
			continue;
		bench_soft_take(t->soft.vcpu[0], vector);
		n--;
	}
}

/* The guest's handler ends the interrupt and leaves by an OUT; the loop goes on until told. */
static void vcpu_kvm(void *opaque, uint32_t n)
{
	struct level *t = opaque;

	while (n) {
		if (ioctl(t->kvm.vcpu[0], KVM_RUN, 0) < 0 ||
		    t->kvm.run[0]->exit_reason != KVM_EXIT_IO)
			t->failed++;
		n--;
	}
}

static void fd_slice(struct level *t, struct bench_side *side)
{
	int which = side->role == BENCH_PEER;
	const uint64_t one = 1;
	uint64_t value;

	bench_partner_ask(&t->partner, which ? vcpu_kvm : vcpu_ours, t, FD_CYCLES);
	for (uint32_t i = 0; i < FD_CYCLES; i++) {
		uint64_t start = bench_now();

		if (write(t->trigger[which], &one, sizeof(one)) != sizeof(one) ||
		    read(t->resample[which], &value, sizeof(value)) != sizeof(value))
			t->failed++;
		samples_add(&side->samples, (double)(bench_now() - start));
	}
	bench_partner_wait(&t->partner);
}

/* Without the 8259, whose output would come as an interrupt of its own. */
static const struct kvm_irq_routing_entry to_ioapic = {
	.gsi = PIN,
	.type = KVM_IRQ_ROUTING_IRQCHIP,
	.u.irqchip = { .irqchip = KVM_IRQCHIP_IOAPIC, .pin = PIN },
};

static int route_kvm(struct level *t)
{
	struct kvm_irq_routing *table = calloc(1, sizeof(*table) + sizeof(to_ioapic));
	int ret;

	if (!table)
		return -ENOMEM;
	table->nr = 1;
	table->entries[0] = to_ioapic;
	ret = ioctl(t->kvm.vm, KVM_SET_GSI_ROUTING, table) < 0 ? -errno : 0;
	free(table);
	return ret;
}

static int open_kvm(struct level *t)
{
	/* sti; hlt; jmp to the hlt */
	static const uint8_t code[] = { 0xfb, 0xf4, 0xeb, 0xfd };
	/* mov dword [0xb0], 0 (EOI); out 0x80, al; iret */
	static const uint8_t handler[] = { 0x66, 0xc7, 0x06, 0xb0, 0x00, 0x00,
					   0x00, 0x00, 0x00, 0xe6, 0x80, 0xcf };
	struct kvm_irqchip chip = { .chip_id = KVM_IRQCHIP_IOAPIC };
	int ret = bench_kvm_open(&t->kvm, 1);

	t->has_kvm = !ret;
	if (ret)
		return ret;
	if (ioctl(t->kvm.vm, KVM_GET_IRQCHIP, &chip) < 0)
		return -errno;
	chip.chip.ioapic.redirtbl[PIN].bits = RTE_LEVEL | VECTOR;
	if (ioctl(t->kvm.vm, KVM_SET_IRQCHIP, &chip) < 0)
		return -errno;
	ret = route_kvm(t);
	if (!ret)
		ret = bench_kvm_load(&t->kvm, code, sizeof(code), handler, sizeof(handler));
	return ret ? ret
		   : bench_kvm_irqfd(&t->kvm, PIN, t->trigger[1], t->resample[1],
				     KVM_IRQFD_FLAG_RESAMPLE);
}

static int open_fds(struct bench *b, struct level *t)
{
	struct vmirq_irqfd_config config = {
		.size = sizeof(config),
		.gsi = PIN,
		.flags = VMIRQ_IRQFD_RESAMPLE,
	};
	int ret = open_soft(t);

	for (int i = 0; i < 2; i++) {
		t->trigger[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		t->resample[i] = eventfd(0, EFD_CLOEXEC);
		if (t->trigger[i] < 0 || t->resample[i] < 0)
			return -errno;
	}
	config.eventfd = t->trigger[0];
	config.resamplefd = t->resample[0];
	if (!ret)
		ret = vmirq_route_set(t->soft.vm, &to_ioapic, 1);
	if (!ret)
		ret = vmirq_irqfd_assign(t->soft.vm, &config, &t->irqfd);
	return ret ? ret : bench_partner_open(b, &t->partner);
}

static int by_resamplefd(struct bench *b)
{
	struct bench_case *c = bench_case(b, "resamplefd", "ns");
	struct bench_side *ours, *peer = NULL;
	static struct level t;
	uint64_t end;
	int ret;

	if (!c)
		return -ENOMEM;
	t = (struct level){ .trigger = { -1, -1 }, .resample = { -1, -1 } };
	bench_target(c, BENCH_PEER_MIN, "kvm_irqfd_resamplefd", 1);
	ours = bench_side(c, BENCH_OURS, "irqfd_resamplefd");
	ret = open_fds(b, &t);
	if (!ret && !open_kvm(&t))
		peer = bench_side(c, BENCH_PEER, "kvm_irqfd_resamplefd");
	else if (!ret && t.has_kvm)
		ret = -EIO;
	else
		bench_no_kvm(c, &t.kvm);
	for (end = bench_now() + b->case_ns; !ret && !t.failed && bench_now() < end;) {
		fd_slice(&t, ours);
		if (peer)
			fd_slice(&t, peer);
	}
	bench_lost(b, t.failed, "cycles that went wrong");
	bench_note(
		c,
		"A sample is one cycle, from before the write to the irqfd on CPU %d until a blocking "
		"read of the resamplefd returns there; the vCPU is CPU %d's. Ours: the vCPU parks in the "
		"pump, takes and ends; the resamplefd is written by a thread of the irqfd's own, because "
		"its peer is not trusted. The peer: a guest that halts, whose handler writes EOI; the "
		"kernel writes the resamplefd, whoever holds it. An entry, an injection and two "
		"instructions are in the peer's time.",
		b->cpu[0], b->cpu[1]);
	bench_partner_close(&t.partner);
	vmirq_irqfd_deassign(t.irqfd);
	bench_soft_close(&t.soft);
	if (t.has_kvm)
		bench_kvm_close(&t.kvm);
	for (int i = 0; i < 2; i++) {
		close(t.trigger[i]);
		close(t.resample[i]);
	}
	return ret;
}

int bench_level_cycle(struct bench *b)
{
	int ret = by_callback(b);

	return ret ? ret : by_resamplefd(b);
}
