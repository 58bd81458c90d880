// SPDX-License-Identifier: MIT
/* Level irqfds (KVM API 4.75, KVM_IRQFD_FLAG_RESAMPLE). The guest's end of an interrupt comes back to the devices. */
#include "../line/pc_world.h"

#include <poll.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define GSI	9
#define OTHER	10
#define VECTOR	0x61
#define VECTOR2 0x71

/* A device: it signals, and is told. */
struct device {
	int event, resample;
	struct vmirq_irqfd *irqfd;
};

static struct device plug(struct soft *s, uint32_t gsi)
{
	struct device d = { .event = eventfd(0, EFD_NONBLOCK),
			    .resample = eventfd(0, EFD_NONBLOCK) };
	struct vmirq_irqfd_config config = { .size = sizeof(config),
					     .gsi = gsi,
					     .flags = VMIRQ_IRQFD_RESAMPLE,
					     .eventfd = d.event,
					     .resamplefd = d.resample };

	assert_int_equal(vmirq_irqfd_assign(s->vm, &config, &d.irqfd), 0);
	return d;
}

static void unplug(struct device *d)
{
	assert_int_equal(vmirq_irqfd_deassign(d->irqfd), 0);
	close(d->event);
	close(d->resample);
}

static void raise(struct soft *s, const struct device *d)
{
	const uint64_t one = 1;

	assert_int_equal(write(d->event, &one, sizeof(one)), sizeof(one));
	assert_int_equal(dispatch(s), 1);
}

/* When the end of the interrupt has returned. */
static void is_told(const struct device *d)
{
	struct pollfd p = { .fd = d->resample, .events = POLLIN };
	uint64_t n = 0;

	assert_int_equal(poll(&p, 1, 0), 1);
	assert_int_equal(read(d->resample, &n, sizeof(n)), sizeof(n));
	assert_int_equal(n, 1);
}

static void is_not_told(const struct device *d)
{
	struct pollfd p = { .fd = d->resample, .events = POLLIN };

	assert_int_equal(poll(&p, 1, 10), 0);
}

static void level_until_eoi(void **state)
{
	struct soft *s = pc_new(1, 0);
	struct device d = plug(s, GSI);

	(void)state;
	rte_put(s, GSI, RTE_TO(0) | RTE_LEVEL | VECTOR);
	for (int i = 0; i < 3; i++) {
		raise(s, &d);
		assert_int_equal(vmirq_line_level(s->vm, GSI), 1);
		begin_service(s->vcpu[0], VECTOR);
		assert_true(remote_irr(s, GSI));
		/* It asks again before the end: one interrupt for both. */
		raise(s, &d);
		take_nothing(s->vcpu[0]);
		is_not_told(&d);
		end_service(s->vcpu[0]);
		assert_int_equal(vmirq_line_level(s->vm, GSI), 0);
		is_told(&d);
		take_nothing(s->vcpu[0]);
	}
	assert_int_equal(counts_of(d.irqfd).verdict[VMIRQ_DELIVERED], 3);
	assert_int_equal(counts_of(d.irqfd).verdict[VMIRQ_COALESCED], 3);
	unplug(&d);
	pc_free(s);
}

/* Everybody on the GSI is told, whoever asked; others are not (kernel 49f8a1a5). */
static void all_of_a_gsi(void **state)
{
	struct soft *s = pc_new(1, 0);
	struct device a = plug(s, GSI), b = plug(s, GSI), c = plug(s, OTHER);

	(void)state;
	rte_put(s, GSI, RTE_TO(0) | RTE_LEVEL | VECTOR);
	rte_put(s, OTHER, RTE_TO(0) | RTE_LEVEL | VECTOR2);
	raise(s, &a);
	begin_service(s->vcpu[0], VECTOR);
	raise(s, &b);
	end_service(s->vcpu[0]);
	is_told(&a);
	is_told(&b);
	is_not_told(&c);
	take_nothing(s->vcpu[0]);
	raise(s, &c);
	begin_service(s->vcpu[0], VECTOR2);
	end_service(s->vcpu[0]);
	is_told(&c);
	is_not_told(&a);
	is_not_told(&b);
	unplug(&a);
	unplug(&b);
	unplug(&c);
	pc_free(s);
}

