// SPDX-License-Identifier: MIT
/* Masks and pending bits, by call, on the soft irqchip. */
#include "device.h"

#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <vmirq/bypass.h>

static void test_create(void **state)
{
	struct soft *s = soft_new(1);
	struct vmirq_msix_config good = { .size = sizeof(good), .vectors = 4 }, c;
	struct vmirq_msix *msix = NULL;
	struct {
		struct vmirq_msix_config config;
		uint32_t unknown;
	} later = { .config = { .size = sizeof(later), .vectors = 4 }, .unknown = 1 };

	(void)state;
	assert_int_equal(vmirq_msix_create(NULL, &good, &msix), -EINVAL);
	assert_int_equal(vmirq_msix_create(s->vm, NULL, &msix), -EINVAL);
	assert_int_equal(vmirq_msix_create(s->vm, &good, NULL), -EINVAL);
	c = good;
	c.size--;
	assert_int_equal(vmirq_msix_create(s->vm, &c, &msix), -EINVAL);
	assert_int_equal(vmirq_msix_create(s->vm, &later.config, &msix), -E2BIG);
	for (uint32_t n = 0; n <= 1; n++) {
		c = good;
		c.vectors = n * 2049;
		assert_int_equal(vmirq_msix_create(s->vm, &c, &msix), -EINVAL);
	}
	c = good;
	c.flags = 16;
	assert_int_equal(vmirq_msix_create(s->vm, &c, &msix), -EINVAL);
	c.flags = VMIRQ_MSIX_MSI_64BIT;
	assert_int_equal(vmirq_msix_create(s->vm, &c, &msix), -EINVAL);
	c.flags = VMIRQ_MSIX_MSI;
	for (c.vectors = 0; c.vectors < 70; c.vectors++)
		if (!c.vectors || (c.vectors & (c.vectors - 1)) || c.vectors > 32)
			assert_int_equal(vmirq_msix_create(s->vm, &c, &msix), -EINVAL);
	assert_null(msix);
	assert_int_equal(vmirq_msix_destroy(NULL), 0);
	soft_free(s);
}

static void test_no_device(void **state)
{
	struct soft *s = soft_new(1);
	struct vmirq_msix *msix = device_new(s->vm, 2);
	uint32_t gsi, value = 0;

	(void)state;
	assert_int_equal(vmirq_msix_table_access(NULL, 0, &value, 4, true), -EINVAL);
	assert_int_equal(vmirq_msix_table_access(msix, 0, NULL, 4, true), -EINVAL);
	assert_int_equal(vmirq_msix_pba_access(NULL, 0, &value, 4, false), -EINVAL);
	assert_int_equal(vmirq_msix_pba_access(msix, 0, NULL, 4, false), -EINVAL);
	assert_int_equal(vmirq_msix_msi_access(msix, 0, &value, 4, false), -EINVAL);
	assert_int_equal(vmirq_msix_set_control(NULL, true, false), -EINVAL);
	assert_int_equal(vmirq_msix_pending(msix, 2), -EINVAL);
	assert_int_equal(vmirq_msix_gsi(msix, 2, &gsi), -EINVAL);
	assert_int_equal(vmirq_msix_gsi(msix, 1, &gsi), -ENOENT);
	assert_int_equal(vmirq_msix_reset(NULL), -EINVAL);
	assert_int_equal(vmirq_msix_set_eventfd(msix, 2, -1, 0), -EINVAL);
	assert_int_equal(vmirq_msix_lend_eventfd(msix, 2), -EINVAL);
	assert_null(vmirq_msix_irqfd(msix, 2));
	assert_verdict(vmirq_msix_trigger(NULL, 0), VMIRQ_NO_ROUTE);
	assert_int_equal(vmirq_msix_allocated(NULL), 0);
	assert_int_equal(vmirq_msix_allocated(msix), 2);
	device_free(msix);
	soft_free(s);
}

static void test_delivers(void **state)
{
	struct soft *s = soft_new(2);
	struct vmirq_msix *msix = device_new(s->vm, 4);

	(void)state;
	table_put(msix, 2, 1, 0x42, false);
	enable(msix);
	assert_trigger(msix, 2, VMIRQ_DELIVERED);
	assert_trigger(msix, 2, VMIRQ_COALESCED);
	take_only(s->vcpu[1], 0x42);
	assert_int_equal(vmirq_msix_pending(msix, 2), 0);
	device_free(msix);
	soft_free(s);
}

