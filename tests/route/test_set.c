// SPDX-License-Identifier: MIT
/* One GSI's route: what is valid (KVM API 4.52, KVM_SET_GSI_ROUTING), limits, reading back. */
#include "../support.h"

static struct kvm_irq_routing_entry msi_entry(uint32_t gsi, uint8_t vector)
{
	struct kvm_irq_routing_entry e = { .gsi = gsi, .type = KVM_IRQ_ROUTING_MSI };

	e.u.msi.address_lo = 0xfee00000;
	e.u.msi.data = vector;
	return e;
}

static struct kvm_irq_routing_entry pin_entry(uint32_t gsi, uint32_t chip, uint32_t pin)
{
	struct kvm_irq_routing_entry e = { .gsi = gsi, .type = KVM_IRQ_ROUTING_IRQCHIP };

	e.u.irqchip.irqchip = chip;
	e.u.irqchip.pin = pin;
	return e;
}

/* GSI 5 goes to vector 0x45, by an irqfd that was resolved long ago. */
static struct soft *with_route(struct vmirq_irqfd **irqfd)
{
	struct soft *s = soft_new(1);

	route_to(s, 5, 0, 0x45);
	*irqfd = irqfd_call(s, 5);
	return s;
}

static void assert_old_route(struct soft *s, struct vmirq_irqfd *irqfd)
{
	struct kvm_irq_routing_entry e;

	assert_signal(irqfd, VMIRQ_DELIVERED);
	take_only(s->vcpu[0], 0x45);
	assert_int_equal(vmirq_route_get(s->vm, 5, &e, 1), 1);
	assert_int_equal(e.u.msi.data, 0x45);
}

static void a_route_is_followed_and_read_back(void **state)
{
	struct vmirq_irqfd *irqfd;
	struct soft *s = with_route(&irqfd);
	struct kvm_irq_routing_entry in = msi_entry(5, 0x46), out[2];

	(void)state;
	in.flags = KVM_MSI_VALID_DEVID;
	in.u.msi.devid = 0x1234;
	in.u.msi.address_hi = 7;
	assert_int_equal(vmirq_route_set(s->vm, &in, 1), 0);
	assert_signal(irqfd, VMIRQ_DELIVERED);
	take_only(s->vcpu[0], 0x46);
	memset(out, 0xee, sizeof(out));
	assert_int_equal(vmirq_route_get(s->vm, 5, out, 2), 1);
	assert_memory_equal(&out[0], &in, sizeof(in));
	assert_int_equal(out[1].gsi, 0xeeeeeeee);
	/* How many there are, without taking them. */
	assert_int_equal(vmirq_route_get(s->vm, 5, NULL, 0), 1);
	soft_free(s);
}

static void set_msi_is_the_same_in_fields(void **state)
{
	struct soft *s = soft_new(1);
	struct kvm_irq_routing_entry out;

	(void)state;
	assert_int_equal(vmirq_route_set_msi(s->vm, 9, UINT64_C(0xaabbccddfee00000), 0x47), 0);
	assert_int_equal(vmirq_route_get(s->vm, 9, &out, 1), 1);
	assert_int_equal(out.gsi, 9);
	assert_int_equal(out.type, KVM_IRQ_ROUTING_MSI);
	assert_int_equal(out.flags, 0);
	assert_int_equal(out.u.msi.address_lo, 0xfee00000);
	assert_int_equal(out.u.msi.address_hi, 0xaabbccdd);
	assert_int_equal(out.u.msi.data, 0x47);
	soft_free(s);
}

static void clear_takes_it_away(void **state)
{
	struct vmirq_irqfd *irqfd;
	struct soft *s = with_route(&irqfd);
	struct kvm_irq_routing_entry out;

	(void)state;
	assert_int_equal(vmirq_route_clear(s->vm, 5), 0);
	assert_int_equal(vmirq_route_get(s->vm, 5, &out, 1), 0);
	assert_signal(irqfd, VMIRQ_NO_ROUTE);
	take_nothing(s->vcpu[0]);
	/* Nothing there: nothing to do. */
	assert_int_equal(vmirq_route_clear(s->vm, 5), 0);
	assert_int_equal(vmirq_route_clear(s->vm, 700), 0);
	soft_free(s);
}

