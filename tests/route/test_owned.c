// SPDX-License-Identifier: MIT
/* GSIs that are a vector's or a pirq's message's: nobody else routes them. And they take none that is in use. */
#include <vmirq/mailbox.h>

/* Its send() is not the socket's. */
#define send send_message
#include "../line/pc_world.h"
#undef send
#include "../msix/device.h"
#include "../passthrough/host.h"

static struct vmirq_msix *open_device(struct soft *s, uint8_t vector)
{
	struct vmirq_msix *msix = device_new(s->vm, 2);

	table_put(msix, 0, 0, vector, false);
	enable(msix);
	return msix;
}

static uint32_t gsi_of(struct vmirq_msix *msix)
{
	uint32_t gsi = UINT32_MAX;

	assert_int_equal(vmirq_msix_gsi(msix, 0, &gsi), 0);
	return gsi;
}

/* By every call there is. */
static void refused(struct soft *s, uint32_t gsi)
{
	struct kvm_irq_routing_entry entry = { .gsi = gsi, .type = KVM_IRQ_ROUTING_MSI };

	entry.u.msi.address_lo = 0xfee00000;
	entry.u.msi.data = 0x99;
	assert_int_equal(vmirq_route_set(s->vm, &entry, 1), -EBUSY);
	assert_int_equal(vmirq_route_set_msi(s->vm, gsi, 0xfee00000, 0x99), -EBUSY);
	assert_int_equal(vmirq_route_clear(s->vm, gsi), -EBUSY);
	assert_int_equal(vmirq_gsi_free(s->vm, gsi), -EINVAL);
}

static void raises(struct soft *s, struct vmirq_msix *msix, uint8_t vector)
{
	assert_trigger(msix, 0, VMIRQ_DELIVERED);
	take_only(s->vcpu[0], vector);
}

static void a_vectors(void **state)
{
	struct soft *s = soft_new(1);
	struct vmirq_msix *msix = open_device(s, 0x50);
	struct kvm_irq_routing_entry entry = { .gsi = gsi_of(msix), .type = KVM_IRQ_ROUTING_MSI };

	(void)state;
	refused(s, entry.gsi);
	assert_int_equal(vmirq_route_set_all(s->vm, &entry, 1), -EBUSY);
	raises(s, msix, 0x50);
	/* The guest's own changes pass. */
	table_write(msix, 0, ENTRY_DATA, 0x51);
	raises(s, msix, 0x51);
	refused(s, entry.gsi);
	raises(s, msix, 0x51);
	device_free(msix);
	/* It is anybody's again. */
	route_to(s, entry.gsi, 0, 0x60);
	assert_int_equal(vmirq_route_clear(s->vm, entry.gsi), 0);
	soft_free(s);
}

/* Said in a transaction: refused when it is said, and what else is in it is made. */
static void in_a_transaction(void **state)
{
	struct soft *s = soft_new(1);
	struct vmirq_msix *msix = open_device(s, 0x50);
	struct kvm_irq_routing_entry entry;

	(void)state;
	assert_int_equal(vmirq_route_begin(s->vm), 0);
	route_to(s, 30, 0, 0x41);
	refused(s, gsi_of(msix));
	/* The guest's change is no part of it. */
	table_write(msix, 0, ENTRY_DATA, 0x51);
	raises(s, msix, 0x51);
	assert_int_equal(vmirq_route_commit(s->vm), 0);
	raises(s, msix, 0x51);
	assert_int_equal(vmirq_route_get(s->vm, 30, &entry, 1), 1);
	device_free(msix);
	soft_free(s);
}

/* Nobody's when it was said, a vector's when it is to be made. */
static void taken_during_a_transaction(void **state)
{
	struct soft *s = soft_new(1);
	struct vmirq_msix *msix;
	struct kvm_irq_routing_entry entry;

	(void)state;
	for (int backwards = 0; backwards < 2; backwards++) {
		assert_int_equal(vmirq_route_begin(s->vm), 0);
		route_to(s, backwards ? 30 : 23, 0, 0x41);
		route_to(s, 24, 0, 0x42);
		msix = open_device(s, 0x50);
		assert_int_equal(gsi_of(msix), 24);
		assert_int_equal(vmirq_route_commit(s->vm), -EBUSY);
		assert_int_equal(vmirq_route_get(s->vm, backwards ? 30 : 23, &entry, 1), 0);
		raises(s, msix, 0x50);
		/* It is over. */
		assert_int_equal(vmirq_route_begin(s->vm), 0);
		assert_int_equal(vmirq_route_abort(s->vm), 0);
		device_free(msix);
	}
	soft_free(s);
}

