// SPDX-License-Identifier: MIT
/*
 * Every number that a caller gives, at its edge and past it, at every entry that takes it: GSIs
 * (CVE-2017-1000252), pins and chips (XSA-261), sources, slots, vectors. What is refused has changed
 * nothing; the last good one works.
 */
#include "../line/pc_world.h"

#include <sys/eventfd.h>
#include <unistd.h>
#include <vmirq/state.h>

#include "base/vm.h"
#include "line/line.h"

#define VECTOR 0x61

static const struct vmirq_ioapic_config ioapics[] = {
	{ .base = IOAPIC_BASE, .pins = 24, .version = 0x11 },
	{ .base = IOAPIC_BASE + 0x1000, .pins = 40, .version = 0x20 },
};

static void never(void *opaque, uint32_t gsi, uint32_t value)
{
	(void)opaque;
	(void)gsi;
	(void)value;
	fail_msg("called");
}

static struct kvm_irq_routing_entry pin_entry(uint32_t gsi, uint32_t irqchip, uint32_t pin)
{
	struct kvm_irq_routing_entry entry = { .gsi = gsi, .type = KVM_IRQ_ROUTING_IRQCHIP };

	entry.u.irqchip.irqchip = irqchip;
	entry.u.irqchip.pin = pin;
	return entry;
}

static void no_route_there(struct soft *s, uint32_t gsi)
{
	struct kvm_irq_routing_entry entry = pin_entry(gsi, KVM_IRQCHIP_IOAPIC, 5);

	assert_int_equal(vmirq_route_set(s->vm, &entry, 1), -EINVAL);
	assert_int_equal(vmirq_route_set_all(s->vm, &entry, 1), -EINVAL);
	entry.type = KVM_IRQ_ROUTING_MSI;
	entry.u.msi.address_lo = 0xfee00000;
	entry.u.msi.address_hi = 0;
	entry.u.msi.data = VECTOR;
	assert_int_equal(vmirq_route_set(s->vm, &entry, 1), -EINVAL);
	assert_int_equal(vmirq_route_set_all(s->vm, &entry, 1), -EINVAL);
	assert_int_equal(vmirq_route_set_msi(s->vm, gsi, 0xfee00000, VECTOR), -EINVAL);
	assert_int_equal(vmirq_route_clear(s->vm, gsi), -EINVAL);
	assert_int_equal(vmirq_route_get(s->vm, gsi, &entry, 1), -EINVAL);
	assert_int_equal(vmirq_gsi_free(s->vm, gsi), -EINVAL);
}

static void no_irqfd_there(struct soft *s, uint32_t gsi)
{
	int fd = eventfd(0, EFD_NONBLOCK), resamplefd = eventfd(0, EFD_NONBLOCK);
	struct vmirq_irqfd_config config = { .size = sizeof(config), .gsi = gsi };
	struct kvm_irqfd args = { .fd = (uint32_t)fd, .gsi = gsi };
	struct vmirq_irqfd *irqfd;

	for (uint32_t resample = 0; resample < 2; resample++)
		for (int by_call = 0; by_call < 2; by_call++) {
			config.flags = resample ? VMIRQ_IRQFD_RESAMPLE : 0;
			config.eventfd = by_call ? -1 : fd;
			config.resamplefd = resamplefd;
			assert_int_equal(vmirq_irqfd_assign(s->vm, &config, &irqfd), -EINVAL);
		}
	assert_int_equal(vmirq_irqfd(s->vm, &args), -EINVAL);
	/* Nothing is there to deassign. */
	args.flags = KVM_IRQFD_FLAG_DEASSIGN;
	assert_int_equal(vmirq_irqfd(s->vm, &args), 0);
	close(fd);
	close(resamplefd);
}

static void no_line_there(struct soft *s, uint32_t gsi)
{
	struct vmirq_route_counts counts = { .size = sizeof(counts) };
	struct vmirq_notifier_config config = { .size = sizeof(config), .gsi = gsi, .fn = never };
	struct vmirq_notifier *notifier;
	int error = 0;

	assert_int_equal(vmirq_line_set(s->vm, gsi, 0, true, &error), NOBODY);
	assert_int_equal(error, -EINVAL);
	error = 0;
	assert_int_equal(vmirq_line_pulse(s->vm, gsi, 0, &error), NOBODY);
	assert_int_equal(error, -EINVAL);
	assert_int_equal(vmirq_line_level(s->vm, gsi), -EINVAL);
	for (; config.notice <= VMIRQ_NOTICE_MASK; config.notice++)
		assert_int_equal(vmirq_notifier_add(s->vm, &config, &notifier), -EINVAL);
	assert_int_equal(vmirq_gsi_counts(s->vm, gsi, &counts), -EINVAL);
}

