// SPDX-License-Identifier: MIT
/* Several IOAPICs of any size (vm.h), and version 0x20: an EOI register, and guests that suppress EOI
 * broadcasts (SDM vol. 3A 11.8.5). */
#include "pc_world.h"

#define SECOND		     UINT64_C(0xfec01000)
#define VECTOR		     0x51

#define VERSION_DIRECTED_EOI (1u << 24)

static void several(void **state)
{
	static const struct vmirq_ioapic_config ioapics[] = {
		{ .base = IOAPIC_BASE, .pins = 24, .version = 0x11 },
		{ .base = SECOND, .pins = 240, .version = 0x20 },
		{ .base = UINT64_C(0x100000000), .pins = 32, .version = 0x11 },
	};
	struct soft *s = pc_with_ioapics(1, ioapics, 3);

	(void)state;
	for (uint32_t i = 0; i < 3; i++) {
		uint64_t base = ioapics[i].base;
		uint32_t last = ioapics[i].pins - 1, gsi = 300 + i;

		assert_int_equal(ioapic_get(s, base, 1), last << 16 | ioapics[i].version);
		route_pin(s, gsi, KVM_IRQCHIP_IOAPIC + i, last);
		rte_put_at(s, base, last, RTE_TO(0) | RTE_LEVEL | (VECTOR + i));
		assert_int_equal(line(s, gsi, 0, true), 1);
		begin_service(s->vcpu[0], (uint8_t)(VECTOR + i));
		line(s, gsi, 0, false);
		end_service(s->vcpu[0]);
		assert_false(ioapic_get(s, base, 0x10 + 2 * last) & RTE_REMOTE_IRR);
	}
	/* A route names its own chip's pins only. */
	for (uint32_t i = 0; i < 4; i++) {
		struct kvm_irq_routing_entry entry = { .gsi = 310,
						       .type = KVM_IRQ_ROUTING_IRQCHIP };

		entry.u.irqchip.irqchip = KVM_IRQCHIP_IOAPIC + i;
		entry.u.irqchip.pin = i < 3 ? ioapics[i].pins : 0;
		assert_in_range(-vmirq_route_set(s->vm, &entry, 1), 1, 4095);
	}
	/* The same pin of two chips are two pins. */
	route_pin(s, 301, KVM_IRQCHIP_IOAPIC, 20);
	route_pin(s, 302, KVM_IRQCHIP_IOAPIC + 1, 20);
	rte_put(s, 20, RTE_TO(0) | 0x61);
	assert_int_equal(line(s, 302, 0, true), NOBODY);
	assert_int_equal(line(s, 301, 0, true), 1);
	take_only(s->vcpu[0], 0x61);
	pc_free(s);
}

static int create(const struct vmirq_ioapic_config *ioapics, uint32_t n, uint32_t flags)
{
	struct vmirq_vm_config config = {
		.size = sizeof(config), .flags = flags, .ioapics = ioapics, .n_ioapics = n
	};
	struct vmirq_vm *vm = NULL;
	int error = vmirq_vm_create(&config, &vm);

	assert_int_equal(vm != NULL, error == 0);
	assert_int_equal(vmirq_vm_destroy(vm), 0);
	return error;
}

static void bad_configs(void **state)
{
	const struct vmirq_ioapic_config good = { .base = SECOND, .pins = 24, .version = 0x20 };
	static const struct vmirq_ioapic_config bad[] = {
		{ .base = SECOND, .pins = 23, .version = 0x20 },
		{ .base = SECOND, .pins = 241, .version = 0x20 },
		{ .base = SECOND, .pins = 0, .version = 0x20 },
		{ .base = SECOND, .pins = UINT32_MAX, .version = 0x20 },
		{ .base = SECOND + 1, .pins = 24, .version = 0x20 },
		{ .base = SECOND + 0x80, .pins = 24, .version = 0x20 },
		{ .base = SECOND, .pins = 24, .version = 0x12 },
		{ .base = SECOND, .pins = 24, .version = 0 },
		{ .base = SECOND, .pins = 24, .version = 0x111 },
		{ .base = SECOND, .pins = 24, .version = 0x120 },
	};
	struct vmirq_ioapic_config nine[9];

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct vmirq_ioapic_config two[2] = { good, bad[i] };

		two[0].base = IOAPIC_BASE;
		assert_int_equal(create(&bad[i], 1, VMIRQ_VM_PC_CHIPS), -EINVAL);
		assert_int_equal(create(two, 2, VMIRQ_VM_PC_CHIPS), -EINVAL);
	}
	for (int i = 0; i < 9; i++) {
		nine[i] = good;
		nine[i].base += (uint64_t)i * 0x1000;
	}
	assert_int_equal(create(nine, 8, VMIRQ_VM_PC_CHIPS), 0);
	assert_int_equal(create(nine, 9, VMIRQ_VM_PC_CHIPS), -EINVAL);
	assert_int_equal(create(nine, 1, 0), -EINVAL);
	assert_int_equal(create(NULL, 1, VMIRQ_VM_PC_CHIPS), -EINVAL);
	/* Named, but none of them wanted: the PC's one. */
	assert_int_equal(create(nine, 0, VMIRQ_VM_PC_CHIPS), 0);
}

