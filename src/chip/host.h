/* SPDX-License-Identifier: MIT */
/* What a chip needs from the world, handed in: it makes no system call, has no thread and takes no
 * memory of its own after creation. */
#ifndef CHIP_HOST_H
#define CHIP_HOST_H

#include <stdbool.h>
#include <stdint.h>

struct chip_host {
	void *opaque;
	/* A parked vCPU has something to do / a vCPU must leave the guest. Lock-free, async-signal-safe;
	 * called from any thread, inside a read section, with no chip lock held. elsewhere: it does not
	 * sleep on its mode. */
	void (*wake)(void *opaque, uint32_t vcpu, bool elsewhere);
	void (*kick)(void *opaque, uint32_t vcpu);
	/* Nanoseconds that never go back. */
	uint64_t (*now)(void *opaque);
	/* The vCPU's time-stamp counter now, and its rate in kHz. Called by its own thread. */
	uint64_t (*tsc)(void *opaque, uint32_t vcpu, uint32_t *khz);
	/* A lock that sleeps; `mutex` is what the chip was created with. */
	void (*lock)(void *mutex);
	void (*unlock)(void *mutex);
};

#endif