/* Whatever masks it, it is held, shown, and delivered once. */
static void check_masked(struct soft *s, struct vmirq_msix *msix, uint32_t v)
{
	assert_int_equal(vmirq_msix_pending(msix, v), 0);
	assert_trigger(msix, v, VMIRQ_HELD);
	for (int i = 0; i < 3; i++)
		assert_trigger(msix, v, VMIRQ_COALESCED);
	assert_true(pba_bit(msix, v));
	assert_int_equal(vmirq_msix_pending(msix, v), 1);
	assert_int_equal(vector_counts(msix, v).held, 1);
	take_nothing(s->vcpu[0]);
}

static void check_unmasked(struct soft *s, struct vmirq_msix *msix, uint32_t v, uint8_t vector)
{
	take_only(s->vcpu[0], vector);
	take_nothing(s->vcpu[0]);
	assert_false(pba_bit(msix, v));
	assert_int_equal(vector_counts(msix, v).held, 0);
	assert_trigger(msix, v, VMIRQ_DELIVERED);
	take_only(s->vcpu[0], vector);
}

static void test_held_and_delivered_once(void **state)
{
	struct soft *s = soft_new(1);
	struct vmirq_msix *msix = device_new(s->vm, 4);

	(void)state;
	table_put(msix, 1, 0, 0x41, false);
	/* Not enabled. */
	check_masked(s, msix, 1);
	enable(msix);
	check_unmasked(s, msix, 1, 0x41);
	/* The vector's own mask. */
	table_mask(msix, 1, true);
	check_masked(s, msix, 1);
	table_mask(msix, 1, false);
	check_unmasked(s, msix, 1, 0x41);
	/* The function's. */
	assert_int_equal(vmirq_msix_set_control(msix, true, true), 0);
	check_masked(s, msix, 1);
	enable(msix);
	check_unmasked(s, msix, 1, 0x41);
	/* Disabled. */
	assert_int_equal(vmirq_msix_set_control(msix, false, false), 0);
	check_masked(s, msix, 1);
	enable(msix);
	check_unmasked(s, msix, 1, 0x41);
	/* All three, and each taken away in turn. */
	table_mask(msix, 1, true);
	assert_int_equal(vmirq_msix_set_control(msix, false, true), 0);
	check_masked(s, msix, 1);
	table_mask(msix, 1, false);
	take_nothing(s->vcpu[0]);
	assert_int_equal(vmirq_msix_set_control(msix, true, true), 0);
	take_nothing(s->vcpu[0]);
	enable(msix);
	check_unmasked(s, msix, 1, 0x41);
	device_free(msix);
	soft_free(s);
}

static void test_one_mask_leaves_the_others(void **state)
{
	struct soft *s = soft_new(1);
	struct vmirq_msix *msix = device_new(s->vm, 3);
	uint8_t vectors[256];

	(void)state;
	for (uint32_t v = 0; v < 3; v++)
		table_put(msix, v, 0, (uint8_t)(0x50 + v), v == 1);
	enable(msix);
	assert_trigger(msix, 0, VMIRQ_DELIVERED);
	assert_trigger(msix, 1, VMIRQ_HELD);
	assert_trigger(msix, 2, VMIRQ_DELIVERED);
	assert_int_equal(take_all(s->vcpu[0], vectors), 2);
	assert_int_equal(vectors[0], 0x52);
	assert_int_equal(vectors[1], 0x50);
	table_mask(msix, 1, false);
	take_only(s->vcpu[0], 0x51);
	device_free(msix);
	soft_free(s);
}

/* What is pending goes where the entry says when it is unmasked. */
static void test_new_message_while_pending(void **state)
{
	struct soft *s = soft_new(2);
	struct vmirq_msix *msix = device_new(s->vm, 1);

	(void)state;
	table_put(msix, 0, 0, 0x40, false);
	enable(msix);
	assert_trigger(msix, 0, VMIRQ_DELIVERED);
	take_only(s->vcpu[0], 0x40);
	table_mask(msix, 0, true);
	assert_trigger(msix, 0, VMIRQ_HELD);
	table_put(msix, 0, 1, 0x61, true);
	take_nothing(s->vcpu[1]);
	table_mask(msix, 0, false);
	take_nothing(s->vcpu[0]);
	take_only(s->vcpu[1], 0x61);
	device_free(msix);
	soft_free(s);
}

/* Vector 0 is signalled at every step of a re-target without a mask: each signal arrives once, at the old
 * or the new. */
