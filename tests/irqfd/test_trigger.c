// SPDX-License-Identifier: MIT
/* A trigger and the irqfd of its eventfd: joined when both are there, parted when one goes, and each signal
 * by the way that is open at that moment. (docs/design.md, "Bypass") */
#include "triggers.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <vmirq/bypass.h>
#include <vmirq/msix.h>

#define LOGICAL UINT64_C(4)

static void a_signal_skips_the_eventfd(void **state)
{
	struct soft *s = soft_new(1);
	int fd = new_eventfd();
	struct vmirq_irqfd *irqfd = assign(s, 3, fd, 0);
	struct vmirq_trigger *trigger = trigger_on(vmirq_vm_bypass(s->vm), fd);

	(void)state;
	route_to(s, 3, 0, 0x41);
	goes(trigger, VMIRQ_PATH_BYPASS, VMIRQ_DELIVERED);
	goes(trigger, VMIRQ_PATH_BYPASS, VMIRQ_COALESCED);
	assert_false(readable(fd));
	take_only(s->vcpu[0], 0x41);
	assert_int_equal(counts_of(irqfd).raised, 2);
	/* The eventfd is still the irqfd's, for who does not know better. */
	assert_int_equal(eventfd_write(fd, 1), 0);
	dispatch(s);
	take_only(s->vcpu[0], 0x41);
	assert_int_equal(vmirq_trigger_destroy(trigger), 0);
	close(fd);
	soft_free(s);
}

/* In either order, by any duplicate; the first of the two works alone. */
static void whoever_comes_first(void **state)
{
	struct soft *s = soft_new(1);
	int fd = new_eventfd(), other = dup(fd);
	struct vmirq_trigger *trigger = trigger_on(vmirq_vm_bypass(s->vm), fd);
	struct vmirq_irqfd *irqfd;

	(void)state;
	route_to(s, 3, 0, 0x41);
	goes(trigger, VMIRQ_PATH_EVENTFD, VMIRQ_HELD);
	goes(trigger, VMIRQ_PATH_EVENTFD, VMIRQ_HELD);
	irqfd = assign(s, 3, other, 0);
	close(other);
	goes(trigger, VMIRQ_PATH_BYPASS, VMIRQ_DELIVERED);
	/* What waited in the eventfd comes, too. */
	take_only(s->vcpu[0], 0x41);
	dispatch(s);
	take_only(s->vcpu[0], 0x41);
	assert_int_equal(counts_of(irqfd).raised, 3);
	assert_int_equal(counts_of(irqfd).verdict[VMIRQ_EVENTFD_MERGED], 1);
	/* And back. */
	assert_int_equal(vmirq_irqfd_deassign(irqfd), 0);
	goes(trigger, VMIRQ_PATH_EVENTFD, VMIRQ_HELD);
	assert_true(readable(fd));
	assert_int_equal(counts_by_way(trigger).switched_to[VMIRQ_PATH_BYPASS], 1);
	assert_int_equal(counts_by_way(trigger).switched_to[VMIRQ_PATH_EVENTFD], 1);
	/* Its own copy: the caller's is closed. */
	close(fd);
	goes(trigger, VMIRQ_PATH_EVENTFD, VMIRQ_HELD);
	assert_int_equal(vmirq_trigger_destroy(trigger), 0);
	soft_free(s);
}

static bool told(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, 0) == 1 && readable(fd);
}

/* A level of a pin goes by the irqfd, which defers it, and its end comes back to the device; a message in its
 * place is posted; and so on. */
