// SPDX-License-Identifier: MIT
/* VMIRQ_IRQFD_TAKE: the caller's descriptor is the library's to close, once; or, on an error, not. */
#include "world.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "../failing_malloc.h"

#define VECTOR 0x42

static int assign(struct vmirq_vm *vm, uint32_t flags, int fd, struct vmirq_irqfd **irqfd)
{
	struct vmirq_irqfd_config config = {
		.size = sizeof(config), .gsi = 30, .flags = flags, .eventfd = fd, .resamplefd = -1
	};

	return vmirq_irqfd_assign(vm, &config, irqfd);
}

static bool is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

static int lowest_free(void)
{
	int fd = fcntl(0, F_DUPFD_CLOEXEC, 0);

	assert_true(fd >= 0);
	close(fd);
	return fd;
}

static void arrives(struct world *w, int fd)
{
	world_write(fd, 1);
	world_take(w, 1, VECTOR);
	world_take_nothing(w);
}

static void deassign_closes_it(struct world *w)
{
	int fd = eventfd(0, EFD_NONBLOCK), twin = dup(fd), next = lowest_free();
	struct vmirq_irqfd *irqfd;

	world_route(w, 30, 1, VECTOR);
	assert_int_equal(assign(w->vm, VMIRQ_IRQFD_TAKE, fd, &irqfd), 0);
	/* No duplicate. */
	assert_int_equal(lowest_free(), next);
	arrives(w, fd);
	arrives(w, twin);
	/* Away from the kernel and back. */
	assert_int_equal(vmirq_route_clear(w->vm, 30), 0);
	world_route(w, 30, 1, VECTOR);
	arrives(w, twin);
	assert_int_equal(vmirq_irqfd_deassign(irqfd), 0);
	assert_false(is_open(fd));
	world_write(twin, 1);
	world_take_nothing(w);
	/* Its number is somebody else's now. */
	assert_int_equal(dup(twin), fd);
	assert_int_equal(assign(w->vm, 0, twin, &irqfd), 0);
	assert_int_equal(vmirq_irqfd_deassign(irqfd), 0);
	assert_true(is_open(fd) && is_open(twin));
	close(fd);
	close(twin);
}

static void in_the_kernels_words(struct world *w)
{
	int fd = eventfd(0, EFD_NONBLOCK), twin = dup(fd);
	struct kvm_irqfd args = { .fd = (uint32_t)twin,
				  .gsi = 30,
				  .flags = KVM_IRQFD_FLAG_DEASSIGN };
	struct vmirq_irqfd *irqfd;

	world_route(w, 30, 1, VECTOR);
	assert_int_equal(assign(w->vm, VMIRQ_IRQFD_TAKE, fd, &irqfd), 0);
	assert_int_equal(vmirq_irqfd(w->vm, &args), 0);
	assert_false(is_open(fd));
	/* By its own number, too. */
	assert_int_equal(assign(w->vm, VMIRQ_IRQFD_TAKE, twin, &irqfd), 0);
	assert_int_equal(vmirq_irqfd(w->vm, &args), 0);
	assert_false(is_open(twin));
}

static void the_vm_closes_it(struct world *w)
{
	struct world *other = world_new(&(struct world_config){ .irqchip = w->irqchip });
	int fd = eventfd(0, EFD_NONBLOCK);
	struct vmirq_irqfd *irqfd;

	world_route(other, 30, 1, VECTOR);
	assert_int_equal(assign(other->vm, VMIRQ_IRQFD_TAKE, fd, &irqfd), 0);
	arrives(other, fd);
	world_free(other);
	assert_false(is_open(fd));
}

static void refused(struct world *w, uint32_t flags, int fd, int error)
{
	struct vmirq_irqfd *irqfd;

	assert_int_equal(assign(w->vm, flags | VMIRQ_IRQFD_TAKE, fd, &irqfd), error);
	assert_true(fd < 0 || is_open(fd));
}

/* There is no level, or no resamplefd for it. */
static void refused_level(struct world *w, int fd)
{
	struct vmirq_irqfd *irqfd;
	int error = assign(w->vm, VMIRQ_IRQFD_RESAMPLE | VMIRQ_IRQFD_TAKE, fd, &irqfd);

	assert_true(error == -EINVAL || error == -EBADF);
	assert_true(is_open(fd));
}

static void an_error_leaves_it(struct world *w)
{
	int fd = eventfd(0, EFD_NONBLOCK), twin = dup(fd), pipes[2], next;
	struct vmirq_irqfd *irqfd;

	assert_int_equal(pipe(pipes), 0);
	next = lowest_free();
	/* Read by the pump, and with a route perhaps by the kernel. */
	for (int routed = 0; routed < 2; routed++) {
		if (routed)
			world_route(w, 30, 1, VECTOR);
		refused(w, 0, -1, -EINVAL);
		refused(w, 0, -2, -EBADF);
		refused(w, 1u << 31, fd, -EINVAL);
		refused(w, 0, pipes[0], -EINVAL);
		refused_level(w, fd);
		assert_int_equal(assign(w->vm, 0, twin, &irqfd), 0);
		refused(w, 0, fd, -EBUSY);
		refused(w, 0, twin, -EBUSY);
		assert_int_equal(vmirq_irqfd_deassign(irqfd), 0);
		assert_int_equal(lowest_free(), next);
	}
	assert_int_equal(assign(w->vm, VMIRQ_IRQFD_TAKE, fd, &irqfd), 0);
	refused(w, 0, twin, -EBUSY);
	arrives(w, twin);
	assert_int_equal(vmirq_irqfd_deassign(irqfd), 0);
	close(twin);
	close(pipes[0]);
	close(pipes[1]);
}

static void without_memory(struct world *w)
{
	int fd = eventfd(0, EFD_NONBLOCK), error = -ENOMEM, failed = 0;
	struct vmirq_irqfd *irqfd = NULL;

	world_route(w, 30, 1, VECTOR);
	for (int n = 0; error; n++) {
		fail_after(n);
		error = assign(w->vm, VMIRQ_IRQFD_TAKE, fd, &irqfd);
		fail_no_more();
		assert_true(is_open(fd));
		assert_true(!error || error == -ENOMEM);
		failed += !!error;
	}
	assert_true(failed > 0);
	arrives(w, fd);
	assert_int_equal(vmirq_irqfd_deassign(irqfd), 0);
	assert_false(is_open(fd));
}

static const struct world_case cases[] = {
	{ "deassign_closes_it", deassign_closes_it },
	{ "in_the_kernels_words", in_the_kernels_words },
	{ "the_vm_closes_it", the_vm_closes_it },
	{ "an_error_leaves_it", an_error_leaves_it },
	{ "without_memory", without_memory },
};

int main(void)
{
	return world_run_cases(cases, sizeof(cases) / sizeof(cases[0]));
}
