// SPDX-License-Identifier: MIT
/* What guests and neighbours do to a pirq that waits for an EOI: its GSI goes elsewhere, its line is held by somebody
 * else, the guest never ends it. */
#include "../line/pc_world.h"
#include "host.h"

#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define GSI    9
#define HIGH   20 /* not the 8259s' */
#define VECTOR 0x61

struct bench {
	struct soft *s;
	struct vmirq_worker *worker;
};

static struct bench bench_new(uint32_t rte)
{
	struct bench b = { .s = pc_new(1, 0), .worker = worker_new() };

	out8(b.s, 0x21, 0xff);
	out8(b.s, 0xa1, 0xff);
	rte_put(b.s, GSI, RTE_TO(0) | rte | VECTOR);
	return b;
}

static void bench_free(struct bench *b)
{
	pc_free(b->s);
	assert_int_equal(vmirq_worker_destroy(b->worker, NULL), 0);
}

static void bound(struct bench *b, struct host *h, const struct vmirq_pirq_config *how,
		  enum vmirq_pirq_type type)
{
	host_open(h, how);
	assert_int_equal(bind_gsi(h, b->s->vm, b->worker, type, GSI, 0), 0);
}

static void delivered(struct bench *b, struct host *h)
{
	assert_raise(h, VMIRQ_HELD);
	worker_serves(b->worker, 1);
}

static void serve(struct bench *b)
{
	begin_service(b->s->vcpu[0], VECTOR);
	end_service(b->s->vcpu[0]);
}

/* The route that it was asserted by is gone, and with it the EOI: what is raised from then on are messages. */
static void rerouted_to_a_message_while_pending(void **state)
{
	static const enum vmirq_pirq_type types[] = { VMIRQ_PIRQ_MSI_TO_INTX, VMIRQ_PIRQ_INTX };

	(void)state;
	for (unsigned int i = 0; i < 2; i++) {
		struct bench b = bench_new(RTE_LEVEL);
		struct host h;

		bound(&b, &h, NULL, types[i]);
		delivered(&b, &h);
		begin_service(b.s->vcpu[0], VECTOR);
		route_to(b.s, GSI, 0, VECTOR + 1);
		end_service(b.s->vcpu[0]);
		for (int n = 0; n < 3; n++) {
			delivered(&b, &h);
			take_only(b.s->vcpu[0], VECTOR + 1);
			assert_int_equal(host_counts(&h).pending, 0);
		}
		assert_int_equal(host_verdict(&h, VMIRQ_DELIVERED), 4);
		assert_int_equal(h.unmasked, i ? 3 : 4);
		assert_int_equal(vmirq_line_level(b.s->vm, GSI), 0);
		host_close(&h);
		b.s->posted_beyond = -1; /* the pin's is counted by the IOAPIC, too */
		bench_free(&b);
	}
}

/* A message for one of them, also for one that waits for no EOI, leaves the line to the other. */
static void another_raised_while_rerouted_to_a_message(void **state)
{
	static const enum vmirq_pirq_type types[] = { VMIRQ_PIRQ_INTX, VMIRQ_PIRQ_IDENTITY };

	(void)state;
	for (unsigned int i = 0; i < 2; i++) {
		struct bench b = bench_new(RTE_LEVEL | RTE_MASKED);
		struct host pending, h;

		bound(&b, &pending, NULL, VMIRQ_PIRQ_INTX);
		host_open(&h, NULL);
		assert_int_equal(
			bind_gsi(&h, b.s->vm, b.worker, types[i], GSI, i ? VMIRQ_PIRQ_NO_EOI : 0),
			0);
		delivered(&b, &pending);
		route_to(b.s, GSI, 0, VECTOR + 1);
		for (uint64_t n = 1; n <= 2; n++) {
			delivered(&b, &h);
			take_only(b.s->vcpu[0], VECTOR + 1);
			assert_int_equal(h.unmasked, n);
			assert_int_equal(host_counts(&pending).pending, 1);
			assert_int_equal(vmirq_line_level(b.s->vm, GSI), 1);
		}
		assert_int_equal(host_verdict(&h, VMIRQ_DELIVERED), 2);
		route_pin(b.s, GSI, KVM_IRQCHIP_IOAPIC, GSI);
		rte_put(b.s, GSI, RTE_TO(0) | RTE_LEVEL | VECTOR);
		serve(&b);
		assert_int_equal(pending.unmasked, 1);
		assert_int_equal(vmirq_line_level(b.s->vm, GSI), 0);
		for (uint64_t n = 3; n <= 4; n++) {
			delivered(&b, &h);
			serve(&b);
			assert_int_equal(h.unmasked, n);
		}
		host_close(&pending);
		host_close(&h);
		b.s->posted_beyond = 2; /* the messages, of a GSI that has a pin by now */
		bench_free(&b);
	}
}

