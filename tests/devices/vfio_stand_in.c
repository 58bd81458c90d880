// SPDX-License-Identifier: MIT
/* The ioctls. Each step returns 0, -errno, or (too many vectors) a positive number. */
#include "vfio_stand_in.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define INTX	   VFIO_PCI_INTX_IRQ_INDEX
#define MSI	   VFIO_PCI_MSI_IRQ_INDEX
#define MSIX	   VFIO_PCI_MSIX_IRQ_INDEX
#define ERR	   VFIO_PCI_ERR_IRQ_INDEX
#define REQ	   VFIO_PCI_REQ_IRQ_INDEX
#define NO_TYPE	   (-1)

#define KNOWN	   (VFIO_IRQ_SET_DATA_TYPE_MASK | VFIO_IRQ_SET_ACTION_TYPE_MASK)
#define SET_MIN	   offsetof(struct vfio_irq_set, data)
#define DEVICE_MIN offsetof(struct vfio_device_info, cap_offset)

struct request {
	uint32_t flags, index, start, count;
	const uint8_t *data;
};

static int hold(struct stand_in *s, int fd, int *out)
{
	char link[32], what[32] = "";

	if (s->fail_bind && --s->fail_bind == 0)
		return s->fail_bind_with;
	*out = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (*out < 0)
		return -EBADF;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", *out);
	if (readlink(link, what, sizeof(what) - 1) > 0 && !strcmp(what, "anon_inode:[eventfd]"))
		return 0;
	close(*out);
	return -EINVAL;
}

