// SPDX-License-Identifier: MIT
#include "twin.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <vmirq/line.h>
#include <vmirq/msi.h>
#include <vmirq/route.h>

#include "base/vm.h"
#include "line/line.h"
#include "vcpu/vcpu.h"

#define APIC	   UINT64_C(0xfee00000)
#define FIRST	   UINT64_C(0xfec00000)
#define SECOND	   UINT64_C(0xfec10000)
#define GSIS	   64u
#define TSC_MSR	   0x6e0u
#define BASE_MSR   0x1bu
#define X2APIC_MSR 0x800u

static uint64_t twin_now(void *opaque)
{
	return ((struct twin *)opaque)->now;
}

static uint32_t apic_id(const struct twin *t, uint32_t i)
{
	return t->kind == TWIN_X2APIC && i == 2 ? 300 : i;
}

void twin_start(struct twin *t, enum twin_kind kind)
{
	static const struct vmirq_ioapic_config ioapics[] = {
		{ .base = FIRST, .pins = 24, .version = 0x20 },
		{ .base = SECOND, .pins = 40, .version = 0x11 },
	};
	struct vmirq_clock clock = { .now = twin_now, .opaque = t };
	struct vmirq_vm_config config = {
		.size = sizeof(config), .max_vcpus = 8, .max_gsis = 128, .clock = &clock
	};

	memset(t, 0, sizeof(*t));
	t->kind = kind;
	if (kind == TWIN_FULL) {
		config.flags = VMIRQ_VM_PC_CHIPS | VMIRQ_VM_PIT;
		config.ioapics = ioapics;
		config.n_ioapics = 2;
	} else if (kind == TWIN_PLAIN) {
		config.flags = VMIRQ_VM_PC_CHIPS;
	} else if (kind == TWIN_X2APIC) {
		config.flags = VMIRQ_VM_PC_CHIPS | VMIRQ_VM_PIT | VMIRQ_VM_PIT_DISCARD |
			       VMIRQ_VM_MSI_32BIT_IDS | VMIRQ_VM_PROFILE_SPEC;
	}
	assert_int_equal(vmirq_vm_create(&config, &t->vm), 0);
	for (uint32_t i = 0; i < TWIN_VCPUS; i++) {
		struct vmirq_vcpu_config vcpu = { .size = sizeof(vcpu),
						  .index = 2 * i,
						  .apic_id = apic_id(t, i) };

		if (kind == TWIN_X2APIC && i)
			vcpu.flags = VMIRQ_VCPU_X2APIC;
		assert_int_equal(vmirq_vcpu_create(t->vm, &vcpu, &t->vcpu[i]), 0);
	}
}

void twin_end(struct twin *t)
{
	twin_check(t);
	assert_int_equal(vmirq_vm_destroy(t->vm), 0);
}

static bool is_x2apic(struct vmirq_vcpu *vcpu)
{
	return (vmirq_vcpu_apic_base(vcpu) & 0xc00) == 0xc00;
}

static uint64_t apic_write(struct vmirq_vcpu *vcpu, uint32_t reg, uint32_t value)
{
	if (is_x2apic(vcpu))
		return (uint64_t)vmirq_vcpu_wrmsr(vcpu, X2APIC_MSR + reg / 0x10, value);
	return (uint64_t)vmirq_vcpu_mmio(vcpu, APIC + reg, &value, 4, true);
}

static uint64_t apic_read(struct vmirq_vcpu *vcpu, uint32_t reg)
{
	uint64_t value = 0;

	if (is_x2apic(vcpu))
		vmirq_vcpu_rdmsr(vcpu, X2APIC_MSR + reg / 0x10, &value);
	else
		vmirq_vcpu_mmio(vcpu, APIC + reg, &value, 4, false);
	return value;
}

static void ioapic_write(struct twin *t, uint64_t base, uint32_t reg, uint32_t value)
{
	vmirq_vm_mmio(t->vm, base, &reg, 4, true);
	vmirq_vm_mmio(t->vm, base + 0x10, &value, 4, true);
}