/* The line is up for another device of the VMM's, and the guest may have asked ours already. */
static void raised_under_a_line_of_the_vmms(void **state)
{
	struct bench b = bench_new(RTE_LEVEL);
	struct host h;

	(void)state;
	bound(&b, &h, NULL, VMIRQ_PIRQ_MSI_TO_INTX);
	line(b.s, GSI, 0, true);
	begin_service(b.s->vcpu[0], VECTOR);
	delivered(&b, &h);
	line(b.s, GSI, 0, false);
	end_service(b.s->vcpu[0]);
	assert_int_equal(host_counts(&h).pending, 1);
	serve(&b);
	assert_int_equal(host_counts(&h).pending, 0);
	take_nothing(b.s->vcpu[0]);
	/* The other's line has gone, but its interrupt is still in service. */
	line(b.s, GSI, 0, true);
	begin_service(b.s->vcpu[0], VECTOR);
	line(b.s, GSI, 0, false);
	delivered(&b, &h);
	end_service(b.s->vcpu[0]);
	serve(&b);
	assert_int_equal(host_counts(&h).pending, 0);
	take_nothing(b.s->vcpu[0]);
	/* Masked by the guest it has come to nobody: once is enough. */
	rte_put(b.s, GSI, RTE_TO(0) | RTE_LEVEL | RTE_MASKED | VECTOR);
	delivered(&b, &h);
	rte_put(b.s, GSI, RTE_TO(0) | RTE_LEVEL | VECTOR);
	serve(&b);
	assert_int_equal(host_counts(&h).pending, 0);
	take_nothing(b.s->vcpu[0]);
	host_close(&h);
	bench_free(&b);
}

/* In service and masked meanwhile, as by a driver that handles so; the other's line is down already. */
static void raised_in_service_while_masked(void **state)
{
	static const enum vmirq_pirq_type types[] = { VMIRQ_PIRQ_MSI_TO_INTX, VMIRQ_PIRQ_INTX };

	(void)state;
	for (unsigned int i = 0; i < 2; i++) {
		struct bench b = bench_new(RTE_LEVEL);
		struct host h;

		if (i)
			host_open_unmasked(&h);
		else
			host_open(&h, NULL);
		assert_int_equal(bind_gsi(&h, b.s->vm, b.worker, types[i], GSI, 0), 0);
		line(b.s, GSI, 0, true);
		begin_service(b.s->vcpu[0], VECTOR);
		ioapic_put(b.s, IOAPIC_BASE, 0x10 + 2 * GSI, RTE_LEVEL | RTE_MASKED | VECTOR);
		line(b.s, GSI, 0, false);
		delivered(&b, &h);
		assert_int_equal(host_verdict(&h, VMIRQ_RTE_MASKED), 1);
		end_service(b.s->vcpu[0]);
		take_nothing(b.s->vcpu[0]);
		ioapic_put(b.s, IOAPIC_BASE, 0x10 + 2 * GSI, RTE_LEVEL | VECTOR);
		serve(&b);
		assert_int_equal(host_counts(&h).pending, 0);
		take_nothing(b.s->vcpu[0]);
		host_close(&h);
		bench_free(&b);
	}
}

/* The 8259s have the GSI, too, and take what the IOAPIC's pin has in service for delivered. */
static void raised_in_service_with_the_8259s_open(void **state)
{
	struct bench b = bench_new(RTE_LEVEL);
	struct host h;

	(void)state;
	pics_start(b.s, 0, 0);
	out8(b.s, 0x4d1, 1 << (GSI - 8));
	apic_write(b.s->vcpu[0], APIC_LVT_LINT0, 0x10000);
	bound(&b, &h, NULL, VMIRQ_PIRQ_MSI_TO_INTX);
	line(b.s, GSI, 0, true);
	begin_service(b.s->vcpu[0], VECTOR);
	line(b.s, GSI, 0, false);
	delivered(&b, &h);
	assert_int_equal(host_verdict(&h, VMIRQ_DELIVERED), 1);
	end_service(b.s->vcpu[0]);
	serve(&b);
	assert_int_equal(host_counts(&h).pending, 0);
	take_nothing(b.s->vcpu[0]);
	host_close(&h);
	bench_free(&b);
}