static void test_retarget_unmasked(void **state)
{
	struct soft *s = soft_new(2);
	struct vmirq_msix *msix = device_new(s->vm, 1);
	uint64_t both;

	(void)state;
	table_put(msix, 0, 0, 0x40, false);
	enable(msix);
	for (uint32_t i = 0; i < 50; i++) {
		uint32_t dest = i & 1;

		assert_trigger(msix, 0, VMIRQ_DELIVERED);
		/* Address and upper address as one access. */
		both = 0xfee00000u | dest << 12;
		assert_int_equal(vmirq_msix_table_access(msix, 0, &both, 8, true), 0);
		assert_int_equal(take_all(s->vcpu[0], NULL) + take_all(s->vcpu[1], NULL), 1);
		assert_trigger(msix, 0, VMIRQ_DELIVERED);
		table_write(msix, 0, ENTRY_DATA, 0x40 + i);
		assert_int_equal(take_all(s->vcpu[dest], NULL), 1);
		take_nothing(s->vcpu[!dest]);
		assert_trigger(msix, 0, VMIRQ_DELIVERED);
		take_only(s->vcpu[dest], (uint8_t)(0x40 + i));
	}
	device_free(msix);
	soft_free(s);
}

static void test_gsis_are_lazy_and_given_back(void **state)
{
	struct soft *s = soft_new(1);
	unsigned int before = free_gsis(s->vm);
	struct vmirq_msix *msix = device_new(s->vm, 8);
	uint32_t gsi, again;

	(void)state;
	enable(msix);
	for (uint32_t v = 0; v < 8; v++)
		table_put(msix, v, 0, (uint8_t)(0x40 + v), true);
	assert_int_equal(free_gsis(s->vm), before);
	assert_int_equal(vmirq_msix_gsi(msix, 3, &gsi), -ENOENT);
	assert_int_equal(vmirq_irqfd_gsi(vmirq_msix_irqfd(msix, 3)), UINT32_MAX);
	table_mask(msix, 3, false);
	assert_int_equal(vmirq_msix_gsi(msix, 3, &gsi), 0);
	assert_int_equal(vmirq_irqfd_gsi(vmirq_msix_irqfd(msix, 3)), gsi);
	assert_int_equal(free_gsis(s->vm), before - 1);
	/* Kept over masks and resets (XSA-360). */
	for (int i = 0; i < 10000; i++) {
		assert_int_equal(vmirq_msix_reset(msix), 0);
		table_put(msix, 3, 0, 0x43, false);
		enable(msix);
	}
	assert_int_equal(vmirq_msix_gsi(msix, 3, &again), 0);
	assert_int_equal(gsi, again);
	assert_int_equal(free_gsis(s->vm), before - 1);
	device_free(msix);
	assert_int_equal(free_gsis(s->vm), before);
	soft_free(s);
}

/* A VMM that plugs and unplugs while it has a transaction open, which comes to nothing or is made. */
static void test_gsis_beside_a_transaction(void **state)
{
	struct soft *s = soft_new(1);
	unsigned int before = free_gsis(s->vm);
	uint32_t taken[SOFT_GSIS], n = 0;

	(void)state;
	for (int commit = 0; commit < 2; commit++) {
		struct vmirq_msix *msix = device_new(s->vm, 4);

		for (uint32_t v = 0; v < 4; v++)
			table_put(msix, v, 0, (uint8_t)(0x40 + v), false);
		/* It fails, and gives back what it had taken. */
		while (!vmirq_gsi_alloc(s->vm, &taken[n]))
			n++;
		for (int i = 0; i < 3; i++)
			assert_int_equal(vmirq_gsi_free(s->vm, taken[--n]), 0);
		assert_int_equal(vmirq_route_begin(s->vm), 0);
		assert_int_equal(vmirq_msix_set_control(msix, true, false), -ENOSPC);
		assert_int_equal(commit ? vmirq_route_commit(s->vm) : vmirq_route_abort(s->vm), 0);
		while (n)
			assert_int_equal(vmirq_gsi_free(s->vm, taken[--n]), 0);
		assert_int_equal(free_gsis(s->vm), before);
		/* It opens, and is unplugged. */
		assert_int_equal(vmirq_route_begin(s->vm), 0);
		enable(msix);
		assert_trigger(msix, 3, VMIRQ_DELIVERED);
		take_only(s->vcpu[0], 0x43);
		device_free(msix);
		assert_int_equal(commit ? vmirq_route_commit(s->vm) : vmirq_route_abort(s->vm), 0);
		assert_int_equal(free_gsis(s->vm), before);
	}
	soft_free(s);
}

