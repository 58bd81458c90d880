/* SPDX-License-Identifier: MIT */
#include "machine.h"

#include <errno.h>
#include <string.h>

#include "base/vm.h"
#include "check.h"
#include "line/line.h"
#include "vcpu/vcpu.h"

/* Ids that eight bits can name, and two that they cannot. */
static const uint32_t ids[MACHINE_VCPUS] = { 0, 1, 5, 0x101, 0x7ffffff2 };

static uint64_t hand_turned(void *opaque)
{
	return ((struct machine *)opaque)->now;
}

/* At most once for each time that it was let into the guest. */
static void kicked(void *opaque)
{
	struct cpu *cpu = opaque;

	check(cpu->inside);
	cpu->inside = false;
	cpu->kicks++;
}

/* At most once for each time that it parked; vmirq_vcpu_park() here never sleeps. */
static void woken(void *opaque)
{
	struct cpu *cpu = opaque;

	check(cpu->parked);
	cpu->parked = false;
}

void machine_create_cpu(struct machine *m, uint32_t index, uint8_t how)
{
	struct cpu *cpu = &m->cpu[index];
	struct vmirq_vcpu_config config = {
		.size = sizeof(config),
		.index = index,
		.apic_id = ids[(index + (how >> 4)) % MACHINE_VCPUS],
		.flags = (how & 1 ? VMIRQ_VCPU_X2APIC : 0) |
			 (how & 2 ? VMIRQ_VCPU_WAIT_FOR_SIPI : 0),
		.kick = { .fn = kicked, .opaque = cpu },
	};
	struct vmirq_vcpu *vcpu = NULL;
	uint32_t enabled = 0x1ff;
	int error;

	cpu->machine = m;
	cpu->index = index;
	if (how & 4)
		config.wake = (struct vmirq_callback){ .fn = woken, .opaque = cpu };
	error = vmirq_vcpu_create(m->vm, &config, &vcpu);
	if (cpu->alive)
		check(error == -EEXIST);
	if (error) {
		check(error == -EEXIST && !vcpu);
		return;
	}
	cpu->vcpu = vcpu;
	cpu->alive = true;
	cpu->wakes = how & 4;
	cpu->inside = cpu->parked = false;
	if (how & 8)
		return;
	if (how & 1)
		check(!vmirq_vcpu_wrmsr(vcpu, 0x80f, enabled));
	else
		check(!vmirq_vcpu_mmio(vcpu, 0xfee000f0, &enabled, 4, true));
}

void machine_destroy_cpu(struct cpu *cpu)
{
	int error;

	if (!cpu->alive)
		return;
	error = vmirq_vcpu_destroy(cpu->vcpu);
	check(!error || error == -EBUSY);
	if (!error)
		cpu->alive = cpu->inside = cpu->parked = false;
}

void machine_create(struct machine *m, struct stream *s, uint32_t vm_flags)
{
	uint8_t flags = take8(s), how = take8(s);
	struct vmirq_clock clock = { .now = hand_turned, .opaque = m };
	struct vmirq_vm_config config = {
		.size = sizeof(config),
		.max_vcpus = MACHINE_VCPUS,
		.max_gsis = MACHINE_GSIS,
		.flags = vm_flags | (flags & 1 ? VMIRQ_VM_MSI_32BIT_IDS : 0) |
			 (flags & 2 ? VMIRQ_VM_MSI_EXT_DEST_ID : 0) |
			 (flags & 4 ? VMIRQ_VM_PROFILE_SPEC : 0) |
			 (flags & 8 && (vm_flags & VMIRQ_VM_PIT) ? VMIRQ_VM_PIT_DISCARD : 0),
		.clock = &clock,
	};

	memset(m, 0, sizeof(*m));
	m->stream = s;
	check(!vmirq_vm_create(&config, &m->vm));
	/* The last slot stays empty, for OP_CREATE_CPU and for destinations that are not there. */
	for (uint32_t i = 0; i < MACHINE_VCPUS - 1; i++)
		machine_create_cpu(m, i, how & 0xf);
}

void machine_destroy(struct machine *m)
{
	for (uint32_t i = 0; i < MACHINE_VCPUS; i++)
		if (m->cpu[i].alive)
			vmirq_vcpu_unbind_thread(m->cpu[i].vcpu);
	check(!vmirq_vm_destroy(m->vm));
}