static void out(struct twin *t, uint16_t port, uint8_t value)
{
	vmirq_vm_pio(t->vm, port, &value, 1, true);
}

static uint64_t in(struct twin *t, uint16_t port)
{
	uint8_t value = 0;

	vmirq_vm_pio(t->vm, port, &value, 1, false);
	return value;
}

static void program_pic(struct twin *t)
{
	static const uint8_t words[][3] = {
		{ 0x20, 0x11 }, { 0x21, 0x20 }, { 0x21, 4 }, { 0x21, 1 }, { 0x21, 0x80 },
		{ 0xa0, 0x11 }, { 0xa1, 0x28 }, { 0xa1, 2 }, { 0xa1, 1 }, { 0xa1, 0x40 },
	};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		out(t, words[i][0], words[i][1]);
}

void twin_program(struct twin *t)
{
	for (uint32_t i = 0; i < TWIN_VCPUS; i++) {
		apic_write(t->vcpu[i], 0xf0, 0x1ff);
		apic_write(t->vcpu[i], 0xd0, 1u << (24 + i));
	}
	program_pic(t);
	for (uint32_t pin = 0; pin < 24; pin++) {
		ioapic_write(t, FIRST, 0x11 + 2 * pin, (pin % 3) << 24);
		ioapic_write(t, FIRST, 0x10 + 2 * pin, (pin & 1) << 15 | (0x30 + 4 * pin));
	}
	for (uint32_t pin = 0; pin < 40; pin++)
		ioapic_write(t, SECOND, 0x10 + 2 * pin, (pin & 1) << 15 | (0x40 + pin));
	for (uint32_t gsi = 24; gsi < GSIS && t->kind == TWIN_FULL; gsi++) {
		struct kvm_irq_routing_entry entry = { .gsi = gsi,
						       .type = KVM_IRQ_ROUTING_IRQCHIP };

		entry.u.irqchip.irqchip = KVM_IRQCHIP_IOAPIC + 1;
		entry.u.irqchip.pin = gsi - 24;
		vmirq_route_set(t->vm, &entry, 1);
	}
	out(t, 0x43, 0x34);
	out(t, 0x40, 0);
	out(t, 0x40, 8);
}

