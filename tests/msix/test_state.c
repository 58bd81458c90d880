// SPDX-License-Identifier: MIT
/* Save and load, and what is refused. */
#include "device.h"

#include <stdlib.h>

#include <vmirq/state.h>

static struct vmirq_msix_state saved(struct vmirq_msix *msix)
{
	struct vmirq_msix_state s = { .size = sizeof(s) };

	assert_int_equal(vmirq_msix_save(msix, &s), 0);
	return s;
}

static void assert_same(const struct vmirq_msix_state *a, const struct vmirq_msix_state *b)
{
	assert_memory_equal(a, b, VMIRQ_MSIX_STATE_SIZE(a->vectors));
}

static void test_table_goes_on(void **state)
{
	struct soft *s = soft_new(2), *t = soft_new(2);
	struct vmirq_msix *from = device_new(s->vm, 5), *to = device_new(t->vm, 5);
	struct vmirq_msix_state before, after;

	(void)state;
	for (uint32_t v = 0; v < 5; v++)
		table_put(from, v, v & 1, (uint8_t)(0x40 + v), v == 3);
	enable(from);
	assert_trigger(from, 3, VMIRQ_HELD);
	assert_int_equal(vmirq_msix_set_control(from, true, true), 0);
	assert_trigger(from, 1, VMIRQ_HELD);
	before = saved(from);
	assert_int_equal(before.vectors, 5);
	assert_int_equal(before.control, 0xc000);
	assert_int_equal(before.entry[1].address, 0xfee01000);
	assert_int_equal(before.entry[1].data, 0x41);
	assert_int_equal(before.entry[1].flags, VMIRQ_MSIX_ENTRY_PENDING);
	assert_int_equal(before.entry[3].flags, VMIRQ_MSIX_ENTRY_MASKED | VMIRQ_MSIX_ENTRY_PENDING);
	assert_int_equal(vmirq_msix_load(to, &before), 0);
	after = saved(to);
	assert_same(&before, &after);
	take_nothing(t->vcpu[1]);
	enable(to);
	take_only(t->vcpu[1], 0x41);
	table_mask(to, 3, false);
	take_only(t->vcpu[1], 0x43);
	assert_trigger(to, 4, VMIRQ_DELIVERED);
	take_only(t->vcpu[0], 0x44);
	device_free(from);
	device_free(to);
	soft_free(s);
	soft_free(t);
}

/* A state may have an open vector pending: it is delivered. */
static void test_pending_and_open(void **state)
{
	struct soft *s = soft_new(1);
	struct vmirq_msix *msix = device_new(s->vm, 2);
	struct vmirq_msix_state st;

	(void)state;
	table_put(msix, 0, 0, 0x40, false);
	assert_trigger(msix, 0, VMIRQ_HELD);
	st = saved(msix);
	st.control = 0x8000;
	assert_int_equal(vmirq_msix_reset(msix), 0);
	assert_int_equal(vmirq_msix_load(msix, &st), 0);
	take_only(s->vcpu[0], 0x40);
	/* Over a device in use; what was pending there still is. */
	table_mask(msix, 1, true);
	assert_trigger(msix, 1, VMIRQ_HELD);
	assert_int_equal(vmirq_msix_load(msix, &st), 0);
	take_only(s->vcpu[0], 0x40);
	assert_int_equal(vmirq_msix_pending(msix, 1), 1);
	device_free(msix);
	soft_free(s);
}

static void test_msi_goes_on(void **state)
{
	struct soft *s = soft_new(1);
	uint32_t flags = VMIRQ_MSIX_MSI | VMIRQ_MSIX_MSI_64BIT | VMIRQ_MSIX_MSI_MASKABLE;
	struct vmirq_msix *from = device_new_msi(s->vm, 32, flags);
	struct vmirq_msix *to = device_new_msi(s->vm, 32, flags);
	struct vmirq_msix_state before, after;

	(void)state;
	msi_write(from, 4, 4, 0xfee00000);
	msi_write(from, 12, 2, 0xa0);
	msi_write(from, 16, 4, 0x80000000);
	msi_write(from, 2, 2, 0x51);
	assert_trigger(from, 31, VMIRQ_HELD);
	before = saved(from);
	device_free(from);
	assert_int_equal(vmirq_msix_load(to, &before), 0);
	after = saved(to);
	assert_same(&before, &after);
	assert_int_equal(vmirq_msix_allocated(to), 32);
	msi_write(to, 16, 4, 0);
	take_only(s->vcpu[0], 0xbf);
	device_free(to);
	soft_free(s);
}