void machine_go_on(struct machine *m, uint64_t ns)
{
	m->now = ns < UINT64_MAX - m->now ? m->now + ns : UINT64_MAX;
}

struct kvm_msi take_msi(struct stream *s)
{
	uint8_t flags = take8(s);
	struct kvm_msi msi;

	memset(&msi, 0, sizeof(msi));
	/* To APIC ids of this VM, or anywhere. */
	msi.address_lo = 0xfee00000u | (uint32_t)take8(s) << 12 | (flags & 3u) << 2;
	msi.data = take16(s);
	if (flags & 4)
		msi.address_lo ^= take32(s);
	if (flags & 8)
		msi.address_hi = take32(s);
	if (flags & 16)
		msi.flags = take32(s);
	if (!(flags & 32))
		msi.data &= 0xff;
	return msi;
}

static int highest_posted(const struct vmirq_vcpu *vcpu)
{
	for (int v = 255; v >= 0; v--)
		if (vecset_test(&vcpu->posted->vectors, (uint8_t)v))
			return v;
	return -1;
}

/* Whoever posts to a vCPU that is in the guest kicks it, and wakes one that is parked: where
 * neither has been done nothing is posted, but in the guest what it could not take when it entered. */
static void check_nothing_missed(const struct cpu *cpu)
{
	const struct vmirq_vcpu *vcpu = cpu->vcpu;
	uint32_t mode = atomic_load(&vcpu->posted->mode);

	check(mode != MODE_DEAD);
	check((mode == MODE_IN_GUEST) == cpu->inside);
	check((mode == MODE_PARKED_ELSEWHERE) == cpu->parked);
	if (mode == MODE_IN_GUEST || mode == MODE_PARKED_ELSEWHERE)
		check(!(vcpu_events(vcpu) & vcpu->wanted_events));
	if (mode == MODE_IN_GUEST)
		check(highest_posted(vcpu) < 16 * (int)(atomic_load(&vcpu->posted->ppr_class) + 1));
	if (mode == MODE_PARKED_ELSEWHERE)
		check(highest_posted(vcpu) < 0);
}

void machine_validate(struct machine *m)
{
	struct line_domain *lines = m->vm->lines;

	for (uint32_t i = 0; i < MACHINE_VCPUS; i++) {
		struct cpu *cpu = &m->cpu[i];

		if (!cpu->vcpu)
			continue;
		check(vmirq_lapic_validate(&cpu->vcpu->lapic));
		if (cpu->alive)
			check_nothing_missed(cpu);
		else
			check(atomic_load(&cpu->vcpu->posted->mode) == MODE_DEAD);
	}
	for (uint32_t i = 0; i < lines->ioapics; i++)
		check(vmirq_ioapic_validate(&lines->ioapic[i]->ioapic));
	if (lines->has_pic)
		check(vmirq_i8259_validate(&lines->pic));
	if (lines->has_pit)
		check(vmirq_pit_validate(&lines->pit));
}

/* Differences are gathered and looked at once: libFuzzer's look at each comparison costs more than
 * all the rest. */
static void check_cpu_laws(const struct cpu *cpu)
{
	uint64_t unaccounted = 0, not_taken = 0, left_pending = 0;

	for (uint32_t vector = 0; vector < 256; vector++) {
		struct vmirq_vector_counts c = { .size = sizeof(c) };

		vmirq_vector_counts(cpu->vcpu, vector, &c);
		unaccounted |= c.posted - (c.merged + c.taken + c.reset + c.pending);
		not_taken |= c.taken - cpu->taken[vector];
		left_pending |= c.pending;
	}
	check(!unaccounted);
	check(!not_taken);
	check(cpu->alive || !left_pending);
}

static uint64_t sum_of(const struct vmirq_route_counts *c)
{
	uint64_t sum = c->held;

	for (int i = 0; i < VMIRQ_VERDICTS; i++)
		sum += c->verdict[i];
	return sum;
}

void machine_check_laws(struct machine *m)
{
	struct vmirq_route_counts c = { .size = sizeof(c) };

	for (uint32_t i = 0; i < MACHINE_VCPUS; i++)
		if (m->cpu[i].vcpu)
			check_cpu_laws(&m->cpu[i]);
	check(!vmirq_msi_counts(m->vm, &c));
	check(c.raised == m->messages && c.raised == sum_of(&c));
	check(!vmirq_ipi_counts(m->vm, &c));
	check(c.raised == sum_of(&c));
}
