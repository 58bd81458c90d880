// SPDX-License-Identifier: MIT
/*
 * A level from a device to a vCPU and back: a resample irqfd whose eventfd is VFIO's trigger, and whose
 * resamplefd is VFIO's unmask. The same on the e1000 of a QEMU, whose two eventfds say the same; that part
 * is skipped where there is none.
 */
#include "../line/pc_world.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

#include "e1000.h"
#include "vfio_world.h"

#define GSI	9
#define VECTOR	0x61
#define WAIT_MS 20000
#define CYCLES	200

/* A device with a line: either of the two. */
struct source {
	struct stand_in *stand_in;
	struct vfio *vfio;
	struct e1000 *e1000;
	/* What the irqfd gets. */
	int trigger, unmask;
	/* Resamples that have reached the device. */
	uint64_t resampled;
};

static void device_asserts(struct source *d)
{
	if (d->e1000)
		assert_int_equal(e1000_raise(d->e1000), 0);
	else
		stand_in_line(d->stand_in, true);
}

/* The handler has the device lower its line. */
static void device_is_served(struct source *d)
{
	uint32_t causes;

	if (!d->e1000) {
		stand_in_line(d->stand_in, false);
		return;
	}
	assert_int_equal(e1000_read_icr(d->e1000, &causes), 0);
	assert_int_equal(causes & 0x7fffffff, E1000_CAUSE_LSC);
}

/* The guest's EOI has come to the device, and all that it leads to has happened. */
static void device_was_resampled(struct source *d)
{
	struct pollfd told = { .fd = d->unmask, .events = POLLIN }, read_by = { .events = POLLOUT };
	const uint64_t full = UINT64_MAX - 1;
	uint32_t status;

	d->resampled++;
	if (!d->e1000) {
		assert_true(stand_in_unmasked(d->stand_in, d->resampled));
		return;
	}
	/* Handed on so that it can be seen when QEMU has read it: a full one can be written again. */
	assert_int_equal(poll(&told, 1, WAIT_MS), 1);
	assert_int_equal(unread(d->unmask), 1);
	read_by.fd = e1000_resample_fd(d->e1000);
	assert_int_equal(write(read_by.fd, &full, sizeof(full)), sizeof(full));
	assert_int_equal(poll(&read_by, 1, WAIT_MS), 1);
	assert_int_equal(e1000_bar0_read(d->e1000, E1000_STATUS, 4, &status), 0);
}

static struct vmirq_irqfd *bind(struct soft *vm, struct source *d)
{
	struct vmirq_irqfd_config config = { .size = sizeof(config),
					     .gsi = GSI,
					     .flags = VMIRQ_IRQFD_RESAMPLE,
					     .eventfd = d->trigger,
					     .resamplefd = d->unmask };
	struct vmirq_irqfd *irqfd;

	assert_int_equal(vmirq_irqfd_assign(vm->vm, &config, &irqfd), 0);
	rte_put(vm, GSI, RTE_TO(0) | RTE_LEVEL | VECTOR);
	return irqfd;
}

static void comes(struct soft *vm)
{
	assert_int_equal(vmirq_pump_dispatch(vmirq_vm_pump(vm->vm), WAIT_MS), 1);
	assert_int_equal(vmirq_line_level(vm->vm, GSI), 1);
}

static void nothing_comes(struct soft *vm)
{
	assert_int_equal(dispatch(vm), 0);
	take_nothing(vm->vcpu[0]);
}

/* Signal, taken; not served in the first round: it comes again at the EOI; served: it is silent. */
static void level_cycles(struct source *d, int cycles)
{
	struct soft *vm = pc_new(1, 0);
	struct vmirq_irqfd *irqfd = bind(vm, d);

	nothing_comes(vm);
	for (int i = 0; i < cycles; i++) {
		device_asserts(d);
		comes(vm);
		begin_service(vm->vcpu[0], VECTOR);
		assert_true(remote_irr(vm, GSI));
		nothing_comes(vm);
		end_service(vm->vcpu[0]);
		device_was_resampled(d);
		comes(vm);
		begin_service(vm->vcpu[0], VECTOR);
		device_is_served(d);
		end_service(vm->vcpu[0]);
		device_was_resampled(d);
		nothing_comes(vm);
		assert_int_equal(vmirq_line_level(vm->vm, GSI), 0);
	}
	assert_int_equal(counts_of(irqfd).verdict[VMIRQ_DELIVERED], 2 * cycles);
	assert_int_equal(counts_of(irqfd).raised, 2 * cycles);
	assert_int_equal(counts_of_vector(vm->vcpu[0], VECTOR).taken, 2 * cycles);
	assert_int_equal(vmirq_irqfd_deassign(irqfd), 0);
	pc_free(vm);
}