uint64_t twin_random(uint64_t *seed)
{
	uint64_t z = *seed += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

static uint64_t do_line(struct twin *t, uint32_t a, uint32_t b)
{
	uint32_t gsi = a % 4 ? a / 4 % GSIS : 8;
	int error, status;

	status = b % 8 ? vmirq_line_set(t->vm, gsi, b / 8 % 3, b / 32 % 2, &error)
		       : vmirq_line_pulse(t->vm, gsi, 0, &error);
	return (uint64_t)(uint32_t)error << 32 | (uint32_t)status;
}

static uint64_t do_step(struct twin *t, uint32_t i, uint32_t b)
{
	uint32_t vector = 0;
	unsigned int flags = (b & 15 ? VMIRQ_CPU_INTERRUPTIBLE : 0) |
			     (b & 16 ? VMIRQ_CPU_HALTED : 0) |
			     ((b & 0xe0) == 0 ? VMIRQ_CPU_NMI_BLOCKED : 0);
	int step = vmirq_vcpu_step(t->vcpu[i], flags, &vector);

	vmirq_vcpu_leave(t->vcpu[i]);
	t->injected += step == VMIRQ_STEP_INJECT;
	/* Sometimes the CPU does not get to take it. */
	if (step == VMIRQ_STEP_INJECT && b >> 8 & 7)
		vmirq_vcpu_ack(t->vcpu[i], vector);
	if (step == VMIRQ_STEP_INJECT && (b >> 8 & 7) == 1)
		vmirq_vcpu_unack(t->vcpu[i], vector);
	return (uint64_t)step << 32 |
	       (step == VMIRQ_STEP_INJECT || step == VMIRQ_STEP_SIPI ? vector : 0);
}

static uint64_t do_msi(struct twin *t, uint32_t a, uint32_t b)
{
	static const uint32_t modes[] = { 0, 0, 0, 1, 4, 5 };
	struct kvm_msi msi = {
		.address_lo = 0xfee00000u | (a % 4 == 3 ? 0xff : a % 4) << 12 | (a & 0xc),
		.data = modes[b % 6] << 8 | (b >> 8) % 256,
	};

	return (uint64_t)vmirq_msi_send(t->vm, &msi);
}

static uint64_t do_timer(struct twin *t, uint32_t i, uint32_t a, uint32_t b)
{
	uint64_t value;

	switch (a % 5) {
	case 0:
		return apic_write(t->vcpu[i], 0x320, (b % 3) << 17 | (0x31 + b / 3 % 100));
	case 1:
		return apic_write(t->vcpu[i], 0x380, b % 100000);
	case 2:
		return apic_write(t->vcpu[i], 0x3e0, b % 16 & 0xb);
	case 3:
		return (uint64_t)vmirq_vcpu_wrmsr(t->vcpu[i], TSC_MSR, t->now + b % 1000000);
	default:
		value = 0;
		vmirq_vcpu_rdmsr(t->vcpu[i], TSC_MSR, &value);
		return value + apic_read(t->vcpu[i], 0x390);
	}
}

static uint64_t do_apic(struct twin *t, uint32_t i, uint32_t a, uint32_t b)
{
	static const uint32_t shorthands[] = { 0, 1, 2, 3 };
	uint64_t base = vmirq_vcpu_apic_base(t->vcpu[i]);

	switch (a % 8) {
	case 0:
		return apic_write(t->vcpu[i], 0x80, b & 0xff);
	case 1:
		return apic_write(t->vcpu[i], 0x280, 0) + apic_read(t->vcpu[i], 0x280);
	case 2:
		return apic_write(t->vcpu[i], 0xf0, b % 5 ? 0x1ff : 0xff);
	case 3:
		return apic_write(t->vcpu[i], 0x350, b % 2 ? 0x700 : 0x10700);
	case 4:
		return (uint64_t)vmirq_vcpu_wrmsr(t->vcpu[i], BASE_MSR,
						  b % 16 ? base | 0x800 : base ^ 0x800);
	case 5:
		/* A SIPI, an NMI, a vector. */
		return apic_write(t->vcpu[i], 0x300,
				  shorthands[b % 4] << 18 |
					  (b / 4 % 4 == 0   ? 0x612
					   : b / 4 % 4 == 1 ? 0x400
							    : 0x80 + b / 16 % 64));
	default:
		return apic_read(t->vcpu[i], 0x100 + (a / 8 % 32) * 0x10);
	}
}

static uint64_t do_chip(struct twin *t, uint32_t a, uint32_t b)
{
	uint64_t base = t->kind == TWIN_FULL && a & 1 ? SECOND : FIRST;
	uint32_t pin = a / 2 % (base == SECOND ? 40 : 24), value = 0;

	switch (b % 8) {
	case 0:
		ioapic_write(t, base, 0x10 + 2 * pin,
			     (b >> 8 & 1) << 15 | (b >> 9 & 7 ? 0 : 1u << 16) |
				     ((b >> 12 & 7) == 0 ? 0x400 : 0) | (0x30 + pin));
		return 0;
	case 1:
		ioapic_write(t, base, 0x11 + 2 * pin, (b >> 8 & 3) << 24);
		return 0;
	case 2:
		out(t, b & 8 ? 0x20 : 0xa0, b & 16 ? 0x20 : 0x60 | (b >> 8 & 7));
		return 0;
	case 3:
		out(t, b & 8 ? 0x21 : 0xa1, b >> 8 & b >> 16 & 0xff);
		return 0;
	case 4:
		return in(t,
			  (uint16_t[]){ 0x20, 0xa0, 0x40, 0x42, 0x61, 0x4d0, 0x21, 0xa1 }[a % 8]);
	case 5:
		if (a % 3)
			out(t, 0x40 + a % 3 % 2 * 2, (uint8_t)(b >> 8));
		else
			out(t, 0x43, (uint8_t)((b >> 8) & 0xff));
		return 0;
	case 6:
		out(t, a % 4 ? 0x61 : 0x4d0, (uint8_t)(a % 4 ? b >> 8 & 3 : b >> 8 & 0xf8));
		return 0;
	default:
		vmirq_vm_mmio(t->vm, base + 0x10, &value, 4, false);
		return value;
	}
}

static uint64_t do_route(struct twin *t, uint32_t a, uint32_t b)
{
	uint32_t gsi = a / 8 % GSIS, got = 0;

	switch (a % 8) {
	case 0:
		return (uint64_t)vmirq_route_set_msi(t->vm, gsi, 0xfee00000u | (b & 3) << 12,
						     0x60 + (b >> 8 & 0x3f));
	case 1:
		return (uint64_t)vmirq_route_clear(t->vm, gsi);
	case 2:
		return (uint64_t)vmirq_gsi_alloc(t->vm, &got) << 32 | got;
	case 3:
		return (uint64_t)vmirq_gsi_free(t->vm, gsi);
	case 4:
		return (uint64_t)vmirq_line_source_alloc(t->vm, &got) << 32 | got;
	case 5:
		return (uint64_t)vmirq_line_source_free(t->vm, b % 4);
	case 6:
		return (uint64_t)vmirq_route_pc_default(t->vm);
	default:
		return (uint64_t)vmirq_line_level(t->vm, gsi);
	}
}

static uint64_t pass_time(struct twin *t, uint32_t a)
{
	t->now += a % 16 ? a / 16 % 3000000 : a / 16 % 30000000;
	vmirq_vm_expire(t->vm);
	return vmirq_vm_deadline(t->vm);
}

uint64_t twin_do(struct twin *t, uint64_t what)
{
	uint32_t kind = what & 63, i = (what >> 6 & 0xff) % TWIN_VCPUS;
	uint32_t a = (uint32_t)(what >> 14) & 0xfffff, b = (uint32_t)(what >> 34);

	if (kind < 14)
		return do_line(t, a, b);
	if (kind < 32)
		return do_step(t, i, b);
	if (kind < 40)
		return apic_write(t->vcpu[i], 0xb0, 0);
	if (kind < 43)
		return do_msi(t, a, b);
	if (kind < 47)
		return do_timer(t, i, a, b);
	if (kind < 50)
		return do_apic(t, i, a, b);
	if (kind < 56)
		return do_chip(t, a, b);
	if (kind < 59)
		return do_route(t, a, b);
	if (kind < 60)
		vmirq_vcpu_nmi(t->vcpu[i]);
	return pass_time(t, a);
}

void *twin_save(struct twin *t, size_t *size)
{
	int64_t needs = vmirq_vm_save(t->vm, NULL, 0);
	void *blob;

	assert_true(needs > 0);
	blob = malloc((size_t)needs);
	assert_non_null(blob);
	memset(blob, 0xa5, (size_t)needs);
	assert_int_equal(vmirq_vm_save(t->vm, blob, (size_t)needs), needs);
	*size = (size_t)needs;
	return blob;
}

void twin_check(struct twin *t)
{
	struct line_domain *lines = t->vm->lines;

	for (uint32_t i = 0; i < TWIN_VCPUS; i++)
		assert_true(vmirq_lapic_validate(&t->vcpu[i]->lapic));
	for (uint32_t i = 0; i < lines->ioapics; i++)
		assert_true(vmirq_ioapic_validate(&lines->ioapic[i]->ioapic));
	if (lines->has_pic)
		assert_true(vmirq_i8259_validate(&lines->pic));
	if (lines->has_pit)
		assert_true(vmirq_pit_validate(&lines->pit));
}
