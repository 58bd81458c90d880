// SPDX-License-Identifier: MIT
/* MSI and MSI-X vectors from VFIO to irqfds and MSI-X tables; growing, exchanging, taking away. */
#include "../line/pc_world.h"
#include "../msix/device.h"

#include <stdlib.h>

#include "vfio_world.h"

enum { N = 6 };

static struct stand_in s;
static struct vfio *v;
static int fd[N];

static void set_up(uint32_t index, bool dynamic, uint32_t n)
{
	stand_in_start(&s, 8, 64);
	s.dynamic_msix = dynamic;
	v = vfio_new(&s);
	for (int i = 0; i < N; i++)
		fd[i] = bell();
	if (n)
		assert_int_equal(vfio_msi_enable(v, index, fd, n, NULL), 0);
}

static void tear_down(void)
{
	assert_int_equal(vfio_close(v), 0);
	stand_in_stop(&s);
	for (int i = 0; i < N; i++)
		close(fd[i]);
}

static void to_irqfds(void **state)
{
	struct soft *vm = soft_new(2);
	struct vmirq_irqfd *irqfd[N];

	(void)state;
	set_up(MSIX, false, N);
	for (uint32_t i = 0; i < N; i++) {
		route_to(vm, i, i % 2, (uint8_t)(0x40 + i));
		irqfd[i] = irqfd_on(vm, i, fd[i]);
	}
	for (int round = 0; round < 50; round++) {
		for (uint32_t i = 0; i < N; i++) {
			stand_in_message(&s, MSIX, i);
			assert_int_equal(dispatch(vm), 1);
			take_only(vm->vcpu[i % 2], (uint8_t)(0x40 + i));
		}
	}
	/* Off: nobody hears of it. On again: he does. */
	assert_int_equal(vfio_disable(v, MSIX), 0);
	for (uint32_t i = 0; i < N; i++)
		stand_in_message(&s, MSIX, i);
	assert_int_equal(s.lost, N);
	assert_int_equal(dispatch(vm), 0);
	take_nothing(vm->vcpu[0]);
	take_nothing(vm->vcpu[1]);
	assert_int_equal(vfio_msi_enable(v, MSI, fd, N, NULL), 0);
	stand_in_message(&s, MSI, 3);
	assert_int_equal(dispatch(vm), 1);
	take_only(vm->vcpu[1], 0x43);
	for (uint32_t i = 0; i < N; i++) {
		assert_int_equal(counts_of(irqfd[i]).raised, i == 3 ? 51 : 50);
		assert_int_equal(vmirq_irqfd_deassign(irqfd[i]), 0);
	}
	assert_int_equal(s.signalled, 50 * N + 1);
	tear_down();
	soft_free(vm);
}

/* The guest's own masks are the table's; VFIO's eventfds are foreign to it. */
static void to_an_msix_table(void **state)
{
	struct soft *vm = soft_new(2);
	struct vmirq_msix *msix = device_new(vm->vm, N);

	(void)state;
	set_up(MSIX, true, N);
	for (uint32_t i = 0; i < N; i++) {
		assert_int_equal(vmirq_msix_set_eventfd(msix, i, fd[i], 0), 0);
		table_put(msix, i, i % 2, (uint8_t)(0x50 + i), false);
	}
	enable(msix);
	for (uint32_t i = 0; i < N; i++) {
		stand_in_message(&s, MSIX, i);
		assert_int_equal(dispatch(vm), 1);
		take_only(vm->vcpu[i % 2], (uint8_t)(0x50 + i));
		table_mask(msix, i, true);
		stand_in_message(&s, MSIX, i);
		stand_in_message(&s, MSIX, i);
		assert_true(pba_bit(msix, i));
		take_nothing(vm->vcpu[i % 2]);
		table_mask(msix, i, false);
		take_only(vm->vcpu[i % 2], (uint8_t)(0x50 + i));
		assert_false(pba_bit(msix, i));
	}
	device_free(msix);
	stand_in_message(&s, MSIX, 0);
	assert_int_equal(dispatch(vm), 0);
	take_nothing(vm->vcpu[0]);
	tear_down();
	soft_free(vm);
}

/* Where the index can grow nothing of the rest is touched. */
static void grows(void **state)
{
	unsigned int calls;

	(void)state;
	set_up(MSIX, true, 2);
	calls = s.calls;
	assert_int_equal(vfio_msi_set(v, MSIX, 4, &fd[4], 2), 0);
	assert_int_equal(s.calls, calls + 1);
	assert_ioctl(&s, 0, EVENTFD | TRIGGER, MSIX, 4, 2, 8);
	for (uint32_t i = 0; i < N; i++) {
		stand_in_message(&s, MSIX, i);
		assert_int_equal(unread(fd[i]), i < 2 || i > 3);
	}
	/* Pending in the device until there is somebody. */
	assert_int_equal(vfio_msi_set(v, MSIX, 2, &fd[2], 2), 0);
	assert_int_equal(unread(fd[2]) + unread(fd[3]), 2);
	tear_down();
}

static uint32_t sent_in_between;

/* The device sends all it has when it has just been torn down. */
static int device_sends(struct stand_in *stand_in, unsigned long request, void *argument, int ret)
{
	const struct vfio_irq_set *set = argument;

	if (request == VFIO_DEVICE_SET_IRQS && !set->count)
		for (uint32_t i = 0; i < 3; i++, sent_in_between++)
			stand_in_message(stand_in, MSIX, i);
	return ret;
}

