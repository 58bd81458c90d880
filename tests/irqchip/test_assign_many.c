// SPDX-License-Identifier: MIT
/* vmirq_irqfd_assign_many(): all are bound, or none is and nothing is left of it. */
#include "world.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "../failing_malloc.h"
#include "base/vm.h"
#include "kvm/send.h"
#include "kvm/slots.h"

#define N	     40u
#define FIRST_GSI    30u
#define FIRST_VECTOR 0x40u

struct device {
	int fd[N];   /* taken, where it is odd */
	int twin[N]; /* the device's own */
	struct vmirq_irqfd_config config[N];
	struct vmirq_irqfd *irqfd[N];
};

static bool is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

/* How many irqfds the kernel's table counts, of all its GSIs. */
static uint32_t in_kernel(struct world *w)
{
	struct kernel_irqchip *k = (struct kernel_irqchip *)w->vm->irqchip;
	uint32_t n = 0;

	for (uint32_t gsi = 0; k && gsi < k->limit; gsi++)
		n += k->table->slot[gsi].users;
	return n;
}

static bool takes(struct world *w)
{
	return w->vm->irqchip && w->vm->irqchip->takes_eventfds;
}

static int lowest_free(void)
{
	int fd = fcntl(0, F_DUPFD_CLOEXEC, 0);

	assert_true(fd >= 0);
	close(fd);
	return fd;
}

static struct device open_device(void)
{
	struct device d;

	for (uint32_t i = 0; i < N; i++) {
		d.twin[i] = eventfd(0, EFD_NONBLOCK);
		d.fd[i] = dup(d.twin[i]);
		assert_true(d.fd[i] >= 0);
		d.config[i] = (struct vmirq_irqfd_config){ .size = sizeof(d.config[i]),
							   .gsi = FIRST_GSI + i,
							   .eventfd = d.fd[i],
							   .flags = i % 2 ? VMIRQ_IRQFD_TAKE : 0 };
	}
	return d;
}

static void close_device(struct device *d)
{
	for (uint32_t i = 0; i < N; i++) {
		close(d->twin[i]);
		if (is_open(d->fd[i]))
			close(d->fd[i]);
	}
}

static void route_all(struct world *w)
{
	assert_int_equal(vmirq_route_begin(w->vm), 0);
	for (uint32_t i = 0; i < N; i++)
		world_route(w, FIRST_GSI + i, i % WORLD_VCPUS, (uint8_t)(FIRST_VECTOR + i));
	assert_int_equal(vmirq_route_commit(w->vm), 0);
}

static void each_arrives(struct world *w, const struct device *d)
{
	for (uint32_t i = 0; i < N; i++) {
		world_write(d->twin[i], 1);
		world_take(w, i % WORLD_VCPUS, (uint8_t)(FIRST_VECTOR + i));
	}
	world_take_nothing(w);
}

static void deassign_all(struct device *d)
{
	for (uint32_t i = 0; i < N; i++) {
		assert_int_equal(vmirq_irqfd_deassign(d->irqfd[i]), 0);
		assert_true(is_open(d->fd[i]) == !(i % 2));
	}
}

static void all_are_bound(struct world *w)
{
	struct device d = open_device();
	int next = lowest_free();

	route_all(w);
	assert_int_equal(vmirq_irqfd_assign_many(w->vm, d.config, N, d.irqfd), 0);
	for (uint32_t i = 0; i < N; i++)
		assert_int_equal(vmirq_irqfd_gsi(d.irqfd[i]), FIRST_GSI + i);
	assert_int_equal(in_kernel(w), takes(w) ? N : 0);
	each_arrives(w, &d);
	deassign_all(&d);
	assert_int_equal(in_kernel(w), 0);
	for (uint32_t i = 0; i < N; i++)
		world_write(d.twin[i], 1);
	world_take_nothing(w);
	close_device(&d);
	assert_true(lowest_free() <= next);
}

