// SPDX-License-Identifier: MIT
/*
 * guest_round_trip: the whole way, into a guest that halts.
 */
#include <errno.h>
#include <string.h>
#include <vmirq/irqfd.h>
#include <vmirq/route.h>

#include "bench_pair.h"
#include "bench_rows.h"
#include "bench_soft.h"
#include "vmm.h"

#define GSI	   32u
#define VECTOR	   0x50u
#define LOST_NS	   UINT64_C(5000000000)
#define FULL	   1000000u
#define FULL_NS	   UINT64_C(150000000000)
#define SOFT_ROUND 64u
#define PEER_ROUND 8u
/* The default of the kernel's halt_poll_ns: how long split and kvm look before they sleep. */
#define HALT_POLL_NS 200000u
#define SIDES	     4
/* Until all of them halt: their EOI and HLT are long over. */
#define PAUSE_NS UINT64_C(60000)

struct trip {
	struct vmm *vmm;
	struct vmirq_irqfd *irqfd;
	struct bench_side *side;
	uint64_t raised, pause_ns;
	uint32_t round;
};

static int open_trip(struct trip *t, uint32_t irqchip, uint32_t poll_ns, const char **why)
{
	const struct vmm_config config = { .cpu = VMM_CPU_KVM,
					   .vcpus = 1,
					   .irqchip = irqchip,
					   .chips = true,
					   .poll_ns = poll_ns };
	struct vmirq_irqfd_config irqfd = { .size = sizeof(irqfd), .gsi = GSI, .eventfd = -1 };
	int ret = vmm_create(&config, &t->vmm, why);

	if (!ret)
		ret = vmm_start(t->vmm, why);
	if (!ret)
		ret = vmirq_route_set_msi(vmm_vm(t->vmm), GSI, bench_msi_address(0), VECTOR);
	return ret ? ret : vmirq_irqfd_assign(vmm_vm(t->vmm), &irqfd, &t->irqfd);
}

static void close_trip(struct trip *t)
{
	vmirq_irqfd_deassign(t->irqfd);
	vmm_destroy(t->vmm);
}

static void wait_until_it_halts(uint64_t ns)
{
	uint64_t start = bench_now();
	uint32_t turns = 0;

	while (ns && bench_now() - start < ns)
		bench_spin(&turns);
}

/* -ETIMEDOUT: no handler, and that one is lost. */
static int trips(struct trip *t)
{
	for (uint32_t i = 0; i < t->round; i++) {
		uint64_t before = vmm_handled(t->vmm, 0, VECTOR), start;
		uint32_t turns = 0;

		wait_until_it_halts(t->pause_ns);
		start = bench_now();
		vmirq_irqfd_signal(t->irqfd);
		t->raised++;
		while (vmm_handled(t->vmm, 0, VECTOR) == before) {
			bench_spin(&turns);
			if (turns % 65536 == 0 && bench_now() - start > LOST_NS)
				return -ETIMEDOUT;
		}
		samples_add(&t->side->samples, (double)(bench_now() - start));
	}
	return 0;
}

static bool goes_on(struct bench *b, const struct trip *soft, uint64_t start)
{
	uint64_t ns = bench_now() - start;

	if (b->options->quick || soft->pause_ns)
		return ns < 2 * b->case_ns;
	return soft->raised < FULL && ns < FULL_NS;
}

static void describe(struct bench_case *c, uint64_t pause_ns)
{
	if (pause_ns) {
		bench_note(
			c,
			"As above, but each raise comes %u us after the last one's handler, when the "
			"vCPU has halted. A halted vCPU of soft looks for up to %u us before it sleeps "
			"(vmirq_vcpu_config.poll_ns), as the kernel's do by default (halt_poll_ns); "
			"soft_no_poll sleeps at once.",
			(uint32_t)(pause_ns / 1000), HALT_POLL_NS / 1000);
		return;
	}
	bench_note(
		c,
		"A sample is one interrupt, paced: from the raise until its handler's count in the "
		"guest's memory has moved, seen by the raiser, who spins and raises the next at once, "
		"which then waits for the handler's EOI and IRET. All by vmirq_irqfd_signal(): soft "
		"posts, and its thread takes EOI and injects; for split and kvm it is "
		"KVM_SIGNAL_MSI, and all stays in the kernel.");
}

static int guest_case(struct bench *b, const char *name, uint64_t pause_ns)
{
	static const struct {
		const char *name;
		uint32_t irqchip;
		enum bench_role role;
		uint32_t round;
		uint32_t poll_ns;
	} sides[SIDES] = {
		{ "soft", VMIRQ_IRQCHIP_SOFT, BENCH_OURS, SOFT_ROUND, HALT_POLL_NS },
		{ "soft_no_poll", VMIRQ_IRQCHIP_SOFT, BENCH_PEER, PEER_ROUND, 0 },
		{ "split", VMIRQ_IRQCHIP_SPLIT, BENCH_PEER, PEER_ROUND, 0 },
		{ "kvm", VMIRQ_IRQCHIP_KVM, BENCH_PEER, PEER_ROUND, 0 },
	};
	struct bench_case *c = bench_case(b, name, "ns");
	struct trip t[SIDES] = { { 0 } };
	const char *why = "";
	uint64_t start, missing = 0;
	int ret = 0;

	if (!c)
		return -ENOMEM;
	bench_target(c, BENCH_PEER_MAX, "kvm", 1.5);
	bench_target(c, BENCH_VALUE_MAX, "lost", 0);
	for (uint32_t i = 0; i < SIDES && !ret; i++) {
		t[i].round = sides[i].round;
		t[i].pause_ns = pause_ns;
		t[i].side = bench_side(c, sides[i].role, sides[i].name);
		ret = open_trip(&t[i], sides[i].irqchip, sides[i].poll_ns, &why);
	}
	if (ret == -ENODEV) {
		bench_note(c, "Not measured: no /dev/kvm (%s).", why);
		c->sides = 0;
	}
	start = bench_now();
	while (!ret && goes_on(b, &t[0], start)) {
		for (uint32_t i = 0; i < SIDES && !ret; i++)
			ret = trips(&t[i]);
	}
	for (uint32_t i = 0; i < SIDES && ret != -ENODEV; i++) {
		uint64_t handled = t[i].vmm ? vmm_handled(t[i].vmm, 0, VECTOR) : 0;

		missing += handled > t[i].raised ? handled - t[i].raised : t[i].raised - handled;
	}
	if (ret != -ENODEV) {
		bench_value(c, "raised_soft", (double)t[0].raised);
		bench_value(c, "lost", (double)missing);
		bench_lost(b, missing, "interrupts raised but not handled, or handled twice");
		describe(c, pause_ns);
		if (!b->options->quick && !pause_ns && t[0].raised < FULL)
			bench_note(c, "Ended by time before 1,000,000.");
	}
	for (uint32_t i = 0; i < SIDES; i++)
		close_trip(&t[i]);
	return ret == -ENODEV || ret == -ETIMEDOUT ? 0 : ret;
}

int bench_guest_round_trip(struct bench *b)
{
	int ret = guest_case(b, "", 0);

	return ret ? ret : guest_case(b, "halted", PAUSE_NS);
}
