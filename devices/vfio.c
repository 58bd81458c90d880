// SPDX-License-Identifier: MIT
#include "vfio_irqs.h"

#include <errno.h>
#include <stdlib.h>

static const uint32_t count_max[VFIO_PCI_NUM_IRQS] = {
	[VFIO_PCI_INTX_IRQ_INDEX] = 1,
	[VFIO_PCI_MSI_IRQ_INDEX] = VFIO_MSI_MAX,
	[VFIO_PCI_MSIX_IRQ_INDEX] = VFIO_MSIX_MAX,
	[VFIO_PCI_ERR_IRQ_INDEX] = 1,
	[VFIO_PCI_REQ_IRQ_INDEX] = 1,
};

/* Up to the last member that every kernel has. */
#define DEVICE_INFO_MIN offsetof(struct vfio_device_info, cap_offset)

static int ask_device(struct vfio *vfio)
{
	struct vfio_device_info info = { .argsz = sizeof(info) };
	int ret = vfio_call(vfio, VFIO_DEVICE_GET_INFO, &info);

	if (ret)
		return ret < 0 ? ret : -EPROTO;
	if (info.argsz < DEVICE_INFO_MIN)
		return -EPROTO;
	if (!(info.flags & VFIO_DEVICE_FLAGS_PCI))
		return -ENODEV;
	/* Indexes past these are others' business; those that are missing stay empty. */
	return info.num_irqs < VFIO_PCI_NUM_IRQS ? (int)info.num_irqs : VFIO_PCI_NUM_IRQS;
}

static int ask_index(struct vfio *vfio, uint32_t index)
{
	struct vfio_irq_info info = { .argsz = sizeof(info), .index = index };
	int ret = vfio_call(vfio, VFIO_DEVICE_GET_IRQ_INFO, &info);

	/* As vfio-pci says of ERR where the device is not PCI Express. */
	if (ret == -EINVAL)
		return 0;
	if (ret)
		return ret < 0 ? ret : -EPROTO;
	if (info.argsz < sizeof(info) || info.index != index || info.count > count_max[index])
		return -EPROTO;
	vfio->kind[index] = (struct vfio_kind){ .count = info.count, .flags = info.flags };
	return 0;
}

int vfio_open(int device_fd, const struct vfio_options *options, struct vfio **out)
{
	struct vfio *vfio = calloc(1, sizeof(*vfio));
	int *slot, indexes, ret = 0;

	if (!vfio)
		return -ENOMEM;
	vfio->fd = device_fd;
	vfio->type = VFIO_NONE;
	vfio->unmask = -1;
	if (options)
		vfio->options = *options;
	for (size_t i = 0; i < VFIO_SLOTS; i++)
		vfio->slots[i] = -1;
	slot = vfio->slots;
	for (int i = 0; i < VFIO_PCI_NUM_IRQS; i++) {
		vfio->trigger[i] = slot;
		slot += count_max[i];
	}
	indexes = ask_device(vfio);
	if (indexes < 0)
		ret = indexes;
	for (int i = 0; i < indexes && !ret; i++)
		ret = ask_index(vfio, (uint32_t)i);
	if (ret) {
		free(vfio);
		return ret;
	}
	pthread_mutex_init(&vfio->lock, NULL);
	*out = vfio;
	return 0;
}

int vfio_close(struct vfio *vfio)
{
	int ret;

	if (!vfio)
		return 0;
	ret = vfio_disable_all(vfio);
	for (uint32_t i = 0; i < VFIO_PCI_NUM_IRQS; i++)
		vfio_forget(vfio, i);
	pthread_mutex_destroy(&vfio->lock);
	free(vfio);
	return ret;
}

int vfio_kind(const struct vfio *vfio, uint32_t index, struct vfio_kind *kind)
{
	if (index >= VFIO_PCI_NUM_IRQS)
		return -EINVAL;
	*kind = vfio->kind[index];
	return 0;
}

