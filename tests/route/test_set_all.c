// SPDX-License-Identifier: MIT
/* The whole table at once: all of it or nothing (KVM API 4.52, KVM_SET_GSI_ROUTING). */
#include "../support.h"

#include <pthread.h>
#include <stdlib.h>

static struct kvm_irq_routing_entry entry(uint32_t gsi, uint8_t vector)
{
	struct kvm_irq_routing_entry e = { .gsi = gsi, .type = KVM_IRQ_ROUTING_MSI };

	e.u.msi.address_lo = 0xfee00000;
	e.u.msi.data = vector;
	return e;
}

/* The route's vector, or -1. */
static int vector_of(struct soft *s, uint32_t gsi)
{
	struct kvm_irq_routing_entry e;
	int n = vmirq_route_get(s->vm, gsi, &e, 1);

	assert_true(n == 0 || n == 1);
	return n ? (int)e.u.msi.data : -1;
}

static void what_is_not_named_loses_its_route(void **state)
{
	struct soft *s = soft_new(1);
	struct kvm_irq_routing_entry table[] = { entry(900, 0x43), entry(2, 0x41),
						 entry(70, 0x42) };
	struct vmirq_irqfd *one = irqfd_call(s, 1), *two = irqfd_call(s, 2);

	(void)state;
	route_to(s, 1, 0, 0x31);
	route_to(s, 2, 0, 0x32);
	route_to(s, 300, 0, 0x33);
	assert_int_equal(vmirq_route_set_all(s->vm, table, 3), 0);
	assert_int_equal(vector_of(s, 1), -1);
	assert_int_equal(vector_of(s, 2), 0x41);
	assert_int_equal(vector_of(s, 70), 0x42);
	assert_int_equal(vector_of(s, 300), -1);
	assert_int_equal(vector_of(s, 900), 0x43);
	assert_signal(one, VMIRQ_NO_ROUTE);
	assert_signal(two, VMIRQ_DELIVERED);
	take_only(s->vcpu[0], 0x41);
	soft_free(s);
}

static void an_empty_table_is_legal(void **state)
{
	struct soft *s = soft_new(1);
	struct kvm_irq_routing_entry table[] = { entry(1, 0x41) };

	(void)state;
	assert_int_equal(vmirq_route_set_all(s->vm, table, 1), 0);
	assert_int_equal(vmirq_route_set_all(s->vm, table, 0), 0);
	assert_int_equal(vector_of(s, 1), -1);
	assert_int_equal(vmirq_route_set_all(s->vm, NULL, 0), 0);
	soft_free(s);
}

/* Each way to be wrong, in each place of the table: nothing of it is taken. */
static void a_bad_entry_anywhere_leaves_the_old_table(void **state)
{
	enum { N = 5 };
	struct soft *s = soft_new(1);
	struct kvm_irq_routing_entry bad[6];
	struct kvm_irq_routing_entry good[N];
	struct vmirq_irqfd *irqfd = irqfd_call(s, 10);

	(void)state;
	route_to(s, 10, 0, 0x31);
	route_to(s, 500, 0, 0x32);
	for (uint32_t i = 0; i < N; i++)
		good[i] = entry(10 + i, (uint8_t)(0x60 + i));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		bad[i] = entry(100, 0x50);
	bad[0].flags = 2;
	bad[1].type = 9;
	bad[2].gsi = SOFT_GSIS;
	bad[3].gsi = UINT32_MAX;
	bad[4].type = KVM_IRQ_ROUTING_IRQCHIP;
	bad[4].u.irqchip.irqchip = KVM_IRQCHIP_IOAPIC;
	bad[4].u.irqchip.pin = 24;
	bad[5].type = 0;
	for (size_t b = 0; b < sizeof(bad) / sizeof(bad[0]); b++) {
		for (size_t at = 0; at < N; at++) {
			struct kvm_irq_routing_entry table[N];

			memcpy(table, good, sizeof(table));
			table[at] = bad[b];
			assert_int_equal(vmirq_route_set_all(s->vm, table, N), -EINVAL);
			assert_int_equal(vector_of(s, 10), 0x31);
			assert_int_equal(vector_of(s, 500), 0x32);
			for (uint32_t gsi = 11; gsi < 10 + N; gsi++)
				assert_int_equal(vector_of(s, gsi), -1);
			assert_signal(irqfd, VMIRQ_DELIVERED);
			take_only(s->vcpu[0], 0x31);
		}
	}
	soft_free(s);
}

/* Entries of one GSI need not stand together to be seen as one GSI's. */
static void two_messages_on_one_gsi_far_apart(void **state)
{
	struct soft *s = soft_new(1);
	struct kvm_irq_routing_entry table[] = { entry(7, 0x41), entry(9, 0x42), entry(3, 0x43),
						 entry(7, 0x44) };

	(void)state;
	route_to(s, 7, 0, 0x31);
	assert_int_equal(vmirq_route_set_all(s->vm, table, 4), -EINVAL);
	assert_int_equal(vector_of(s, 7), 0x31);
	assert_int_equal(vector_of(s, 9), -1);
	soft_free(s);
}

