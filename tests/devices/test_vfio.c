// SPDX-License-Identifier: MIT
/* The VFIO adapter's ioctls, against a stand-in for the kernel: what it says, what it refuses, and
 * that whatever fails leaves things as they were. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <string.h>

#include "vfio_world.h"

static struct stand_in s;

static unsigned int descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned int n = 0;

	assert_non_null(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

static void what_there_is(void **state)
{
	struct vfio_kind kind;
	struct vfio *v;

	(void)state;
	stand_in_start(&s, 8, 2048);
	v = vfio_new(&s);
	assert_int_equal(vfio_kind(v, INTX, &kind), 0);
	assert_int_equal(kind.count, 1);
	assert_int_equal(kind.flags,
			 VFIO_IRQ_INFO_EVENTFD | VFIO_IRQ_INFO_MASKABLE | VFIO_IRQ_INFO_AUTOMASKED);
	assert_int_equal(vfio_kind(v, MSI, &kind), 0);
	assert_int_equal(kind.count, 8);
	assert_int_equal(vfio_kind(v, MSIX, &kind), 0);
	assert_int_equal(kind.count, 2048);
	assert_true(kind.flags & VFIO_IRQ_INFO_NORESIZE);
	assert_int_equal(vfio_kind(v, VFIO_PCI_NUM_IRQS, &kind), -EINVAL);
	assert_int_equal(vfio_enabled(v), -1);
	assert_int_equal(s.calls, 0);
	assert_int_equal(vfio_close(v), 0);
	assert_int_equal(vfio_close(NULL), 0);
	stand_in_stop(&s);
}

/* ERR is EINVAL on a device that is not PCI Express. */
static void what_there_is_not(void **state)
{
	struct vfio_kind kind;
	int fd = bell();
	struct vfio *v;

	(void)state;
	stand_in_start(&s, 0, 0);
	s.count[ERR] = s.count[INTX] = 0;
	v = vfio_new(&s);
	assert_int_equal(vfio_kind(v, ERR, &kind), 0);
	assert_int_equal(kind.count, 0);
	assert_int_equal(vfio_intx_enable(v, fd, -1), -EINVAL);
	assert_int_equal(vfio_msi_enable(v, MSI, &fd, 1, NULL), -EINVAL);
	assert_int_equal(vfio_msi_enable(v, MSIX, &fd, 1, NULL), -EINVAL);
	assert_int_equal(vfio_event_set(v, ERR, fd), -EINVAL);
	assert_int_equal(vfio_disable_all(v), 0);
	assert_int_equal(s.calls, 0);
	assert_int_equal(vfio_close(v), 0);
	stand_in_stop(&s);
	close(fd);
}

