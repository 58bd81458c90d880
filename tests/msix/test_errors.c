// SPDX-License-Identifier: MIT
/* What an access cannot have, at each k of n (XSA-458): nothing of it opens, nothing is kept or lost, and it
 * can be tried again. GSIs run out, or memory. */
#include "../failing_malloc.h"
#include "device.h"

#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define VECTORS 12u

struct scarce {
	struct soft *s;
	struct vmirq_msix *msix;
	uint32_t n, left;
	uint32_t taken[SOFT_GSIS];
};

/* `k` GSIs are left. */
static void leave(struct scarce *c, uint32_t k)
{
	while (!vmirq_gsi_alloc(c->s->vm, &c->taken[c->n]))
		c->n++;
	for (uint32_t i = 0; i < k; i++)
		assert_int_equal(vmirq_gsi_free(c->s->vm, c->taken[--c->n]), 0);
	c->left = k;
}

static void give_all(struct scarce *c)
{
	while (c->n)
		assert_int_equal(vmirq_gsi_free(c->s->vm, c->taken[--c->n]), 0);
}

static void check_all_held(struct scarce *c)
{
	uint32_t gsi;

	assert_int_equal(free_gsis(c->s->vm), c->left);
	take_nothing(c->s->vcpu[0]);
	for (uint32_t v = 0; v < VECTORS; v++) {
		assert_int_equal(vmirq_msix_pending(c->msix, v), 1);
		assert_int_equal(vmirq_msix_gsi(c->msix, v, &gsi), -ENOENT);
		assert_trigger(c->msix, v, VMIRQ_COALESCED);
	}
}

static void check_all_open(struct scarce *c)
{
	assert_int_equal(take_all(c->s->vcpu[0], NULL), VECTORS);
	for (uint32_t v = 0; v < VECTORS; v++)
		assert_trigger(c->msix, v, VMIRQ_DELIVERED);
	assert_int_equal(take_all(c->s->vcpu[0], NULL), VECTORS);
}

static struct scarce *scarce_new(uint32_t flags)
{
	struct scarce *c = calloc(1, sizeof(*c));

	assert_non_null(c);
	c->s = soft_new(1);
	c->msix = device_new_msi(c->s->vm, flags ? 16 : VECTORS, flags);
	return c;
}

static void scarce_free(struct scarce *c)
{
	device_free(c->msix);
	give_all(c);
	soft_free(c->s);
	free(c);
}

static void test_enable(void **state)
{
	(void)state;
	for (uint32_t k = 0; k < VECTORS; k++) {
		struct scarce *c = scarce_new(0);

		for (uint32_t v = 0; v < VECTORS; v++) {
			table_put(c->msix, v, 0, (uint8_t)(0x40 + v), false);
			assert_trigger(c->msix, v, VMIRQ_HELD);
		}
		leave(c, k);
		for (int again = 0; again < 2; again++) {
			assert_int_equal(vmirq_msix_set_control(c->msix, true, false), -ENOSPC);
			check_all_held(c);
		}
		give_all(c);
		enable(c->msix);
		check_all_open(c);
		scarce_free(c);
	}
}

/* Some are open already: they stay, and go on. */
static void test_one_by_one(void **state)
{
	struct scarce *c = scarce_new(0);
	uint32_t control = 0;

	(void)state;
	leave(c, 5);
	enable(c->msix);
	for (uint32_t v = 0; v < VECTORS; v++) {
		table_put(c->msix, v, 0, (uint8_t)(0x40 + v), true);
		assert_trigger(c->msix, v, VMIRQ_HELD);
		assert_int_equal(vmirq_msix_table_access(c->msix, v * 16 + 12, &control, 4, true),
				 v < 5 ? 0 : -ENOSPC);
		/* The register is as written. */
		assert_int_equal(table_read(c->msix, v, ENTRY_CONTROL), 0);
	}
	assert_int_equal(take_all(c->s->vcpu[0], NULL), 5);
	for (uint32_t v = 0; v < VECTORS; v++)
		assert_trigger(c->msix, v, v < 5 ? VMIRQ_DELIVERED : VMIRQ_COALESCED);
	assert_int_equal(take_all(c->s->vcpu[0], NULL), 5);
	give_all(c);
	/* The next access of any kind tries again. */
	table_write(c->msix, 7, ENTRY_DATA, 0x99);
	take_only(c->s->vcpu[0], 0x99);
	table_write(c->msix, 7, ENTRY_DATA, 0x47);
	enable(c->msix);
	assert_int_equal(take_all(c->s->vcpu[0], NULL), 6);
	scarce_free(c);
}