static void unknown_flags(void **state)
{
	struct vmirq_irqfd *irqfd;
	struct soft *s = with_route(&irqfd);

	(void)state;
	for (unsigned int bit = 1; bit < 32; bit++) {
		struct kvm_irq_routing_entry e = msi_entry(5, 0x50);

		e.flags = 1u << bit;
		assert_int_equal(vmirq_route_set(s->vm, &e, 1), -EINVAL);
	}
	for (unsigned int bit = 0; bit < 32; bit++) {
		struct kvm_irq_routing_entry e = pin_entry(5, KVM_IRQCHIP_IOAPIC, 5);

		/* VALID_DEVID is for messages only. */
		e.flags = 1u << bit;
		assert_int_equal(vmirq_route_set(s->vm, &e, 1), -EINVAL);
	}
	assert_old_route(s, irqfd);
	soft_free(s);
}

static void unknown_types(void **state)
{
	static const uint32_t types[] = { 0, 3, 4, 5, 6, UINT32_MAX };
	struct vmirq_irqfd *irqfd;
	struct soft *s = with_route(&irqfd);

	(void)state;
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		struct kvm_irq_routing_entry e = msi_entry(5, 0x50);

		e.type = types[i];
		assert_int_equal(vmirq_route_set(s->vm, &e, 1), -EINVAL);
	}
	assert_old_route(s, irqfd);
	soft_free(s);
}

static void an_msi_shares_its_gsi_with_nothing(void **state)
{
	struct vmirq_irqfd *irqfd;
	struct soft *s = with_route(&irqfd);
	struct kvm_irq_routing_entry two_msis[] = { msi_entry(5, 0x50), msi_entry(5, 0x51) };
	struct kvm_irq_routing_entry before[] = { msi_entry(5, 0x50),
						  pin_entry(5, KVM_IRQCHIP_IOAPIC, 5) };
	struct kvm_irq_routing_entry behind[] = { pin_entry(5, KVM_IRQCHIP_IOAPIC, 5),
						  msi_entry(5, 0x50) };

	(void)state;
	assert_int_equal(vmirq_route_set(s->vm, two_msis, 2), -EINVAL);
	assert_int_equal(vmirq_route_set(s->vm, before, 2), -EINVAL);
	assert_int_equal(vmirq_route_set(s->vm, behind, 2), -EINVAL);
	assert_old_route(s, irqfd);
	soft_free(s);
}

static void entries_of_one_call_name_one_gsi(void **state)
{
	struct vmirq_irqfd *irqfd;
	struct soft *s = with_route(&irqfd);
	struct kvm_irq_routing_entry e[] = { pin_entry(5, KVM_IRQCHIP_PIC_MASTER, 5),
					     pin_entry(6, KVM_IRQCHIP_IOAPIC, 5) };

	(void)state;
	assert_int_equal(vmirq_route_set(s->vm, e, 2), -EINVAL);
	assert_old_route(s, irqfd);
	soft_free(s);
}

/* Pins past the chip, chips that are none, one chip twice: before anything is said of chips that this
 * VM has not got. */
static void bad_pins(void **state)
{
	static const uint32_t bad[][2] = {
		{ KVM_IRQCHIP_PIC_MASTER, 8 },
		{ KVM_IRQCHIP_PIC_SLAVE, 8 },
		{ KVM_IRQCHIP_IOAPIC, 24 },
		{ KVM_IRQCHIP_IOAPIC, UINT32_MAX },
		{ 3, 0 },
		{ UINT32_MAX, 0 },
	};
	struct vmirq_irqfd *irqfd;
	struct soft *s = with_route(&irqfd);
	struct kvm_irq_routing_entry twice[] = { pin_entry(5, KVM_IRQCHIP_IOAPIC, 5),
						 pin_entry(5, KVM_IRQCHIP_IOAPIC, 6) };

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct kvm_irq_routing_entry e = pin_entry(5, bad[i][0], bad[i][1]);

		assert_int_equal(vmirq_route_set(s->vm, &e, 1), -EINVAL);
	}
	assert_int_equal(vmirq_route_set(s->vm, twice, 2), -EINVAL);
	assert_old_route(s, irqfd);
	soft_free(s);
}

