/* SPDX-License-Identifier: MIT */
/*
 * The interrupts of a PCI device that is passed through: VFIO's ioctls on a device's descriptor, as
 * <linux/vfio.h> documents them. The eventfds are the caller's to bind: INTx's pair to a resample irqfd
 * (VFIO's trigger is its eventfd, VFIO's unmask its resamplefd), a vector's to an irqfd or to
 * vmirq_msix_set_eventfd().
 *
 * NOT TRIED ON HARDWARE. The machines that this was made on have no /dev/vfio. The tests run it against a
 * stand-in of ours that answers the ioctls in the process (tests/devices/vfio_stand_in.h), written
 * after the documentation and what is known of the kernel's behaviour. It has not met a kernel.
 *
 * INTx is a level: VFIO masks it when it has signalled the trigger ("automasked") and opens it again at an
 * unmask, by call or by the unmask eventfd; if the line is still up then, it signals again.
 * One of INTx, MSI and MSI-X is enabled at a time.
 *
 * What the device says is not trusted: counts, flags, sizes and results that cannot be are -EPROTO, and no
 * memory is taken or loop run by its word alone. Every call makes a bounded number of ioctls. Errors:
 *   -EINVAL	       no such index, a range that it does not have, an index that is not enabled
 *   -EBUSY	       INTx, MSI or MSI-X is enabled already
 *   -EBADF, -EINVAL   a descriptor that is none, or no eventfd (-1 = nobody, where it is allowed)
 *   -EOPNOTSUPP       the index cannot signal eventfds, or an INTx is not automasked
 *   -ENOTTY	       VFIO does not mask this index (MSI and MSI-X)
 *   -ENOSPC	       fewer vectors than asked for
 *   -EPROTO	       an answer that cannot be
 *   -EMFILE, -ENOMEM, and what else VFIO says
 * An error leaves everything as it was, but for
 *   -ENOTRECOVERABLE  VFIO refused a change in its middle and then the old set-up, too: this index is
 *		       disabled, its eventfds let go. If it would not even be disabled, every later call but
 *		       vfio_close() says the same.
 *
 * Eventfds are duplicated: what VFIO holds it does not give back, and to put a set-up right again it must be
 * said anew. A vector costs a descriptor.
 *
 * Thread safety: any thread, any time, except open and close. Calls wait for each other (a mutex), and in
 * VFIO for a handler that runs. To take an interrupt away: disable here first, then deassign its irqfd;
 * the irqfd delivers what was written before, and lowers the line of a level.
 */
#ifndef DEVICES_VFIO_H
#define DEVICES_VFIO_H

#include <linux/vfio.h>
#include <stdbool.h>
#include <stdint.h>

/* The most that an index can have: PCI's limits. */
#define VFIO_MSI_MAX  32u
#define VFIO_MSIX_MAX 2048u

struct vfio;

struct vfio_options {
	/* In place of ioctl(2); returns as that does. NULL = ioctl(2). Called with a lock held. */
	int (*ioctl)(void *opaque, int fd, unsigned long request, void *argument);
	void *opaque;
};

/* A device's descriptor (VFIO_GROUP_GET_DEVICE_FD, or a bound /dev/vfio/devices/vfioN), which stays the
 * caller's, and open until vfio_close(). Enables nothing, and takes nothing to be enabled. `options` may be
 * NULL. -ENODEV: no PCI device. */
int vfio_open(int device_fd, const struct vfio_options *options, struct vfio **out);

/* Disable all and free. NULL is nothing. The first error of disabling; it is freed all the same, and
 * VFIO disables what is left when the device's last descriptor is closed. */
int vfio_close(struct vfio *vfio);

/* What an index (VFIO_PCI_*_IRQ_INDEX) can do. */
struct vfio_kind {
	/* Interrupts in it; 0 = the device has none of the kind. */
	uint32_t count;
	/* VFIO_IRQ_INFO_*. */
	uint32_t flags;
};

/* -EINVAL. */
int vfio_kind(const struct vfio *vfio, uint32_t index, struct vfio_kind *kind);

/* INTx, MSI or MSI-X, whichever is enabled; -1. */
int vfio_enabled(struct vfio *vfio);
/* How many vectors are set up in it. */
uint32_t vfio_vectors(struct vfio *vfio);

/* Enable INTx. `unmask` -1 = by vfio_unmask() only. A line that is up signals at once. */
int vfio_intx_enable(struct vfio *vfio, int trigger, int unmask);

/* Another trigger; -1 = nobody (INTx stays enabled). What VFIO told nobody about while it had none is told
 * to the new one: if the line is up, it is signalled, perhaps once more than needed. */
int vfio_intx_set_trigger(struct vfio *vfio, int trigger);

/* Another unmask eventfd, or -1. What stood in the old one unmasks. */
int vfio_intx_set_unmask(struct vfio *vfio, int unmask);

/*
 * Enable MSI or MSI-X with `n` vectors: fds[i] for vector i, -1 = none as yet. -ENOSPC: VFIO can have only
 * *available (may be NULL; written then only). With VFIO_IRQ_INFO_NORESIZE `n` had better be all that will be
 * wanted: see vfio_msi_set().
 */
int vfio_msi_enable(struct vfio *vfio, uint32_t index, const int *fds, uint32_t n,
		    uint32_t *available);

/*
 * Change vectors [start, start + count), also beyond those that are set up; -1 takes a vector's eventfd
 * away. Where the index does not grow while it is enabled (NORESIZE), all of it is torn down and set up anew.
 *
 * What was written to an eventfd stays in it. What the device sends while it is torn down is lost to
 * VFIO, and nobody can know of it: so every vector that had an eventfd before and still has one is signalled
 * once, after set-up. The same where VFIO refuses in the middle and the old set-up is restored, and, of MSI,
 * whose vectors need not have a mask, where an eventfd is exchanged. A handler must bear an interrupt that
 * has no cause. Of MSI-X a vector without an eventfd is masked, and the device keeps what is pending.
 */
int vfio_msi_set(struct vfio *vfio, uint32_t index, uint32_t start, const int *fds, uint32_t count);

/* One vector's eventfd exchanged, and what is still unread in the old one signalled to the new (once): from
 * whoever watches a masked vector to an irqfd, say. To -1: what is unread stays. Not beyond the vectors that
 * are set up: -EINVAL. */
int vfio_msi_switch(struct vfio *vfio, uint32_t index, uint32_t vector, int fd);

/* The eventfd of ERR or REQ; -1 = none. */
int vfio_event_set(struct vfio *vfio, uint32_t index, int fd);

/*
 * Mask, unmask, or have VFIO signal as if the device had (loopback), interrupts [start, start + count), of
 * which `which` (NULL = all) holds 1 or 0 for each. A mask holds until the unmask; an INTx that is still
 * up then signals. count 0 is -EINVAL.
 */
int vfio_mask(struct vfio *vfio, uint32_t index, uint32_t start, uint32_t count,
	      const uint8_t *which);
int vfio_unmask(struct vfio *vfio, uint32_t index, uint32_t start, uint32_t count,
		const uint8_t *which);
int vfio_trigger(struct vfio *vfio, uint32_t index, uint32_t start, uint32_t count,
		 const uint8_t *which);

/* Disable an index: VFIO signals none of its eventfds any more once this has returned. 0 also if it is not
 * enabled. */
int vfio_disable(struct vfio *vfio, uint32_t index);
/* All, ERR and REQ too. The first error; the others are tried. */
int vfio_disable_all(struct vfio *vfio);

#endif
