// SPDX-License-Identifier: MIT
/* Slots: create, destroy, create again; callbacks released once (vcpu.h). */
#include "../support.h"

#include <limits.h>

static struct vmirq_vcpu_config good(uint32_t index, uint32_t id)
{
	return (struct vmirq_vcpu_config){ .size = sizeof(struct vmirq_vcpu_config),
					   .index = index,
					   .apic_id = id };
}

static void refused(struct soft *s, const struct vmirq_vcpu_config *config, int error)
{
	struct vmirq_vcpu *vcpu = NULL;

	assert_int_equal(vmirq_vcpu_create(s->vm, config, &vcpu), error);
	assert_null(vcpu);
}

static void sizes(void **state)
{
	struct soft *s = soft_new(0);
	struct {
		struct vmirq_vcpu_config known;
		char tail[8];
	} longer = { .known = good(0, 0) };
	struct vmirq_vcpu_config config = good(0, 0);
	struct vmirq_vcpu *vcpu;

	(void)state;
	for (config.size = 0; config.size < sizeof(config); config.size++)
		refused(s, &config, -EINVAL);
	config.size = UINT32_MAX;
	refused(s, &config, -E2BIG);
	longer.known.size = sizeof(longer);
	longer.tail[7] = 1;
	refused(s, &longer.known, -E2BIG);
	assert_null(vmirq_vm_vcpu(s->vm, 0));
	longer.tail[7] = 0;
	assert_int_equal(vmirq_vcpu_create(s->vm, &longer.known, &vcpu), 0);
	config = good(1, 1);
	assert_int_equal(vmirq_vcpu_create(NULL, &config, &vcpu), -EINVAL);
	assert_int_equal(vmirq_vcpu_create(s->vm, NULL, &vcpu), -EINVAL);
	assert_int_equal(vmirq_vcpu_create(s->vm, &config, NULL), -EINVAL);
	soft_free(s);
}

static void fields_out_of_range(void **state)
{
	struct soft *s = soft_new(0);
	static const uint32_t slots[] = { SOFT_VCPUS, SOFT_VCPUS + 1, UINT32_MAX };
	struct vmirq_vcpu_config config;

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		config = good(slots[i], 0);
		refused(s, &config, -EINVAL);
	}
	for (unsigned int bit = 2; bit < 32; bit++) {
		config = good(0, 0);
		config.flags = 1u << bit;
		refused(s, &config, -EINVAL);
	}
	/* The broadcast is nobody's id. */
	config = good(0, UINT32_MAX);
	refused(s, &config, -EINVAL);
	config = good(0, 0);
	config.kick_signal = -1;
	refused(s, &config, -EINVAL);
	config.kick_signal = INT_MIN;
	refused(s, &config, -EINVAL);
	soft_free(s);
}

static void a_slot_or_an_id_in_use(void **state)
{
	struct soft *s = soft_new(2);
	struct vmirq_vcpu_config config = good(0, 7);

	(void)state;
	refused(s, &config, -EEXIST);
	config = good(5, 1);
	refused(s, &config, -EEXIST);
	config = good(1, 1);
	refused(s, &config, -EEXIST);
	assert_null(vmirq_vm_vcpu(s->vm, 5));
	soft_add(s, 5, 7, 0);
	/* Free again once its owner is gone. */
	assert_int_equal(vmirq_vcpu_destroy(s->vcpu[1]), 0);
	soft_add(s, 1, 9, 0);
	soft_add(s, 6, 1, 0);
	assert_int_equal(send(s, msi_to(1, 0x41), VMIRQ_DELIVERED), 1);
	take_only(s->vcpu[6], 0x41);
	soft_free(s);
}

static void ids_need_not_be_slots(void **state)
{
	struct soft *s = soft_new(0);

	(void)state;
	soft_add(s, 0, 3, 0);
	soft_add(s, 1, 0, 0);
	soft_add(s, 100, 1, 0);
	assert_int_equal(apic_read(s->vcpu[0], APIC_ID), 3u << 24);
	send(s, msi_to(0, 0x41), VMIRQ_DELIVERED);
	take_only(s->vcpu[1], 0x41);
	send(s, msi_to(1, 0x41), VMIRQ_DELIVERED);
	take_only(s->vcpu[100], 0x41);
	send(s, msi_to(3, 0x41), VMIRQ_DELIVERED);
	take_only(s->vcpu[0], 0x41);
	soft_free(s);
}

