// SPDX-License-Identifier: MIT
/*
 * MSI with 2 to 32 vectors where something is missing for the k-th of them, at each k (XSA-458): GSIs, memory,
 * or the kernel's consent. The access fails as a whole; what it had taken is given back, what others have is
 * theirs still, no interrupt is lost, and as soon as there is enough it works.
 */
#include "../failing_malloc.h"
#include "../irqchip/world.h"
#include "../msix/device.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#define FULL (VMIRQ_MSIX_MSI | VMIRQ_MSIX_MSI_64BIT | VMIRQ_MSIX_MSI_MASKABLE)

enum { CONTROL = 2, ADDRESS = 4, DATA = 12, MASK = 16, PENDING = 20 };
enum { BASE = 0x60, NEIGHBOUR = 0x90, PLAIN = 0xa0, NEIGHBOURS = 4 };

/* The device, and those whose GSIs stand before and behind what it would get. */
struct scene {
	struct soft *s;
	struct vmirq_msix *msix, *neighbour;
	struct vmirq_irqfd *plain;
	uint32_t n, vectors;
	uint32_t gsi[NEIGHBOURS], plain_gsi;
	uint32_t taken[SOFT_GSIS];
};

static uint32_t gsi_of(struct vmirq_msix *msix, uint32_t v)
{
	uint32_t gsi = UINT32_MAX;

	assert_int_equal(vmirq_msix_gsi(msix, v, &gsi), 0);
	return gsi;
}

/* `left` GSIs are; not in a row. */
static void leave_gsis(struct scene *c, uint32_t left)
{
	while (!vmirq_gsi_alloc(c->s->vm, &c->taken[c->n]))
		c->n++;
	for (uint32_t i = 0; i < left; i++) {
		uint32_t at = i * 7 % c->n, gsi = c->taken[at];

		c->taken[at] = c->taken[--c->n];
		assert_int_equal(vmirq_gsi_free(c->s->vm, gsi), 0);
	}
}

static void give_gsis(struct scene *c)
{
	while (c->n)
		assert_int_equal(vmirq_gsi_free(c->s->vm, c->taken[--c->n]), 0);
}

static struct scene *scene_new(uint32_t vectors)
{
	struct scene *c = calloc(1, sizeof(*c));

	assert_non_null(c);
	c->s = soft_new(1);
	c->vectors = vectors;
	c->neighbour = device_new(c->s->vm, NEIGHBOURS);
	c->msix = device_new_msi(c->s->vm, vectors, FULL);
	enable(c->neighbour);
	for (uint32_t v = 0; v < NEIGHBOURS; v++) {
		uint32_t hole;

		assert_int_equal(vmirq_gsi_alloc(c->s->vm, &hole), 0);
		table_put(c->neighbour, v, 0, (uint8_t)(NEIGHBOUR + v), false);
		c->gsi[v] = gsi_of(c->neighbour, v);
		assert_int_equal(vmirq_gsi_free(c->s->vm, hole), 0);
	}
	assert_int_equal(vmirq_gsi_alloc(c->s->vm, &c->plain_gsi), 0);
	route_to(c->s, c->plain_gsi, 0, PLAIN);
	c->plain = irqfd_call(c->s, c->plain_gsi);
	msi_write(c->msix, ADDRESS, 4, 0xfee00000);
	msi_write(c->msix, DATA, 2, BASE);
	return c;
}

/* What is theirs is where it was, and works. */
static void check_neighbours(struct scene *c)
{
	for (uint32_t v = 0; v < NEIGHBOURS; v++) {
		assert_int_equal(gsi_of(c->neighbour, v), c->gsi[v]);
		assert_trigger(c->neighbour, v, VMIRQ_DELIVERED);
		take_only(c->s->vcpu[0], (uint8_t)(NEIGHBOUR + v));
	}
	assert_signal(c->plain, VMIRQ_DELIVERED);
	take_only(c->s->vcpu[0], PLAIN);
}

static void scene_free(struct scene *c)
{
	uint32_t all;

	check_neighbours(c);
	device_free(c->msix);
	check_neighbours(c);
	device_free(c->neighbour);
	give_gsis(c);
	assert_int_equal(vmirq_irqfd_deassign(c->plain), 0);
	assert_int_equal(vmirq_gsi_free(c->s->vm, c->plain_gsi), 0);
	/* As many as a VM has that never had a device. */
	all = free_gsis(c->s->vm);
	assert_int_equal(all, SOFT_GSIS - 24);
	soft_free(c->s);
	free(c);
}

static int set_control(struct vmirq_msix *msix, uint32_t log2_allocated)
{
	uint32_t value = 1 | log2_allocated << 4;

	return vmirq_msix_msi_access(msix, CONTROL, &value, 2, true);
}

/* `open` of them go to the guest, and the others wait, without a GSI. */
static void check_open(struct scene *c, uint32_t open, uint32_t left)
{
	uint32_t gsi;

	assert_int_equal(free_gsis(c->s->vm), left);
	for (uint32_t v = 0; v < c->vectors; v++) {
		if (v < open) {
			assert_trigger(c->msix, v, VMIRQ_DELIVERED);
			gsi_of(c->msix, v);
			assert_int_equal(take_all(c->s->vcpu[0], NULL), 1);
			continue;
		}
		assert_trigger(c->msix, v, VMIRQ_COALESCED);
		assert_int_equal(vmirq_msix_gsi(c->msix, v, &gsi), -ENOENT);
		assert_int_equal(vmirq_irqfd_gsi(vmirq_msix_irqfd(c->msix, v)), UINT32_MAX);
		take_nothing(c->s->vcpu[0]);
	}
	check_neighbours(c);
}