static void a_pirqs(void **state)
{
	struct soft *s = soft_new(1);
	struct vmirq_worker *w = worker_new();
	struct host fast, queued;
	uint32_t gsi;

	(void)state;
	host_open_unmasked(&fast);
	host_open_unmasked(&queued);
	assert_int_equal(bind_msi(&fast, s->vm, NULL, 0, 0x50, 0), 0);
	assert_int_equal(bind_msi(&queued, s->vm, w, 0, 0x51, VMIRQ_PIRQ_NO_FAST_PATH), 0);
	refused(s, 24);
	refused(s, 25);
	assert_int_equal(vmirq_route_set_all(s->vm, NULL, 0), 0);
	assert_raise(&fast, VMIRQ_DELIVERED);
	take_only(s->vcpu[0], 0x50);
	assert_raise(&queued, VMIRQ_HELD);
	worker_serves(w, 1);
	take_only(s->vcpu[0], 0x51);
	assert_int_equal(vmirq_pirq_retarget(fast.pirq, 0xfee00000, 0x52), 0);
	assert_raise(&fast, VMIRQ_DELIVERED);
	take_only(s->vcpu[0], 0x52);
	host_close(&fast);
	host_close(&queued);
	assert_int_equal(vmirq_gsi_alloc(s->vm, &gsi), 0);
	assert_int_equal(gsi, 24);
	route_to(s, 25, 0, 0x60);
	soft_free(s);
	assert_int_equal(vmirq_worker_destroy(w, NULL), 0);
}

static void a_pirqs_beside_a_transaction(void **state)
{
	struct soft *s = soft_new(1);
	struct host h;

	(void)state;
	host_open_unmasked(&h);
	for (int done = 0; done < 2; done++) {
		assert_int_equal(vmirq_route_begin(s->vm), 0);
		assert_int_equal(bind_msi(&h, s->vm, NULL, 0, 0x50, 0), 0);
		assert_raise(&h, VMIRQ_DELIVERED);
		take_only(s->vcpu[0], 0x50);
		assert_int_equal(vmirq_pirq_retarget(h.pirq, 0xfee00000, 0x51), 0);
		assert_raise(&h, VMIRQ_DELIVERED);
		take_only(s->vcpu[0], 0x51);
		assert_int_equal(done ? vmirq_route_commit(s->vm) : vmirq_route_abort(s->vm), 0);
		assert_raise(&h, VMIRQ_DELIVERED);
		take_only(s->vcpu[0], 0x51);
		assert_int_equal(vmirq_pirq_unbind(h.pirq), 0);
	}
	host_close(&h);
	assert_int_equal(free_gsis(s->vm), SOFT_GSIS - 24);
	soft_free(s);
}

/* A number of the VMM's own that has something on it and no route yet: neither alloc nor a vector takes it. And
 * it is free when that has gone. */
static void bound_before_its_route(void **state)
{
	const struct vmirq_mailbox_config config = { .size = sizeof(config), .count = 1 };
	struct soft *s = pc_with_ioapics(1, NULL, 0);
	struct vmirq_worker *w = worker_new();
	struct vmirq_mailbox *mailbox;
	struct vmirq_irqfd *irqfd = irqfd_call(s, 24), *second = irqfd_call(s, 24);
	struct vmirq_msix *msix;
	struct host h;
	unsigned int all;
	uint32_t gsi;

	(void)state;
	assert_int_equal(vmirq_mailbox_create(s->vm, &config, &mailbox), 0);
	assert_int_equal(vmirq_mailbox_bind(mailbox, 0, 25), 0);
	host_open(&h, NULL);
	assert_int_equal(bind_gsi(&h, s->vm, w, VMIRQ_PIRQ_INTX, 26, 0), 0);
	all = free_gsis(s->vm);
	assert_int_equal(vmirq_gsi_alloc(s->vm, &gsi), 0);
	assert_int_equal(gsi, 27);
	msix = open_device(s, 0x50);
	assert_int_equal(gsi_of(msix), 28);
	assert_signal(irqfd, VMIRQ_NO_ROUTE);
	take_nothing(s->vcpu[0]);
	/* Named by the VMM, it may be routed as ever. */
	route_to(s, 24, 0, 0x41);
	assert_signal(irqfd, VMIRQ_DELIVERED);
	take_only(s->vcpu[0], 0x41);
	assert_int_equal(vmirq_route_clear(s->vm, 24), 0);
	assert_int_equal(vmirq_irqfd_deassign(irqfd), 0);
	assert_int_equal(free_gsis(s->vm), all - 2);
	assert_int_equal(vmirq_irqfd_deassign(second), 0);
	assert_int_equal(free_gsis(s->vm), all - 1);
	assert_int_equal(vmirq_mailbox_unbind(mailbox, 0), 0);
	assert_int_equal(free_gsis(s->vm), all);
	host_close(&h);
	assert_int_equal(free_gsis(s->vm), all + 1);
	assert_int_equal(vmirq_gsi_free(s->vm, gsi), 0);
	device_free(msix);
	assert_int_equal(free_gsis(s->vm), all + 3);
	assert_int_equal(vmirq_mailbox_destroy(mailbox), 0);
	pc_free(s);
	assert_int_equal(vmirq_worker_destroy(w, NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_vectors),
		cmocka_unit_test(in_a_transaction),
		cmocka_unit_test(taken_during_a_transaction),
		cmocka_unit_test(a_pirqs),
		cmocka_unit_test(a_pirqs_beside_a_transaction),
		cmocka_unit_test(bound_before_its_route),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