static void let_go(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static int fd_of(const struct request *r, uint32_t i)
{
	int32_t fd;

	memcpy(&fd, r->data + i * sizeof(fd), sizeof(fd));
	return fd;
}

/* DATA_NONE or DATA_BOOL: is interrupt i meant? */
static bool meant(const struct request *r, uint32_t i)
{
	return r->flags & VFIO_IRQ_SET_DATA_NONE || r->data[i];
}

static bool disables(const struct request *r)
{
	return !r->count && r->flags & VFIO_IRQ_SET_DATA_NONE;
}

/* The line, with the irqlock held but for hold(). */

static int intx_disable(struct stand_in *s)
{
	stand_in_watch(s, -1);
	pthread_mutex_lock(&s->irqlock);
	s->type = NO_TYPE;
	s->masked = false;
	let_go(&s->trigger[INTX][0]);
	pthread_mutex_unlock(&s->irqlock);
	return 0;
}

static int intx_eventfd(struct stand_in *s, int fd)
{
	int held = -1, old, ret = fd >= 0 ? hold(s, fd, &held) : 0;

	if (ret)
		return ret;
	pthread_mutex_lock(&s->irqlock);
	old = s->trigger[INTX][0];
	s->trigger[INTX][0] = held;
	s->type = INTX;
	stand_in_raise_locked(s);
	pthread_mutex_unlock(&s->irqlock);
	let_go(&old);
	return 0;
}

static int intx_trigger(struct stand_in *s, const struct request *r)
{
	bool on = s->type == INTX;

	if (on && disables(r))
		return intx_disable(s);
	if ((!on && s->type != NO_TYPE) || r->start || r->count != 1)
		return -EINVAL;
	if (r->flags & VFIO_IRQ_SET_DATA_EVENTFD)
		return intx_eventfd(s, fd_of(r, 0));
	if (!on)
		return -EINVAL;
	pthread_mutex_lock(&s->irqlock);
	if (meant(r, 0))
		stand_in_signal(s, s->trigger[INTX][0]);
	pthread_mutex_unlock(&s->irqlock);
	return 0;
}

static int intx_unmask_eventfd(struct stand_in *s, int fd)
{
	int held, ret;

	if (fd < 0) {
		stand_in_watch(s, -1);
		return 0;
	}
	ret = hold(s, fd, &held);
	if (ret)
		return ret;
	if (s->unmask >= 0) {
		close(held);
		return -EBUSY;
	}
	stand_in_watch(s, held);
	return 0;
}

static int intx_mask(struct stand_in *s, const struct request *r)
{
	bool unmask = r->flags & VFIO_IRQ_SET_ACTION_UNMASK;

	if (s->type != INTX || r->start || r->count != 1)
		return -EINVAL;
	if (r->flags & VFIO_IRQ_SET_DATA_EVENTFD)
		return unmask ? intx_unmask_eventfd(s, fd_of(r, 0)) : -ENOTTY;
	if (!meant(r, 0))
		return 0;
	pthread_mutex_lock(&s->irqlock);
	if (unmask)
		stand_in_unmask_locked(s);
	else
		stand_in_mask_locked(s);
	pthread_mutex_unlock(&s->irqlock);
	return 0;
}

/* Messages. */

static int msi_disable(struct stand_in *s)
{
	pthread_mutex_lock(&s->irqlock);
	for (uint32_t v = 0; v < s->count[s->type]; v++)
		let_go(&s->trigger[s->type][v]);
	memset(s->pending, 0, sizeof(s->pending));
	s->type = NO_TYPE;
	s->n = 0;
	pthread_mutex_unlock(&s->irqlock);
	return 0;
}

static int msi_bind(struct stand_in *s, uint32_t index, uint32_t vector, int fd)
{
	int held = -1, ret = 0;

	pthread_mutex_lock(&s->irqlock);
	let_go(&s->trigger[index][vector]);
	if (fd >= 0)
		ret = hold(s, fd, &held);
	if (!ret && held >= 0 && vector >= s->n && !(index == MSIX && s->dynamic_msix)) {
		let_go(&held);
		ret = -EINVAL;
	}
	s->trigger[index][vector] = ret ? -1 : held;
	if (!ret && held >= 0 && s->pending[vector]) {
		s->pending[vector] = false;
		stand_in_signal(s, held);
	}
	pthread_mutex_unlock(&s->irqlock);
	return ret;
}

static int msi_bind_range(struct stand_in *s, const struct request *r)
{
	for (uint32_t i = 0; i < r->count; i++) {
		int ret = msi_bind(s, r->index, r->start + i, fd_of(r, i));

		if (!ret)
			continue;
		while (i--)
			msi_bind(s, r->index, r->start + i, -1);
		return ret;
	}
	return 0;
}

static int msi_eventfds(struct stand_in *s, const struct request *r)
{
	int ret;

	if (s->type == (int)r->index)
		return msi_bind_range(s, r);
	if (s->available && r->start + r->count > s->available)
		return (int)s->available;
	pthread_mutex_lock(&s->irqlock);
	s->type = (int)r->index;
	s->n = r->start + r->count;
	pthread_mutex_unlock(&s->irqlock);
	ret = msi_bind_range(s, r);
	if (ret)
		msi_disable(s);
	return ret;
}

static int msi_trigger(struct stand_in *s, const struct request *r)
{
	bool on = s->type == (int)r->index;

	if (on && disables(r))
		return msi_disable(s);
	if (!on && s->type != NO_TYPE)
		return -EINVAL;
	if (r->flags & VFIO_IRQ_SET_DATA_EVENTFD)
		return r->count ? msi_eventfds(s, r) : -EINVAL;
	if (!on)
		return -EINVAL;
	pthread_mutex_lock(&s->irqlock);
	for (uint32_t i = 0; i < r->count; i++)
		if (meant(r, i))
			stand_in_signal(s, s->trigger[r->index][r->start + i]);
	pthread_mutex_unlock(&s->irqlock);
	return 0;
}

/* ERR and REQ. */

static int event_trigger(struct stand_in *s, const struct request *r)
{
	int *held = &s->trigger[r->index][0], fd = -1, ret = 0;

	if (r->start || r->count > 1 || (!r->count && !(r->flags & VFIO_IRQ_SET_DATA_NONE)))
		return -EINVAL;
	if (r->flags & VFIO_IRQ_SET_DATA_EVENTFD) {
		if (fd_of(r, 0) >= 0)
			ret = hold(s, fd_of(r, 0), &fd);
		if (ret)
			return ret;
	} else if (*held < 0) {
		/* Told that perhaps it did, it does not mind. */
		return r->flags & VFIO_IRQ_SET_DATA_BOOL ? 0 : -EINVAL;
	}
	pthread_mutex_lock(&s->irqlock);
	if (r->flags & VFIO_IRQ_SET_DATA_EVENTFD || disables(r)) {
		let_go(held);
		*held = fd;
	} else if (meant(r, 0)) {
		stand_in_signal(s, *held);
	}
	pthread_mutex_unlock(&s->irqlock);
	return 0;
}

static int act(struct stand_in *s, const struct request *r)
{
	switch (r->flags & VFIO_IRQ_SET_ACTION_TYPE_MASK) {
	case VFIO_IRQ_SET_ACTION_TRIGGER:
		if (r->index == INTX)
			return intx_trigger(s, r);
		return r->index == MSI || r->index == MSIX ? msi_trigger(s, r)
							   : event_trigger(s, r);
	case VFIO_IRQ_SET_ACTION_MASK:
	case VFIO_IRQ_SET_ACTION_UNMASK:
		return r->index == INTX ? intx_mask(s, r) : -ENOTTY;
	default:
		return -ENOTTY;
	}
}

static int check_set(const struct stand_in *s, const struct vfio_irq_set *set)
{
	uint64_t size;

	if (set->argsz < SET_MIN || set->flags & ~(uint32_t)KNOWN ||
	    set->index >= VFIO_PCI_NUM_IRQS)
		return -EINVAL;
	if (set->start >= s->count[set->index] || set->count > s->count[set->index] - set->start)
		return -EINVAL;
	switch (set->flags & VFIO_IRQ_SET_DATA_TYPE_MASK) {
	case VFIO_IRQ_SET_DATA_NONE:
		size = 0;
		break;
	case VFIO_IRQ_SET_DATA_BOOL:
		size = 1;
		break;
	case VFIO_IRQ_SET_DATA_EVENTFD:
		size = sizeof(int32_t);
		break;
	default:
		return -EINVAL;
	}
	return set->argsz - SET_MIN < set->count * size ? -EINVAL : 0;
}

static int injected(struct stand_in *s)
{
	if (!s->fail_call || --s->fail_call)
		return 0;
	if (s->fail_call_for-- > 0)
		s->fail_call = 1;
	return s->fail_call_with;
}

static int set_irqs(struct stand_in *s, const struct vfio_irq_set *set)
{
	struct stand_in_call *call = &s->call[s->calls++ % STAND_IN_CALLS];
	struct request r = { .flags = set->flags,
			     .index = set->index,
			     .start = set->start,
			     .count = set->count,
			     .data = set->data };
	int ret = check_set(s, set);

	*call = (struct stand_in_call){ .argsz = set->argsz,
					.flags = set->flags,
					.index = set->index,
					.start = set->start,
					.count = set->count };
	if (!ret) {
		size_t size = set->argsz - SET_MIN;

		memcpy(call->data, set->data,
		       size < sizeof(call->data) ? size : sizeof(call->data));
		ret = injected(s);
	}
	if (!ret)
		ret = act(s, &r);
	call->ret = ret;
	return ret;
}

static int irq_info(struct stand_in *s, struct vfio_irq_info *info)
{
	if (info->argsz < sizeof(*info) || info->index >= VFIO_PCI_NUM_IRQS ||
	    (info->index == ERR && !s->count[ERR]))
		return -EINVAL;
	info->count = s->count[info->index];
	info->flags = VFIO_IRQ_INFO_EVENTFD;
	if (info->index == INTX)
		info->flags |= VFIO_IRQ_INFO_MASKABLE | VFIO_IRQ_INFO_AUTOMASKED;
	else if (info->index != MSIX || !s->dynamic_msix)
		info->flags |= VFIO_IRQ_INFO_NORESIZE;
	return 0;
}

static int device_info(struct vfio_device_info *info)
{
	if (info->argsz < DEVICE_MIN)
		return -EINVAL;
	info->flags = VFIO_DEVICE_FLAGS_PCI | VFIO_DEVICE_FLAGS_RESET;
	info->num_regions = VFIO_PCI_NUM_REGIONS;
	info->num_irqs = VFIO_PCI_NUM_IRQS;
	return 0;
}

int stand_in_ioctl(void *opaque, int fd, unsigned long request, void *argument)
{
	struct stand_in *s = opaque;
	int ret;

	(void)fd;
	pthread_mutex_lock(&s->igate);
	if (request == VFIO_DEVICE_GET_INFO)
		ret = device_info(argument);
	else if (request == VFIO_DEVICE_GET_IRQ_INFO)
		ret = irq_info(s, argument);
	else if (request == VFIO_DEVICE_SET_IRQS)
		ret = set_irqs(s, argument);
	else
		ret = -ENOTTY;
	if (s->after)
		ret = s->after(s, request, argument, ret);
	pthread_mutex_unlock(&s->igate);
	if (ret >= 0)
		return ret;
	errno = -ret;
	return -1;
}

const struct stand_in_call *stand_in_last(struct stand_in *s, unsigned int before)
{
	return &s->call[(s->calls - 1 - before) % STAND_IN_CALLS];
}
