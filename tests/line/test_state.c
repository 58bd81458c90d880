// SPDX-License-Identifier: MIT
/* The chips' saved state through the VM (state.h): round trips, and what is refused. */
#include "pc_world.h"

#include <vmirq/state.h>

static struct kvm_irqchip get(struct soft *s, uint32_t id)
{
	struct kvm_irqchip chip;

	memset(&chip, 0, sizeof(chip));
	chip.chip_id = id;
	assert_int_equal(vmirq_vm_get_irqchip(s->vm, &chip), 0);
	assert_int_equal(chip.chip_id, id);
	return chip;
}

static void program(struct soft *s)
{
	pics_start(s, 0xb8, 0x8f);
	out8(s, 0x4d0, 0x20);
	rte_put(s, 17, RTE_TO(0) | RTE_LEVEL | 0x51);
	rte_put(s, 18, RTE_TO(0) | RTE_MASKED | 0x52);
	rte_put(s, 23, RTE_TO(0) | 0x53);
}

static void irqchips_go_round(void **state)
{
	struct soft *s = pc_new(1, 0), *other = pc_new(1, 0);

	(void)state;
	program(s);
	line(s, 17, 0, true);
	pulse(s, 1);
	line(s, 18, 0, true);
	for (uint32_t id = KVM_IRQCHIP_PIC_MASTER; id <= KVM_IRQCHIP_IOAPIC; id++) {
		struct kvm_irqchip saved = get(s, id), again;

		assert_int_equal(vmirq_vm_set_irqchip(other->vm, &saved), 0);
		again = get(other, id);
		assert_memory_equal(&saved, &again, sizeof(saved));
	}
	assert_true(remote_irr(other, 17));
	assert_int_equal(in8(other, 0x21), 0xb8);
	/* Remote-IRR: it was delivered before it was saved. */
	take_nothing(other->vcpu[0]);
	line(s, 17, 0, false);
	take_only(s->vcpu[0], 0x51);
	pc_free(s);
	pc_free(other);
}

/* A level that is pending in the state is delivered by the load. */
static void what_is_pending_is_sent(void **state)
{
	struct soft *s = pc_new(1, 0);
	struct kvm_irqchip chip;

	(void)state;
	program(s);
	chip = get(s, KVM_IRQCHIP_IOAPIC);
	chip.chip.ioapic.irr = 1u << 17 | 1u << 18;
	assert_int_equal(vmirq_vm_set_irqchip(s->vm, &chip), 0);
	begin_service(s->vcpu[0], 0x51);
	end_service(s->vcpu[0]);
	/* It is high until its device says otherwise. */
	begin_service(s->vcpu[0], 0x51);
	line(s, 17, 0, false);
	end_service(s->vcpu[0]);
	take_nothing(s->vcpu[0]);
	assert_false(remote_irr(s, 17));
	pc_free(s);
}

static void what_is_refused(void **state)
{
	struct soft *s = pc_new(1, 0), *bare = soft_new(1);
	struct kvm_irqchip before, bad, after;
	struct kvm_pit_state2 pit;

	(void)state;
	program(s);
	for (uint32_t id = KVM_IRQCHIP_IOAPIC + 1; id; id = id < 100 ? id + 1 : id * 2) {
		bad = get(s, KVM_IRQCHIP_IOAPIC);
		bad.chip_id = id;
		assert_int_equal(vmirq_vm_get_irqchip(s->vm, &bad), -EINVAL);
		assert_int_equal(vmirq_vm_set_irqchip(s->vm, &bad), -EINVAL);
	}
	before = bad = get(s, KVM_IRQCHIP_IOAPIC);
	bad.chip.ioapic.redirtbl[17].bits = 0x61;
	/* An edge with Remote-IRR: no write can bring it about. */
	bad.chip.ioapic.redirtbl[23].bits = RTE_REMOTE_IRR | 0x62;
	assert_int_equal(vmirq_vm_set_irqchip(s->vm, &bad), -EINVAL);
	after = get(s, KVM_IRQCHIP_IOAPIC);
	assert_memory_equal(&before, &after, sizeof(before));
	before = bad = get(s, KVM_IRQCHIP_PIC_SLAVE);
	bad.chip.pic.imr = 0;
	bad.chip.pic.priority_add = 8;
	assert_int_equal(vmirq_vm_set_irqchip(s->vm, &bad), -EINVAL);
	after = get(s, KVM_IRQCHIP_PIC_SLAVE);
	assert_memory_equal(&before, &after, sizeof(before));
	assert_int_equal(vmirq_vm_set_irqchip(s->vm, NULL), -EINVAL);
	for (uint32_t id = KVM_IRQCHIP_PIC_MASTER; id <= KVM_IRQCHIP_IOAPIC; id++) {
		bad.chip_id = id;
		assert_int_equal(vmirq_vm_get_irqchip(bare->vm, &bad), -ENXIO);
		assert_int_equal(vmirq_vm_set_irqchip(bare->vm, &bad), -ENXIO);
	}
	assert_int_equal(vmirq_vm_get_pit2(s->vm, &pit), -ENXIO);
	assert_int_equal(vmirq_vm_set_pit2(bare->vm, &pit), -ENXIO);
	pc_free(s);
	soft_free(bare);
}

static void pits_go_round(void **state)
{
	struct soft *s = pc_new(1, VMIRQ_VM_PIT), *other = pc_new(1, VMIRQ_VM_PIT);
	struct kvm_pit_state2 saved, again;

	(void)state;
	out8(s, 0x43, 0x34);
	out8(s, 0x40, 0x9c);
	out8(s, 0x40, 0x2e);
	out8(s, 0x61, 0x03);
	assert_int_equal(vmirq_vm_get_pit2(s->vm, &saved), 0);
	assert_int_equal(saved.channels[0].mode, 2);
	assert_int_equal(saved.channels[0].count, 0x2e9c);
	assert_int_equal(vmirq_vm_set_pit2(other->vm, &saved), 0);
	assert_int_equal(vmirq_vm_get_pit2(other->vm, &again), 0);
	assert_memory_equal(&saved, &again, sizeof(saved));
	/* It ticks there too. */
	assert_int_equal(vmirq_vm_deadline(other->vm), vmirq_vm_deadline(s->vm));
	assert_true(vmirq_vm_deadline(other->vm) < UINT64_MAX);
	again.channels[1].mode = 9;
	again.channels[0].count = 1;
	assert_int_equal(vmirq_vm_set_pit2(other->vm, &again), -EINVAL);
	assert_int_equal(vmirq_vm_get_pit2(other->vm, &again), 0);
	assert_memory_equal(&saved, &again, sizeof(saved));
	again.flags = 0x80000000u;
	assert_int_equal(vmirq_vm_set_pit2(other->vm, &again), -EINVAL);
	assert_int_equal(vmirq_vm_set_pit2(other->vm, NULL), -EINVAL);
	/* CVE-2015-7513: a count of 0 is 65536. */
	again = saved;
	again.channels[0].count = 0;
	assert_int_equal(vmirq_vm_set_pit2(other->vm, &again), 0);
	other->now += 1000000000;
	vmirq_vm_expire(other->vm);
	pc_free(s);
	pc_free(other);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(irqchips_go_round),
		cmocka_unit_test(what_is_pending_is_sent),
		cmocka_unit_test(what_is_refused),
		cmocka_unit_test(pits_go_round),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
