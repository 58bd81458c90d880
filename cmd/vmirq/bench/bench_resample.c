// SPDX-License-Identifier: MIT
/*
 * level_cycle by resamplefd.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <vmirq/route.h>

#include "bench_level.h"
#include "bench_rows.h"

#define FD_CYCLES 8u
/* What a vCPU that polls gives it before it sleeps; KVM's gives 200 us at most. */
#define POLL_NS 50000u

static void poll_pump(struct vmirq_pump *pump)
{
	uint64_t end = bench_now() + POLL_NS;
	int n;

	do
		n = vmirq_pump_dispatch(pump, 0);
	while (!n && bench_now() < end);
	if (!n)
		vmirq_pump_dispatch(pump, -1);
}

/* The vCPU's thread: parks in the pump, takes, ends. */
static void vcpu_ours(void *opaque, uint32_t n)
{
	struct level *t = opaque;
	uint32_t vector;

	while (n) {
		if (t->polls)
			poll_pump(vmirq_vm_pump(t->soft.vm));
		else
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
	.gsi = LEVEL_PIN,
	.type = KVM_IRQ_ROUTING_IRQCHIP,
	.u.irqchip = { .irqchip = KVM_IRQCHIP_IOAPIC, .pin = LEVEL_PIN },
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
	chip.chip.ioapic.redirtbl[LEVEL_PIN].bits = RTE_LEVEL | LEVEL_VECTOR;
	if (ioctl(t->kvm.vm, KVM_SET_IRQCHIP, &chip) < 0)
		return -errno;
	ret = route_kvm(t);
	if (!ret)
		ret = bench_kvm_load(&t->kvm, code, sizeof(code), handler, sizeof(handler));
	return ret ? ret
		   : bench_kvm_irqfd(&t->kvm, LEVEL_PIN, t->trigger[1], t->resample[1],
				     KVM_IRQFD_FLAG_RESAMPLE);
}

static int open_fds(struct bench *b, struct level *t)
{
	struct vmirq_irqfd_config config = {
		.size = sizeof(config),
		.gsi = LEVEL_PIN,
		.flags = VMIRQ_IRQFD_RESAMPLE,
	};
	int ret = bench_level_open(t);

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

static int resamplefd_case(struct bench *b, const char *name, bool polls, const char *parks)
{
	struct bench_case *c = bench_case(b, name, "ns");
	struct bench_side *ours, *peer = NULL;
	static struct level t;
	uint64_t end;
	int ret;

	if (!c)
		return -ENOMEM;
	t = (struct level){ .polls = polls, .trigger = { -1, -1 }, .resample = { -1, -1 } };
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
		"read of the resamplefd returns there; the vCPU is CPU %d's. Ours: the vCPU %s, takes "
		"and ends, and writes the resamplefd, guarded from whoever else holds it. The peer: a "
		"guest that halts, whose handler writes EOI; the kernel writes the resamplefd. An entry, "
		"an injection and two instructions are in the peer's time, and its vCPU polls before it "
		"sleeps where KVM's halt_poll_ns is not 0.",
		b->cpu[0], b->cpu[1], parks);
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

int bench_resamplefd(struct bench *b)
{
	int ret = resamplefd_case(b, "resamplefd", false, "parks in the pump");

	return ret ? ret
		   : resamplefd_case(b, "resamplefd_polled", true,
				     "looks into the pump for 50 us before it parks there");
}
