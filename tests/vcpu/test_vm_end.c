// SPDX-License-Identifier: MIT
/* The end of a VM: what must go first, what goes with it, what stays (vm.h). */
#include <vmirq/mailbox.h>

/* Its send() is not the socket's. */
#define send send_message
#include "../support.h"
#undef send

#include <sys/eventfd.h>

#include <vmirq/bypass.h>
#include <vmirq/ioeventfd.h>
#include <vmirq/line.h>
#include <vmirq/msix.h>
#include <vmirq/passthrough.h>
#include <vmirq/trigger.h>

/* What would use the VM in its own destroy. */
static void devices_go_first(void **state)
{
	const struct vmirq_mailbox_config mail = { .size = sizeof(mail), .count = 1 };
	const struct vmirq_msix_config table = { .size = sizeof(table), .vectors = 2 };
	struct soft *s = soft_new(1);
	struct vmirq_mailbox *mailbox;
	struct vmirq_msix *msix, *second;

	(void)state;
	route_to(s, 3, 0, 0x41);
	assert_int_equal(vmirq_mailbox_create(s->vm, &mail, &mailbox), 0);
	assert_int_equal(vmirq_mailbox_bind(mailbox, 0, 3), 0);
	assert_int_equal(vmirq_vm_destroy(s->vm), -EBUSY);
	assert_int_equal(vmirq_msix_create(s->vm, &table, &msix), 0);
	assert_int_equal(vmirq_msix_create(s->vm, &table, &second), 0);
	assert_int_equal(vmirq_mailbox_destroy(mailbox), 0);
	assert_int_equal(vmirq_vm_destroy(s->vm), -EBUSY);
	assert_int_equal(vmirq_msix_destroy(msix), 0);
	assert_int_equal(vmirq_vm_destroy(s->vm), -EBUSY);
	assert_verdict(vmirq_msix_trigger(second, 1), VMIRQ_HELD);
	assert_int_equal(vmirq_msix_destroy(second), 0);
	soft_free(s);
}

static void ignore(void *opaque, uint32_t gsi, uint32_t value)
{
	(void)opaque;
	(void)gsi;
	(void)value;
}

/* A VM of which all that vm.h names is left, with what outlives it. */
struct leftovers {
	struct vmirq_bypass *bypass;
	struct vmirq_vm *vm;
	int eventfd, resamplefd;
	struct vmirq_trigger *trigger;
	struct vmirq_worker *worker;
	struct vmirq_pump *pump;
	struct vmirq_pirq *pirq;
};

static void leave_irqfds(const struct leftovers *l)
{
	struct vmirq_irqfd_config level = { .size = sizeof(level),
					    .gsi = 10,
					    .eventfd = -1,
					    .resamplefd = l->resamplefd,
					    .flags = VMIRQ_IRQFD_RESAMPLE };
	struct vmirq_irqfd_config edge = {
		.size = sizeof(edge), .gsi = 30, .eventfd = l->eventfd, .pump = l->pump
	};
	struct kvm_ioeventfd bell = { .addr = 0xd0000000, .len = 4, .fd = l->resamplefd };
	struct vmirq_irqfd *irqfd;

	assert_int_equal(vmirq_irqfd_assign(l->vm, &level, &irqfd), 0);
	assert_int_equal(vmirq_irqfd_assign(l->vm, &edge, &irqfd), 0);
	assert_int_equal(vmirq_ioeventfd(l->vm, &bell), 0);
}

static void leave_lines(const struct leftovers *l)
{
	struct vmirq_notifier_config config = { .size = sizeof(config), .gsi = 10, .fn = ignore };
	struct vmirq_notifier *notifier;
	uint32_t source, gsi;

	assert_int_equal(vmirq_notifier_add(l->vm, &config, &notifier), 0);
	assert_true(vmirq_line_source_alloc(l->vm, &source) >= 0);
	assert_true(vmirq_line_set(l->vm, 11, source, true, NULL) > VMIRQ_LINE_NOBODY);
	assert_int_equal(vmirq_gsi_alloc(l->vm, &gsi), 0);
	assert_int_equal(vmirq_route_begin(l->vm), 0);
	assert_int_equal(vmirq_route_set_msi(l->vm, gsi, 0xfee00000, 0x41), 0);
}

static void leave_a_pirq(struct leftovers *l)
{
	const struct vmirq_worker_config worker = { .size = sizeof(worker) };
	const struct vmirq_pirq_config pirq = { .size = sizeof(pirq), .eventfd = -1 };
	const uint32_t gsi = 12;
	struct vmirq_pirq_binding b = {
		.size = sizeof(b), .vm = l->vm, .type = VMIRQ_PIRQ_INTX, .n_gsis = 1, .gsis = &gsi
	};

	assert_int_equal(vmirq_worker_create(&worker, &l->worker), 0);
	assert_int_equal(vmirq_pirq_create(&pirq, &l->pirq), 0);
	b.worker = l->worker;
	assert_int_equal(vmirq_pirq_bind(l->pirq, &b), 0);
	assert_verdict(vmirq_pirq_raise(l->pirq), VMIRQ_HELD);
}

static void the_rest_goes_with_it(void **state)
{
	struct vmirq_vm_config config = { .size = sizeof(config) };
	struct vmirq_vcpu_config vcpu = { .size = sizeof(vcpu) };
	struct vmirq_trigger_config trigger = { .size = sizeof(trigger) };
	struct vmirq_vcpu *created;
	struct leftovers l;

	(void)state;
	assert_int_equal(vmirq_bypass_create(&l.bypass), 0);
	config.flags = VMIRQ_VM_PC_CHIPS | VMIRQ_VM_PIT;
	config.bypass = l.bypass;
	assert_int_equal(vmirq_vm_create(&config, &l.vm), 0);
	assert_int_equal(vmirq_vcpu_create(l.vm, &vcpu, &created), 0);
	assert_int_equal(vmirq_pump_create(&l.pump), 0);
	l.eventfd = eventfd(0, EFD_NONBLOCK);
	l.resamplefd = eventfd(0, EFD_NONBLOCK);
	trigger.bypass = l.bypass;
	trigger.eventfd = l.eventfd;
	assert_int_equal(vmirq_trigger_create(&trigger, &l.trigger), 0);
	leave_irqfds(&l);
	leave_lines(&l);
	leave_a_pirq(&l);
	assert_verdict(vmirq_trigger_signal(l.trigger), VMIRQ_NO_ROUTE);
	assert_int_equal(vmirq_vm_destroy(l.vm), 0);
	/* What is not the VM's goes on, without it. */
	assert_verdict(vmirq_trigger_signal(l.trigger), VMIRQ_HELD);
	assert_int_equal(vmirq_trigger_destroy(l.trigger), 0);
	assert_verdict(vmirq_pirq_raise(l.pirq), VMIRQ_NO_ROUTE);
	assert_int_equal(vmirq_pirq_destroy(l.pirq), 0);
	assert_int_equal(vmirq_worker_destroy(l.worker, NULL), 0);
	assert_int_equal(vmirq_pump_destroy(l.pump), 0);
	assert_int_equal(vmirq_bypass_destroy(l.bypass), 0);
	close(l.eventfd);
	close(l.resamplefd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(devices_go_first),
		cmocka_unit_test(the_rest_goes_with_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