static void a_level(void **state)
{
	struct soft *s = pc_new(1, 0);
	struct vmirq_irqfd_config config = { .size = sizeof(config),
					     .gsi = 9,
					     .flags = VMIRQ_IRQFD_RESAMPLE,
					     .eventfd = new_eventfd(),
					     .resamplefd = new_eventfd() };
	struct vmirq_trigger *trigger = trigger_on(vmirq_vm_bypass(s->vm), config.eventfd);
	struct vmirq_irqfd *irqfd;

	(void)state;
	rte_put(s, 9, RTE_TO(0) | RTE_LEVEL | 0x61);
	assert_int_equal(vmirq_irqfd_assign(s->vm, &config, &irqfd), 0);
	for (int i = 0; i < 3; i++) {
		goes(trigger, VMIRQ_PATH_IRQFD, VMIRQ_HELD);
		goes(trigger, VMIRQ_PATH_IRQFD, VMIRQ_COALESCED);
		dispatch(s);
		begin_service(s->vcpu[0], 0x61);
		assert_true(remote_irr(s, 9));
		assert_false(told(config.resamplefd));
		end_service(s->vcpu[0]);
		assert_true(told(config.resamplefd));
		take_nothing(s->vcpu[0]);
	}
	assert_int_equal(counts_by_way(trigger).path[VMIRQ_PATH_EVENTFD], 0);
	assert_int_equal(vmirq_irqfd_deassign(irqfd), 0);
	/* An edge, between a message and the pin. */
	irqfd = assign(s, 9, config.eventfd, 0);
	rte_put(s, 9, RTE_TO(0) | 0x61);
	for (int i = 0; i < 3; i++) {
		goes(trigger, VMIRQ_PATH_IRQFD, VMIRQ_HELD);
		dispatch(s);
		take_only(s->vcpu[0], 0x61);
		route_to(s, 9, 0, 0x41);
		goes(trigger, VMIRQ_PATH_BYPASS, VMIRQ_DELIVERED);
		take_only(s->vcpu[0], 0x41);
		route_pin(s, 9, KVM_IRQCHIP_IOAPIC, 9);
	}
	assert_int_equal(counts_by_way(trigger).switched_to[VMIRQ_PATH_BYPASS], 3);
	/* Messages of a GSI that is a pin's in the end. */
	s->posted_beyond += 3;
	assert_int_equal(vmirq_trigger_destroy(trigger), 0);
	close(config.eventfd);
	close(config.resamplefd);
	pc_free(s);
}

/* CVE-2025-37885: a route that is not postable any more is not posted to, and back by itself. */
static void a_route_that_cannot_be_posted(void **state)
{
	struct soft *s = soft_new(2);
	int fd = new_eventfd();
	struct vmirq_trigger *trigger = trigger_on(vmirq_vm_bypass(s->vm), fd);
	struct vmirq_irqfd *irqfd = assign(s, 3, fd, 0);

	(void)state;
	goes(trigger, VMIRQ_PATH_IRQFD, VMIRQ_NO_ROUTE);
	route_to(s, 3, 0, 0x41);
	goes(trigger, VMIRQ_PATH_BYPASS, VMIRQ_DELIVERED);
	take_only(s->vcpu[0], 0x41);
	/* Everybody. */
	route_to(s, 3, 0xff, 0x42);
	goes(trigger, VMIRQ_PATH_IRQFD, VMIRQ_DELIVERED);
	s->posted_beyond++;
	take_only(s->vcpu[0], 0x42);
	take_only(s->vcpu[1], 0x42);
	/* An NMI is no vector. */
	assert_int_equal(vmirq_route_set_msi(s->vm, 3, 0xfee00000, NMI << 8), 0);
	goes(trigger, VMIRQ_PATH_IRQFD, VMIRQ_DELIVERED);
	s->posted_beyond--;
	assert_int_equal(vmirq_route_clear(s->vm, 3), 0);
	goes(trigger, VMIRQ_PATH_IRQFD, VMIRQ_NO_ROUTE);
	route_to(s, 3, 1, 0x43);
	goes(trigger, VMIRQ_PATH_BYPASS, VMIRQ_DELIVERED);
	take_only(s->vcpu[1], 0x43);
	assert_int_equal(counts_of(irqfd).raised, 6);
	assert_int_equal(counts_by_way(trigger).switched_to[VMIRQ_PATH_BYPASS], 2);
	assert_int_equal(counts_by_way(trigger).switched_to[VMIRQ_PATH_IRQFD], 1);
	assert_false(readable(fd));
	assert_int_equal(vmirq_trigger_destroy(trigger), 0);
	close(fd);
	soft_free(s);
}