static void every_ioctl(void **state)
{
	int fd[4] = { bell(), bell(), bell(), bell() }, sparse[3] = { fd[0], -1, fd[2] };
	const uint8_t which[3] = { 1, 0, 1 };
	struct vfio *v;
	int32_t first;

	(void)state;
	stand_in_start(&s, 4, 16);
	v = vfio_new(&s);
	assert_int_equal(vfio_intx_enable(v, fd[0], fd[1]), 0);
	assert_ioctl(&s, 1, EVENTFD | TRIGGER, INTX, 0, 1, 4);
	assert_ioctl(&s, 0, EVENTFD | UNMASK, INTX, 0, 1, 4);
	assert_int_equal(vfio_mask(v, INTX, 0, 1, NULL), 0);
	assert_ioctl(&s, 0, NONE | MASK, INTX, 0, 1, 0);
	assert_int_equal(vfio_unmask(v, INTX, 0, 1, which), 0);
	assert_ioctl(&s, 0, BOOL | UNMASK, INTX, 0, 1, 1);
	assert_int_equal(vfio_trigger(v, INTX, 0, 1, NULL), 0);
	assert_ioctl(&s, 0, NONE | TRIGGER, INTX, 0, 1, 0);
	assert_int_equal(unread(fd[0]), 1);
	assert_int_equal(vfio_intx_set_unmask(v, -1), 0);
	assert_ioctl(&s, 0, EVENTFD | UNMASK, INTX, 0, 1, 4);
	memcpy(&first, stand_in_last(&s, 0)->data, sizeof(first));
	assert_int_equal(first, -1);
	assert_int_equal(vfio_disable(v, INTX), 0);
	assert_ioctl(&s, 0, NONE | TRIGGER, INTX, 0, 0, 0);

	assert_int_equal(vfio_msi_enable(v, MSIX, sparse, 3, NULL), 0);
	assert_ioctl(&s, 0, EVENTFD | TRIGGER, MSIX, 0, 3, 12);
	memcpy(&first, stand_in_last(&s, 0)->data + 4, sizeof(first));
	assert_int_equal(first, -1);
	assert_int_equal(vfio_vectors(v), 3);
	assert_int_equal(vfio_msi_set(v, MSIX, 1, &fd[1], 1), 0);
	assert_ioctl(&s, 0, EVENTFD | TRIGGER, MSIX, 1, 1, 4);
	assert_int_equal(vfio_trigger(v, MSIX, 0, 3, which), 0);
	assert_ioctl(&s, 0, BOOL | TRIGGER, MSIX, 0, 3, 3);
	assert_int_equal(unread(fd[0]), 1);
	assert_int_equal(unread(fd[1]), 0);
	assert_int_equal(unread(fd[2]), 1);
	assert_int_equal(vfio_trigger(v, MSIX, 1, 2, NULL), 0);
	assert_int_equal(unread(fd[1]) + unread(fd[2]), 2);
	assert_int_equal(vfio_mask(v, MSIX, 0, 1, NULL), -ENOTTY);
	assert_int_equal(vfio_unmask(v, MSIX, 0, 1, NULL), -ENOTTY);
	assert_int_equal(vfio_disable(v, MSIX), 0);
	assert_ioctl(&s, 0, NONE | TRIGGER, MSIX, 0, 0, 0);

	for (uint32_t event = ERR; event <= REQ; event++) {
		assert_int_equal(vfio_event_set(v, event, fd[3]), 0);
		assert_ioctl(&s, 0, EVENTFD | TRIGGER, event, 0, 1, 4);
		stand_in_message(&s, event, 0);
		assert_int_equal(unread(fd[3]), 1);
		assert_int_equal(vfio_trigger(v, event, 0, 1, NULL), 0);
		assert_int_equal(unread(fd[3]), 1);
		assert_int_equal(vfio_event_set(v, event, -1), 0);
		stand_in_message(&s, event, 0);
		assert_int_equal(unread(fd[3]), 0);
	}
	assert_int_equal(vfio_close(v), 0);
	/* None of them was refused. */
	for (unsigned int i = 0; i < s.calls; i++)
		assert_int_equal(stand_in_last(&s, i)->ret, 0);
	stand_in_stop(&s);
	for (int i = 0; i < 4; i++)
		close(fd[i]);
}

/* Said to be wrong before VFIO is asked. */
static void refused_at_once(void **state)
{
	const uint32_t far[] = { 4, 5, UINT32_MAX - 1, UINT32_MAX };
	int fds[5] = { bell(), -1, -1, -1, -1 };
	struct vfio *v;

	(void)state;
	stand_in_start(&s, 4, 4);
	s.dynamic_msix = true;
	v = vfio_new(&s);
	assert_int_equal(vfio_intx_enable(v, -1, -1), -EBADF);
	assert_int_equal(vfio_intx_set_trigger(v, fds[0]), -EINVAL);
	assert_int_equal(vfio_intx_set_unmask(v, fds[0]), -EINVAL);
	assert_int_equal(vfio_msi_set(v, MSIX, 0, fds, 1), -EINVAL);
	assert_int_equal(vfio_msi_switch(v, MSIX, 0, fds[0]), -EINVAL);
	assert_int_equal(vfio_trigger(v, MSIX, 0, 1, NULL), -EINVAL);
	assert_int_equal(vfio_mask(v, INTX, 0, 1, NULL), -EINVAL);
	assert_int_equal(vfio_msi_enable(v, INTX, fds, 1, NULL), -EINVAL);
	assert_int_equal(vfio_msi_enable(v, MSIX, fds, 0, NULL), -EINVAL);
	assert_int_equal(vfio_msi_enable(v, MSIX, fds, 5, NULL), -EINVAL);
	assert_int_equal(vfio_event_set(v, MSIX, fds[0]), -EINVAL);
	assert_int_equal(vfio_disable(v, VFIO_PCI_NUM_IRQS), -EINVAL);
	assert_int_equal(s.calls, 0);

	assert_int_equal(vfio_msi_enable(v, MSIX, fds, 2, NULL), 0);
	assert_int_equal(s.calls, 1);
	assert_int_equal(vfio_msi_enable(v, MSIX, fds, 2, NULL), -EBUSY);
	assert_int_equal(vfio_msi_enable(v, MSI, fds, 2, NULL), -EBUSY);
	assert_int_equal(vfio_intx_enable(v, fds[0], -1), -EBUSY);
	assert_int_equal(vfio_msi_switch(v, MSIX, 2, fds[0]), -EINVAL);
	for (size_t i = 0; i < sizeof(far) / sizeof(far[0]); i++) {
		assert_int_equal(vfio_msi_set(v, MSIX, far[i], fds, 1), -EINVAL);
		assert_int_equal(vfio_msi_set(v, MSIX, 1, fds, far[i]), -EINVAL);
		assert_int_equal(vfio_msi_set(v, far[i] + 1, 0, fds, 1), -EINVAL);
		assert_int_equal(vfio_msi_switch(v, MSIX, far[i], -1), -EINVAL);
		assert_int_equal(vfio_trigger(v, MSIX, far[i], 1, NULL), -EINVAL);
		assert_int_equal(vfio_trigger(v, MSIX, 1, far[i], NULL), -EINVAL);
	}
	/* To VFIO this would be "disable". */
	assert_int_equal(vfio_trigger(v, MSIX, 0, 0, NULL), -EINVAL);
	assert_int_equal(vfio_msi_set(v, MSIX, 0, fds, 0), -EINVAL);
	assert_int_equal(vfio_disable(v, INTX), 0);
	assert_int_equal(s.calls, 1);
	assert_int_equal(vfio_enabled(v), MSIX);
	stand_in_message(&s, MSIX, 0);
	assert_int_equal(unread(fds[0]), 1);
	assert_int_equal(vfio_close(v), 0);
	stand_in_stop(&s);
	close(fds[0]);
}

