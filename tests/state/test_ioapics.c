// SPDX-License-Identifier: MIT
/* IOAPICs by number and with all their pins, and whose the RTC's tick is over loads and resets. */
#include "../line/pc_world.h"

#include <stdlib.h>

#include <vmirq/state.h>

#define SECOND UINT64_C(0xfec10000)

static const struct vmirq_ioapic_config ioapics[] = {
	{ .base = IOAPIC_BASE, .pins = 24, .version = 0x11 },
	{ .base = SECOND, .pins = 40, .version = 0x20 },
};

static struct vmirq_ioapic_state get(struct soft *s, uint32_t number)
{
	struct vmirq_ioapic_state state = { .size = sizeof(state) };

	assert_int_equal(vmirq_vm_get_ioapic(s->vm, number, &state), 0);
	return state;
}

static void pins_beyond_the_kernels(void **state)
{
	struct soft *s = pc_with_ioapics(1, ioapics, 2), *other = pc_with_ioapics(1, ioapics, 2);
	struct vmirq_ioapic_state saved, again;

	(void)state;
	rte_put_at(s, SECOND, 39, RTE_LEVEL | RTE_MASKED | 0x71);
	rte_put_at(s, SECOND, 24, RTE_LEVEL | 0x72);
	route_pin(s, 100, KVM_IRQCHIP_IOAPIC + 1, 39);
	route_pin(s, 101, KVM_IRQCHIP_IOAPIC + 1, 24);
	line(s, 100, 0, true);
	line(s, 101, 0, true);
	begin_service(s->vcpu[0], 0x72);
	line(s, 101, 0, false);
	end_service(s->vcpu[0]);
	saved = get(s, 1);
	assert_int_equal(saved.pins, 40);
	assert_int_equal(saved.base, SECOND);
	assert_int_equal(saved.rte[39], RTE_LEVEL | RTE_MASKED | 0x71);
	assert_int_equal(saved.irr[39], 1);
	assert_int_equal(get(s, 0).pins, 24);

	assert_int_equal(vmirq_vm_set_ioapic(other->vm, 1, &saved), 0);
	again = get(other, 1);
	assert_memory_equal(&saved, &again, sizeof(saved));
	take_nothing(other->vcpu[0]);
	/* What is pending is sent, as by KVM_SET_IRQCHIP. */
	saved.rte[39] &= ~(uint64_t)RTE_MASKED;
	assert_int_equal(vmirq_vm_set_ioapic(other->vm, 1, &saved), 0);
	begin_service(other->vcpu[0], 0x71);
	/* No source of this VM's: it is high until the next state. */
	again.irr[39] = 0;
	assert_int_equal(vmirq_vm_set_ioapic(other->vm, 1, &again), 0);
	end_service(other->vcpu[0]);
	take_nothing(other->vcpu[0]);
	line(s, 100, 0, false);
	pc_free(s);
	pc_free(other);
}

static void refused(struct soft *s, uint32_t number, const struct vmirq_ioapic_state *bad,
		    int error)
{
	struct vmirq_ioapic_state before = get(s, 1), after;

	assert_int_equal(vmirq_vm_set_ioapic(s->vm, number, bad), error);
	after = get(s, 1);
	assert_memory_equal(&before, &after, sizeof(before));
}