/* A message, and a pin, on this GSI; each arrives. */
static void all_is_there(struct soft *s, uint32_t gsi)
{
	struct vmirq_irqfd *irqfd;

	route_to(s, gsi, 0, VECTOR);
	irqfd = irqfd_call(s, gsi);
	assert_signal(irqfd, VMIRQ_DELIVERED);
	take_only(s->vcpu[0], VECTOR);
	assert_int_equal(pulse(s, gsi), 1);
	take_only(s->vcpu[0], VECTOR);
	assert_int_equal(counts_of_gsi(s, gsi).raised, 2);
	assert_int_equal(vmirq_irqfd_deassign(irqfd), 0);
	assert_int_equal(vmirq_line_level(s->vm, gsi), 0);
	assert_int_equal(vmirq_route_clear(s->vm, gsi), 0);
}

static void gsis(void **state)
{
	static const uint32_t past[] = { SOFT_GSIS, SOFT_GSIS + 1,  1u << 16,  INT32_MAX,
					 1u << 31,  UINT32_MAX - 1, UINT32_MAX };
	struct soft *s = pc_new(1, 0);

	(void)state;
	for (size_t i = 0; i < sizeof(past) / sizeof(past[0]); i++) {
		no_route_there(s, past[i]);
		no_irqfd_there(s, past[i]);
		no_line_there(s, past[i]);
	}
	all_is_there(s, 0);
	all_is_there(s, SOFT_GSIS - 1);
	pc_free(s);
}

/* In a transaction it is said at once, and the rest of it stands. */
static void gsis_in_a_transaction(void **state)
{
	struct soft *s = pc_new(1, 0);

	(void)state;
	assert_int_equal(vmirq_route_begin(s->vm), 0);
	route_to(s, SOFT_GSIS - 1, 0, VECTOR);
	assert_int_equal(vmirq_route_set_msi(s->vm, SOFT_GSIS, 0xfee00000, VECTOR), -EINVAL);
	assert_int_equal(vmirq_route_clear(s->vm, UINT32_MAX), -EINVAL);
	assert_int_equal(vmirq_route_commit(s->vm), 0);
	assert_signal(irqfd_call(s, SOFT_GSIS - 1), VMIRQ_DELIVERED);
	take_only(s->vcpu[0], VECTOR);
	pc_free(s);
}

/* Each chip's last pin, and past it; and chips past the last. */
static void pins_of_routes(void **state)
{
	static const struct {
		uint32_t irqchip, pins;
	} chips[] = { { KVM_IRQCHIP_PIC_MASTER, 8 },
		      { KVM_IRQCHIP_PIC_SLAVE, 8 },
		      { KVM_IRQCHIP_IOAPIC, 24 },
		      { KVM_IRQCHIP_IOAPIC + 1, 40 },
		      { KVM_IRQCHIP_IOAPIC + 2, 0 },
		      { KVM_IRQCHIP_IOAPIC + 8, 0 },
		      { UINT32_MAX, 0 } };
	struct soft *s = pc_with_ioapics(1, ioapics, 2);

	(void)state;
	for (size_t i = 0; i < sizeof(chips) / sizeof(chips[0]); i++) {
		const uint32_t past[] = { chips[i].pins, chips[i].pins + 1, 240,
					  1u << 16,	 1u << 31,	    UINT32_MAX };

		for (size_t k = 0; k < sizeof(past) / sizeof(past[0]); k++) {
			struct kvm_irq_routing_entry entry =
				pin_entry(50, chips[i].irqchip, past[k]);

			assert_true(vmirq_route_set(s->vm, &entry, 1) < 0);
			assert_true(vmirq_route_set_all(s->vm, &entry, 1) < 0);
			assert_int_equal(vmirq_route_get(s->vm, 50, &entry, 1), 0);
		}
	}
	route_pin(s, 50, KVM_IRQCHIP_IOAPIC + 1, 39);
	rte_put_at(s, IOAPIC_BASE + 0x1000, 39, RTE_TO(0) | VECTOR);
	assert_int_equal(pulse(s, 50), 1);
	take_only(s->vcpu[0], VECTOR);
	pc_free(s);
}

static void nothing_past_the_last(struct soft *s, uint32_t number)
{
	const struct line_ioapic *io = s->vm->lines->ioapic[number];

	for (uint32_t pin = ioapics[number].pins; pin < IOAPIC_MAX_PINS; pin++)
		assert_int_equal(io->pin[pin].rte, 0);
}