/* The source is shared: the first that leaves leaves the line, the last lowers it. */
static void the_last_lowers(void **state)
{
	struct soft *s = pc_new(1, 0);
	struct device a = plug(s, GSI), b = plug(s, GSI);

	(void)state;
	raise(s, &a);
	unplug(&a);
	assert_int_equal(vmirq_line_level(s->vm, GSI), 1);
	unplug(&b);
	assert_int_equal(vmirq_line_level(s->vm, GSI), 0);
	rte_put(s, GSI, RTE_TO(0) | RTE_LEVEL | VECTOR);
	take_nothing(s->vcpu[0]);
	pc_free(s);
}

/* Another source holds the line: the end of the interrupt tells the device, and it comes again. */
static void other_sources_stay(void **state)
{
	struct soft *s = pc_new(1, 0);
	struct device d = plug(s, GSI);

	(void)state;
	rte_put(s, GSI, RTE_TO(0) | RTE_LEVEL | VECTOR);
	raise(s, &d);
	line(s, GSI, 0, true);
	begin_service(s->vcpu[0], VECTOR);
	end_service(s->vcpu[0]);
	is_told(&d);
	assert_int_equal(vmirq_line_level(s->vm, GSI), 1);
	begin_service(s->vcpu[0], VECTOR);
	line(s, GSI, 0, false);
	end_service(s->vcpu[0]);
	is_told(&d);
	take_nothing(s->vcpu[0]);
	unplug(&d);
	pc_free(s);
}

/* A guest that masks while it works, as for a oneshot handler (kernel fef8f2b9): the device asked again,
 * and at unmask it is asked whether it still means it. */
static void asked_again_at_unmask(void **state)
{
	struct soft *s = pc_new(1, 0);
	struct device d = plug(s, GSI);

	(void)state;
	rte_put(s, GSI, RTE_TO(0) | RTE_LEVEL | VECTOR);
	raise(s, &d);
	begin_service(s->vcpu[0], VECTOR);
	ioapic_put(s, IOAPIC_BASE, 0x10 + 2 * GSI, RTE_MASKED | RTE_LEVEL | VECTOR);
	end_service(s->vcpu[0]);
	is_told(&d);
	raise(s, &d);
	take_nothing(s->vcpu[0]);
	ioapic_put(s, IOAPIC_BASE, 0x10 + 2 * GSI, RTE_LEVEL | VECTOR);
	is_told(&d);
	/* It did not. */
	take_nothing(s->vcpu[0]);
	assert_int_equal(vmirq_line_level(s->vm, GSI), 0);
	unplug(&d);
	pc_free(s);
}

/* Unmasked while in service: there is an end to come, which asks. */
static void not_asked_while_in_service(void **state)
{
	struct soft *s = pc_new(1, 0);
	struct device d = plug(s, GSI);

	(void)state;
	rte_put(s, GSI, RTE_TO(0) | RTE_LEVEL | VECTOR);
	raise(s, &d);
	begin_service(s->vcpu[0], VECTOR);
	ioapic_put(s, IOAPIC_BASE, 0x10 + 2 * GSI, RTE_MASKED | RTE_LEVEL | VECTOR);
	ioapic_put(s, IOAPIC_BASE, 0x10 + 2 * GSI, RTE_LEVEL | VECTOR);
	is_not_told(&d);
	end_service(s->vcpu[0]);
	is_told(&d);
	is_not_told(&d);
	take_nothing(s->vcpu[0]);
	unplug(&d);
	pc_free(s);
}

/* The guest makes the pin an edge meanwhile (CVE-2020-27152): as many rounds as it makes EOIs. */
static void level_becomes_edge(void **state)
{
	struct soft *s = pc_new(1, 0);
	struct device d = plug(s, GSI);

	(void)state;
	rte_put(s, GSI, RTE_TO(0) | RTE_LEVEL | VECTOR);
	raise(s, &d);
	begin_service(s->vcpu[0], VECTOR);
	rte_put(s, GSI, RTE_TO(0) | VECTOR);
	end_service(s->vcpu[0]);
	is_told(&d);
	is_not_told(&d);
	for (int i = 0; i < 3; i++) {
		raise(s, &d);
		begin_service(s->vcpu[0], VECTOR);
		end_service(s->vcpu[0]);
		is_told(&d);
		take_nothing(s->vcpu[0]);
	}
	unplug(&d);
	pc_free(s);
}

static void count_calls(void *opaque)
{
	++*(int *)opaque;
}