static int level_irqfd(struct bench *b, int *resampled, struct vmirq_irqfd **irqfd)
{
	struct vmirq_irqfd_config config = { .size = sizeof(config),
					     .gsi = GSI,
					     .flags = VMIRQ_IRQFD_RESAMPLE,
					     .eventfd = eventfd(0, EFD_NONBLOCK),
					     .resamplefd = eventfd(0, EFD_NONBLOCK) };

	assert_int_equal(vmirq_irqfd_assign(b->s->vm, &config, irqfd), 0);
	*resampled = config.resamplefd;
	return config.eventfd;
}

static uint64_t unread(int fd)
{
	uint64_t n = 0;

	return eventfd_read(fd, &n) ? 0 : n;
}

/* One line of three: a device behind a level irqfd, one of the VMM's, and ours. One EOI ends the first and the last; the
 * line stays up for the other. */
static void beside_a_level_irqfd(void **state)
{
	struct bench b = bench_new(RTE_LEVEL);
	struct vmirq_irqfd *irqfd;
	int resampled, fd = level_irqfd(&b, &resampled, &irqfd);
	struct host h;

	(void)state;
	bound(&b, &h, NULL, VMIRQ_PIRQ_INTX);
	for (uint64_t n = 1; n <= 3; n++) {
		assert_int_equal(eventfd_write(fd, 1), 0);
		assert_int_equal(dispatch(b.s), 1);
		delivered(&b, &h);
		assert_int_equal(host_verdict(&h, VMIRQ_DELIVERED), 0);
		line(b.s, GSI, 0, true);
		begin_service(b.s->vcpu[0], VECTOR);
		end_service(b.s->vcpu[0]);
		assert_int_equal(h.unmasked, n);
		assert_int_equal(unread(resampled), 1);
		assert_int_equal(vmirq_line_level(b.s->vm, GSI), 1);
		begin_service(b.s->vcpu[0], VECTOR);
		line(b.s, GSI, 0, false);
		end_service(b.s->vcpu[0]);
		/* The irqfd's is told at each EOI of its GSI, ours only of its own. */
		unread(resampled);
		assert_int_equal(h.unmasked, n);
		assert_int_equal(vmirq_line_level(b.s->vm, GSI), 0);
		take_nothing(b.s->vcpu[0]);
	}
	/* Ours alone, and one goes while the other is asserted. */
	delivered(&b, &h);
	assert_int_equal(eventfd_write(fd, 1), 0);
	assert_int_equal(dispatch(b.s), 1);
	assert_int_equal(vmirq_irqfd_deassign(irqfd), 0);
	assert_int_equal(vmirq_line_level(b.s->vm, GSI), 1);
	serve(&b);
	assert_int_equal(h.unmasked, 4);
	take_nothing(b.s->vcpu[0]);
	close(fd);
	close(resampled);
	host_close(&h);
	bench_free(&b);
}

/* Ended in the guest's stead, what was raised meanwhile is an interrupt of its own: on an edge, an edge. */
static void ended_by_the_vmm_and_asserted_again(void **state)
{
	struct bench b = bench_new(0);
	struct host h;

	(void)state;
	bound(&b, &h, NULL, VMIRQ_PIRQ_MSI_TO_INTX);
	delivered(&b, &h);
	take_only(b.s->vcpu[0], VECTOR);
	assert_int_equal(host_counts(&h).pending, 0);
	delivered(&b, &h);
	begin_service(b.s->vcpu[0], VECTOR);
	delivered(&b, &h);
	assert_int_equal(vmirq_pirq_eoi(h.pirq), 1);
	assert_int_equal(host_counts(&h).reasserted, 1);
	end_service(b.s->vcpu[0]);
	take_only(b.s->vcpu[0], VECTOR);
	host_close(&h);
	bench_free(&b);
}