static void test_reset(void **state)
{
	struct soft *s = soft_new(1);
	struct vmirq_msix *msix = device_new(s->vm, 2);
	int fd = vmirq_msix_lend_eventfd(msix, 1);

	(void)state;
	assert_true(fd >= 0);
	table_put(msix, 0, 0, 0x40, true);
	assert_trigger(msix, 0, VMIRQ_HELD);
	assert_int_equal(eventfd_write(fd, 3), 0);
	assert_int_equal(vmirq_msix_reset(msix), 0);
	for (uint32_t v = 0; v < 2; v++) {
		assert_int_equal(vmirq_msix_pending(msix, v), 0);
		assert_int_equal(table_read(msix, v, ENTRY_CONTROL), 1);
		assert_int_equal(table_read(msix, v, ENTRY_ADDRESS), 0);
		assert_int_equal(table_read(msix, v, ENTRY_DATA), 0);
		assert_int_equal(vector_counts(msix, v).verdict[VMIRQ_DEASSIGNED], 1);
	}
	assert_int_equal(vector_counts(msix, 1).raised, 3);
	table_put(msix, 0, 0, 0x40, false);
	table_put(msix, 1, 0, 0x41, false);
	enable(msix);
	take_nothing(s->vcpu[0]);
	/* The eventfd is still the vector's. */
	assert_int_equal(eventfd_write(fd, 1), 0);
	assert_int_equal(dispatch(s), 1);
	take_only(s->vcpu[0], 0x41);
	close(fd);
	device_free(msix);
	soft_free(s);
}

static void test_pending_at_destroy(void **state)
{
	struct soft *s = soft_new(1);
	struct vmirq_msix *msix = device_new(s->vm, 1);
	struct vmirq_route_counts c;
	uint32_t gsi;

	(void)state;
	table_put(msix, 0, 0, 0x40, false);
	enable(msix);
	assert_int_equal(vmirq_msix_gsi(msix, 0, &gsi), 0);
	table_mask(msix, 0, true);
	assert_trigger(msix, 0, VMIRQ_HELD);
	c = counts_of_gsi(s, gsi);
	assert_int_equal(c.held, 1);
	assert_int_equal(c.raised, 1);
	device_free(msix);
	c = counts_of_gsi(s, gsi);
	assert_int_equal(c.held, 0);
	assert_int_equal(c.raised, 1);
	assert_int_equal(c.verdict[VMIRQ_DEASSIGNED], 1);
	take_nothing(s->vcpu[0]);
	soft_free(s);
}

/* What is no interrupt message, or reaches nobody, has its verdict as anywhere. */
static void test_bad_messages(void **state)
{
	struct soft *s = soft_new_flags(1, VMIRQ_VM_MSI_32BIT_IDS, 0);
	struct vmirq_msix *msix = device_new(s->vm, 1);

	(void)state;
	table_put(msix, 0, 9, 0x40, false);
	enable(msix);
	assert_trigger(msix, 0, VMIRQ_NO_TARGET);
	table_write(msix, 0, ENTRY_ADDRESS, 0x12300000);
	assert_trigger(msix, 0, VMIRQ_BAD_MESSAGE);
	table_put(msix, 0, 0, 0x05, false);
	assert_trigger(msix, 0, VMIRQ_BAD_VECTOR);
	/* Bits that a message with 32-bit ids has no room for. */
	table_put(msix, 0, 0, 0x40, false);
	table_write(msix, 0, ENTRY_ADDRESS_HI, 0xff);
	assert_trigger(msix, 0, VMIRQ_NO_ROUTE);
	table_write(msix, 0, ENTRY_ADDRESS_HI, 0);
	assert_trigger(msix, 0, VMIRQ_DELIVERED);
	take_only(s->vcpu[0], 0x40);
	device_free(msix);
	soft_free(s);
}

struct told {
	struct vmirq_msix *msix;
	unsigned int n;
	int masked[4]; /* -1: nothing said */
};