static struct stand_in s;

static struct source passed_through(void)
{
	struct source d = { .stand_in = &s, .trigger = bell(), .unmask = bell() };

	stand_in_start(&s, 0, 4);
	d.vfio = vfio_new(&s);
	assert_int_equal(vfio_intx_enable(d.vfio, d.trigger, d.unmask), 0);
	return d;
}

static void put_away(struct source *d)
{
	assert_int_equal(vfio_close(d->vfio), 0);
	stand_in_stop(d->stand_in);
	close(d->trigger);
	close(d->unmask);
}

static void through_vfio(void **state)
{
	struct source d = passed_through();

	(void)state;
	level_cycles(&d, CYCLES);
	assert_int_equal(s.signalled, 2 * CYCLES);
	assert_int_equal(s.unmasks, 2 * CYCLES);
	put_away(&d);
}

static void an_e1000(void **state)
{
	struct source d = { .unmask = bell() };
	char why[300];
	int ret;

	(void)state;
	if (e1000_available()) {
		puts("SKIP: qemu-system-x86_64 is not installed (package qemu-system-x86)");
		close(d.unmask);
		skip();
	}
	ret = e1000_start(WAIT_MS, WAIT_MS, &d.e1000, why, sizeof(why));
	if (ret)
		fail_msg("e1000_start: %s %s", strerror(-ret), why);
	d.trigger = e1000_intr_fd(d.e1000);
	level_cycles(&d, CYCLES);
	e1000_stop(d.e1000);
	close(d.unmask);
}

/* Signalled once, then masked until the unmask, however often the line moves. */
static void automasked(void **state)
{
	int trigger = bell();
	struct vfio *v;

	(void)state;
	stand_in_start(&s, 0, 0);
	v = vfio_new(&s);
	/* Up before it is enabled: signals at once. */
	stand_in_line(&s, true);
	assert_int_equal(vfio_intx_enable(v, trigger, -1), 0);
	assert_int_equal(unread(trigger), 1);
	stand_in_line(&s, false);
	stand_in_line(&s, true);
	assert_int_equal(unread(trigger), 0);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(vfio_unmask(v, INTX, 0, 1, NULL), 0);
		assert_int_equal(unread(trigger), 1);
	}
	stand_in_line(&s, false);
	assert_int_equal(vfio_unmask(v, INTX, 0, 1, NULL), 0);
	assert_int_equal(unread(trigger), 0);
	/* Masked by call: nothing; unmasked: now. */
	assert_int_equal(vfio_mask(v, INTX, 0, 1, NULL), 0);
	stand_in_line(&s, true);
	assert_int_equal(unread(trigger), 0);
	assert_int_equal(vfio_unmask(v, INTX, 0, 1, NULL), 0);
	assert_int_equal(unread(trigger), 1);
	assert_int_equal(vfio_close(v), 0);
	stand_in_stop(&s);
	close(trigger);
}

/* CVE-2024-26812: INTx is enabled, its trigger is not there. What happens meanwhile reaches nobody, harms
 * nobody, and is not forgotten. */
static void without_a_trigger(void **state)
{
	struct source d = passed_through();
	const uint64_t one = 1;
	int other = bell();

	(void)state;
	assert_int_equal(vfio_intx_set_trigger(d.vfio, -1), 0);
	stand_in_line(&s, true);
	assert_true(stand_in_is_masked(&s));
	assert_int_equal(vfio_trigger(d.vfio, INTX, 0, 1, NULL), 0);
	assert_int_equal(write(d.unmask, &one, sizeof(one)), sizeof(one));
	assert_true(stand_in_unmasked(&s, 1));
	assert_int_equal(vfio_unmask(d.vfio, INTX, 0, 1, NULL), 0);
	assert_int_equal(unread(d.trigger), 0);
	assert_int_equal(s.signalled, 0);
	assert_int_equal(vfio_intx_set_trigger(d.vfio, other), 0);
	assert_int_equal(unread(other), 1);
	/* Masked by the caller it stays masked. */
	assert_int_equal(vfio_mask(d.vfio, INTX, 0, 1, NULL), 0);
	assert_int_equal(vfio_intx_set_trigger(d.vfio, d.trigger), 0);
	assert_int_equal(unread(d.trigger), 0);
	assert_int_equal(vfio_unmask(d.vfio, INTX, 0, 1, NULL), 0);
	assert_int_equal(unread(d.trigger), 1);
	put_away(&d);
	close(other);
}