/* What the stand-in must refuse, or the tests here would prove little. Said to it directly. */
static void the_stand_in_is_strict(void **state)
{
	static const struct {
		struct {
			uint32_t argsz, flags, index, start, count;
		} set;
		int error;
	} cases[] = {
		{ { 19, NONE | TRIGGER, INTX, 0, 0 }, EINVAL },
		{ { 20, NONE | TRIGGER | 1u << 6, INTX, 0, 0 }, EINVAL },
		{ { 20, NONE | TRIGGER, VFIO_PCI_NUM_IRQS, 0, 0 }, EINVAL },
		{ { 20, NONE | TRIGGER, INTX, 1, 0 }, EINVAL },
		{ { 20, NONE | TRIGGER, MSIX, 1, UINT32_MAX }, EINVAL },
		{ { 20, NONE | TRIGGER, MSIX, 3, 2 }, EINVAL },
		{ { 24, TRIGGER, INTX, 0, 1 }, EINVAL },
		{ { 24, NONE | EVENTFD | TRIGGER, INTX, 0, 1 }, EINVAL },
		{ { 23, EVENTFD | TRIGGER, INTX, 0, 1 }, EINVAL },
		{ { 27, EVENTFD | TRIGGER, MSIX, 0, 2 }, EINVAL },
		{ { 20, BOOL | TRIGGER, INTX, 0, 1 }, EINVAL },
		{ { 20, NONE, INTX, 0, 1 }, ENOTTY },
		{ { 20, NONE | MASK | UNMASK, INTX, 0, 1 }, ENOTTY },
		{ { 20, NONE | MASK, MSIX, 0, 1 }, ENOTTY },
		{ { 20, NONE | MASK, INTX, 0, 1 }, EINVAL },
		{ { 24, EVENTFD | UNMASK, INTX, 0, 1 }, EINVAL },
		{ { 20, NONE | TRIGGER, INTX, 0, 0 }, EINVAL },
		{ { 20, NONE | TRIGGER, MSIX, 0, 0 }, EINVAL },
		{ { 20, NONE | TRIGGER, REQ, 0, 0 }, EINVAL },
		{ { 20, BOOL | TRIGGER, REQ, 0, 0 }, EINVAL },
		{ { 20, EVENTFD | TRIGGER, REQ, 0, 0 }, EINVAL },
		{ { 24, EVENTFD | TRIGGER, REQ, 1, 1 }, EINVAL },
		{ { 28, EVENTFD | TRIGGER, REQ, 0, 2 }, EINVAL },
		{ { 20, NONE | MASK, REQ, 0, 1 }, ENOTTY },
		{ { 24, EVENTFD | MASK, ERR, 0, 1 }, ENOTTY },
	};

	(void)state;
	stand_in_start(&s, 0, 4);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint32_t room[16] = { 0 };

		memcpy(room, &cases[i].set, sizeof(cases[i].set));
		errno = 0;
		assert_int_equal(stand_in_ioctl(&s, -1, VFIO_DEVICE_SET_IRQS, room), -1);
		assert_int_equal(errno, cases[i].error);
	}
	stand_in_stop(&s);
}