/* Where it cannot it is torn down and set up anew, and what came in between is made up for. */
static void set_up_anew(void **state)
{
	(void)state;
	set_up(MSIX, false, 3);
	stand_in_message(&s, MSIX, 0);
	s.after = device_sends;
	sent_in_between = 0;
	assert_int_equal(vfio_msi_set(v, MSIX, 4, &fd[4], 1), 0);
	s.after = NULL;
	assert_int_equal(sent_in_between, 3);
	assert_int_equal(s.lost, 3);
	assert_ioctl(&s, 2, NONE | TRIGGER, MSIX, 0, 0, 0);
	assert_ioctl(&s, 1, EVENTFD | TRIGGER, MSIX, 0, 5, 20);
	assert_ioctl(&s, 0, BOOL | TRIGGER, MSIX, 0, 3, 3);
	/* What had fired before is in it still. */
	assert_int_equal(unread(fd[0]), 2);
	assert_int_equal(unread(fd[1]), 1);
	assert_int_equal(unread(fd[2]), 1);
	assert_int_equal(unread(fd[4]), 0);
	for (uint32_t i = 0; i < N; i++) {
		if (i < 5)
			stand_in_message(&s, MSIX, i);
		assert_int_equal(unread(fd[i]), i < 3 || i == 4);
	}
	tear_down();
}

/* Nobody for a vector that is not set up is nothing to tear down for. */
static void nobody_beyond(void **state)
{
	const int none[4] = { -1, -1, -1, -1 };
	unsigned int calls;

	(void)state;
	set_up(MSIX, false, 2);
	calls = s.calls;
	assert_int_equal(vfio_msi_set(v, MSIX, 2, none, 4), 0);
	assert_int_equal(s.calls, calls);
	assert_int_equal(vfio_msi_set(v, MSIX, 1, none, 4), 0);
	assert_int_equal(s.calls, calls + 1);
	assert_ioctl(&s, 0, EVENTFD | TRIGGER, MSIX, 1, 1, 4);
	assert_int_equal(vfio_vectors(v), 2);
	stand_in_message(&s, MSIX, 1);
	assert_int_equal(unread(fd[1]), 0);
	stand_in_message(&s, MSIX, 0);
	assert_int_equal(unread(fd[0]), 1);
	tear_down();
}

/* From a masked vector's watcher to an irqfd and back: each message exactly once. */
static void from_the_watcher_to_an_irqfd(void **state)
{
	struct soft *vm = soft_new(1);
	struct vmirq_irqfd *irqfd;
	int watcher = bell();

	(void)state;
	set_up(MSIX, false, 1);
	route_to(vm, 5, 0, 0x55);
	irqfd = irqfd_on(vm, 5, fd[0]);
	for (int i = 0; i < 20; i++) {
		assert_int_equal(vfio_msi_switch(v, MSIX, 0, watcher), 0);
		for (int n = 0; n < i % 3; n++)
			stand_in_message(&s, MSIX, 0);
		assert_int_equal(dispatch(vm), 0);
		take_nothing(vm->vcpu[0]);
		assert_int_equal(vfio_msi_switch(v, MSIX, 0, fd[0]), 0);
		assert_int_equal(unread(watcher), 0);
		assert_int_equal(dispatch(vm), i % 3 ? 1 : 0);
		if (i % 3)
			take_only(vm->vcpu[0], 0x55);
		stand_in_message(&s, MSIX, 0);
		assert_int_equal(dispatch(vm), 1);
		take_only(vm->vcpu[0], 0x55);
	}
	assert_int_equal(counts_of(irqfd).raised, 20 + 13);
	/* To nobody: what is unread is left where it is. */
	stand_in_message(&s, MSIX, 0);
	assert_int_equal(vfio_msi_switch(v, MSIX, 0, -1), 0);
	assert_int_equal(dispatch(vm), 1);
	take_only(vm->vcpu[0], 0x55);
	assert_int_equal(vmirq_irqfd_deassign(irqfd), 0);
	tear_down();
	soft_free(vm);
	close(watcher);
}

/* MSI need not have masks: what came in between would be lost. */
static void msi_is_rung(void **state)
{
	(void)state;
	set_up(MSI, false, 2);
	stand_in_message(&s, MSI, 0);
	assert_int_equal(vfio_msi_switch(v, MSI, 0, fd[2]), 0);
	assert_int_equal(unread(fd[0]), 0);
	assert_int_equal(unread(fd[2]), 1);
	assert_int_equal(unread(fd[1]), 0);
	tear_down();
}

static void all_2048(void **state)
{
	int one = bell(), *fds = malloc(2048 * sizeof(*fds));
	struct vfio *big;

	(void)state;
	assert_non_null(fds);
	for (int i = 0; i < 2048; i++)
		fds[i] = i % 128 ? -1 : one;
	stand_in_start(&s, 0, 2048);
	big = vfio_new(&s);
	assert_int_equal(vfio_msi_enable(big, MSIX, fds, 2048, NULL), 0);
	assert_ioctl(&s, 0, EVENTFD | TRIGGER, MSIX, 0, 2048, 8192);
	for (uint32_t i = 0; i < 2048; i++)
		stand_in_message(&s, MSIX, i);
	assert_int_equal(unread(one), 16);
	assert_int_equal(vfio_msi_set(big, MSIX, 2047, &one, 1), 0);
	assert_int_equal(unread(one), 1);
	assert_int_equal(vfio_msi_set(big, MSIX, 2047, &one, 2), -EINVAL);
	assert_int_equal(vfio_close(big), 0);
	stand_in_stop(&s);
	free(fds);
	close(one);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(to_irqfds),	 cmocka_unit_test(to_an_msix_table),
		cmocka_unit_test(grows),	 cmocka_unit_test(set_up_anew),
		cmocka_unit_test(nobody_beyond), cmocka_unit_test(from_the_watcher_to_an_irqfd),
		cmocka_unit_test(msi_is_rung),	 cmocka_unit_test(all_2048),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
