// SPDX-License-Identifier: MIT
/*
 * A VFIO device's interrupts as host interrupts (vmirq/passthrough.h): INTx whose trigger raises a pirq and whose unmask
 * is the pirq's, by call and by eventfd; MSI-X as the guest's messages; MSI as a line. Against the stand-in.
 */
#include "../line/pc_world.h"
#include "../passthrough/host.h"

#include <stdlib.h>

#include "vfio_world.h"

#define GSI	9
#define VECTOR	0x61
#define VECTORS 4

static struct stand_in stand_in;

/* As a VMM has it. */
struct card {
	struct soft *s;
	struct vmirq_worker *worker;
	struct vfio *vfio;
	int trigger, unmask; /* unmask -1: by call */
	struct host h;
};

static void unmask_it(struct host *h)
{
	struct card *c = h->opaque;
	const uint64_t one = 1;

	if (c->unmask >= 0)
		assert_int_equal(write(c->unmask, &one, sizeof(one)), sizeof(one));
	else
		assert_int_equal(vfio_unmask(c->vfio, INTX, 0, 1, NULL), 0);
}

static void open_card(struct card *c, bool by_eventfd)
{
	struct vmirq_pirq_config how = { .eventfd = bell() };

	*c = (struct card){ .s = pc_new(1, 0), .worker = worker_new(), .trigger = how.eventfd };
	c->unmask = by_eventfd ? bell() : -1;
	stand_in_start(&stand_in, 8, 8);
	c->vfio = vfio_new(&stand_in);
	out8(c->s, 0x21, 0xff);
	out8(c->s, 0xa1, 0xff);
	rte_put(c->s, GSI, RTE_TO(0) | RTE_LEVEL | VECTOR);
	host_open(&c->h, &how);
	c->h.then = unmask_it;
	c->h.opaque = c;
}

static void close_card(struct card *c)
{
	host_close(&c->h);
	assert_int_equal(vfio_close(c->vfio), 0);
	stand_in_stop(&stand_in);
	pc_free(c->s);
	assert_int_equal(vmirq_worker_destroy(c->worker, NULL), 0);
	close(c->trigger);
	if (c->unmask >= 0)
		close(c->unmask);
}

static void open_intx(struct card *c, bool by_eventfd)
{
	open_card(c, by_eventfd);
	assert_int_equal(bind_gsi(&c->h, c->s->vm, c->worker, VMIRQ_PIRQ_INTX, GSI, 0), 0);
	assert_int_equal(vfio_intx_enable(c->vfio, c->trigger, c->unmask), 0);
}

/* VFIO signals once, and is masked; the guest has it in service. */
static void comes(struct card *c)
{
	assert_true(stand_in_is_masked(&stand_in));
	assert_int_equal(dispatch(c->s), 1);
	c->h.raised++;
	worker_serves(c->worker, 1);
	assert_int_equal(host_counts(&c->h).pending, 1);
	begin_service(c->s->vcpu[0], VECTOR);
}

static void nothing_comes(struct card *c)
{
	assert_int_equal(dispatch(c->s), 0);
	worker_serves(c->worker, 0);
	take_nothing(c->s->vcpu[0]);
	assert_int_equal(vmirq_line_level(c->s->vm, GSI), 0);
}

/* The guest's EOI: once. VFIO has had it. */
static void eoi(struct card *c)
{
	uint64_t before = c->h.unmasked;

	end_service(c->s->vcpu[0]);
	assert_int_equal(c->h.unmasked, before + 1);
	assert_int_equal(host_counts(&c->h).pending, 0);
	if (c->unmask >= 0)
		assert_true(stand_in_unmasked(&stand_in, c->h.unmasked));
}

static void intx(void **state)
{
	(void)state;
	for (int by_eventfd = 0; by_eventfd < 2; by_eventfd++) {
		struct card c;

		open_intx(&c, by_eventfd);
		nothing_comes(&c);
		for (int n = 0; n < 20; n++) {
			stand_in_line(&stand_in, true);
			comes(&c);
			/* Not served yet: it is signalled again at the EOI. */
			eoi(&c);
			comes(&c);
			stand_in_line(&stand_in, false);
			eoi(&c);
			assert_false(stand_in_is_masked(&stand_in));
			nothing_comes(&c);
		}
		assert_int_equal(stand_in_signalled(&stand_in), 40);
		assert_int_equal(host_verdict(&c.h, VMIRQ_DELIVERED), 40);
		close_card(&c);
	}
}