/* The same on a level, by either: the EOI of what was in service comes later, and is not the end of it. */
static void ended_in_service_and_asserted_again(void **state)
{
	const struct vmirq_pirq_config how = { .eventfd = -1, .watchdog_ns = 1000 };

	(void)state;
	for (int watchdog = 0; watchdog < 2; watchdog++) {
		struct bench b = bench_new(RTE_LEVEL);
		struct host h;

		bound(&b, &h, &how, VMIRQ_PIRQ_MSI_TO_INTX);
		delivered(&b, &h);
		begin_service(b.s->vcpu[0], VECTOR);
		delivered(&b, &h);
		b.s->now = 1000;
		if (watchdog)
			vmirq_pirq_expire(b.s->vm);
		else
			assert_int_equal(vmirq_pirq_eoi(h.pirq), 1);
		assert_int_equal(host_counts(&h).pending, 1);
		end_service(b.s->vcpu[0]);
		serve(&b);
		assert_int_equal(host_counts(&h).pending, 0);
		assert_int_equal(vmirq_line_level(b.s->vm, GSI), 0);
		take_nothing(b.s->vcpu[0]);
		/* Nothing was raised under this one: that ends it. */
		delivered(&b, &h);
		begin_service(b.s->vcpu[0], VECTOR);
		assert_int_equal(vmirq_pirq_eoi(h.pirq), 1);
		assert_int_equal(host_counts(&h).pending, 0);
		end_service(b.s->vcpu[0]);
		take_nothing(b.s->vcpu[0]);
		host_close(&h);
		bench_free(&b);
	}
}

/* However often it is raised: the guest has so long from the first. */
static void a_storm_does_not_put_the_watchdog_off(void **state)
{
	const struct vmirq_pirq_config how = { .eventfd = -1, .watchdog_ns = 1000 };
	struct bench b = bench_new(RTE_LEVEL);
	struct host h;

	(void)state;
	bound(&b, &h, &how, VMIRQ_PIRQ_MSI_TO_INTX);
	delivered(&b, &h);
	for (b.s->now = 100; b.s->now < 1000; b.s->now += 100)
		delivered(&b, &h);
	assert_int_equal(vmirq_pirq_deadline(b.s->vm), 1000);
	vmirq_pirq_expire(b.s->vm);
	assert_int_equal(host_counts(&h).watchdogs, 1);
	/* What was raised meanwhile has its own time. */
	assert_int_equal(host_counts(&h).pending, 1);
	assert_int_equal(vmirq_pirq_deadline(b.s->vm), 2000);
	b.s->now = 1999;
	vmirq_pirq_expire(b.s->vm);
	assert_int_equal(host_counts(&h).watchdogs, 1);
	b.s->now = 2000;
	vmirq_pirq_expire(b.s->vm);
	assert_int_equal(host_counts(&h).watchdogs, 2);
	assert_int_equal(host_counts(&h).pending, 0);
	assert_int_equal(vmirq_line_level(b.s->vm, GSI), 0);
	take_all(b.s->vcpu[0], NULL);
	host_close(&h);
	bench_free(&b);
}

/* On a pin that no other chip acknowledges at its reset: also what was to be asserted again is ended. */
static void reset_with_more_raised(void **state)
{
	struct bench b = bench_new(RTE_LEVEL);
	struct host h;

	(void)state;
	rte_put(b.s, HIGH, RTE_TO(0) | RTE_LEVEL | VECTOR);
	host_open(&h, NULL);
	assert_int_equal(bind_gsi(&h, b.s->vm, b.worker, VMIRQ_PIRQ_MSI_TO_INTX, HIGH, 0), 0);
	delivered(&b, &h);
	delivered(&b, &h);
	assert_int_equal(vmirq_vm_reset(b.s->vm), 0);
	assert_int_equal(host_counts(&h).pending, 0);
	assert_int_equal(host_counts(&h).reasserted, 0);
	assert_int_equal(vmirq_line_level(b.s->vm, HIGH), 0);
	take_nothing(b.s->vcpu[0]);
	host_close(&h);
	bench_free(&b);
}

struct late {
	uint64_t now;
	struct vmirq_vm *vm;
	bool looks;
	struct host *raises;
};

static uint64_t read_late(void *opaque)
{
	struct late *late = opaque;

	if (late->looks) {
		late->looks = false;
		vmirq_pirq_expire(late->vm);
	}
	if (late->raises) {
		struct host *h = late->raises;

		late->raises = NULL;
		assert_raise(h, VMIRQ_HELD);
	}
	return late->now;
}

