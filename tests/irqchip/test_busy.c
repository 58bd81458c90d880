// SPDX-License-Identifier: MIT
/*
 * f1d1c309, 2cdd64cb: one eventfd is bound once in this process, on whatever irqchip. Where all are in one
 * VM's kernel it is the kernel that says so; as soon as one is elsewhere, the library does.
 */
#include "world.h"

#include <sys/eventfd.h>
#include <unistd.h>
#include <vmirq/bypass.h>

static int assign(struct vmirq_vm *vm, uint32_t gsi, int fd, struct vmirq_irqfd **irqfd)
{
	struct vmirq_irqfd_config config = { .size = sizeof(config), .gsi = gsi, .eventfd = fd };

	return vmirq_irqfd_assign(vm, &config, irqfd);
}

static void assert_busy(struct vmirq_vm *vm, uint32_t gsi, int fd)
{
	struct vmirq_irqfd *irqfd;

	assert_int_equal(assign(vm, gsi, fd, &irqfd), -EBUSY);
}

static void arrives(struct world *w, int fd, uint8_t vector)
{
	world_write(fd, 1);
	world_take(w, 1, vector);
	world_take_nothing(w);
}

static void in_the_same_vm(struct world *w)
{
	int fd = eventfd(0, EFD_NONBLOCK), twin = dup(fd);
	struct vmirq_irqfd *irqfd;

	world_route(w, 30, 1, 0x42);
	world_route(w, 31, 1, 0x43);
	assert_int_equal(assign(w->vm, 30, fd, &irqfd), 0);
	/* Same or other GSI, one without a route; same descriptor or its duplicate. */
	for (uint32_t gsi = 30; gsi < 33; gsi++) {
		assert_busy(w->vm, gsi, fd);
		assert_busy(w->vm, gsi, twin);
	}
	close(fd);
	assert_busy(w->vm, 31, twin);
	arrives(w, twin, 0x42);
	assert_int_equal(vmirq_irqfd_deassign(irqfd), 0);
	assert_int_equal(assign(w->vm, 31, twin, &irqfd), 0);
	arrives(w, twin, 0x43);
	close(twin);
}

static void in_another_vm(struct world *w)
{
	struct world *other = world_new(&(struct world_config){ .irqchip = w->irqchip });
	struct soft *soft = soft_new(1);
	int fd = eventfd(0, EFD_NONBLOCK), its = eventfd(0, EFD_NONBLOCK);
	struct vmirq_irqfd *irqfd, *second;

	world_route(w, 30, 1, 0x42);
	world_route(other, 30, 1, 0x43);
	assert_int_equal(assign(w->vm, 30, fd, &irqfd), 0);
	assert_busy(other->vm, 30, fd);
	assert_busy(other->vm, 31, fd);
	assert_busy(soft->vm, 3, fd);
	assert_int_equal(assign(other->vm, 30, its, &second), 0);
	assert_busy(w->vm, 30, its);
	assert_busy(w->vm, 31, its);
	assert_busy(w->vm, 30, fd);
	arrives(w, fd, 0x42);
	arrives(other, its, 0x43);
	/* Back to one VM, in whose kernel all are. */
	world_free(other);
	assert_int_equal(assign(w->vm, 31, its, &second), 0);
	assert_busy(w->vm, 30, its);
	assert_busy(soft->vm, 3, its);
	soft_free(soft);
	close(fd);
	close(its);
}

static void while_the_pump_has_it(struct world *w)
{
	int fd = eventfd(0, EFD_NONBLOCK), twin = dup(fd), other = eventfd(0, EFD_NONBLOCK);
	struct vmirq_irqfd *irqfd, *second;

	world_route(w, 30, 1, 0x42);
	world_route(w, 31, 1, 0x43);
	assert_int_equal(assign(w->vm, 30, fd, &irqfd), 0);
	/* Off the kernel: its own look would not find it. */
	assert_int_equal(vmirq_route_clear(w->vm, 30), 0);
	assert_busy(w->vm, 31, twin);
	assert_int_equal(assign(w->vm, 31, other, &second), 0);
	world_route(w, 30, 1, 0x44);
	assert_busy(w->vm, 31, twin);
	assert_busy(w->vm, 30, other);
	arrives(w, fd, 0x44);
	arrives(w, other, 0x43);
	assert_int_equal(vmirq_irqfd_deassign(irqfd), 0);
	assert_int_equal(assign(w->vm, 31, twin, &irqfd), 0);
	world_write(fd, 1);
	world_take(w, 1, 0x43);
	close(fd);
	close(twin);
	close(other);
}