/* CVE-2024-26812 again: disabled, and then everything that could signal does. */
static void signalled_after_disable(void **state)
{
	struct source d = passed_through();
	struct soft *vm = pc_new(1, 0);
	struct vmirq_irqfd *irqfd = bind(vm, &d);
	const uint64_t one = 1;

	(void)state;
	device_asserts(&d);
	comes(vm);
	begin_service(vm->vcpu[0], VECTOR);
	assert_int_equal(vfio_disable(d.vfio, INTX), 0);
	end_service(vm->vcpu[0]);
	assert_int_equal(vfio_trigger(d.vfio, INTX, 0, 1, NULL), -EINVAL);
	assert_int_equal(vfio_unmask(d.vfio, INTX, 0, 1, NULL), -EINVAL);
	assert_int_equal(write(d.unmask, &one, sizeof(one)), sizeof(one));
	stand_in_line(&s, false);
	stand_in_line(&s, true);
	assert_int_equal(s.signalled, 1);
	assert_int_equal(s.unmasks, 0);
	nothing_comes(vm);
	assert_int_equal(counts_of(irqfd).raised, 1);
	/* On again, with the line still up: what stood in the unmask eventfd is no harm. */
	assert_int_equal(vfio_intx_enable(d.vfio, d.trigger, d.unmask), 0);
	comes(vm);
	begin_service(vm->vcpu[0], VECTOR);
	stand_in_line(&s, false);
	end_service(vm->vcpu[0]);
	assert_int_equal(vmirq_irqfd_deassign(irqfd), 0);
	pc_free(vm);
	put_away(&d);
}

/* The device goes while its interrupt is in service, and while one waits. */
static void gone_while_asserted(void **state)
{
	(void)state;
	for (int in_service = 0; in_service < 2; in_service++) {
		struct source d = passed_through();
		struct soft *vm = pc_new(1, 0);
		struct vmirq_irqfd *irqfd = bind(vm, &d);

		device_asserts(&d);
		comes(vm);
		if (in_service)
			begin_service(vm->vcpu[0], VECTOR);
		put_away(&d);
		assert_int_equal(dispatch(vm), 0);
		assert_int_equal(vmirq_line_level(vm->vm, GSI), 1);
		assert_int_equal(vmirq_irqfd_deassign(irqfd), 0);
		assert_int_equal(vmirq_line_level(vm->vm, GSI), 0);
		/* Posted already, it is taken; once. */
		if (!in_service)
			begin_service(vm->vcpu[0], VECTOR);
		end_service(vm->vcpu[0]);
		nothing_comes(vm);
		assert_int_equal(counts_of_vector(vm->vcpu[0], VECTOR).taken, 1);
		pc_free(vm);
	}
}

/* The same trigger for a VMM that comes to serve INTx itself, and back. */
static void unmask_by_others(void **state)
{
	struct source d = passed_through();
	const uint64_t one = 1;
	int other = bell();

	(void)state;
	stand_in_line(&s, true);
	assert_int_equal(unread(d.trigger), 1);
	assert_int_equal(vfio_intx_set_unmask(d.vfio, -1), 0);
	assert_int_equal(write(d.unmask, &one, sizeof(one)), sizeof(one));
	assert_int_equal(unread(d.trigger), 0);
	assert_int_equal(vfio_unmask(d.vfio, INTX, 0, 1, NULL), 0);
	assert_int_equal(unread(d.trigger), 1);
	/* Readable when it is given: it unmasks. */
	assert_int_equal(vfio_intx_set_unmask(d.vfio, d.unmask), 0);
	assert_true(stand_in_unmasked(&s, 1));
	assert_int_equal(unread(d.trigger), 1);
	/* Another for it, directly (VFIO itself would say EBUSY). */
	assert_int_equal(vfio_intx_set_unmask(d.vfio, other), 0);
	assert_int_equal(write(other, &one, sizeof(one)), sizeof(one));
	assert_true(stand_in_unmasked(&s, 2));
	assert_int_equal(unread(d.trigger), 1);
	put_away(&d);
	close(other);
}