/* Unbound in its midst the host's source stays masked, and the next binding finds it as it was left. */
static void unbound_while_asserted(void **state)
{
	struct card c;

	(void)state;
	open_intx(&c, false);
	stand_in_line(&stand_in, true);
	comes(&c);
	assert_int_equal(vmirq_pirq_unbind(c.h.pirq), 0);
	end_service(c.s->vcpu[0]);
	assert_true(stand_in_is_masked(&stand_in));
	nothing_comes(&c);
	assert_int_equal(bind_gsi(&c.h, c.s->vm, c.worker, VMIRQ_PIRQ_INTX, GSI, 0), 0);
	nothing_comes(&c);
	assert_int_equal(vfio_unmask(c.vfio, INTX, 0, 1, NULL), 0);
	comes(&c);
	stand_in_line(&stand_in, false);
	eoi(&c);
	nothing_comes(&c);
	close_card(&c);
}

/* Nobody would end it any more: it is unmasked, and signals again for the guest that starts. */
static void guest_reset(void **state)
{
	struct card c;

	(void)state;
	open_intx(&c, false);
	stand_in_line(&stand_in, true);
	comes(&c);
	assert_int_equal(vmirq_vm_reset(c.s->vm), 0);
	assert_int_equal(c.h.unmasked, 1);
	apic_enable(c.s->vcpu[0]);
	rte_put(c.s, GSI, RTE_TO(0) | RTE_LEVEL | VECTOR);
	comes(&c);
	stand_in_line(&stand_in, false);
	eoi(&c);
	nothing_comes(&c);
	close_card(&c);
}

/* Each vector's eventfd raises its own pirq. A disabled MSI-X is silent. */
static void messages(void **state)
{
	struct card c;
	struct host h[VECTORS];
	int fds[VECTORS];

	(void)state;
	open_card(&c, false);
	for (int i = 0; i < VECTORS; i++) {
		struct vmirq_pirq_config how = { .size = sizeof(how), .eventfd = bell() };

		h[i] = (struct host){ .raised = 0 };
		fds[i] = how.eventfd;
		assert_int_equal(vmirq_pirq_create(&how, &h[i].pirq), 0);
		assert_int_equal(bind_msi(&h[i], c.s->vm, c.worker, 0, (uint8_t)(VECTOR + i),
					  i % 2 ? VMIRQ_PIRQ_NO_FAST_PATH : 0),
				 0);
	}
	assert_int_equal(vfio_msi_enable(c.vfio, MSIX, fds, VECTORS, NULL), 0);
	for (int n = 0; n < 3 * VECTORS; n++) {
		stand_in_message(&stand_in, MSIX, (uint32_t)n % VECTORS);
		h[n % VECTORS].raised++;
		assert_int_equal(dispatch(c.s), 1);
		worker_serves(c.worker, n % 2);
		take_only(c.s->vcpu[0], (uint8_t)(VECTOR + n % VECTORS));
	}
	assert_int_equal(vfio_disable(c.vfio, MSIX), 0);
	stand_in_message(&stand_in, MSIX, 0);
	nothing_comes(&c);
	for (int i = 0; i < VECTORS; i++) {
		assert_int_equal(host_verdict(&h[i], VMIRQ_DELIVERED), 3);
		host_close(&h[i]);
		close(fds[i]);
	}
	close_card(&c);
}

/* VFIO has nothing to unmask of a message: the pirq has no unmask, and what comes before the EOI comes again. */
static void message_to_line(void **state)
{
	struct vmirq_pirq_config how = { .size = sizeof(how), .eventfd = bell() };
	struct host h = { .raised = 0 };
	struct card c;

	(void)state;
	open_card(&c, false);
	assert_int_equal(vmirq_pirq_create(&how, &h.pirq), 0);
	assert_int_equal(bind_gsi(&h, c.s->vm, c.worker, VMIRQ_PIRQ_MSI_TO_INTX, GSI, 0), 0);
	assert_int_equal(vfio_msi_enable(c.vfio, MSI, &how.eventfd, 1, NULL), 0);
	assert_int_equal(vfio_unmask(c.vfio, MSI, 0, 1, NULL), -ENOTTY);
	for (int n = 0; n < 2; n++) {
		stand_in_message(&stand_in, MSI, 0);
		h.raised++;
		assert_int_equal(dispatch(c.s), 1);
		worker_serves(c.worker, 1);
		if (!n)
			begin_service(c.s->vcpu[0], VECTOR);
	}
	end_service(c.s->vcpu[0]);
	assert_int_equal(host_counts(&h).reasserted, 1);
	begin_service(c.s->vcpu[0], VECTOR);
	end_service(c.s->vcpu[0]);
	nothing_comes(&c);
	assert_int_equal(host_counts(&h).pending, 0);
	host_close(&h);
	close(how.eventfd);
	close_card(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(intx),
		cmocka_unit_test(unbound_while_asserted),
		cmocka_unit_test(guest_reset),
		cmocka_unit_test(messages),
		cmocka_unit_test(message_to_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
