// SPDX-License-Identifier: MIT
#include "vfio_irqs.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

#define IRQ_SET_MIN offsetof(struct vfio_irq_set, data)

int vfio_call(const struct vfio *vfio, unsigned long request, void *argument)
{
	int ret;

	if (vfio->options.ioctl)
		ret = vfio->options.ioctl(vfio->options.opaque, vfio->fd, request, argument);
	else
		ret = ioctl(vfio->fd, request, argument);
	if (ret >= 0)
		return ret;
	return errno > 0 ? -errno : -EPROTO;
}

int vfio_begin(struct vfio *vfio)
{
	pthread_mutex_lock(&vfio->lock);
	return vfio->lost ? vfio_end(vfio, -ENOTRECOVERABLE) : 0;
}

int vfio_end(struct vfio *vfio, int ret)
{
	pthread_mutex_unlock(&vfio->lock);
	return ret;
}

bool vfio_has(const struct vfio *vfio, uint32_t index, uint32_t start, uint32_t count)
{
	uint32_t all;

	if (index >= VFIO_PCI_NUM_IRQS)
		return false;
	all = vfio->kind[index].count;
	return count && start < all && count <= all - start;
}

static int set_irqs(struct vfio *vfio, uint32_t flags, uint32_t index, uint32_t start,
		    uint32_t count, const void *data, size_t size)
{
	struct vfio_irq_set head = { .argsz = (uint32_t)(IRQ_SET_MIN + size),
				     .flags = flags,
				     .index = index,
				     .start = start,
				     .count = count };

	if (size > sizeof(vfio->set) - IRQ_SET_MIN)
		return -EINVAL;
	memcpy(vfio->set, &head, IRQ_SET_MIN);
	if (size)
		memcpy((char *)vfio->set + IRQ_SET_MIN, data, size);
	return vfio_call(vfio, VFIO_DEVICE_SET_IRQS, vfio->set);
}

int vfio_set_eventfds(struct vfio *vfio, uint32_t action, uint32_t index, uint32_t start,
		      const int *fds, uint32_t count)
{
	return set_irqs(vfio, VFIO_IRQ_SET_DATA_EVENTFD | action, index, start, count, fds,
			(size_t)count * sizeof(int32_t));
}

static int exactly(int ret)
{
	return ret > 0 ? -EPROTO : ret;
}

int vfio_set_bools(struct vfio *vfio, uint32_t action, uint32_t index, uint32_t start,
		   const uint8_t *which, uint32_t count)
{
	return exactly(
		set_irqs(vfio, VFIO_IRQ_SET_DATA_BOOL | action, index, start, count, which, count));
}

int vfio_set_none(struct vfio *vfio, uint32_t action, uint32_t index, uint32_t start,
		  uint32_t count)
{
	return exactly(
		set_irqs(vfio, VFIO_IRQ_SET_DATA_NONE | action, index, start, count, NULL, 0));
}

int vfio_set_one(struct vfio *vfio, uint32_t action, uint32_t index, int fd)
{
	return exactly(vfio_set_eventfds(vfio, action, index, 0, &fd, 1));
}

int vfio_duplicate(int fd, int *out)
{
	*out = -1;
	if (fd == -1)
		return 0;
	*out = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	return *out < 0 ? -errno : 0;
}

void vfio_release(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

uint64_t vfio_take_count(int fd)
{
	uint64_t n = 0;
	struct iovec iov = { .iov_base = &n, .iov_len = sizeof(n) };

	/* Not by O_NONBLOCK, which any other holder may have cleared. */
	return preadv2(fd, &iov, 1, -1, RWF_NOWAIT) == sizeof(n) ? n : 0;
}

void vfio_forget(struct vfio *vfio, uint32_t index)
{
	for (uint32_t i = 0; i < vfio->kind[index].count; i++)
		vfio_release(&vfio->trigger[index][i]);
	if (index == VFIO_PCI_INTX_IRQ_INDEX) {
		vfio_release(&vfio->unmask);
		vfio->intx_masked = false;
	}
	if (vfio->type == (int)index) {
		vfio->type = VFIO_NONE;
		vfio->n = 0;
	}
}

int vfio_turn_off(struct vfio *vfio, uint32_t index)
{
	int ret = vfio_set_none(vfio, VFIO_IRQ_SET_ACTION_TRIGGER, index, 0, 0);

	if (!ret)
		vfio_forget(vfio, index);
	return ret;
}

int vfio_give_up(struct vfio *vfio, uint32_t index)
{
	if (vfio->type == (int)index && vfio_turn_off(vfio, index) < 0)
		vfio->lost = true;
	vfio_forget(vfio, index);
	return -ENOTRECOVERABLE;
}