static void all_pending(struct scene *c, uint32_t from)
{
	for (uint32_t v = from; v < c->vectors; v++)
		assert_trigger(c->msix, v, VMIRQ_HELD);
}

/* From 1, 2, 4 ... vectors that are open already to all. */
static void grow(uint32_t log2, uint32_t log2_before, uint32_t k)
{
	uint32_t vectors = 1u << log2, before = log2_before < log2 ? 1u << log2_before : 0;
	struct scene *c = scene_new(vectors);

	if (before) {
		assert_int_equal(set_control(c->msix, log2_before), 0);
		assert_int_equal(vmirq_msix_allocated(c->msix), before);
	}
	all_pending(c, before);
	leave_gsis(c, k);
	for (int again = 0; again < 2; again++) {
		assert_int_equal(set_control(c->msix, log2), -ENOSPC);
		/* The register is as written. */
		assert_int_equal(vmirq_msix_allocated(c->msix), vectors);
		check_open(c, before, k);
	}
	if (k % 2) {
		/* Unplugged as it is. */
		scene_free(c);
		return;
	}
	give_gsis(c);
	assert_int_equal(set_control(c->msix, log2), 0);
	assert_int_equal(take_all(c->s->vcpu[0], NULL), vectors - before);
	for (uint32_t v = 0; v < vectors; v++) {
		assert_trigger(c->msix, v, VMIRQ_DELIVERED);
		take_only(c->s->vcpu[0], (uint8_t)(BASE + v));
	}
	scene_free(c);
}

static void test_gsis(void **state)
{
	(void)state;
	for (uint32_t log2 = 1; log2 <= 5; log2++)
		for (uint32_t before = 0; before <= log2; before++) {
			uint32_t wanted = (1u << log2) - (before < log2 ? 1u << before : 0);

			for (uint32_t k = 0; k < wanted; k++)
				grow(log2, before, k);
		}
}

static void test_memory(void **state)
{
	(void)state;
	for (uint32_t log2 = 1; log2 <= 5; log2++) {
		uint32_t vectors = 1u << log2;
		int n, error = -ENOMEM;

		for (n = 1; error; n++) {
			struct scene *c = scene_new(vectors);
			uint32_t left = free_gsis(c->s->vm);

			all_pending(c, 0);
			fail_after(n);
			error = set_control(c->msix, log2);
			fail_no_more();
			if (error) {
				assert_int_equal(error, -ENOMEM);
				check_open(c, 0, left);
				assert_int_equal(set_control(c->msix, log2), 0);
			}
			assert_int_equal(free_gsis(c->s->vm), left - vectors);
			assert_int_equal(take_all(c->s->vcpu[0], NULL), vectors);
			scene_free(c);
		}
		/* A page of routes, at least. */
		assert_true(n > 1);
	}
}

/* KVM_SET_GSI_ROUTING fails while half of the vectors are open. */
static void kernel_refuses(struct world *w)
{
	struct vmirq_msix *neighbour, *msix;
	int kept, null, fd;

	if (w->irqchip == VMIRQ_IRQCHIP_SOFT)
		return;
	neighbour = device_new(w->vm, 1);
	msix = device_new_msi(w->vm, 8, FULL);
	fd = vmirq_msix_lend_eventfd(neighbour, 0);
	table_put(neighbour, 0, 1, NEIGHBOUR, false);
	enable(neighbour);
	msi_write(msix, ADDRESS, 4, 0xfee00000);
	msi_write(msix, DATA, 2, BASE);
	assert_int_equal(set_control(msix, 2), 0);
	for (uint32_t v = 4; v < 8; v++)
		assert_trigger(msix, v, VMIRQ_HELD);
	/* What the library has the number of is no KVM VM for a while. */
	kept = dup(w->vm_fd);
	null = open("/dev/null", O_RDWR);
	assert_true(kept >= 0 && null >= 0);
	assert_int_equal(dup2(null, w->vm_fd), w->vm_fd);
	assert_int_equal(set_control(msix, 3), -ENOTTY);
	assert_int_equal(dup2(kept, w->vm_fd), w->vm_fd);
	close(kept);
	close(null);
	for (uint32_t v = 4; v < 8; v++) {
		uint32_t gsi;

		assert_int_equal(vmirq_msix_gsi(msix, v, &gsi), -ENOENT);
		assert_int_equal(vmirq_msix_pending(msix, v), 1);
	}
	world_take_nothing(w);
	for (uint32_t v = 0; v < 4; v++) {
		assert_trigger(msix, v, VMIRQ_DELIVERED);
		world_take(w, 0, (uint8_t)(BASE + v));
	}
	world_write(fd, 1);
	world_take(w, 1, NEIGHBOUR);
	assert_int_equal(set_control(msix, 3), 0);
	for (uint32_t v = 4; v < 8; v++)
		world_take(w, 0, (uint8_t)(BASE + v));
	world_take_nothing(w);
	device_free(msix);
	world_write(fd, 1);
	world_take(w, 1, NEIGHBOUR);
	device_free(neighbour);
	close(fd);
}

int main(void)
{
	static const struct world_case in_kernel[] = { { "the kernel refuses", kernel_refuses } };
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_gsis),
					    cmocka_unit_test(test_memory) };
	int failed = cmocka_run_group_tests(tests, NULL, NULL);

	return failed + world_run_cases(in_kernel, 1);
}
