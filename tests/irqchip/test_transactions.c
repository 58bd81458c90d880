// SPDX-License-Identifier: MIT
/* Transactions on every irqchip: what they change, what they cost the kernel, and what a failed one
 * leaves. */
#include "world.h"

#include <pthread.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static _Atomic unsigned int routing_calls;
static _Atomic int refuse_with;

/* In place of libc's: counts KVM_SET_GSI_ROUTING, and refuses it on demand. */
int ioctl(int fd, unsigned long request, ...)
{
	void *argument;
	va_list list;
	long done;

	va_start(list, request);
	argument = va_arg(list, void *);
	va_end(list);
	if (request == KVM_SET_GSI_ROUTING) {
		routing_calls++;
		if (refuse_with) {
			errno = refuse_with;
			return -1;
		}
	}
	done = syscall(SYS_ioctl, fd, request, argument);
	return (int)done;
}

static bool in_kernel(const struct world *w)
{
	return w->irqchip != VMIRQ_IRQCHIP_SOFT;
}

static void costs(const struct world *w, unsigned int before, unsigned int calls)
{
	assert_int_equal(routing_calls - before, in_kernel(w) ? calls : 0);
}

static void assert_message(struct world *w, uint32_t gsi, uint32_t data)
{
	struct kvm_irq_routing_entry e;

	assert_int_equal(vmirq_route_get(w->vm, gsi, &e, 1), data ? 1 : 0);
	if (data)
		assert_int_equal(e.u.msi.data, data);
}

static void one_call_for_all(struct world *w)
{
	unsigned int before = routing_calls;

	assert_int_equal(vmirq_route_begin(w->vm), 0);
	for (uint32_t gsi = 30; gsi < 60; gsi++)
		world_route(w, gsi, gsi % WORLD_VCPUS, 0x41);
	costs(w, before, 0);
	assert_int_equal(vmirq_route_commit(w->vm), 0);
	costs(w, before, 1);
	/* Nothing new, nothing said. */
	assert_int_equal(vmirq_route_begin(w->vm), 0);
	for (uint32_t gsi = 30; gsi < 60; gsi++)
		world_route(w, gsi, gsi % WORLD_VCPUS, 0x41);
	assert_int_equal(vmirq_route_commit(w->vm), 0);
	costs(w, before, 1);
	assert_int_equal(vmirq_route_begin(w->vm), 0);
	assert_int_equal(vmirq_route_commit(w->vm), 0);
	costs(w, before, 1);
	/* Alone, each at once. */
	world_route(w, 62, 0, 0x42);
	costs(w, before, 2);
	world_route(w, 62, 0, 0x42);
	costs(w, before, 2);
	assert_int_equal(vmirq_route_clear(w->vm, 62), 0);
	costs(w, before, 3);
}

static void the_last_change_counts(struct world *w)
{
	world_route(w, 30, 0, 0x50);
	assert_int_equal(vmirq_route_begin(w->vm), 0);
	world_route(w, 30, 1, 0x51);
	assert_int_equal(vmirq_route_clear(w->vm, 30), 0);
	world_route(w, 31, 1, 0x52);
	world_route(w, 31, 2, 0x53);
	assert_message(w, 30, 0x50);
	assert_message(w, 31, 0);
	assert_int_equal(vmirq_route_commit(w->vm), 0);
	assert_message(w, 30, 0);
	assert_message(w, 31, 0x53);
	assert_signal(world_irqfd(w, 31, -1), VMIRQ_DELIVERED);
	world_take(w, 2, 0x53);
	assert_signal(world_irqfd(w, 30, -1), VMIRQ_NO_ROUTE);
}

static void abort_changes_nothing(struct world *w)
{
	unsigned int before = routing_calls;

	assert_int_equal(vmirq_route_abort(w->vm), -EINVAL);
	assert_int_equal(vmirq_route_begin(w->vm), 0);
	world_route(w, 30, 1, 0x51);
	assert_int_equal(vmirq_route_abort(w->vm), 0);
	assert_message(w, 30, 0);
	costs(w, before, 0);
	assert_int_equal(vmirq_route_commit(w->vm), -EINVAL);
}

static void nothing_but_its_own(struct world *w)
{
	struct kvm_irq_routing_entry e = { .gsi = 30, .type = 77 };

	assert_int_equal(vmirq_route_begin(w->vm), 0);
	assert_int_equal(vmirq_route_begin(w->vm), -EBUSY);
	assert_int_equal(vmirq_route_set_all(w->vm, NULL, 0), -EBUSY);
	assert_int_equal(vmirq_route_pc_default(w->vm), -EBUSY);
	/* Said at once, and the rest stands. */
	assert_int_equal(vmirq_route_set(w->vm, &e, 1), -EINVAL);
	world_route(w, 31, 0, 0x54);
	assert_int_equal(vmirq_route_commit(w->vm), 0);
	assert_message(w, 31, 0x54);
}

