// SPDX-License-Identifier: MIT
#include "vfio_irqs.h"

#include <errno.h>

#define INTX	VFIO_PCI_INTX_IRQ_INDEX
#define TRIGGER VFIO_IRQ_SET_ACTION_TRIGGER
#define UNMASK	VFIO_IRQ_SET_ACTION_UNMASK

/* Without automasking a level that nobody lowers would signal without end. */
#define NEEDED (VFIO_IRQ_INFO_EVENTFD | VFIO_IRQ_INFO_MASKABLE | VFIO_IRQ_INFO_AUTOMASKED)

static int enable(struct vfio *vfio, int trigger, int unmask)
{
	int ret = vfio_set_one(vfio, TRIGGER, INTX, trigger);

	/* Whatever it means by that. */
	if (ret == -EPROTO)
		(void)vfio_set_none(vfio, TRIGGER, INTX, 0, 0);
	if (ret)
		return ret;
	vfio->type = INTX;
	vfio->n = 1;
	/* VFIO wants INTx enabled first. What is signalled before is masked, and unmasked later. */
	if (unmask >= 0)
		ret = vfio_set_one(vfio, UNMASK, INTX, unmask);
	if (ret && vfio_turn_off(vfio, INTX))
		return vfio_give_up(vfio, INTX);
	return ret;
}

int vfio_intx_enable(struct vfio *vfio, int trigger, int unmask)
{
	int mine[2] = { -1, -1 }, ret;

	if (!vfio_has(vfio, INTX, 0, 1))
		return -EINVAL;
	if ((vfio->kind[INTX].flags & NEEDED) != NEEDED)
		return -EOPNOTSUPP;
	if (trigger < 0)
		return -EBADF;
	ret = vfio_begin(vfio);
	if (ret)
		return ret;
	if (vfio->type != VFIO_NONE)
		return vfio_end(vfio, -EBUSY);
	ret = vfio_duplicate(trigger, &mine[0]);
	if (!ret)
		ret = vfio_duplicate(unmask, &mine[1]);
	if (!ret)
		ret = enable(vfio, mine[0], mine[1]);
	if (ret) {
		vfio_release(&mine[0]);
		vfio_release(&mine[1]);
	} else {
		vfio->trigger[INTX][0] = mine[0];
		vfio->unmask = mine[1];
	}
	return vfio_end(vfio, ret);
}

/* Lock; duplicate; INTx must be enabled. An error has unlocked. */
static int begin(struct vfio *vfio, int fd, int *mine)
{
	int ret = vfio_begin(vfio);

	if (ret)
		return ret;
	if (vfio->type != INTX)
		return vfio_end(vfio, -EINVAL);
	ret = vfio_duplicate(fd, mine);
	return ret ? vfio_end(vfio, ret) : 0;
}

static int open_again(struct vfio *vfio)
{
	if (vfio->intx_masked)
		return 0;
	return vfio_set_none(vfio, UNMASK, INTX, 0, 1);
}

static int exchange_trigger(struct vfio *vfio, int *mine)
{
	int *held = &vfio->trigger[INTX][0], old = *held;
	int ret = vfio_set_one(vfio, TRIGGER, INTX, *mine);

	if (ret) {
		/* Some kernels have let the old one go by now. */
		if (vfio_set_one(vfio, TRIGGER, INTX, old))
			return vfio_give_up(vfio, INTX);
	} else {
		*held = *mine;
		*mine = old;
	}
	/* Signalled to nobody, it is masked all the same, and nobody would unmask it. */
	if (*held >= 0 && open_again(vfio))
		return vfio_give_up(vfio, INTX);
	return ret;
}

int vfio_intx_set_trigger(struct vfio *vfio, int trigger)
{
	int mine = -1, ret = begin(vfio, trigger, &mine);

	if (ret)
		return ret;
	ret = exchange_trigger(vfio, &mine);
	vfio_release(&mine);
	return vfio_end(vfio, ret);
}

static int exchange_unmask(struct vfio *vfio, int *mine)
{
	int old = vfio->unmask, ret = 0;

	/* One at a time: the second is refused. */
	if (old >= 0)
		ret = vfio_set_one(vfio, UNMASK, INTX, -1);
	if (ret)
		return ret;
	if (*mine >= 0)
		ret = vfio_set_one(vfio, UNMASK, INTX, *mine);
	if (ret) {
		/* What stands in it VFIO looks at when it takes it back. */
		if (old >= 0 && vfio_set_one(vfio, UNMASK, INTX, old))
			return vfio_give_up(vfio, INTX);
		return ret;
	}
	vfio->unmask = *mine;
	*mine = old;
	if (old >= 0 && vfio_take_count(old) && open_again(vfio))
		return vfio_give_up(vfio, INTX);
	return 0;
}

int vfio_intx_set_unmask(struct vfio *vfio, int unmask)
{
	int mine = -1, ret = begin(vfio, unmask, &mine);

	if (ret)
		return ret;
	ret = exchange_unmask(vfio, &mine);
	vfio_release(&mine);
	return vfio_end(vfio, ret);
}
