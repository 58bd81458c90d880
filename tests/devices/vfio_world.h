/* SPDX-License-Identifier: MIT */
/* An adapter on a stand-in. Include after cmocka.h. */
#ifndef TESTS_DEVICES_VFIO_WORLD_H
#define TESTS_DEVICES_VFIO_WORLD_H

#include <sys/eventfd.h>
#include <unistd.h>

#include "vfio.h"
#include "vfio_stand_in.h"

#define INTX	VFIO_PCI_INTX_IRQ_INDEX
#define MSI	VFIO_PCI_MSI_IRQ_INDEX
#define MSIX	VFIO_PCI_MSIX_IRQ_INDEX
#define ERR	VFIO_PCI_ERR_IRQ_INDEX
#define REQ	VFIO_PCI_REQ_IRQ_INDEX

#define NONE	VFIO_IRQ_SET_DATA_NONE
#define BOOL	VFIO_IRQ_SET_DATA_BOOL
#define EVENTFD VFIO_IRQ_SET_DATA_EVENTFD
#define MASK	VFIO_IRQ_SET_ACTION_MASK
#define UNMASK	VFIO_IRQ_SET_ACTION_UNMASK
#define TRIGGER VFIO_IRQ_SET_ACTION_TRIGGER

static inline struct vfio *vfio_new(struct stand_in *s)
{
	struct vfio_options options = { .ioctl = stand_in_ioctl, .opaque = s };
	struct vfio *vfio = NULL;

	assert_int_equal(vfio_open(-1, &options, &vfio), 0);
	assert_non_null(vfio);
	return vfio;
}

static inline int bell(void)
{
	int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

static inline uint64_t unread(int fd)
{
	uint64_t n = 0;

	return read(fd, &n, sizeof(n)) == sizeof(n) ? n : 0;
}

#define assert_ioctl(s, before, w_flags, w_index, w_start, w_count, w_size) \
	do {                                                                \
		const struct stand_in_call *c_ = stand_in_last(s, before);  \
		assert_int_equal(c_->flags, w_flags);                       \
		assert_int_equal(c_->index, w_index);                       \
		assert_int_equal(c_->start, w_start);                       \
		assert_int_equal(c_->count, w_count);                       \
		assert_int_equal(c_->argsz, 20 + (w_size));                 \
	} while (0)

#endif
