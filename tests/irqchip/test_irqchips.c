// SPDX-License-Identifier: MIT
/* Routes and irqfds: the same cases on every irqchip. */
#include "world.h"

#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>

static void message_arrives(struct world *w)
{
	struct kvm_msi msi = { .address_lo = 0xfee01000, .data = 0x41 };

	assert_int_equal(vmirq_msi_send(w->vm, &msi), 1);
	world_take(w, 1, 0x41);
	world_take_nothing(w);
}

static void eventfd_raises_its_message(struct world *w)
{
	int fd = eventfd(0, EFD_NONBLOCK);
	struct vmirq_irqfd *irqfd;

	world_route(w, 30, 1, 0x42);
	irqfd = world_irqfd(w, 30, fd);
	world_write(fd, 1);
	world_take(w, 1, 0x42);
	world_take_nothing(w);
	assert_int_equal(vmirq_irqfd_deassign(irqfd), 0);
	world_write(fd, 1);
	world_take_nothing(w);
	close(fd);
}

static void call_raises_its_message(struct world *w)
{
	struct vmirq_irqfd *irqfd;

	world_route(w, 30, 2, 0x43);
	irqfd = world_irqfd(w, 30, -1);
	assert_signal(irqfd, VMIRQ_DELIVERED);
	world_take(w, 2, 0x43);
	world_take_nothing(w);
}

static void route_is_followed(struct world *w)
{
	int fd = eventfd(0, EFD_NONBLOCK);

	world_irqfd(w, 31, fd);
	world_write(fd, 1);
	world_take_nothing(w);
	world_route(w, 31, 0, 0x44);
	assert_int_equal(vmirq_vm_quiesce(w->vm), 0);
	world_write(fd, 1);
	world_take(w, 0, 0x44);
	world_route(w, 31, 1, 0x45);
	world_write(fd, 1);
	world_take(w, 1, 0x45);
	assert_int_equal(vmirq_route_clear(w->vm, 31), 0);
	world_write(fd, 1);
	world_take_nothing(w);
	close(fd);
}

static void pin_edge(struct world *w)
{
	int fd = eventfd(0, EFD_NONBLOCK);

	world_rte(w, 9, 1, 0x46, false);
	world_irqfd(w, 9, fd);
	for (int i = 0; i < 3; i++) {
		world_write(fd, 1);
		world_take(w, 1, 0x46);
		world_take_nothing(w);
	}
	close(fd);
}

static void from_pin_to_message_and_back(struct world *w)
{
	int fd = eventfd(0, EFD_NONBLOCK);
	struct kvm_irq_routing_entry pin = { .gsi = 40, .type = KVM_IRQ_ROUTING_IRQCHIP };

	pin.u.irqchip.irqchip = KVM_IRQCHIP_IOAPIC;
	pin.u.irqchip.pin = 10;
	world_rte(w, 10, 1, 0x47, false);
	world_irqfd(w, 40, fd);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(vmirq_route_set(w->vm, &pin, 1), 0);
		world_write(fd, 1);
		world_take(w, 1, 0x47);
		world_route(w, 40, 2, 0x48);
		world_write(fd, 1);
		world_take(w, 2, 0x48);
		world_take_nothing(w);
	}
	close(fd);
}

static void transaction(struct world *w)
{
	struct kvm_msi other = { .address_lo = 0xfee00000, .data = 0x60 };

	world_route(w, 50, 0, 0x50);
	assert_int_equal(vmirq_route_begin(w->vm), 0);
	assert_int_equal(vmirq_route_begin(w->vm), -EBUSY);
	world_route(w, 50, 1, 0x51);
	world_route(w, 51, 1, 0x52);
	world_route(w, 51, 2, 0x53);
	assert_signal(world_irqfd(w, 50, -1), VMIRQ_DELIVERED);
	world_take(w, 0, 0x50);
	assert_int_equal(vmirq_route_commit(w->vm), 0);
	assert_signal(world_irqfd(w, 50, -1), VMIRQ_DELIVERED);
	world_take(w, 1, 0x51);
	assert_signal(world_irqfd(w, 51, -1), VMIRQ_DELIVERED);
	world_take(w, 2, 0x53);
	assert_int_equal(vmirq_route_commit(w->vm), -EINVAL);
	assert_int_equal(vmirq_msi_send(w->vm, &other), 1);
	world_take(w, 0, 0x60);
}

/* More messages than the kernel has GSIs; each arrives where and as what it was sent. */
static void many_messages(struct world *w)
{
	for (unsigned int i = 0; i < 1000; i++) {
		unsigned int vcpu = i % WORLD_VCPUS;
		uint8_t vector = (uint8_t)(0x20 + i % 200);
		/* The redirection hint means nothing where there is one destination. */
		struct kvm_msi msi = { .address_lo = 0xfee00000u | vcpu << 12 | (i & 8),
				       .data = vector | (i & 16 ? 1u << 14 : 0) };

		assert_int_equal(vmirq_msi_send(w->vm, &msi), 1);
		world_take(w, vcpu, vector);
	}
	world_take_nothing(w);
}

static const struct world_case cases[] = {
	{ "many messages", many_messages },
	{ "a message arrives", message_arrives },
	{ "an eventfd raises its message", eventfd_raises_its_message },
	{ "a call raises its message", call_raises_its_message },
	{ "a route is followed", route_is_followed },
	{ "an edge on a pin", pin_edge },
	{ "from a pin to a message and back", from_pin_to_message_and_back },
	{ "a transaction", transaction },
};

int main(void)
{
	return world_run_cases(cases, sizeof(cases) / sizeof(cases[0]));
}
