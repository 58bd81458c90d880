// SPDX-License-Identifier: MIT
#include "pc_world.h"

#include <stdlib.h>

#include "base/vm.h"
#include "chip/chip.h"
#include "line/line.h"

struct soft *pc_new(unsigned int n, uint32_t flags)
{
	return soft_new_flags(n, VMIRQ_VM_PC_CHIPS | flags, 0);
}

static uint64_t hand_turned(void *opaque)
{
	return ((struct soft *)opaque)->now;
}

struct soft *pc_with_ioapics(unsigned int n, const struct vmirq_ioapic_config *ioapics,
			     uint32_t n_ioapics)
{
	struct soft *s = calloc(1, sizeof(*s));
	struct vmirq_clock clock = { .now = hand_turned, .opaque = s };
	struct vmirq_vm_config config = { .size = sizeof(config),
					  .max_gsis = SOFT_GSIS,
					  .flags = VMIRQ_VM_PC_CHIPS,
					  .clock = &clock,
					  .ioapics = ioapics,
					  .n_ioapics = n_ioapics };

	assert_non_null(s);
	s->max_gsis = SOFT_GSIS;
	assert_int_equal(vmirq_vm_create(&config, &s->vm), 0);
	for (unsigned int i = 0; i < n; i++)
		soft_add(s, i, i, 0);
	return s;
}

/* A line's `delivered` may be the 8259s' or an IOAPIC's; the IOAPICs' own count, in which every message
 * is, takes its place. */
void pc_check(struct soft *s)
{
	int64_t before = s->posted_beyond;

	s->posted_beyond += (int64_t)(vmirq_line_delivered(s->vm->lines) +
				      s->vm->chip->local.verdict[VMIRQ_DELIVERED]);
	for (uint32_t gsi = 0; gsi < s->max_gsis; gsi++) {
		struct kvm_irq_routing_entry entry;

		if (vmirq_route_get(s->vm, gsi, &entry, 1) > 0 &&
		    entry.type == KVM_IRQ_ROUTING_IRQCHIP)
			s->posted_beyond -= (int64_t)gsi_verdict(s, gsi, VMIRQ_DELIVERED);
	}
	soft_check(s);
	s->posted_beyond = before;
}

void pc_free(struct soft *s)
{
	pc_check(s);
	assert_int_equal(vmirq_vm_destroy(s->vm), 0);
	free(s);
}

uint32_t ioapic_get(struct soft *s, uint64_t base, uint32_t reg)
{
	uint32_t value = 0xdeadbeef;

	assert_int_equal(vmirq_vm_mmio(s->vm, base, &reg, 4, true), 0);
	assert_int_equal(vmirq_vm_mmio(s->vm, base + 0x10, &value, 4, false), 0);
	return value;
}

void ioapic_put(struct soft *s, uint64_t base, uint32_t reg, uint32_t value)
{
	assert_int_equal(vmirq_vm_mmio(s->vm, base, &reg, 4, true), 0);
	assert_int_equal(vmirq_vm_mmio(s->vm, base + 0x10, &value, 4, true), 0);
}

void rte_put_at(struct soft *s, uint64_t base, uint32_t pin, uint64_t rte)
{
	ioapic_put(s, base, 0x10 + 2 * pin, RTE_MASKED);
	ioapic_put(s, base, 0x11 + 2 * pin, (uint32_t)(rte >> 32));
	ioapic_put(s, base, 0x10 + 2 * pin, (uint32_t)rte);
}

void rte_put(struct soft *s, uint32_t pin, uint64_t rte)
{
	rte_put_at(s, IOAPIC_BASE, pin, rte);
}

uint64_t rte_get(struct soft *s, uint32_t pin)
{
	return ioapic_get(s, IOAPIC_BASE, 0x10 + 2 * pin) |
	       (uint64_t)ioapic_get(s, IOAPIC_BASE, 0x11 + 2 * pin) << 32;
}

bool remote_irr(struct soft *s, uint32_t pin)
{
	return rte_get(s, pin) & RTE_REMOTE_IRR;
}

void out8(struct soft *s, uint16_t port, uint8_t value)
{
	assert_int_equal(vmirq_vm_pio(s->vm, port, &value, 1, true), 0);
}

uint8_t in8(struct soft *s, uint16_t port)
{
	uint8_t value = 0xee;

	assert_int_equal(vmirq_vm_pio(s->vm, port, &value, 1, false), 0);
	return value;
}

void pics_start(struct soft *s, uint8_t master, uint8_t slave)
{
	out8(s, 0x20, 0x11);
	out8(s, 0x21, 0x20);
	out8(s, 0x21, 0x04);
	out8(s, 0x21, 0x01);
	out8(s, 0xa0, 0x11);
	out8(s, 0xa1, 0x28);
	out8(s, 0xa1, 0x02);
	out8(s, 0xa1, 0x01);
	out8(s, 0x21, master);
	out8(s, 0xa1, slave);
}

int line(struct soft *s, uint32_t gsi, uint32_t source, bool level)
{
	int error = -1, status = vmirq_line_set(s->vm, gsi, source, level, &error);

	assert_int_equal(error, 0);
	return status;
}

int pulse(struct soft *s, uint32_t gsi)
{
	int error = -1, status = vmirq_line_pulse(s->vm, gsi, 0, &error);

	assert_int_equal(error, 0);
	return status;
}

void route_pin(struct soft *s, uint32_t gsi, uint32_t irqchip, uint32_t pin)
{
	struct kvm_irq_routing_entry entry = { .gsi = gsi, .type = KVM_IRQ_ROUTING_IRQCHIP };

	entry.u.irqchip.irqchip = irqchip;
	entry.u.irqchip.pin = pin;
	assert_int_equal(vmirq_route_set(s->vm, &entry, 1), 0);
}

void begin_service(struct vmirq_vcpu *vcpu, uint8_t vector)
{
	assert_int_equal(vmirq_vcpu_next_vector(vcpu), vector);
	assert_int_equal(vmirq_vcpu_ack(vcpu, vector), 0);
	assert_int_equal(vmirq_vcpu_next_vector(vcpu), -1);
}

void end_service(struct vmirq_vcpu *vcpu)
{
	apic_write(vcpu, APIC_EOI, 0);
}