static void tell(void *opaque, uint32_t vector, bool masked)
{
	struct told *t = opaque;
	struct vmirq_msix_state state = { .size = sizeof(state) };
	uint32_t word = 1;

	assert_true(vector < 4);
	t->masked[vector] = masked;
	t->n++;
	/* What a back end may do here, and what not. */
	assert_trigger(t->msix, vector, masked ? VMIRQ_HELD : VMIRQ_DELIVERED);
	assert_int_equal(vmirq_msix_pending(t->msix, vector), masked);
	assert_int_equal(vmirq_msix_save(t->msix, &state), 0);
	assert_int_equal(vmirq_msix_table_access(t->msix, 12, &word, 4, false), 0);
	assert_int_equal(vmirq_msix_table_access(t->msix, 12, &word, 4, true), -EDEADLK);
	assert_int_equal(vmirq_msix_set_control(t->msix, false, false), -EDEADLK);
	assert_int_equal(vmirq_msix_reset(t->msix), -EDEADLK);
}

static void test_back_end_is_told(void **state)
{
	struct soft *s = soft_new(1);
	struct told t = { .masked = { -1, -1, -1, -1 } };
	struct vmirq_msix_config config = {
		.size = sizeof(config), .vectors = 4, .masked = tell, .opaque = &t
	};

	(void)state;
	assert_int_equal(vmirq_msix_create(s->vm, &config, &t.msix), 0);
	for (uint32_t v = 0; v < 3; v++)
		table_put(t.msix, v, 0, (uint8_t)(0x40 + v), false);
	assert_int_equal(t.n, 0);
	enable(t.msix);
	assert_int_equal(t.n, 3);
	assert_int_equal(t.masked[0] + t.masked[1] + t.masked[2], 0);
	assert_int_equal(t.masked[3], -1);
	assert_int_equal(take_all(s->vcpu[0], NULL), 3);
	table_mask(t.msix, 1, true);
	assert_int_equal(t.n, 4);
	assert_int_equal(t.masked[1], 1);
	table_mask(t.msix, 1, true);
	assert_int_equal(t.n, 4);
	take_nothing(s->vcpu[0]);
	assert_int_equal(vmirq_msix_set_control(t.msix, true, true), 0);
	assert_int_equal(t.n, 6);
	device_free(t.msix);
	soft_free(s);
}

static void look_at_device(void *opaque)
{
	struct told *t = opaque;
	uint32_t word = 1;

	t->n++;
	assert_int_equal(vmirq_msix_pending(t->msix, 0), -EDEADLK);
	assert_int_equal(vmirq_msix_table_access(t->msix, 12, &word, 4, false), -EDEADLK);
	assert_int_equal(vmirq_msix_table_access(t->msix, 12, &word, 4, true), -EDEADLK);
	assert_int_equal(vmirq_msix_set_eventfd(t->msix, 0, -1, 0), -EDEADLK);
	vmirq_msix_trigger(t->msix, 0);
}

/* A producer that is connected by the device's own call, and calls the device. */
static void test_a_producers_callback(void **state)
{
	struct soft *s = soft_new(1);
	struct told t = { .msix = device_new(s->vm, 1) };
	struct vmirq_producer_config config = {
		.size = sizeof(config), .token = 77, .stop = look_at_device, .opaque = &t
	};
	struct vmirq_producer *producer;
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	(void)state;
	assert_int_equal(vmirq_producer_register(vmirq_vm_bypass(s->vm), &config, &producer), 0);
	assert_int_equal(vmirq_msix_set_eventfd(t.msix, 0, fd, 77), 0);
	assert_int_equal(t.n, 1);
	assert_int_equal(vmirq_msix_set_eventfd(t.msix, 0, -1, 0), 0);
	assert_int_equal(t.n, 2);
	assert_int_equal(vmirq_msix_pending(t.msix, 0), 1);
	assert_int_equal(vmirq_producer_unregister(producer), 0);
	close(fd);
	device_free(t.msix);
	soft_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_create),
		cmocka_unit_test(test_no_device),
		cmocka_unit_test(test_delivers),
		cmocka_unit_test(test_held_and_delivered_once),
		cmocka_unit_test(test_one_mask_leaves_the_others),
		cmocka_unit_test(test_new_message_while_pending),
		cmocka_unit_test(test_retarget_unmasked),
		cmocka_unit_test(test_gsis_are_lazy_and_given_back),
		cmocka_unit_test(test_gsis_beside_a_transaction),
		cmocka_unit_test(test_reset),
		cmocka_unit_test(test_pending_at_destroy),
		cmocka_unit_test(test_bad_messages),
		cmocka_unit_test(test_back_end_is_told),
		cmocka_unit_test(test_a_producers_callback),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