/* The guest's EOI between the old unmask eventfd and the new. */
static int eoi_fd;

static int eoi_in_between(struct stand_in *stand_in, unsigned long request, void *argument, int ret)
{
	const struct vfio_irq_set *set = argument;
	const uint64_t one = 1;

	if (request == VFIO_DEVICE_SET_IRQS && set->flags == (EVENTFD | UNMASK)) {
		stand_in->after = NULL;
		assert_int_equal(write(eoi_fd, &one, sizeof(one)), sizeof(one));
	}
	return ret;
}

static void an_eoi_while_unmask_changes(void **state)
{
	struct source d = passed_through();
	int other = bell();

	(void)state;
	stand_in_line(&s, true);
	assert_int_equal(unread(d.trigger), 1);
	eoi_fd = d.unmask;
	s.after = eoi_in_between;
	assert_int_equal(vfio_intx_set_unmask(d.vfio, other), 0);
	assert_null(s.after);
	assert_int_equal(unread(d.trigger), 1);
	put_away(&d);
	close(other);
}

/* The k-th ioctl of each change fails: as it was, or off, and it says which. */
static void changes_that_fail(void **state)
{
	int other = bell();

	(void)state;
	for (int k = 1; k <= 4; k++) {
		for (int what = 0; what < 2; what++) {
			struct source d = passed_through();
			const uint64_t one = 1;
			int ret;

			s.fail_call = k;
			s.fail_call_with = -EIO;
			ret = what ? vfio_intx_set_unmask(d.vfio, other)
				   : vfio_intx_set_trigger(d.vfio, other);
			s.fail_call = 0;
			if (ret == -ENOTRECOVERABLE) {
				assert_int_equal(s.type, -1);
				assert_int_equal(vfio_enabled(d.vfio), -1);
				put_away(&d);
				continue;
			}
			assert_int_equal(vfio_enabled(d.vfio), INTX);
			stand_in_line(&s, true);
			assert_int_equal(unread(what || ret ? d.trigger : other), 1);
			assert_int_equal(write(what && !ret ? other : d.unmask, &one, sizeof(one)),
					 sizeof(one));
			assert_true(stand_in_unmasked(&s, 1));
			assert_int_equal(unread(what || ret ? d.trigger : other), 1);
			assert_int_equal(ret, k <= 1 || (what && k == 2) ? -EIO : 0);
			put_away(&d);
		}
	}
	close(other);
}

static void enabling_fails(void **state)
{
	int trigger = bell(), unmask = bell();
	struct vfio *v;

	(void)state;
	for (int k = 1; k <= 2; k++) {
		for (int call = 0; call < 2; call++) {
			stand_in_start(&s, 0, 0);
			v = vfio_new(&s);
			stand_in_line(&s, true);
			if (call)
				s.fail_call = k, s.fail_call_with = -ENOSPC;
			else
				s.fail_bind = k, s.fail_bind_with = -ENOSPC;
			assert_int_equal(vfio_intx_enable(v, trigger, unmask), -ENOSPC);
			assert_int_equal(vfio_enabled(v), -1);
			assert_int_equal(s.type, -1);
			unread(trigger);
			assert_int_equal(vfio_intx_enable(v, trigger, unmask), 0);
			assert_int_equal(unread(trigger), 1);
			assert_int_equal(vfio_close(v), 0);
			stand_in_stop(&s);
		}
	}
	close(trigger);
	close(unmask);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(through_vfio),
		cmocka_unit_test(automasked),
		cmocka_unit_test(without_a_trigger),
		cmocka_unit_test(signalled_after_disable),
		cmocka_unit_test(gone_while_asserted),
		cmocka_unit_test(unmask_by_others),
		cmocka_unit_test(an_eoi_while_unmask_changes),
		cmocka_unit_test(changes_that_fail),
		cmocka_unit_test(enabling_fails),
		cmocka_unit_test(an_e1000),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