/* CVE-2013-1798: a guest's selectors past the last pin raise and change nothing. */
static void pins_of_the_window(void **state)
{
	struct soft *s = pc_with_ioapics(1, ioapics, 2);

	(void)state;
	for (int i = 0; i < 2; i++)
		for (uint32_t reg = 0x10 + 2 * ioapics[i].pins; reg < 0x100; reg++) {
			ioapic_put(s, ioapics[i].base, reg, VECTOR);
			assert_int_equal(ioapic_get(s, ioapics[i].base, reg), UINT32_MAX);
		}
	take_nothing(s->vcpu[0]);
	nothing_past_the_last(s, 0);
	nothing_past_the_last(s, 1);
	for (uint32_t pin = 0; pin < 24; pin++)
		assert_int_equal(rte_get(s, pin), RTE_MASKED);
	pc_free(s);
}

static void sources(void **state)
{
	struct soft *s = pc_new(1, 0);
	uint32_t source = 0;
	int error = 0;

	(void)state;
	rte_put(s, 19, RTE_TO(0) | RTE_LEVEL | VECTOR);
	for (uint64_t past = 61; past <= UINT32_MAX; past = past < 70 ? past + 1 : past * 2 + 1) {
		assert_int_equal(vmirq_line_set(s->vm, 19, (uint32_t)past, true, &error), NOBODY);
		assert_int_equal(error, -EINVAL);
		error = 0;
		assert_int_equal(vmirq_line_pulse(s->vm, 19, (uint32_t)past, &error), NOBODY);
		assert_int_equal(error, -EINVAL);
		assert_int_equal(vmirq_line_source_free(s->vm, (uint32_t)past), -EINVAL);
	}
	assert_int_equal(vmirq_line_source_free(s->vm, 0), -EINVAL);
	for (uint32_t i = 1; i <= 60; i++)
		assert_int_equal(vmirq_line_source_alloc(s->vm, &source), 0);
	assert_int_equal(vmirq_line_source_alloc(s->vm, &source), -ENOSPC);
	take_nothing(s->vcpu[0]);
	assert_int_equal(source, 60);
	assert_int_equal(line(s, 19, 60, true), 1);
	begin_service(s->vcpu[0], VECTOR);
	assert_int_equal(vmirq_line_source_free(s->vm, 60), 0);
	end_service(s->vcpu[0]);
	take_nothing(s->vcpu[0]);
	pc_free(s);
}

static void slots_vectors_and_chips(void **state)
{
	static const uint32_t past[] = { SOFT_VCPUS, 1u << 16, 1u << 31, UINT32_MAX };
	struct vmirq_vcpu_config config = { .size = sizeof(config), .apic_id = 77 };
	struct vmirq_vector_counts counts = { .size = sizeof(counts) };
	struct vmirq_ioapic_state ioapic = { .size = sizeof(ioapic) };
	struct kvm_irqchip chip = { .chip_id = 0 };
	struct soft *s = pc_new(1, 0);
	struct vmirq_vcpu *vcpu;

	(void)state;
	for (size_t i = 0; i < sizeof(past) / sizeof(past[0]); i++) {
		config.index = past[i];
		assert_int_equal(vmirq_vcpu_create(s->vm, &config, &vcpu), -EINVAL);
		assert_null(vmirq_vm_vcpu(s->vm, past[i]));
		assert_int_equal(vmirq_vm_get_ioapic(s->vm, past[i], &ioapic), -ENXIO);
		assert_int_equal(vmirq_vm_set_ioapic(s->vm, past[i], &ioapic), -ENXIO);
		chip.chip_id = past[i];
		assert_int_equal(vmirq_vm_get_irqchip(s->vm, &chip), -EINVAL);
		assert_int_equal(vmirq_vm_set_irqchip(s->vm, &chip), -EINVAL);
		assert_int_equal(vmirq_vector_counts(s->vcpu[0], 256 + past[i] % 256, &counts),
				 -EINVAL);
		assert_int_equal(vmirq_vcpu_ack(s->vcpu[0], past[i] | 256), -EINVAL);
		assert_int_equal(vmirq_vcpu_unack(s->vcpu[0], past[i] | 256), -EINVAL);
	}
	assert_int_equal(vmirq_vm_get_ioapic(s->vm, 1, &ioapic), -ENXIO);
	soft_add(s, SOFT_VCPUS - 1, SOFT_VCPUS - 1, 0);
	send(s, msi_to(SOFT_VCPUS - 1, VECTOR), VMIRQ_DELIVERED);
	take_only(s->vcpu[SOFT_VCPUS - 1], VECTOR);
	pc_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(gsis),		  cmocka_unit_test(gsis_in_a_transaction),
		cmocka_unit_test(pins_of_routes), cmocka_unit_test(pins_of_the_window),
		cmocka_unit_test(sources),	  cmocka_unit_test(slots_vectors_and_chips),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