/* Refused, and nothing has changed. */
static void refused(struct vmirq_msix *msix, const struct vmirq_msix_state *bad)
{
	struct vmirq_msix_state before = saved(msix), after;

	assert_int_equal(vmirq_msix_load(msix, bad), -EINVAL);
	after = saved(msix);
	assert_same(&before, &after);
}

static void test_table_refuses(void **state)
{
	struct soft *s = soft_new(1);
	struct vmirq_msix *msix = device_new(s->vm, 3);
	struct vmirq_msix_state good, bad;

	(void)state;
	table_put(msix, 0, 0, 0x40, false);
	enable(msix);
	good = saved(msix);
	assert_int_equal(vmirq_msix_load(msix, NULL), -EINVAL);
	assert_int_equal(vmirq_msix_load(NULL, &good), -EINVAL);
	assert_int_equal(vmirq_msix_save(msix, NULL), -EINVAL);
#define REFUSE(change) \
	bad = good;    \
	change;        \
	refused(msix, &bad)
	REFUSE(bad.size = VMIRQ_MSIX_STATE_SIZE(3) - 1);
	assert_int_equal(vmirq_msix_save(msix, &bad), -EINVAL);
	REFUSE(bad.size = 0);
	REFUSE(bad.vectors = 2);
	REFUSE(bad.vectors = UINT32_MAX);
	REFUSE(bad.control = 0x2000);
	REFUSE(bad.control = 1);
	REFUSE(bad.msi_address = 4);
	REFUSE(bad.msi_data = 1);
	REFUSE(bad.msi_mask = 1);
	REFUSE(bad.entry[0].address |= 1);
	REFUSE(bad.entry[2].address |= 2);
	REFUSE(bad.entry[2].flags = 4);
	/* No more is looked at than there are vectors. */
	bad = good;
	bad.size = VMIRQ_MSIX_STATE_SIZE(3);
	bad.entry[3].flags = 4;
	assert_int_equal(vmirq_msix_load(msix, &bad), 0);
	device_free(msix);
	soft_free(s);
}

static void test_msi_refuses(void **state)
{
	struct soft *s = soft_new(1);
	struct vmirq_msix *plain = device_new_msi(s->vm, 4, VMIRQ_MSIX_MSI);
	struct vmirq_msix *full = device_new_msi(
		s->vm, 4, VMIRQ_MSIX_MSI | VMIRQ_MSIX_MSI_64BIT | VMIRQ_MSIX_MSI_MASKABLE);
	struct vmirq_msix_state good = saved(plain), bad;
	struct vmirq_msix *msix = plain;

	(void)state;
	REFUSE(bad.control = 0x30);
	REFUSE(bad.control = 0x70);
	REFUSE(bad.control = 2);
	REFUSE(bad.msi_address = 1);
	REFUSE(bad.msi_address = UINT64_C(1) << 32);
	REFUSE(bad.msi_data = 0x10000);
	REFUSE(bad.msi_mask = 1);
	REFUSE(bad.entry[1].flags = VMIRQ_MSIX_ENTRY_MASKED);
	REFUSE(bad.entry[1].address = 4);
	REFUSE(bad.entry[1].data = 1);
	msix = full;
	REFUSE(bad.msi_mask = 0x10);
	bad = good;
	bad.msi_mask = 0xf;
	bad.msi_address = UINT64_C(1) << 32;
	assert_int_equal(vmirq_msix_load(full, &bad), 0);
	device_free(plain);
	device_free(full);
	soft_free(s);
}

static void *saved_vm(struct soft *s, size_t *size)
{
	void *blob;

	*size = (size_t)vmirq_vm_save(s->vm, NULL, 0);
	blob = malloc(*size);
	assert_non_null(blob);
	assert_int_equal(vmirq_vm_save(s->vm, blob, *size), *size);
	return blob;
}

