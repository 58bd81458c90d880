/* SPDX-License-Identifier: MIT */
/*
 * A thousand vCPUs: every destination mode finds whom it means and nobody else, whoever changes its
 * address is found under the new one at once, and ten thousand resets leave nothing behind
 * (XSA-360: vectors leak over guest reset; df04d1d1: absent APICs in the map).
 */
#include <stdlib.h>

#include "support.h"

#define VCPUS  1024
#define RESETS 10000

struct crowd {
	struct vmirq_vm *vm;
	struct vmirq_vcpu *vcpu[VCPUS];
};

static struct crowd *crowd_new(void)
{
	struct vmirq_vm_config config = { .size = sizeof(config),
					  .max_vcpus = VCPUS,
					  .flags = VMIRQ_VM_MSI_32BIT_IDS };
	struct crowd *c = calloc(1, sizeof(*c));

	assert_non_null(c);
	assert_int_equal(vmirq_vm_create(&config, &c->vm), 0);
	for (uint32_t i = 0; i < VCPUS; i++) {
		struct vmirq_vcpu_config cpu = {
			.size = sizeof(cpu), .index = i, .apic_id = i, .flags = VMIRQ_VCPU_X2APIC
		};

		assert_int_equal(vmirq_vcpu_create(c->vm, &cpu, &c->vcpu[i]), 0);
		apic_enable(c->vcpu[i]);
	}
	return c;
}

static void crowd_free(struct crowd *c)
{
	assert_int_equal(vmirq_vm_destroy(c->vm), 0);
	free(c);
}

static struct kvm_msi message(uint32_t dest, bool logical, uint8_t vector)
{
	return (struct kvm_msi){ .address_lo = 0xfee00000u | (dest & 0xff) << 12 |
					       (uint32_t)logical << 2,
				 .address_hi = dest & 0xffffff00u,
				 .data = vector };
}

/* Takes the vector from exactly those that `meant` says; returns how many there were. */
static unsigned int taken_by(struct crowd *c, uint8_t vector,
			     bool (*meant)(uint32_t id, uint32_t dest), uint32_t dest)
{
	unsigned int n = 0;

	for (uint32_t i = 0; i < VCPUS; i++) {
		if (meant(i, dest)) {
			take_only(c->vcpu[i], vector);
			n++;
		} else {
			take_nothing(c->vcpu[i]);
		}
	}
	return n;
}

static bool is_id(uint32_t id, uint32_t dest)
{
	return id == dest;
}

static bool in_cluster(uint32_t id, uint32_t dest)
{
	return id >> 4 == dest >> 16 && (dest & 1u << (id & 0xf));
}

static bool is_everybody(uint32_t id, uint32_t dest)
{
	(void)id;
	(void)dest;
	return true;
}

static void physical(void **state)
{
	static const uint32_t ids[] = { 0, 1, 254, 255 + 1, 511, 1022, 1023 };
	struct crowd *c = crowd_new();
	struct kvm_msi nobody = message(1024, false, 0x41);

	(void)state;
	for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
		struct kvm_msi msi = message(ids[i], false, 0x41);

		assert_int_equal(vmirq_msi_send(c->vm, &msi), 1);
		assert_int_equal(taken_by(c, 0x41, is_id, ids[i]), 1);
	}
	assert_int_equal(vmirq_msi_send(c->vm, &nobody), 0);
	assert_int_equal(taken_by(c, 0x41, is_id, 1024), 0);
	crowd_free(c);
}

static void clusters(void **state)
{
	struct crowd *c = crowd_new();

	(void)state;
	for (uint32_t cluster = 0; cluster < VCPUS / 16; cluster += 7) {
		uint32_t dest = cluster << 16 | 0x8421;
		struct kvm_msi msi = message(dest, true, 0x51);

		assert_int_equal(vmirq_msi_send(c->vm, &msi), 4);
		assert_int_equal(taken_by(c, 0x51, in_cluster, dest), 4);
	}
	crowd_free(c);
}