/* The guest's local APICs change, not the route: the signal that finds out is right already. */
static void a_destination_that_becomes_two(void **state)
{
	struct soft *s = soft_new(2);
	int fd = new_eventfd();
	struct vmirq_trigger *trigger = trigger_on(vmirq_vm_bypass(s->vm), fd);

	(void)state;
	assign(s, 3, fd, 0);
	apic_write(s->vcpu[0], APIC_LDR, 0x01000000);
	apic_write(s->vcpu[1], APIC_LDR, 0x02000000);
	assert_int_equal(vmirq_route_set_msi(s->vm, 3, 0xfee00000 | LOGICAL | 1 << 12, 0x41), 0);
	goes(trigger, VMIRQ_PATH_BYPASS, VMIRQ_DELIVERED);
	take_only(s->vcpu[0], 0x41);
	apic_write(s->vcpu[1], APIC_LDR, 0x01000000);
	assert_verdict(vmirq_trigger_signal(trigger), VMIRQ_DELIVERED);
	s->posted_beyond++;
	take_only(s->vcpu[0], 0x41);
	take_only(s->vcpu[1], 0x41);
	goes(trigger, VMIRQ_PATH_IRQFD, VMIRQ_DELIVERED);
	s->posted_beyond++;
	take_only(s->vcpu[0], 0x41);
	take_only(s->vcpu[1], 0x41);
	apic_write(s->vcpu[0], APIC_LDR, 0x04000000);
	assert_verdict(vmirq_trigger_signal(trigger), VMIRQ_DELIVERED);
	goes(trigger, VMIRQ_PATH_BYPASS, VMIRQ_COALESCED);
	take_nothing(s->vcpu[0]);
	take_only(s->vcpu[1], 0x41);
	assert_int_equal(vmirq_trigger_destroy(trigger), 0);
	close(fd);
	soft_free(s);
}

static void msix_put(struct vmirq_msix *msix, uint64_t offset, uint32_t value)
{
	assert_int_equal(vmirq_msix_table_access(msix, offset, &value, 4, true), 0);
}

/* A masked vector keeps one, which comes at the unmask: no eventfd, no pump. */
static void a_vector_that_is_masked(void **state)
{
	struct soft *s = soft_new(1);
	struct vmirq_msix_config config = { .size = sizeof(config), .vectors = 1 };
	struct vmirq_trigger *trigger;
	struct vmirq_msix *msix;
	int fd;

	(void)state;
	assert_int_equal(vmirq_msix_create(s->vm, &config, &msix), 0);
	fd = vmirq_msix_lend_eventfd(msix, 0);
	assert_true(fd >= 0);
	trigger = trigger_on(vmirq_vm_bypass(s->vm), fd);
	msix_put(msix, 0, 0xfee00000);
	msix_put(msix, 8, 0x41);
	msix_put(msix, 12, 0);
	assert_int_equal(vmirq_msix_set_control(msix, true, false), 0);
	goes(trigger, VMIRQ_PATH_BYPASS, VMIRQ_DELIVERED);
	take_only(s->vcpu[0], 0x41);
	msix_put(msix, 12, 1);
	goes(trigger, VMIRQ_PATH_IRQFD, VMIRQ_HELD);
	goes(trigger, VMIRQ_PATH_IRQFD, VMIRQ_COALESCED);
	take_nothing(s->vcpu[0]);
	assert_int_equal(vmirq_msix_pending(msix, 0), 1);
	msix_put(msix, 12, 0);
	take_only(s->vcpu[0], 0x41);
	goes(trigger, VMIRQ_PATH_BYPASS, VMIRQ_DELIVERED);
	take_only(s->vcpu[0], 0x41);
	/* Another eventfd: this one is nobody's. */
	assert_int_equal(vmirq_msix_set_eventfd(msix, 0, -1, 0), 0);
	goes(trigger, VMIRQ_PATH_EVENTFD, VMIRQ_HELD);
	take_nothing(s->vcpu[0]);
	assert_int_equal(vmirq_trigger_destroy(trigger), 0);
	assert_int_equal(vmirq_msix_destroy(msix), 0);
	close(fd);
	soft_free(s);
}

/* One manager for two VMs: the device stays as it is while its irqfd goes from one to the other. */
static void from_one_vm_to_another(void **state)
{
	struct vmirq_bypass *bypass;
	struct vmirq_trigger *trigger;
	struct vmirq_vm *vm[2];
	struct vmirq_irqfd *irqfd;
	int fd = new_eventfd();

	(void)state;
	assert_int_equal(vmirq_bypass_create(&bypass), 0);
	trigger = trigger_on(bypass, fd);
	for (int i = 0; i < 2; i++) {
		struct vmirq_vm_config c = { .size = sizeof(c), .bypass = bypass };

		assert_int_equal(vmirq_vm_create(&c, &vm[i]), 0);
		assert_ptr_equal(vmirq_vm_bypass(vm[i]), bypass);
	}
	for (int i = 0; i < 2; i++) {
		struct vmirq_irqfd_config c = { .size = sizeof(c), .gsi = 3, .eventfd = fd };

		assert_int_equal(vmirq_irqfd_assign(vm[i], &c, &irqfd), 0);
		goes(trigger, VMIRQ_PATH_IRQFD, VMIRQ_NO_ROUTE);
		assert_int_equal(counts_of(irqfd).raised, 1);
		/* The VM takes its irqfds with it. */
		assert_int_equal(vmirq_vm_destroy(vm[i]), 0);
		goes(trigger, VMIRQ_PATH_EVENTFD, VMIRQ_HELD);
		assert_true(readable(fd));
	}
	assert_int_equal(vmirq_trigger_destroy(trigger), 0);
	assert_int_equal(vmirq_bypass_destroy(bypass), 0);
	close(fd);
}