int vfio_enabled(struct vfio *vfio)
{
	int type;

	pthread_mutex_lock(&vfio->lock);
	type = vfio->type;
	pthread_mutex_unlock(&vfio->lock);
	return type;
}

uint32_t vfio_vectors(struct vfio *vfio)
{
	uint32_t n;

	pthread_mutex_lock(&vfio->lock);
	n = vfio->n;
	pthread_mutex_unlock(&vfio->lock);
	return n;
}

static bool is_on(const struct vfio *vfio, uint32_t index)
{
	return vfio->type == (int)index ||
	       (index >= VFIO_PCI_ERR_IRQ_INDEX && vfio->trigger[index][0] >= 0);
}

int vfio_disable(struct vfio *vfio, uint32_t index)
{
	int ret;

	if (index >= VFIO_PCI_NUM_IRQS)
		return -EINVAL;
	ret = vfio_begin(vfio);
	if (ret)
		return ret;
	return vfio_end(vfio, is_on(vfio, index) ? vfio_turn_off(vfio, index) : 0);
}

int vfio_disable_all(struct vfio *vfio)
{
	int first = 0;

	for (uint32_t i = 0; i < VFIO_PCI_NUM_IRQS; i++) {
		int ret = vfio_disable(vfio, i);

		if (!first)
			first = ret;
	}
	return first;
}

int vfio_event_set(struct vfio *vfio, uint32_t index, int fd)
{
	int mine, ret;

	if (index < VFIO_PCI_ERR_IRQ_INDEX || !vfio_has(vfio, index, 0, 1))
		return -EINVAL;
	if (!(vfio->kind[index].flags & VFIO_IRQ_INFO_EVENTFD))
		return -EOPNOTSUPP;
	ret = vfio_begin(vfio);
	if (ret)
		return ret;
	ret = vfio_duplicate(fd, &mine);
	/* VFIO looks at the descriptor first, and then exchanges. */
	if (!ret)
		ret = vfio_set_one(vfio, VFIO_IRQ_SET_ACTION_TRIGGER, index, mine);
	if (!ret) {
		int old = vfio->trigger[index][0];

		vfio->trigger[index][0] = mine;
		mine = old;
	}
	vfio_release(&mine);
	return vfio_end(vfio, ret);
}

static int act(struct vfio *vfio, uint32_t action, uint32_t index, uint32_t start, uint32_t count,
	       const uint8_t *which)
{
	int ret;

	if (!vfio_has(vfio, index, start, count))
		return -EINVAL;
	if (action != VFIO_IRQ_SET_ACTION_TRIGGER &&
	    !(vfio->kind[index].flags & VFIO_IRQ_INFO_MASKABLE))
		return -ENOTTY;
	ret = vfio_begin(vfio);
	if (ret)
		return ret;
	if (!is_on(vfio, index))
		ret = -EINVAL;
	else if (which)
		ret = vfio_set_bools(vfio, action, index, start, which, count);
	else
		ret = vfio_set_none(vfio, action, index, start, count);
	if (!ret && index == VFIO_PCI_INTX_IRQ_INDEX && action != VFIO_IRQ_SET_ACTION_TRIGGER &&
	    (!which || which[0]))
		vfio->intx_masked = action == VFIO_IRQ_SET_ACTION_MASK;
	return vfio_end(vfio, ret);
}

int vfio_mask(struct vfio *vfio, uint32_t index, uint32_t start, uint32_t count,
	      const uint8_t *which)
{
	return act(vfio, VFIO_IRQ_SET_ACTION_MASK, index, start, count, which);
}

int vfio_unmask(struct vfio *vfio, uint32_t index, uint32_t start, uint32_t count,
		const uint8_t *which)
{
	return act(vfio, VFIO_IRQ_SET_ACTION_UNMASK, index, start, count, which);
}

int vfio_trigger(struct vfio *vfio, uint32_t index, uint32_t start, uint32_t count,
		 const uint8_t *which)
{
	return act(vfio, VFIO_IRQ_SET_ACTION_TRIGGER, index, start, count, which);
}