static void by_call_and_callback(void **state)
{
	struct soft *s = pc_new(1, 0);
	int calls = 0;
	struct vmirq_irqfd_config config = { .size = sizeof(config),
					     .gsi = GSI,
					     .flags = VMIRQ_IRQFD_RESAMPLE,
					     .eventfd = -1,
					     .resample = count_calls,
					     .resample_opaque = &calls };
	struct vmirq_irqfd *irqfd;

	(void)state;
	assert_int_equal(vmirq_irqfd_assign(s->vm, &config, &irqfd), 0);
	rte_put(s, GSI, RTE_TO(0) | RTE_LEVEL | VECTOR);
	for (int i = 0; i < 3; i++) {
		assert_signal(irqfd, VMIRQ_HELD);
		dispatch(s);
		begin_service(s->vcpu[0], VECTOR);
		end_service(s->vcpu[0]);
		assert_int_equal(calls, i + 1);
	}
	assert_int_equal(vmirq_irqfd_deassign(irqfd), 0);
	pc_free(s);
}

/* Its device has filled the resamplefd and made it block: the vCPU goes on, the device is told, and loses
 * what it wrote itself. */
static void full_resamplefd(void **state)
{
	const uint64_t full = UINT64_MAX - 1;
	struct soft *s = pc_new(1, 0);
	struct vmirq_irqfd_config config = { .size = sizeof(config),
					     .gsi = GSI,
					     .flags = VMIRQ_IRQFD_RESAMPLE,
					     .eventfd = eventfd(0, 0),
					     .resamplefd = eventfd(0, 0) };
	struct device d = { .event = config.eventfd, .resample = config.resamplefd };
	uint64_t n = 0;

	(void)state;
	assert_int_equal(write(d.resample, &full, sizeof(full)), sizeof(full));
	assert_int_equal(vmirq_irqfd_assign(s->vm, &config, &d.irqfd), 0);
	rte_put(s, GSI, RTE_TO(0) | RTE_LEVEL | VECTOR);
	for (int i = 0; i < 3; i++) {
		raise(s, &d);
		begin_service(s->vcpu[0], VECTOR);
		end_service(s->vcpu[0]);
	}
	assert_int_equal(read(d.resample, &n, sizeof(n)), sizeof(n));
	assert_int_equal(n, 3);
	unplug(&d);
	pc_free(s);
}

static void errors(void **state)
{
	struct soft *s = pc_new(1, 0), *bare = soft_new(1);
	int fd = eventfd(0, EFD_NONBLOCK), pipes[2];
	struct vmirq_irqfd_config config = {
		.size = sizeof(config), .gsi = GSI, .flags = VMIRQ_IRQFD_RESAMPLE, .eventfd = fd
	};
	struct vmirq_irqfd *irqfd;

	(void)state;
	assert_int_equal(pipe(pipes), 0);
	config.resamplefd = -1;
	assert_int_equal(vmirq_irqfd_assign(s->vm, &config, &irqfd), -EBADF);
	assert_int_equal(vmirq_irqfd_assign(bare->vm, &config, &irqfd), -EINVAL);
	config.resamplefd = 9999;
	assert_int_equal(vmirq_irqfd_assign(s->vm, &config, &irqfd), -EBADF);
	config.resamplefd = pipes[0];
	assert_int_equal(vmirq_irqfd_assign(s->vm, &config, &irqfd), -EINVAL);
	/* No flag of this library's. */
	config.flags = 1u << 3;
	assert_int_equal(vmirq_irqfd_assign(s->vm, &config, &irqfd), -EINVAL);
	config.flags = 0;
	config.resample = count_calls;
	assert_int_equal(vmirq_irqfd_assign(s->vm, &config, &irqfd), -EINVAL);
	/* Nothing of it was left bound. */
	config.resample = NULL;
	assert_int_equal(vmirq_irqfd_assign(s->vm, &config, &irqfd), 0);
	assert_int_equal(vmirq_irqfd_deassign(irqfd), 0);
	close(pipes[0]);
	close(pipes[1]);
	close(fd);
	soft_free(bare);
	pc_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(level_until_eoi),
		cmocka_unit_test(all_of_a_gsi),
		cmocka_unit_test(the_last_lowers),
		cmocka_unit_test(other_sources_stay),
		cmocka_unit_test(asked_again_at_unmask),
		cmocka_unit_test(not_asked_while_in_service),
		cmocka_unit_test(level_becomes_edge),
		cmocka_unit_test(by_call_and_callback),
		cmocka_unit_test(full_resamplefd),
		cmocka_unit_test(errors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