/* Both eventfds go on by their old routes, and a later change goes through. */
static void a_refused_one_changes_nothing(struct world *w)
{
	int fd[2] = { eventfd(0, EFD_NONBLOCK), eventfd(0, EFD_NONBLOCK) };
	struct kvm_irq_routing_entry pin = { .gsi = 31, .type = KVM_IRQ_ROUTING_IRQCHIP };

	pin.u.irqchip.irqchip = KVM_IRQCHIP_IOAPIC;
	pin.u.irqchip.pin = 11;
	world_rte(w, 11, 2, 0x63, false);
	world_route(w, 30, 0, 0x60);
	world_route(w, 31, 1, 0x61);
	world_irqfd(w, 30, fd[0]);
	world_irqfd(w, 31, fd[1]);
	refuse_with = ENOMEM;
	assert_int_equal(vmirq_route_begin(w->vm), 0);
	world_route(w, 30, 2, 0x62);
	assert_int_equal(vmirq_route_set(w->vm, &pin, 1), 0);
	assert_int_equal(vmirq_route_commit(w->vm), in_kernel(w) ? -ENOMEM : 0);
	refuse_with = 0;
	if (!in_kernel(w))
		goto out;
	for (int i = 0; i < 2; i++) {
		world_write(fd[i], 1);
		world_take(w, (unsigned int)i, (uint8_t)(0x60 + i));
	}
	world_take_nothing(w);
	assert_int_equal(vmirq_route_begin(w->vm), 0);
	world_route(w, 30, 2, 0x62);
	assert_int_equal(vmirq_route_set(w->vm, &pin, 1), 0);
	assert_int_equal(vmirq_route_commit(w->vm), 0);
out:
	for (int i = 0; i < 2; i++) {
		world_write(fd[i], 1);
		world_take(w, 2, (uint8_t)(0x62 + i));
		close(fd[i]);
	}
	world_take_nothing(w);
}

/* Taken and given back in either order of route and irqfd. */
static void gsis_come_and_go(struct world *w)
{
	uint32_t gsi, again;

	for (int i = 0; i < 50; i++) {
		int fd = eventfd(0, EFD_NONBLOCK);
		struct vmirq_irqfd *irqfd;

		assert_int_equal(vmirq_gsi_alloc(w->vm, &gsi), 0);
		if (i & 1)
			world_route(w, gsi, 1, 0x70);
		irqfd = world_irqfd(w, gsi, fd);
		if (!(i & 1))
			world_route(w, gsi, 1, 0x70);
		world_write(fd, 1);
		world_take(w, 1, 0x70);
		if (i & 2) {
			assert_int_equal(vmirq_irqfd_deassign(irqfd), 0);
			assert_int_equal(vmirq_gsi_free(w->vm, gsi), 0);
		} else {
			assert_int_equal(vmirq_gsi_free(w->vm, gsi), 0);
			assert_int_equal(vmirq_irqfd_deassign(irqfd), 0);
		}
		close(fd);
		assert_int_equal(vmirq_gsi_alloc(w->vm, &again), 0);
		assert_int_equal(again, gsi);
		assert_int_equal(vmirq_gsi_free(w->vm, again), 0);
	}
	world_take_nothing(w);
}

static void a_refused_free_is_none(struct world *w)
{
	uint32_t gsi;

	assert_int_equal(vmirq_gsi_alloc(w->vm, &gsi), 0);
	world_route(w, gsi, 1, 0x70);
	refuse_with = ENOMEM;
	assert_int_equal(vmirq_gsi_free(w->vm, gsi), in_kernel(w) ? -ENOMEM : 0);
	refuse_with = 0;
	assert_int_equal(vmirq_gsi_free(w->vm, gsi), in_kernel(w) ? 0 : -EINVAL);
	assert_message(w, gsi, 0);
}

/* By another thread, which has no transaction. */
static void *take_a_gsi(void *argument)
{
	struct world *w = argument;
	static uint32_t gsi;

	assert_int_equal(vmirq_gsi_alloc(w->vm, &gsi), 0);
	world_route(w, gsi, 1, 0x71);
	return &gsi;
}

/* What is given back in a transaction is nobody else's before the commit, which clears its route. */
static void given_back_with_the_commit(struct world *w)
{
	uint32_t gsi, again, other;
	pthread_t thread;
	void *taken;

	assert_int_equal(vmirq_gsi_alloc(w->vm, &gsi), 0);
	assert_int_equal(vmirq_route_begin(w->vm), 0);
	assert_int_equal(vmirq_gsi_free(w->vm, gsi), 0);
	assert_int_equal(pthread_create(&thread, NULL, take_a_gsi, w), 0);
	assert_int_equal(pthread_join(thread, &taken), 0);
	other = *(uint32_t *)taken;
	assert_int_equal(vmirq_route_commit(w->vm), 0);
	assert_message(w, other, 0x71);
	assert_int_not_equal(other, gsi);
	assert_int_equal(vmirq_gsi_alloc(w->vm, &again), 0);
	assert_int_equal(again, gsi);
	world_route(w, gsi, 1, 0x72);
	assert_int_equal(vmirq_route_begin(w->vm), 0);
	assert_int_equal(vmirq_gsi_free(w->vm, gsi), 0);
	assert_int_equal(vmirq_gsi_free(w->vm, gsi), -EINVAL);
	assert_int_equal(vmirq_route_abort(w->vm), 0);
	assert_message(w, gsi, 0x72);
	assert_int_equal(vmirq_gsi_free(w->vm, gsi), 0);
	assert_int_equal(vmirq_gsi_free(w->vm, other), 0);
}

static const struct world_case cases[] = {
	{ "one call for all", one_call_for_all },
	{ "the last change counts", the_last_change_counts },
	{ "abort changes nothing", abort_changes_nothing },
	{ "nothing but its own", nothing_but_its_own },
	{ "a refused one changes nothing", a_refused_one_changes_nothing },
	{ "GSIs come and go", gsis_come_and_go },
	{ "given back with the commit", given_back_with_the_commit },
	{ "a refused free is none", a_refused_free_is_none },
};

int main(void)
{
	return world_run_cases(cases, sizeof(cases) / sizeof(cases[0]));
}
