// SPDX-License-Identifier: MIT
/* f1d1c309, 2cdd64cb: one eventfd is bound once in this process, whatever the descriptor or the VM. */
#include "../support.h"

#include <sys/eventfd.h>
#include <unistd.h>

static int assign(struct soft *s, uint32_t gsi, int fd, struct vmirq_irqfd **irqfd)
{
	struct vmirq_irqfd_config config = { .size = sizeof(config), .gsi = gsi, .eventfd = fd };

	return vmirq_irqfd_assign(s->vm, &config, irqfd);
}

static void the_matrix(void **state)
{
	struct soft *s = soft_new(1), *t = soft_new(1);
	int fd = eventfd(0, EFD_NONBLOCK), twin = dup(fd), other = eventfd(0, EFD_NONBLOCK);
	struct vmirq_irqfd *bound, *irqfd;

	(void)state;
	assert_int_equal(assign(s, 3, fd, &bound), 0);
	/* Same or other GSI, same or other VM, same descriptor or its duplicate. */
	for (uint32_t gsi = 3; gsi < 5; gsi++) {
		assert_int_equal(assign(s, gsi, fd, &irqfd), -EBUSY);
		assert_int_equal(assign(s, gsi, twin, &irqfd), -EBUSY);
		assert_int_equal(assign(t, gsi, fd, &irqfd), -EBUSY);
		assert_int_equal(assign(t, gsi, twin, &irqfd), -EBUSY);
	}
	/* Another eventfd may share the GSI. */
	assert_int_equal(assign(s, 3, other, &irqfd), 0);
	/* A refused try has not taken anything: the bound one works. */
	route_to(s, 3, 0, 0x41);
	eventfd_write(twin, 1);
	assert_int_equal(dispatch(s), 1);
	assert_int_equal(dispatch(t), 0);
	take_only(s->vcpu[0], 0x41);
	/* Free after deassign, also for the other VM. */
	assert_int_equal(vmirq_irqfd_deassign(bound), 0);
	assert_int_equal(assign(t, 4, twin, &irqfd), 0);
	assert_int_equal(assign(s, 3, fd, &bound), -EBUSY);
	/* And after its VM is gone. */
	soft_free(t);
	assert_int_equal(assign(s, 3, fd, &bound), 0);
	close(fd);
	close(twin);
	close(other);
	soft_free(s);
}

/* Closing the caller's copies does not unbind: ours is still one. */
static void still_bound_when_the_caller_has_closed(void **state)
{
	struct soft *s = soft_new(1);
	int fd = eventfd(0, EFD_NONBLOCK), twin = dup(fd);
	struct vmirq_irqfd *irqfd;

	(void)state;
	assert_int_equal(assign(s, 3, fd, &irqfd), 0);
	close(fd);
	assert_int_equal(assign(s, 3, twin, &irqfd), -EBUSY);
	close(twin);
	soft_free(s);
}

/* The caller's own numbers, where it has any. */
static void tokens(void **state)
{
	struct soft *s = soft_new(1);
	int a = eventfd(0, 0), b = eventfd(0, 0);
	struct vmirq_irqfd_config config = {
		.size = sizeof(config), .gsi = 3, .eventfd = a, .token = INT64_MAX
	};
	struct vmirq_irqfd *irqfd, *second;

	(void)state;
	assert_int_equal(vmirq_irqfd_assign(s->vm, &config, &irqfd), 0);
	config.eventfd = b;
	assert_int_equal(vmirq_irqfd_assign(s->vm, &config, &second), -EBUSY);
	/* The upper half is the kernel's. */
	config.token = UINT64_MAX;
	assert_int_equal(vmirq_irqfd_assign(s->vm, &config, &second), -EINVAL);
	config.token = INT64_MAX - 1;
	assert_int_equal(vmirq_irqfd_assign(s->vm, &config, &second), 0);
	assert_int_equal(vmirq_irqfd_deassign(irqfd), 0);
	assert_int_equal(vmirq_irqfd_deassign(second), 0);
	close(a);
	close(b);
	soft_free(s);
}

static void many_bound_and_unbound_in_any_order(void **state)
{
	enum { N = 100 };
	struct soft *s = soft_new(1);
	struct vmirq_irqfd *irqfd[N], *again;
	int fd[N];

	(void)state;
	for (uint32_t i = 0; i < N; i++) {
		fd[i] = eventfd(0, EFD_NONBLOCK);
		assert_int_equal(assign(s, i, fd[i], &irqfd[i]), 0);
	}
	for (uint32_t i = 0; i < N; i += 2)
		assert_int_equal(vmirq_irqfd_deassign(irqfd[i]), 0);
	for (uint32_t i = 0; i < N; i++)
		assert_int_equal(assign(s, i, fd[i], &again), i % 2 ? -EBUSY : 0);
	for (uint32_t i = 0; i < N; i++)
		close(fd[i]);
	soft_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_matrix),
		cmocka_unit_test(still_bound_when_the_caller_has_closed),
		cmocka_unit_test(tokens),
		cmocka_unit_test(many_bound_and_unbound_in_any_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