/* What is valid but has nowhere to go. */
static void pins_of_chips_the_vm_has_not_got(void **state)
{
	struct vmirq_irqfd *irqfd;
	struct soft *s = with_route(&irqfd);
	struct kvm_irq_routing_entry e[] = { pin_entry(5, KVM_IRQCHIP_PIC_MASTER, 5),
					     pin_entry(5, KVM_IRQCHIP_IOAPIC, 5) };

	(void)state;
	assert_int_equal(vmirq_route_set(s->vm, e, 1), -EOPNOTSUPP);
	assert_int_equal(vmirq_route_set(s->vm, e, 2), -EOPNOTSUPP);
	assert_int_equal(vmirq_route_set_all(s->vm, e, 2), -EOPNOTSUPP);
	assert_old_route(s, irqfd);
	soft_free(s);
}

/* CVE-2017-1000252: a GSI at and past the end, at every call. */
static void gsi_limits(void **state)
{
	static const uint32_t past[] = { SOFT_GSIS, SOFT_GSIS + 1, UINT32_MAX - 1, UINT32_MAX };
	struct soft *s = soft_new(1);
	struct kvm_irq_routing_entry e;

	(void)state;
	for (size_t i = 0; i < sizeof(past) / sizeof(past[0]); i++) {
		e = msi_entry(past[i], 0x50);
		assert_int_equal(vmirq_route_set(s->vm, &e, 1), -EINVAL);
		e = pin_entry(past[i], KVM_IRQCHIP_IOAPIC, 5);
		assert_int_equal(vmirq_route_set(s->vm, &e, 1), -EINVAL);
		assert_int_equal(vmirq_route_set_msi(s->vm, past[i], 0xfee00000, 0x50), -EINVAL);
		assert_int_equal(vmirq_route_clear(s->vm, past[i]), -EINVAL);
		assert_int_equal(vmirq_route_get(s->vm, past[i], &e, 1), -EINVAL);
		assert_int_equal(vmirq_gsi_free(s->vm, past[i]), -EINVAL);
	}
	route_to(s, 0, 0, 0x50);
	route_to(s, SOFT_GSIS - 1, 0, 0x51);
	assert_signal(irqfd_call(s, 0), VMIRQ_DELIVERED);
	assert_signal(irqfd_call(s, SOFT_GSIS - 1), VMIRQ_DELIVERED);
	assert_int_equal(take_all(s->vcpu[0], NULL), 2);
	soft_free(s);
}

/* No 4096 of the kernel's, and one high GSI does not cost the memory of all below. */
static void the_highest_gsi_there_can_be(void **state)
{
	struct vmirq_vm_config config = { .size = sizeof(config),
					  .max_vcpus = 1,
					  .max_gsis = UINT32_MAX };
	struct vmirq_irqfd_config on = { .size = sizeof(on), .eventfd = -1 };
	struct vmirq_irqfd *irqfd;
	struct vmirq_vm *vm;
	struct kvm_irq_routing_entry e;
	static const uint32_t gsis[] = { UINT32_MAX - 1, 4096, 5000, 1u << 20, 1u << 31, 63, 64 };

	(void)state;
	assert_int_equal(vmirq_vm_create(&config, &vm), 0);
	for (size_t i = 0; i < sizeof(gsis) / sizeof(gsis[0]); i++) {
		struct vmirq_route_counts c = { .size = sizeof(c) };

		assert_int_equal(vmirq_route_get(vm, gsis[i], &e, 1), 0);
		assert_int_equal(vmirq_route_set_msi(vm, gsis[i], 0xfee00000, (uint32_t)i), 0);
		on.gsi = gsis[i];
		assert_int_equal(vmirq_irqfd_assign(vm, &on, &irqfd), 0);
		assert_int_equal(vmirq_irqfd_gsi(irqfd), gsis[i]);
		assert_signal(irqfd, VMIRQ_BAD_VECTOR);
		assert_int_equal(vmirq_gsi_counts(vm, gsis[i], &c), 0);
		assert_int_equal(c.raised, 1);
	}
	for (size_t i = 0; i < sizeof(gsis) / sizeof(gsis[0]); i++) {
		assert_int_equal(vmirq_route_get(vm, gsis[i], &e, 1), 1);
		assert_int_equal(e.u.msi.data, i);
		assert_int_equal(vmirq_route_get(vm, gsis[i] - 1, &e, 1), gsis[i] == 64 ? 1 : 0);
	}
	assert_int_equal(vmirq_route_set_msi(vm, UINT32_MAX, 0xfee00000, 0x50), -EINVAL);
	assert_int_equal(vmirq_vm_destroy(vm), 0);
}

