/* SPDX-License-Identifier: MIT */
/*
 * A PCI device behind VFIO, all of it in this process: no machine of ours has one. It checks each ioctl's
 * arguments as the kernel's vfio-pci does, holds the eventfds that it is given, and signals them. Behind it
 * is a device that the test plays: a level line, and messages.
 *
 * What it takes from the kernel's behaviour, beyond <linux/vfio.h>:
 * - a range of vectors that is refused at one of them has lost its eventfds up to there;
 * - MSI and MSI-X are neither masked nor unmasked by VFIO (ENOTTY), nor is INTx masked by eventfd;
 * - setting up too many vectors returns how many there are;
 * - a second unmask eventfd is EBUSY; one that is readable already unmasks;
 * - INTx without a trigger stays enabled, and is masked by an interrupt that nobody is told of;
 * - MSI-X vectors without an eventfd are masked in the device's table, which keeps what is pending while
 *   MSI-X is enabled. MSI has no masks here: what comes is lost.
 */
#ifndef TESTS_DEVICES_VFIO_STAND_IN_H
#define TESTS_DEVICES_VFIO_STAND_IN_H

#include <linux/vfio.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STAND_IN_CALLS 32
#define STAND_IN_SLOTS (1 + 32 + 2048 + 1 + 1)

struct stand_in_call {
	uint32_t argsz, flags, index, start, count;
	/* The data's first bytes. */
	uint8_t data[16];
	int ret;
};

struct stand_in {
	/* Chosen by the test before it is started. */
	uint32_t count[VFIO_PCI_NUM_IRQS]; /* 0 = the device has none */
	bool dynamic_msix;
	/* How many vectors can be had; 0 = all. */
	uint32_t available;
	/* Fails the n-th (1 ..) binding of an eventfd, or ioctl VFIO_DEVICE_SET_IRQS, from now on; -errno.
	 * `fail_call_for` more calls after that one fail too. */
	int fail_bind, fail_bind_with, fail_call, fail_call_with, fail_call_for;
	/* Called after every ioctl: the device's doings in between, and lies. Returns what the ioctl does. */
	int (*after)(struct stand_in *s, unsigned long request, void *argument, int ret);

	/* A VFIO_DEVICE_SET_IRQS at a time. */
	pthread_mutex_t igate;
	struct stand_in_call call[STAND_IN_CALLS];
	unsigned int calls;

	/* Guards all below; also the device's side takes it. */
	pthread_mutex_t irqlock;
	pthread_cond_t changed;
	int type;
	uint32_t n;
	int *trigger[VFIO_PCI_NUM_IRQS];
	int slots[STAND_IN_SLOTS];
	bool pending[2048];
	bool asserted, masked, config_disabled;
	/* Signals by eventfd; messages that nobody will know of; unmasks by eventfd. */
	uint64_t signalled, lost, unmasks;
	int unmask;
	/* The thread that watches `unmask`: what it has, and has to have seen. */
	uint64_t wanted, seen;
	bool stop;
	int wake;
	pthread_t thread;
};

/* All that vfio-pci can have: 1 INTx, `msi` and `msix` vectors, ERR and REQ. */
void stand_in_start(struct stand_in *s, uint32_t msi, uint32_t msix);
/* The device is gone, as when its last descriptor is closed. */
void stand_in_stop(struct stand_in *s);

/* vfio_options.ioctl, with the stand-in as its opaque. */
int stand_in_ioctl(void *opaque, int fd, unsigned long request, void *argument);

/* The device's side. */
void stand_in_line(struct stand_in *s, bool asserted);
void stand_in_message(struct stand_in *s, uint32_t index, uint32_t vector);
/* The guest's Interrupt Disable bit in the command register. */
void stand_in_disable_intx(struct stand_in *s, bool disabled);

/* Until so many unmasks have come by eventfd; false if they do not come. */
bool stand_in_unmasked(struct stand_in *s, uint64_t unmasks);
uint64_t stand_in_signalled(struct stand_in *s);
bool stand_in_is_masked(struct stand_in *s);
/* The last VFIO_DEVICE_SET_IRQS but `before`. */
const struct stand_in_call *stand_in_last(struct stand_in *s, unsigned int before);

/* Between the two files; with the irqlock held but for the last. */
void stand_in_signal(struct stand_in *s, int fd);
void stand_in_unmask_locked(struct stand_in *s);
void stand_in_mask_locked(struct stand_in *s);
void stand_in_raise_locked(struct stand_in *s);
/* The thread watches this one (ours to close from then on), and no other any more. */
void stand_in_watch(struct stand_in *s, int fd);

#endif