static void more_than_any_table_holds(void **state)
{
	struct soft *s = soft_new(1);
	struct kvm_irq_routing_entry one = entry(7, 0x41);

	(void)state;
	assert_int_equal(vmirq_route_set_all(NULL, &one, 1), -EINVAL);
	assert_int_equal(vmirq_route_set_all(s->vm, NULL, 1), -EINVAL);
	/* Cannot be valid, and is not read. */
	assert_int_equal(vmirq_route_set_all(s->vm, &one, UINT32_MAX), -EINVAL);
	assert_int_equal(vmirq_route_set_all(s->vm, &one, SIZE_MAX), -EINVAL);
	assert_int_equal(vector_of(s, 7), -1);
	soft_free(s);
}

static void every_gsi_of_the_vm(void **state)
{
	struct soft *s = soft_new(1);
	struct kvm_irq_routing_entry *table = calloc(SOFT_GSIS, sizeof(*table));

	(void)state;
	assert_non_null(table);
	/* From the last to the first, so that the order is not what makes it work. */
	for (uint32_t i = 0; i < SOFT_GSIS; i++)
		table[i] = entry(SOFT_GSIS - 1 - i, (uint8_t)(i % 200 + 20));
	assert_int_equal(vmirq_route_set_all(s->vm, table, SOFT_GSIS), 0);
	for (uint32_t i = 0; i < SOFT_GSIS; i++)
		assert_int_equal(vector_of(s, SOFT_GSIS - 1 - i), i % 200 + 20);
	assert_int_equal(vmirq_route_set_all(s->vm, NULL, 0), 0);
	for (uint32_t i = 0; i < SOFT_GSIS; i++)
		assert_int_equal(vector_of(s, i), -1);
	free(table);
	soft_free(s);
}

/* A GSI that lost its route to a new table is free to be given out, one that is allocated is not. */
static void allocation_outlives_the_table(void **state)
{
	struct soft *s = soft_new(1);
	uint32_t a, b;

	(void)state;
	route_to(s, 24, 0, 0x41);
	assert_int_equal(vmirq_gsi_alloc(s->vm, &a), 0);
	assert_int_equal(a, 25);
	assert_int_equal(vmirq_route_set_all(s->vm, NULL, 0), 0);
	assert_int_equal(vmirq_gsi_alloc(s->vm, &b), 0);
	assert_int_equal(b, 24);
	assert_int_equal(vmirq_gsi_alloc(s->vm, &b), 0);
	assert_int_equal(b, 26);
	soft_free(s);
}

#define TURNS 3000

struct setter {
	struct soft *s;
	pthread_barrier_t *turn;
	uint32_t gsi;
};

static void *set_in_turns(void *opaque)
{
	struct setter *me = opaque;
	struct kvm_irq_routing_entry e = entry(me->gsi, 0x41);

	for (int i = 0; i < TURNS; i++) {
		pthread_barrier_wait(me->turn);
		vmirq_route_set_all(me->s->vm, &e, 1);
		pthread_barrier_wait(me->turn);
	}
	return NULL;
}

/* Two at once: the routes are the one's or the other's. */
static void beside_another(void **state)
{
	pthread_barrier_t turn;
	pthread_t thread;
	struct soft *s = soft_new(1);
	struct setter other = { .s = s, .turn = &turn, .gsi = 900 };
	struct kvm_irq_routing_entry e = entry(30, 0x42);

	(void)state;
	pthread_barrier_init(&turn, NULL, 2);
	assert_int_equal(pthread_create(&thread, NULL, set_in_turns, &other), 0);
	for (int i = 0; i < TURNS; i++) {
		pthread_barrier_wait(&turn);
		assert_int_equal(vmirq_route_set_all(s->vm, &e, 1), 0);
		pthread_barrier_wait(&turn);
		/* The other waits for the next turn. */
		assert_true((vector_of(s, 30) < 0) != (vector_of(s, 900) < 0));
	}
	assert_int_equal(pthread_join(thread, NULL), 0);
	pthread_barrier_destroy(&turn);
	soft_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_not_named_loses_its_route),
		cmocka_unit_test(an_empty_table_is_legal),
		cmocka_unit_test(a_bad_entry_anywhere_leaves_the_old_table),
		cmocka_unit_test(two_messages_on_one_gsi_far_apart),
		cmocka_unit_test(more_than_any_table_holds),
		cmocka_unit_test(every_gsi_of_the_vm),
		cmocka_unit_test(allocation_outlives_the_table),
		cmocka_unit_test(beside_another),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
