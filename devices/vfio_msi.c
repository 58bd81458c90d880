// SPDX-License-Identifier: MIT
#include "vfio_irqs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MSI	VFIO_PCI_MSI_IRQ_INDEX
#define MSIX	VFIO_PCI_MSIX_IRQ_INDEX
#define TRIGGER VFIO_IRQ_SET_ACTION_TRIGGER

static bool is_msi(uint32_t index)
{
	return index == MSI || index == MSIX;
}

static void release_all(int *fds, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		vfio_release(&fds[i]);
	free(fds);
}

static int duplicate_all(const int *fds, uint32_t n, int **out)
{
	int *mine = malloc(n * sizeof(*mine)), ret = 0;
	uint32_t i;

	if (!mine)
		return -ENOMEM;
	for (i = 0; i < n && !ret; i++)
		ret = vfio_duplicate(fds[i], &mine[i]);
	if (ret)
		release_all(mine, i);
	else
		*out = mine;
	return ret;
}

/* VFIO answers with how many it could have, which is less than asked for. */
static int set_up(struct vfio *vfio, uint32_t index, const int *fds, uint32_t n,
		  uint32_t *available)
{
	int ret = vfio_set_eventfds(vfio, TRIGGER, index, 0, fds, n);

	if (ret <= 0)
		return ret;
	if ((uint32_t)ret >= n) {
		/* Whatever it means by that. */
		(void)vfio_set_none(vfio, TRIGGER, index, 0, 0);
		return -EPROTO;
	}
	if (available)
		*available = (uint32_t)ret;
	return -ENOSPC;
}

int vfio_msi_enable(struct vfio *vfio, uint32_t index, const int *fds, uint32_t n,
		    uint32_t *available)
{
	int *mine, ret;

	if (!is_msi(index) || !vfio_has(vfio, index, 0, n))
		return -EINVAL;
	if (!(vfio->kind[index].flags & VFIO_IRQ_INFO_EVENTFD))
		return -EOPNOTSUPP;
	ret = vfio_begin(vfio);
	if (ret)
		return ret;
	if (vfio->type != VFIO_NONE)
		return vfio_end(vfio, -EBUSY);
	ret = duplicate_all(fds, n, &mine);
	if (ret)
		return vfio_end(vfio, ret);
	ret = set_up(vfio, index, mine, n, available);
	if (ret) {
		release_all(mine, n);
		return vfio_end(vfio, ret);
	}
	memcpy(vfio->trigger[index], mine, n * sizeof(*mine));
	free(mine);
	vfio->type = (int)index;
	vfio->n = n;
	return vfio_end(vfio, 0);
}

/* Signal those of [start, start + count) that have an eventfd now and had one before. Nothing more can be done
 * about a failure: what it would make good need not have happened. */
static void ring(struct vfio *vfio, uint32_t index, uint32_t start, const int *before,
		 const int *now, uint32_t count)
{
	uint8_t which[VFIO_MSIX_MAX];
	bool any = false;

	for (uint32_t i = 0; i < count; i++) {
		which[i] = before[i] >= 0 && now[i] >= 0;
		any |= which[i];
	}
	if (any)
		(void)vfio_set_bools(vfio, TRIGGER, index, start, which, count);
}

/* A change within what is set up, or where an index can grow. VFIO undoes a refused one by taking all of
 * the range away. */
static int change(struct vfio *vfio, uint32_t index, uint32_t start, const int *fds, uint32_t count)
{
	const int *old = vfio->trigger[index] + start;
	int ret = vfio_set_eventfds(vfio, TRIGGER, index, start, fds, count);

	if (ret > 0)
		ret = -EPROTO;
	if (ret) {
		if (vfio_set_eventfds(vfio, TRIGGER, index, start, old, count))
			return vfio_give_up(vfio, index);
		ring(vfio, index, start, old, old, count);
	} else if (index == MSI) {
		ring(vfio, index, start, old, fds, count);
	}
	return ret;
}

/* All of it anew, with [start, start + count) as said: NORESIZE. */
static int rebuild(struct vfio *vfio, uint32_t index, uint32_t start, const int *fds,
		   uint32_t count)
{
	int *old = vfio->trigger[index], merged[VFIO_MSIX_MAX], ret;
	uint32_t n = vfio->n, grown = start + count;

	memcpy(merged, old, grown * sizeof(*merged));
	memcpy(merged + start, fds, count * sizeof(*merged));
	ret = vfio_set_none(vfio, TRIGGER, index, 0, 0);
	if (ret)
		return ret;
	ret = set_up(vfio, index, merged, grown, NULL);
	if (!ret) {
		ring(vfio, index, 0, old, merged, n);
		return 0;
	}
	if (set_up(vfio, index, old, n, NULL)) {
		vfio_forget(vfio, index);
		return -ENOTRECOVERABLE;
	}
	ring(vfio, index, 0, old, old, n);
	return ret;
}

/* Vectors past the last that gets an eventfd need not be set up for it. */
static uint32_t trimmed(const struct vfio *vfio, uint32_t start, const int *fds, uint32_t count)
{
	while (count && start + count > vfio->n && fds[count - 1] == -1)
		count--;
	return count;
}

static int set(struct vfio *vfio, uint32_t index, uint32_t start, int *fds, uint32_t count)
{
	uint32_t end = start + count;
	int ret;

	if (end > vfio->n && vfio->kind[index].flags & VFIO_IRQ_INFO_NORESIZE)
		ret = rebuild(vfio, index, start, fds, count);
	else
		ret = change(vfio, index, start, fds, count);
	if (ret)
		return ret;
	for (uint32_t i = 0; i < count; i++) {
		int old = vfio->trigger[index][start + i];

		vfio->trigger[index][start + i] = fds[i];
		fds[i] = old;
	}
	if (end > vfio->n)
		vfio->n = end;
	return 0;
}

int vfio_msi_set(struct vfio *vfio, uint32_t index, uint32_t start, const int *fds, uint32_t count)
{
	int *mine, ret;

	if (!is_msi(index) || !vfio_has(vfio, index, start, count))
		return -EINVAL;
	ret = vfio_begin(vfio);
	if (ret)
		return ret;
	if (vfio->type != (int)index)
		return vfio_end(vfio, -EINVAL);
	count = trimmed(vfio, start, fds, count);
	if (!count)
		return vfio_end(vfio, 0);
	ret = duplicate_all(fds, count, &mine);
	if (!ret) {
		ret = set(vfio, index, start, mine, count);
		release_all(mine, count);
	}
	return vfio_end(vfio, ret);
}

int vfio_msi_switch(struct vfio *vfio, uint32_t index, uint32_t vector, int fd)
{
	int mine, ret;

	if (!is_msi(index) || !vfio_has(vfio, index, vector, 1))
		return -EINVAL;
	ret = vfio_begin(vfio);
	if (ret)
		return ret;
	if (vfio->type != (int)index || vector >= vfio->n)
		return vfio_end(vfio, -EINVAL);
	ret = vfio_duplicate(fd, &mine);
	if (!ret)
		ret = set(vfio, index, vector, &mine, 1);
	/* VFIO has let the old one go: whatever was to come is in it. MSI's has been rung for already. */
	if (!ret && fd >= 0 && mine >= 0 && vfio_take_count(mine) && index == MSIX &&
	    vfio_set_none(vfio, TRIGGER, index, vector, 1))
		ret = vfio_give_up(vfio, index);
	vfio_release(&mine);
	return vfio_end(vfio, ret);
}