static void descriptors_that_are_none(void **state)
{
	int fd = bell(), good[3] = { fd, fd, fd }, pipes[2];
	unsigned int before;
	struct vfio *v;

	(void)state;
	assert_int_equal(pipe(pipes), 0);
	stand_in_start(&s, 4, 8);
	v = vfio_new(&s);
	before = descriptors();
	for (int k = 0; k < 3; k++) {
		const int bad[] = { -2, 9999, pipes[0] }, error[] = { -EBADF, -EBADF, -EINVAL };

		for (int b = 0; b < 3; b++) {
			int fds[3] = { fd, fd, fd };

			fds[k] = bad[b];
			assert_int_equal(vfio_msi_enable(v, MSIX, fds, 3, NULL), error[b]);
			assert_int_equal(vfio_enabled(v), -1);
			assert_int_equal(s.type, -1);
			assert_int_equal(vfio_event_set(v, REQ, bad[b]), error[b]);
			assert_int_equal(vfio_intx_enable(v, fd, bad[b]),
					 bad[b] == -2 && error[b] ? -EBADF : error[b]);
			assert_int_equal(s.type, -1);
		}
	}
	assert_int_equal(descriptors(), before);
	assert_int_equal(vfio_msi_enable(v, MSIX, good, 3, NULL), 0);
	assert_int_equal(vfio_close(v), 0);
	assert_int_equal(descriptors(), before);
	stand_in_stop(&s);
	close(pipes[0]);
	close(pipes[1]);
	close(fd);
}

/* The k-th of n bindings fails: all that were there before still reach whom they reached. */
static void the_kth_of_n_fails(void **state)
{
	enum { N = 5 };
	int old[N], new[N];
	unsigned int open;
	struct vfio *v;

	(void)state;
	for (int i = 0; i < N; i++) {
		old[i] = bell();
		new[i] = bell();
	}
	for (int k = 1; k <= N; k++) {
		stand_in_start(&s, 0, 8);
		v = vfio_new(&s);
		open = descriptors();
		s.fail_bind = k;
		s.fail_bind_with = -ENOMEM;
		assert_int_equal(vfio_msi_enable(v, MSIX, old, N, NULL), -ENOMEM);
		assert_int_equal(vfio_enabled(v), -1);
		assert_int_equal(s.type, -1);
		assert_int_equal(descriptors(), open);

		assert_int_equal(vfio_msi_enable(v, MSIX, old, N, NULL), 0);
		open = descriptors();
		s.fail_bind = k;
		assert_int_equal(vfio_msi_set(v, MSIX, 0, new, N), -ENOMEM);
		assert_int_equal(vfio_vectors(v), N);
		assert_int_equal(descriptors(), open);
		for (uint32_t i = 0; i < N; i++) {
			/* Rung once, for what may have come while they were away. */
			assert_int_equal(unread(old[i]), 1);
			stand_in_message(&s, MSIX, i);
			assert_int_equal(unread(old[i]), 1);
			assert_int_equal(unread(new[i]), 0);
		}
		/* And it is not in the way of the next. */
		assert_int_equal(vfio_msi_set(v, MSIX, 0, new, N), 0);
		stand_in_message(&s, MSIX, 0);
		assert_int_equal(unread(new[0]), 1);
		assert_int_equal(vfio_close(v), 0);
		stand_in_stop(&s);
	}
	for (int i = 0; i < N; i++) {
		close(old[i]);
		close(new[i]);
	}
}

/* The k-th SET_IRQS of each operation fails. It either leaves all as it was or says that it could not. */
static void the_kth_ioctl_fails(void **state)
{
	int a = bell(), b = bell(), c = bell();

	(void)state;
	for (int k = 1; k <= 6; k++) {
		for (int more = 0; more < 3; more++) {
			struct vfio *v;
			int ret, fds[2] = { a, b };

			stand_in_start(&s, 0, 8);
			v = vfio_new(&s);
			assert_int_equal(vfio_msi_enable(v, MSIX, fds, 2, NULL), 0);
			s.fail_call = k;
			s.fail_call_with = -EIO;
			s.fail_call_for = more;
			ret = vfio_msi_set(v, MSIX, 3, &c, 1);
			s.fail_call = 0;
			unread(a);
			unread(b);
			unread(c);
			stand_in_message(&s, MSIX, 0);
			stand_in_message(&s, MSIX, 3);
			if (ret == -ENOTRECOVERABLE) {
				assert_int_equal(vfio_enabled(v), -1);
				assert_int_equal(s.type, -1);
				assert_int_equal(unread(a) + unread(c), 0);
			} else {
				assert_int_equal(unread(a), 1);
				assert_int_equal(unread(c), ret ? 0 : 1);
				assert_int_equal(vfio_vectors(v), ret ? 2 : 4);
				assert_true(!ret || ret == -EIO);
			}
			/* Tear-down first, set-up second: those two are what must work. */
			assert_int_equal(ret == -ENOTRECOVERABLE, k == 2 && more > 0);
			assert_int_equal(vfio_close(v), 0);
			stand_in_stop(&s);
		}
	}
	close(a);
	close(b);
	close(c);
}