static void test_msi(void **state)
{
	uint32_t on = 0x41;

	(void)state;
	for (uint32_t k = 0; k < 16; k++) {
		struct scarce *c = scarce_new(VMIRQ_MSIX_MSI);

		msi_write(c->msix, 4, 4, 0xfee00000);
		msi_write(c->msix, 8, 2, 0x40);
		for (uint32_t v = 0; v < 16; v++)
			assert_trigger(c->msix, v, VMIRQ_HELD);
		leave(c, k);
		assert_int_equal(vmirq_msix_msi_access(c->msix, 2, &on, 2, true), -ENOSPC);
		check_all_held(c);
		give_all(c);
		msi_write(c->msix, 2, 2, on);
		assert_int_equal(take_all(c->s->vcpu[0], NULL), 16);
		scarce_free(c);
	}
}

static void test_load(void **state)
{
	(void)state;
	for (uint32_t k = 0; k < VECTORS; k += 3) {
		struct scarce *c = scarce_new(0);
		struct vmirq_msix_state s = { .size = sizeof(s) };

		for (uint32_t v = 0; v < VECTORS; v++) {
			table_put(c->msix, v, 0, (uint8_t)(0x40 + v), false);
			assert_trigger(c->msix, v, VMIRQ_HELD);
		}
		assert_int_equal(vmirq_msix_save(c->msix, &s), 0);
		assert_int_equal(vmirq_msix_reset(c->msix), 0);
		s.control = 0x8000;
		leave(c, k);
		assert_int_equal(vmirq_msix_load(c->msix, &s), -ENOSPC);
		check_all_held(c);
		give_all(c);
		enable(c->msix);
		check_all_open(c);
		scarce_free(c);
	}
}

static void test_no_memory_to_create(void **state)
{
	struct vmirq_msix_config config = { .size = sizeof(config), .vectors = 100 };
	int n, error = -ENOMEM;

	(void)state;
	for (n = 1; error; n++) {
		struct soft *s = soft_new(1);
		struct vmirq_msix *msix = NULL;

		fail_after(n);
		error = vmirq_msix_create(s->vm, &config, &msix);
		fail_no_more();
		assert_int_equal(error, msix ? 0 : -ENOMEM);
		device_free(msix);
		soft_free(s);
	}
	/* The device, room for changes, and some blocks of irqfds. */
	assert_true(n > 5);
}

static void test_no_memory_to_enable(void **state)
{
	int n, error = -ENOMEM;

	(void)state;
	for (n = 1; error; n++) {
		struct scarce *c = scarce_new(0);

		for (uint32_t v = 0; v < VECTORS; v++) {
			table_put(c->msix, v, 0, (uint8_t)(0x40 + v), false);
			assert_trigger(c->msix, v, VMIRQ_HELD);
		}
		fail_after(n);
		error = vmirq_msix_set_control(c->msix, true, false);
		fail_no_more();
		if (error) {
			assert_int_equal(error, -ENOMEM);
			c->left = free_gsis(c->s->vm);
			assert_int_equal(c->left, SOFT_GSIS - 24);
			check_all_held(c);
			enable(c->msix);
		}
		check_all_open(c);
		scarce_free(c);
	}
	/* A page of routes, at least. */
	assert_true(n > 2);
}

static void test_no_memory_for_an_eventfd(void **state)
{
	int error = -ENOMEM, fd = eventfd(0, EFD_NONBLOCK);

	(void)state;
	for (int n = 1; error; n++) {
		struct scarce *c = scarce_new(0);

		table_put(c->msix, 0, 0, 0x40, false);
		enable(c->msix);
		fail_after(n);
		error = vmirq_msix_set_eventfd(c->msix, 0, fd, 0);
		fail_no_more();
		if (error) {
			assert_int_equal(error, -ENOMEM);
			assert_int_equal(vmirq_msix_set_eventfd(c->msix, 0, fd, 0), 0);
		}
		assert_int_equal(eventfd_write(fd, 1), 0);
		assert_int_equal(dispatch(c->s), 1);
		take_only(c->s->vcpu[0], 0x40);
		scarce_free(c);
	}
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_enable),
		cmocka_unit_test(test_one_by_one),
		cmocka_unit_test(test_msi),
		cmocka_unit_test(test_load),
		cmocka_unit_test(test_no_memory_to_create),
		cmocka_unit_test(test_no_memory_to_enable),
		cmocka_unit_test(test_no_memory_for_an_eventfd),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