static void broadcast(void **state)
{
	struct crowd *c = crowd_new();
	struct kvm_msi msi = message(UINT32_MAX, false, 0x61);
	struct vmirq_route_counts ipis = { .size = sizeof(ipis) };

	(void)state;
	assert_int_equal(vmirq_msi_send(c->vm, &msi), VCPUS);
	assert_int_equal(taken_by(c, 0x61, is_everybody, 0), VCPUS);
	/* All but self, by IPI. */
	assert_int_equal(vmirq_vcpu_wrmsr(c->vcpu[700], 0x830, ICR_TO_OTHERS | ICR_ASSERTED | 0x62),
			 0);
	take_nothing(c->vcpu[700]);
	for (uint32_t i = 0; i < VCPUS; i++)
		if (i != 700)
			take_only(c->vcpu[i], 0x62);
	assert_int_equal(vmirq_ipi_counts(c->vm, &ipis), 0);
	assert_int_equal(ipis.raised, 1);
	crowd_free(c);
}

/* One whose APIC is off is not there; on again it is, and in between the others are not disturbed. */
static void who_leaves_is_not_found(void **state)
{
	struct crowd *c = crowd_new();
	enum vmirq_verdict verdict;

	(void)state;
	for (uint32_t id = 5; id < VCPUS; id += 101) {
		struct kvm_msi msi = message(id, false, 0x41),
			       neighbour = message(id - 1, false, 0x41);
		uint64_t base = vmirq_vcpu_apic_base(c->vcpu[id]);

		assert_int_equal(vmirq_vcpu_set_apic_base(c->vcpu[id], base & ~UINT64_C(0xc00)), 0);
		assert_int_equal(vmirq_msi_send_verdict(c->vm, &msi, &verdict), 0);
		assert_int_equal(verdict, VMIRQ_APIC_DISABLED);
		assert_int_equal(vmirq_msi_send(c->vm, &neighbour), 1);
		take_only(c->vcpu[id - 1], 0x41);
		assert_int_equal(vmirq_vcpu_destroy(c->vcpu[id]), 0);
		assert_int_equal(vmirq_msi_send_verdict(c->vm, &msi, &verdict), 0);
		assert_int_equal(verdict, VMIRQ_NO_TARGET);
	}
	crowd_free(c);
}

static void ten_thousand_resets(void **state)
{
	struct soft *s = soft_new_flags(2, VMIRQ_VM_PC_CHIPS | VMIRQ_VM_PIT, 0);
	struct vmirq_vector_counts counts = { .size = sizeof(counts) };

	(void)state;
	for (uint32_t i = 0; i < RESETS; i++) {
		uint8_t vector = (uint8_t)(0x20 + i % 0xd0);
		struct kvm_msi msi = msi_to(1, vector);

		/* One in service, one pending, one posted; and a timer under way. */
		vmirq_msi_send(s->vm, &msi);
		assert_int_equal(vmirq_vcpu_next_vector(s->vcpu[1]), vector);
		assert_int_equal(vmirq_vcpu_ack(s->vcpu[1], vector), 0);
		vmirq_msi_send(s->vm, &msi);
		vmirq_vcpu_next_vector(s->vcpu[1]);
		apic_write(s->vcpu[1], APIC_LVT_TIMER, 0x40);
		apic_write(s->vcpu[1], APIC_TMICT, 1000000);
		vmirq_vcpu_nmi(s->vcpu[1]);
		assert_int_equal(vmirq_vm_reset(s->vm), 0);
		assert_int_equal(vmirq_vcpu_next_vector(s->vcpu[1]), -1);
		assert_int_equal(vmirq_vcpu_deadline(s->vcpu[1]), UINT64_MAX);
		assert_int_equal(apic_read(s->vcpu[1], APIC_SVR), 0xff);
		assert_int_equal(apic_read(s->vcpu[1], APIC_ISR + (vector >> 5) * 0x10u), 0);
		apic_enable(s->vcpu[1]);
	}
	for (uint32_t v = 0; v < 256; v++) {
		assert_int_equal(vmirq_vector_counts(s->vcpu[1], v, &counts), 0);
		assert_int_equal(counts.pending, 0);
		assert_int_equal(counts.posted, counts.merged + counts.taken + counts.reset);
	}
	soft_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(physical),
		cmocka_unit_test(clusters),
		cmocka_unit_test(broadcast),
		cmocka_unit_test(who_leaves_is_not_found),
		cmocka_unit_test(ten_thousand_resets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