static void in_the_kernels_words(struct world *w)
{
	int fd = eventfd(0, EFD_NONBLOCK), twin = dup(fd);
	struct kvm_irqfd args = { .fd = (uint32_t)fd, .gsi = 30 };

	world_route(w, 30, 1, 0x42);
	assert_int_equal(vmirq_irqfd(w->vm, &args), 0);
	assert_int_equal(vmirq_irqfd(w->vm, &args), -EBUSY);
	arrives(w, fd, 0x42);
	args.fd = (uint32_t)twin;
	args.flags = KVM_IRQFD_FLAG_DEASSIGN;
	assert_int_equal(vmirq_irqfd(w->vm, &args), 0);
	world_write(fd, 1);
	world_take_nothing(w);
	close(fd);
	close(twin);
}

static int joined, parted;

static int add_consumer(void *opaque, struct vmirq_consumer *consumer)
{
	(void)opaque;
	(void)consumer;
	joined++;
	return 0;
}

static void del_consumer(void *opaque, struct vmirq_consumer *consumer)
{
	(void)opaque;
	(void)consumer;
	parted++;
}

static struct vmirq_producer *produce(struct vmirq_bypass *bypass, int fd)
{
	struct vmirq_producer_config config = { .size = sizeof(config),
						.add_consumer = add_consumer,
						.del_consumer = del_consumer };
	struct vmirq_producer *producer;

	assert_int_equal(vmirq_eventfd_token(fd, &config.token), 0);
	assert_int_equal(vmirq_producer_register(bypass, &config, &producer), 0);
	return producer;
}

/* Whoever asks for the manager finds in it what was bound before, and is. */
static void before_there_was_a_manager(struct world *w)
{
	enum { N = 5 };
	struct vmirq_irqfd *irqfd[N];
	struct vmirq_producer *producer[N];
	struct vmirq_bypass *bypass;
	int fd[N];

	joined = parted = 0;
	for (uint32_t i = 0; i < N; i++) {
		fd[i] = eventfd(0, EFD_NONBLOCK);
		if (i != 2)
			world_route(w, 30 + i, 1, (uint8_t)(0x50 + i));
		assert_int_equal(assign(w->vm, 30 + i, fd[i], &irqfd[i]), 0);
	}
	assert_int_equal(vmirq_irqfd_deassign(irqfd[1]), 0);
	bypass = vmirq_vm_bypass(w->vm);
	assert_non_null(bypass);
	for (uint32_t i = 0; i < N; i++)
		producer[i] = produce(bypass, fd[i]);
	assert_int_equal(joined, N - 1);
	/* And what is bound after. */
	assert_int_equal(assign(w->vm, 31, fd[1], &irqfd[1]), 0);
	assert_int_equal(joined, N);
	for (uint32_t i = 0; i < N; i++) {
		assert_int_equal(parted, (int)i);
		assert_int_equal(vmirq_irqfd_deassign(irqfd[i]), 0);
	}
	assert_int_equal(parted, N);
	for (uint32_t i = 0; i < N; i++) {
		vmirq_producer_unregister(producer[i]);
		close(fd[i]);
	}
}

static const struct world_case cases[] = {
	{ "in_the_same_vm", in_the_same_vm },
	{ "in_another_vm", in_another_vm },
	{ "while_the_pump_has_it", while_the_pump_has_it },
	{ "in_the_kernels_words", in_the_kernels_words },
	{ "before_there_was_a_manager", before_there_was_a_manager },
};

int main(void)
{
	return world_run_cases(cases, sizeof(cases) / sizeof(cases[0]));
}