/* Their routes come later, and go; one has no eventfd. */
static void before_their_routes(struct world *w)
{
	struct device d = open_device();

	close(d.fd[2]);
	d.config[2].eventfd = -1;
	assert_int_equal(vmirq_irqfd_assign_many(w->vm, d.config, N, d.irqfd), 0);
	d.fd[2] = dup(d.twin[2]);
	assert_int_equal(vmirq_irqfd_signal(d.irqfd[2]), VMIRQ_NO_ROUTE);
	route_all(w);
	assert_int_equal(vmirq_irqfd_signal(d.irqfd[2]), VMIRQ_DELIVERED);
	world_take(w, 2, FIRST_VECTOR + 2);
	world_write(d.twin[3], 1);
	world_take(w, 0, FIRST_VECTOR + 3);
	world_write(d.twin[2], 1);
	world_take_nothing(w);
	deassign_all(&d);
	close_device(&d);
}

/* What is readable already raises once. */
static void readable_ones_raise(struct world *w)
{
	struct device d = open_device();

	route_all(w);
	world_write(d.twin[0], 3);
	/* Of another vCPU: taking one rewrites its IRR. */
	world_write(d.twin[N - 2], 1);
	assert_int_equal(vmirq_irqfd_assign_many(w->vm, d.config, N, d.irqfd), 0);
	world_take(w, 0, FIRST_VECTOR);
	world_take(w, (N - 2) % WORLD_VCPUS, FIRST_VECTOR + N - 2);
	world_take_nothing(w);
	deassign_all(&d);
	close_device(&d);
}

/* Nothing is closed or left open. */
static void refused(struct world *w, struct device *d, int error)
{
	int next = lowest_free();
	uint32_t used = in_kernel(w);

	assert_int_equal(vmirq_irqfd_assign_many(w->vm, d->config, N, d->irqfd), error);
	assert_int_equal(lowest_free(), next);
	assert_int_equal(in_kernel(w), used);
	for (uint32_t i = 0; i < N; i++)
		assert_true(is_open(d->fd[i]));
}

/* After all that were refused. */
static void none_is_bound(struct world *w, struct device *d)
{
	for (uint32_t i = 0; i < N; i++)
		world_write(d->twin[i], 1);
	world_take_nothing(w);
	for (uint32_t i = 0; i < N; i++) {
		uint64_t n;

		assert_int_equal(read(d->twin[i], &n, sizeof(n)), sizeof(n));
		assert_int_equal(n, 1);
	}
}

static void refused_at(struct world *w, struct device *d, uint32_t k)
{
	struct vmirq_irqfd_config *at = &d->config[k], good = *at;
	struct vmirq_irqfd *other;
	int pipes[2];

	assert_int_equal(pipe(pipes), 0);
	at->eventfd = -2;
	refused(w, d, -EBADF);
	at->eventfd = 100000;
	refused(w, d, -EBADF);
	at->eventfd = pipes[0];
	refused(w, d, -EINVAL);
	*at = good;
	at->gsi = UINT32_MAX;
	refused(w, d, -EINVAL);
	*at = good;
	at->flags |= 1u << 31;
	refused(w, d, -EINVAL);
	at->flags = VMIRQ_IRQFD_RESAMPLE;
	refused(w, d, -EINVAL);
	*at = good;
	at->size--;
	refused(w, d, -EINVAL);
	*at = good;
	/* The same twice among them; and one that is bound already. */
	at->eventfd = d->twin[(k + 1) % N];
	refused(w, d, -EBUSY);
	*at = good;
	at->eventfd = d->twin[k];
	at->gsi = 7;
	at->flags = 0;
	assert_int_equal(vmirq_irqfd_assign(w->vm, at, &other), 0);
	*at = good;
	assert_int_equal(vmirq_irqfd_assign_many(w->vm, d->config, N, d->irqfd), -EBUSY);
	assert_int_equal(vmirq_irqfd_deassign(other), 0);
	none_is_bound(w, d);
	close(pipes[0]);
	close(pipes[1]);
}

static void all_or_none(struct world *w)
{
	const uint32_t at[] = { 0, 1, N / 2, N - 1 };
	struct device d = open_device();

	for (int routed = 0; routed < 2; routed++) {
		if (routed)
			route_all(w);
		for (size_t i = 0; i < sizeof(at) / sizeof(at[0]); i++)
			refused_at(w, &d, at[i]);
	}
	assert_int_equal(vmirq_irqfd_assign_many(w->vm, d.config, N, d.irqfd), 0);
	each_arrives(w, &d);
	deassign_all(&d);
	close_device(&d);
}