/* Two windows at one address: whose would an access be? */
static void windows_that_overlap(void **state)
{
	const struct vmirq_ioapic_config same[2] = {
		{ .base = SECOND, .pins = 24, .version = 0x20 },
		{ .base = SECOND, .pins = 24, .version = 0x20 },
	};

	(void)state;
	assert_int_equal(create(same, 2, VMIRQ_VM_PC_CHIPS), -EINVAL);
}

static struct soft *with_eoi_register(void)
{
	static const struct vmirq_ioapic_config ioapic = { .base = IOAPIC_BASE,
							   .pins = 24,
							   .version = 0x20 };
	struct soft *s = pc_with_ioapics(1, &ioapic, 1);

	rte_put(s, 17, RTE_TO(0) | RTE_LEVEL | VECTOR);
	return s;
}

static void directed_eoi(struct soft *s, uint32_t vector)
{
	assert_int_equal(vmirq_vm_mmio(s->vm, IOAPIC_BASE + 0x40, &vector, 4, true), 0);
}

static void the_eoi_register(void **state)
{
	struct soft *s = with_eoi_register();
	struct vmirq_vcpu *vcpu = s->vcpu[0];

	(void)state;
	assert_int_equal(ioapic_get(s, IOAPIC_BASE, 1), 0x170020);
	assert_true(apic_read(vcpu, APIC_VERSION) & VERSION_DIRECTED_EOI);
	apic_write(vcpu, APIC_SVR, 0x1ff | SVR_NO_BROADCAST);
	assert_int_equal(apic_read(vcpu, APIC_SVR), 0x1ff | SVR_NO_BROADCAST);
	line(s, 17, 0, true);
	begin_service(vcpu, VECTOR);
	end_service(vcpu);
	/* The local APIC is through, the IOAPIC is not. */
	assert_true(remote_irr(s, 17));
	take_nothing(vcpu);
	directed_eoi(s, VECTOR + 1);
	assert_true(remote_irr(s, 17));
	directed_eoi(s, VECTOR);
	begin_service(vcpu, VECTOR);
	line(s, 17, 0, false);
	end_service(vcpu);
	assert_true(remote_irr(s, 17));
	directed_eoi(s, VECTOR);
	assert_false(remote_irr(s, 17));
	take_nothing(vcpu);
	/* Without the bit it is broadcast as ever. */
	apic_write(vcpu, APIC_SVR, 0x1ff);
	line(s, 17, 0, true);
	begin_service(vcpu, VECTOR);
	line(s, 17, 0, false);
	end_service(vcpu);
	assert_false(remote_irr(s, 17));
	pc_free(s);
}

/* The PC's IOAPIC has none, and its guests are not offered it. */
static void version_11_has_none(void **state)
{
	struct soft *s = pc_new(1, 0);

	(void)state;
	assert_false(apic_read(s->vcpu[0], APIC_VERSION) & VERSION_DIRECTED_EOI);
	apic_write(s->vcpu[0], APIC_SVR, 0x1ff | SVR_NO_BROADCAST);
	assert_int_equal(apic_read(s->vcpu[0], APIC_SVR), 0x1ff);
	rte_put(s, 17, RTE_TO(0) | RTE_LEVEL | VECTOR);
	line(s, 17, 0, true);
	line(s, 17, 0, false);
	directed_eoi(s, VECTOR);
	assert_true(remote_irr(s, 17));
	take_only(s->vcpu[0], VECTOR);
	assert_false(remote_irr(s, 17));
	pc_free(s);
}

static void whose_address_it_is(void **state)
{
	struct soft *s = pc_new(1, 0);
	uint8_t data[16] = { 0 };

	(void)state;
	assert_int_equal(vmirq_vm_mmio(s->vm, IOAPIC_BASE - 1, data, 1, false), -ENOENT);
	assert_int_equal(vmirq_vm_mmio(s->vm, IOAPIC_BASE + 0x100, data, 4, false), -ENOENT);
	assert_int_equal(vmirq_vm_mmio(s->vm, UINT64_MAX, data, 4, true), -ENOENT);
	assert_int_equal(vmirq_vm_mmio(s->vm, 0, data, 4, true), -ENOENT);
	for (uint32_t offset = 0; offset < 0x100; offset++)
		for (uint32_t len = 1; len <= 16 && offset + len <= 0x100; len++) {
			assert_int_equal(
				vmirq_vm_mmio(s->vm, IOAPIC_BASE + offset, data, len, true), 0);
			assert_int_equal(
				vmirq_vm_mmio(s->vm, IOAPIC_BASE + offset, data, len, false), 0);
		}
	/* CVE-2013-1798: all selectors. */
	for (uint32_t reg = 0; reg < 256; reg++) {
		ioapic_put(s, IOAPIC_BASE, reg, UINT32_MAX);
		ioapic_get(s, IOAPIC_BASE, reg);
	}
	pc_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(several),
		cmocka_unit_test(bad_configs),
		cmocka_unit_test(windows_that_overlap),
		cmocka_unit_test(the_eoi_register),
		cmocka_unit_test(version_11_has_none),
		cmocka_unit_test(whose_address_it_is),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