static void wide_ids_ask_for_a_clear_low_byte(void **state)
{
	struct soft *s = soft_new_flags(1, VMIRQ_VM_MSI_32BIT_IDS, 0);
	struct kvm_irq_routing_entry e = msi_entry(5, 0x45);

	(void)state;
	route_to(s, 5, 0, 0x44);
	for (uint32_t low = 1; low < 256; low += low) {
		e.u.msi.address_hi = 0x100 | low;
		assert_int_equal(vmirq_route_set(s->vm, &e, 1), -EINVAL);
	}
	assert_signal(irqfd_call(s, 5), VMIRQ_DELIVERED);
	take_only(s->vcpu[0], 0x44);
	e.u.msi.address_hi = 0x100;
	assert_int_equal(vmirq_route_set(s->vm, &e, 1), 0);
	soft_free(s);
}

static void null_and_nothing(void **state)
{
	struct soft *s = soft_new(1);
	struct kvm_irq_routing_entry e = msi_entry(5, 0x45);

	(void)state;
	assert_int_equal(vmirq_route_set(NULL, &e, 1), -EINVAL);
	assert_int_equal(vmirq_route_set(s->vm, NULL, 1), -EINVAL);
	assert_int_equal(vmirq_route_set(s->vm, &e, 0), -EINVAL);
	assert_int_equal(vmirq_route_set_msi(NULL, 5, 0xfee00000, 0x45), -EINVAL);
	assert_int_equal(vmirq_route_clear(NULL, 5), -EINVAL);
	assert_int_equal(vmirq_route_get(NULL, 5, &e, 1), -EINVAL);
	assert_int_equal(vmirq_route_get(s->vm, 5, NULL, 1), -EINVAL);
	soft_free(s);
}

/* A route may say what no LAPIC can take: it is the signal that is told so. */
static void a_route_to_nowhere_is_legal(void **state)
{
	struct soft *s = soft_new(1);
	struct vmirq_irqfd *irqfd = irqfd_call(s, 5);

	(void)state;
	route_to(s, 5, 0x63, 0x45);
	assert_signal(irqfd, VMIRQ_NO_TARGET);
	route_to(s, 5, 0, 5);
	assert_signal(irqfd, VMIRQ_BAD_VECTOR);
	assert_int_equal(vmirq_route_set_msi(s->vm, 5, 0x12300000, 0x45), 0);
	assert_signal(irqfd, VMIRQ_BAD_MESSAGE);
	assert_int_equal(vmirq_route_set_msi(s->vm, 5, 0xfee00000, 0x345), 0);
	assert_signal(irqfd, VMIRQ_BAD_MESSAGE);
	apic_write(s->vcpu[0], APIC_SVR, 0xff);
	route_to(s, 5, 0, 0x45);
	assert_signal(irqfd, VMIRQ_APIC_DISABLED);
	assert_int_equal(counts_of(irqfd).raised, 5);
	take_nothing(s->vcpu[0]);
	soft_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_route_is_followed_and_read_back),
		cmocka_unit_test(set_msi_is_the_same_in_fields),
		cmocka_unit_test(clear_takes_it_away),
		cmocka_unit_test(unknown_flags),
		cmocka_unit_test(unknown_types),
		cmocka_unit_test(an_msi_shares_its_gsi_with_nothing),
		cmocka_unit_test(entries_of_one_call_name_one_gsi),
		cmocka_unit_test(bad_pins),
		cmocka_unit_test(pins_of_chips_the_vm_has_not_got),
		cmocka_unit_test(gsi_limits),
		cmocka_unit_test(the_highest_gsi_there_can_be),
		cmocka_unit_test(wide_ids_ask_for_a_clear_low_byte),
		cmocka_unit_test(null_and_nothing),
		cmocka_unit_test(a_route_to_nowhere_is_legal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