/* It takes neither the new nor the old, and will not be disabled either. */
static void not_recoverable(void **state)
{
	int a = bell(), b = bell();
	struct vfio *v;

	(void)state;
	for (int more = 1; more <= 2; more++) {
		stand_in_start(&s, 0, 8);
		v = vfio_new(&s);
		assert_int_equal(vfio_msi_enable(v, MSIX, &a, 1, NULL), 0);
		s.fail_call = 1;
		s.fail_call_with = -EIO;
		s.fail_call_for = more;
		assert_int_equal(vfio_msi_set(v, MSIX, 0, &b, 1), -ENOTRECOVERABLE);
		s.fail_call = 0;
		assert_int_equal(s.type, more == 1 ? -1 : (int)MSIX);
		assert_int_equal(vfio_msi_enable(v, MSIX, &a, 1, NULL),
				 more == 1 ? 0 : -ENOTRECOVERABLE);
		assert_int_equal(vfio_disable_all(v), more == 1 ? 0 : -ENOTRECOVERABLE);
		assert_int_equal(vfio_close(v), more == 1 ? 0 : -ENOTRECOVERABLE);
		stand_in_stop(&s);
	}
	close(a);
	close(b);
}

static void disabling_fails(void **state)
{
	int a = bell();
	struct vfio *v;

	(void)state;
	stand_in_start(&s, 0, 8);
	v = vfio_new(&s);
	assert_int_equal(vfio_msi_enable(v, MSIX, &a, 1, NULL), 0);
	s.fail_call = 1;
	s.fail_call_with = -EIO;
	assert_int_equal(vfio_disable(v, MSIX), -EIO);
	assert_int_equal(vfio_enabled(v), MSIX);
	stand_in_message(&s, MSIX, 0);
	assert_int_equal(unread(a), 1);
	assert_int_equal(vfio_disable(v, MSIX), 0);
	assert_int_equal(vfio_close(v), 0);
	stand_in_stop(&s);
	close(a);
}

/* The caller's descriptors may be closed, and their numbers mean something else by now. */
static void the_caller_closes(void **state)
{
	int fd[2] = { bell(), bell() }, watch[2] = { dup(fd[0]), dup(fd[1]) }, extra, other;
	struct vfio *v;

	(void)state;
	stand_in_start(&s, 0, 8);
	v = vfio_new(&s);
	assert_int_equal(vfio_msi_enable(v, MSIX, fd, 2, NULL), 0);
	close(fd[0]);
	other = bell();
	assert_int_equal(other, fd[0]);
	extra = bell();
	assert_int_equal(vfio_msi_set(v, MSIX, 2, &extra, 1), 0);
	unread(watch[0]);
	stand_in_message(&s, MSIX, 0);
	assert_int_equal(unread(watch[0]), 1);
	assert_int_equal(unread(other), 0);
	assert_int_equal(vfio_close(v), 0);
	stand_in_stop(&s);
	close(other);
	close(fd[1]);
	close(extra);
	close(watch[0]);
	close(watch[1]);
}

/* ioctl(2) itself, on what is no VFIO device. */
static void the_real_ioctl(void **state)
{
	struct vfio *v;
	int fd = bell();

	(void)state;
	assert_int_equal(vfio_open(fd, NULL, &v), -ENOTTY);
	assert_int_equal(vfio_open(-1, NULL, &v), -EBADF);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_there_is),
		cmocka_unit_test(what_there_is_not),
		cmocka_unit_test(every_ioctl),
		cmocka_unit_test(refused_at_once),
		cmocka_unit_test(the_stand_in_is_strict),
		cmocka_unit_test(descriptors_that_are_none),
		cmocka_unit_test(the_kth_of_n_fails),
		cmocka_unit_test(the_kth_ioctl_fails),
		cmocka_unit_test(not_recoverable),
		cmocka_unit_test(disabling_fails),
		cmocka_unit_test(the_caller_closes),
		cmocka_unit_test(the_real_ioctl),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