static void what_is_refused(void **state)
{
	struct soft *s = pc_with_ioapics(1, ioapics, 2), *bare = soft_new(1);
	struct vmirq_ioapic_state good = get(s, 1), bad;
	struct {
		struct vmirq_ioapic_state state;
		uint64_t more;
	} longer = { .state = good };

	(void)state;
	good.rte[3] = 0x10033;
	for (int i = 0; i < 11; i++) {
		bad = good;
		switch (i) {
		case 0:
			bad.pins = 24;
			break;
		case 1:
			bad.pins = 41;
			break;
		case 2:
			bad.pins = UINT32_MAX;
			break;
		case 3:
			bad.reserved = 1;
			break;
		case 4:
			bad.irr[0] = 2;
			break;
		case 5:
			bad.irr[40] = 1;
			break;
		case 6:
			bad.rte[239] = 1;
			break;
		case 7:
			bad.rte[39] = RTE_REMOTE_IRR;
			break;
		case 8:
			bad.id = 16;
			break;
		case 9:
			bad.base = 0x80;
			break;
		default:
			bad.size = 8;
			break;
		}
		refused(s, 1, &bad, -EINVAL);
	}
	refused(s, 2, &good, -ENXIO);
	refused(s, 1, NULL, -EINVAL);
	longer.state.size = sizeof(longer);
	assert_int_equal(vmirq_vm_set_ioapic(s->vm, 1, &longer.state), 0);
	longer.more = 1;
	refused(s, 1, &longer.state, -E2BIG);
	assert_int_equal(vmirq_vm_get_ioapic(s->vm, 2, &good), -ENXIO);
	assert_int_equal(vmirq_vm_get_ioapic(bare->vm, 0, &good), -ENXIO);
	good.size = 8;
	assert_int_equal(vmirq_vm_get_ioapic(s->vm, 1, &good), -EINVAL);
	pc_free(s);
	soft_free(bare);
}

#define RTC 8u

/* Its line high and low: what became of it. */
static int tick(struct soft *s)
{
	int status = line(s, RTC, 0, true);

	line(s, RTC, 0, false);
	return status;
}

static struct kvm_lapic_state lapic(struct vmirq_vcpu *vcpu)
{
	struct kvm_lapic_state state;

	assert_int_equal(vmirq_vcpu_get_lapic(vcpu, &state), 0);
	return state;
}

/* As /dev/kvm does it, but for the last: where a vCPU is reset the kernel waits for ever. */
static void the_tick_is_each_local_apics(void **state)
{
	struct soft *s = pc_new(2, 0);
	struct kvm_lapic_state with, without;
	struct kvm_irqchip chip = { .chip_id = KVM_IRQCHIP_IOAPIC };

	(void)state;
	pics_start(s, 0xff, 0xff);
	without = lapic(s->vcpu[0]);
	rte_put(s, RTC, RTE_TO(0xff) | 0x81);
	assert_int_equal(tick(s), 2);
	with = lapic(s->vcpu[0]);
	take_only(s->vcpu[0], 0x81);
	assert_int_equal(tick(s), 0);
	take_only(s->vcpu[1], 0x81);
	assert_int_equal(tick(s), 2);
	take_only(s->vcpu[1], 0x81);

	/* One loses its vector by a load, and has it back by another. */
	assert_int_equal(vmirq_vcpu_set_lapic(s->vcpu[0], &without), 0);
	apic_enable(s->vcpu[0]);
	assert_int_equal(vmirq_vcpu_set_lapic(s->vcpu[0], &with), 0);
	assert_int_equal(tick(s), 0);
	assert_int_equal(vmirq_vm_get_irqchip(s->vm, &chip), 0);
	assert_int_equal(vmirq_vm_set_irqchip(s->vm, &chip), 0);
	assert_int_equal(tick(s), 0);
	assert_int_equal(vmirq_vcpu_set_lapic(s->vcpu[0], &without), 0);
	assert_int_equal(tick(s), 2);

	take_only(s->vcpu[0], 0x81);
	assert_int_equal(tick(s), 0);
	assert_int_equal(vmirq_vcpu_reset(s->vcpu[1]), 0);
	apic_enable(s->vcpu[1]);
	assert_int_equal(tick(s), 2);
	take_only(s->vcpu[0], 0x81);
	assert_int_equal(vmirq_vcpu_destroy(s->vcpu[1]), 0);
	assert_int_equal(tick(s), 1);
	take_only(s->vcpu[0], 0x81);
	assert_int_equal(vmirq_vm_destroy(s->vm), 0);
	free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pins_beyond_the_kernels),
		cmocka_unit_test(what_is_refused),
		cmocka_unit_test(the_tick_is_each_local_apics),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
