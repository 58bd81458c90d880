/* SPDX-License-Identifier: MIT */
/**
 * @file pc.h
 * The devices of QEMU's PC test machine that are no interrupt controller or timer: serial port,
 * isa-debug-exit, pc-testdev, fw_cfg, an empty PCI bus, CMOS with its clock. For `vmirq boot`, whose
 * vCPUs bring every port and memory access here that the library did not take.
 *
 * Every function but pc_destroy may be called by any thread; one mutex guards the devices. The
 * callbacks run on the calling thread with no lock held, so those of two vCPUs that write pc-testdev's
 * lines at once may overtake each other, as the writes may. The serial port's line ends as it is.
 */
#ifndef PC_H
#define PC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pc;

struct pc_config {
	uint64_t memory; /* bytes of guest memory, from 0 */
	uint32_t vcpus;	 /* 1..65535 */
	int output;	 /* of the serial port: a descriptor, which stays the caller's, or -1 */
	void *opaque;	 /* for the callbacks, each of which may be NULL */
	void (*set_gsi)(void *opaque, uint32_t gsi, bool level);
	/* The serial port's line in place of set_gsi, for who keeps it apart from pc-testdev's. */
	void (*serial_line)(void *opaque, uint32_t gsi, bool level);
	/* The guest asks to end, with this status; it may go on and ask again. */
	void (*exit)(void *opaque, int status);
	/* ns since 1970; NULL: the host's clock. Called with the lock held. */
	int64_t (*now)(void *opaque);
};

/* 0, -EINVAL or -ENOMEM. */
int pc_create(const struct pc_config *config, struct pc **out);
/* Flushes. No other call may run. */
void pc_destroy(struct pc *pc);

/* One access of `len` bytes (1, 2, 4; of memory 8 too). False: nothing is there; the caller lets
 * reads be all ones. May block in write() of the serial port's output. */
bool pc_pio(struct pc *pc, uint16_t port, void *data, uint32_t len, bool is_write);
bool pc_mmio(struct pc *pc, uint64_t gpa, void *data, uint32_t len, bool is_write);

/* Text without an end of line waits for one; this sends it. */
void pc_flush(struct pc *pc);

#endif