/* From VM to VM, with all of each: a vector has one GSI in the last as in the first (XSA-360). */
static void test_gsis_of_many_moves(void **state)
{
	struct soft *s = soft_new(1);
	struct vmirq_msix *msix = device_new(s->vm, 3);
	unsigned int left;
	uint32_t own;

	(void)state;
	assert_int_equal(vmirq_gsi_alloc(s->vm, &own), 0);
	route_to(s, own, 0, 0x70);
	for (uint32_t v = 0; v < 3; v++)
		table_put(msix, v, 0, (uint8_t)(0x40 + v), false);
	enable(msix);
	left = free_gsis(s->vm);
	for (int i = 0; i < 5; i++) {
		struct soft *to = soft_new(1);
		struct vmirq_msix *there = device_new(to->vm, 3);
		struct vmirq_msix_state vectors = saved(msix);
		struct vmirq_irqfd *irqfd;
		size_t size;
		void *blob = saved_vm(s, &size);

		assert_int_equal(vmirq_vm_load(to->vm, blob, size), 0);
		assert_int_equal(vmirq_msix_load(there, &vectors), 0);
		assert_int_equal(free_gsis(to->vm), left);
		for (uint32_t v = 0; v < 3; v++) {
			assert_trigger(there, v, VMIRQ_DELIVERED);
			take_only(to->vcpu[0], (uint8_t)(0x40 + v));
		}
		irqfd = irqfd_call(to, own);
		assert_signal(irqfd, VMIRQ_DELIVERED);
		take_only(to->vcpu[0], 0x70);
		assert_int_equal(vmirq_irqfd_deassign(irqfd), 0);
		free(blob);
		device_free(msix);
		soft_free(s);
		s = to;
		msix = there;
	}
	assert_int_equal(vmirq_gsi_free(s->vm, own), 0);
	device_free(msix);
	assert_int_equal(free_gsis(s->vm), SOFT_GSIS - 24);
	soft_free(s);
}

/* The VM goes back to before the vector had its GSI, or its message: both are still the vector's. */
static void test_vm_loaded_under_a_device(void **state)
{
	struct soft *s = soft_new(1);
	struct vmirq_msix *msix = device_new(s->vm, 2);
	uint32_t gsi, other;
	size_t size, size_open;
	void *blob = saved_vm(s, &size), *open;

	(void)state;
	table_put(msix, 0, 0, 0x40, false);
	enable(msix);
	open = saved_vm(s, &size_open);
	assert_int_equal(vmirq_msix_gsi(msix, 0, &gsi), 0);
	assert_int_equal(vmirq_vm_load(s->vm, blob, size), 0);
	assert_trigger(msix, 0, VMIRQ_DELIVERED);
	take_only(s->vcpu[0], 0x40);
	assert_int_equal(vmirq_gsi_alloc(s->vm, &other), 0);
	assert_int_not_equal(other, gsi);
	assert_int_equal(vmirq_gsi_free(s->vm, other), 0);
	table_write(msix, 0, ENTRY_DATA, 0x41);
	assert_int_equal(vmirq_vm_load(s->vm, open, size_open), 0);
	assert_trigger(msix, 0, VMIRQ_DELIVERED);
	take_only(s->vcpu[0], 0x41);
	/* Nor does a table of the VMM's take it away, or a stranger. */
	assert_int_equal(vmirq_route_set_all(s->vm, NULL, 0), 0);
	assert_int_equal(vmirq_gsi_free(s->vm, gsi), -EINVAL);
	assert_trigger(msix, 0, VMIRQ_DELIVERED);
	take_only(s->vcpu[0], 0x41);
	free(blob);
	free(open);
	device_free(msix);
	soft_free(s);
}

/* What the blob's VMM had, a vector has here: refused, and nothing has changed. */
static void test_vm_with_a_vectors_gsi(void **state)
{
	struct soft *s = soft_new(1), *t = soft_new(1);
	struct vmirq_msix *msix = device_new(t->vm, 1);
	struct kvm_irq_routing_entry entry = { .type = KVM_IRQ_ROUTING_MSI };
	uint32_t own, gsi;
	size_t size;
	void *blob;

	(void)state;
	assert_int_equal(vmirq_gsi_alloc(s->vm, &own), 0);
	for (int routed = 0; routed < 2; routed++) {
		if (routed)
			route_to(s, own, 0, 0x70);
		blob = saved_vm(s, &size);
		table_put(msix, 0, 0, 0x40, false);
		enable(msix);
		assert_int_equal(vmirq_msix_gsi(msix, 0, &gsi), 0);
		assert_int_equal(gsi, own);
		assert_int_equal(vmirq_vm_load(t->vm, blob, size), -EBUSY);
		entry.gsi = gsi;
		assert_int_equal(vmirq_route_set_all(t->vm, &entry, 1), -EBUSY);
		assert_trigger(msix, 0, VMIRQ_DELIVERED);
		take_only(t->vcpu[0], 0x40);
		free(blob);
	}
	device_free(msix);
	soft_free(s);
	soft_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table_goes_on),
		cmocka_unit_test(test_pending_and_open),
		cmocka_unit_test(test_msi_goes_on),
		cmocka_unit_test(test_table_refuses),
		cmocka_unit_test(test_msi_refuses),
		cmocka_unit_test(test_gsis_of_many_moves),
		cmocka_unit_test(test_vm_loaded_under_a_device),
		cmocka_unit_test(test_vm_with_a_vectors_gsi),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
