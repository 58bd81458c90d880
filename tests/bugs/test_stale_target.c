// SPDX-License-Identifier: MIT
/*
 * What an irqfd was resolved to once must not be used again: CVE-2025-37885 (it stays posted after its route
 * became one that cannot be), kernel a0ca34bb, CVE-2026-23198. From a message by way of pins or nothing, and
 * then the vCPU goes.
 */
#include "../line/pc_world.h"

#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define GSI	40
#define PIN	19
#define VECTOR	0x61
#define VECTOR2 0x71

enum by { BY_CALL, BY_EVENTFD, WAYS };

struct source {
	struct soft *s;
	int fd;
	struct vmirq_irqfd *irqfd;
};

static struct source source_new(enum by by)
{
	struct source source = { .s = pc_new(2, 0),
				 .fd = by == BY_EVENTFD ? eventfd(0, EFD_NONBLOCK) : -1 };

	source.irqfd = irqfd_on(source.s, GSI, source.fd);
	rte_put(source.s, PIN, RTE_TO(0) | VECTOR2);
	return source;
}

static void source_free(struct source *source)
{
	assert_int_equal(vmirq_irqfd_deassign(source->irqfd), 0);
	if (source->fd >= 0)
		close(source->fd);
	/* The GSI's route has not always been the same, so pc_free() cannot tell whose deliveries
	 * were the chip's. */
	for (uint32_t i = 0; i < 2; i++)
		assert_int_equal(counts_of_vector(source->s->vcpu[i], VECTOR).pending, 0);
	assert_int_equal(vmirq_vm_destroy(source->s->vm), 0);
	free(source->s);
}

static void signal_once(struct source *source)
{
	if (source->fd >= 0)
		assert_int_equal(eventfd_write(source->fd, 1), 0);
	else
		vmirq_irqfd_signal(source->irqfd);
	dispatch(source->s);
}

/* One signal more than before, with this outcome. */
static void comes_to(struct source *source, enum vmirq_verdict verdict)
{
	uint64_t before = gsi_verdict(source->s, GSI, verdict),
		 raised = counts_of_gsi(source->s, GSI).raised;

	signal_once(source);
	assert_int_equal(gsi_verdict(source->s, GSI, verdict), before + 1);
	assert_int_equal(counts_of_gsi(source->s, GSI).raised, raised + 1);
}

static void message_pin_nothing_and_the_vcpu_goes(enum by by)
{
	struct source source = source_new(by);
	struct soft *s = source.s;

	route_to(s, GSI, 1, VECTOR);
	comes_to(&source, VMIRQ_DELIVERED);
	take_only(s->vcpu[1], VECTOR);
	route_pin(s, GSI, KVM_IRQCHIP_IOAPIC, PIN);
	comes_to(&source, VMIRQ_DELIVERED);
	take_nothing(s->vcpu[1]);
	take_only(s->vcpu[0], VECTOR2);
	assert_int_equal(vmirq_route_clear(s->vm, GSI), 0);
	comes_to(&source, VMIRQ_NO_ROUTE);
	take_nothing(s->vcpu[1]);
	assert_int_equal(vmirq_vcpu_destroy(s->vcpu[1]), 0);
	comes_to(&source, VMIRQ_NO_ROUTE);
	route_to(s, GSI, 1, VECTOR);
	comes_to(&source, VMIRQ_NO_TARGET);
	/* Another in its slot, by another id. */
	soft_add(s, 1, 5, 0);
	comes_to(&source, VMIRQ_NO_TARGET);
	take_nothing(s->vcpu[1]);
	source_free(&source);
}

/* Still a message, and no longer one that can be posted: several targets, an NMI, a bad vector. */
static void messages_that_are_no_plain_post(enum by by)
{
	struct source source = source_new(by);
	struct soft *s = source.s;
	uint32_t vector;

	for (int i = 0; i < 3; i++) {
		route_to(s, GSI, 1, VECTOR);
		comes_to(&source, VMIRQ_DELIVERED);
		take_only(s->vcpu[1], VECTOR);
		route_to(s, GSI, 0xff, VECTOR2);
		comes_to(&source, VMIRQ_DELIVERED);
		take_only(s->vcpu[0], VECTOR2);
		take_only(s->vcpu[1], VECTOR2);
		assert_int_equal(vmirq_route_set_msi(s->vm, GSI, 0xfee01000, NMI << 8), 0);
		comes_to(&source, VMIRQ_DELIVERED);
		assert_int_equal(vmirq_vcpu_step(s->vcpu[1], 0, &vector), VMIRQ_STEP_NMI);
		take_nothing(s->vcpu[1]);
		route_to(s, GSI, 1, 5);
		comes_to(&source, VMIRQ_BAD_VECTOR);
		take_nothing(s->vcpu[1]);
	}
	source_free(&source);
}

static void the_vcpu_goes(void **state)
{
	(void)state;
	for (int by = 0; by < WAYS; by++)
		message_pin_nothing_and_the_vcpu_goes((enum by)by);
}

static void no_plain_post(void **state)
{
	(void)state;
	for (int by = 0; by < WAYS; by++)
		messages_that_are_no_plain_post((enum by)by);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_vcpu_goes),
		cmocka_unit_test(no_plain_post),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