/* The same twice, of which the kernel would read only one: on the other's GSI it takes no messages. */
static void twice_but_once_in_the_kernel(struct world *w)
{
	struct device d = open_device();
	struct vmirq_irqfd_config good = d.config[1];

	route_all(w);
	world_route(w, 5, 0, FIRST_VECTOR);
	d.config[1].eventfd = d.twin[0];
	d.config[1].flags = 0;
	d.config[0].gsi = 5;
	refused(w, &d, -EBUSY);
	d.config[0].gsi = FIRST_GSI;
	d.config[1].gsi = 5;
	refused(w, &d, -EBUSY);
	none_is_bound(w, &d);
	d.config[0].gsi = 5;
	d.config[1] = good;
	assert_int_equal(vmirq_irqfd_assign_many(w->vm, d.config, N, d.irqfd), 0);
	each_arrives(w, &d);
	deassign_all(&d);
	close_device(&d);
}

/* Those without a route are the pump's; one of them, or one of the others, cannot be bound. */
static void some_have_routes(struct world *w)
{
	struct device d = open_device();
	int file = open("/dev/null", O_RDONLY | O_CLOEXEC);

	assert_true(file >= 0);
	route_all(w);
	for (uint32_t i = 0; i < N; i += 3)
		assert_int_equal(vmirq_route_clear(w->vm, FIRST_GSI + i), 0);
	for (uint32_t k = N / 2; k < N / 2 + 3; k++) {
		struct vmirq_irqfd_config good = d.config[k];

		d.config[k].eventfd = file;
		refused(w, &d, -EINVAL);
		/* The callers say what it is, so that nobody looks before it is added somewhere. */
		for (uint32_t i = 0; i < N; i++)
			d.config[i].token = i + 1;
		refused(w, &d, -EINVAL);
		none_is_bound(w, &d);
		d.config[k] = good;
		for (uint32_t i = 0; i < N; i++)
			d.config[i].token = 0;
	}
	assert_int_equal(vmirq_irqfd_assign_many(w->vm, d.config, N, d.irqfd), 0);
	assert_int_equal(in_kernel(w), takes(w) ? N - (N + 2) / 3 : 0);
	route_all(w);
	assert_int_equal(in_kernel(w), takes(w) ? N : 0);
	each_arrives(w, &d);
	deassign_all(&d);
	assert_int_equal(in_kernel(w), 0);
	close_device(&d);
	close(file);
}

static void bounds(struct world *w)
{
	struct device d = open_device();

	assert_int_equal(vmirq_irqfd_assign_many(NULL, d.config, N, d.irqfd), -EINVAL);
	assert_int_equal(vmirq_irqfd_assign_many(w->vm, NULL, N, d.irqfd), -EINVAL);
	assert_int_equal(vmirq_irqfd_assign_many(w->vm, d.config, N, NULL), -EINVAL);
	assert_int_equal(vmirq_irqfd_assign_many(w->vm, NULL, 0, NULL), 0);
	for (uint32_t i = 0; i < N; i++)
		d.config[i].size = 8;
	refused(w, &d, -EINVAL);
	for (uint32_t i = 0; i < N; i++)
		d.config[i].size = 4097;
	refused(w, &d, -E2BIG);
	none_is_bound(w, &d);
	close_device(&d);
}

/* Each allocation fails, and all after it. */
static void without_memory(struct world *w)
{
	struct device d = open_device();
	int error = -ENOMEM, failed = 0;

	route_all(w);
	for (int n = 0; error; n++) {
		int next = lowest_free();

		fail_after(n);
		error = vmirq_irqfd_assign_many(w->vm, d.config, N, d.irqfd);
		fail_no_more();
		assert_true(!error || error == -ENOMEM);
		for (uint32_t i = 0; i < N; i++)
			assert_true(is_open(d.fd[i]));
		assert_true(!error || lowest_free() == next);
		failed += !!error;
	}
	assert_true(failed > 0);
	each_arrives(w, &d);
	deassign_all(&d);
	close_device(&d);
}

static const struct world_case cases[] = {
	{ "all_are_bound", all_are_bound },
	{ "before_their_routes", before_their_routes },
	{ "readable_ones_raise", readable_ones_raise },
	{ "all_or_none", all_or_none },
	{ "twice_but_once_in_the_kernel", twice_but_once_in_the_kernel },
	{ "some_have_routes", some_have_routes },
	{ "bounds", bounds },
	{ "without_memory", without_memory },
};

int main(void)
{
	return world_run_cases(cases, sizeof(cases) / sizeof(cases[0]));
}