struct released {
	int called, order;
};

static int order;

static void never(void *opaque)
{
	(void)opaque;
	fail_msg("a callback nobody had reason to call");
}

static void count_release(void *opaque)
{
	struct released *r = opaque;

	r->called++;
	r->order = ++order;
}

static void release_is_called_once(void **state)
{
	struct soft *s = soft_new(0);
	struct released kick = { 0 }, wake = { 0 }, refused_kick = { 0 };
	struct vmirq_vcpu_config config = good(0, 0);

	(void)state;
	config.kick = (struct vmirq_callback){ never, count_release, &kick };
	config.wake = (struct vmirq_callback){ never, count_release, &wake };
	assert_int_equal(vmirq_vcpu_create(s->vm, &config, &s->vcpu[0]), 0);
	s->n = 1;
	/* A create that fails has taken nothing and releases nothing. */
	config.kick.opaque = config.wake.opaque = &refused_kick;
	refused(s, &config, -EEXIST);
	assert_int_equal(refused_kick.called, 0);
	assert_int_equal(kick.called + wake.called, 0);
	assert_int_equal(vmirq_vcpu_destroy(s->vcpu[0]), 0);
	assert_int_equal(kick.called, 1);
	assert_int_equal(wake.called, 1);
	/* A vCPU made in the slot afterwards has no callbacks of the old one. */
	soft_add(s, 0, 0, 0);
	soft_free(s);
	assert_int_equal(kick.called, 1);
	assert_int_equal(wake.called, 1);
	assert_int_equal(refused_kick.called, 0);
}

static void the_vm_releases_what_is_left(void **state)
{
	struct soft *s = soft_new(0);
	struct released kick = { 0 };
	struct vmirq_vcpu_config config = good(0, 0);

	(void)state;
	config.kick = (struct vmirq_callback){ never, count_release, &kick };
	assert_int_equal(vmirq_vcpu_create(s->vm, &config, &s->vcpu[0]), 0);
	s->n = 1;
	soft_free(s);
	assert_int_equal(kick.called, 1);
}

static void null_is_no_vcpu(void **state)
{
	(void)state;
	assert_int_equal(vmirq_vcpu_destroy(NULL), 0);
}

/* XSA-360: nothing of the old guest's is left in the slot, ten thousand times. */
static void nothing_leaks_over_destroy(void **state)
{
	struct soft *s = soft_new(1);
	uint32_t vector;

	(void)state;
	for (int i = 0; i < 2000; i++) {
		send(s, msi_to(0, (uint8_t)(0x20 + i % 200)), VMIRQ_DELIVERED);
		if (i % 2)
			vmirq_vcpu_next_vector(s->vcpu[0]);
		vmirq_vcpu_nmi(s->vcpu[0]);
		vmirq_vcpu_interrupt(s->vcpu[0]);
		apic_write(s->vcpu[0], APIC_TPR, 0xf0);
		assert_int_equal(vmirq_vcpu_destroy(s->vcpu[0]), 0);
		soft_add(s, 0, 0, 0);
		assert_int_equal(vmirq_vcpu_step(s->vcpu[0], 0, &vector), VMIRQ_STEP_ENTER);
		vmirq_vcpu_leave(s->vcpu[0]);
		take_nothing(s->vcpu[0]);
	}
	for (uint32_t v = 0; v < 256; v++)
		assert_int_equal(counts_of_vector(s->vcpu[0], v).pending, 0);
	soft_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sizes),
		cmocka_unit_test(fields_out_of_range),
		cmocka_unit_test(a_slot_or_an_id_in_use),
		cmocka_unit_test(ids_need_not_be_slots),
		cmocka_unit_test(release_is_called_once),
		cmocka_unit_test(the_vm_releases_what_is_left),
		cmocka_unit_test(null_is_no_vcpu),
		cmocka_unit_test(nothing_leaks_over_destroy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