/* The last one's time is over, and this one is just being asserted: as by the pump's thread. */
static void the_watchdog_looks_during_an_assertion(void **state)
{
	const struct vmirq_pirq_config how = { .eventfd = -1, .watchdog_ns = 1000 };
	struct late late = { .now = 0 };
	struct vmirq_clock clock = { .now = read_late, .opaque = &late };
	struct vmirq_vm_config config = {
		.size = sizeof(config), .max_vcpus = 1, .flags = VMIRQ_VM_PC_CHIPS, .clock = &clock
	};
	struct vmirq_worker *worker = worker_new();
	struct host h;

	(void)state;
	assert_int_equal(vmirq_vm_create(&config, &late.vm), 0);
	host_open(&h, &how);
	assert_int_equal(bind_gsi(&h, late.vm, worker, VMIRQ_PIRQ_INTX, GSI, 0), 0);
	assert_raise(&h, VMIRQ_HELD);
	worker_serves(worker, 1);
	assert_int_equal(vmirq_pirq_eoi(h.pirq), 1);
	late.now = 5000;
	late.looks = true;
	assert_raise(&h, VMIRQ_HELD);
	worker_serves(worker, 1);
	assert_false(late.looks);
	assert_int_equal(host_counts(&h).watchdogs, 0);
	assert_int_equal(host_counts(&h).pending, 1);
	assert_int_equal(vmirq_pirq_deadline(late.vm), 6000);
	host_close(&h);
	assert_int_equal(vmirq_vm_destroy(late.vm), 0);
	assert_int_equal(vmirq_worker_destroy(worker, NULL), 0);
}

/* The run that it is queued for finds it throttled: one storm, one interrupt, and it is held. */
static void raised_while_it_goes_over_its_rate(void **state)
{
	const struct vmirq_pirq_config how = { .eventfd = -1, .rate = 1 };
	struct late late = { .now = 0 };
	struct vmirq_clock clock = { .now = read_late, .opaque = &late };
	struct vmirq_vm_config config = { .size = sizeof(config), .max_vcpus = 1, .clock = &clock };
	struct vmirq_worker *worker = worker_new();
	struct host h;

	(void)state;
	assert_int_equal(vmirq_vm_create(&config, &late.vm), 0);
	host_open(&h, &how);
	assert_int_equal(bind_msi(&h, late.vm, worker, 0, VECTOR, 0), 0);
	assert_raise(&h, VMIRQ_HELD);
	worker_serves(worker, 1);
	assert_raise(&h, VMIRQ_HELD);
	late.raises = &h;
	worker_serves(worker, 2);
	assert_null(late.raises);
	assert_int_equal(host_counts(&h).storms, 1);
	assert_int_equal(host_counts(&h).held, 1);
	assert_int_equal(host_verdict(&h, VMIRQ_COALESCED), 1);
	assert_int_equal(h.unmasked, 1);
	late.now = vmirq_pirq_deadline(late.vm);
	assert_int_equal(late.now, 1000000000);
	vmirq_pirq_expire(late.vm);
	worker_serves(worker, 1);
	assert_int_equal(host_counts(&h).held, 0);
	assert_int_equal(h.unmasked, 2);
	host_close(&h);
	assert_int_equal(vmirq_vm_destroy(late.vm), 0);
	assert_int_equal(vmirq_worker_destroy(worker, NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rerouted_to_a_message_while_pending),
		cmocka_unit_test(another_raised_while_rerouted_to_a_message),
		cmocka_unit_test(raised_under_a_line_of_the_vmms),
		cmocka_unit_test(raised_in_service_while_masked),
		cmocka_unit_test(raised_in_service_with_the_8259s_open),
		cmocka_unit_test(beside_a_level_irqfd),
		cmocka_unit_test(ended_by_the_vmm_and_asserted_again),
		cmocka_unit_test(ended_in_service_and_asserted_again),
		cmocka_unit_test(reset_with_more_raised),
		cmocka_unit_test(a_storm_does_not_put_the_watchdog_off),
		cmocka_unit_test(the_watchdog_looks_during_an_assertion),
		cmocka_unit_test(raised_while_it_goes_over_its_rate),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
