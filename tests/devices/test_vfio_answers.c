// SPDX-License-Identifier: MIT
/* What the VFIO adapter makes of answers that cannot be, or that it did not hope for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>

#include "vfio_world.h"

static struct stand_in s;

static int (*lie)(void *argument, int ret);
static unsigned long lie_about;
static uint32_t lie_index;

static int tell_lie(struct stand_in *stand_in, unsigned long request, void *argument, int ret)
{
	(void)stand_in;
	if (request != lie_about)
		return ret;
	if (request == VFIO_DEVICE_GET_IRQ_INFO &&
	    ((struct vfio_irq_info *)argument)->index != lie_index)
		return ret;
	return lie(argument, ret);
}

static int count_is_all_ones(void *argument, int ret)
{
	((struct vfio_irq_info *)argument)->count = UINT32_MAX;
	return ret;
}

static int one_too_many(void *argument, int ret)
{
	static const uint32_t many[] = { 2, 33, 2049, 2, 2 };

	((struct vfio_irq_info *)argument)->count = many[lie_index];
	return ret;
}

static int another_index(void *argument, int ret)
{
	((struct vfio_irq_info *)argument)->index ^= 1;
	return ret;
}

static int argsz_too_small(void *argument, int ret)
{
	*(uint32_t *)argument = 15;
	return ret;
}

static int succeeds_with_7(void *argument, int ret)
{
	(void)argument;
	(void)ret;
	return 7;
}

static int no_pci(void *argument, int ret)
{
	((struct vfio_device_info *)argument)->flags = VFIO_DEVICE_FLAGS_PLATFORM;
	return ret;
}

static int no_flags(void *argument, int ret)
{
	((struct vfio_irq_info *)argument)->flags = 0;
	return ret;
}

static int not_automasked(void *argument, int ret)
{
	((struct vfio_irq_info *)argument)->flags &= ~(uint32_t)VFIO_IRQ_INFO_AUTOMASKED;
	return ret;
}

static int two_indexes(void *argument, int ret)
{
	((struct vfio_device_info *)argument)->num_irqs = 2;
	return ret;
}

static int io_error(void *argument, int ret)
{
	(void)argument;
	(void)ret;
	return -EIO;
}

static int opened(unsigned long about, uint32_t index, int (*how)(void *, int), struct vfio **v)
{
	struct vfio_options options = { .ioctl = stand_in_ioctl, .opaque = &s };

	lie_about = about;
	lie_index = index;
	lie = how;
	s.after = tell_lie;
	*v = NULL;
	return vfio_open(-1, &options, v);
}

static void lies_at_open(void **state)
{
	const unsigned long irq = VFIO_DEVICE_GET_IRQ_INFO, device = VFIO_DEVICE_GET_INFO;
	struct vfio_kind kind;
	struct vfio *v;

	(void)state;
	stand_in_start(&s, 32, 2048);
	for (uint32_t i = 0; i < VFIO_PCI_NUM_IRQS; i++) {
		assert_int_equal(opened(irq, i, count_is_all_ones, &v), -EPROTO);
		assert_int_equal(opened(irq, i, one_too_many, &v), -EPROTO);
		assert_int_equal(opened(irq, i, another_index, &v), -EPROTO);
		assert_int_equal(opened(irq, i, argsz_too_small, &v), -EPROTO);
		assert_int_equal(opened(irq, i, succeeds_with_7, &v), -EPROTO);
		assert_int_equal(opened(irq, i, io_error, &v), -EIO);
	}
	assert_int_equal(opened(device, 0, argsz_too_small, &v), -EPROTO);
	assert_int_equal(opened(device, 0, succeeds_with_7, &v), -EPROTO);
	assert_int_equal(opened(device, 0, io_error, &v), -EIO);
	assert_int_equal(opened(device, 0, no_pci, &v), -ENODEV);
	assert_null(v);
	assert_int_equal(opened(device, 0, two_indexes, &v), 0);
	assert_int_equal(vfio_kind(v, MSIX, &kind), 0);
	assert_int_equal(kind.count, 0);
	assert_int_equal(vfio_close(v), 0);
	stand_in_stop(&s);
}

static void lies_about_flags(void **state)
{
	int fd = bell();
	struct vfio *v;

	(void)state;
	stand_in_start(&s, 32, 2048);
	assert_int_equal(opened(VFIO_DEVICE_GET_IRQ_INFO, INTX, not_automasked, &v), 0);
	assert_int_equal(vfio_intx_enable(v, fd, -1), -EOPNOTSUPP);
	assert_int_equal(vfio_close(v), 0);
	assert_int_equal(opened(VFIO_DEVICE_GET_IRQ_INFO, MSIX, no_flags, &v), 0);
	assert_int_equal(vfio_msi_enable(v, MSIX, &fd, 1, NULL), -EOPNOTSUPP);
	assert_int_equal(vfio_close(v), 0);
	assert_int_equal(opened(VFIO_DEVICE_GET_IRQ_INFO, REQ, no_flags, &v), 0);
	assert_int_equal(vfio_event_set(v, REQ, fd), -EOPNOTSUPP);
	assert_int_equal(vfio_close(v), 0);
	assert_int_equal(s.calls, 0);
	stand_in_stop(&s);
	close(fd);
}

static void fewer_vectors_than_asked_for(void **state)
{
	int fds[6];
	uint32_t available = 99;
	struct vfio *v;

	(void)state;
	for (int i = 0; i < 6; i++)
		fds[i] = bell();
	stand_in_start(&s, 0, 8);
	s.available = 3;
	v = vfio_new(&s);
	assert_int_equal(vfio_msi_enable(v, MSIX, fds, 6, &available), -ENOSPC);
	assert_int_equal(available, 3);
	assert_int_equal(vfio_enabled(v), -1);
	assert_int_equal(vfio_msi_enable(v, MSIX, fds, available, NULL), 0);
	/* To grow it is torn down, and then there are not enough: as it was. */
	assert_int_equal(vfio_msi_set(v, MSIX, 3, &fds[3], 3), -ENOSPC);
	assert_int_equal(vfio_vectors(v), 3);
	for (uint32_t i = 0; i < 3; i++) {
		unread(fds[i]);
		stand_in_message(&s, MSIX, i);
		assert_int_equal(unread(fds[i]), 1);
	}
	assert_int_equal(vfio_close(v), 0);
	/* As many as were asked for are not fewer. */
	assert_int_equal(opened(VFIO_DEVICE_SET_IRQS, 0, succeeds_with_7, &v), 0);
	assert_int_equal(vfio_msi_enable(v, MSIX, fds, 6, &available), -EPROTO);
	assert_int_equal(vfio_intx_enable(v, fds[0], fds[1]), -EPROTO);
	assert_int_equal(vfio_event_set(v, REQ, fds[0]), -EPROTO);
	s.after = NULL;
	assert_int_equal(available, 3);
	assert_int_equal(vfio_enabled(v), -1);
	assert_int_equal(s.type, -1);
	assert_int_equal(vfio_close(v), 0);
	stand_in_stop(&s);
	for (int i = 0; i < 6; i++)
		close(fds[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lies_at_open),
		cmocka_unit_test(lies_about_flags),
		cmocka_unit_test(fewer_vectors_than_asked_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