/* A VM whose own manager is still somebody's is not destroyed under him. */
static void a_vm_that_has_triggers_left(void **state)
{
	struct soft *s = soft_new(1);
	int fd = new_eventfd();
	struct vmirq_irqfd *irqfd = assign(s, 3, fd, 0);
	struct vmirq_trigger *trigger = trigger_on(vmirq_vm_bypass(s->vm), fd);

	(void)state;
	assert_int_equal(vmirq_vm_destroy(s->vm), -EBUSY);
	route_to(s, 3, 0, 0x41);
	goes(trigger, VMIRQ_PATH_BYPASS, VMIRQ_DELIVERED);
	take_only(s->vcpu[0], 0x41);
	assert_int_equal(counts_of(irqfd).raised, 1);
	assert_int_equal(vmirq_trigger_destroy(trigger), 0);
	close(fd);
	soft_free(s);
}

static void errors(void **state)
{
	struct soft *s = soft_new(1);
	struct vmirq_bypass *bypass = vmirq_vm_bypass(s->vm);
	struct vmirq_trigger *const nothing = NULL;
	struct vmirq_trigger *trigger = nothing, *good;
	struct vmirq_trigger_counts c = { .size = sizeof(c) - 1 };
	struct vmirq_trigger_config unused = { .size = sizeof(unused),
					       .bypass = bypass,
					       .unused = 1 };
	int fd = new_eventfd(), ends[2];
	uint64_t token, same;

	(void)state;
	assert_null(vmirq_vm_bypass(NULL));
	assert_int_equal(pipe(ends), 0);
	assert_int_equal(vmirq_trigger_create(NULL, &trigger), -EINVAL);
	assert_int_equal(vmirq_trigger_create(&unused, &trigger), -EINVAL);
	assert_int_equal(create_trigger(NULL, fd, 0, &trigger), -EINVAL);
	assert_int_equal(create_trigger(bypass, -1, 0, &trigger), -EBADF);
	assert_int_equal(create_trigger(bypass, 1 << 20, 0, &trigger), -EBADF);
	assert_int_equal(create_trigger(bypass, ends[0], 0, &trigger), -EINVAL);
	assert_int_equal(create_trigger(bypass, ends[0], 7, &trigger), -EINVAL);
	assert_int_equal(create_trigger(bypass, fd, UINT64_C(1) << 63, &trigger), -EINVAL);
	good = trigger_on(bypass, fd);
	assert_int_equal(create_trigger(bypass, fd, 0, &trigger), -EBUSY);
	assert_ptr_equal(trigger, nothing);
	assert_int_equal(vmirq_trigger_counts(good, &c), -EINVAL);
	assert_int_equal(vmirq_trigger_counts(NULL, &c), -EINVAL);
	assert_int_equal(vmirq_eventfd_token(fd, NULL), -EINVAL);
	assert_int_equal(vmirq_eventfd_token(ends[0], &token), -EINVAL);
	assert_int_equal(vmirq_eventfd_token(-1, &token), -EBADF);
	assert_int_equal(vmirq_eventfd_token(fd, &token), 0);
	close(ends[0]);
	assert_int_equal(dup2(fd, ends[1]), ends[1]);
	assert_int_equal(vmirq_eventfd_token(ends[1], &same), 0);
	assert_int_equal(token, same);
	assert_int_equal(vmirq_trigger_destroy(good), 0);
	assert_int_equal(vmirq_trigger_destroy(NULL), 0);
	assert_string_equal(vmirq_path_name(VMIRQ_PATH_BYPASS), "bypass");
	assert_null(vmirq_path_name(VMIRQ_PATHS));
	close(ends[1]);
	close(fd);
	soft_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_signal_skips_the_eventfd),
		cmocka_unit_test(whoever_comes_first),
		cmocka_unit_test(a_level),
		cmocka_unit_test(a_route_that_cannot_be_posted),
		cmocka_unit_test(a_destination_that_becomes_two),
		cmocka_unit_test(a_vector_that_is_masked),
		cmocka_unit_test(from_one_vm_to_another),
		cmocka_unit_test(a_vm_that_has_triggers_left),
		cmocka_unit_test(errors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
